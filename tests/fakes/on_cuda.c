/* Tests that ask for the "cpu" backend get "cuda" (linked with --wrap=device_create). */
#include <string.h>

#include "common/device/device.h"

enum rc __real_device_create(const char *name, int threads, struct device **out, struct err *e);
enum rc __wrap_device_create(const char *name, int threads, struct device **out, struct err *e);

enum rc __wrap_device_create(const char *name, int threads, struct device **out, struct err *e)
{
    return __real_device_create(strcmp(name, "cpu") == 0 ? "cuda" : name, threads, out, e);
}

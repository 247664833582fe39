/* A list of class names from anywhere: refused with a sentence, or a list that is found again. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shards/class_list.h"
#include "tests/fuzz/fuzz_dir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct class_list l;
    struct err e = {0};
    char path[512];
    int fd = -1;

    (void)snprintf(path, sizeof path, "%s/classes.txt", fuzz_dir());
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) != 0) {
        abort();
    }
    class_list_init(&l);
    if (class_list_load(&l, path, &e) != RC_OK) {
        if (strstr(e.msg, "classes.txt") == NULL) {
            abort();
        }
    } else {
        for (int i = 0; i < l.n; i++) {
            const size_t bytes = strlen(l.names[i]);
            int at = -1;

            if (bytes < 1 || bytes > CLASS_LIST_NAME_MAX ||
                class_list_find(&l, l.names[i], bytes, &at, &e) != RC_OK || at != i) {
                abort();
            }
        }
    }
    class_list_release(&l);
    (void)unlink(path);
    return 0;
}

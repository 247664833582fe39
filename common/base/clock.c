#include "common/base/clock.h"

#include <stdio.h>
#include <time.h>

double clock_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void clock_stamp(char *buf, size_t size)
{
    time_t now = time(NULL);
    struct tm tm;

    if (gmtime_r(&now, &tm) == NULL || strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        (void)snprintf(buf, size, "unknown");
    }
}

void clock_format(double seconds, char *buf, size_t size)
{
    long s = seconds < 0 ? 0 : (long)(seconds + 0.5);

    if (s >= 3600) {
        (void)snprintf(buf, size, "%ldh%02ld", s / 3600, s / 60 % 60);
    } else if (s >= 60) {
        (void)snprintf(buf, size, "%ldm%02lds", s / 60, s % 60);
    } else {
        (void)snprintf(buf, size, "%lds", s);
    }
}

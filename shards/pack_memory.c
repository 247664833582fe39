#include "shards/pack_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY_SHARE = 4, MEMORY_MOST = 1 << 30 };

/* The number behind a name in a file of the system, or alone in it (""). */
static uint64_t memory_number(const char *path, const char *name)
{
    FILE *f = fopen(path, "re");
    char line[128];
    uint64_t n = UINT64_MAX;

    while (f != NULL && n == UINT64_MAX && fgets(line, sizeof line, f) != NULL) {
        char *end = NULL;
        unsigned long long v = 0;

        if (strncmp(line, name, strlen(name)) == 0) {
            v = strtoull(line + strlen(name), &end, 10);
            n = end != line + strlen(name) ? v : n; /* "max" is no number */
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return n;
}

uint64_t pack_memory(void)
{
    const uint64_t available = memory_number("/proc/meminfo", "MemAvailable:");
    const uint64_t limit = memory_number("/sys/fs/cgroup/memory.max", "");
    const uint64_t used = memory_number("/sys/fs/cgroup/memory.current", "");
    uint64_t bytes = available != UINT64_MAX ? available * 1024 : 0;

    if (limit != UINT64_MAX && used != UINT64_MAX) {
        const uint64_t left = limit > used ? limit - used : 0;

        bytes = left < bytes ? left : bytes;
    }
    return bytes / MEMORY_SHARE < MEMORY_MOST ? bytes / MEMORY_SHARE : MEMORY_MOST;
}

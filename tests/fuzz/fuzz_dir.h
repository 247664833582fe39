/** A folder for a fuzz target that reads files; removed at the end. */
#ifndef PRECEPTOR_TESTS_FUZZ_DIR_H
#define PRECEPTOR_TESTS_FUZZ_DIR_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char fuzz_dir_path[256];

static inline void fuzz_dir_remove(void)
{
    (void)rmdir(fuzz_dir_path);
}

/* The same each time. */
static inline const char *fuzz_dir(void)
{
    const char *base = getenv("TMPDIR");

    if (fuzz_dir_path[0] == '\0') {
        (void)snprintf(fuzz_dir_path, sizeof fuzz_dir_path, "%s/preceptor-fuzz-XXXXXX",
                       base != NULL ? base : "/tmp");
        if (mkdtemp(fuzz_dir_path) == NULL) {
            abort();
        }
        (void)atexit(fuzz_dir_remove);
    }
    return fuzz_dir_path;
}

#endif

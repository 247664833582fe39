/**
 * What the tests of base share: a folder of their own, errors compared by code and sentence, output
 * caught in a file, and the loop that makes every allocation fail once.
 */
#ifndef PRECEPTOR_TESTS_SUPPORT_H
#define PRECEPTOR_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"

static char support_dir[256];
static char support_path[512];

/** A group set-up: an empty folder of this program. */
static inline int support_enter(void **state)
{
    const char *parent = getenv("TMPDIR");

    (void)state;
    (void)snprintf(support_dir, sizeof support_dir, "%s/preceptor-XXXXXX",
                   parent == NULL ? "." : parent);
    return mkdtemp(support_dir) == NULL ? -1 : 0;
}

static inline int support_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

/** The group's end. */
static inline int support_leave(void **state)
{
    (void)state;
    return nftw(support_dir, support_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/** The path of a file in the folder; valid until the next call. */
static inline const char *support_file(const char *name)
{
    (void)snprintf(support_path, sizeof support_path, "%s/%s", support_dir, name);
    return support_path;
}

static inline void support_write(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

/** The whole file as a text, cut at 64 KiB; valid until the next call. */
static inline const char *support_read(const char *path)
{
    static char text[65536];
    FILE *f = fopen(path, "rb");

    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    (void)fclose(f);
    return text;
}

/** rc is what was expected and the sentence holds part; then e is cleared. */
static inline void support_expect(enum rc rc, enum rc expected, struct err *e, const char *part)
{
    if (rc != expected || e->rc != expected || strstr(e->msg, part) == NULL) {
        fail_msg("got %d '%s', expected %d '...%s...'", (int)rc, e->msg, (int)expected, part);
    }
    err_clear(e);
}

static inline void support_ok(enum rc rc, const struct err *e)
{
    if (rc != RC_OK) {
        fail_msg("%s", e->msg);
    }
}

/** Run call with each allocation failing in turn: RC_NOMEM with its sentence every time, until it
 * needs no more and succeeds. Returns how many allocations it made. */
static inline int support_fail_each(enum rc (*call)(void *arg, struct err *e), void *arg)
{
    for (int n = 1; n < 1000; n++) {
        struct err e = {0};
        enum rc rc = RC_OK;

        mem_fail_at((uint64_t)n);
        rc = call(arg, &e);
        mem_fail_at(0);
        if (rc == RC_OK) {
            return n - 1;
        }
        support_expect(rc, RC_NOMEM, &e, "out of memory: ");
    }
    fail_msg("it never succeeds");
    return -1;
}

/** Files may not grow past bytes (0: as far as before); a write beyond fails with EFBIG. */
static inline void support_limit_files(rlim_t bytes)
{
    struct rlimit limit;

    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/** Send fd (1 or 2) into target; returns what gives it back by support_uncatch. */
static inline int support_catch(int fd, int target)
{
    int saved = dup(fd);

    (void)fflush(NULL);
    assert_true(saved >= 0 && dup2(target, fd) == fd);
    return saved;
}

static inline void support_uncatch(int fd, int saved)
{
    (void)fflush(NULL);
    assert_int_equal(dup2(saved, fd), fd);
    (void)close(saved);
}

#endif

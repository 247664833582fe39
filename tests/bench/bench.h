/** What the programs of `make bench` share: they measure, print a line a fact, and end on an error. */
#ifndef PRECEPTOR_TESTS_BENCH_H
#define PRECEPTOR_TESTS_BENCH_H

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/mem.h"

/** End with the sentence in e unless rc is RC_OK. */
static inline void bench_must(enum rc rc, const struct err *e)
{
    if (rc != RC_OK) {
        fprintf(stderr, "bench: %s\n", e->msg);
        exit(1);
    }
}

static inline void bench_usage(const char *text)
{
    fprintf(stderr, "usage: %s\n", text);
    exit(2);
}

static inline void *bench_alloc(size_t bytes)
{
    void *p = mem_aligned(bytes);

    if (p == NULL) {
        fprintf(stderr, "bench: out of memory for %zu bytes\n", bytes);
        exit(1);
    }
    return p;
}

static inline int bench_int(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

#endif

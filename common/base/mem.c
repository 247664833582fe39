#include "common/base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 }; /* x86-64, and aarch64 with pages of 4 KiB */

/* The only process-wide state of base: counters that tests read. */
static atomic_uint_fast64_t mem_allocations;
static atomic_int_fast64_t mem_countdown;

static bool mem_refuse(void)
{
    atomic_fetch_add_explicit(&mem_allocations, 1, memory_order_relaxed);
    if (atomic_load_explicit(&mem_countdown, memory_order_relaxed) <= 0) {
        return false;
    }
    return atomic_fetch_sub(&mem_countdown, 1) == 1;
}

void *mem_calloc(size_t n, size_t size)
{
    if (mem_refuse()) {
        return NULL;
    }
    return calloc(n == 0 ? 1 : n, size == 0 ? 1 : size);
}

void *mem_realloc(void *p, size_t n, size_t size)
{
    size_t bytes = 0;

    if (mem_refuse() || __builtin_mul_overflow(n, size, &bytes)) {
        return NULL;
    }
    return realloc(p, bytes == 0 ? 1 : bytes);
}

void *mem_aligned(size_t bytes)
{
    void *p = NULL;

    if (mem_refuse() || bytes > SIZE_MAX - MEM_ALIGN) {
        return NULL;
    }
    bytes = (bytes + MEM_ALIGN) / MEM_ALIGN * MEM_ALIGN;
    if (posix_memalign(&p, bytes < HUGE_PAGE ? MEM_ALIGN : HUGE_PAGE, bytes) != 0) {
        return NULL;
    }
    if (bytes >= HUGE_PAGE) {
        (void)madvise(p, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* only a wish */
    }
    return p;
}

char *mem_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = mem_calloc(n, 1);

    if (p != NULL) {
        memcpy(p, s, n);
    }
    return p;
}

char *mem_sprintf(const char *fmt, ...)
{
    va_list ap;
    va_list again;
    char *p = NULL;
    int n = 0;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0) {
        p = mem_calloc((size_t)n + 1, 1);
    }
    if (p != NULL) {
        (void)vsnprintf(p, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    return p;
}

void mem_free(void *p)
{
    free(p);
}

enum rc mem_raise(struct err *e, const char *what, size_t bytes)
{
    return err_raise(e, RC_NOMEM, "out of memory: %s needs %zu bytes", what, bytes);
}

uint64_t mem_count(void)
{
    return atomic_load(&mem_allocations);
}

void mem_fail_at(uint64_t n)
{
    atomic_store(&mem_countdown, (int_fast64_t)n);
}

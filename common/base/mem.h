/**
 * The heap, with an n-th allocation that can be made to fail and a count of allocations.
 * All product code allocates here, so tests can show what happens without memory and that a
 * steady step allocates nothing. Thread-safe.
 */
#ifndef PRECEPTOR_MEM_H
#define PRECEPTOR_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum { MEM_ALIGN = 64 }; /* of mem_aligned: a cache line, an AVX-512 vector */

/** Zeroed array of n elements; NULL when out of memory or when n * size overflows. Free: mem_free. */
void *mem_calloc(size_t n, size_t size);

/** Grow or shrink p (NULL allowed) to n elements; NULL leaves p as it was. New bytes are undefined. */
void *mem_realloc(void *p, size_t n, size_t size);

/** Uninitialised bytes aligned to MEM_ALIGN; NULL when out of memory. Free: mem_free. From 2 MiB on
 * they are aligned to that, and the kernel is asked for huge pages. */
void *mem_aligned(size_t bytes);

/** A heap copy of s; NULL when out of memory. */
char *mem_strdup(const char *s);

/** A heap string from a printf format; NULL when out of memory. */
char *mem_sprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Free what any function above gave; NULL is fine. */
void mem_free(void *p);

/** RC_NOMEM in e, saying what the memory was for and how much. */
enum rc mem_raise(struct err *e, const char *what, size_t bytes);

/** Allocations made so far by this process through this header. */
uint64_t mem_count(void);

/** Tests: the n-th allocation from now (1 = the next) fails, once; 0 switches it off. */
void mem_fail_at(uint64_t n);

#endif

#include "common/base/arena.h"

#include <stdint.h>

#include "common/base/mem.h"

struct arena {
    unsigned char *base;
    size_t size;
    size_t used;
    size_t peak;
};

enum rc arena_create(size_t bytes, struct arena **out, struct err *e)
{
    struct arena *a = mem_calloc(1, sizeof *a);

    if (a == NULL) {
        return mem_raise(e, "an arena", sizeof *a);
    }
    a->base = mem_aligned(bytes);
    if (a->base == NULL) {
        mem_free(a);
        return mem_raise(e, "an arena's block", bytes);
    }
    a->size = bytes;
    *out = a;
    return RC_OK;
}

void arena_destroy(struct arena *a)
{
    if (a != NULL) {
        mem_free(a->base);
        mem_free(a);
    }
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    size_t start = (a->used + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;

    if (start > a->size || bytes > a->size - start) {
        return NULL;
    }
    a->used = start + bytes;
    if (a->used > a->peak) {
        a->peak = a->used;
    }
    return a->base + start;
}

void arena_reset(struct arena *a)
{
    a->used = 0;
}

size_t arena_peak(const struct arena *a)
{
    return a->peak;
}

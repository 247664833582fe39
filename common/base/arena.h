/**
 * A bump allocator over one block whose size is asked for up front: per-step scratch that is
 * reset, not freed.
 */
#ifndef PRECEPTOR_ARENA_H
#define PRECEPTOR_ARENA_H

#include <stddef.h>

#include "common/base/err.h"

struct arena;

/** A block of the given bytes. RC_NOMEM. Free: arena_destroy. */
NODISCARD enum rc arena_create(size_t bytes, struct arena **out, struct err *e);

/** NULL is fine. */
void arena_destroy(struct arena *a);

/** bytes aligned to MEM_ALIGN, undefined contents; NULL when the block is full (a sizing bug). */
void *arena_alloc(struct arena *a, size_t bytes);

/** Everything given out is given back. */
void arena_reset(struct arena *a);

/** The most bytes in use at once so far. */
size_t arena_peak(const struct arena *a);

#endif

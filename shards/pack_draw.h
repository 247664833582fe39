/**
 * Limits per class by a seed: of each class the candidates are ranked by a hash of (seed, number of the
 * candidate), and the limits count ranks, not places in the source. So two packs with one seed still
 * take parts that do not overlap, and another seed takes others.
 */
#ifndef PRECEPTOR_PACK_DRAW_H
#define PRECEPTOR_PACK_DRAW_H

#include <stdbool.h>
#include <stdint.h>

#include "shards/pack_impl.h"

struct pack_draw;

/** Walk the sources once, by names alone, and rank. 16 bytes a candidate for the time of the walk.
 * Errors of source_walk; RC_NOMEM. */
NODISCARD enum rc pack_draw_make(struct pack *p, struct pack_draw **out, struct err *e);
/** NULL is fine. */
void pack_draw_destroy(struct pack_draw *d);
/** Whether candidate number `at`, of class cls >= 0, is within the limits. */
bool pack_draw_takes(const struct pack_draw *d, uint64_t at, int32_t cls);

#endif

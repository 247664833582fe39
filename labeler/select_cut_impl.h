/**
 * Between select_cut.c, which narrows the range that a class's line lies in until few labels are left,
 * and select_ties.c, which decides among those.
 */
#ifndef PRECEPTOR_SELECT_CUT_IMPL_H
#define PRECEPTOR_SELECT_CUT_IMPL_H

#include <stdatomic.h>

#include "labeler/select_impl.h"

/* Where the line of a class still may lie: first a range of confidences, and where they are all
 * equal, a range of keys (their first 64 bits). The bins of a histogram divide it. */
struct cut_range {
    uint32_t lo, hi;         /* bits in [lo, hi] */
    uint64_t key_lo, key_hi; /* and key in [key_lo, key_hi] */
    uint64_t count;          /* labels in it */
    uint64_t want;           /* of them, above the line */
    bool by_key;
};

struct cut_candidate {
    struct key128 key; /* set where it decides */
    uint32_t bits;
    uint32_t shard, position;
    uint16_t cls;
};

/* How a scan counts the labels of a class: those with bits in [lo, lo + span]. */
struct cut_bins {
    uint32_t lo, span;
    unsigned shift;
};

struct select_cuts {
    struct select_scan *scan;
    struct select_limits limits;
    int n_classes;
    unsigned bins;            /* of each class, a power of two */
    uint64_t *histogram;      /* (threads, n_classes, 2 + bins): outside, bins, saying nothing */
    struct cut_bins *by_bits; /* (n_classes) */
    struct cut_range *ranges; /* (n_classes) */
    struct cut_candidate *candidates;
    atomic_size_t n_candidates;
};

/* The first 64 bits of a key: their order is that of keys. */
static inline uint64_t select_cut_key(const struct key128 *key)
{
    uint64_t x = 0;

    for (int i = 0; i < 8; i++) {
        x = x << 8 | key->b[i];
    }
    return x;
}

/* Whether the line of the class is not known yet. */
static inline bool select_cut_open(const struct cut_range *g)
{
    return g->want > 0 && g->want < g->count;
}

/** Hold the n labels of the open ranges and find the line among them: sets split and key of the cuts
 * whose ties it divides, and lo of each range. RC_NOMEM. */
NODISCARD enum rc select_ties_collect(struct select_cuts *c, uint64_t n, struct select_cut *cuts,
                                      struct err *e);

#endif

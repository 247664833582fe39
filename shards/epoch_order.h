/**
 * The order of an epoch: a pure function of (seed, epoch, manifest, selection) (design.md section 3,
 * Order): shards shuffled, taken in windows of W, the items of a window sorted by a counter-based
 * hash of (shard, position, copy), which the manifest binds to contents. An item is an occurrence of
 * a labeled corpus, an image of an unlabeled one, or a copy of a selection. Any number of ranks sees
 * the same order; a resume needs one integer; memory is one window (12 bytes an item) and 4 bytes a
 * shard.
 */
#ifndef PRECEPTOR_EPOCH_ORDER_H
#define PRECEPTOR_EPOCH_ORDER_H

#include "shards/corpus.h"
#include "shards/selection.h"

struct epoch_order;

struct epoch_order_config {
    struct corpus *corpus;       /* borrowed */
    struct selection *selection; /* borrowed; NULL: all of the corpus */
    uint64_t seed;
    int window;                  /* shards a window, at most 256; 0: 8 */
    bool trust;                  /* shards' digests were checked already */
};

struct epoch_item {
    int shard;
    uint32_t position;
    uint32_t copy;      /* occurrence or copy number */
    uint64_t epoch;
};

/** RC_INVAL  the window is out of range; the selection has more shards than the corpus
 *  RC_NOMEM */
NODISCARD enum rc epoch_order_create(const struct epoch_order_config *c, struct epoch_order **out,
                                     struct err *e);
void epoch_order_destroy(struct epoch_order *o);
/** Items of one epoch. */
uint64_t epoch_order_length(const struct epoch_order *o);
/** The item at global index t (epoch t / length, then by order). Sequential access is cheap; a jump
 * rebuilds one window. RC_INVAL an empty order; RC_CORRUPT selection or index do not fit the corpus
 * (named); RC_NOMEM. */
NODISCARD enum rc epoch_order_at(struct epoch_order *o, uint64_t t, struct epoch_item *out,
                                 struct err *e);

#endif

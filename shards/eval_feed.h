/**
 * A feed over a range of a corpus in evaluation mode: occurrences [from, to) in shard and position
 * order, each once (evaluation sets never deduplicate, design.md 7.3).
 */
#ifndef PRECEPTOR_EVAL_FEED_H
#define PRECEPTOR_EVAL_FEED_H

#include "shards/feed.h"

struct eval_feed;

struct eval_feed_config {
    struct corpus *corpus; /* borrowed */
    struct image_eval eval;
    uint64_t from, to;     /* occurrences of the corpus */
    int batch, threads;    /* as in feed_config */
};

NODISCARD enum rc eval_feed_create(const struct eval_feed_config *c, struct eval_feed **out,
                                   struct err *e);
void eval_feed_destroy(struct eval_feed *f);

/** The next batch: pixels (batch, size, size, channels) and classes (batch), n real rows; borrowed
 * until the next call. n = 0 at the end. RC_CORRUPT names shard and image. */
NODISCARD enum rc eval_feed_next(struct eval_feed *f, const uint8_t **pixels, const int32_t **cls,
                                 int *n, struct err *e);
/** A net_coming_fn; of is the feed: feed_peek. */
const uint8_t *eval_feed_peek(void *of);

#endif

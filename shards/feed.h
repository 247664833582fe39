/**
 * The feed: reads records, decodes and preprocesses them on worker threads, hands out batches of
 * pixels in the caller's order. Bounded: `depth` batches in flight, nothing allocated once running.
 * Decoders take turns with compute where cores are full (feed_pause, design.md 7.8).
 */
#ifndef PRECEPTOR_FEED_H
#define PRECEPTOR_FEED_H

#include "common/image/augment.h"
#include "common/image/image.h"
#include "shards/corpus.h"

enum { FEED_MAX_CORPORA = 2 };

struct feed;

/** One row to make. */
struct feed_item {
    int corpus;          /* index into feed_config.corpora */
    int shard;
    uint32_t position;
    uint32_t copy;
    uint64_t epoch;      /* keys the noise */
    bool noise;          /* true: feed_config.augment[corpus]; false: feed_config.eval */
    bool padding;        /* no image: zero pixels (a partial batch is padded and masked) */
    /* Filled by the feed: */
    struct key128 key;
    int32_t cls;         /* class of occurrence `copy` (of the first, if there are fewer), or
                          * CORPUS_UNLABELED */
    enum image_reason why; /* IMAGE_OK, or why the pixels are zero (skip_bad) */
};

/**
 * The caller's source of rows, called from one feed thread, in order. target: the row's
 * (classes) f32 to fill (NULL if config.classes is 0).
 * Sets *more to false at the end (item untouched) and is not called again. It may block, but must
 * return before feed_destroy can.
 */
typedef enum rc feed_source(void *ctx, struct feed_item *item, float *target, bool *more,
                            struct err *e);

struct feed_config {
    struct corpus *corpora[FEED_MAX_CORPORA]; /* borrowed; [1] may be NULL */
    struct augment augment[FEED_MAX_CORPORA];
    struct image_eval eval;
    uint64_t seed;       /* of the noise */
    int batch;           /* rows */
    int depth;           /* batches in flight: 0 chooses */
    int threads;         /* decoders: 0 chooses */
    int readers;         /* shards kept open: 0 chooses (32); at least two windows of each order */
    int classes;         /* width of target rows; 0 none */
    bool skip_bad;       /* an undecodable record gives zero pixels and .why; else an error */
    bool trust;          /* shards' digests were checked already */
    feed_source *source;
    void *ctx;
};

/** A batch: borrowed until feed_return. n <= config.batch rows; the last may be short. */
struct feed_batch {
    int n;
    uint64_t index;            /* 0, 1, 2, ... */
    const uint8_t *pixels;     /* (batch, size, size, channels) */
    const float *target;       /* (batch, classes) or NULL */
    const struct feed_item *items;
    int slot;                  /* the feed's */
};

NODISCARD enum rc feed_create(const struct feed_config *c, struct feed **out, struct err *e);
/** Stops the threads; NULL is fine. */
void feed_destroy(struct feed *f);
/** The next batch in order, waiting if need be; *more false at the end. The first error of a worker
 * surfaces here. */
NODISCARD enum rc feed_next(struct feed *f, struct feed_batch *out, bool *more, struct err *e);
/** The pixels of the batch that feed_next would give, if it is whole already, else NULL. Never waits;
 * the batch stays the feed's. They are the same when it is given, and until it is returned. */
const uint8_t *feed_peek(struct feed *f);
void feed_return(struct feed *f, const struct feed_batch *b);
/** Seconds that feed_next has waited so far. */
double feed_waited(const struct feed *f);
/** Turns (true): decoders work only while feed_next waits for a batch, so that compute between two
 * calls has the cores for itself; at most the rows under way are finished beside it. False: they
 * work on. */
void feed_pause(struct feed *f, bool paused);

#endif

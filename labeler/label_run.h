/**
 * The distributed labeling loop: shards are pulled from the work service, decoded by a feed, labeled
 * by a predictor in batches of one fixed size, committed batch by batch and sealed.
 *
 * The next shard is asked for and opened (its digest checked, its first pixels decoded) while the
 * last batches of the current one are computed, so a rank does not wait between shards, and a slow
 * rank holds no shard longer than it must.
 */
#ifndef PRECEPTOR_LABEL_RUN_H
#define PRECEPTOR_LABEL_RUN_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/trace.h"
#include "common/base/watch.h"
#include "common/image/image.h"
#include "labeler/work.h"
#include "shards/label_store.h"

/** The threads of the loop that a job's watchdog watches. */
enum { LABEL_WATCH_LOOP, LABEL_WATCH_AHEAD };

/** What turns pixels into probabilities. */
struct label_predictor {
    /* pixels (batch, size, size, channels) -> probs (batch, n_classes), each row summing to 1 and
     * independent of the others */
    enum rc (*run)(void *ctx, const uint8_t *pixels, float *probs, struct err *e);
    void *ctx;
    int batch;
    /* who knows the pixels of the run after the one that computes (net_ask_ahead); NULL: not wanted */
    void (*ask_ahead)(void *ctx, const uint8_t *(*coming)(void *of), void *of);
};

struct label_job {
    struct work *work;                   /* everybody has entered; rank 0 has offered the shards */
    struct coll *control;
    struct corpus *corpus;
    const struct label_lineage *lineage;
    const char *dir;                     /* labels/<digest>, there already */
    struct image_eval eval;
    struct label_predictor predictor;
    struct label_predictor auditor;      /* f32; used where audit > 0 */
    int audit;                           /* images of a shard that are labeled in f32 too */
    double max_drift;                    /* of a shard's audit: above it the shard is not sealed */
    int decoders;                        /* threads of a feed; 0 lets it choose */
    bool take_turns;                     /* decoders rest while the predictor runs */
    struct trace *trace;                 /* of the first batches; NULL: none */
    struct watch *watch;           /* NULL: no watchdog */
    const volatile sig_atomic_t *stop;
};

/** Shards of the corpus that have no sealed label shard in dir, and their images.
 * items  (corpus_shards)  filled
 * n      how many of items were filled */
void label_missing(const struct corpus *corpus, const char *dir, int *items, int *n,
                   int64_t *images);

/**
 * Label shards until all are done. An image that cannot be decoded has a label that says nothing, and
 * its shard says why (label_writer_bad). images_left: of label_missing (rank 0; for the progress line).
 * counts: what this rank did, filled in any case.
 * RC_REQUEUE  asked to stop: the batch was committed
 * RC_INVAL    a shard's labels drift too far from f32's (named): its labels stay, unsealed
 * RC_CORRUPT  a shard is damaged (named)
 * RC_IO, RC_NOMEM, RC_LIB, RC_PEER; what is committed stays
 */
NODISCARD enum rc label_run(const struct label_job *job, int64_t images_left,
                            struct work_counts *counts, struct err *e);

#endif

/**
 * Progress of training, in images: a step may be thousands of images, so it moves with every
 * micro-batch of this rank, and the rate and the time left are known before the first step ends.
 */
#ifndef PRECEPTOR_TRAIN_PROGRESS_H
#define PRECEPTOR_TRAIN_PROGRESS_H

#include "common/base/progress.h"
#include "common/train/trainer.h"

struct train_progress {
    struct progress line;
    trainer_source *source; /* of the micro-batches, with its ctx */
    void *ctx;
    int64_t steps;            /* of the whole run */
    int64_t images;           /* of a step, all ranks, labeled and not */
    int first_micro, n_micro; /* this rank's micro-batches of each step */
    char detail[128];
};

/** what: "train" or "student", the caller's storage while in use. first: the step that this process
 * begins at. The fields above are set but line and detail. */
void train_progress_begin(struct train_progress *p, const char *what, int64_t first);

/** A trainer_source around p->source; ctx is a struct train_progress. */
NODISCARD enum rc train_progress_next(void *ctx, int64_t step, int micro, struct trainer_batch *out,
                                      struct err *e);

/** steps: done so far. seconds: of the last one. */
void train_progress_step(struct train_progress *p, int64_t steps, const struct trainer_stats *s,
                         double seconds);
void train_progress_end(struct train_progress *p);

#endif

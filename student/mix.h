/**
 * The mix: which images stand in each row of each micro-batch, and what their targets are.
 *
 * Step t takes labeled items [t*L, (t+1)*L) and unlabeled items [t*U, (t+1)*U) of two endless orders;
 * micro-batch m of a step takes slice m of each, labeled rows first. So the step number alone gives
 * the position in both streams and any number of ranks sees the same batches (design.md section 3).
 * Targets: smoothed one-hot for labeled rows; the teacher's soft label, sharpened, for the others
 * (Noisy Student section 3), joined by the image's key.
 */
#ifndef PRECEPTOR_MIX_H
#define PRECEPTOR_MIX_H

#include "common/train/trainer.h"
#include "shards/feed.h"
#include "shards/label_store.h"
#include "shards/selection.h"
#include "student/train_config.h"

struct mix;

struct mix_config {
    const struct train_config *train; /* borrowed, like the stores */
    struct corpus *labeled;
    struct corpus *unlabeled;        /* NULL: supervised */
    struct label_store *labels;      /* of unlabeled */
    struct selection *selection;     /* NULL: every image of unlabeled once an epoch */
    struct image_eval eval;          /* of the pixels, without noise */
    struct augment augment;
    struct train_rows rows;
    int classes;
    int first_micro, n_micro;        /* this rank's micro-batches of each step */
    int64_t first_step, steps;       /* [first_step, steps) */
    int threads;                     /* decoders; 0 chooses */
    bool take_turns;                 /* decoders rest between two calls of mix_next */
};

NODISCARD enum rc mix_create(const struct mix_config *c, struct mix **out, struct err *e);
void mix_destroy(struct mix *m);

/** trainer_source: this rank's next micro-batch, in order; the arrays are borrowed until the next
 * call. ctx is the mix. RC_CORRUPT names a shard or an image without a pseudo-label. */
NODISCARD enum rc mix_next(void *ctx, int64_t step, int micro, struct trainer_batch *out,
                           struct err *e);

/** Pixels of the coming micro-batch if they are decoded already, else NULL (trainer_ask_ahead). of is
 * the mix. */
const uint8_t *mix_peek(void *of);

/** Seconds spent waiting for pixels so far. */
double mix_waited(const struct mix *m);

/** Sum of the loss weights of a step over all ranks, by the recipe's loss_norm: trainer_step's norm. */
double mix_norm(const struct train_config *c, const struct train_rows *rows);

#endif

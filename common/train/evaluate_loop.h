/**
 * The evaluation loop: an inference network over a rank's share of images, summed over ranks.
 */
#ifndef PRECEPTOR_EVALUATE_LOOP_H
#define PRECEPTOR_EVALUATE_LOOP_H

#include "common/train/evaluate.h"

/** Gives the next n <= batch rows: pixels (batch, ...) and classes; n = 0 at the end. */
typedef enum rc evaluate_source(void *ctx, const uint8_t **pixels, const int32_t **cls, int *n,
                                struct err *e);

/** Rank r of R evaluates [*from, *to) of n images: N*r/R. */
void evaluate_split(uint64_t n, int rank, int size, uint64_t *from, uint64_t *to);

/**
 * Run the net (inference, loaded) over the source and finish v over all ranks (collective; the outcome
 * is agreed on). progress: "eval" text, or NULL for none; total: this rank's images.
 * RC_CORRUPT an image without a class, or a class that the model has not got.
 */
NODISCARD enum rc evaluate_net(struct net *net, int batch, evaluate_source *source, void *ctx,
                               const char *progress, uint64_t total, struct coll *c,
                               struct evaluation *v, struct err *e);

#endif

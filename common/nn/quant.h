/**
 * Post-training calibration: what the 8 bits of each activation of an int8 network stand for, found by
 * running the f32 network over images and watching its values.
 *
 * An activation behind a ReLU is u8 with one range for the whole tensor: the top that makes the mean
 * squared error of rounding and clamping least over the values seen. What only our own kernels read
 * (the third convolution of a block, the shortcut's, the last block's output) has a range for each
 * channel: the largest magnitude seen.
 *
 * Determinism: counts and maxima alone, so the order and the batches of the images do not matter, and
 * the f32 network's bits depend on neither ranks nor threads.
 */
#ifndef PRECEPTOR_QUANT_H
#define PRECEPTOR_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/nn/family.h"

enum { QUANT_NAME_MAX = 64 };

struct quant_range {
    char name[QUANT_NAME_MAX]; /* the plan's of the f32 network: "layer1.0.conv1", "layer1.0.join" */
    int n;                     /* 1: of the whole tensor; else its channels */
    float *top;                /* (n) what the largest 8-bit value stands for; 0 where all is 0 */
};

struct quant {
    struct quant_range *ranges; /* in the order of running */
    int n_ranges;
    float *tops;
    size_t n_tops;
};

/** The ranges that a model's int8 network needs, all 0. RC_NOMEM. */
NODISCARD enum rc quant_create(const struct nn_model *m, struct quant **out, struct err *e);
void quant_destroy(struct quant *q);
/** The range of this name, or NULL. */
const struct quant_range *quant_find(const struct quant *q, const char *name);

struct quant_watch;

NODISCARD enum rc quant_watch_create(struct quant *q, struct quant_watch **out, struct err *e);
void quant_watch_destroy(struct quant_watch *w);
/** A net_observe_fn: count what a plan has written, if it is a range's. values (rows, channels) f32.
 * RC_INVAL: one of them is not finite (the plan is named). */
NODISCARD enum rc quant_watch_see(void *watch, const char *name, const float *values, size_t rows,
                                  int channels, struct err *e);
/** Fill the tops from all that was seen. */
void quant_watch_finish(const struct quant_watch *w);

#endif

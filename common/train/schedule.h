/**
 * Learning-rate schedules and EMA decay as TensorFlow computes them.
 * Source: TF Model Garden lr_schedule.py (linear warm-up into cosine), tpu resnet_main.py (steps);
 * parity-facts: C(s) = lr/2 * (1 + cos(pi * min(s, steps)/steps)); s < warmup: s/warmup * C(warmup).
 */
#ifndef PRECEPTOR_SCHEDULE_H
#define PRECEPTOR_SCHEDULE_H

#include <stdint.h>

enum schedule_kind { SCHEDULE_COSINE, SCHEDULE_STEP, SCHEDULE_CONSTANT };

struct schedule {
    enum schedule_kind kind;
    double lr;        /* peak, after linear scaling with the batch */
    int64_t steps;    /* of the run */
    int64_t warmup;   /* steps */
};

/** The rate used by step s (0-based). SCHEDULE_STEP: TF1's, /10 at 30/90, 60/90, 80/90 of the run. */
double schedule_lr(const struct schedule *s, int64_t step);

/** min(decay, (1+t)/(10+t)), t counted after the optimizer's step (first update: t = 1). */
double schedule_ema_decay(double decay, int64_t t);

#endif

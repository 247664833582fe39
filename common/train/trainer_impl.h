/** The trainer from within: its step (trainer_step.c) and its life (trainer.c). */
#ifndef PRECEPTOR_TRAINER_IMPL_H
#define PRECEPTOR_TRAINER_IMPL_H

#include "common/train/trainer.h"

/* Flat device buffers of n_total floats (momentum: n_trainable). */
enum trainer_flat { FLAT_WEIGHTS, FLAT_EMA, FLAT_MOMENTUM, FLAT_GRADS, FLAT_N };

/* Parameters [from, to), whole views, which one OP_SGD updates before their weights are packed: few
 * enough to be in the cache still. */
struct trainer_slice {
    struct plan *sgd;
    size_t from, to;
    bool decayed;
};

struct trainer {
    struct device *dev;
    struct coll *coll;
    struct trainer_config config;
    struct net *net;
    const struct params *params;
    float *flat[FLAT_N];          /* device; FLAT_EMA is NULL without EMA */
    float *mirror[FLAT_N];        /* host copies, where the device's memory is not the host's */
    struct trainer_slice *slices; /* of all trainables, in order */
    int n_slices;
    float *stats[3];              /* host: staging of the BN part of weights, EMA and gradients */
    float *keep, *dropout, *loss; /* host: of one micro-batch */
    struct plan *squares[2];      /* OP_SQUARES of the gradient's trainables and of its BN part */
    double *squared;              /* device: what they find */
    int tickets[COLL_MAX_PENDING];
    size_t bucket_from[COLL_MAX_PENDING], bucket_to[COLL_MAX_PENDING]; /* floats of each ticket */
    int n_tickets;
    size_t bucket_floats;
    int64_t steps, skipped;
    struct trace *trace;          /* borrowed; NULL: none */
    char bad_rows[256];           /* this step's rows whose loss is not finite */
};

/** A flat buffer as host memory: itself, or its mirror, filled. NULL: out of memory, or the device
 * failed. */
float *trainer_host(const struct trainer *t, enum trainer_flat which);

/** This rank's noise for a micro-batch, into t->keep and t->dropout (trainer_noise.c). */
void trainer_noise_draw(struct trainer *t, const struct trainer_batch *b, int64_t step);
/** Stochastic depth's rate of the i-th block. */
double trainer_noise_rate(const struct trainer *t, int block);

#endif

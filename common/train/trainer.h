/**
 * Data-parallel training: weights, momentum, EMA and gradients in flat buffers; a step runs this
 * rank's micro-batches, averages gradients over all ranks in buckets while backward still runs, and
 * updates in one pass. Micro-batches of fixed size are the BN groups, so any number of ranks gives
 * the same step up to the order of sums (design.md 7.4, 7.5).
 *
 * Source: ResNet-RS section 4.2, Noisy Student section 3; Nesterov and coupled L2 as torch.optim.SGD.
 */
#ifndef PRECEPTOR_TRAINER_H
#define PRECEPTOR_TRAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/coll/coll.h"
#include "common/nn/net.h"
#include "common/train/schedule.h"

struct trainer;

struct trainer_config {
    struct net_config net;    /* .batch is the micro-batch, .training is set by the trainer */
    int micro_batches;        /* of one step, over all ranks; >= ranks is advised, any number works */
    struct schedule schedule;
    double momentum;          /* 0.9 */
    bool nesterov;
    double weight_decay;      /* coupled L2 on PARAM_WEIGHT */
    bool decay_biases;        /* TF1's: PARAM_BIAS (SE, fc) too; BN never */
    double bn_momentum;       /* running = (1-m)*running + m*batch, torch's sense (0.1); the paper's 0.0
                                 in TF's sense is 1.0 here */
    double ema_decay;         /* 0: no EMA */
    double dropout;           /* before fc */
    double drop_path;         /* stochastic depth of the last block; linear from 0 (timm) */
    bool drop_path_per_stage; /* TF: rate * (stage + 2)/5 for all blocks of a stage */
    double clip_norm;         /* 0: off */
    bool skip_nonfinite;      /* skip the step instead of stopping */
    uint64_t seed;
    double fc_std;            /* of the head's initialisation */
};

/** One micro-batch; host pointers, borrowed for the call. */
struct trainer_batch {
    const uint8_t *pixels;       /* (batch, size, size, channels) */
    const float *target;         /* (batch, classes) */
    const float *weight;         /* (batch) loss weights; the step's loss is their weighted sum divided
                                    by norm */
    const struct key128 *keys;   /* (batch) and */
    const uint32_t *copies;      /* (batch): key the noise streams */
    const float *keep;           /* (blocks, batch) injected masks, or NULL: drawn */
    const float *dropout;        /* (batch, features) injected, or NULL: drawn */
};

/** Gives micro-batch m (0-based, of the step) of this rank. */
typedef enum rc trainer_source(void *ctx, int64_t step, int m, struct trainer_batch *out,
                               struct err *e);

struct trainer_stats {
    double loss;        /* sum of weighted row losses over all ranks / norm */
    double lr;
    double grad_norm;   /* of the averaged gradient (all trainables), before clipping */
    bool skipped;       /* a non-finite step that was skipped */
    double compute_s, wait_comm_s, wait_input_s;
};

/** dev and coll (data instance) are borrowed. Parameters are initialised from the seed. */
NODISCARD enum rc trainer_create(struct device *dev, struct coll *coll,
                                 const struct trainer_config *c, struct trainer **out,
                                 struct err *e);
void trainer_destroy(struct trainer *t);

/** Micro-batches [first, first + count) of a step belong to this rank: M*r/R. */
void trainer_split(const struct trainer *t, int *first, int *count);

/**
 * One step. norm divides the summed loss and gradients (the global sum of weights, equal on all ranks).
 * Collective: all ranks call it; errors are agreed on, so every rank returns alike (RC_PEER where
 * another failed). RC_CORRUPT a loss or gradient is not finite: the sentence names layer and the image
 * keys of the worst rows; weights, momentum and EMA are as before the step.
 */
NODISCARD enum rc trainer_step(struct trainer *t, trainer_source *source, void *ctx, double norm,
                               struct trainer_stats *out, struct err *e);

/** Steps done: the next step's number. Restored from a checkpoint. */
int64_t trainer_steps(const struct trainer *t);
/** Steps skipped so far in this process because they were not finite (skip_nonfinite). */
int64_t trainer_skipped(const struct trainer *t);
const struct params *trainer_params(const struct trainer *t);
/** Flat host buffers, n_total floats, as they are now: raw weights with running statistics; EMA of
 * both (the weights themselves when there is no EMA). Valid until the next step or the next call for
 * the same buffer; NULL when the device fails. */
const float *trainer_weights(const struct trainer *t);
const float *trainer_ema(const struct trainer *t);
const float *trainer_momentum(const struct trainer *t); /* n_trainable floats */
/** Replace the state (resume, or init from another model: momentum NULL zeroes it, ema NULL copies
 * the weights). steps: as trainer_steps. */
NODISCARD enum rc trainer_restore(struct trainer *t, const float *weights, const float *ema,
                                  const float *momentum, int64_t steps, struct err *e);
const struct net *trainer_net(const struct trainer *t);
/** Who knows the pixels of the coming micro-batch while one is computed: net_ask_ahead. */
void trainer_ask_ahead(struct trainer *t, net_coming_fn *fn, void *ctx);
/** Spans of the steps from now on into trace (borrowed; NULL: none): those of net_trace, and waits for
 * input and other ranks, the gradient's norm, the update. */
void trainer_trace(struct trainer *t, struct trace *trace);

#endif

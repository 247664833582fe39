/**
 * The executable network: an ordered list of plans over one memory plan, for a fixed batch, size and
 * mode. Built once; a steady step allocates nothing.
 */
#ifndef PRECEPTOR_NET_H
#define PRECEPTOR_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/trace.h"
#include "common/device/device.h"
#include "common/nn/params.h"
#include "common/nn/quant.h"

struct net;

struct net_config {
    struct nn_model model;
    int batch;
    int size;            /* square input */
    enum dtype type;     /* of activations and packed weights: DT_F32, DT_BF16; DT_F64
                            in training on ref; DT_U8: inference in int8, by quant */
    const struct quant *quant; /* DT_U8: the model's calibration; borrowed until net_destroy */
    bool whole;          /* inference without lanes: for net_observe */
    bool training;       /* BN by batch statistics, saved activations, backward */
    bool with_keep;        /* training: net_targets.keep is applied (stochastic depth) */
    bool with_dropout;     /* training: net_targets.dropout is applied */
    float mean[3], std[3]; /* of pixel/255; index by channel */
};

/** What a training pass needs beside the pixels: all host pointers, batch rows. */
struct net_targets {
    const float *target;   /* (batch, classes) soft labels, smoothed already */
    const float *weight;   /* (batch) of each row's loss; 0 masks a row */
    const float *keep;     /* (blocks, batch) stochastic depth: 0 or 1/(1-rate); with_keep only */
    const float *dropout;  /* (batch, features) 0 or 1/(1-rate); with_dropout only */
};

/** Compile the plans for dev (borrowed). Inference on several threads of the cpu backend is cut into
 * lanes, networks of a part of the batch and of the threads each, which share packed weights; plans,
 * profile and trace are then those of the first lane. RC_NOMEM, RC_LIB, RC_INVAL (size too small,
 * named), RC_UNSUPPORTED (int8 on a device without it, named). */
NODISCARD enum rc net_create(struct device *dev, const struct net_config *c, struct net **out,
                             struct err *e);
void net_destroy(struct net *n);

/** Inference: pack f32 parameters (host, n_total floats) into the plans, BN folded. */
NODISCARD enum rc net_load(struct net *n, const float *params, struct err *e);

/** Inference: pixels (batch, size, size, channels) u8 on the host -> logits (batch, classes) f32 on
 * the host. A partial batch is padded by the caller. Labels do not depend on the batch it fell in. */
NODISCARD enum rc net_infer(struct net *n, const uint8_t *pixels, float *logits, struct err *e);

/** Asked in a pass, once all of it is queued: the pixels of the coming pass, where they are there
 * already, else NULL. They are copied to the device beside the pass and stay untouched until their own
 * pass has ended. Never asked where the device's memory is the host's. fn NULL: nobody is asked. Each
 * call forgets what was copied ahead. */
typedef const uint8_t *net_coming_fn(void *ctx);
void net_ask_ahead(struct net *n, net_coming_fn *fn, void *ctx);

/** Called with what each plan of an f32 inference has written: values (rows, channels). Devices that
 * compute on the host alone (device_is_host), networks made whole. NULL switches it off. */
typedef enum rc net_observe_fn(void *ctx, const char *name, const float *values, size_t rows,
                               int channels, struct err *e);
void net_observe(struct net *n, net_observe_fn *fn, void *ctx);

/** Softmax of logits rows in f64, stored f32: what labels are made of. */
void net_softmax(const float *logits, int rows, int classes, float *probs);

/* ---- training ------------------------------------------------------------------------------ */

/** Where parameters and gradients live: device memory of n_total floats each, borrowed. Before the
 * first net_refresh and net_train. */
void net_bind(struct net *n, float *params, float *grads);

/** Pack the bound parameters into the plans: after each change of them. */
NODISCARD enum rc net_refresh(struct net *n, struct err *e);
/** The same for the plans whose last parameter (bias, else weights) lies in [from, to) of the params:
 * while what has just changed them is in the cache. */
NODISCARD enum rc net_refresh_range(struct net *n, size_t from, size_t to, struct err *e);

/**
 * Forward, loss and backward of one micro-batch (one BN group). The bound gradients are added to:
 * the trainables' by d sum(loss), their BN part by this batch's mean and unbiased variance.
 * loss   (batch) host: each row's weighted loss; logits (batch, classes) host, or NULL
 * RC_OK says nothing of finiteness: that is the trainer's check.
 */
NODISCARD enum rc net_train(struct net *n, const uint8_t *pixels, const struct net_targets *t,
                            float *loss, float *logits, struct err *e);

/** Called as soon as what the main queue holds computes the last of the gradients of params [from, to):
 * buckets of at least bucket_floats weights, from the last layer to the first, then the rest
 * (biases, BN, statistics). Equal boundaries on every rank. NULL switches it off. */
typedef enum rc net_bucket_fn(void *ctx, size_t from, size_t to, struct err *e);
void net_on_bucket(struct net *n, net_bucket_fn *fn, void *ctx, size_t bucket_floats);
/** Call for the buckets that net_train has not called for yet: all of them when it did not run
 * (a rank without a micro-batch), what is left when it failed. */
NODISCARD enum rc net_flush_buckets(struct net *n, struct err *e);

const struct params *net_params(const struct net *n);
int net_blocks(const struct net *n);   /* rows of net_targets.keep */
int net_features(const struct net *n); /* width of net_targets.dropout */

struct net_memory {
    size_t activations; /* bytes of the memory plan */
    size_t lower_bound; /* most bytes alive at once: no plan can need less */
    size_t weights;     /* packed copies */
    size_t buffers;     /* pixels, targets, logits */
};
void net_memory(const struct net *n, struct net_memory *out);
double net_flops(const struct net *n); /* of one run (forward, or forward and backward) */

/** Where the first thing that is not finite stands in grads (host, n_total): a BN's batch statistics
 * in forward order (the forward pass went wrong there), else a gradient from the last layer to the
 * first; NULL when all is finite. */
const char *net_find_nonfinite(const struct net *n, const float *grads);

/** A line per plan: name, shape, implementation; for --profile and the no-`ref`-code test. */
int net_plans(const struct net *n);
const char *net_plan_describe(const struct net *n, int i);

/** What a plan's time counts as: "convolution forward", "convolution d-data", "convolution d-weights",
 * "batch norm", "SE", "join", "pool", "pixels", "loss", "dropout". */
const char *net_plan_category(const struct net *n, int i);

/** Times of plans: when on, each plan_run is timed and synced; totals by plan. */
void net_profile(struct net *n, bool on);
double net_plan_seconds(const struct net *n, int i);

/** A span of the trace (borrowed; NULL: none) for each plan, synced, each copy of what goes in and
 * each packing of weights ("reorder": nothing else is reordered, since activations are NHWC). */
void net_trace(struct net *n, struct trace *t);

#endif

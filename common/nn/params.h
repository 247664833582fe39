/**
 * Parameters: one flat f32 host buffer with named, 64-byte aligned views (design.md 7.6).
 * Layout: [decayed weights | biases of SE and fc | BN gamma, beta | BN mean, var]. Everything before
 * n_trainable has a gradient; a gradient buffer has n_total floats too: its BN part carries the
 * batch statistics to be averaged (design.md 7.5). Weights are O,H,W,I here and O,I,H,W in timm.
 */
#ifndef PRECEPTOR_PARAMS_H
#define PRECEPTOR_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/nn/family.h"

enum param_kind {
    PARAM_WEIGHT,   /* conv, SE and fc kernels (o, h, w, i) */
    PARAM_BIAS,     /* of SE and fc */
    PARAM_GAMMA, PARAM_BETA, /* BN weight and bias */
    PARAM_MEAN, PARAM_VAR    /* BN running statistics: not trainable */
};

enum { PARAM_NAME_MAX = 64 };

struct param_view {
    char name[PARAM_NAME_MAX]; /* timm's: "layer1.0.conv1.weight" */
    enum param_kind kind;
    int o, h, w, i;    /* weights; others have o alone (h = w = i = 1) */
    int timm_dims;     /* 4, 2 (fc.weight) or 1 in timm */
    size_t offset;     /* floats from the start */
    size_t n;          /* floats */
};

struct params {
    struct nn_model model;
    struct param_view *views; /* in timm's state_dict order (num_batches_tracked left out) */
    int n_views;
    size_t n_decayed;   /* [0, n_decayed): PARAM_WEIGHT */
    size_t n_biased;    /* [n_decayed, n_biased): PARAM_BIAS */
    size_t n_trainable; /* [n_biased, n_trainable): PARAM_GAMMA, PARAM_BETA */
    size_t n_total;     /* [n_trainable, n_total): PARAM_MEAN, PARAM_VAR */
};

/** The layout of a model's parameters. RC_INVAL for a model that cannot be (named); RC_NOMEM. */
NODISCARD enum rc params_create(const struct nn_model *m, struct params **out, struct err *e);
void params_destroy(struct params *p);
/** The view with this name, or NULL. */
const struct param_view *params_find(const struct params *p, const char *name);

/** A zeroed flat buffer of n_total floats on the host (mem_free); NULL when out of memory. */
float *params_buffer(const struct params *p);

/** Initialise (timm's: kaiming normal fan-out, BN 1/0 with the last gamma of each block 0, running
 * mean 0 and var 1, biases 0, fc N(0, fc_std)). Each tensor's draws are keyed by its name. */
void params_init(const struct params *p, uint64_t seed, double fc_std, float *buffer);

#endif

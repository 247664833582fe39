/**
 * A network as data: values (tensors), nodes (operations on them) in the order of running, and the
 * memory plan. Nothing here runs.
 */
#ifndef PRECEPTOR_GRAPH_IMPL_H
#define PRECEPTOR_GRAPH_IMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/device/device.h"
#include "common/nn/params.h"
#include "common/nn/quant.h"

/** Where a value lives. */
enum graph_home {
    GRAPH_PLANNED, /* in the memory plan, while it is needed */
    GRAPH_PARAM,   /* at: floats from the start of the parameters */
    GRAPH_GRAD,    /* ... of the gradients */
    GRAPH_STATS,   /* ... of the batch statistics, laid out as the parameters' BN part */
    GRAPH_AFFINE,  /* ... of the folded BNs and biases (graph_node.affine) */
    GRAPH_BUFFER   /* a buffer of its own: at is an enum graph_buffer; rows are at + skip bytes */
};

/** What goes in and out of a pass. */
enum graph_buffer {
    BUFFER_PIXELS,
    BUFFER_LOGITS,
    BUFFER_TARGET,
    BUFFER_WEIGHT,
    BUFFER_LOSS,
    BUFFER_KEEP,
    BUFFER_DROPOUT,
    BUFFER_N
};

struct graph_value {
    enum graph_home home;
    size_t at;           /* planned: bytes from the start of the plan (graph_plan_memory) */
    size_t skip;         /* GRAPH_BUFFER: bytes */
    size_t bytes;        /* planned */
    int first, last;     /* nodes: first and last use */
    int h, w, c;         /* of an activation */
    bool constant;       /* needs no gradient */
};

enum { GRAPH_NAME_MAX = 64, GRAPH_NONE = -1 };

struct graph_node {
    char name[GRAPH_NAME_MAX]; /* "layer1.0.conv1", backward: "layer1.0.conv1 dx" */
    struct op_desc op;
    int args[PLAN_MAX_ARGS];   /* values; GRAPH_NONE: NULL */
    int n_args;
    /* OP_CONV and its backward: what is packed and accumulated. bn: gamma of the BN folded into it,
     * whose beta, mean and var are the next views; NULL: none. */
    const struct param_view *weight, *bias, *bn;
    size_t affine;             /* inference: scale (k) and shift (k) from here, in floats */
    /* 8-bit operations: what x, the shortcut and y stand for; NULL: they are floats. Borrowed. */
    const struct quant_range *x_range, *shortcut_range, *y_range;
};

struct graph {
    struct graph_value *values;
    struct graph_node *nodes;
    int n_values, n_nodes;
    int max_values, max_nodes;
    bool out_of_memory;   /* sticky: checked once, when all is built */
    int n_forward;        /* nodes of the forward pass; the rest is backward */
    size_t affine_floats;
    size_t buffer_bytes[BUFFER_N];
    size_t planned_bytes, lower_bound;
};

void graph_release(struct graph *g);

/** Append; the index, or 0 with g->out_of_memory set. */
int graph_add_value(struct graph *g, const struct graph_value *v);
/** A planned activation (n, h, w, c). */
int graph_add_planned(struct graph *g, int n, int h, int w, int c, enum dtype type);
int graph_add_at(struct graph *g, enum graph_home home, size_t at);
/** Copies node; the node's place, or NULL with g->out_of_memory set. */
struct graph_node *graph_add_node(struct graph *g, const struct graph_node *node);

/** First and last uses, then a place for every planned value so that no two alive at once overlap;
 * planned_bytes and lower_bound (most bytes alive at one node). RC_NOMEM. */
NODISCARD enum rc graph_plan_memory(struct graph *g, struct err *e);

#endif

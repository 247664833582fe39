/**
 * The graph of a network: nodes (one operation each, in running order) over values (tensors in one
 * memory plan). Private to common/nn.
 */
#ifndef PRECEPTOR_GRAPH_IMPL_H
#define PRECEPTOR_GRAPH_IMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/device/device.h"

/** Where an argument's address comes from. */
enum arg_kind { ARG_NULL, ARG_VALUE, ARG_PARAM, ARG_GRAD, ARG_IO };

/** Buffers of fixed place beside the memory plan. */
enum graph_io { IO_PIXELS, IO_TARGET, IO_WEIGHT, IO_LOSS, IO_KEEP, IO_DROPOUT, IO_N };

struct graph_arg {
    enum arg_kind kind;
    int index;     /* value or graph_io */
    size_t offset; /* floats into params or grads; bytes into an io */
};

enum { GRAPH_NONE = -1 };

struct graph_node {
    struct op_desc op;
    struct plan *plan;
    struct graph_arg args[PLAN_MAX_ARGS];
    int n_args;
    /* Packing: offsets into the parameters, or GRAPH_NONE. */
    long weights, bias;
    long gamma, beta, mean, var; /* BN to fold into the weights and bias */
    double seconds;
    size_t ready; /* training: gradients of [ready, ...) are final after this node; see net.c */
};

struct graph_value {
    size_t bytes;
    int first, last; /* nodes that touch it */
    size_t offset;   /* in the memory plan */
};

struct graph {
    struct graph_node *nodes;
    int n_nodes, cap_nodes;
    struct graph_value *values;
    int n_values, cap_values;
    size_t plan_bytes, lower_bound;
};

void graph_release(struct graph *g);
/** A new value of the given bytes; its index, or RC_NOMEM. */
NODISCARD enum rc graph_value(struct graph *g, size_t bytes, int *out, struct err *e);
/** Set a value's size, before the memory is planned. */
void graph_resize(struct graph *g, int value, size_t bytes);
/** Compile op and append it. The node's address is valid until the next append. */
NODISCARD enum rc graph_append(struct graph *g, struct device *dev, const struct op_desc *op,
                               const struct graph_arg *args, int n_args, struct graph_node **out,
                               struct err *e);
/** Give every value its place: lifetimes from the nodes, largest first, best fit. */
NODISCARD enum rc graph_plan_memory(struct graph *g, struct err *e);

#endif

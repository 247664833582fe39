/** The executable network's parts, shared by its builder and its runner. Private to common/nn. */
#ifndef PRECEPTOR_NET_IMPL_H
#define PRECEPTOR_NET_IMPL_H

#include "common/nn/graph_impl.h"
#include "common/nn/net.h"

/** A BN layer of a training network: where its batch statistics land after the forward pass. */
struct net_stats {
    size_t mean, var; /* offsets in the parameter layout */
    double unbias;    /* n/(n-1) */
    size_t c;
};

struct net {
    struct net_config c;
    struct device *dev;
    struct params *params;
    struct graph graph;
    int n_forward; /* nodes of the forward pass; the loss is the last of them in training */
    int logits;    /* value */
    int blocks, features, in_channels;
    struct net_stats *stats;
    int n_stats;
    char *memory;      /* the memory plan */
    float *weights;    /* device copy of the parameters */
    float *grads;      /* device gradients; BN part: this batch's statistics */
    char *io[IO_N];
    size_t io_bytes[IO_N];
    size_t packed;
    double flops;
    bool profile;
    net_bucket_fn *bucket;
    void *bucket_ctx;
    size_t bucket_floats;
};

/** Emit all nodes and plan the memory. */
NODISCARD enum rc net_build(struct net *n, struct err *e);

#endif

/**
 * The executable network from within: the builder of forward nodes, the builder of backward nodes,
 * the network itself.
 */
#ifndef PRECEPTOR_NET_IMPL_H
#define PRECEPTOR_NET_IMPL_H

#include "common/nn/graph_impl.h"
#include "common/nn/net.h"

struct net_build {
    struct graph *graph;
    const struct params *params;
    const struct net_config *config;
    int input_channels; /* what the device wants of the first layer's input */
    bool fused;         /* bias and ReLU within the convolution; else OP_BN_INFER behind it */
    bool joins;         /* training: a block's tail in OP_BN_POOL and OP_BN_JOIN; else in parts */
};

/** Emit the forward pass; for training also the loss (net_forward.c). */
void net_forward_build(const struct net_build *b);
/** Parts of it, for the int8 forward (net_quant.c): pixels to floats; a convolution; the gate of pooled
 * values; the logits of pooled values. how: NET_* flags. They return the value made. */
enum { NET_BIAS = 1, NET_RELU = 2, NET_WIDE = 4 /* the output in f32 */ };
int net_forward_pixels(const struct net_build *b);
int net_forward_conv(const struct net_build *b, const char *layer, int x, int stride,
                     const struct param_view *bn, unsigned how);
int net_forward_gate(const struct net_build *b, const char *block, int pooled);
int net_forward_logits(const struct net_build *b, int pooled);
const struct param_view *net_forward_view(const struct net_build *b, const char *layer,
                                          const char *part);
void net_forward_emit(const struct net_build *b, const char *name, struct graph_node *node,
                      int n_args);

/** Emit the forward pass in int8; b->config says DT_F32, for what stays in floats (net_quant.c). */
void net_quant_build(const struct net_build *b, const struct quant *q);
/** Whether every range of q is there for the model. RC_INVAL names what is not. */
NODISCARD enum rc net_quant_check(const struct net_config *c, struct err *e);
/** What net_load computes for an 8-bit node: its factors, or a convolution's scale (k) and shift (k),
 * folded already, in the units of x and y. */
void net_quant_fold(const struct graph_node *node, float *affine);

/** Emit the backward pass of the nodes that are there (net_backward.c). RC_NOMEM. */
NODISCARD enum rc net_backward_build(const struct net_build *b, struct err *e);

struct net_lanes; /* net_lanes.c */

struct net_stage; /* net_stage.c */

struct net {
    struct device *dev;
    struct net_config config;
    struct net_lanes *lanes;   /* NULL: none; else they have all the rest but params */
    struct params *params;
    struct graph graph;
    struct plan **plans;       /* of each node; nodes of equal stateless operations share one */
    char **describe;           /* of each node */
    void *(*args)[PLAN_MAX_ARGS]; /* of each node: device pointers */
    size_t *watermark;         /* of each node: weights from here on are complete after it */
    double *seconds;           /* of each node, while profiled */
    bool profiled;
    struct trace *trace;       /* borrowed; NULL: none */
    void *planned;             /* device: the memory plan */
    void *buffers[BUFFER_N];   /* device */
    float *affine;             /* device */
    float *stats;              /* device: n_total - n_trainable floats */
    float *bound_params, *bound_grads;
    float *host_stats;         /* staging: two times the statistics */
    void *host_logits;         /* staging */
    double *unbiased;          /* of each statistic: n/(n-1) for a variance, 1 for a mean */
    struct net_stage *stage;   /* NULL: pixels are copied where they are read, or none came yet */
    int reads_pixels;          /* the last node that does */
    net_coming_fn *coming;
    void *coming_ctx;
    net_observe_fn *observe;
    void *observe_ctx;
    net_bucket_fn *on_bucket;
    void *bucket_ctx;
    size_t bucket_floats;
    size_t bucket_end;         /* weights from here on were called for */
    bool bucket_rest;          /* what is not a weight was called for */
};

/** Of the logits as they leave the pass: f32 in inference, the network's in training. */
static inline enum dtype net_logits_type(const struct net_config *c)
{
    return c->training ? c->type : DT_F32;
}

/** net_create with the choice of parts over fused operations and over joins. */
NODISCARD enum rc net_create_with(struct device *dev, const struct net_config *c, bool fused,
                                  bool joins, struct net **out, struct err *e);
/** net_create without lanes. */
NODISCARD enum rc net_create_one(struct device *dev, const struct net_config *c, struct net **out,
                                 struct err *e);
/** n runs with the packed weights of owner, which was created alike but for the batch and outlives it;
 * layers that want another layout for their batch keep their own. Both are loaded. */
void net_share_weights(struct net *n, const struct net *owner);

/* ---- net_stage.c ------------------------------------------------------------------------------ */

/** For pixels of so many bytes, to `at` on the device. */
NODISCARD enum rc net_stage_create(struct device *dev, size_t bytes, void *at,
                                   struct net_stage **out, struct err *e);
void net_stage_destroy(struct net_stage *s);
/** Queue the copy of the coming pass's pixels; they have left `pixels` on return. */
NODISCARD enum rc net_stage_put(struct net_stage *s, const uint8_t *pixels, struct err *e);
/** Forget what was put: pixels at the same address may be others. */
void net_stage_drop(struct net_stage *s);
/** From here on the main queue finds these pixels there; their copy is queued if it was not. */
NODISCARD enum rc net_stage_take(struct net_stage *s, const uint8_t *pixels, struct err *e);
/** What reads them is queued. */
NODISCARD enum rc net_stage_used(struct net_stage *s, struct err *e);

/* ---- net_lanes.c ------------------------------------------------------------------------------ */

/** How many lanes suit a device and a batch; 1: none. */
int net_lanes_count(const struct device *dev, const struct net_config *c);
NODISCARD enum rc net_lanes_create(const struct device *dev, const struct net_config *c, int n,
                                   struct net_lanes **out, struct err *e);
void net_lanes_destroy(struct net_lanes *a);
/** As net_load. */
NODISCARD enum rc net_lanes_load(struct net_lanes *a, const float *params, struct err *e);
/** As net_infer. */
NODISCARD enum rc net_lanes_infer(struct net_lanes *a, const uint8_t *pixels, float *logits,
                                  struct err *e);
/** The network of a lane. */
struct net *net_lanes_net(const struct net_lanes *a, int i);
/** Of all lanes. */
void net_lanes_memory(const struct net_lanes *a, struct net_memory *out);
double net_lanes_flops(const struct net_lanes *a);

#endif

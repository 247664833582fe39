/* The forward pass of a member, from the stem to the logits (ResNet-RS section 4.1). */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/nn/net_impl.h"

static const float BN_EPS = 1e-5F;

enum { SCALE_AND_SHIFT = 2 };

static struct graph_value shape_of(const struct net_build *b, int value)
{
    return b->graph->out_of_memory ? (struct graph_value){.h = 1, .w = 1, .c = 1}
                                   : b->graph->values[value];
}

static struct op_map map_of(const struct net_build *b, int value)
{
    struct graph_value v = shape_of(b, value);

    return (struct op_map){
        .n = b->config->batch, .h = v.h, .w = v.w, .c = v.c, .type = b->config->type};
}

static int planned(const struct net_build *b, int h, int w, int c)
{
    return graph_add_planned(b->graph, b->config->batch, h, w, c, b->config->type);
}

const struct param_view *net_forward_view(const struct net_build *b, const char *layer,
                                          const char *part)
{
    char name[PARAM_NAME_MAX];
    const struct param_view *v;

    snprintf(name, sizeof name, "%s.%s", layer, part);
    v = params_find(b->params, name);
    assert(v != NULL);
    return v;
}

static int param_value(const struct net_build *b, const struct param_view *v)
{
    return graph_add_at(b->graph, GRAPH_PARAM, v->offset);
}

void net_forward_emit(const struct net_build *b, const char *name, struct graph_node *node,
                      int n_args)
{
    snprintf(node->name, sizeof node->name, "%s", name);
    node->n_args = n_args;
    graph_add_node(b->graph, node);
}

/* An element-wise or pooling operation of one input: args x, y. */
static int emit_map(const struct net_build *b, const char *name, enum op_kind kind, int x, int h,
                    int w)
{
    struct graph_node node = {.op.kind = kind};
    int y;

    node.op.u.map = map_of(b, x);
    y = planned(b, h, w, node.op.u.map.c);
    node.args[0] = x;
    node.args[1] = y;
    net_forward_emit(b, name, &node, 2);
    return y;
}

/* A convolution whose weights are `layer`.weight; bn: the BN folded into it (inference). */
int net_forward_conv(const struct net_build *b, const char *layer, int x, int stride,
                     const struct param_view *bn, unsigned how)
{
    struct graph *g = b->graph;
    struct graph_value in = shape_of(b, x);
    struct graph_node node = {.op.kind = OP_CONV, .bn = bn};
    struct op_conv *o = &node.op.u.conv;
    bool with_bias = how & NET_BIAS;
    bool relu = how & NET_RELU;
    bool affine = bn != NULL || with_bias;
    bool parts = affine && !b->fused;
    enum dtype type = how & NET_WIDE ? DT_F32 : b->config->type;
    int h;
    int y;

    node.weight = net_forward_view(b, layer, "weight");
    node.bias = with_bias ? net_forward_view(b, layer, "bias") : NULL;
    node.affine = g->affine_floats;
    *o = (struct op_conv){.n = b->config->batch,
                          .h = in.h,
                          .w = in.w,
                          .c = in.c,
                          .k = node.weight->o,
                          .r = node.weight->h,
                          .stride = stride,
                          .pad = node.weight->h / 2,
                          .type = b->config->type,
                          .wide = how & NET_WIDE};
    o->c_weights = node.weight->i;
    o->with_bias = affine && !parts;
    o->relu = relu && !parts;
    h = (in.h + 2 * o->pad - o->r) / stride + 1;
    y = graph_add_planned(g, o->n, h, h, o->k, type);
    node.args[0] = x;
    node.args[1] = y;
    g->affine_floats += affine ? SCALE_AND_SHIFT * (size_t)o->k : 0;
    net_forward_emit(b, layer, &node, 2);
    if (parts) {
        struct graph_node act = {.op.kind = OP_BN_INFER};
        char name[GRAPH_NAME_MAX];
        int x2 = y;

        act.op.u.map = map_of(b, x2);
        act.op.u.map.type = type;
        act.op.u.map.relu = relu;
        act.args[0] = x2;
        act.args[1] = graph_add_at(g, GRAPH_AFFINE, node.affine);
        act.args[2] = b->config->training
                          ? param_value(b, node.bias)
                          : graph_add_at(g, GRAPH_AFFINE, node.affine + (size_t)o->k);
        act.args[3] = y = graph_add_planned(g, o->n, h, h, o->k, type);
        snprintf(name, sizeof name, "%.48s affine", layer);
        net_forward_emit(b, name, &act, 4);
    }
    return y;
}

/* Training: BN of kind by batch statistics; out is what it writes. */
static void emit_statistics(const struct net_build *b, const char *layer, enum op_kind kind, int x,
                            bool relu, int out)
{
    struct graph *g = b->graph;
    struct graph_node node = {.op.kind = kind};
    size_t stats = b->params->n_trainable;

    node.op.u.map = map_of(b, x);
    node.op.u.map.relu = relu;
    node.op.u.map.eps = BN_EPS;
    node.bn = net_forward_view(b, layer, "weight");
    node.args[0] = x;
    node.args[1] = param_value(b, node.bn);
    node.args[2] = param_value(b, net_forward_view(b, layer, "bias"));
    node.args[3] = out;
    node.args[4] =
        graph_add_at(g, GRAPH_STATS, net_forward_view(b, layer, "running_mean")->offset - stats);
    node.args[5] =
        graph_add_at(g, GRAPH_STATS, net_forward_view(b, layer, "running_var")->offset - stats);
    node.args[6] =
        graph_add_planned(g, 0, 0, 0, 0, DT_F32); /* saved: its size comes with the plan */
    net_forward_emit(b, layer, &node, 7);
}

/* Training: BN by batch statistics, with ReLU if asked for. */
static int emit_bn(const struct net_build *b, const char *layer, int x, bool relu)
{
    struct graph_value v = shape_of(b, x);
    int y = planned(b, v.h, v.w, v.c);

    emit_statistics(b, layer, OP_BN_ACT, x, relu, y);
    return y;
}

/* conv -> BN (-> ReLU), folded for inference. */
static int conv_bn(const struct net_build *b, const char *conv, const char *bn, int x, int stride,
                   bool relu)
{
    if (!b->config->training) {
        return net_forward_conv(b, conv, x, stride, net_forward_view(b, bn, "weight"),
                                relu ? NET_RELU : 0);
    }
    return emit_bn(b, bn, net_forward_conv(b, conv, x, stride, NULL, 0), relu);
}

/* Squeeze and excitation: the gate (n, 1, 1, c) of pooled values. */
int net_forward_gate(const struct net_build *b, const char *block, int pooled)
{
    char name[GRAPH_NAME_MAX];
    int s;

    snprintf(name, sizeof name, "%s.se.fc1", block);
    s = net_forward_conv(b, name, pooled, 1, NULL, NET_BIAS | NET_RELU);
    snprintf(name, sizeof name, "%s.se.fc2", block);
    s = net_forward_conv(b, name, s, 1, NULL, NET_BIAS);
    snprintf(name, sizeof name, "%s.se.sigmoid", block);
    return emit_map(b, name, OP_SIGMOID, s, 1, 1);
}

static int gate(const struct net_build *b, const char *block, int x)
{
    char name[GRAPH_NAME_MAX];

    snprintf(name, sizeof name, "%s.se.pool", block);
    return net_forward_gate(b, block, emit_map(b, name, OP_GLOBAL_POOL, x, 1, 1));
}

/* ResNet-D's shortcut: mean over 2x2, then 1x1 and BN. */
static int shortcut(const struct net_build *b, const struct nn_block *block, int x)
{
    char conv[GRAPH_NAME_MAX];
    char bn[GRAPH_NAME_MAX];

    if (!block->projection) {
        return x;
    }
    if (block->stride == 2) {
        struct graph_value v = shape_of(b, x);

        snprintf(conv, sizeof conv, "%s.downsample.0", block->name);
        x = emit_map(b, conv, OP_AVG_POOL2, x, (v.h + 1) / 2, (v.w + 1) / 2);
    }
    snprintf(conv, sizeof conv, "%s.downsample.1", block->name);
    snprintf(bn, sizeof bn, "%s.downsample.2", block->name);
    return conv_bn(b, conv, bn, x, 1, false);
}

/* Of block i's rows; none without stochastic depth. */
static int keep(const struct net_build *b, int i)
{
    size_t row = (size_t)b->config->batch * sizeof(float);

    if (!b->config->training || !b->config->with_keep) {
        return GRAPH_NONE;
    }
    return graph_add_value(b->graph, &(struct graph_value){.home = GRAPH_BUFFER,
                                                           .at = BUFFER_KEEP,
                                                           .skip = row * (size_t)i,
                                                           .constant = true});
}

static struct op_map join_map(const struct net_build *b, int x)
{
    struct op_map o = map_of(b, x);

    o.relu = true;
    o.with_gate = true;
    o.with_keep = b->config->training && b->config->with_keep;
    return o;
}

/* relu(gate * keep * x + shortcut). */
static int join(const struct net_build *b, const struct nn_block *block, int i, int x, int cut)
{
    struct graph_node node = {.op.kind = OP_GATE_ADD_ACT, .op.u.map = join_map(b, x)};
    char name[GRAPH_NAME_MAX];

    node.args[0] = x;
    node.args[1] = cut;
    node.args[2] = gate(b, block->name, x);
    node.args[3] = keep(b, i);
    node.args[4] = planned(b, node.op.u.map.h, node.op.u.map.w, node.op.u.map.c);
    snprintf(name, sizeof name, "%s.join", block->name);
    net_forward_emit(b, name, &node, 5);
    return node.args[4];
}

/* relu(gate * keep * bn(x) + shortcut), bn's output nowhere stored. */
static int bn_join(const struct net_build *b, const struct nn_block *block, int i, int x, int cut)
{
    struct graph_node node = {.op.kind = OP_BN_JOIN, .op.u.map = join_map(b, x)};
    int c = node.op.u.map.c;
    int pooled = planned(b, 1, 1, c);
    char name[GRAPH_NAME_MAX];

    snprintf(name, sizeof name, "%s.bn3", block->name);
    emit_statistics(b, name, OP_BN_POOL, x, false, pooled);
    node.args[0] = x;
    if (!b->graph->out_of_memory) {
        const struct graph_node *bn = &b->graph->nodes[b->graph->n_nodes - 1];

        node.args[1] = bn->args[6];
        node.args[2] = bn->args[1];
    }
    node.args[3] = cut;
    node.args[4] = net_forward_gate(b, block->name, pooled);
    node.args[5] = keep(b, i);
    node.args[6] = planned(b, node.op.u.map.h, node.op.u.map.w, c);
    snprintf(name, sizeof name, "%s.join", block->name);
    net_forward_emit(b, name, &node, 7);
    return node.args[6];
}

static int bottleneck(const struct net_build *b, int i, int x)
{
    struct nn_block block;
    char conv[GRAPH_NAME_MAX];
    char bn[GRAPH_NAME_MAX];
    int cut;

    nn_family_block(b->params->model.family, i, &block);
    cut = shortcut(b, &block, x);
    for (int k = 1; k <= 2; k++) {
        snprintf(conv, sizeof conv, "%s.conv%d", block.name, k);
        snprintf(bn, sizeof bn, "%s.bn%d", block.name, k);
        x = conv_bn(b, conv, bn, x, k == 2 ? block.stride : 1, true);
    }
    snprintf(conv, sizeof conv, "%s.conv3", block.name);
    snprintf(bn, sizeof bn, "%s.bn3", block.name);
    if (b->joins) {
        return bn_join(b, &block, i, net_forward_conv(b, conv, x, 1, NULL, 0), cut);
    }
    return join(b, &block, i, conv_bn(b, conv, bn, x, 1, false), cut);
}

static int buffer(const struct net_build *b, enum graph_buffer which, size_t bytes)
{
    b->graph->buffer_bytes[which] = bytes;
    return graph_add_value(
        b->graph,
        &(struct graph_value){.home = GRAPH_BUFFER, .at = (size_t)which, .constant = true});
}

int net_forward_pixels(const struct net_build *b)
{
    const struct net_config *c = b->config;
    struct graph_node node = {.op.kind = OP_NORMALIZE};
    struct op_normalize *o = &node.op.u.normalize;
    size_t pixels = (size_t)c->batch * (size_t)c->size * (size_t)c->size;

    *o = (struct op_normalize){.n = c->batch,
                               .h = c->size,
                               .w = c->size,
                               .c_in = c->model.in_channels,
                               .c_out = b->input_channels,
                               .type = c->type};
    memcpy(o->mean, c->mean, sizeof c->mean);
    memcpy(o->std, c->std, sizeof c->std);
    node.args[0] = buffer(b, BUFFER_PIXELS, pixels * (size_t)c->model.in_channels);
    node.args[1] = planned(b, c->size, c->size, b->input_channels);
    if (!b->graph->out_of_memory) {
        b->graph->values[node.args[1]].constant = true;
    }
    net_forward_emit(b, "pixels", &node, 2);
    return node.args[1];
}

static void loss(const struct net_build *b, int logits)
{
    struct graph_node node = {.op.kind = OP_SOFTMAX_CE};
    size_t n = (size_t)b->config->batch;
    size_t k = (size_t)b->config->model.classes;

    node.op.u.loss = (struct op_loss){b->config->batch, b->config->model.classes, b->config->type};
    node.args[0] = logits;
    node.args[1] = buffer(b, BUFFER_TARGET, n * k * sizeof(float));
    node.args[2] = buffer(b, BUFFER_WEIGHT, n * sizeof(float));
    node.args[3] = buffer(b, BUFFER_LOSS, n * sizeof(float));
    node.args[4] = planned(b, 1, 1, b->config->model.classes);
    node.args[5] = GRAPH_NONE;
    net_forward_emit(b, "loss", &node, 6);
}

/* The logits are a buffer of their own, since they leave the pass. Those of inference are f32: what
 * labels and confidences are made of is not rounded once more. */
int net_forward_logits(const struct net_build *b, int pooled)
{
    struct graph *g = b->graph;
    size_t n = (size_t)b->config->batch;
    int logits;

    logits = net_forward_conv(b, "fc", pooled, 1, NULL,
                              b->config->training ? NET_BIAS : NET_BIAS | NET_WIDE);
    g->buffer_bytes[BUFFER_LOGITS] =
        n * (size_t)b->config->model.classes * dtype_size(net_logits_type(b->config));
    if (!g->out_of_memory) {
        g->values[logits].home = GRAPH_BUFFER;
        g->values[logits].at = BUFFER_LOGITS;
    }
    return logits;
}

/* Global pool, dropout, fc. */
static int head(const struct net_build *b, int x)
{
    size_t n = (size_t)b->config->batch;

    x = emit_map(b, "pool", OP_GLOBAL_POOL, x, 1, 1);
    if (b->config->training && b->config->with_dropout) {
        struct graph_node node = {.op.kind = OP_MUL_ROW};

        node.op.u.map = map_of(b, x);
        node.args[0] = x;
        node.args[1] = buffer(b, BUFFER_DROPOUT, n * (size_t)node.op.u.map.c * sizeof(float));
        node.args[2] = planned(b, 1, 1, node.op.u.map.c);
        net_forward_emit(b, "dropout", &node, 3);
        x = node.args[2];
    }
    return net_forward_logits(b, x);
}

void net_forward_build(const struct net_build *b)
{
    struct nn_stem_conv stem[NN_STEM_MAX];
    const struct nn_family *f = b->params->model.family;
    int convs = nn_family_stem(&b->params->model, stem);
    int x = net_forward_pixels(b);

    if (b->config->training && b->config->with_keep) {
        b->graph->buffer_bytes[BUFFER_KEEP] =
            (size_t)nn_family_blocks(f) * (size_t)b->config->batch * sizeof(float);
    }
    for (int i = 0; i < convs; i++) {
        x = conv_bn(b, stem[i].conv, stem[i].bn, x, stem[i].stride, true);
    }
    for (int i = 0; i < nn_family_blocks(f); i++) {
        x = bottleneck(b, i, x);
    }
    x = head(b, x);
    if (b->config->training) {
        loss(b, x);
    }
    b->graph->n_forward = b->graph->n_nodes;
}

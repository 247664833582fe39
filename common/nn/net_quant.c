/* The forward pass in int8: convolutions from u8 to u8 (behind a ReLU) or s8, the tail of a block in
 * one pass from s8 and the shortcut to u8. In floats stay the first convolution of the stem, squeeze
 * and excitation, and the head: few multiplications, on which much depends.
 *
 * 8-bit values stand for themselves times a step: top / 255 (u8) or top / 127 (s8) of their range. The
 * operations know no steps: they are folded into weights, biases and factors (net_quant_fold). */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/nn/net_impl.h"

enum { SCALE_AND_SHIFT = 2 };

/* A value of the int8 pass and what it stands for. */
struct eight {
    int value;
    enum dtype type;
    const struct quant_range *range;
};

struct quant_build {
    const struct net_build *net;
    const struct quant *quant;
};

static const struct quant_range *range_of(const struct quant_build *b, const char *name)
{
    const struct quant_range *r = quant_find(b->quant, name);

    assert(r != NULL); /* net_quant_check */
    return r;
}

static struct graph_value shape_of(const struct quant_build *b, int value)
{
    const struct graph *g = b->net->graph;

    return g->out_of_memory ? (struct graph_value){.h = 1, .w = 1, .c = 1} : g->values[value];
}

static int planned(const struct quant_build *b, int h, int w, int c, enum dtype type)
{
    return graph_add_planned(b->net->graph, b->net->config->batch, h, w, c, type);
}

static struct op_map map_of(const struct quant_build *b, int value, enum dtype type)
{
    struct graph_value v = shape_of(b, value);

    return (struct op_map){.n = b->net->config->batch, .h = v.h, .w = v.w, .c = v.c, .type = type};
}

/* n rows of c factors that net_quant_fold fills: the place of the first. */
static int factors(const struct quant_build *b, struct graph_node *node, int n, int c)
{
    struct graph *g = b->net->graph;
    int first = 0;

    node->affine = g->affine_floats;
    for (int i = 0; i < n; i++) {
        int value = graph_add_at(g, GRAPH_AFFINE, node->affine + (size_t)i * (size_t)c);

        first = i == 0 ? value : first;
    }
    g->affine_floats += (size_t)n * (size_t)c;
    return first;
}

/* conv -> BN (-> ReLU) in 8 bits. */
static struct eight conv(const struct quant_build *b, const char *layer, const char *bn,
                         struct eight x, int stride, bool relu)
{
    struct graph *g = b->net->graph;
    struct graph_value in = shape_of(b, x.value);
    struct graph_node node = {.op.kind = OP_CONV_Q, .x_range = x.range};
    struct eight y = {.type = relu ? DT_U8 : DT_S8, .range = range_of(b, layer)};
    struct op_conv *o = &node.op.u.conv;

    node.weight = net_forward_view(b->net, layer, "weight");
    node.bn = net_forward_view(b->net, bn, "weight");
    node.affine = g->affine_floats;
    node.y_range = y.range;
    *o = (struct op_conv){.n = b->net->config->batch,
                          .h = in.h,
                          .w = in.w,
                          .c = in.c,
                          .k = node.weight->o,
                          .r = node.weight->h,
                          .stride = stride,
                          .pad = node.weight->h / 2,
                          .c_weights = node.weight->i,
                          .with_bias = true,
                          .relu = relu,
                          .type = DT_U8};
    y.value = planned(b, (in.h + 2 * o->pad - o->r) / stride + 1,
                      (in.w + 2 * o->pad - o->r) / stride + 1, o->k, y.type);
    node.args[0] = x.value;
    node.args[1] = y.value;
    g->affine_floats += SCALE_AND_SHIFT * (size_t)o->k;
    net_forward_emit(b->net, layer, &node, 2);
    return y;
}

/* The first convolution, in floats, and its result in 8 bits. */
static struct eight stem(const struct quant_build *b, const struct nn_stem_conv *first)
{
    struct graph_node node = {.op.kind = OP_QUANTIZE};
    struct eight y = {.type = DT_U8, .range = range_of(b, first->conv)};
    char name[GRAPH_NAME_MAX];
    int x = net_forward_conv(b->net, first->conv, net_forward_pixels(b->net), first->stride,
                             net_forward_view(b->net, first->bn, "weight"), NET_RELU);

    node.op.u.map = map_of(b, x, DT_F32);
    node.y_range = y.range;
    node.args[0] = x;
    node.args[1] = factors(b, &node, 1, node.op.u.map.c);
    node.args[2] = y.value = planned(b, node.op.u.map.h, node.op.u.map.w, node.op.u.map.c, DT_U8);
    (void)snprintf(name, sizeof name, "%.48s in 8 bits", first->conv);
    net_forward_emit(b->net, name, &node, 3);
    return y;
}

/* The mean over (h, w), in floats. */
static int pool(const struct quant_build *b, const char *name, struct eight x)
{
    struct graph_node node = {.op.kind = OP_GLOBAL_POOL_Q, .x_range = x.range};

    node.op.u.map = map_of(b, x.value, x.type);
    node.args[0] = x.value;
    node.args[1] = factors(b, &node, 1, node.op.u.map.c);
    node.args[2] = planned(b, 1, 1, node.op.u.map.c, DT_F32);
    net_forward_emit(b->net, name, &node, 3);
    return node.args[2];
}

static struct eight shortcut(const struct quant_build *b, const struct nn_block *block,
                             struct eight x)
{
    char layer[GRAPH_NAME_MAX];
    char bn[GRAPH_NAME_MAX];

    if (!block->projection) {
        return x;
    }
    if (block->stride == 2) {
        struct graph_node node = {.op.kind = OP_AVG_POOL2_Q};

        node.op.u.map = map_of(b, x.value, DT_U8);
        node.args[0] = x.value;
        node.args[1] = x.value = planned(b, (node.op.u.map.h + 1) / 2, (node.op.u.map.w + 1) / 2,
                                         node.op.u.map.c, DT_U8);
        (void)snprintf(layer, sizeof layer, "%s.downsample.0", block->name);
        net_forward_emit(b->net, layer, &node, 2);
    }
    (void)snprintf(layer, sizeof layer, "%s.downsample.1", block->name);
    (void)snprintf(bn, sizeof bn, "%s.downsample.2", block->name);
    return conv(b, layer, bn, x, 1, false);
}

/* u8(relu(gate * x + shortcut)) */
static struct eight join(const struct quant_build *b, const char *block, struct eight x,
                         struct eight cut)
{
    struct graph_node node = {
        .op.kind = OP_GATE_ADD_ACT_Q, .x_range = x.range, .shortcut_range = cut.range};
    struct op_map *o = &node.op.u.map;
    struct eight y = {.type = DT_U8};
    char name[GRAPH_NAME_MAX];

    *o = map_of(b, x.value, DT_S8);
    o->shortcut = cut.type;
    (void)snprintf(name, sizeof name, "%.32s.se.pool", block);
    node.args[0] = x.value;
    node.args[1] = cut.value;
    node.args[2] = net_forward_gate(b->net, block, pool(b, name, x));
    node.args[3] = factors(b, &node, 2, o->c);
    node.args[4] = node.args[3] + 1;
    node.args[5] = y.value = planned(b, o->h, o->w, o->c, DT_U8);
    (void)snprintf(name, sizeof name, "%.32s.join", block);
    node.y_range = y.range = range_of(b, name);
    net_forward_emit(b->net, name, &node, 6);
    return y;
}

static struct eight bottleneck(const struct quant_build *b, int i, struct eight x)
{
    struct nn_block block;
    char layer[GRAPH_NAME_MAX];
    char bn[GRAPH_NAME_MAX];
    struct eight cut;

    nn_family_block(b->net->params->model.family, i, &block);
    cut = shortcut(b, &block, x);
    for (int k = 1; k <= 3; k++) {
        (void)snprintf(layer, sizeof layer, "%s.conv%d", block.name, k);
        (void)snprintf(bn, sizeof bn, "%s.bn%d", block.name, k);
        x = conv(b, layer, bn, x, k == 2 ? block.stride : 1, k < 3);
    }
    return join(b, block.name, x, cut);
}

void net_quant_build(const struct net_build *net, const struct quant *q)
{
    const struct quant_build b = {net, q};
    struct nn_stem_conv convs[NN_STEM_MAX];
    const int n = nn_family_stem(&net->params->model, convs);
    struct eight x = stem(&b, &convs[0]);

    for (int i = 1; i < n; i++) {
        x = conv(&b, convs[i].conv, convs[i].bn, x, convs[i].stride, true);
    }
    for (int i = 0; i < nn_family_blocks(net->params->model.family); i++) {
        x = bottleneck(&b, i, x);
    }
    (void)net_forward_logits(net, pool(&b, "pool", x));
    net->graph->n_forward = net->graph->n_nodes;
}

enum rc net_quant_check(const struct net_config *c, struct err *e)
{
    struct quant *want = NULL;
    enum rc rc = quant_create(&c->model, &want, e);

    for (int i = 0; rc == RC_OK && i < want->n_ranges; i++) {
        const struct quant_range *r = &want->ranges[i];
        const struct quant_range *has = quant_find(c->quant, r->name);

        if (has == NULL || has->n != r->n) {
            rc = err_raise(e, RC_INVAL,
                           "the calibration is of another model: network %s needs %d range%s of "
                           "%s, and it has %d",
                           c->model.family->name, r->n, r->n == 1 ? "" : "s", r->name,
                           has == NULL ? 0 : has->n);
        }
    }
    quant_destroy(want);
    return rc;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* What 1 stands for in channel c; 1 where there is no range (floats) and where all was 0. */
static float step(const struct quant_range *r, enum dtype type, int c)
{
    float top = r == NULL ? 0 : r->top[r->n == 1 ? 0 : c];

    return !(top > 0) ? 1.0F : top / (type == DT_U8 ? 255.0F : 127.0F);
}

void net_quant_fold(const struct graph_node *node, float *affine)
{
    const struct op_conv *o = &node->op.u.conv;
    const struct op_map *m = &node->op.u.map;

    switch ((int)node->op.kind) {
    case OP_CONV_Q:
        for (int k = 0; k < o->k; k++) {
            float y = step(node->y_range, o->relu ? DT_U8 : DT_S8, k);

            affine[k] *= step(node->x_range, DT_U8, 0) / y;
            affine[o->k + k] /= y;
        }
        break;
    case OP_QUANTIZE:
        for (int c = 0; c < m->c; c++) {
            affine[c] = 1 / step(node->y_range, DT_U8, c);
        }
        break;
    case OP_GLOBAL_POOL_Q:
        for (int c = 0; c < m->c; c++) {
            affine[c] = step(node->x_range, m->type, c);
        }
        break;
    case OP_GATE_ADD_ACT_Q:
        for (int c = 0; c < m->c; c++) {
            float y = step(node->y_range, DT_U8, c);

            affine[c] = step(node->x_range, DT_S8, c) / y;
            affine[m->c + c] = step(node->shortcut_range, m->shortcut, c) / y;
        }
        break;
    default:
        break;
    }
}

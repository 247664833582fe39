#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/nn/net_impl.h"

/* A tensor while building: an activation value with its shape. */
struct act {
    int value;
    int h, c;
};

/* What the backward pass needs of a convolution with its BN. */
struct conv_tape {
    struct act x, y0, y; /* input, convolution's output, after BN */
    int saved;
    struct op_desc conv, bn;
    size_t weights, gamma, beta;
    bool first; /* reads the pixels: no gradient by data */
};

/* A bias-carrying 1x1 convolution on (n,1,1,c). */
struct fc_tape {
    struct act x, y;
    struct op_desc conv;
    size_t weights, bias;
};

struct block_tape {
    struct conv_tape conv[3], shortcut;
    struct fc_tape fc1, fc2;
    struct act x, pooled, gate, sum; /* sum: the block's output */
    struct act averaged;             /* of the shortcut */
    struct op_desc pool, average, sigmoid, add;
    bool projection, downsampled;
    size_t keep; /* bytes into IO_KEEP */
};

struct builder {
    struct net *n;
    struct err *e;
    struct conv_tape stem[NN_STEM_MAX];
    int n_stem;
    struct block_tape *blocks;
    int n_blocks;
    struct act pooled, dropped, logits;
    struct op_desc pool, drop;
    struct fc_tape fc;
    int dlogits;
    struct net_stats *stats;
};

static struct graph_arg arg_value(int v)
{
    return (struct graph_arg){.kind = ARG_VALUE, .index = v};
}

static struct graph_arg arg_param(size_t offset)
{
    return (struct graph_arg){.kind = ARG_PARAM, .offset = offset};
}

static struct graph_arg arg_grad(size_t offset)
{
    return (struct graph_arg){.kind = ARG_GRAD, .offset = offset};
}

static struct graph_arg arg_io(enum graph_io io, size_t offset)
{
    return (struct graph_arg){.kind = ARG_IO, .index = (int)io, .offset = offset};
}

static struct graph_arg arg_null(void)
{
    return (struct graph_arg){.kind = ARG_NULL};
}

static enum rc build_act(struct builder *b, int h, int c, struct act *out)
{
    size_t n = (size_t)b->n->c.batch * (size_t)h * (size_t)h * (size_t)c;

    out->h = h;
    out->c = c;
    return graph_value(&b->n->graph, n * dtype_size(b->n->c.type), &out->value, b->e);
}

static enum rc build_op(struct builder *b, const struct op_desc *op, const struct graph_arg *args,
                        int n_args, struct graph_node **node)
{
    return graph_append(&b->n->graph, b->n->dev, op, args, n_args, node, b->e);
}

static size_t build_view(const struct builder *b, const char *layer, const char *part)
{
    char name[PARAM_NAME_MAX];
    const struct param_view *v = NULL;

    (void)snprintf(name, sizeof name, "%s.%s", layer, part);
    v = params_find(b->n->params, name);
    assert(v != NULL);
    return v->offset;
}

static struct op_desc build_map(const struct builder *b, enum op_kind kind, int h, int c)
{
    struct op_desc op = {.kind = kind};

    op.u.map = (struct op_map){
        .n = b->n->c.batch, .h = h, .w = h, .c = c, .type = b->n->c.type, .eps = 1e-5f};
    return op;
}

/* ---- forward -------------------------------------------------------------------------------- */

struct conv_spec {
    const char *conv, *bn; /* layer names */
    int out, r, stride;
    bool relu;
};

static struct op_desc build_conv_desc(const struct builder *b, const struct conv_spec *s,
                                      const struct act *x, int c_weights)
{
    struct op_desc op = {.kind = OP_CONV};

    op.u.conv = (struct op_conv){.n = b->n->c.batch,
                                 .h = x->h,
                                 .w = x->h,
                                 .c = x->c,
                                 .k = s->out,
                                 .r = s->r,
                                 .stride = s->stride,
                                 .pad = s->r / 2,
                                 .c_weights = c_weights,
                                 .type = b->n->c.type};
    return op;
}

static void build_record_stats(struct builder *b, const struct conv_tape *t, const char *bn)
{
    double rows = (double)b->n->c.batch * t->y.h * t->y.h;
    struct net_stats *s = &b->n->stats[b->n->n_stats++];

    s->mean = build_view(b, bn, "running_mean");
    s->var = build_view(b, bn, "running_var");
    s->unbias = rows > 1 ? rows / (rows - 1) : 1;
    s->c = (size_t)t->y.c;
}

/* Training: convolution, then BN with batch statistics (and ReLU) in one pass. */
static enum rc build_conv_train(struct builder *b, const struct conv_spec *s, struct conv_tape *t)
{
    struct graph_node *node = NULL;
    enum rc rc = build_act(b, t->y.h, s->out, &t->y0);

    if (rc == RC_OK) {
        rc =
            build_op(b, &t->conv,
                     (struct graph_arg[]){arg_value(t->x.value), arg_value(t->y0.value)}, 2, &node);
    }
    if (rc != RC_OK) {
        return rc;
    }
    node->weights = (long)t->weights;
    t->bn = build_map(b, OP_BN_ACT, t->y.h, s->out);
    t->bn.u.map.relu = s->relu;
    t->gamma = build_view(b, s->bn, "weight");
    t->beta = build_view(b, s->bn, "bias");
    rc = build_act(b, t->y.h, s->out, &t->y);
    if (rc == RC_OK) { /* the size of saved is known once the plan is made: see graph_resize */
        rc = graph_value(&b->n->graph, 1, &t->saved, b->e);
    }
    if (rc == RC_OK) {
        rc = build_op(b, &t->bn,
                      (struct graph_arg[]){
                          arg_value(t->y0.value), arg_param(t->gamma), arg_param(t->beta),
                          arg_value(t->y.value), arg_grad(build_view(b, s->bn, "running_mean")),
                          arg_grad(build_view(b, s->bn, "running_var")), arg_value(t->saved)},
                      7, &node);
    }
    if (rc == RC_OK) {
        graph_resize(&b->n->graph, t->saved, plan_saved_bytes(node->plan));
        build_record_stats(b, t, s->bn);
    }
    return rc;
}

/* Inference: BN folded into the convolution, bias and ReLU fused. */
static enum rc build_conv_infer(struct builder *b, const struct conv_spec *s, struct conv_tape *t)
{
    struct graph_node *node = NULL;
    enum rc rc = build_act(b, t->y.h, s->out, &t->y);

    t->conv.u.conv.with_bias = true;
    t->conv.u.conv.relu = s->relu;
    if (rc == RC_OK) {
        rc = build_op(b, &t->conv,
                      (struct graph_arg[]){arg_value(t->x.value), arg_value(t->y.value)}, 2, &node);
    }
    if (rc == RC_OK) {
        node->weights = (long)t->weights;
        node->gamma = (long)build_view(b, s->bn, "weight");
        node->beta = (long)build_view(b, s->bn, "bias");
        node->mean = (long)build_view(b, s->bn, "running_mean");
        node->var = (long)build_view(b, s->bn, "running_var");
    }
    return rc;
}

static enum rc build_conv(struct builder *b, const struct conv_spec *s, const struct act *x,
                          struct conv_tape *t)
{
    const struct param_view *w = NULL;
    char name[PARAM_NAME_MAX];

    (void)snprintf(name, sizeof name, "%s.weight", s->conv);
    w = params_find(b->n->params, name);
    assert(w != NULL);
    t->x = *x;
    t->weights = w->offset;
    t->conv = build_conv_desc(b, s, x, w->i);
    t->y.h = (x->h + 2 * (s->r / 2) - s->r) / s->stride + 1;
    return b->n->c.training ? build_conv_train(b, s, t) : build_conv_infer(b, s, t);
}

static enum rc build_fc(struct builder *b, const char *layer, int out, bool relu,
                        const struct act *x, struct fc_tape *t)
{
    struct conv_spec s = {.out = out, .r = 1, .stride = 1};
    struct graph_node *node = NULL;
    enum rc rc = build_act(b, 1, out, &t->y);

    t->x = *x;
    t->conv = build_conv_desc(b, &s, x, 0);
    t->conv.u.conv.with_bias = true;
    t->conv.u.conv.relu = relu;
    t->weights = build_view(b, layer, "weight");
    t->bias = build_view(b, layer, "bias");
    if (rc == RC_OK) {
        rc = build_op(b, &t->conv, (struct graph_arg[]){arg_value(x->value), arg_value(t->y.value)},
                      2, &node);
    }
    if (rc == RC_OK) {
        node->weights = (long)t->weights;
        node->bias = (long)t->bias;
    }
    return rc;
}

static enum rc build_unary(struct builder *b, const struct op_desc *op, const struct act *x, int h,
                           struct act *y)
{
    struct graph_node *node = NULL;
    enum rc rc = build_act(b, h, x->c, y);

    return rc == RC_OK
               ? build_op(b, op, (struct graph_arg[]){arg_value(x->value), arg_value(y->value)}, 2,
                          &node)
               : rc;
}

static enum rc build_stem(struct builder *b, struct act *x)
{
    struct nn_stem_conv stem[NN_STEM_MAX];
    enum rc rc = RC_OK;

    b->n_stem = nn_family_stem(&b->n->c.model, stem);
    for (int i = 0; i < b->n_stem && rc == RC_OK; i++) {
        struct conv_spec s = {stem[i].conv, stem[i].bn, stem[i].out, 3, stem[i].stride, true};

        rc = build_conv(b, &s, x, &b->stem[i]);
        b->stem[i].first = i == 0;
        *x = b->stem[i].y;
    }
    return rc;
}

static enum rc build_se(struct builder *b, const struct nn_block *block, struct block_tape *t)
{
    char name[PARAM_NAME_MAX];
    const struct act *c = &t->conv[2].y;
    enum rc rc = RC_OK;

    t->pool = build_map(b, OP_GLOBAL_POOL, c->h, c->c);
    rc = build_unary(b, &t->pool, c, 1, &t->pooled);
    if (rc == RC_OK) {
        (void)snprintf(name, sizeof name, "%s.se.fc1", block->name);
        rc = build_fc(b, name, block->hidden, true, &t->pooled, &t->fc1);
    }
    if (rc == RC_OK) {
        (void)snprintf(name, sizeof name, "%s.se.fc2", block->name);
        rc = build_fc(b, name, block->out, false, &t->fc1.y, &t->fc2);
    }
    if (rc == RC_OK) {
        t->sigmoid = build_map(b, OP_SIGMOID, 1, block->out);
        rc = build_unary(b, &t->sigmoid, &t->fc2.y, 1, &t->gate);
    }
    return rc;
}

static enum rc build_shortcut(struct builder *b, const struct nn_block *block, struct block_tape *t,
                              struct act *out)
{
    char conv[PARAM_NAME_MAX];
    char bn[PARAM_NAME_MAX];
    struct conv_spec s = {conv, bn, block->out, 1, 1, false};
    enum rc rc = RC_OK;

    *out = t->x;
    if (!block->projection) {
        return RC_OK;
    }
    t->projection = true;
    t->downsampled = block->stride == 2;
    if (t->downsampled) {
        t->average = build_map(b, OP_AVG_POOL2, t->x.h, t->x.c);
        rc = build_unary(b, &t->average, &t->x, (t->x.h + 1) / 2, &t->averaged);
        *out = t->averaged;
    }
    (void)snprintf(conv, sizeof conv, "%s.downsample.1", block->name);
    (void)snprintf(bn, sizeof bn, "%s.downsample.2", block->name);
    if (rc == RC_OK) {
        rc = build_conv(b, &s, out, &t->shortcut);
        *out = t->shortcut.y;
    }
    return rc;
}

static enum rc build_block_convs(struct builder *b, const struct nn_block *block,
                                 struct block_tape *t)
{
    const int out[] = {block->mid, block->mid, block->out};
    struct act x = t->x;
    enum rc rc = RC_OK;

    for (int i = 0; i < 3 && rc == RC_OK; i++) {
        char conv[PARAM_NAME_MAX];
        char bn[PARAM_NAME_MAX];
        struct conv_spec s = {conv, bn, out[i], i == 1 ? 3 : 1, i == 1 ? block->stride : 1, i < 2};

        (void)snprintf(conv, sizeof conv, "%s.conv%d", block->name, i + 1);
        (void)snprintf(bn, sizeof bn, "%s.bn%d", block->name, i + 1);
        rc = build_conv(b, &s, &x, &t->conv[i]);
        x = t->conv[i].y;
    }
    return rc;
}

static enum rc build_block(struct builder *b, int index, struct act *x)
{
    struct nn_block block;
    struct block_tape *t = &b->blocks[index];
    struct graph_node *node = NULL;
    struct act shortcut;
    enum rc rc = RC_OK;

    nn_family_block(b->n->c.model.family, index, &block);
    t->x = *x;
    t->keep = (size_t)index * (size_t)b->n->c.batch * sizeof(float);
    rc = build_block_convs(b, &block, t);
    if (rc == RC_OK) {
        rc = build_se(b, &block, t);
    }
    if (rc == RC_OK) {
        rc = build_shortcut(b, &block, t, &shortcut);
    }
    if (rc == RC_OK) {
        rc = build_act(b, t->conv[2].y.h, block.out, &t->sum);
    }
    if (rc != RC_OK) {
        return rc;
    }
    t->add = build_map(b, OP_GATE_ADD_ACT, t->sum.h, block.out);
    t->add.u.map.with_gate = true;
    t->add.u.map.with_keep = b->n->c.training;
    rc = build_op(b, &t->add,
                  (struct graph_arg[]){arg_value(t->conv[2].y.value), arg_value(shortcut.value),
                                       arg_value(t->gate.value),
                                       b->n->c.training ? arg_io(IO_KEEP, t->keep) : arg_null(),
                                       arg_value(t->sum.value)},
                  5, &node);
    *x = t->sum;
    return rc;
}

static enum rc build_head(struct builder *b, const struct act *x)
{
    struct graph_node *node = NULL;
    enum rc rc = RC_OK;

    b->pool = build_map(b, OP_GLOBAL_POOL, x->h, x->c);
    rc = build_unary(b, &b->pool, x, 1, &b->pooled);
    b->dropped = b->pooled;
    if (rc == RC_OK && b->n->c.training) {
        b->drop = build_map(b, OP_MUL_ROW, 1, x->c);
        rc = build_act(b, 1, x->c, &b->dropped);
        if (rc == RC_OK) {
            rc = build_op(b, &b->drop,
                          (struct graph_arg[]){arg_value(b->pooled.value), arg_io(IO_DROPOUT, 0),
                                               arg_value(b->dropped.value)},
                          3, &node);
        }
    }
    return rc == RC_OK ? build_fc(b, "fc", b->n->c.model.classes, false, &b->dropped, &b->fc) : rc;
}

static enum rc build_input(struct builder *b, struct act *x)
{
    struct net *n = b->n;
    struct op_desc op = {.kind = OP_NORMALIZE};
    struct graph_node *node = NULL;
    int c = device_input_channels(n->dev, n->c.model.in_channels, n->c.type);
    enum rc rc = build_act(b, n->c.size, c, x);

    op.u.normalize = (struct op_normalize){.n = n->c.batch,
                                           .h = n->c.size,
                                           .w = n->c.size,
                                           .c_in = n->c.model.in_channels,
                                           .c_out = c,
                                           .type = n->c.type};
    for (int i = 0; i < n->c.model.in_channels; i++) {
        op.u.normalize.mean[i] = n->c.mean[i];
        op.u.normalize.std[i] = n->c.std[i];
    }
    return rc == RC_OK
               ? build_op(b, &op, (struct graph_arg[]){arg_io(IO_PIXELS, 0), arg_value(x->value)},
                          2, &node)
               : rc;
}

static enum rc build_loss(struct builder *b)
{
    struct op_desc op = {.kind = OP_SOFTMAX_CE};
    struct graph_node *node = NULL;
    struct act d;
    enum rc rc = build_act(b, 1, b->n->c.model.classes, &d);

    b->dlogits = d.value;
    op.u.loss = (struct op_loss){b->n->c.batch, b->n->c.model.classes, b->n->c.type};
    return rc == RC_OK
               ? build_op(b, &op,
                          (struct graph_arg[]){arg_value(b->fc.y.value), arg_io(IO_TARGET, 0),
                                               arg_io(IO_WEIGHT, 0), arg_io(IO_LOSS, 0),
                                               arg_value(d.value), arg_null()},
                          6, &node)
               : rc;
}

/* ---- backward ------------------------------------------------------------------------------- */

static enum rc back_conv(struct builder *b, const struct op_desc *conv, const struct act *x, int dy,
                         size_t weights, long bias, struct act *dx)
{
    struct op_desc op = *conv;
    struct graph_node *node = NULL;
    enum rc rc = RC_OK;

    op.kind = OP_CONV_BWD_WEIGHTS;
    op.u.conv.relu = false;
    rc = build_op(b, &op,
                  (struct graph_arg[]){arg_value(x->value), arg_value(dy), arg_grad(weights),
                                       bias >= 0 ? arg_grad((size_t)bias) : arg_null()},
                  bias >= 0 ? 4 : 3, &node);
    if (rc != RC_OK || dx == NULL) {
        return rc;
    }
    op.kind = OP_CONV_BWD_DATA;
    op.u.conv.with_bias = false;
    rc = build_act(b, x->h, x->c, dx);
    if (rc == RC_OK) {
        rc = build_op(b, &op, (struct graph_arg[]){arg_value(dy), arg_value(dx->value)}, 2, &node);
    }
    if (rc == RC_OK) {
        node->weights = (long)weights;
    }
    return rc;
}

/* Through BN (with ReLU) and the convolution: dx NULL for the first layer. */
static enum rc back_conv_bn(struct builder *b, const struct conv_tape *t, int dy, struct act *dx)
{
    struct op_desc bn = t->bn;
    struct graph_node *node = NULL;
    struct act dy0;
    enum rc rc = build_act(b, t->y0.h, t->y0.c, &dy0);

    bn.kind = OP_BN_ACT_BWD;
    if (rc == RC_OK) {
        rc = build_op(b, &bn,
                      (struct graph_arg[]){arg_value(t->y0.value), arg_value(dy),
                                           arg_param(t->gamma), arg_value(t->saved),
                                           arg_value(dy0.value), arg_grad(t->gamma),
                                           arg_grad(t->beta)},
                      7, &node);
    }
    return rc == RC_OK ? back_conv(b, &t->conv, &t->x, dy0.value, t->weights, GRAPH_NONE,
                                   t->first ? NULL : dx)
                       : rc;
}

static enum rc back_add(struct builder *b, const struct act *x, int other)
{
    struct op_desc op = build_map(b, OP_ADD, x->h, x->c);
    struct graph_node *node = NULL;

    return build_op(
        b, &op, (struct graph_arg[]){arg_value(x->value), arg_value(other), arg_value(x->value)}, 3,
        &node);
}

/* Squeeze-and-excitation: its share of the gradient of conv3's output is added to dc. */
static enum rc back_se(struct builder *b, const struct block_tape *t, int dgate,
                       const struct act *dc)
{
    struct op_desc sigmoid = t->sigmoid;
    struct op_desc relu = build_map(b, OP_RELU_BWD, 1, t->fc1.y.c);
    struct op_desc pool = t->pool;
    struct graph_node *node = NULL;
    struct act df2;
    struct act df1;
    struct act ds;
    struct act dp;
    enum rc rc = build_act(b, 1, t->gate.c, &df2);

    sigmoid.kind = OP_SIGMOID_BWD;
    pool.kind = OP_GLOBAL_POOL_BWD;
    if (rc == RC_OK) {
        rc = build_op(
            b, &sigmoid,
            (struct graph_arg[]){arg_value(t->gate.value), arg_value(dgate), arg_value(df2.value)},
            3, &node);
    }
    if (rc == RC_OK) {
        rc = back_conv(b, &t->fc2.conv, &t->fc2.x, df2.value, t->fc2.weights, (long)t->fc2.bias,
                       &df1);
    }
    if (rc == RC_OK) {
        rc = build_op(b, &relu,
                      (struct graph_arg[]){arg_value(t->fc1.y.value), arg_value(df1.value),
                                           arg_value(df1.value)},
                      3, &node);
    }
    if (rc == RC_OK) {
        rc = back_conv(b, &t->fc1.conv, &t->fc1.x, df1.value, t->fc1.weights, (long)t->fc1.bias,
                       &ds);
    }
    if (rc == RC_OK) {
        rc = build_act(b, dc->h, dc->c, &dp);
    }
    if (rc == RC_OK) {
        rc = build_op(b, &pool, (struct graph_arg[]){arg_value(ds.value), arg_value(dp.value)}, 2,
                      &node);
    }
    return rc == RC_OK ? back_add(b, dc, dp.value) : rc;
}

/* The shortcut's gradient of the block's input, from dshort. */
static enum rc back_shortcut(struct builder *b, const struct block_tape *t,
                             const struct act *dshort, struct act *dx)
{
    struct op_desc pool = t->average;
    struct graph_node *node = NULL;
    struct act da;
    enum rc rc = RC_OK;

    if (!t->projection) {
        *dx = *dshort;
        return RC_OK;
    }
    rc = back_conv_bn(b, &t->shortcut, dshort->value, &da);
    if (rc != RC_OK || !t->downsampled) {
        *dx = da;
        return rc;
    }
    pool.kind = OP_AVG_POOL2_BWD;
    rc = build_act(b, t->x.h, t->x.c, dx);
    return rc == RC_OK
               ? build_op(b, &pool, (struct graph_arg[]){arg_value(da.value), arg_value(dx->value)},
                          2, &node)
               : rc;
}

static enum rc back_gate(struct builder *b, const struct block_tape *t, int dy, struct act *dc,
                         struct act *dshort, struct act *dgate)
{
    struct op_desc op = t->add;
    struct graph_node *node = NULL;
    enum rc rc = build_act(b, t->sum.h, t->sum.c, dc);

    op.kind = OP_GATE_ADD_ACT_BWD;
    if (rc == RC_OK) {
        rc = build_act(b, t->sum.h, t->sum.c, dshort);
    }
    if (rc == RC_OK) {
        rc = build_act(b, 1, t->sum.c, dgate);
    }
    return rc == RC_OK
               ? build_op(b, &op,
                          (struct graph_arg[]){arg_value(t->conv[2].y.value),
                                               arg_value(t->sum.value), arg_value(dy),
                                               arg_value(t->gate.value), arg_io(IO_KEEP, t->keep),
                                               arg_value(dc->value), arg_value(dshort->value),
                                               arg_value(dgate->value)},
                          8, &node)
               : rc;
}

static enum rc back_block(struct builder *b, int index, struct act *dy)
{
    const struct block_tape *t = &b->blocks[index];
    struct act dc;
    struct act dshort;
    struct act dgate;
    struct act dx;
    struct act ds;
    enum rc rc = back_gate(b, t, dy->value, &dc, &dshort, &dgate);

    if (rc == RC_OK) {
        rc = back_se(b, t, dgate.value, &dc);
    }
    for (int i = 2; i >= 0 && rc == RC_OK; i--) {
        rc = back_conv_bn(b, &t->conv[i], dc.value, &dx);
        dc = dx;
    }
    if (rc == RC_OK) {
        rc = back_shortcut(b, t, &dshort, &ds);
    }
    if (rc == RC_OK) {
        rc = back_add(b, &dc, ds.value);
    }
    *dy = dc;
    return rc;
}

static enum rc back_head(struct builder *b, struct act *dy)
{
    struct op_desc pool = b->pool;
    struct graph_node *node = NULL;
    struct act dd;
    enum rc rc =
        back_conv(b, &b->fc.conv, &b->fc.x, b->dlogits, b->fc.weights, (long)b->fc.bias, &dd);

    if (rc == RC_OK) {
        rc = build_op(
            b, &b->drop,
            (struct graph_arg[]){arg_value(dd.value), arg_io(IO_DROPOUT, 0), arg_value(dd.value)},
            3, &node);
    }
    pool.kind = OP_GLOBAL_POOL_BWD;
    if (rc == RC_OK) {
        rc = build_act(b, pool.u.map.h, pool.u.map.c, dy);
    }
    return rc == RC_OK
               ? build_op(b, &pool, (struct graph_arg[]){arg_value(dd.value), arg_value(dy->value)},
                          2, &node)
               : rc;
}

static enum rc build_backward(struct builder *b)
{
    struct act dy;
    enum rc rc = back_head(b, &dy);

    for (int i = b->n_blocks - 1; i >= 0 && rc == RC_OK; i--) {
        rc = back_block(b, i, &dy);
    }
    for (int i = b->n_stem - 1; i >= 0 && rc == RC_OK; i--) {
        struct act dx = {0};

        rc = back_conv_bn(b, &b->stem[i], dy.value, &dx);
        dy = dx;
    }
    return rc;
}

static enum rc build_forward(struct builder *b)
{
    struct act x;
    enum rc rc = build_input(b, &x);

    if (rc == RC_OK) {
        rc = build_stem(b, &x);
    }
    for (int i = 0; i < b->n_blocks && rc == RC_OK; i++) {
        rc = build_block(b, i, &x);
    }
    if (rc == RC_OK) {
        rc = build_head(b, &x);
    }
    return rc;
}

enum rc net_build(struct net *n, struct err *e)
{
    struct builder b = {.n = n, .e = e, .n_blocks = nn_family_blocks(n->c.model.family)};
    enum rc rc = RC_OK;

    n->blocks = b.n_blocks;
    n->features = nn_family_features(n->c.model.family);
    b.blocks = mem_calloc((size_t)b.n_blocks, sizeof *b.blocks);
    n->stats = mem_calloc((size_t)n->params->n_views, sizeof *n->stats);
    if (b.blocks == NULL || n->stats == NULL) {
        rc = mem_raise(e, "the network's builder", (size_t)b.n_blocks * sizeof *b.blocks);
    }
    if (rc == RC_OK) {
        rc = build_forward(&b);
        n->logits = b.fc.y.value;
    }
    if (rc == RC_OK && n->c.training) {
        rc = build_loss(&b);
    }
    n->n_forward = n->graph.n_nodes;
    if (rc == RC_OK && n->c.training) {
        rc = build_backward(&b);
    }
    mem_free(b.blocks);
    return rc == RC_OK ? graph_plan_memory(&n->graph, e) : rc;
}

/* The backward pass: the forward nodes in reverse, each giving its inputs' gradients. */
#include <assert.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/nn/net_impl.h"

struct reverse {
    const struct net_build *b;
    struct graph *g;
    int *grad; /* of each forward value: its gradient's value, or GRAPH_NONE so far */
    int *more; /* a second gradient, which an OP_BN_JOIN_BWD adds; NO_MORE: add them at once */
    int *join; /* of the x of an OP_BN_JOIN: that node */
};

enum { NO_MORE = -2 };

static int grad_of(const struct reverse *r, int value)
{
    return r->g->out_of_memory ? 0 : r->grad[value];
}

static bool wants_grad(const struct reverse *r, int value)
{
    return !r->g->out_of_memory && !r->g->values[value].constant;
}

/* A new value in the shape of a forward one. */
static int like(const struct reverse *r, int value)
{
    const struct graph_value *v;

    if (r->g->out_of_memory) {
        return 0;
    }
    v = &r->g->values[value];
    return graph_add_planned(r->g, r->b->config->batch, v->h, v->w, v->c, r->b->config->type);
}

static int grad_param(const struct reverse *r, const struct param_view *v)
{
    return graph_add_at(r->g, GRAPH_GRAD, v->offset);
}

static void emit(const struct reverse *r, const struct graph_node *of, const char *what,
                 struct graph_node *node, int n_args)
{
    snprintf(node->name, sizeof node->name, "%.52s %s", of->name, what);
    node->n_args = n_args;
    graph_add_node(r->g, node);
}

/* grad is one more gradient of a forward value. Where several meet, the first is the sum. */
static void accumulate(const struct reverse *r, const struct graph_node *of, int value, int grad)
{
    struct graph_node node = {.op.kind = OP_ADD};
    const struct graph_value *v;

    if (r->g->out_of_memory || r->g->values[value].constant) {
        return;
    }
    if (r->grad[value] == GRAPH_NONE) {
        r->grad[value] = grad;
        return;
    }
    if (r->more[value] == GRAPH_NONE) {
        r->more[value] = grad;
        return;
    }
    v = &r->g->values[value];
    node.op.u.map = (struct op_map){
        .n = r->b->config->batch, .h = v->h, .w = v->w, .c = v->c, .type = r->b->config->type};
    node.args[0] = r->grad[value];
    node.args[1] = grad;
    node.args[2] = r->grad[value];
    emit(r, of, "sum", &node, 3);
}

static void relu_in_place(const struct reverse *r, const struct graph_node *of, int y, int dy)
{
    struct graph_node node = {.op.kind = OP_RELU_BWD};
    const struct graph_value *v;

    if (r->g->out_of_memory) {
        return;
    }
    v = &r->g->values[y];
    node.op.u.map = (struct op_map){
        .n = r->b->config->batch, .h = v->h, .w = v->w, .c = v->c, .type = r->b->config->type};
    node.args[0] = y;
    node.args[1] = dy;
    node.args[2] = dy;
    emit(r, of, "relu", &node, 3);
}

/* Weights before data: then x is dead when dx needs room. */
static void conv(const struct reverse *r, const struct graph_node *of)
{
    int x = of->args[0];
    int dy = grad_of(r, of->args[1]);
    struct graph_node node = {.weight = of->weight, .bias = of->bias};

    if (of->op.u.conv.relu) {
        relu_in_place(r, of, of->args[1], dy);
    }
    node.op.kind = OP_CONV_BWD_WEIGHTS;
    node.op.u.conv = of->op.u.conv;
    node.op.u.conv.relu = false;
    node.op.u.conv.with_bias = of->bias != NULL;
    node.args[0] = x;
    node.args[1] = dy;
    node.args[2] = grad_param(r, of->weight);
    node.args[3] = of->bias != NULL ? grad_param(r, of->bias) : GRAPH_NONE;
    emit(r, of, "dw", &node, 4);
    if (!wants_grad(r, x)) {
        return;
    }
    node.op.kind = OP_CONV_BWD_DATA;
    node.op.u.conv.with_bias = false;
    node.args[0] = dy;
    node.args[1] = like(r, x);
    emit(r, of, "dx", &node, 2);
    accumulate(r, of, x, node.args[1]);
}

static void batch_norm(const struct reverse *r, const struct graph_node *of)
{
    struct graph_node node = {.op = of->op, .bn = of->bn};
    int x = of->args[0];

    node.op.kind = OP_BN_ACT_BWD;
    node.args[0] = x;
    node.args[1] = grad_of(r, of->args[3]);
    node.args[2] = of->args[1];
    node.args[3] = of->args[6];
    node.args[4] = like(r, x);
    node.args[5] = grad_param(r, of->bn);
    node.args[6] = grad_param(r, of->bn + 1);
    emit(r, of, "dx", &node, 7);
    accumulate(r, of, x, node.args[4]);
}

static void affine(const struct reverse *r, const struct graph_node *of)
{
    int dy = grad_of(r, of->args[3]);

    if (of->op.u.map.relu) {
        relu_in_place(r, of, of->args[3], dy);
    }
    accumulate(r, of, of->args[0],
               dy); /* the scale is 1; the convolution sums the bias' gradient */
}

static void gate_add(const struct reverse *r, const struct graph_node *of)
{
    struct graph_node node = {.op = of->op};

    node.op.kind = OP_GATE_ADD_ACT_BWD;
    node.args[0] = of->args[0];
    node.args[1] = of->args[4];
    node.args[2] = grad_of(r, of->args[4]);
    node.args[3] = of->args[2];
    node.args[4] = of->args[3];
    node.args[5] = like(r, of->args[0]);
    node.args[6] = like(r, of->args[1]);
    node.args[7] = like(r, of->args[2]);
    emit(r, of, "dx", &node, 8);
    accumulate(r, of, of->args[0], node.args[5]);
    accumulate(r, of, of->args[1], node.args[6]);
    accumulate(r, of, of->args[2], node.args[7]);
}

/* g takes the place of dy, which nothing reads afterwards but what wants g. */
static void bn_join(const struct reverse *r, const struct graph_node *of)
{
    struct graph_node node = {.op = of->op};
    int y = of->args[6];
    int dy = grad_of(r, y);

    node.op.kind = OP_BN_JOIN_BWD;
    node.args[0] = of->args[0];
    node.args[1] = y;
    node.args[2] = dy;
    node.args[3] = r->g->out_of_memory ? GRAPH_NONE : r->more[y];
    node.args[4] = of->args[5];
    node.args[5] = of->args[2];
    node.args[6] = of->args[1];
    node.args[7] = dy;
    node.args[8] = like(r, of->args[4]);
    emit(r, of, "dx", &node, 9);
    accumulate(r, of, of->args[3], dy);
    accumulate(r, of, of->args[4], node.args[8]);
}

static void bn_pool(const struct reverse *r, const struct graph_node *of)
{
    int x = of->args[0];
    struct graph_node join = r->g->nodes[r->join[x]];
    struct graph_node node = {.op = join.op, .bn = of->bn};

    node.op.kind = OP_BN_POOL_BWD;
    node.args[0] = x;
    node.args[1] = grad_of(r, join.args[6]);
    node.args[2] = join.args[4];
    node.args[3] = join.args[5];
    node.args[4] = grad_of(r, of->args[3]);
    node.args[5] = of->args[1];
    node.args[6] = of->args[6];
    node.args[7] = like(r, x);
    node.args[8] = grad_param(r, of->bn);
    node.args[9] = grad_param(r, of->bn + 1);
    emit(r, of, "dx", &node, 10);
    accumulate(r, of, x, node.args[7]);
}

/* Operations whose gradient needs dy alone (kind's args are dy, dx) or y and dy (y, dy, dx). */
static void map(const struct reverse *r, const struct graph_node *of, enum op_kind kind,
                bool with_y)
{
    struct graph_node node = {.op = of->op};
    int n = 0;

    node.op.kind = kind;
    if (with_y) {
        node.args[n++] = of->args[1];
    }
    node.args[n++] = grad_of(r, of->args[1]);
    node.args[n] = like(r, of->args[0]);
    emit(r, of, "dx", &node, n + 1);
    accumulate(r, of, of->args[0], node.args[n]);
}

static void dropout(const struct reverse *r, const struct graph_node *of)
{
    struct graph_node node = {.op = of->op};

    node.args[0] = grad_of(r, of->args[2]);
    node.args[1] = of->args[1];
    node.args[2] = like(r, of->args[0]);
    emit(r, of, "dx", &node, 3);
    accumulate(r, of, of->args[0], node.args[2]);
}

static void reverse_node(const struct reverse *r, const struct graph_node *of)
{
    switch ((int)of->op.kind) {
    case OP_CONV:
        conv(r, of);
        break;
    case OP_BN_ACT:
        batch_norm(r, of);
        break;
    case OP_BN_INFER:
        affine(r, of);
        break;
    case OP_GATE_ADD_ACT:
        gate_add(r, of);
        break;
    case OP_BN_JOIN:
        bn_join(r, of);
        break;
    case OP_BN_POOL:
        bn_pool(r, of);
        break;
    case OP_AVG_POOL2:
        map(r, of, OP_AVG_POOL2_BWD, false);
        break;
    case OP_GLOBAL_POOL:
        map(r, of, OP_GLOBAL_POOL_BWD, false);
        break;
    case OP_SIGMOID:
        map(r, of, OP_SIGMOID_BWD, true);
        break;
    case OP_MUL_ROW:
        dropout(r, of);
        break;
    case OP_SOFTMAX_CE:
        accumulate(r, of, of->args[0], of->args[4]);
        break;
    case OP_NORMALIZE:
        break;
    default:
        assert(false && "a forward node without a backward");
    }
}

static void find_joins(struct reverse *r, size_t n_values)
{
    for (size_t i = 0; i < n_values; i++) {
        r->grad[i] = GRAPH_NONE;
        r->more[i] = NO_MORE;
    }
    for (int i = 0; i < r->g->n_forward; i++) {
        const struct graph_node *node = &r->g->nodes[i];

        if (node->op.kind == OP_BN_JOIN) {
            r->join[node->args[0]] = i;
            r->more[node->args[6]] = GRAPH_NONE;
        }
    }
}

enum rc net_backward_build(const struct net_build *b, struct err *e)
{
    struct graph *g = b->graph;
    struct reverse r = {.b = b, .g = g};
    size_t n = (size_t)g->n_values;

    r.grad = mem_calloc(3 * n, sizeof *r.grad);
    if (r.grad == NULL) {
        return mem_raise(e, "gradients of the graph", 3 * n * sizeof *r.grad);
    }
    r.more = r.grad + n;
    r.join = r.more + n;
    find_joins(&r, n);
    for (int i = g->n_forward - 1; i >= 0 && !g->out_of_memory; i--) {
        struct graph_node of = g->nodes[i]; /* a copy: the array moves as it grows */

        reverse_node(&r, &of);
    }
    mem_free(r.grad);
    return RC_OK;
}

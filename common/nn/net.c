#include "common/nn/net.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/nn/net_impl.h"

enum { SIZE_MIN = 8, SIZE_MAX_PX = 4096, BATCH_MAX = 65536 };

static enum rc check(const struct net_config *c, struct err *e)
{
    const char *name = c->model.family != NULL ? c->model.family->name : "?";
    int last = c->size;

    if (c->size < SIZE_MIN || c->size > SIZE_MAX_PX) {
        return err_raise(e, RC_INVAL, "network %s: size %d px is outside %d to %d", name, c->size,
                         SIZE_MIN, SIZE_MAX_PX);
    }
    if (c->batch < 1 || c->batch > BATCH_MAX) {
        return err_raise(e, RC_INVAL, "network %s: batch %d is outside 1 to %d", name, c->batch,
                         BATCH_MAX);
    }
    if (c->type == DT_U8 && !c->training && c->quant != NULL) {
        enum rc rc = net_quant_check(c, e);

        if (rc != RC_OK) {
            return rc;
        }
    } else if (c->type != DT_F32 && c->type != DT_BF16 && !(c->type == DT_F64 && c->training)) {
        return err_raise(e, RC_INVAL, "network %s: type %s (f32 or bf16 expected)", name,
                         dtype_name(c->type));
    }
    for (int s = c->model.family->stem == NN_STEM_RS ? 4 : 2; s > 1; s /= 2) {
        last = (last - 1) / 2 + 1;
    }
    for (int s = 1; s < c->model.family->stages; s++) {
        last = (last - 1) / 2 + 1;
    }
    if (c->training && c->batch * last * last < 2) {
        return err_raise(e, RC_INVAL,
                         "network %s: batch %d at %d px leaves one value a channel in the last "
                         "stage, too few for batch norm: take a larger batch or size",
                         name, c->batch, c->size);
    }
    return RC_OK;
}

/* ---- plans ----------------------------------------------------------------------------------- */

/* Convolutions that pack weights have a state of their own. */
static bool stateless(enum op_kind kind)
{
    return kind != OP_CONV && kind != OP_CONV_BWD_DATA && kind != OP_CONV_Q;
}

/* Batch norms of training: args 4 to 6 are mean, variance and what is saved. */
static bool has_statistics(enum op_kind kind)
{
    return kind == OP_BN_ACT || kind == OP_BN_POOL;
}

static struct plan *find_plan(const struct net *n, int node)
{
    const struct op_desc *op = &n->graph.nodes[node].op;

    for (int i = 0; i < node && stateless(op->kind); i++) {
        if (memcmp(&n->graph.nodes[i].op, op, sizeof *op) == 0) {
            return n->plans[i];
        }
    }
    return NULL;
}

static bool shared(const struct net *n, int node)
{
    for (int i = 0; i < node; i++) {
        if (n->plans[i] == n->plans[node]) {
            return true;
        }
    }
    return false;
}

static enum rc create_plans(struct net *n, struct err *e)
{
    for (int i = 0; i < n->graph.n_nodes; i++) {
        struct graph_node *node = &n->graph.nodes[i];

        n->plans[i] = find_plan(n, i);
        if (n->plans[i] == NULL) {
            enum rc rc = plan_create(n->dev, &node->op, &n->plans[i], e);

            if (rc != RC_OK) {
                return rc;
            }
        }
        n->describe[i] = mem_sprintf("%s: %s", node->name, plan_describe(n->plans[i]));
        if (n->describe[i] == NULL) {
            return mem_raise(e, "descriptions of plans", 0);
        }
        if (has_statistics(node->op.kind)) {
            n->graph.values[node->args[6]].bytes = plan_saved_bytes(n->plans[i]);
        }
    }
    return RC_OK;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static enum rc alloc_device(struct net *n, struct err *e)
{
    size_t stats = n->params->n_total - n->params->n_trainable;
    void *p = NULL;
    enum rc rc = device_alloc(n->dev, n->graph.planned_bytes, "activations", &n->planned, e);

    for (int i = 0; i < BUFFER_N && rc == RC_OK; i++) {
        if (n->graph.buffer_bytes[i] > 0) {
            rc = device_alloc(n->dev, n->graph.buffer_bytes[i], "inputs and outputs",
                              &n->buffers[i], e);
        }
    }
    if (rc == RC_OK) {
        rc = device_alloc(n->dev, n->graph.affine_floats * sizeof(float), "folded BN", &p, e);
        n->affine = p;
    }
    if (rc == RC_OK && n->config.training) {
        rc = device_alloc(n->dev, stats * sizeof(float), "batch statistics", &p, e);
        n->stats = rc == RC_OK ? p : NULL;
    }
    return rc;
}

/* The same, and where a GPU's memory runs out about how many images it has room for. */
static enum rc alloc_device_or_say(struct net *n, struct err *e)
{
    struct err own = {0};
    size_t before = 0, total = 0, need = n->graph.planned_bytes;
    const bool known = device_memory(n->dev, &before, &total, NULL) == RC_OK;
    const enum rc rc = alloc_device(n, &own);

    if (rc == RC_OK) {
        return RC_OK;
    }
    for (int i = 0; i < BUFFER_N; i++) {
        need += n->graph.buffer_bytes[i];
    }
    if (rc != RC_NOMEM || !known) {
        return err_raise(e, rc, "%s", own.msg);
    }
    return err_raise(e, rc, "%s; of the batch of %d about %d images fit", own.msg, n->config.batch,
                     (int)((double)n->config.batch * (double)before / (double)need));
}

static enum rc alloc_host(struct net *n, struct err *e)
{
    size_t nodes = (size_t)n->graph.n_nodes;
    size_t stats = n->params->n_total - n->params->n_trainable;

    n->args = mem_calloc(nodes, sizeof *n->args);
    n->watermark = mem_calloc(nodes, sizeof *n->watermark);
    n->seconds = mem_calloc(nodes, sizeof *n->seconds);
    n->host_logits = mem_calloc(1, n->graph.buffer_bytes[BUFFER_LOGITS]);
    n->host_stats = mem_calloc(2 * stats, sizeof *n->host_stats);
    n->unbiased = mem_calloc(stats, sizeof *n->unbiased);
    if (n->args == NULL || n->watermark == NULL || n->seconds == NULL || n->host_logits == NULL ||
        n->host_stats == NULL || n->unbiased == NULL) {
        return mem_raise(e, "network", nodes * sizeof *n->args);
    }
    return RC_OK;
}

static void *place(const struct net *n, const struct graph_value *v)
{
    switch (v->home) {
    case GRAPH_PLANNED:
        return (char *)n->planned + v->at;
    case GRAPH_PARAM:
        return n->bound_params == NULL ? NULL : n->bound_params + v->at;
    case GRAPH_GRAD:
        return n->bound_grads == NULL ? NULL : n->bound_grads + v->at;
    case GRAPH_STATS:
        return n->stats + v->at;
    case GRAPH_AFFINE:
        return n->affine + v->at;
    case GRAPH_BUFFER:
        return (char *)n->buffers[v->at] + v->skip;
    }
    assert(false && "a home of values");
    return NULL;
}

static void resolve_args(struct net *n)
{
    for (int i = 0; i < n->graph.n_nodes; i++) {
        const struct graph_node *node = &n->graph.nodes[i];

        for (int a = 0; a < node->n_args; a++) {
            n->args[i][a] =
                node->args[a] == GRAPH_NONE ? NULL : place(n, &n->graph.values[node->args[a]]);
        }
    }
}

void net_bind(struct net *n, float *params, float *grads)
{
    assert(n->config.training);
    n->bound_params = params;
    n->bound_grads = grads;
    resolve_args(n);
}

/* Unfused training multiplies by a scale of 1 (its shift is the bias itself). */
static enum rc fill_ones(struct net *n, struct err *e)
{
    size_t floats = n->graph.affine_floats;
    float *ones = mem_calloc(floats, sizeof *ones);
    enum rc rc;

    if (ones == NULL) {
        return mem_raise(e, "scales", floats * sizeof *ones);
    }
    for (size_t i = 0; i < floats; i++) {
        ones[i] = 1.0F;
    }
    rc = device_upload(n->dev, NULL, n->affine, ones, floats * sizeof *ones, e);
    if (rc == RC_OK) {
        rc = device_sync(n->dev, NULL, e);
    }
    mem_free(ones);
    return rc;
}

/* ---- buckets and statistics ------------------------------------------------------------------ */

/* Weights lie in forward order, so they are completed from the end: after each node, from where. */
static enum rc find_watermarks(struct net *n, struct err *e)
{
    const struct params *p = n->params;
    bool *done = mem_calloc((size_t)p->n_views, sizeof *done);
    int view = p->n_views - 1;
    size_t mark = p->n_decayed;

    if (done == NULL) {
        return mem_raise(e, "buckets", (size_t)p->n_views);
    }
    for (int i = 0; i < n->graph.n_nodes; i++) {
        const struct graph_node *node = &n->graph.nodes[i];

        if (node->op.kind == OP_CONV_BWD_WEIGHTS) {
            done[node->weight - p->views] = true;
        }
        while (view >= 0 && (p->views[view].kind != PARAM_WEIGHT || done[view])) {
            mark = p->views[view].kind == PARAM_WEIGHT ? p->views[view].offset : mark;
            view--;
        }
        n->watermark[i] = mark;
    }
    mem_free(done);
    return RC_OK;
}

static void find_unbiased(struct net *n)
{
    size_t start = n->params->n_trainable;

    for (int i = 0; i < n->graph.n_forward; i++) {
        const struct graph_node *node = &n->graph.nodes[i];

        if (has_statistics(node->op.kind)) {
            const struct op_map *o = &node->op.u.map;
            double count = (double)o->n * o->h * o->w;

            for (int c = 0; c < o->c; c++) {
                n->unbiased[node->bn[2].offset - start + (size_t)c] = 1.0;
                n->unbiased[node->bn[3].offset - start + (size_t)c] = count / (count - 1.0);
            }
        }
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static enum rc build(struct net *n, bool fused, bool joins, struct err *e)
{
    struct net_config config = n->config;
    struct net_build b = {&n->graph, n->params, &config, 0, fused, joins};
    enum rc rc = RC_OK;

    config.type = config.type == DT_U8 ? DT_F32 : config.type; /* of what int8 leaves in floats */
    b.input_channels = device_input_channels(n->dev, config.model.in_channels, config.type);
    if (n->config.type == DT_U8) {
        net_quant_build(&b, config.quant);
    } else {
        net_forward_build(&b);
    }
    if (n->config.training && !n->graph.out_of_memory) {
        rc = net_backward_build(&b, e);
    }
    if (rc == RC_OK && n->graph.out_of_memory) {
        rc = mem_raise(e, "graph of the network", 0);
    }
    return rc;
}

enum rc net_create_with(struct device *dev, const struct net_config *c, bool fused, bool joins,
                        struct net **out, struct err *e)
{
    struct net *n = mem_calloc(1, sizeof *n);
    enum rc rc = RC_OK;

    if (n == NULL) {
        return mem_raise(e, "network", sizeof *n);
    }
    n->dev = dev;
    n->config = *c;
    rc = params_create(&c->model, &n->params, e);
    rc = rc != RC_OK ? rc : check(c, e);
    rc = rc != RC_OK ? rc : build(n, fused, joins, e);
    if (rc != RC_OK) {
        goto out;
    }
    n->plans = mem_calloc((size_t)n->graph.n_nodes, sizeof *n->plans);
    n->describe = mem_calloc((size_t)n->graph.n_nodes, sizeof *n->describe);
    if (n->plans == NULL || n->describe == NULL) {
        rc = mem_raise(e, "plans", (size_t)n->graph.n_nodes * sizeof *n->plans);
        goto out;
    }
    rc = create_plans(n, e);
    rc = rc != RC_OK ? rc : graph_plan_memory(&n->graph, e);
    rc = rc != RC_OK ? rc : alloc_host(n, e);
    rc = rc != RC_OK ? rc : alloc_device_or_say(n, e);
    rc = rc != RC_OK ? rc : fill_ones(n, e);
    rc = rc != RC_OK ? rc : find_watermarks(n, e);
    if (rc != RC_OK) {
        goto out;
    }
    find_unbiased(n);
    resolve_args(n);
    *out = n;
    n = NULL; /* now the caller's */
out:
    net_destroy(n);
    return rc;
}

/* Whether the device has the joins, asked with the smallest of them. */
static enum rc ask_joins(struct device *dev, const struct net_config *c, bool *joins, struct err *e)
{
    const struct op_desc op = {
        .kind = OP_BN_POOL,
        .u.map = {.n = 1, .h = 1, .w = 1, .c = 1, .type = c->type, .eps = 1e-5F}};
    struct err refused = {0};
    struct plan *p = NULL;
    bool may = c->training && (c->type == DT_F32 || c->type == DT_BF16);
    enum rc rc = may ? plan_create(dev, &op, &p, &refused) : RC_UNSUPPORTED;

    plan_destroy(p);
    *joins = rc == RC_OK;
    return rc == RC_OK || rc == RC_UNSUPPORTED ? RC_OK : err_raise(e, rc, "%s", refused.msg);
}

enum rc net_create_one(struct device *dev, const struct net_config *c, struct net **out,
                       struct err *e)
{
    struct err refused = {0};
    bool joins = false;
    enum rc rc = ask_joins(dev, c, &joins, e);

    if (rc != RC_OK) {
        return rc;
    }
    rc = net_create_with(dev, c, true, joins, out, &refused);
    if (rc == RC_UNSUPPORTED && c->type != DT_U8) { /* which has no parts */
        return net_create_with(dev, c, false, joins, out, e);
    }
    return rc == RC_OK ? RC_OK : err_raise(e, rc, "%s", refused.msg);
}

static enum rc create_lanes(struct device *dev, const struct net_config *c, int lanes,
                            struct net **out, struct err *e)
{
    struct net *n = mem_calloc(1, sizeof *n);
    enum rc rc;

    if (n == NULL) {
        return mem_raise(e, "network", sizeof *n);
    }
    n->dev = dev;
    n->config = *c;
    rc = params_create(&c->model, &n->params, e);
    rc = rc != RC_OK ? rc : net_lanes_create(dev, c, lanes, &n->lanes, e);
    if (rc != RC_OK) {
        net_destroy(n);
        return rc;
    }
    *out = n;
    return RC_OK;
}

enum rc net_create(struct device *dev, const struct net_config *c, struct net **out, struct err *e)
{
    const int lanes = net_lanes_count(dev, c);

    return lanes > 1 ? create_lanes(dev, c, lanes, out, e) : net_create_one(dev, c, out, e);
}

void net_share_weights(struct net *n, const struct net *owner)
{
    for (int i = 0; i < n->graph.n_nodes; i++) {
        struct err differs = {0};

        if (n->graph.nodes[i].weight != NULL) {
            enum rc rc = plan_share(n->plans[i], owner->plans[i], &differs);

            (void)rc; /* refused: it keeps its own */
        }
    }
}

void net_destroy(struct net *n)
{
    if (n == NULL) {
        return;
    }
    net_lanes_destroy(n->lanes);
    net_stage_destroy(n->stage);
    for (int i = n->graph.n_nodes - 1; i >= 0 && n->plans != NULL; i--) {
        if (n->plans[i] != NULL && !shared(n, i)) {
            plan_destroy(n->plans[i]);
        }
    }
    for (int i = 0; i < n->graph.n_nodes && n->describe != NULL; i++) {
        mem_free(n->describe[i]);
    }
    for (int i = 0; i < BUFFER_N; i++) {
        device_free(n->dev, n->buffers[i]);
    }
    device_free(n->dev, n->planned);
    device_free(n->dev, n->affine);
    device_free(n->dev, n->stats);
    mem_free(n->plans);
    mem_free(n->describe);
    mem_free(n->args);
    mem_free(n->watermark);
    mem_free(n->seconds);
    mem_free(n->host_logits);
    mem_free(n->host_stats);
    mem_free(n->unbiased);
    graph_release(&n->graph);
    params_destroy(n->params);
    mem_free(n);
}

/* ---- what it is ------------------------------------------------------------------------------ */

const struct params *net_params(const struct net *n)
{
    return n->params;
}

int net_blocks(const struct net *n)
{
    return nn_family_blocks(n->params->model.family);
}

int net_features(const struct net *n)
{
    return nn_family_features(n->params->model.family);
}

void net_memory(const struct net *n, struct net_memory *out)
{
    if (n->lanes != NULL) {
        net_lanes_memory(n->lanes, out);
        return;
    }
    *out = (struct net_memory){.activations = n->graph.planned_bytes,
                               .lower_bound = n->graph.lower_bound};
    for (int i = 0; i < n->graph.n_nodes; i++) {
        out->weights += shared(n, i) ? 0 : plan_packed_bytes(n->plans[i]);
    }
    for (int i = 0; i < BUFFER_N; i++) {
        out->buffers += n->graph.buffer_bytes[i];
    }
}

double net_flops(const struct net *n)
{
    double flops = 0;

    for (int i = 0; i < n->graph.n_nodes; i++) {
        flops += plan_flops(n->plans[i]);
    }
    return n->lanes != NULL ? net_lanes_flops(n->lanes) : flops;
}

static bool finite_view(const float *grads, const struct param_view *v)
{
    for (size_t i = 0; i < v->n; i++) {
        if (!isfinite(grads[v->offset + i])) {
            return false;
        }
    }
    return true;
}

const char *net_find_nonfinite(const struct net *n, const float *grads)
{
    const struct params *p = n->params;

    for (int i = 0; i < p->n_views; i++) {
        if (p->views[i].offset >= p->n_trainable && !finite_view(grads, &p->views[i])) {
            return p->views[i].name;
        }
    }
    for (int i = p->n_views - 1; i >= 0; i--) {
        if (p->views[i].offset < p->n_trainable && !finite_view(grads, &p->views[i])) {
            return p->views[i].name;
        }
    }
    return NULL;
}

/* Whose plans are shown: the first lane's where there are lanes. */
static const struct net *shown(const struct net *n)
{
    return n->lanes != NULL ? net_lanes_net(n->lanes, 0) : n;
}

int net_plans(const struct net *n)
{
    return shown(n)->graph.n_nodes;
}

const char *net_plan_describe(const struct net *n, int i)
{
    return shown(n)->describe[i];
}

const char *net_plan_category(const struct net *n, int i)
{
    /* clang-format off */
    static const char *const of[OP_KIND_N] = {
        [OP_CONV]             = "convolution forward",
        [OP_CONV_BWD_DATA]    = "convolution d-data",
        [OP_CONV_BWD_WEIGHTS] = "convolution d-weights",
        [OP_BN_ACT]           = "batch norm",
        [OP_BN_ACT_BWD]       = "batch norm",
        [OP_BN_INFER]         = "batch norm",
        [OP_RELU_BWD]         = "batch norm",
        [OP_GATE_ADD_ACT]     = "join",
        [OP_GATE_ADD_ACT_BWD] = "join",
        [OP_ADD]              = "join",
        [OP_AVG_POOL2]        = "pool",
        [OP_AVG_POOL2_BWD]    = "pool",
        [OP_GLOBAL_POOL]      = "pool",
        [OP_GLOBAL_POOL_BWD]  = "pool",
        [OP_MUL_ROW]          = "dropout",
        [OP_SOFTMAX_CE]       = "loss",
        [OP_NORMALIZE]        = "pixels",
        [OP_CONV_Q]           = "convolution forward",
        [OP_QUANTIZE]         = "pixels",
        [OP_AVG_POOL2_Q]      = "pool",
        [OP_GLOBAL_POOL_Q]    = "pool",
        [OP_GATE_ADD_ACT_Q]   = "join",
        [OP_BN_POOL]          = "batch norm",
        [OP_BN_JOIN]          = "join",
        [OP_BN_JOIN_BWD]      = "join",
        [OP_BN_POOL_BWD]      = "batch norm",
    };
    /* clang-format on */
    const struct graph_node *node = &shown(n)->graph.nodes[i];

    return strstr(node->name, ".se.") != NULL ? "SE" : of[node->op.kind];
}

void net_trace(struct net *n, struct trace *t)
{
    n->trace = t;
    if (n->lanes != NULL) {
        net_trace(net_lanes_net(n->lanes, 0), t);
    }
}

void net_profile(struct net *n, bool on)
{
    n->profiled = on;
    if (n->lanes != NULL) {
        net_profile(net_lanes_net(n->lanes, 0), on);
    }
}

double net_plan_seconds(const struct net *n, int i)
{
    return shown(n)->seconds[i];
}

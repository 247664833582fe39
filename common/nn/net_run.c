/* What a network does once it is built: packing, inference, a training pass, buckets. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/nn/net_impl.h"

static const double BN_EPS = 1e-5;

/* ---- packing --------------------------------------------------------------------------------- */

/* scale and shift of one convolution's output channels, from its BN or its bias. */
static void fold(const struct graph_node *node, const float *params, float *scale, float *shift)
{
    int k = node->op.u.conv.k;

    for (int i = 0; i < k; i++) {
        if (node->bn == NULL) {
            scale[i] = 1.0F;
            shift[i] = params[node->bias->offset + (size_t)i];
        } else {
            const struct param_view *v = node->bn; /* gamma, beta, mean, var */
            double gamma = (double)params[v[0].offset + (size_t)i];
            double beta = (double)params[v[1].offset + (size_t)i];
            double mean = (double)params[v[2].offset + (size_t)i];
            double var = (double)params[v[3].offset + (size_t)i];
            double s = gamma / sqrt(var + BN_EPS);

            scale[i] = (float)s;
            shift[i] = (float)(beta - mean * s);
        }
    }
}

static enum rc pack_folded(struct net *n, const float *params, float *staged, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < n->graph.n_nodes && rc == RC_OK; i++) {
        const struct graph_node *node = &n->graph.nodes[i];
        const float *scale = n->affine + node->affine;
        bool fused;

        if ((node->op.kind != OP_CONV && node->op.kind != OP_CONV_Q) ||
            plan_packed_bytes(n->plans[i]) == 0) {
            continue; /* or it shares another plan's */
        }
        fused = node->op.u.conv.with_bias;
        /* The staging buffer is used again: the queue keeps copies and packing in order. */
        rc = device_upload(n->dev, NULL, staged, params + node->weight->offset,
                           node->weight->n * sizeof *params, e);
        if (rc == RC_OK) {
            rc = plan_pack(n->plans[i], staged, fused ? scale + node->op.u.conv.k : NULL,
                           fused && node->bn != NULL ? scale : NULL, e);
        }
    }
    return rc;
}

static size_t largest_weight(const struct net *n)
{
    size_t most = 0;

    for (int i = 0; i < n->params->n_views; i++) {
        most = n->params->views[i].n > most ? n->params->views[i].n : most;
    }
    return most;
}

enum rc net_load(struct net *n, const float *params, struct err *e)
{
    float *affine;
    void *staged = NULL;
    enum rc rc = RC_OK;

    assert(!n->config.training);
    if (n->lanes != NULL) {
        return net_lanes_load(n->lanes, params, e);
    }
    affine = mem_calloc(n->graph.affine_floats, sizeof *affine);
    if (affine == NULL) {
        rc = mem_raise(e, "folded BN", n->graph.affine_floats * sizeof *affine);
        goto out;
    }
    for (int i = 0; i < n->graph.n_nodes; i++) {
        const struct graph_node *node = &n->graph.nodes[i];

        if (node->op.kind == OP_CONV || node->op.kind == OP_CONV_Q) {
            fold(node, params, affine + node->affine, affine + node->affine + node->op.u.conv.k);
        }
        net_quant_fold(node, affine + node->affine);
    }
    rc =
        device_alloc(n->dev, largest_weight(n) * sizeof(float), "weights to be packed", &staged, e);
    if (rc == RC_OK) {
        rc = device_upload(n->dev, NULL, n->affine, affine, n->graph.affine_floats * sizeof *affine,
                           e);
    }
    if (rc == RC_OK) {
        rc = pack_folded(n, params, staged, e);
    }
    if (rc == RC_OK) {
        rc = device_sync(n->dev, NULL, e);
    }
out:
    device_free(n->dev, staged);
    mem_free(affine);
    return rc;
}

static enum rc refresh_plan(struct net *n, int i, struct err *e)
{
    const struct graph_node *node = &n->graph.nodes[i];
    const bool with_bias = node->op.u.conv.with_bias;
    const double start = clock_now();
    enum rc rc = plan_pack(n->plans[i], n->bound_params + node->weight->offset,
                           with_bias ? n->bound_params + node->bias->offset : NULL, NULL, e);

    trace_span(n->trace, "reorder", node->name, "weights into the plan's layout", start);
    return rc;
}

enum rc net_refresh_range(struct net *n, size_t from, size_t to, struct err *e)
{
    enum rc rc = RC_OK;

    assert(n->config.training && n->bound_params != NULL);
    for (int i = 0; i < n->graph.n_nodes && rc == RC_OK; i++) {
        const struct graph_node *node = &n->graph.nodes[i];
        size_t last;

        if (node->op.kind != OP_CONV && node->op.kind != OP_CONV_BWD_DATA) {
            continue;
        }
        last = node->op.u.conv.with_bias ? node->bias->offset : node->weight->offset;
        if (last >= from && last < to) {
            rc = refresh_plan(n, i, e);
        }
    }
    return rc;
}

enum rc net_refresh(struct net *n, struct err *e)
{
    return net_refresh_range(n, 0, n->params->n_total, e);
}

void net_observe(struct net *n, net_observe_fn *fn, void *ctx)
{
    assert(fn == NULL || (!n->config.training && n->config.type == DT_F32 && n->lanes == NULL));
    n->observe = fn;
    n->observe_ctx = ctx;
}

/* Show what node i has written: its last argument, on the host. */
static enum rc observe(struct net *n, int i, struct err *e)
{
    const struct graph_node *node = &n->graph.nodes[i];
    const struct graph_value *v = &n->graph.values[node->args[node->n_args - 1]];
    enum rc rc = RC_OK;

    if (!device_is_host(n->dev)) {
        return err_raise(e, RC_UNSUPPORTED, "activations can only be watched on the host");
    }
    rc = device_sync(n->dev, NULL, e);
    return rc != RC_OK ? rc
                       : n->observe(n->observe_ctx, node->name, n->args[i][node->n_args - 1],
                                    (size_t)n->config.batch * (size_t)v->h * (size_t)v->w, v->c, e);
}

/* ---- running --------------------------------------------------------------------------------- */

static enum rc run_node(struct net *n, int i, struct err *e)
{
    double start;
    enum rc rc;

    if (!n->profiled && !trace_on(n->trace)) {
        return plan_run(n->plans[i], n->args[i], e);
    }
    start = clock_now();
    rc = plan_run(n->plans[i], n->args[i], e);
    if (rc == RC_OK) {
        rc = device_sync(n->dev, NULL, e);
    }
    n->seconds[i] += n->profiled ? clock_now() - start : 0;
    trace_span(n->trace, net_plan_category(n, i), n->graph.nodes[i].name,
               plan_describe(n->plans[i]), start);
    return rc;
}

static enum rc run_nodes(struct net *n, int from, int to, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = from; i < to && rc == RC_OK; i++) {
        rc = run_node(n, i, e);
        if (rc == RC_OK && n->observe != NULL) {
            rc = observe(n, i, e);
        }
        if (rc == RC_OK && n->stage != NULL && i == n->reads_pixels) {
            rc = net_stage_used(n->stage, e);
        }
    }
    return rc;
}

static enum rc upload(struct net *n, enum graph_buffer which, const void *src, struct err *e)
{
    const double start = clock_now();
    enum rc rc;

    if (n->buffers[which] == NULL) {
        return RC_OK; /* this network has no such input */
    }
    assert(src != NULL);
    rc = device_upload(n->dev, NULL, n->buffers[which], src, n->graph.buffer_bytes[which], e);
    trace_span(n->trace, "copy", "input to the device", NULL, start);
    return rc;
}

void net_ask_ahead(struct net *n, net_coming_fn *fn, void *ctx)
{
    n->coming = fn;
    n->coming_ctx = ctx;
    if (n->stage != NULL) {
        net_stage_drop(n->stage);
    }
}

static bool reads_pixels(const struct net *n, int i)
{
    const struct graph_node *node = &n->graph.nodes[i];
    bool reads = false;

    for (int a = 0; a < node->n_args; a++) {
        const struct graph_value *v =
            node->args[a] != GRAPH_NONE ? &n->graph.values[node->args[a]] : NULL;

        reads = reads || (v != NULL && v->home == GRAPH_BUFFER && v->at == BUFFER_PIXELS);
    }
    return reads;
}

/* With the first pass: a described device copies nothing. */
static enum rc create_stage(struct net *n, struct err *e)
{
    for (int i = 0; i < n->graph.n_nodes; i++) {
        n->reads_pixels = reads_pixels(n, i) ? i : n->reads_pixels;
    }
    return net_stage_create(n->dev, n->graph.buffer_bytes[BUFFER_PIXELS], n->buffers[BUFFER_PIXELS],
                            &n->stage, e);
}

static enum rc upload_pixels(struct net *n, const uint8_t *pixels, struct err *e)
{
    const double start = clock_now();
    enum rc rc = RC_OK;

    if (device_is_host(n->dev)) {
        return upload(n, BUFFER_PIXELS, pixels, e);
    }
    rc = n->stage == NULL ? create_stage(n, e) : RC_OK;
    rc = rc != RC_OK ? rc : net_stage_take(n->stage, pixels, e);
    trace_span(n->trace, "copy", "input to the device", NULL, start);
    return rc;
}

/* All of a pass is queued: the time to copy what comes next. */
static enum rc copy_ahead(struct net *n, struct err *e)
{
    const double start = clock_now();
    const uint8_t *pixels = n->stage != NULL && n->coming != NULL ? n->coming(n->coming_ctx) : NULL;
    enum rc rc = pixels != NULL ? net_stage_put(n->stage, pixels, e) : RC_OK;

    if (pixels != NULL) {
        trace_span(n->trace, "copy", "the coming input to the device", NULL, start);
    }
    return rc;
}

/* Logits of a training pass -> f32. */
static void narrow_logits(const struct net *n, float *logits)
{
    size_t count = (size_t)n->config.batch * (size_t)n->config.model.classes;

    for (size_t i = 0; i < count; i++) {
        logits[i] = n->config.type == DT_F64 ? (float)((const double *)n->host_logits)[i]
                                             : bf16_to_f32(((const uint16_t *)n->host_logits)[i]);
    }
}

static enum rc fetch_logits(struct net *n, float *logits, struct err *e)
{
    size_t bytes = n->graph.buffer_bytes[BUFFER_LOGITS];
    bool wide = net_logits_type(&n->config) == DT_F32;
    enum rc rc;

    rc = device_download(n->dev, NULL, wide ? (void *)logits : n->host_logits,
                         n->buffers[BUFFER_LOGITS], bytes, e);
    if (rc == RC_OK) {
        rc = device_sync(n->dev, NULL, e);
    }
    if (rc == RC_OK && !wide) {
        narrow_logits(n, logits);
    }
    return rc;
}

enum rc net_infer(struct net *n, const uint8_t *pixels, float *logits, struct err *e)
{
    enum rc rc;

    assert(!n->config.training);
    if (n->lanes != NULL) {
        return net_lanes_infer(n->lanes, pixels, logits, e);
    }
    rc = upload_pixels(n, pixels, e);
    rc = rc != RC_OK ? rc : run_nodes(n, 0, n->graph.n_nodes, e);
    rc = rc != RC_OK ? rc : copy_ahead(n, e);
    return rc == RC_OK ? fetch_logits(n, logits, e) : rc;
}

void net_softmax(const float *logits, int rows, int classes, float *probs)
{
    for (int r = 0; r < rows; r++) {
        const float *x = logits + (size_t)r * (size_t)classes;
        float *p = probs + (size_t)r * (size_t)classes;
        double most = (double)x[0];
        double sum = 0;

        for (int k = 1; k < classes; k++) {
            most = (double)x[k] > most ? (double)x[k] : most;
        }
        for (int k = 0; k < classes; k++) {
            sum += exp((double)x[k] - most);
        }
        for (int k = 0; k < classes; k++) {
            p[k] = (float)(exp((double)x[k] - most) / sum);
        }
    }
}

/* ---- a training pass ------------------------------------------------------------------------- */

static enum rc upload_targets(struct net *n, const uint8_t *pixels, const struct net_targets *t,
                              struct err *e)
{
    enum rc rc = upload_pixels(n, pixels, e);

    rc = rc != RC_OK ? rc : upload(n, BUFFER_TARGET, t->target, e);
    rc = rc != RC_OK ? rc : upload(n, BUFFER_WEIGHT, t->weight, e);
    rc = rc != RC_OK ? rc : upload(n, BUFFER_KEEP, t->keep, e);
    return rc != RC_OK ? rc : upload(n, BUFFER_DROPOUT, t->dropout, e);
}

/* Weights from `complete` on will not change any more. */
static enum rc advance_buckets(struct net *n, size_t complete, struct err *e)
{
    size_t end = n->bucket_end;

    if (n->on_bucket == NULL || end == 0 ||
        (complete > 0 && (complete >= end || end - complete < n->bucket_floats))) {
        return RC_OK;
    }
    n->bucket_end = complete;
    return n->on_bucket(n->bucket_ctx, complete, end, e);
}

static enum rc rest_bucket(struct net *n, struct err *e)
{
    if (n->on_bucket == NULL || n->bucket_rest) {
        return RC_OK;
    }
    n->bucket_rest = true;
    return n->on_bucket(n->bucket_ctx, n->params->n_decayed, n->params->n_total, e);
}

void net_on_bucket(struct net *n, net_bucket_fn *fn, void *ctx, size_t bucket_floats)
{
    n->on_bucket = fn;
    n->bucket_ctx = ctx;
    n->bucket_floats = bucket_floats;
    n->bucket_end = n->params->n_decayed;
    n->bucket_rest = false;
}

enum rc net_flush_buckets(struct net *n, struct err *e)
{
    enum rc rc = RC_OK;

    enum rc rest;

    for (int i = n->graph.n_forward; i < n->graph.n_nodes; i++) {
        enum rc one = advance_buckets(n, n->watermark[i], e);

        rc = rc == RC_OK ? one : rc;
    }
    rest = rest_bucket(n, e);
    return rc == RC_OK ? rest : rc;
}

/* The gradients' BN part += mean and unbiased variance of this batch. */
static enum rc add_statistics(struct net *n, struct err *e)
{
    size_t count = n->params->n_total - n->params->n_trainable;
    float *grads = n->bound_grads + n->params->n_trainable;
    float *batch = n->host_stats;
    float *sum = n->host_stats + count;
    const double start = clock_now();
    enum rc rc;

    rc = device_download(n->dev, NULL, batch, n->stats, count * sizeof *batch, e);
    rc = rc != RC_OK ? rc : device_download(n->dev, NULL, sum, grads, count * sizeof *sum, e);
    rc = rc != RC_OK ? rc : device_sync(n->dev, NULL, e);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < count; i++) {
        sum[i] += (float)((double)batch[i] * n->unbiased[i]);
    }
    rc = device_upload(n->dev, NULL, grads, sum, count * sizeof *sum, e);
    rc = rc == RC_OK ? device_sync(n->dev, NULL, e) : rc;
    trace_span(n->trace, "batch norm", "statistics of the batch", NULL, start);
    return rc;
}

static enum rc run_backward(struct net *n, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = n->graph.n_forward; i < n->graph.n_nodes && rc == RC_OK; i++) {
        rc = run_node(n, i, e);
        if (rc == RC_OK) {
            rc = advance_buckets(n, n->watermark[i], e);
        }
    }
    return rc == RC_OK ? rest_bucket(n, e) : rc;
}

enum rc net_train(struct net *n, const uint8_t *pixels, const struct net_targets *t, float *loss,
                  float *logits, struct err *e)
{
    enum rc rc = upload_targets(n, pixels, t, e);

    assert(n->config.training && n->bound_grads != NULL);
    rc = rc != RC_OK ? rc : run_nodes(n, 0, n->graph.n_forward, e);
    rc = rc != RC_OK ? rc : add_statistics(n, e);
    rc = rc != RC_OK ? rc : run_backward(n, e);
    rc = rc != RC_OK ? rc : copy_ahead(n, e);
    if (rc == RC_OK && logits != NULL) {
        rc = fetch_logits(n, logits, e);
    }
    if (rc == RC_OK) {
        rc = device_download(n->dev, NULL, loss, n->buffers[BUFFER_LOSS],
                             n->graph.buffer_bytes[BUFFER_LOSS], e);
    }
    return rc == RC_OK ? device_sync(n->dev, NULL, e) : rc;
}

#include "common/nn/net.h"

#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/nn/net_impl.h"

static const float bn_eps = 1e-5f;

static enum rc net_io(struct net *n, enum graph_io io, size_t bytes, const char *what,
                      struct err *e)
{
    void *p = NULL;
    enum rc rc = device_alloc(n->dev, bytes, what, &p, e);

    if (rc == RC_OK) {
        n->io[io] = p;
        n->io_bytes[io] = bytes;
    }
    return rc;
}

static enum rc net_buffers(struct net *n, struct err *e)
{
    size_t batch = (size_t)n->c.batch;
    size_t pixels = batch * (size_t)n->c.size * (size_t)n->c.size * (size_t)n->c.model.in_channels;
    size_t classes = (size_t)n->c.model.classes;
    size_t floats = n->params->n_total * sizeof(float);
    void *p = NULL;
    enum rc rc = device_alloc(n->dev, n->graph.plan_bytes, "activations", &p, e);

    n->memory = p;
    if (rc == RC_OK) {
        rc = net_io(n, IO_PIXELS, pixels, "pixels", e);
    }
    if (rc == RC_OK) {
        p = NULL;
        rc = device_alloc(n->dev, floats, "parameters", &p, e);
        n->weights = p;
    }
    if (rc != RC_OK || !n->c.training) {
        return rc;
    }
    p = NULL;
    rc = device_alloc(n->dev, floats, "gradients", &p, e);
    n->grads = p;
    if (rc == RC_OK) {
        rc = net_io(n, IO_TARGET, batch * classes * sizeof(float), "targets", e);
    }
    if (rc == RC_OK) {
        rc = net_io(n, IO_WEIGHT, batch * sizeof(float), "loss weights", e);
    }
    if (rc == RC_OK) {
        rc = net_io(n, IO_LOSS, batch * sizeof(float), "losses", e);
    }
    if (rc == RC_OK) {
        rc = net_io(n, IO_KEEP, (size_t)n->blocks * batch * sizeof(float), "drop-path masks", e);
    }
    if (rc == RC_OK) {
        rc = net_io(n, IO_DROPOUT, (size_t)n->features * batch * sizeof(float), "dropout masks", e);
    }
    return rc;
}

enum rc net_create(struct device *dev, const struct net_config *c, struct net **out, struct err *e)
{
    struct net *n = NULL;
    enum rc rc = RC_OK;

    if (c->size < 8 || c->batch < 1) {
        return err_raise(e, RC_INVAL, "a network for %d images of %d px: expected at least 1 and 8",
                         c->batch, c->size);
    }
    n = mem_calloc(1, sizeof *n);
    if (n == NULL) {
        return mem_raise(e, "a network", sizeof *n);
    }
    n->c = *c;
    n->dev = dev;
    rc = params_create(&c->model, &n->params, e);
    if (rc == RC_OK) {
        rc = net_build(n, e);
    }
    if (rc == RC_OK) {
        rc = net_buffers(n, e);
    }
    if (rc != RC_OK) {
        net_destroy(n);
        return rc;
    }
    for (int i = 0; i < n->graph.n_nodes; i++) {
        n->packed += plan_packed_bytes(n->graph.nodes[i].plan);
        n->flops += plan_flops(n->graph.nodes[i].plan);
    }
    *out = n;
    return RC_OK;
}

void net_destroy(struct net *n)
{
    if (n == NULL) {
        return;
    }
    graph_release(&n->graph);
    for (int i = 0; i < IO_N; i++) {
        device_free(n->dev, n->io[i]);
    }
    device_free(n->dev, n->memory);
    device_free(n->dev, n->weights);
    device_free(n->dev, n->grads);
    params_destroy(n->params);
    mem_free(n->stats);
    mem_free(n);
}

/* BN as scale and shift of the convolution before it: w*scale, shift. */
static void net_fold(const float *params, const struct graph_node *node, int k, float *scale,
                     float *shift)
{
    for (int i = 0; i < k; i++) {
        float rstd = 1.0f / sqrtf(params[node->var + i] + bn_eps);

        scale[i] = params[node->gamma + i] * rstd;
        shift[i] = params[node->beta + i] - params[node->mean + i] * scale[i];
    }
}

static enum rc net_pack(struct net *n, const float *params, struct graph_node *node, struct err *e)
{
    enum { MAX_K = 8192 };
    float fold[2 * MAX_K];
    int k = node->op.u.conv.k;

    if (node->weights < 0) {
        return RC_OK;
    }
    if (node->gamma >= 0) {
        if (k > MAX_K) {
            return err_raise(e, RC_INVAL, "%d channels are more than %d", k, MAX_K);
        }
        net_fold(params, node, k, fold, fold + k);
        return plan_pack(node->plan, n->weights + node->weights, fold + k, fold, e);
    }
    return plan_pack(node->plan, n->weights + node->weights,
                     node->bias >= 0 ? n->weights + node->bias : NULL, NULL, e);
}

enum rc net_load(struct net *n, const float *params, struct err *e)
{
    enum rc rc =
        device_upload(n->dev, NULL, n->weights, params, n->params->n_total * sizeof *params, e);

    for (int i = 0; i < n->graph.n_nodes && rc == RC_OK; i++) {
        rc = net_pack(n, params, &n->graph.nodes[i], e);
    }
    return rc;
}

static void *net_address(const struct net *n, const struct graph_arg *a)
{
    switch (a->kind) {
    case ARG_NULL:
        break;
    case ARG_VALUE:
        return n->memory + n->graph.values[a->index].offset;
    case ARG_PARAM:
        return n->weights + a->offset;
    case ARG_GRAD:
        return n->grads + a->offset;
    case ARG_IO:
        return n->io[a->index] + a->offset;
    }
    return NULL;
}

static enum rc net_run(struct net *n, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < n->graph.n_nodes && rc == RC_OK; i++) {
        struct graph_node *node = &n->graph.nodes[i];
        void *args[PLAN_MAX_ARGS] = {NULL};
        double t = n->profile ? clock_now() : 0;

        for (int a = 0; a < node->n_args; a++) {
            args[a] = net_address(n, &node->args[a]);
        }
        rc = plan_run(node->plan, args, e);
        if (n->profile && rc == RC_OK) {
            rc = device_sync(n->dev, NULL, e);
            node->seconds += clock_now() - t;
        }
    }
    return rc;
}

static enum rc net_download_logits(struct net *n, float *logits, struct err *e)
{
    size_t count = (size_t)n->c.batch * (size_t)n->c.model.classes;
    const char *src = n->memory + n->graph.values[n->logits].offset;
    uint16_t *half = (uint16_t *)logits + count; /* the upper half of logits, widened in place */
    enum rc rc = RC_OK;

    if (n->c.type == DT_F32) {
        rc = device_download(n->dev, NULL, logits, src, count * sizeof *logits, e);
        return rc == RC_OK ? device_sync(n->dev, NULL, e) : rc;
    }
    rc = device_download(n->dev, NULL, half, src, count * sizeof *half, e);
    if (rc == RC_OK) {
        rc = device_sync(n->dev, NULL, e);
    }
    for (size_t i = 0; rc == RC_OK && i < count; i++) {
        logits[i] = bf16_to_f32(half[i]);
    }
    return rc;
}

enum rc net_infer(struct net *n, const uint8_t *pixels, float *logits, struct err *e)
{
    enum rc rc = device_upload(n->dev, NULL, n->io[IO_PIXELS], pixels, n->io_bytes[IO_PIXELS], e);

    if (rc == RC_OK) {
        rc = net_run(n, e);
    }
    return rc == RC_OK ? net_download_logits(n, logits, e) : rc;
}

void net_softmax(const float *logits, int rows, int classes, float *probs)
{
    for (int r = 0; r < rows; r++) {
        const float *x = logits + (size_t)r * (size_t)classes;
        float *p = probs + (size_t)r * (size_t)classes;
        double max = -INFINITY;
        double sum = 0;

        for (int k = 0; k < classes; k++) {
            max = (double)x[k] > max ? (double)x[k] : max;
        }
        for (int k = 0; k < classes; k++) {
            sum += exp((double)x[k] - max);
        }
        for (int k = 0; k < classes; k++) {
            p[k] = (float)(exp((double)x[k] - max) / sum);
        }
    }
}

/* A mask: the caller's, or ones. */
static enum rc net_mask(struct net *n, enum graph_io io, const float *mask, struct err *e)
{
    float *p = (float *)(void *)n->io[io];

    if (mask != NULL) {
        return device_upload(n->dev, NULL, p, mask, n->io_bytes[io], e);
    }
    for (size_t i = 0; i < n->io_bytes[io] / sizeof *p; i++) {
        p[i] = 1;
    }
    return RC_OK;
}

static enum rc net_feed(struct net *n, const uint8_t *pixels, const struct net_targets *t,
                        struct err *e)
{
    enum rc rc = device_upload(n->dev, NULL, n->io[IO_PIXELS], pixels, n->io_bytes[IO_PIXELS], e);

    if (rc == RC_OK) {
        rc = device_upload(n->dev, NULL, n->io[IO_TARGET], t->target, n->io_bytes[IO_TARGET], e);
    }
    if (rc == RC_OK) {
        rc = device_upload(n->dev, NULL, n->io[IO_WEIGHT], t->weight, n->io_bytes[IO_WEIGHT], e);
    }
    if (rc == RC_OK) {
        rc = net_mask(n, IO_KEEP, t->keep, e);
    }
    if (rc == RC_OK) {
        rc = net_mask(n, IO_DROPOUT, t->dropout, e);
    }
    if (rc == RC_OK) {
        rc = device_zero(n->dev, NULL, n->grads, n->params->n_total * sizeof *n->grads, e);
    }
    return rc;
}

/* This micro-batch's gradients and statistics join the caller's. */
static void net_accumulate(struct net *n, float *grads)
{
    for (int i = 0; i < n->n_stats; i++) {
        const struct net_stats *s = &n->stats[i];

        for (size_t c = 0; c < s->c; c++) {
            n->grads[s->var + c] = (float)((double)n->grads[s->var + c] * s->unbias);
        }
    }
    for (size_t i = 0; i < n->params->n_total; i++) {
        grads[i] += n->grads[i];
    }
}

enum rc net_train(struct net *n, const uint8_t *pixels, const struct net_targets *t, float *grads,
                  float *loss, float *logits, struct err *e)
{
    enum rc rc = net_feed(n, pixels, t, e);

    if (rc == RC_OK) {
        rc = net_run(n, e);
    }
    if (rc == RC_OK) {
        rc = device_download(n->dev, NULL, loss, n->io[IO_LOSS], n->io_bytes[IO_LOSS], e);
    }
    if (rc == RC_OK && logits != NULL) {
        rc = net_download_logits(n, logits, e);
    }
    if (rc == RC_OK) {
        rc = device_sync(n->dev, NULL, e);
    }
    if (rc == RC_OK) {
        net_accumulate(n, grads);
        if (n->bucket != NULL) {
            rc = n->bucket(n->bucket_ctx, 0, n->params->n_total, e);
        }
    }
    return rc;
}

void net_on_bucket(struct net *n, net_bucket_fn *fn, void *ctx, size_t bucket_floats)
{
    n->bucket = fn;
    n->bucket_ctx = ctx;
    n->bucket_floats = bucket_floats;
}

const struct params *net_params(const struct net *n)
{
    return n->params;
}

int net_blocks(const struct net *n)
{
    return n->blocks;
}

int net_features(const struct net *n)
{
    return n->features;
}

void net_memory(const struct net *n, struct net_memory *out)
{
    *out = (struct net_memory){n->graph.plan_bytes, n->graph.lower_bound, n->packed, 0};
}

double net_flops(const struct net *n)
{
    return n->flops;
}

const char *net_find_nonfinite(const struct net *n, const float *grads)
{
    for (int v = 0; v < n->params->n_views; v++) {
        const struct param_view *view = &n->params->views[v];

        for (size_t i = 0; i < view->n; i++) {
            if (!isfinite(grads[view->offset + i])) {
                return view->name;
            }
        }
    }
    return NULL;
}

int net_plans(const struct net *n)
{
    return n->graph.n_nodes;
}

const char *net_plan_describe(const struct net *n, int i)
{
    return plan_describe(n->graph.nodes[i].plan);
}

void net_profile(struct net *n, bool on)
{
    n->profile = on;
}

double net_plan_seconds(const struct net *n, int i)
{
    return n->graph.nodes[i].seconds;
}

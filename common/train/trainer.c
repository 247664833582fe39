#include "common/train/trainer.h"

#include <assert.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/train/trainer_impl.h"

enum {
    BUCKET_MIN = 1 << 20, /* floats: 4 MiB hides latency, leaves some to overlap */
    BUCKETS_MOST = COLL_MAX_PENDING / 2,
    SLICE_MIN = 1 << 18 /* floats: 1 MiB of each of the optimizer's four buffers */
};

static enum rc check(const struct trainer_config *c, struct err *e)
{
    if (c->micro_batches < 1) {
        return err_raise(e, RC_INVAL, "trainer: %d micro-batches a step (1 or more expected)",
                         c->micro_batches);
    }
    if (!(c->dropout >= 0 && c->dropout < 1) || !(c->drop_path >= 0 && c->drop_path < 1)) {
        return err_raise(e, RC_INVAL, "trainer: dropout %g and drop path %g must be in [0, 1)",
                         c->dropout, c->drop_path);
    }
    if (!(c->bn_momentum > 0 && c->bn_momentum <= 1) || !(c->ema_decay >= 0 && c->ema_decay < 1)) {
        return err_raise(e, RC_INVAL,
                         "trainer: BN momentum %g must be in (0, 1] and EMA decay %g in [0, 1)",
                         c->bn_momentum, c->ema_decay);
    }
    return RC_OK;
}

static size_t flat_floats(const struct trainer *t, enum trainer_flat which)
{
    return which == FLAT_MOMENTUM ? t->params->n_trainable : t->params->n_total;
}

static enum rc alloc_flat(struct trainer *t, struct err *e)
{
    static const char *const what[FLAT_N] = {"weights", "EMA", "momentum", "gradients"};

    for (int i = 0; i < FLAT_N; i++) {
        void *p = NULL;
        enum rc rc;

        if (i == FLAT_EMA && t->config.ema_decay == 0) {
            continue;
        }
        rc = device_alloc(t->dev, flat_floats(t, (enum trainer_flat)i) * sizeof(float), what[i], &p,
                          e);
        if (rc != RC_OK) {
            return rc;
        }
        t->flat[i] = p;
        if (!device_is_host(t->dev)) {
            t->mirror[i] = mem_aligned(flat_floats(t, (enum trainer_flat)i) * sizeof(float));
            if (t->mirror[i] == NULL) {
                return mem_raise(e, what[i], flat_floats(t, (enum trainer_flat)i) * sizeof(float));
            }
        }
    }
    return RC_OK;
}

/* The same, and where a GPU's memory runs out about how many images leave room for it. */
static enum rc alloc_flat_or_say(struct trainer *t, struct err *e)
{
    struct err own = {0};
    struct net_memory m;
    size_t before = 0, total = 0;
    double need = 0, images;
    const bool known = device_memory(t->dev, &before, &total, NULL) == RC_OK;
    const enum rc rc = alloc_flat(t, &own);

    if (rc == RC_OK) {
        return RC_OK;
    }
    for (int i = 0; i < FLAT_N; i++) {
        const bool kept = i != FLAT_EMA || t->config.ema_decay > 0;

        need += kept ? (double)(flat_floats(t, (enum trainer_flat)i) * sizeof(float)) : 0;
    }
    if (rc != RC_NOMEM || !known || need <= (double)before) {
        return err_raise(e, rc, "%s", own.msg);
    }
    net_memory(t->net, &m);
    images = 1 - (need - (double)before) / (double)(m.activations + m.buffers);
    images *= t->config.net.batch;
    return err_raise(e, rc, "%s; of the batch of %d about %d images fit", own.msg,
                     t->config.net.batch, images > 0 ? (int)images : 0);
}

static enum rc alloc_host(struct trainer *t, struct err *e)
{
    size_t batch = (size_t)t->config.net.batch;
    size_t stats = t->params->n_total - t->params->n_trainable;

    t->keep = mem_calloc((size_t)net_blocks(t->net) * batch, sizeof *t->keep);
    t->dropout = mem_calloc((size_t)net_features(t->net) * batch, sizeof *t->dropout);
    t->loss = mem_calloc(batch, sizeof *t->loss);
    for (int i = 0; i < 3; i++) {
        t->stats[i] = mem_calloc(stats, sizeof *t->stats[i]);
    }
    if (t->keep == NULL || t->dropout == NULL || t->loss == NULL || t->stats[0] == NULL ||
        t->stats[1] == NULL || t->stats[2] == NULL) {
        return mem_raise(e, "trainer", stats * sizeof(float));
    }
    return RC_OK;
}

/* Where the slice that begins at from ends: before a view, or where weight decay does. */
static size_t slice_end(const struct trainer *t, size_t from, size_t end)
{
    size_t best = end;

    for (int i = 0; i < t->params->n_views; i++) {
        size_t at = t->params->views[i].offset;

        best = at >= from + SLICE_MIN && at < best ? at : best;
    }
    return best;
}

static enum rc create_slices(struct trainer *t, struct err *e)
{
    const struct params *p = t->params;
    const size_t decayed = t->config.decay_biases ? p->n_biased : p->n_decayed;
    struct op_desc op = {.kind = OP_SGD};
    enum rc rc = RC_OK;

    t->slices = mem_calloc((size_t)p->n_views + 2, sizeof *t->slices);
    if (t->slices == NULL) {
        return mem_raise(e, "trainer", (size_t)p->n_views * sizeof *t->slices);
    }
    op.u.sgd.momentum = (float)t->config.momentum;
    op.u.sgd.nesterov = t->config.nesterov;
    for (size_t at = 0; at < p->n_trainable && rc == RC_OK;) {
        struct trainer_slice *s = &t->slices[t->n_slices++];

        s->decayed = at < decayed;
        s->from = at;
        s->to = slice_end(t, at, s->decayed ? decayed : p->n_trainable);
        op.u.sgd.n = s->to - s->from;
        rc = plan_create(t->dev, &op, &s->sgd, e);
        at = s->to;
    }
    return rc;
}

static enum rc create_squares(struct trainer *t, struct err *e)
{
    const size_t n[2] = {t->params->n_trainable, t->params->n_total - t->params->n_trainable};
    void *found = NULL;
    enum rc rc = device_alloc(t->dev, 2 * sizeof *t->squared, "the gradient's norm", &found, e);

    t->squared = found;
    for (int i = 0; i < 2 && rc == RC_OK; i++) {
        const struct op_desc op = {.kind = OP_SQUARES, .u.squares = {n[i]}};

        rc = plan_create(t->dev, &op, &t->squares[i], e);
    }
    return rc;
}

static enum rc init_weights(struct trainer *t, struct err *e)
{
    float *w = params_buffer(t->params);
    enum rc rc;

    if (w == NULL) {
        return mem_raise(e, "initial weights", t->params->n_total * sizeof *w);
    }
    params_init(t->params, t->config.seed, t->config.fc_std, w);
    rc = trainer_restore(t, w, NULL, NULL, 0, e);
    mem_free(w);
    return rc;
}

enum rc trainer_create(struct device *dev, struct coll *coll, const struct trainer_config *c,
                       struct trainer **out, struct err *e)
{
    struct trainer *t = mem_calloc(1, sizeof *t);
    enum rc rc = RC_OK;

    if (t == NULL) {
        return mem_raise(e, "trainer", sizeof *t);
    }
    t->dev = dev;
    t->coll = coll;
    t->config = *c;
    t->config.net.training = true;
    t->config.net.with_keep = c->drop_path > 0;
    t->config.net.with_dropout = c->dropout > 0;
    rc = check(c, e);
    rc = rc != RC_OK ? rc : net_create(dev, &t->config.net, &t->net, e);
    if (rc != RC_OK) {
        goto out;
    }
    t->params = net_params(t->net);
    t->bucket_floats = t->params->n_decayed / BUCKETS_MOST;
    t->bucket_floats = t->bucket_floats > BUCKET_MIN ? t->bucket_floats : BUCKET_MIN;
    rc = alloc_flat_or_say(t, e);
    rc = rc != RC_OK ? rc : alloc_host(t, e);
    rc = rc != RC_OK ? rc : create_slices(t, e);
    rc = rc != RC_OK ? rc : create_squares(t, e);
    if (rc != RC_OK) {
        goto out;
    }
    net_bind(t->net, t->flat[FLAT_WEIGHTS], t->flat[FLAT_GRADS]);
    rc = init_weights(t, e);
    if (rc == RC_OK) {
        *out = t;
        t = NULL; /* now the caller's */
    }
out:
    trainer_destroy(t);
    return rc;
}

void trainer_destroy(struct trainer *t)
{
    if (t == NULL) {
        return;
    }
    for (int i = 0; i < t->n_slices; i++) {
        plan_destroy(t->slices[i].sgd);
    }
    mem_free(t->slices);
    plan_destroy(t->squares[0]);
    plan_destroy(t->squares[1]);
    device_free(t->dev, t->squared);
    net_destroy(t->net);
    for (int i = 0; i < FLAT_N; i++) {
        device_free(t->dev, t->flat[i]);
        mem_free(t->mirror[i]);
    }
    for (int i = 0; i < 3; i++) {
        mem_free(t->stats[i]);
    }
    mem_free(t->keep);
    mem_free(t->dropout);
    mem_free(t->loss);
    mem_free(t);
}

void trainer_split(const struct trainer *t, int *first, int *count)
{
    int64_t m = t->config.micro_batches;
    int64_t r = coll_rank(t->coll);
    int64_t n = coll_size(t->coll);

    *first = (int)(m * r / n);
    *count = (int)(m * (r + 1) / n) - *first;
}

float *trainer_host(const struct trainer *t, enum trainer_flat which)
{
    float *host = t->mirror[which];
    size_t bytes = flat_floats(t, which) * sizeof(float);

    if (device_is_host(t->dev)) {
        return device_sync(t->dev, NULL, NULL) == RC_OK ? t->flat[which] : NULL;
    }
    if (device_download(t->dev, NULL, host, t->flat[which], bytes, NULL) != RC_OK ||
        device_sync(t->dev, NULL, NULL) != RC_OK) {
        return NULL;
    }
    return host;
}

int64_t trainer_steps(const struct trainer *t)
{
    return t->steps;
}

int64_t trainer_skipped(const struct trainer *t)
{
    return t->skipped;
}

const struct params *trainer_params(const struct trainer *t)
{
    return t->params;
}

const float *trainer_weights(const struct trainer *t)
{
    return trainer_host(t, FLAT_WEIGHTS);
}

const float *trainer_ema(const struct trainer *t)
{
    return trainer_host(t, t->flat[FLAT_EMA] != NULL ? FLAT_EMA : FLAT_WEIGHTS);
}

const float *trainer_momentum(const struct trainer *t)
{
    return trainer_host(t, FLAT_MOMENTUM);
}

enum rc trainer_restore(struct trainer *t, const float *weights, const float *ema,
                        const float *momentum, int64_t steps, struct err *e)
{
    size_t bytes = t->params->n_total * sizeof *weights;
    size_t trainable = t->params->n_trainable * sizeof *weights;
    enum rc rc = device_upload(t->dev, NULL, t->flat[FLAT_WEIGHTS], weights, bytes, e);

    if (rc == RC_OK && t->flat[FLAT_EMA] != NULL) {
        rc = device_upload(t->dev, NULL, t->flat[FLAT_EMA], ema != NULL ? ema : weights, bytes, e);
    }
    if (rc == RC_OK && momentum != NULL) {
        rc = device_upload(t->dev, NULL, t->flat[FLAT_MOMENTUM], momentum, trainable, e);
    } else if (rc == RC_OK) {
        rc = device_zero(t->dev, NULL, t->flat[FLAT_MOMENTUM], trainable, e);
    }
    rc = rc != RC_OK ? rc : device_sync(t->dev, NULL, e);
    rc = rc != RC_OK ? rc : net_refresh(t->net, e);
    if (rc == RC_OK) {
        t->steps = steps;
    }
    return rc;
}

const struct net *trainer_net(const struct trainer *t)
{
    return t->net;
}

void trainer_ask_ahead(struct trainer *t, net_coming_fn *fn, void *ctx)
{
    net_ask_ahead(t->net, fn, ctx);
}

void trainer_trace(struct trainer *t, struct trace *trace)
{
    t->trace = trace;
    net_trace(t->net, trace);
}

#include "common/train/trainer.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

enum { TRAINER_RANGES = 3, TRAINER_BUCKET = 1 << 21, TRAINER_KEYS = 4 };

struct trainer {
    struct trainer_config c;
    struct device *dev;
    struct coll *coll;
    struct net *net;
    const struct params *p;
    float *weights, *momentum, *ema, *grads; /* device memory; host memory on the CPU */
    struct plan *sgd[TRAINER_RANGES];
    size_t from[TRAINER_RANGES], n[TRAINER_RANGES]; /* decayed, biases, BN */
    float *loss, *keep, *dropout;
    int64_t steps;
    int first, count; /* this rank's micro-batches */
    /* of the step: rows whose loss was not finite */
    struct key128 bad[TRAINER_KEYS];
    int n_bad;
};

static enum rc trainer_ranges(struct trainer *t, struct err *e)
{
    const size_t ends[] = {t->p->n_decayed, t->p->n_biased, t->p->n_trainable};
    size_t at = 0;
    enum rc rc = RC_OK;

    for (int i = 0; i < TRAINER_RANGES && rc == RC_OK; i++) {
        struct op_desc op = {.kind = OP_SGD};

        t->from[i] = at;
        t->n[i] = ends[i] - at;
        at = ends[i];
        op.u.sgd = (struct op_sgd){t->n[i], (float)t->c.momentum, t->c.nesterov};
        if (t->n[i] > 0) {
            rc = plan_create(t->dev, &op, &t->sgd[i], e);
        }
    }
    return rc;
}

static enum rc trainer_device_buffer(struct trainer *t, size_t n, const char *what, float **out,
                                     struct err *e)
{
    void *p = NULL;
    enum rc rc = device_alloc(t->dev, n * sizeof **out, what, &p, e);

    *out = p;
    return rc;
}

static enum rc trainer_buffers(struct trainer *t, struct err *e)
{
    size_t batch = (size_t)t->c.net.batch;
    enum rc rc = trainer_device_buffer(t, t->p->n_total, "weights", &t->weights, e);

    if (rc == RC_OK) {
        rc = trainer_device_buffer(t, t->p->n_trainable, "momentum", &t->momentum, e);
    }
    if (rc == RC_OK) {
        rc = trainer_device_buffer(t, t->p->n_total, "averaged weights", &t->ema, e);
    }
    if (rc == RC_OK) {
        rc = trainer_device_buffer(t, t->p->n_total, "gradients", &t->grads, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    t->loss = mem_calloc(batch, sizeof *t->loss);
    t->keep = mem_calloc(batch * (size_t)net_blocks(t->net), sizeof *t->keep);
    t->dropout = mem_calloc(batch * (size_t)net_features(t->net), sizeof *t->dropout);
    return t->loss == NULL || t->keep == NULL || t->dropout == NULL
               ? mem_raise(e, "masks of a micro-batch", batch)
               : RC_OK;
}

enum rc trainer_create(struct device *dev, struct coll *coll, const struct trainer_config *c,
                       struct trainer **out, struct err *e)
{
    struct trainer *t = mem_calloc(1, sizeof *t);
    enum rc rc = RC_OK;

    if (t == NULL) {
        return mem_raise(e, "a trainer", sizeof *t);
    }
    t->c = *c;
    t->c.net.training = true;
    t->dev = dev;
    t->coll = coll;
    t->first = (int)((int64_t)c->micro_batches * coll_rank(coll) / coll_size(coll));
    t->count =
        (int)((int64_t)c->micro_batches * (coll_rank(coll) + 1) / coll_size(coll)) - t->first;
    rc = net_create(dev, &t->c.net, &t->net, e);
    if (rc == RC_OK) {
        t->p = net_params(t->net);
        rc = trainer_buffers(t, e);
    }
    if (rc == RC_OK) {
        rc = trainer_ranges(t, e);
    }
    if (rc == RC_OK) {
        params_init(t->p, c->seed, c->fc_std, t->weights);
        rc = trainer_restore(t, t->weights, NULL, NULL, 0, e);
    }
    if (rc != RC_OK) {
        trainer_destroy(t);
        return rc;
    }
    *out = t;
    return RC_OK;
}

void trainer_destroy(struct trainer *t)
{
    if (t == NULL) {
        return;
    }
    for (int i = 0; i < TRAINER_RANGES; i++) {
        plan_destroy(t->sgd[i]);
    }
    net_destroy(t->net);
    device_free(t->dev, t->weights);
    device_free(t->dev, t->momentum);
    device_free(t->dev, t->ema);
    device_free(t->dev, t->grads);
    mem_free(t->loss);
    mem_free(t->keep);
    mem_free(t->dropout);
    mem_free(t);
}

void trainer_split(const struct trainer *t, int *first, int *count)
{
    *first = t->first;
    *count = t->count;
}

/* Stochastic depth of block i: timm's linear rule, or TF's one rate a stage. */
static double trainer_drop_rate(const struct trainer *t, int block)
{
    struct nn_block b;
    int blocks = net_blocks(t->net);

    if (t->c.drop_path_per_stage) {
        nn_family_block(t->c.net.model.family, block, &b);
        return t->c.drop_path * (b.stage + 2) / 5;
    }
    return blocks > 1 ? t->c.drop_path * block / (blocks - 1) : 0;
}

static void trainer_draw_keep(struct trainer *t, const struct trainer_batch *b)
{
    int batch = t->c.net.batch;

    for (int row = 0; row < batch; row++) {
        struct rng r;

        rng_init(&r, t->c.seed, RNG_DROP_PATH, (uint64_t)t->steps, &b->keys[row], b->copies[row]);
        for (int block = 0; block < net_blocks(t->net); block++) {
            double rate = trainer_drop_rate(t, block);

            t->keep[(size_t)block * (size_t)batch + (size_t)row] =
                rng_f64(&r) < rate ? 0 : (float)(1 / (1 - rate));
        }
    }
}

static void trainer_draw_dropout(struct trainer *t, const struct trainer_batch *b)
{
    int features = net_features(t->net);
    float scale = (float)(1 / (1 - t->c.dropout));

    for (int row = 0; row < t->c.net.batch; row++) {
        float *mask = t->dropout + (size_t)row * (size_t)features;
        struct rng r;

        rng_init(&r, t->c.seed, RNG_DROPOUT, (uint64_t)t->steps, &b->keys[row], b->copies[row]);
        for (int i = 0; i < features; i++) {
            mask[i] = (double)rng_f32(&r) < t->c.dropout ? 0 : scale;
        }
    }
}

static void trainer_targets(struct trainer *t, const struct trainer_batch *b,
                            struct net_targets *out)
{
    *out = (struct net_targets){b->target, b->weight, b->keep, b->dropout};
    if (out->keep == NULL && t->c.drop_path > 0) {
        trainer_draw_keep(t, b);
        out->keep = t->keep;
    }
    if (out->dropout == NULL && t->c.dropout > 0) {
        trainer_draw_dropout(t, b);
        out->dropout = t->dropout;
    }
}

static void trainer_sum_loss(struct trainer *t, const struct trainer_batch *b, double *loss)
{
    for (int i = 0; i < t->c.net.batch; i++) {
        *loss += (double)t->loss[i];
        if (!isfinite(t->loss[i]) && t->n_bad < TRAINER_KEYS) {
            t->bad[t->n_bad++] = b->keys[i];
        }
    }
}

/* Forward and backward of this rank's micro-batches; gradients add up. */
static enum rc trainer_compute(struct trainer *t, trainer_source *source, void *ctx, double *loss,
                               struct trainer_stats *stats, struct err *e)
{
    enum rc rc = device_zero(t->dev, NULL, t->grads, t->p->n_total * sizeof *t->grads, e);

    *loss = 0;
    t->n_bad = 0;
    for (int m = 0; m < t->count && rc == RC_OK; m++) {
        struct trainer_batch b = {0};
        struct net_targets targets;
        double start = clock_now();

        rc = source(ctx, t->steps, m, &b, e);
        stats->wait_input_s += clock_now() - start;
        if (rc != RC_OK) {
            return rc;
        }
        start = clock_now();
        trainer_targets(t, &b, &targets);
        rc = net_train(t->net, b.pixels, &targets, t->grads, t->loss, NULL, e);
        if (rc == RC_OK) {
            trainer_sum_loss(t, &b, loss);
        }
        stats->compute_s += clock_now() - start;
    }
    return rc;
}

/* Sum gradients over ranks in buckets. */
static enum rc trainer_reduce(struct trainer *t, double *loss, struct trainer_stats *stats,
                              struct err *e)
{
    int tickets[COLL_MAX_PENDING];
    size_t bucket = TRAINER_BUCKET;
    double start = clock_now();
    int n = 0;
    enum rc rc = coll_allreduce(t->coll, loss, 1, COLL_F64, COLL_SUM, e);

    while (t->p->n_total / bucket >= COLL_MAX_PENDING) {
        bucket *= 2;
    }
    for (size_t at = 0; at < t->p->n_total && rc == RC_OK && coll_size(t->coll) > 1; at += bucket) {
        size_t left = t->p->n_total - at;

        rc = coll_allreduce_start(t->coll, t->grads + at, left < bucket ? left : bucket,
                                  &tickets[n], e);
        n += rc == RC_OK;
    }
    for (int i = 0; i < n; i++) {
        enum rc one = coll_allreduce_wait(t->coll, tickets[i], e);

        rc = rc == RC_OK ? one : rc;
    }
    stats->wait_comm_s += clock_now() - start;
    return rc;
}

static double trainer_norm(const struct trainer *t)
{
    enum { LANES = 16 };
    double lanes[LANES] = {0};
    double sum = 0;

    assert(t->p->n_trainable % LANES == 0);
    for (size_t i = 0; i < t->p->n_trainable; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            lanes[l] += (double)t->grads[i + (size_t)l] * (double)t->grads[i + (size_t)l];
        }
    }
    for (int l = 0; l < LANES; l++) {
        sum += lanes[l];
    }
    return sqrt(sum);
}

static enum rc trainer_raise_nonfinite(const struct trainer *t, double loss, struct err *e)
{
    const char *layer = net_find_nonfinite(t->net, t->grads);
    char keys[TRAINER_KEYS * (HASH_HEX_KEY + 1) + 1] = "";
    size_t at = 0;

    for (int i = 0; i < t->n_bad; i++) {
        char hex[HASH_HEX_KEY];

        hash_key_hex(&t->bad[i], hex);
        at += (size_t)snprintf(keys + at, sizeof keys - at, " %s", hex);
    }
    return err_raise(e, RC_CORRUPT,
                     "step %lld: the loss is %g and the gradient of '%s' is not finite; images:%s; "
                     "the weights are as before the step: lower lr, or skip such steps with "
                     "skip_nonfinite",
                     (long long)t->steps, loss, layer != NULL ? layer : "(none)",
                     t->n_bad > 0 ? keys : " none of this rank's");
}

/* running = (1-m)*running + m*mean over all micro-batches; then into the EMA like a weight. */
static void trainer_update_bn(struct trainer *t, double decay)
{
    float m = (float)t->c.bn_momentum;
    float scale = 1.0f / (float)t->c.micro_batches;
    float d = (float)(1 - decay);

    for (size_t i = t->p->n_trainable; i < t->p->n_total; i++) {
        t->weights[i] = (1 - m) * t->weights[i] + m * (t->grads[i] * scale);
        t->ema[i] += d * (t->weights[i] - t->ema[i]);
    }
}

static enum rc trainer_update(struct trainer *t, double scale, double lr, struct err *e)
{
    double decay = t->c.ema_decay > 0 ? schedule_ema_decay(t->c.ema_decay, t->steps + 1) : 0;
    enum rc rc = RC_OK;

    for (int i = 0; i < TRAINER_RANGES && rc == RC_OK; i++) {
        bool decayed = i == 0 || (i == 1 && t->c.decay_biases);
        float scalars[4] = {(float)lr, decayed ? (float)t->c.weight_decay : 0, (float)scale,
                            (float)decay};

        if (t->n[i] > 0) {
            rc = plan_run(t->sgd[i],
                          (void *const[]){t->weights + t->from[i], t->grads + t->from[i],
                                          t->momentum + t->from[i], t->ema + t->from[i], scalars},
                          e);
        }
    }
    if (rc != RC_OK) {
        return rc;
    }
    trainer_update_bn(t, decay);
    t->steps++;
    return net_load(t->net, t->weights, e);
}

enum rc trainer_step(struct trainer *t, trainer_source *source, void *ctx, double norm,
                     struct trainer_stats *out, struct err *e)
{
    struct trainer_stats s = {.lr = schedule_lr(&t->c.schedule, t->steps)};
    double loss = 0;
    double scale = 1 / norm;
    enum rc rc = coll_agree(t->coll, trainer_compute(t, source, ctx, &loss, &s, e), e);

    if (rc == RC_OK) {
        rc = trainer_reduce(t, &loss, &s, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    s.loss = loss / norm;
    s.grad_norm = trainer_norm(t) / norm;
    s.skipped = !isfinite(s.loss) || !isfinite(s.grad_norm);
    if (s.skipped && !t->c.skip_nonfinite) {
        return trainer_raise_nonfinite(t, s.loss, e);
    }
    if (s.skipped) {
        t->steps++;
        *out = s;
        return RC_OK;
    }
    if (t->c.clip_norm > 0 && s.grad_norm > t->c.clip_norm) {
        scale *= t->c.clip_norm / s.grad_norm;
    }
    rc = coll_agree(t->coll, trainer_update(t, scale, s.lr, e), e);
    *out = s;
    return rc;
}

int64_t trainer_steps(const struct trainer *t)
{
    return t->steps;
}

const struct params *trainer_params(const struct trainer *t)
{
    return t->p;
}

const float *trainer_weights(const struct trainer *t)
{
    return t->weights;
}

const float *trainer_ema(const struct trainer *t)
{
    return t->c.ema_decay > 0 ? t->ema : t->weights;
}

const float *trainer_momentum(const struct trainer *t)
{
    return t->momentum;
}

enum rc trainer_restore(struct trainer *t, const float *weights, const float *ema,
                        const float *momentum, int64_t steps, struct err *e)
{
    size_t bytes = t->p->n_total * sizeof *weights;
    size_t momentum_bytes = t->p->n_trainable * sizeof *weights;

    if (weights != t->weights) {
        memcpy(t->weights, weights, bytes);
    }
    memcpy(t->ema, ema != NULL ? ema : weights, bytes);
    if (momentum != NULL) {
        memcpy(t->momentum, momentum, momentum_bytes);
    } else {
        memset(t->momentum, 0, momentum_bytes);
    }
    t->steps = steps;
    return net_load(t->net, t->weights, e);
}

const struct net *trainer_net(const struct trainer *t)
{
    return t->net;
}

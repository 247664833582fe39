/* One step: this rank's micro-batches, the mean over ranks, the update. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/train/trainer_impl.h"

/* ---- gradients of all ranks ------------------------------------------------------------------ */

/* Whether the collective takes the gradients where they are. */
static bool reduced_in_place(const struct trainer *t)
{
    return device_is_host(t->dev) || coll_on_device(t->coll);
}

static float *reducible(const struct trainer *t)
{
    return reduced_in_place(t) ? t->flat[FLAT_GRADS] : t->mirror[FLAT_GRADS];
}

static enum rc download_bucket(struct trainer *t, size_t from, size_t to, struct err *e)
{
    enum rc rc = RC_OK;

    if (!reduced_in_place(t)) {
        rc = device_download(t->dev, NULL, reducible(t) + from, t->flat[FLAT_GRADS] + from,
                             (to - from) * sizeof(float), e);
        rc = rc != RC_OK ? rc : device_sync(t->dev, NULL, e);
    }
    return rc;
}

static enum rc upload_bucket(struct trainer *t, size_t from, size_t to, struct err *e)
{
    if (reduced_in_place(t)) {
        return RC_OK;
    }
    return device_upload(t->dev, NULL, t->flat[FLAT_GRADS] + from, reducible(t) + from,
                         (to - from) * sizeof(float), e);
}

/* A bucket that could not be fetched is reduced all the same: the other ranks wait for it. */
static enum rc start_bucket(void *ctx, size_t from, size_t to, struct err *e)
{
    struct trainer *t = ctx;
    struct err late = {0};
    enum rc fetched;
    enum rc rc;

    if (t->n_tickets == COLL_MAX_PENDING) {
        return err_raise(e, RC_INVAL, "trainer: more than %d buckets", COLL_MAX_PENDING);
    }
    fetched = download_bucket(t, from, to, e);
    rc = coll_allreduce_start(t->coll, reducible(t) + from, to - from, (int64_t)from,
                              &t->tickets[t->n_tickets], fetched == RC_OK ? e : &late);
    t->bucket_from[t->n_tickets] = from;
    t->bucket_to[t->n_tickets] = to;
    t->n_tickets += rc == RC_OK;
    return fetched != RC_OK ? fetched : rc;
}

static enum rc wait_buckets(struct trainer *t, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < t->n_tickets; i++) {
        enum rc one = coll_allreduce_wait(t->coll, t->tickets[i], e);

        if (rc == RC_OK && one == RC_OK) {
            one = upload_bucket(t, t->bucket_from[i], t->bucket_to[i], e);
        }
        rc = rc == RC_OK ? one : rc;
    }
    t->n_tickets = 0;
    return rc;
}

/* ---- this rank's micro-batches --------------------------------------------------------------- */

static void note_bad_rows(struct trainer *t, const struct trainer_batch *b)
{
    for (int i = 0; i < t->config.net.batch; i++) {
        size_t used = strlen(t->bad_rows);
        char hex[HASH_HEX_KEY];

        if (!isfinite(t->loss[i]) && used + HASH_HEX_KEY + 2 < sizeof t->bad_rows) {
            hash_key_hex(&b->keys[i], hex);
            snprintf(t->bad_rows + used, sizeof t->bad_rows - used, "%s%s", used > 0 ? ", " : "",
                     hex);
        }
    }
}

static enum rc micro_batch(struct trainer *t, trainer_source *source, void *ctx, int m,
                           struct trainer_stats *s, double *loss, struct err *e)
{
    struct trainer_batch b = {0};
    struct net_targets targets;
    double start = clock_now();
    enum rc rc = source(ctx, t->steps, m, &b, e);
    double begun = clock_now();

    trace_span(t->trace, "wait", "input", NULL, start);
    s->wait_input_s += begun - start;
    if (rc != RC_OK) {
        return rc;
    }
    trainer_noise_draw(t, &b, t->steps);
    targets = (struct net_targets){b.target, b.weight, b.keep != NULL ? b.keep : t->keep,
                                   b.dropout != NULL ? b.dropout : t->dropout};
    rc = net_train(t->net, b.pixels, &targets, t->loss, NULL, e);
    for (int i = 0; i < t->config.net.batch && rc == RC_OK; i++) {
        *loss += (double)t->loss[i];
    }
    if (rc == RC_OK && !isfinite(*loss)) {
        note_bad_rows(t, &b);
    }
    s->compute_s += clock_now() - begun;
    return rc;
}

/* Every rank starts the same buckets whatever happens here, so that none is left waiting. */
static enum rc own_micro_batches(struct trainer *t, trainer_source *source, void *ctx,
                                 struct trainer_stats *s, double *loss, struct err *e)
{
    int first;
    int count;
    struct err late = {0};
    enum rc rc =
        device_zero(t->dev, NULL, t->flat[FLAT_GRADS], t->params->n_total * sizeof(float), e);
    enum rc flushed;

    trainer_split(t, &first, &count);
    net_on_bucket(t->net, NULL, NULL, 0);
    for (int m = 0; m < count && rc == RC_OK; m++) {
        if (m == count - 1 && coll_size(t->coll) > 1) {
            net_on_bucket(t->net, start_bucket, t, t->bucket_floats);
        }
        rc = micro_batch(t, source, ctx, m, s, loss, e);
    }
    if (coll_size(t->coll) > 1) {
        if (t->n_tickets == 0) {
            net_on_bucket(t->net, start_bucket, t, t->bucket_floats);
        }
        flushed = net_flush_buckets(t->net, &late);
        if (rc == RC_OK && flushed != RC_OK) {
            rc = err_raise(e, flushed, "%s", late.msg);
        }
    }
    return rc;
}

/* ---- is all finite? -------------------------------------------------------------------------- */

/* Sums of squares of the gradient's trainables and of its BN part: neither is finite where an element is
 * not. */
static enum rc sum_squares(struct trainer *t, double found[2], struct err *e)
{
    float *const parts[2] = {t->flat[FLAT_GRADS], t->flat[FLAT_GRADS] + t->params->n_trainable};
    enum rc rc = RC_OK;

    for (int i = 0; i < 2 && rc == RC_OK; i++) {
        void *args[PLAN_MAX_ARGS] = {parts[i], t->squared + i};

        rc = plan_run(t->squares[i], args, e);
    }
    rc = rc != RC_OK ? rc : device_download(t->dev, NULL, found, t->squared, 2 * sizeof *found, e);
    return rc != RC_OK ? rc : device_sync(t->dev, NULL, e);
}

/* A sentence that names layer and rows, on the ranks that have bad rows (rank 0 if none has). */
static enum rc report_nonfinite(struct trainer *t, double bad_ranks, struct err *e)
{
    const float *grads = trainer_host(t, FLAT_GRADS);
    const char *layer = grads != NULL ? net_find_nonfinite(t->net, grads) : NULL;
    bool mine = t->bad_rows[0] != '\0' || (bad_ranks == 0 && coll_rank(t->coll) == 0);
    enum rc rc = RC_OK;

    if (mine) {
        rc = err_raise(e, RC_CORRUPT,
                       "step %lld: a loss or gradient is not finite, first at %s%s%s; the weights "
                       "are as before the step",
                       (long long)t->steps, layer != NULL ? layer : "the loss",
                       t->bad_rows[0] != '\0' ? ", images " : "", t->bad_rows);
    }
    return coll_size(t->coll) > 1 ? coll_agree(t->coll, rc, e) : rc;
}

/* ---- the update ------------------------------------------------------------------------------ */

/* scalars: rate, weight decay, the gradient's scale, the EMA's decay */
static enum rc update_slice(struct trainer *t, const struct trainer_slice *s,
                            const float scalars[4], struct err *e)
{
    const double start = clock_now();
    float numbers[4] = {scalars[0], s->decayed ? scalars[1] : 0, scalars[2], scalars[3]};
    void *args[PLAN_MAX_ARGS] = {NULL};
    enum rc rc;

    args[0] = t->flat[FLAT_WEIGHTS] + s->from;
    args[1] = t->flat[FLAT_GRADS] + s->from;
    args[2] = t->flat[FLAT_MOMENTUM] + s->from;
    args[3] = t->flat[FLAT_EMA] != NULL ? t->flat[FLAT_EMA] + s->from : NULL;
    args[4] = numbers;
    rc = plan_run(s->sgd, args, e);
    trace_span(t->trace, "optimizer", "update, momentum, EMA", NULL, start);
    return rc != RC_OK ? rc : net_refresh_range(t->net, s->from, s->to, e);
}

/* running = (1-m)*running + m*mean over the micro-batches; then the EMA of it (design.md 7.5). */
static enum rc update_statistics(struct trainer *t, double ema_decay, struct err *e)
{
    static const enum trainer_flat which[3] = {FLAT_WEIGHTS, FLAT_EMA, FLAT_GRADS};
    size_t at = t->params->n_trainable;
    size_t count = t->params->n_total - at;
    double m = t->config.bn_momentum;
    enum rc rc = RC_OK;

    for (int i = 0; i < 3 && rc == RC_OK; i++) {
        if (t->flat[which[i]] != NULL) {
            rc = device_download(t->dev, NULL, t->stats[i], t->flat[which[i]] + at,
                                 count * sizeof(float), e);
        }
    }
    rc = rc != RC_OK ? rc : device_sync(t->dev, NULL, e);
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        double batch = (double)t->stats[2][i] / t->config.micro_batches;
        double running = (1.0 - m) * (double)t->stats[0][i] + m * batch;

        t->stats[0][i] = (float)running;
        t->stats[1][i] +=
            (float)((1.0 - ema_decay) * ((double)t->stats[0][i] - (double)t->stats[1][i]));
    }
    for (int i = 0; i < 2 && rc == RC_OK; i++) {
        if (t->flat[which[i]] != NULL) {
            rc = device_upload(t->dev, NULL, t->flat[which[i]] + at, t->stats[i],
                               count * sizeof(float), e);
        }
    }
    return rc != RC_OK ? rc : device_sync(t->dev, NULL, e);
}

static enum rc update(struct trainer *t, double scale, double lr, struct err *e)
{
    double decay = schedule_ema_decay(t->config.ema_decay, t->steps + 1);
    float scalars[4] = {(float)lr, (float)t->config.weight_decay, (float)scale, (float)decay};
    double start;
    enum rc rc = RC_OK;

    for (int i = 0; i < t->n_slices && rc == RC_OK; i++) {
        rc = update_slice(t, &t->slices[i], scalars, e);
    }
    start = clock_now();
    rc = rc != RC_OK ? rc : update_statistics(t, decay, e);
    trace_span(t->trace, "optimizer", "statistics and their EMA", NULL, start);
    return rc;
}

/* ---- the step -------------------------------------------------------------------------------- */

/* Loss of all ranks, and whether one failed or has bad rows: {loss, failed, bad} in one sum. */
static enum rc agree_on_losses(struct trainer *t, enum rc rc, double all[3], struct err *e)
{
    struct err late = {0};
    enum rc summed;

    all[1] = rc != RC_OK;
    all[2] = t->bad_rows[0] != '\0';
    if (coll_size(t->coll) == 1) {
        return rc;
    }
    summed = coll_allreduce(t->coll, all, 3, COLL_F64, COLL_SUM, &late);
    if (summed != RC_OK) {
        return rc != RC_OK ? rc : err_raise(e, summed, "%s", late.msg);
    }
    return all[1] > 0 ? coll_agree(t->coll, rc, e) : RC_OK;
}

static enum rc finish_step(struct trainer *t, const double all[3], double norm,
                           struct trainer_stats *s, struct err *e)
{
    double clip = t->config.clip_norm;
    double scale = 1.0 / norm;
    double start = clock_now();
    double squares[2] = {0, 0};
    enum rc rc = sum_squares(t, squares, e);

    if (rc != RC_OK) {
        return rc;
    }
    s->loss = all[0] / norm;
    s->grad_norm = sqrt(squares[0]) / norm;
    trace_span(t->trace, "optimizer", "norm of the gradient", NULL, start);
    if (!isfinite(s->loss) || !isfinite(s->grad_norm) || !isfinite(squares[1])) {
        if (!t->config.skip_nonfinite) {
            return report_nonfinite(t, all[2], e);
        }
        s->skipped = true;
        t->skipped++;
    } else {
        if (clip > 0 && s->grad_norm > clip) {
            scale *= clip / s->grad_norm;
        }
        rc = update(t, scale, s->lr, e);
    }
    t->steps += rc == RC_OK;
    return rc;
}

enum rc trainer_step(struct trainer *t, trainer_source *source, void *ctx, double norm,
                     struct trainer_stats *out, struct err *e)
{
    struct trainer_stats s = {.lr = schedule_lr(&t->config.schedule, t->steps)};
    double all[3] = {0, 0, 0};
    const double began = clock_now();
    double start;
    struct err late = {0};
    enum rc rc;
    enum rc waited;

    t->bad_rows[0] = '\0';
    rc = own_micro_batches(t, source, ctx, &s, &all[0], e);
    start = clock_now();
    waited = wait_buckets(t, &late);
    if (rc == RC_OK && waited != RC_OK) {
        rc = err_raise(e, waited, "%s", late.msg);
    }
    rc = agree_on_losses(t, rc, all, e);
    s.wait_comm_s = clock_now() - start;
    trace_span(t->trace, "wait", "gradients and losses of all ranks", NULL, start);
    if (rc == RC_OK) {
        start = clock_now();
        rc = finish_step(t, all, norm, &s, e);
        s.compute_s += clock_now() - start;
    }
    if (rc == RC_OK) {
        *out = s;
    }
    trace_step(t->trace, "step", began);
    return rc;
}

#include "student/train_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metrics.h"
#include "common/base/watch.h"
#include "common/coll/coll.h"
#include "common/train/checkpoint.h"
#include "shards/manifest.h"
#include "student/mix.h"
#include "student/train_eval.h"
#include "student/train_folder.h"
#include "student/train_progress.h"
#include "student/train_record.h"
#include "student/train_stores.h"

/* All that a run holds; run_release frees it in the reverse order of making. */
struct run {
    const struct train_config *c;
    const struct verb_call *call;
    struct coll *control, *data;
    struct train_stores stores;
    struct train_rows rows;
    struct nn_model model;
    struct trainer_config tc;
    struct model_info info;
    struct device *dev;
    struct trainer *trainer;
    struct mix *mix;
    struct train_eval *eval; /* NULL: no corpus to evaluate on */
    struct metrics *metrics;
    struct watch *watch;
    char who[24];        /* "rank 2" */
    char sources[600];   /* of images, for the watchdog to name */
    struct trace *trace; /* --profile, on rank 0 */
    char digest[HASH_HEX_DIGEST];
    double crop_pct;
    int64_t first; /* step that this process began at */
    double start, loss, top1;
    int64_t evaluated_at; /* steps done then */
    bool evaluated;
    int lock; /* rank 0's hold on the folder */
};

static enum rc run_model(struct run *r, struct err *e)
{
    enum rc rc = train_config_model(r->c, corpus_classes(r->stores.labeled), &r->model, e);

    if (rc != RC_OK) {
        return rc;
    }
    r->crop_pct = r->c->crop_pct > 0 ? r->c->crop_pct : r->model.family->crop_pct;
    return train_config_trainer(r->c, &r->model, corpus_occurrences(r->stores.labeled), &r->tc, e);
}

static enum rc run_info(struct run *r, struct err *e)
{
    struct model_info *m = &r->info;
    int n = r->model.classes;

    (void)snprintf(m->family, sizeof m->family, "%s", r->model.family->name);
    m->in_channels = r->model.in_channels;
    m->train_size = r->tc.net.size;
    m->crop_pct = r->crop_pct;
    memcpy(m->mean, r->tc.net.mean, sizeof m->mean);
    memcpy(m->std, r->tc.net.std, sizeof m->std);
    (void)snprintf(m->note, sizeof m->note, "preceptor train, run %.16s", r->digest);
    m->class_names = mem_calloc((size_t)n, sizeof *m->class_names);
    if (m->class_names == NULL) {
        return mem_raise(e, "the class list", (size_t)n);
    }
    m->classes = n;
    for (int i = 0; i < n; i++) {
        m->class_names[i] = mem_strdup(corpus_class(r->stores.labeled, i));
        if (m->class_names[i] == NULL) {
            return mem_raise(e, "a class name", 1);
        }
    }
    return RC_OK;
}

/* Options, stores and the model, checked; nothing is computed yet. */
static enum rc run_open(struct run *r, struct err *e)
{
    enum rc rc = train_stores_open(r->c, &r->stores, e);

    if (rc == RC_OK) {
        rc = train_config_rows(r->c, &r->rows, e);
    }
    if (rc == RC_OK) {
        rc = run_model(r, e);
    }
    if (rc == RC_OK) {
        rc = train_stores_run_digest(r->c, &r->stores, r->digest, e);
    }
    if (rc == RC_OK) {
        rc = run_info(r, e);
    }
    return rc;
}

static enum rc run_load_init(struct run *r, struct err *e)
{
    const struct params *p = trainer_params(r->trainer);
    float *buffer = params_buffer(p);
    enum rc rc = RC_OK;

    if (buffer == NULL) {
        return mem_raise(e, "initial weights", p->n_total * sizeof *buffer);
    }
    memcpy(buffer, trainer_weights(r->trainer), p->n_total * sizeof *buffer);
    rc = model_load(r->c->init, p, r->c->replace_head, buffer, e);
    if (rc == RC_OK) {
        rc = trainer_restore(r->trainer, buffer, NULL, NULL, 0, e);
    }
    mem_free(buffer);
    return rc;
}

static enum rc run_trainer(struct run *r, struct err *e)
{
    int64_t step = -1;
    enum rc rc = device_create_local(r->c->device, coll_threads(r->control, (int)r->c->threads),
                                     coll_local_rank(r->control), &r->dev, e);

    rc = coll_agree(r->control, rc, e);
    if (rc == RC_OK) {
        device_measure(r->dev, r->c->measure_engines);
        rc = coll_create_data(r->control, r->dev, (enum coll_data)r->c->collective, &r->data, e);
    }
    if (rc == RC_OK) {
        rc = trainer_create(r->dev, r->data, &r->tc, &r->trainer, e);
    }
    if (rc == RC_OK && r->c->init != NULL) {
        rc = run_load_init(r, e);
    }
    if (rc == RC_OK && r->c->resume) {
        rc = checkpoint_resume(r->c->out, r->trainer, r->digest, &step, e);
    }
    if (rc == RC_OK && step > 0) {
        log_info("student", "resumed '%s' at step %lld of %lld", r->c->out, (long long)step,
                 (long long)r->tc.schedule.steps);
    }
    if (rc == RC_OK) {
        r->first = trainer_steps(r->trainer);
    }
    return rc;
}

/* Decoders and compute threads take turns where there are not enough cores for both. */
static bool run_takes_turns(const struct run *r, int decoders)
{
    struct device_info dev;

    device_describe(r->dev, &dev);
    return strcmp(dev.backend, "cuda") != 0 && dev.threads + decoders > coll_threads(r->control, 0);
}

static enum rc run_mix(struct run *r, struct err *e)
{
    const int decoders = coll_threads(r->control, (int)r->c->decoders);
    struct mix_config mc = {.train = r->c,
                            .labeled = r->stores.labeled,
                            .unlabeled = r->stores.unlabeled,
                            .labels = r->stores.labels,
                            .selection = r->stores.selection,
                            .rows = r->rows,
                            .classes = r->model.classes,
                            .first_step = r->first,
                            .steps = r->tc.schedule.steps,
                            .threads = decoders,
                            .take_turns = run_takes_turns(r, decoders)};
    enum rc rc = train_config_augment(r->c, r->tc.net.size, r->model.in_channels, r->crop_pct,
                                      &mc.augment, e);

    if (rc != RC_OK) {
        return rc;
    }
    mc.eval = (struct image_eval){.size = r->tc.net.size,
                                  .channels = r->model.in_channels,
                                  .crop_pct = r->crop_pct,
                                  .filter = IMAGE_BICUBIC};
    trainer_split(r->trainer, &mc.first_micro, &mc.n_micro);
    return mix_create(&mc, &r->mix, e);
}

static enum rc run_eval(struct run *r, struct err *e)
{
    struct train_eval_config ec = {.corpus = r->stores.eval,
                                   .dev = r->dev,
                                   .coll = r->control,
                                   .net = r->tc.net,
                                   .crop_pct = r->crop_pct,
                                   .threads = (int)r->c->decoders};

    if (r->c->eval_size != 0) {
        ec.net.size = (int)r->c->eval_size;
    }
    return r->stores.eval != NULL ? train_eval_create(&ec, &r->eval, e) : RC_OK;
}

static enum rc run_metrics(struct run *r, struct err *e)
{
    char *path = NULL;
    enum rc rc = RC_OK;

    if (coll_rank(r->control) != 0) {
        return RC_OK;
    }
    path = fs_join(r->c->out, "metrics.jsonl");
    rc = path == NULL ? mem_raise(e, "a path", 0) : metrics_open(path, r->first, &r->metrics, e);
    mem_free(path);
    if (rc == RC_OK && r->c->profile != NULL) {
        rc = trace_open(r->c->profile, TRACE_STEPS, &r->trace, e);
        trainer_trace(r->trainer, r->trace);
    }
    return rc;
}

/* Everything that computes. */
static enum rc run_prepare(struct run *r, struct err *e)
{
    enum rc rc = run_trainer(r, e);

    if (rc == RC_OK) {
        rc = run_mix(r, e);
    }
    if (rc == RC_OK) {
        rc = run_eval(r, e);
    }
    if (rc == RC_OK) {
        rc = run_metrics(r, e);
    }
    return rc;
}

static void run_release(struct run *r)
{
    struct err ignored = {0};

    (void)!trace_close(r->trace, &ignored); /* of a run that failed */
    metrics_close(r->metrics);
    train_eval_destroy(r->eval);
    mix_destroy(r->mix);
    trainer_destroy(r->trainer);
    coll_destroy(r->data);
    device_destroy(r->dev);
    model_info_release(&r->info);
    watch_destroy(r->watch);
    train_stores_close(&r->stores);
    train_folder_close(r->lock);
}

/* Evaluate the averaged weights. Collective. */
static enum rc run_evaluate(struct run *r, struct err *e)
{
    double top1 = 0;
    enum rc rc = RC_OK;

    if (r->eval == NULL) {
        return RC_OK;
    }
    watch_at("evaluating on", r->c->eval_data);
    rc = train_eval_run(r->eval, trainer_ema(r->trainer), e);
    if (rc != RC_OK) {
        return rc;
    }
    r->evaluated = true;
    top1 = train_eval_top1(r->eval);
    r->top1 = top1;
    r->evaluated_at = trainer_steps(r->trainer);
    log_info("student", "step %lld: top-1 %.2f %%", (long long)trainer_steps(r->trainer), top1);
    if (r->metrics != NULL) {
        metrics_begin(r->metrics, trainer_steps(r->trainer) - 1);
        metrics_number(r->metrics, "eval_top1", top1);
        metrics_number(r->metrics, "eval_nll", train_eval_result(r->eval)->nll);
        rc = metrics_end(r->metrics, e);
    }
    return coll_agree(r->control, rc, e);
}

static enum rc run_checkpoint(struct run *r, struct err *e)
{
    enum rc rc = RC_OK;

    watch_at("saving a checkpoint in", r->c->out);
    if (coll_rank(r->control) == 0) {
        double top1 = r->evaluated_at == trainer_steps(r->trainer) ? r->top1 : -1;

        rc = checkpoint_save(r->c->out, r->trainer, &r->info, (int)r->c->keep, top1, r->digest, e);
    }
    return coll_agree(r->control, rc, e);
}

static enum rc run_record(struct run *r, const struct trainer_stats *s, double seconds,
                          struct err *e)
{
    int64_t step = trainer_steps(r->trainer) - 1;
    double images = (double)(r->rows.labeled + r->rows.unlabeled);

    if (r->metrics == NULL || (step % r->c->log_every != 0 && !s->skipped)) {
        return RC_OK;
    }
    metrics_begin(r->metrics, step);
    metrics_number(r->metrics, "loss", s->loss);
    metrics_number(r->metrics, "lr", s->lr);
    metrics_number(r->metrics, "grad_norm", s->grad_norm);
    metrics_number(r->metrics, "skipped", s->skipped);
    metrics_number(r->metrics, "images_per_second", images / fmax(seconds, 1e-9));
    metrics_number(r->metrics, "compute_s", s->compute_s);
    metrics_number(r->metrics, "wait_input_s", s->wait_input_s);
    metrics_number(r->metrics, "wait_comm_s", s->wait_comm_s);
    return metrics_end(r->metrics, e);
}

/* Whether anybody was asked to stop: all ranks must leave at the same step. */
static enum rc run_stopped(const struct run *r, bool *stop, struct err *e)
{
    int32_t any = r->call->stop != NULL && *r->call->stop != 0;
    enum rc rc = coll_allreduce(r->control, &any, 1, COLL_I32, COLL_MAX, e);

    *stop = any != 0;
    return rc;
}

/* What is due after a step: records, evaluation, checkpoint, a stop. */
static enum rc run_after_step(struct run *r, const struct trainer_stats *s, double seconds,
                              struct err *e)
{
    int64_t done = trainer_steps(r->trainer);
    bool last = done == r->tc.schedule.steps;
    bool stop = false;
    bool due = false;
    enum rc rc = coll_agree(r->control, run_record(r, s, seconds, e), e);

    if (rc == RC_OK) {
        rc = run_stopped(r, &stop, e);
    }
    if (rc == RC_OK && r->c->eval_every > 0 && done % r->c->eval_every == 0 && !last && !stop) {
        rc = run_evaluate(r, e);
    }
    due = stop || done % r->c->checkpoint_every == 0 || r->evaluated_at == done;
    if (rc == RC_OK && !last && due) {
        rc = run_checkpoint(r, e);
    }
    if (rc == RC_OK && stop && !last) {
        rc =
            err_raise(e, RC_REQUEUE,
                      "stopped on request after step %lld of %lld, saved in '%s': the same command "
                      "goes on",
                      (long long)done, (long long)r->tc.schedule.steps, r->c->out);
    }
    return rc;
}

/* trainer_source: the next micro-batch, watched. */
static enum rc run_next(void *ctx, int64_t step, int micro, struct trainer_batch *out,
                        struct err *e)
{
    const struct run *r = ctx;
    enum rc rc = RC_OK;

    watch_at("reading images of", r->sources);
    rc = mix_next(r->mix, step, micro, out, e);
    watch_at("computing a step of", r->c->out);
    return rc;
}

static enum rc run_steps(struct run *r, struct err *e)
{
    double norm = mix_norm(r->c, &r->rows);
    struct trainer_stats s = {0};
    struct train_progress p = {.source = run_next,
                               .ctx = r,
                               .steps = r->tc.schedule.steps,
                               .images = r->rows.labeled + r->rows.unlabeled};
    enum rc rc = RC_OK;

    trainer_split(r->trainer, &p.first_micro, &p.n_micro);
    trainer_ask_ahead(r->trainer, mix_peek, r->mix);
    train_progress_begin(&p, r->stores.unlabeled != NULL ? "student" : "train", r->first);
    while (rc == RC_OK && trainer_steps(r->trainer) < r->tc.schedule.steps) {
        double t = clock_now();

        rc = trainer_step(r->trainer, train_progress_next, &p, norm, &s, e);
        rc = coll_agree(r->control, rc, e); /* what failed after the last agreement of the step */
        if (rc == RC_OK) {
            r->loss = s.loss;
            t = clock_now() - t;
            train_progress_step(&p, trainer_steps(r->trainer), &s, t);
            rc = run_after_step(r, &s, t, e);
        }
    }
    train_progress_end(&p);
    return rc;
}

static json_t *run_result(const struct run *r, const char *model_path, json_t *guards)
{
    double seconds = clock_now() - r->start;
    double images =
        (double)(trainer_steps(r->trainer) - r->first) * (r->rows.labeled + r->rows.unlabeled);
    json_t *o =
        json_pack("{s:s,s:s,s:s,s:I,s:I,s:f,s:f,s:f,s:f,s:I,s:I}", "model", model_path, "family",
                  r->model.family->name, "run_digest", r->digest, "steps",
                  (json_int_t)trainer_steps(r->trainer), "first_step", (json_int_t)r->first,
                  "images", images, "seconds", seconds, "images_per_second",
                  images / fmax(seconds, 1e-9), "loss", r->loss, "labeled_a_step",
                  (json_int_t)r->rows.labeled, "unlabeled_a_step", (json_int_t)r->rows.unlabeled);

    if (o != NULL) {
        (void)json_object_set(o, "guards", guards);
        (void)json_object_set_new(o, "forgotten",
                                  json_integer((json_int_t)train_stores_forgotten(&r->stores)));
    }
    if (o != NULL && r->evaluated) {
        const struct evaluation *v = train_eval_result(r->eval);

        (void)json_object_set_new(o, "top1", json_real(train_eval_top1(r->eval)));
        (void)json_object_set_new(o, "top5",
                                  json_real(100.0 * (double)v->top5 / (double)v->images));
        (void)json_object_set_new(o, "eval_images", json_integer(v->images));
    }
    return o;
}

/* The result, with the digest of the model that it is about. */
static enum rc run_seal(json_t *o, const char *model, const char *path, struct err *e)
{
    char hex[HASH_HEX_DIGEST];
    struct digest d;
    enum rc rc = hash_file(model, &d, e);

    if (rc != RC_OK) {
        return rc;
    }
    hash_digest_hex(&d, hex);
    return json_object_set_new(o, "model_sha256", json_string(hex)) == 0
               ? manifest_write(path, "result", 1, o, e)
               : mem_raise(e, "the result", 0);
}

/* The model and the result, on rank 0. */
static enum rc run_finish(struct run *r, json_t **result, struct err *e)
{
    char *model = fs_join(r->c->out, "model.safetensors");
    char *path = fs_join(r->c->out, "result.json");
    json_t *guards = NULL;
    json_t *o = NULL;
    enum rc rc = model == NULL || path == NULL ? mem_raise(e, "a path", 0) : RC_OK;

    if (rc == RC_OK) {
        rc = model_save(model, trainer_params(r->trainer), trainer_ema(r->trainer), &r->info, e);
    }
    if (rc == RC_OK) {
        rc = train_record_guards(&r->stores, &guards, e);
    }
    if (rc == RC_OK) {
        o = run_result(r, model, guards);
        rc = o == NULL ? mem_raise(e, "the result", 0) : run_seal(o, model, path, e);
    }
    if (rc == RC_OK) {
        *result = o;
        o = NULL;
    }
    json_decref(guards);
    json_decref(o);
    mem_free(path);
    mem_free(model);
    return rc;
}

/* A run that is done already: its result, on every rank. */
static enum rc run_done_already(const struct run *r, json_t **result, bool *done, struct err *e)
{
    char *path = fs_join(r->c->out, "result.json");
    const char *digest = NULL;
    json_t *o = NULL;
    enum rc rc = path == NULL ? mem_raise(e, "a path", 0) : RC_OK;

    *done = false;
    if (rc == RC_OK && r->c->resume && fs_exists(path)) {
        rc = json_read(path, &o, e);
        if (rc == RC_OK) {
            rc = json_get_string(o, path, "run_digest", &digest, e);
        }
        if (rc == RC_OK && strcmp(digest, r->digest) != 0) {
            rc = err_raise(e, RC_INVAL,
                           "'%s' holds a finished run of another recipe or data: choose another "
                           "--out, or --no-resume to replace it",
                           r->c->out);
        }
        *done = rc == RC_OK;
    }
    if (*done) {
        *result = o;
        o = NULL;
    }
    json_decref(o);
    mem_free(path);
    return rc;
}

static enum rc run_all(struct run *r, json_t **result, struct err *e)
{
    enum rc rc = coll_agree(r->control, run_prepare(r, e), e);

    if (rc == RC_OK) {
        log_info("student",
                 "%s, %d px, %d classes: %lld steps of %d labeled + %d unlabeled images in %d "
                 "micro-batches, lr %g, %d rank%s",
                 r->model.family->name, r->tc.net.size, r->model.classes,
                 (long long)r->tc.schedule.steps, r->rows.labeled, r->rows.unlabeled,
                 r->rows.micro_batches, r->tc.schedule.lr, coll_size(r->control),
                 coll_size(r->control) == 1 ? "" : "s");
        rc = run_steps(r, e);
    }
    if (rc == RC_OK) {
        rc = run_evaluate(r, e);
    }
    if (rc == RC_OK) {
        watch_at("writing the model to", r->c->out);
        rc = coll_rank(r->control) == 0 ? run_finish(r, result, e) : RC_OK;
        if (rc == RC_OK) {
            rc = trace_close(r->trace, e);
            r->trace = NULL;
        }
        rc = coll_agree(r->control, rc, e);
    }
    return rc;
}

/* What a lone rank, or all of them, can hang in; of several ranks, one that is waited for is named by
 * the others first (coll_set_patience). */
static enum rc run_watch(struct run *r, struct err *e)
{
    const struct train_config *c = r->c;
    const double patience = coll_size(r->control) > 1 ? 2 * c->watchdog : c->watchdog;
    enum rc rc = RC_OK;

    (void)snprintf(r->who, sizeof r->who, "rank %d", coll_rank(r->control));
    (void)snprintf(r->sources, sizeof r->sources, c->unlabeled != NULL ? "%s' or '%s" : "%s",
                   c->data != NULL ? c->data : "", c->unlabeled);
    rc = watch_create(patience, watch_leave, r->who, &r->watch, e);
    watch_begin(r->watch, 0, "opening", r->sources);
    return rc;
}

enum rc train_run(const struct train_config *c, const struct verb_call *call, json_t **result,
                  struct err *e)
{
    struct run r = {
        .c = c, .call = call, .control = call->control, .start = clock_now(), .lock = -1};
    bool done = false;
    enum rc rc = c->out == NULL ? err_raise(e, RC_USAGE, "train needs --out, a folder for the run")
                                : run_watch(&r, e);

    *result = NULL;
    if (rc == RC_OK) {
        rc = run_open(&r, e);
    }
    coll_set_patience(r.control, c->watchdog);
    if (rc == RC_OK && coll_rank(r.control) == 0) {
        rc = train_folder_hold(c, &r.lock, e);
    }
    rc = coll_agree(r.control, rc, e); /* held: from here on all ranks read the same files */
    if (rc == RC_OK) {
        rc = run_done_already(&r, result, &done, e);
    }
    if (rc == RC_OK && !done && coll_rank(r.control) == 0) {
        rc = train_folder_begin(c, e);
        rc = rc == RC_OK ? train_record_write(c, &r.stores, r.digest, e) : rc;
    }
    rc = coll_agree(r.control, rc, e);
    if (rc == RC_OK && done) {
        log_info("student", "'%s' is done already", c->out);
    }
    if (rc == RC_OK && !done) {
        rc = run_all(&r, result, e);
    }
    run_release(&r);
    return rc;
}

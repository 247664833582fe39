#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/coll/coll.h"
#include "labeler/audit.h"
#include "labeler/label_run.h"
#include "labeler/labeler_verbs.h"
#include "teacher/calibrate.h"
#include "teacher/teacher.h"

struct label_config {
    char *model, *data, *out, *classes, *device, *top_k, *profile;
    int64_t size, batch, threads, decoders, calibrate, calibrate_seed, audit;
    double crop_pct, lost_after, watchdog, max_drift;
    int precision;
    bool json;
};

enum { LABEL_SEE_TRIES = 40 };              /* of 0.25 s */
enum { LABEL_F32, LABEL_BF16, LABEL_INT8 }; /* the places of --precision's choices */
enum { LABEL_AUDIT_INT8 = 64, LABEL_AUDIT_BATCH = 16 };
static const char *const label_precisions[] = {"f32", "bf16", "int8"};

#define AT(field) offsetof(struct label_config, field)

/* clang-format off */
static const struct opt label_opts[] = {
    {"model", OPT_STR, AT(model), NULL, 0, 0, NULL, "WEIGHTS", "safetensors file of the teacher"},
    {"data", OPT_STR, AT(data), NULL, 0, 0, NULL, "CORPUS", "corpus to label"},
    {"out", OPT_STR, AT(out), NULL, 0, 0, NULL, "LABELS", "folder of label stores; the labels go to LABELS/<label digest>"},
    {"top_k", OPT_STR, AT(top_k), "10", 0, 0, NULL, "K", "classes kept of each image: a number, or all"},
    {"precision", OPT_ENUM, AT(precision), "f32", 0, 0, "f32,bf16,int8", "TYPE", "of activations; other labels, another store"},
    {"calibrate", OPT_INT, AT(calibrate), "128", 1, CALIBRATE_MAX, NULL, "N", "int8: images of the corpus that its ranges are found on; kept in LABELS"},
    {"calibrate_seed", OPT_INT, AT(calibrate_seed), "0", 0, INT32_MAX, NULL, "S", "int8: which images these are"},
    {"audit", OPT_INT, AT(audit), "-1", -1, AUDIT_MAX, NULL, "N", "images of each shard that are labeled in f32 too, to be compared; -1: 64 in int8, else none"},
    {"max_drift", OPT_F64, AT(max_drift), "1", 0, 1, NULL, "X", "seal no shard whose audit finds more: of images with another best class, or mean difference of its probability"},
    {"batch", OPT_INT, AT(batch), "32", 1, 65536, NULL, "N", "images a pass and a commit; labels do not depend on it"},
    {"size", OPT_INT, AT(size), "0", 0, 4096, NULL, "PX", "side of the images; 0: the family's test size, or as the model was trained"},
    {"crop_pct", OPT_F64, AT(crop_pct), "0", 0, 1, NULL, "P", "resize to size / crop_pct, crop the centre; 0: the model's own"},
    {"classes", OPT_STR, AT(classes), NULL, 0, 0, NULL, "FILE", "class list for a file that names none, one name a line"},
    {"device", OPT_STR, AT(device), "auto", 0, 0, NULL, "NAME", "auto, cuda, cpu or ref"},
    {"threads", OPT_INT, AT(threads), "0", 0, 1024, NULL, "N", "compute threads of a rank; 0: cores / ranks of this host"},
    {"decoders", OPT_INT, AT(decoders), "0", 0, 256, NULL, "N", "decoding threads of a rank; 0: cores / ranks of this host"},
    {"lost_after", OPT_F64, AT(lost_after), "30", 2, 86400, NULL, "SECONDS", "silence after which a rank's shard goes to another rank"},
    {"watchdog", OPT_F64, AT(watchdog), "300", 0, 1e6, NULL, "SECONDS", "how long a batch, or the opening of a shard, may take before the rank ends by itself; 0: for ever"},
    {"profile", OPT_STR, AT(profile), NULL, 0, 0, NULL, "FILE", "write a Chrome trace of rank 0's first batches: each plan and each wait"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print the result as JSON"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage label_usage = {
    .verb = "label",
    .summary = "soft labels for every image that this teacher has not labeled yet",
    .synopsis = "--model WEIGHTS --data CORPUS --out LABELS [options]",
    .description = "Ranks pull image shards from rank 0 and write one label shard for each.\n"
                   "Labels are the same bits for any number of ranks and threads, any batch\n"
                   "and any order of the dump. Run again, only images without a label are\n"
                   "labeled: a shard that was under way goes on after its last committed\n"
                   "batch.\n"
                   "\n"
                   "An image that cannot be decoded (pack --check header does not find it) has\n"
                   "a label that says nothing, which select leaves out; it is listed in\n"
                   "quarantine.jsonl beside the labels with the reason.\n"
                   "\n"
                   "On SIGUSR1 (alone also SIGTERM) the batch is committed and the exit code\n"
                   "is 75: the same command goes on. Under mpirun --enable-recovery the loss\n"
                   "of a rank other than 0 costs its own shard, which another rank labels;\n"
                   "mpirun's own exit code then says nothing.",
    .examples = "preceptor label --model w.safetensors --data dump --out labels\n"
                "mpirun -n 8 --enable-recovery preceptor label --model w.safetensors \\\n"
                "    --data dump --out labels --precision bf16 --top-k 10"};

/* What labeling works on, in order of making. */
struct label_verb {
    const struct label_config *config;
    struct coll *control;
    struct work *work;
    struct watch *watch;
    char who[24]; /* "rank 2" */
    struct teacher *teacher;
    struct corpus *corpus;
    struct device *dev;
    struct quant *quant; /* int8 */
    struct predictor *predictor;
    struct predictor *auditor; /* f32, where labels are audited */
    int audit;
    struct trace *trace; /* --profile, on rank 0 */
    struct label_lineage lineage;
    struct image_eval eval;
    char *dir; /* LABELS/<digest> */
    int shards_left;
    int64_t images_left;
    int lost;
    double seconds;
    struct label_audit audited; /* of the whole store */
    uint64_t bad;               /* likewise: images that cannot be decoded */
};

/* ---- opening --------------------------------------------------------------------------------- */

static enum rc label_top_k(const struct label_config *c, int classes, int *k, struct err *e)
{
    char *end = NULL;
    long n = 0;

    if (strcmp(c->top_k, "all") == 0) {
        *k = classes;
        return RC_OK;
    }
    errno = 0;
    n = strtol(c->top_k, &end, 10);
    if (errno != 0 || end == c->top_k || *end != '\0' || n < 1) {
        return err_raise(e, RC_USAGE, "--top-k '%.40s': expected a number of classes, or all",
                         c->top_k);
    }
    *k = n < classes ? (int)n : classes;
    return RC_OK;
}

static enum rc label_lineage_fill(struct label_verb *v, struct err *e)
{
    const struct label_config *c = v->config;
    const struct model_info *info = teacher_info(v->teacher);
    struct label_lineage *l = &v->lineage;
    struct device_info dev;
    enum rc rc = label_top_k(c, info->classes, &l->top_k, e);

    if (rc == RC_OK) {
        rc = teacher_class_digest(v->teacher, &l->classes, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    teacher_digest(v->teacher, &l->weights);
    teacher_eval(v->teacher, (int)c->size, c->crop_pct, &v->eval);
    image_eval_fingerprint(&v->eval, l->preprocessing, sizeof l->preprocessing);
    device_describe(v->dev, &dev);
    (void)snprintf(l->model, sizeof l->model, "%s", info->family);
    (void)snprintf(l->precision, sizeof l->precision, "%s", label_precisions[c->precision]);
    (void)snprintf(l->isa, sizeof l->isa, "%s", dev.isa);
    l->n_classes = info->classes;
    return RC_OK;
}

/* The folder of these labels, and what is missing in it (rank 0 makes the one, offers the other). */
static enum rc label_offer(struct label_verb *v, struct err *e)
{
    struct digest d;
    char hex[HASH_HEX_DIGEST];
    int *items = NULL;
    enum rc rc = RC_OK;

    label_lineage_digest(&v->lineage, &d);
    hash_digest_hex(&d, hex);
    v->dir = fs_join(v->config->out, hex);
    if (v->dir == NULL) {
        return mem_raise(e, "a path", strlen(v->config->out));
    }
    if (coll_rank(v->control) != 0) {
        return RC_OK;
    }
    items = mem_calloc((size_t)corpus_shards(v->corpus) + 1, sizeof *items);
    if (items == NULL) {
        return mem_raise(e, "the list of shards", (size_t)corpus_shards(v->corpus) * sizeof *items);
    }
    rc = fs_mkdirs(v->dir, e);
    if (rc == RC_OK) {
        label_missing(v->corpus, v->dir, items, &v->shards_left, &v->images_left);
        rc = work_offer(v->work, items, v->shards_left, e);
    }
    mem_free(items);
    return rc;
}

/* Teacher, corpus and device. */
static enum rc label_open(struct label_verb *v, struct err *e)
{
    const struct label_config *c = v->config;
    enum rc rc = teacher_open(c->model, c->classes, &v->teacher, e);

    if (rc == RC_OK) {
        rc = corpus_open(c->data, &v->corpus, e);
    }
    if (rc == RC_OK) {
        rc = device_create_local(c->device, coll_threads(v->control, (int)c->threads),
                                 coll_local_rank(v->control), &v->dev, e);
    }
    return rc == RC_OK ? label_lineage_fill(v, e) : rc;
}

/* int8: open, and take or make the calibration on rank 0. Collective. */
static enum rc label_calibrate(struct label_verb *v, struct err *e)
{
    const struct label_config *c = v->config;
    struct calibrate_rule rule = {.images = (int)c->calibrate, .seed = (uint64_t)c->calibrate_seed};
    enum rc rc = coll_agree(v->control, label_open(v, e), e);

    if (rc == RC_OK) {
        rule.eval = v->eval;
        rc = calibrate_share(v->control, c->out, v->teacher, v->dev, v->corpus, &rule,
                             coll_threads(v->control, (int)c->decoders), &v->quant,
                             &v->lineage.calibration, e);
    }
    return rc;
}

static enum rc label_predictors(struct label_verb *v, struct err *e)
{
    const struct label_config *c = v->config;
    enum rc rc =
        c->precision == LABEL_INT8
            ? predictor_create_int8(v->teacher, v->dev, (int)c->batch, v->eval.size, v->quant,
                                    &v->predictor, e)
            : predictor_create(v->teacher, v->dev, (int)c->batch, v->eval.size,
                               c->precision == LABEL_F32 ? DT_F32 : DT_BF16, &v->predictor, e);

    v->audit = c->audit >= 0 ? (int)c->audit : c->precision == LABEL_INT8 ? LABEL_AUDIT_INT8 : 0;
    if (rc == RC_OK && v->audit > 0) {
        rc = predictor_create(v->teacher, v->dev, LABEL_AUDIT_BATCH, v->eval.size, DT_F32,
                              &v->auditor, e);
    }
    return rc;
}

static enum rc label_prepare(struct label_verb *v, struct err *e)
{
    const struct label_config *c = v->config;
    enum rc rc = v->quant == NULL ? label_open(v, e) : RC_OK;

    if (rc == RC_OK) {
        rc = label_predictors(v, e);
    }
    if (rc == RC_OK && c->profile != NULL && coll_rank(v->control) == 0) {
        rc = trace_open(c->profile, TRACE_STEPS, &v->trace, e);
        net_trace(predictor_net(v->predictor), v->trace);
    }
    return rc == RC_OK ? label_offer(v, e) : rc; /* last: what fails before leaves no folder */
}

/* What all ranks must have in common. */
static void label_token(const struct label_verb *v, struct digest *out)
{
    struct digest both[2];

    memset(both, 0, sizeof both);
    if (v->dir != NULL) {
        label_lineage_digest(&v->lineage, &both[0]);
        corpus_digest(v->corpus, &both[1]);
    }
    hash_digest(both, sizeof both, out);
}

/* ---- running --------------------------------------------------------------------------------- */

static enum rc label_predict(void *ctx, const uint8_t *pixels, float *probs, struct err *e)
{
    return predictor_run(ctx, pixels, probs, NULL, e);
}

static void label_ask_ahead(void *ctx, const uint8_t *(*coming)(void *of), void *of)
{
    net_ask_ahead(predictor_net(ctx), coming, of);
}

/* Decoders and compute threads take turns where there are not enough cores for both. */
static bool label_takes_turns(const struct label_verb *v, int decoders)
{
    struct device_info dev;

    device_describe(v->dev, &dev);
    return strcmp(dev.backend, "cuda") != 0 && dev.threads + decoders > coll_threads(v->control, 0);
}

/* Every shard that a rank reported must be visible here: a network file system may lag behind. */
static enum rc label_see_all(const struct label_verb *v, struct err *e)
{
    const struct timespec pause = {0, 250 * 1000 * 1000};
    int *items = mem_calloc((size_t)corpus_shards(v->corpus) + 1, sizeof *items);
    int64_t images = 0;
    enum rc rc = RC_OK;
    int n = 1;

    if (items == NULL) {
        return mem_raise(e, "the list of shards", (size_t)corpus_shards(v->corpus) * sizeof *items);
    }
    for (int tries = 0; tries < LABEL_SEE_TRIES && n > 0 && rc == RC_OK; tries++) {
        if (tries > 0) {
            (void)nanosleep(&pause, NULL);
            rc = fs_sync_dir(v->dir, e); /* opening it asks the server anew */
        }
        label_missing(v->corpus, v->dir, items, &n, &images);
    }
    if (rc == RC_OK && n > 0) {
        rc =
            err_raise(e, RC_IO,
                      "%d label shards that ranks have sealed are not to be seen in '%s' from rank "
                      "0 (the first is of '%s'): is it the same folder on every host? The same "
                      "command again goes on",
                      n, v->dir, corpus_shard(v->corpus, items[0])->name);
    }
    mem_free(items);
    return rc;
}

/* What the whole store came to. */
static enum rc label_sum(struct label_verb *v, struct err *e)
{
    const struct label_shard *worst = NULL;
    struct label_store *store = NULL;
    enum rc rc = label_store_open(v->dir, &store, e);

    if (rc == RC_OK) {
        label_store_audit(store, &v->audited, &worst);
        v->bad = label_store_bad(store);
    }
    label_store_close(store);
    return rc;
}

static enum rc label_finish(struct label_verb *v, struct err *e)
{
    enum rc rc = label_see_all(v, e);

    if (rc == RC_OK) {
        rc = label_store_update(v->dir, &v->lineage,
                                (const char *const *)teacher_info(v->teacher)->class_names,
                                v->corpus, e);
    }
    return rc == RC_OK ? label_sum(v, e) : rc;
}

static enum rc label_work(struct label_verb *v, const volatile sig_atomic_t *stop, struct err *e)
{
    const int decoders = coll_threads(v->control, (int)v->config->decoders);
    struct label_job job = {
        .work = v->work,
        .control = v->control,
        .corpus = v->corpus,
        .lineage = &v->lineage,
        .dir = v->dir,
        .eval = v->eval,
        .predictor = {label_predict, v->predictor, (int)v->config->batch, label_ask_ahead},
        .auditor = {label_predict, v->auditor, LABEL_AUDIT_BATCH, NULL},
        .audit = v->audit,
        .max_drift = v->config->max_drift,
        .decoders = decoders,
        .take_turns = label_takes_turns(v, decoders),
        .trace = v->trace,
        .watch = v->watch,
        .stop = stop,
    };
    struct work_counts mine;
    const double start = clock_now();
    enum rc rc = label_run(&job, v->images_left, &mine, e);

    if (rc == RC_OK) {
        rc = trace_close(v->trace, e);
        v->trace = NULL;
    }

    if (rc == RC_OK && coll_rank(v->control) == 0 && !work_stopping(v->work)) {
        watch_begin(v->watch, LABEL_WATCH_LOOP, "writing the manifest of", v->dir);
        rc = label_finish(v, e);
        watch_end(v->watch, LABEL_WATCH_LOOP);
    }
    v->seconds = fmax(clock_now() - start, 1e-9);
    return rc;
}

/* ---- what is said at the end ----------------------------------------------------------------- */

static int label_json_audit(json_t *root, const struct label_audit *a)
{
    return a->images == 0
               ? 0
               : json_object_set_new(root, "audit",
                                     json_pack("{s:I,s:f,s:f}", "images", (json_int_t)a->images,
                                               "agreement", (double)a->agree / (double)a->images,
                                               "difference", (double)a->difference / 1e6));
}

static enum rc label_print_json(const struct label_verb *v, const struct work_counts *sum,
                                struct err *e)
{
    const int ranks = coll_size(v->control);
    json_t *root = json_pack(
        "{s:s,s:s,s:s,s:s,s:i,s:i,s:I,s:I,s:I,s:i,s:I,s:f,s:f,s:f,s:i,s:i,s:I,s:I}", "store",
        v->dir, "model", v->config->model, "data", v->config->data, "precision",
        v->lineage.precision, "size", v->eval.size, "top_k", v->lineage.top_k, "images",
        (json_int_t)corpus_images(v->corpus), "labeled", (json_int_t)sum->labeled, "resumed",
        (json_int_t)sum->resumed, "shards", corpus_shards(v->corpus), "sealed",
        (json_int_t)sum->sealed, "seconds", v->seconds, "images_per_second",
        (double)sum->labeled / v->seconds, "io_wait", sum->waited / (v->seconds * ranks), "ranks",
        ranks, "lost", v->lost, "bad", (json_int_t)v->bad, "bad_now", (json_int_t)sum->bad);

    if (root != NULL && label_json_audit(root, &v->audited) != 0) {
        json_decref(root);
        root = NULL;
    }
    return verb_print_json(root, e);
}

static void label_print(const struct label_verb *v, const struct work_counts *sum)
{
    const int ranks = coll_size(v->control);
    const int64_t images = (int64_t)corpus_images(v->corpus);

    printf("labels     %s\n", v->dir);
    printf("           top %d of %d classes, %s, %s at %d px\n", v->lineage.top_k,
           v->lineage.n_classes, v->lineage.precision, v->lineage.model, v->eval.size);
    printf("images     %lld new of %lld (%.1f %%), %lld known and not labeled again\n",
           (long long)sum->labeled, (long long)images,
           images > 0 ? 100 * (double)sum->labeled / (double)images : 0,
           (long long)(images - sum->labeled - (int64_t)v->bad));
    if (v->bad > 0) {
        printf("bad        %llu cannot be decoded and have no label, %lld found now: "
               "%s/quarantine.jsonl lists them\n",
               (unsigned long long)v->bad, (long long)sum->bad, v->dir);
    }
    printf("shards     %d: %lld sealed now\n", corpus_shards(v->corpus), (long long)sum->sealed);
    printf("time       %.1f s on %d rank%s, %.0f img/s, io wait %.0f %%\n", v->seconds, ranks,
           ranks == 1 ? "" : "s", (double)sum->labeled / v->seconds,
           100 * sum->waited / (v->seconds * ranks));
    if (v->audited.images > 0) {
        printf("audit      %llu images in f32 too: %.2f %% have the same best class, whose "
               "probability differs by %.4f on average\n",
               (unsigned long long)v->audited.images,
               100 * (double)v->audited.agree / (double)v->audited.images,
               (double)v->audited.difference / 1e6);
    }
    if (v->lost > 0) {
        printf("lost       %d rank%s on the way: others did the work\n", v->lost,
               v->lost == 1 ? "" : "s");
    }
    printf("next       preceptor select --labels %s --out NAME.lmdb\n", v->dir);
}

static void label_release(struct label_verb *v)
{
    struct err ignored = {0};

    watch_destroy(v->watch);
    (void)!trace_close(v->trace, &ignored); /* of a run that failed */
    work_destroy(v->work);
    predictor_destroy(v->predictor);
    predictor_destroy(v->auditor);
    quant_destroy(v->quant);
    device_destroy(v->dev);
    corpus_close(v->corpus);
    teacher_close(v->teacher);
    mem_free(v->dir);
}

static enum rc label_all(const struct label_config *c, const struct verb_call *call, struct err *e)
{
    struct label_verb v = {.config = c, .control = call->control};
    const struct work_config wc = {.control = call->control, .lost_after = c->lost_after};
    struct work_counts sum = {0};
    struct digest token;
    enum rc rc = c->precision == LABEL_INT8 ? label_calibrate(&v, e) : RC_OK;

    (void)snprintf(v.who, sizeof v.who, "rank %d", coll_rank(call->control));
    if (rc == RC_OK) {
        /* The last agreement by a collective: from here on a rank may be lost. */
        rc = coll_agree(call->control, work_create(&wc, &v.work, e), e);
    }
    if (rc == RC_OK) {
        rc = watch_create(c->watchdog, watch_leave, v.who, &v.watch, e);
        watch_begin(v.watch, LABEL_WATCH_LOOP, "opening the model and the corpus", c->data);
        if (rc == RC_OK) {
            rc = label_prepare(&v, e);
        }
        watch_end(v.watch, LABEL_WATCH_LOOP);
        label_token(&v, &token);
        rc = work_agree(v.work, WORK_ENTER, rc, &token, e);
        if (rc == RC_OK) {
            rc = label_work(&v, call->stop, e);
            rc = work_agree(v.work, WORK_LEAVE, rc, NULL, e);
        }
    }
    if (rc == RC_OK && coll_rank(call->control) == 0) {
        work_totals(v.work, &sum, &v.lost);
        if (c->json) {
            rc = label_print_json(&v, &sum, e);
        } else {
            label_print(&v, &sum);
        }
    }
    label_release(&v);
    return rc;
}

static enum rc label_line(const void *options, const char *const words[], int n,
                          const struct verb_call *call, struct err *e)
{
    const struct label_config *c = options;

    (void)words, (void)n;
    if (c->model == NULL || c->data == NULL || c->out == NULL) {
        return err_raise(e, RC_USAGE, "label needs --%s: see preceptor label --help",
                         c->model == NULL  ? "model"
                         : c->data == NULL ? "data"
                                           : "out");
    }
    return label_all(c, call, e);
}

static enum rc label_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_label, &label_usage, label_line, false};

    return verb_do(call, &line, e);
}

const struct verb verb_label = {
    "label",    "soft labels for every image that this teacher has not labeled yet",
    label_main, true,
    label_opts, sizeof(struct label_config)};

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/coll/coll.h"
#include "common/train/calibration.h"
#include "common/train/evaluate_loop.h"
#include "shards/eval_feed.h"
#include "teacher/calibrate.h"
#include "teacher/teacher.h"
#include "teacher/teacher_verbs.h"

struct eval_config {
    char *model, *data, *classes, *device;
    int64_t size, batch, threads, decoders, calibrate;
    double crop_pct;
    int precision;
    bool json, per_class, temperature;
};

#define AT(field) offsetof(struct eval_config, field)

/* clang-format off */
static const struct opt eval_opts[] = {
    {"model", OPT_STR, AT(model), NULL, 0, 0, NULL, "WEIGHTS", "safetensors file of the model"},
    {"data", OPT_STR, AT(data), NULL, 0, 0, NULL, "CORPUS", "labeled corpus"},
    {"classes", OPT_STR, AT(classes), NULL, 0, 0, NULL, "FILE", "class list for a file that names none, one name a line"},
    {"size", OPT_INT, AT(size), "0", 0, 4096, NULL, "PX", "side of the images; 0: as the model was trained"},
    {"crop_pct", OPT_F64, AT(crop_pct), "0", 0, 1, NULL, "X", "resize to size / crop_pct, crop the centre; 0: the model's own"},
    {"batch", OPT_INT, AT(batch), "64", 1, 65536, NULL, "N", "images a pass"},
    {"precision", OPT_ENUM, AT(precision), "f32", 0, 0, "f32,bf16,int8", "TYPE", "of activations; int8: calibrated on a sample of the corpus"},
    {"calibrate", OPT_INT, AT(calibrate), "128", 1, CALIBRATE_MAX, NULL, "N", "int8: images of that sample"},
    {"device", OPT_STR, AT(device), "auto", 0, 0, NULL, "NAME", "auto, cuda, cpu or ref"},
    {"threads", OPT_INT, AT(threads), "0", 0, 1024, NULL, "N", "compute threads of a rank; 0: cores / ranks of this host"},
    {"decoders", OPT_INT, AT(decoders), "0", 0, 1024, NULL, "N", "decoding threads of a rank; 0 chooses"},
    {"per_class", OPT_BOOL, AT(per_class), "false", 0, 0, NULL, NULL, "print a line for each class"},
    {"temperature", OPT_BOOL, AT(temperature), "false", 0, 0, NULL, NULL, "fit a temperature to every fifth image and judge it on the others; keeps all logits in memory"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print the result as JSON"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage eval_usage = {
    .verb = "eval",
    .summary = "top-1, top-5, NLL and calibration of a model on a labeled corpus",
    .synopsis = "--model WEIGHTS --data CORPUS [options]",
    .description =
        "Every occurrence of the corpus is evaluated once, on any number of ranks. Pixels are\n"
        "prepared as Pillow and timm do: resize the short side to size / crop_pct (bicubic), crop\n"
        "the centre. The model's class list must be the corpus's.\n"
        "--temperature changes neither the model nor what `label` stores: what it prints is given "
        "to\n"
        "`train --temperature`, which takes pseudo-labels as p^(1/T).",
    .examples = "preceptor eval --model runs/student/model.safetensors --data val\n"
                "mpirun -n 2 preceptor eval --model w.safetensors --data val --size 224 --json"};

/* What an evaluation works on, in order of making. */
struct eval_job {
    struct teacher *teacher;
    struct corpus *corpus;
    struct device *dev;
    struct predictor *predictor;
    struct quant *quant; /* int8 */
    struct eval_feed *feed;
    struct image_eval eval;
    struct evaluation result;
    struct calibration *calibration; /* --temperature: */
    double temperature;
    int64_t held;
    struct evaluation before, after; /* of the images that were not held out */
    uint64_t mine;
    double seconds;
};

static enum rc eval_check_classes(const struct eval_config *c, const struct eval_job *j,
                                  struct err *e)
{
    struct digest model;
    struct digest data;
    enum rc rc = RC_OK;

    if (!corpus_labeled(j->corpus)) {
        return err_raise(e, RC_INVAL, "the corpus '%s' has no labels: nothing to evaluate against",
                         c->data);
    }
    if (corpus_classes(j->corpus) != teacher_info(j->teacher)->classes) {
        return err_raise(e, RC_INVAL, "the model '%s' has %d classes, the corpus '%s' has %d",
                         c->model, teacher_info(j->teacher)->classes, c->data,
                         corpus_classes(j->corpus));
    }
    rc = teacher_class_digest(j->teacher, &model, e);
    if (rc != RC_OK) {
        return rc;
    }
    corpus_class_digest(j->corpus, &data);
    if (memcmp(&model, &data, sizeof model) != 0) {
        int i = 0;

        while (strcmp(teacher_info(j->teacher)->class_names[i], corpus_class(j->corpus, i)) == 0) {
            i++;
        }
        return err_raise(e, RC_INVAL,
                         "the class lists of the model '%s' and the corpus '%s' differ: class %d "
                         "is '%s' there and '%s' here",
                         c->model, c->data, i, teacher_info(j->teacher)->class_names[i],
                         corpus_class(j->corpus, i));
    }
    return RC_OK;
}

enum { EVAL_INT8 = 2 }; /* the place of int8 among the precisions */

static enum rc eval_predictor(const struct eval_config *c, struct eval_job *j, struct err *e)
{
    const enum dtype type = c->precision == 0 ? DT_F32 : DT_BF16;

    return c->precision == EVAL_INT8
               ? predictor_create_int8(j->teacher, j->dev, (int)c->batch, j->eval.size, j->quant,
                                       &j->predictor, e)
               : predictor_create(j->teacher, j->dev, (int)c->batch, j->eval.size, type,
                                  &j->predictor, e);
}

/* Collective. */
static enum rc eval_calibrate(const struct eval_config *c, struct coll *coll, struct eval_job *j,
                              struct err *e)
{
    const struct calibrate_rule rule = {.images = (int)c->calibrate, .eval = j->eval};

    return calibrate_share(coll, NULL, j->teacher, j->dev, j->corpus, &rule, (int)c->decoders,
                           &j->quant, NULL, e);
}

static enum rc eval_open(const struct eval_config *c, struct coll *coll, struct eval_job *j,
                         struct err *e)
{
    enum rc rc = teacher_open(c->model, c->classes, &j->teacher, e);

    if (rc == RC_OK) {
        rc = corpus_open(c->data, &j->corpus, e);
    }
    if (rc == RC_OK) {
        rc = eval_check_classes(c, j, e);
    }
    if (rc == RC_OK) {
        rc = evaluation_init(&j->result, teacher_info(j->teacher)->classes, e);
    }
    if (rc == RC_OK) {
        rc = device_create_local(c->device, coll_threads(coll, (int)c->threads),
                                 coll_local_rank(coll), &j->dev, e);
    }
    if (rc == RC_OK) {
        teacher_eval(j->teacher, (int)c->size, c->crop_pct, &j->eval);
    }
    return rc;
}

static enum rc eval_prepare(const struct eval_config *c, struct coll *coll, struct eval_job *j,
                            struct err *e)
{
    struct eval_feed_config fc = {0};
    enum rc rc = eval_predictor(c, j, e);

    if (rc != RC_OK) {
        return rc;
    }
    fc = (struct eval_feed_config){.corpus = j->corpus, .eval = j->eval, .batch = (int)c->batch};
    fc.threads = (int)c->decoders;
    evaluate_split(corpus_occurrences(j->corpus), coll_rank(coll), coll_size(coll), &fc.from,
                   &fc.to);
    j->mine = fc.to - fc.from;
    if (c->temperature) {
        rc = calibration_create(j->result.classes, fc.from, &j->calibration, e);
        j->result.kept = j->calibration;
    }
    return rc == RC_OK ? eval_feed_create(&fc, &j->feed, e) : rc;
}

static enum rc eval_source(void *ctx, const uint8_t **pixels, const int32_t **cls, int *n,
                           struct err *e)
{
    return eval_feed_next(ctx, pixels, cls, n, e);
}

static enum rc eval_fit(struct eval_job *j, struct coll *coll, struct err *e)
{
    enum rc rc = RC_OK;

    if (j->result.images <= 1) {
        return err_raise(e, RC_INVAL, "one image is too few to fit a temperature and judge it");
    }
    rc = calibration_fit(j->calibration, coll, &j->temperature, &j->held, e);
    if (rc == RC_OK) {
        rc = calibration_evaluate(j->calibration, 1, coll, &j->before, e);
    }
    if (rc == RC_OK) {
        rc = calibration_evaluate(j->calibration, j->temperature, coll, &j->after, e);
    }
    return rc;
}

static json_t *eval_json_fit(const struct eval_job *j)
{
    return json_pack("{s:f,s:I,s:I,s:f,s:f,s:f,s:f}", "temperature", j->temperature, "held_out",
                     (json_int_t)j->held, "images", (json_int_t)j->after.images, "nll_at_1",
                     j->before.nll, "nll", j->after.nll, "ece_at_1", j->before.ece, "ece",
                     j->after.ece);
}

static enum rc eval_print_json(const struct eval_config *c, const struct eval_job *j, struct err *e)
{
    const struct evaluation *v = &j->result;
    json_t *classes = json_array();
    json_t *root = json_pack("{s:s,s:s,s:I,s:i,s:f,s:f,s:f,s:f,s:f,s:f,s:o}", "model", c->model,
                             "data", c->data, "images", (json_int_t)v->images, "size", j->eval.size,
                             "top1", 100.0 * (double)v->top1 / (double)v->images, "top5",
                             100.0 * (double)v->top5 / (double)v->images, "nll", v->nll, "ece",
                             v->ece, "seconds", j->seconds, "images_per_second",
                             (double)v->images / j->seconds, "per_class", classes);
    enum rc rc = RC_OK;

    if (root == NULL) {
        json_decref(classes);
        return mem_raise(e, "the result", 0);
    }
    for (int i = 0; i < v->classes; i++) {
        json_t *one =
            json_pack("{s:s,s:I,s:I}", "class", corpus_class(j->corpus, i), "images",
                      (json_int_t)v->per_class[i], "right", (json_int_t)v->per_class_top1[i]);

        if (json_array_append_new(classes, one) != 0) {
            rc = mem_raise(e, "the result", 0);
            break;
        }
    }
    if (rc == RC_OK && c->temperature &&
        json_object_set_new(root, "calibration", eval_json_fit(j)) != 0) {
        rc = mem_raise(e, "the result", 0);
    }
    if (rc == RC_OK) {
        return verb_print_json(root, e);
    }
    json_decref(root);
    return rc;
}

static void eval_print(const struct eval_config *c, const struct eval_job *j)
{
    const struct evaluation *v = &j->result;
    double n = (double)v->images;

    if (c->per_class) {
        for (int i = 0; i < v->classes; i++) {
            printf("%-32s %6.2f %%  of %lld\n", corpus_class(j->corpus, i),
                   v->per_class[i] == 0
                       ? 0.0
                       : 100.0 * (double)v->per_class_top1[i] / (double)v->per_class[i],
                   (long long)v->per_class[i]);
        }
    }
    printf("model      %s (%s, %d px)\n", c->model, teacher_info(j->teacher)->family, j->eval.size);
    printf("images     %lld in %.1f s, %.0f img/s\n", (long long)v->images, j->seconds,
           n / j->seconds);
    printf("top-1      %.2f %%\n", 100.0 * (double)v->top1 / n);
    printf("top-5      %.2f %%\n", 100.0 * (double)v->top5 / n);
    printf("NLL        %.4f\n", v->nll);
    printf("ECE        %.4f (15 bins)\n", v->ece);
    if (c->temperature) {
        printf("fit        temperature %.4f, to %lld held-out images; of the others NLL %.4f -> "
               "%.4f, ECE %.4f -> %.4f\n",
               j->temperature, (long long)j->held, j->before.nll, j->after.nll, j->before.ece,
               j->after.ece);
    }
}

static void eval_release(struct eval_job *j)
{
    eval_feed_destroy(j->feed);
    predictor_destroy(j->predictor);
    quant_destroy(j->quant);
    device_destroy(j->dev);
    evaluation_release(&j->result);
    evaluation_release(&j->before);
    evaluation_release(&j->after);
    calibration_destroy(j->calibration);
    corpus_close(j->corpus);
    teacher_close(j->teacher);
}

static enum rc eval_run(const struct eval_config *c, struct coll *coll, struct err *e)
{
    struct eval_job j = {0};
    double start = 0;
    enum rc rc = coll_agree(coll, eval_open(c, coll, &j, e), e);

    if (rc == RC_OK && c->precision == EVAL_INT8) {
        rc = eval_calibrate(c, coll, &j, e);
    }
    if (rc == RC_OK) {
        rc = coll_agree(coll, eval_prepare(c, coll, &j, e), e);
    }

    if (rc == RC_OK && corpus_occurrences(j.corpus) == 0) {
        rc = err_raise(e, RC_INVAL, "the corpus '%s' holds no images", c->data);
    }
    if (rc == RC_OK) {
        start = clock_now();
        net_ask_ahead(predictor_net(j.predictor), eval_feed_peek, j.feed);
        rc = evaluate_net(predictor_net(j.predictor), (int)c->batch, eval_source, j.feed, "eval",
                          j.mine, coll, &j.result, e);
        j.seconds = fmax(clock_now() - start, 1e-9);
    }
    if (rc == RC_OK && c->temperature) {
        rc = eval_fit(&j, coll, e);
    }
    if (rc == RC_OK && coll_rank(coll) == 0) {
        if (c->json) {
            rc = eval_print_json(c, &j, e);
        } else {
            eval_print(c, &j);
        }
    }
    eval_release(&j);
    return coll_agree(coll, rc, e);
}

static enum rc eval_line(const void *options, const char *const words[], int n,
                         const struct verb_call *call, struct err *e)
{
    const struct eval_config *c = options;

    (void)words, (void)n;
    return c->model != NULL && c->data != NULL
               ? eval_run(c, call->control, e)
               : err_raise(e, RC_USAGE, "eval needs --%s: see preceptor eval --help",
                           c->model == NULL ? "model" : "data");
}

static enum rc eval_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_eval, &eval_usage, eval_line, false};

    return verb_do(call, &line, e);
}

const struct verb verb_eval = {
    "eval",    "top-1, top-5 and calibration of a model on a labeled corpus",
    eval_main, true,
    eval_opts, sizeof(struct eval_config)};

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/coll/coll.h"
#include "teacher/calibrate.h"
#include "teacher/teacher.h"
#include "teacher/teacher_verbs.h"

struct predict_config {
    char *model, *classes, *device;
    int64_t size, top_k, threads, calibrate;
    double crop_pct;
    int precision;
    bool logits, json;
};

#define AT(field) offsetof(struct predict_config, field)

/* clang-format off */
static const struct opt predict_opts[] = {
    {"model", OPT_STR, AT(model), NULL, 0, 0, NULL, "WEIGHTS", "safetensors file of the model"},
    {"classes", OPT_STR, AT(classes), NULL, 0, 0, NULL, "FILE", "class list for a file that names none, one name a line"},
    {"top_k", OPT_INT, AT(top_k), "5", 1, 65536, NULL, "K", "classes to show"},
    {"logits", OPT_BOOL, AT(logits), "false", 0, 0, NULL, NULL, "print all logits, in class order, instead of classes"},
    {"size", OPT_INT, AT(size), "0", 0, 4096, NULL, "PX", "side of the images; 0: as the model was trained"},
    {"crop_pct", OPT_F64, AT(crop_pct), "0", 0, 1, NULL, "X", "resize to size / crop_pct, crop the centre; 0: the model's own"},
    {"precision", OPT_ENUM, AT(precision), "f32", 0, 0, "f32,bf16,int8", "TYPE", "of activations; int8: calibrated on the files themselves"},
    {"calibrate", OPT_INT, AT(calibrate), "128", 1, CALIBRATE_MAX, NULL, "N", "int8: how many of the files, from the first"},
    {"device", OPT_STR, AT(device), "auto", 0, 0, NULL, "NAME", "auto, cuda, cpu or ref"},
    {"threads", OPT_INT, AT(threads), "0", 0, 1024, NULL, "N", "compute threads; 0: all cores"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print one JSON object a file"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage predict_usage = {
    .verb = "predict",
    .summary = "classes of the image files named, best first",
    .synopsis = "--model WEIGHTS [options] FILE...",
    .description =
        "A file that cannot be read or decoded is named on standard error, costs nothing\n"
        "else, and makes the exit code 1.",
    .examples =
        "preceptor predict --model runs/student/model.safetensors --top_k 3 cat.jpg dog.png"};

struct predict_job {
    struct teacher *teacher;
    struct device *dev;
    struct predictor *predictor;
    struct quant *quant; /* int8 */
    struct codec *codec;
    struct image_eval eval;
    uint8_t *pixels;
    float *probs, *logits;
    uint16_t *order; /* classes, best first */
};

enum { PREDICT_INT8 = 2 }; /* the place of int8 among the precisions */

/* The file's pixels, prepared. RC_INVAL, RC_IO: it cannot be used (named). */
static enum rc predict_read(struct predict_job *j, const char *path, uint8_t *pixels, struct err *e)
{
    enum image_reason why = IMAGE_OK;
    struct err detail = {0};
    char *data = NULL;
    size_t bytes = 0;
    enum rc rc = fs_read(path, IMAGE_MAX_BYTES, &data, &bytes, e);

    if (rc != RC_OK) {
        return rc;
    }
    rc = image_eval_file(j->codec, &j->eval, data, bytes, pixels, &why, &detail);
    mem_free(data);
    if (rc != RC_OK) {
        return err_raise(e, rc, "cannot use '%s': %s (%s)", path, image_reason_name(why),
                         detail.msg);
    }
    return RC_OK;
}

/* Calibrate on the first of the files that can be used. */
static enum rc predict_calibrate(const struct predict_config *c, struct predict_job *j,
                                 const char *const files[], int n, struct err *e)
{
    const size_t image = (size_t)j->eval.size * (size_t)j->eval.size * (size_t)j->eval.channels;
    uint8_t *pixels = mem_calloc(CALIBRATE_BATCH, image);
    struct calibrate *k = NULL;
    int rows = 0;
    enum rc rc = pixels != NULL ? calibrate_begin(j->teacher, j->dev, j->eval.size, &k, e)
                                : mem_raise(e, "pixels", CALIBRATE_BATCH * image);

    for (int i = 0; rc == RC_OK && i < n && i < c->calibrate; i++) {
        struct err ignored = {0}; /* it is named when its turn comes */

        if (predict_read(j, files[i], pixels + (size_t)rows * image, &ignored) == RC_OK) {
            rows++;
        }
        if (rows == CALIBRATE_BATCH || (rows > 0 && (i == n - 1 || i == c->calibrate - 1))) {
            rc = calibrate_add(k, pixels, rows, e);
            rows = 0;
        }
    }
    if (rc == RC_OK) {
        calibrate_end(k, &j->quant);
    }
    calibrate_destroy(k);
    mem_free(pixels);
    return rc;
}

static enum rc predict_predictor(const struct predict_config *c, struct predict_job *j,
                                 const char *const files[], int n, struct err *e)
{
    enum rc rc = RC_OK;

    if (c->precision != PREDICT_INT8) {
        return predictor_create(j->teacher, j->dev, 1, j->eval.size,
                                c->precision == 0 ? DT_F32 : DT_BF16, &j->predictor, e);
    }
    rc = predict_calibrate(c, j, files, n, e);
    return rc != RC_OK ? rc
                       : predictor_create_int8(j->teacher, j->dev, 1, j->eval.size, j->quant,
                                               &j->predictor, e);
}

static enum rc predict_prepare(const struct predict_config *c, const struct coll *coll,
                               struct predict_job *j, const char *const files[], int n,
                               struct err *e)
{
    size_t classes = 0;
    size_t bytes = 0;
    enum rc rc = teacher_open(c->model, c->classes, &j->teacher, e);

    if (rc == RC_OK) {
        rc = device_create_local(c->device, coll_threads(coll, (int)c->threads),
                                 coll_local_rank(coll), &j->dev, e);
    }
    if (rc == RC_OK) {
        rc = codec_create(&j->codec, e);
    }
    if (rc == RC_OK) {
        teacher_eval(j->teacher, (int)c->size, c->crop_pct, &j->eval);
        rc = predict_predictor(c, j, files, n, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    classes = (size_t)teacher_info(j->teacher)->classes;
    bytes = (size_t)j->eval.size * (size_t)j->eval.size * (size_t)j->eval.channels;
    j->pixels = mem_calloc(bytes, 1);
    j->probs = mem_calloc(2 * classes, sizeof *j->probs);
    j->order = mem_calloc(classes, sizeof *j->order);
    if (j->pixels == NULL || j->probs == NULL || j->order == NULL) {
        return mem_raise(e, "a prediction", bytes + 2 * classes * sizeof *j->probs);
    }
    j->logits = j->probs + classes;
    return RC_OK;
}

static void predict_release(struct predict_job *j)
{
    predictor_destroy(j->predictor);
    quant_destroy(j->quant);
    codec_destroy(j->codec);
    device_destroy(j->dev);
    teacher_close(j->teacher);
    mem_free(j->pixels);
    mem_free(j->probs);
    mem_free(j->order);
}

/* The k best classes into order: selection by repeated maximum; k is small. */
static void predict_best(const float *probs, int classes, int k, uint16_t *order)
{
    for (int i = 0; i < k; i++) {
        int best = -1;

        for (int c = 0; c < classes; c++) {
            bool taken = false;

            for (int t = 0; t < i && !taken; t++) {
                taken = order[t] == c;
            }
            if (!taken && (best < 0 || probs[c] > probs[best])) {
                best = c;
            }
        }
        order[i] = (uint16_t)best;
    }
}

static const char *predict_name(const struct predict_job *j, int cls, char *buf, size_t size)
{
    const struct model_info *info = teacher_info(j->teacher);

    if (info->class_names != NULL) {
        return info->class_names[cls];
    }
    (void)snprintf(buf, size, "%d", cls);
    return buf;
}

static enum rc predict_print_json(const struct predict_config *c, const struct predict_job *j,
                                  const char *path, int k, struct err *e)
{
    json_t *best = json_array();
    json_t *logits = json_array();
    json_t *root = json_pack("{s:s,s:o,s:o}", "file", path, "best", best, "logits", logits);
    char buf[16];
    int failed = root == NULL;

    for (int i = 0; !failed && i < k; i++) {
        int cls = j->order[i];

        failed = json_array_append_new(
            best, json_pack("{s:s,s:i,s:f}", "class", predict_name(j, cls, buf, sizeof buf),
                            "index", cls, "probability", (double)j->probs[cls]));
    }
    for (int i = 0; !failed && c->logits && i < teacher_info(j->teacher)->classes; i++) {
        failed = json_array_append_new(logits, json_real((double)j->logits[i]));
    }
    if (!failed) {
        failed = json_dumpf(root, stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF;
    }
    json_decref(root);
    return failed ? err_raise(e, RC_IO, "cannot write the prediction of '%s'", path) : RC_OK;
}

static void predict_print(const struct predict_config *c, const struct predict_job *j,
                          const char *path, int k)
{
    char buf[16];

    if (c->logits) {
        for (int i = 0; i < teacher_info(j->teacher)->classes; i++) {
            printf("%s%.9g", i == 0 ? "" : " ", (double)j->logits[i]);
        }
        printf("\n");
        return;
    }
    printf("%s\n", path);
    for (int i = 0; i < k; i++) {
        int cls = j->order[i];

        printf("  %6.2f %%  %s\n", 100.0 * (double)j->probs[cls],
               predict_name(j, cls, buf, sizeof buf));
    }
}

static enum rc predict_file(const struct predict_config *c, struct predict_job *j, const char *path,
                            struct err *e)
{
    int classes = teacher_info(j->teacher)->classes;
    int k = c->top_k < classes ? (int)c->top_k : classes;
    enum rc rc = predict_read(j, path, j->pixels, e);

    if (rc != RC_OK) {
        return rc;
    }
    rc = predictor_run(j->predictor, j->pixels, j->probs, j->logits, e);
    if (rc != RC_OK) {
        return rc;
    }
    predict_best(j->probs, classes, k, j->order);
    if (c->json) {
        return predict_print_json(c, j, path, k, e);
    }
    predict_print(c, j, path, k);
    return RC_OK;
}

static enum rc predict_run(const struct predict_config *c, const struct coll *coll,
                           const char *const files[], int n, struct err *e)
{
    struct predict_job j = {0};
    int bad = 0;
    enum rc rc = predict_prepare(c, coll, &j, files, n, e);

    for (int i = 0; rc == RC_OK && i < n; i++) {
        struct err one = {0};

        if (predict_file(c, &j, files[i], &one) != RC_OK) {
            log_warn("teacher", "%s", one.msg);
            bad++;
        }
    }
    if (rc == RC_OK && bad > 0) {
        rc = err_raise(e, RC_INVAL, "%d of %d files could not be used (named above)", bad, n);
    }
    predict_release(&j);
    return rc;
}

static enum rc predict_line(const void *options, const char *const words[], int n,
                            const struct verb_call *call, struct err *e)
{
    const struct predict_config *c = options;

    return c->model != NULL && n > 0
               ? predict_run(c, call->control, words, n, e)
               : err_raise(e, RC_USAGE, "predict needs %s: see preceptor predict --help",
                           c->model == NULL ? "--model" : "at least one image file");
}

static enum rc predict_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_predict, &predict_usage, predict_line, true};

    return verb_do(call, &line, e);
}

const struct verb verb_predict = {"predict",    "classes of the image files named, best first",
                                  predict_main, false,
                                  predict_opts, sizeof(struct predict_config)};

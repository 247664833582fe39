#include "teacher/teacher.h"

#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/nn/net.h"
#include "shards/corpus.h"

struct teacher {
    struct model_info info;
    struct params *params;
    float *weights;
    struct digest digest;
};

enum { TEACHER_MAX_LIST = 16 << 20 };

/* Cut text into its non-empty lines, in place; the first max of them are kept. Their number. */
static size_t teacher_lines(char *text, char **lines, size_t max)
{
    size_t n = 0;

    for (char *s = text; *s != '\0';) {
        size_t len = strcspn(s, "\r\n");
        char *next = s[len] == '\0' ? s + len : s + len + 1;

        s[len] = '\0';
        if (len > 0 && n++ < max) {
            lines[n - 1] = s;
        }
        s = next;
    }
    return n;
}

static enum rc teacher_copy_names(struct model_info *info, char *const *lines, struct err *e)
{
    info->class_names = mem_calloc((size_t)info->classes, sizeof *info->class_names);
    if (info->class_names == NULL) {
        return mem_raise(e, "the class list", (size_t)info->classes);
    }
    for (int i = 0; i < info->classes; i++) {
        info->class_names[i] = mem_strdup(lines[i]);
        if (info->class_names[i] == NULL) {
            return mem_raise(e, "a class name", strlen(lines[i]));
        }
    }
    return RC_OK;
}

static enum rc teacher_read_classes(struct model_info *info, const char *path, struct err *e)
{
    char *text = NULL;
    char **lines = NULL;
    size_t bytes = 0;
    size_t n = 0;
    enum rc rc = fs_read(path, TEACHER_MAX_LIST, &text, &bytes, e);

    if (rc != RC_OK) {
        return rc;
    }
    lines = mem_calloc((size_t)info->classes, sizeof *lines);
    if (lines == NULL) {
        rc = mem_raise(e, "the class list", bytes);
        goto out;
    }
    n = teacher_lines(text, lines, (size_t)info->classes);
    if (n != (size_t)info->classes) {
        rc = err_raise(e, RC_INVAL,
                       "the class list '%s' has %zu names, but the model has %d classes: expected "
                       "one name a line, in class order",
                       path, n, info->classes);
        goto out;
    }
    for (int i = 0; info->class_names != NULL && i < info->classes; i++) {
        mem_free(info->class_names[i]);
    }
    mem_free(info->class_names);
    rc = teacher_copy_names(info, lines, e);
out:
    mem_free(lines);
    mem_free(text);
    return rc;
}

enum rc teacher_open(const char *path, const char *classes_path, struct teacher **out,
                     struct err *e)
{
    struct teacher *t = mem_calloc(1, sizeof *t);
    struct nn_model model = {0};
    enum rc rc = RC_OK;

    if (t == NULL) {
        return mem_raise(e, "a teacher", sizeof *t);
    }
    rc = model_probe(path, &t->info, e);
    if (rc == RC_OK) {
        model =
            (struct nn_model){nn_family_find(t->info.family), t->info.in_channels, t->info.classes};
        rc = params_create(&model, &t->params, e);
    }
    if (rc == RC_OK) {
        t->weights = params_buffer(t->params);
        rc = t->weights != NULL ? RC_OK
                                : mem_raise(e, path, t->params->n_total * sizeof *t->weights);
    }
    if (rc == RC_OK) {
        rc = model_load(path, t->params, false, t->weights, e);
    }
    if (rc == RC_OK) {
        rc = hash_file(path, &t->digest, e);
    }
    if (rc == RC_OK && classes_path != NULL) {
        rc = teacher_read_classes(&t->info, classes_path, e);
    }
    if (rc != RC_OK) {
        teacher_close(t);
        return rc;
    }
    *out = t;
    return RC_OK;
}

void teacher_close(struct teacher *t)
{
    if (t != NULL) {
        model_info_release(&t->info);
        params_destroy(t->params);
        mem_free(t->weights);
        mem_free(t);
    }
}

const struct model_info *teacher_info(const struct teacher *t)
{
    return &t->info;
}

const struct params *teacher_params(const struct teacher *t)
{
    return t->params;
}

const float *teacher_weights(const struct teacher *t)
{
    return t->weights;
}

void teacher_digest(const struct teacher *t, struct digest *out)
{
    *out = t->digest;
}

enum rc teacher_class_digest(const struct teacher *t, struct digest *out, struct err *e)
{
    if (t->info.class_names == NULL) {
        return err_raise(e, RC_INVAL,
                         "the model file names no classes: give its list with --classes FILE, one "
                         "name a line");
    }
    class_list_digest((const char *const *)t->info.class_names, t->info.classes, out);
    return RC_OK;
}

void teacher_eval(const struct teacher *t, int size, double crop_pct, struct image_eval *out)
{
    const struct nn_family *f = t->params->model.family;

    *out = (struct image_eval){.channels = t->info.in_channels, .filter = IMAGE_BICUBIC};
    out->size = size;
    if (size == 0) {
        out->size = t->info.train_size != 0 ? t->info.train_size : f->test_size;
    }
    out->crop_pct = crop_pct;
    if (crop_pct <= 0) {
        out->crop_pct = t->info.crop_pct > 0 ? t->info.crop_pct : f->crop_pct;
    }
}

/* ---- predictor ------------------------------------------------------------------------------ */

struct predictor {
    struct net *net;
    int batch, classes;
    float *logits;
};

static enum rc predictor_make(const struct teacher *t, struct device *dev,
                              const struct net_config *config, struct predictor **out,
                              struct err *e)
{
    struct net_config c = *config;
    struct predictor *p = mem_calloc(1, sizeof *p);
    enum rc rc = RC_OK;

    if (p == NULL) {
        return mem_raise(e, "a predictor", sizeof *p);
    }
    c.model = t->params->model;
    memcpy(c.mean, t->info.mean, sizeof c.mean);
    memcpy(c.std, t->info.std, sizeof c.std);
    p->batch = c.batch;
    p->classes = t->info.classes;
    p->logits = mem_calloc((size_t)p->batch * (size_t)p->classes, sizeof *p->logits);
    if (p->logits == NULL) {
        rc = mem_raise(e, "logits", (size_t)p->batch * (size_t)p->classes * sizeof *p->logits);
    }
    if (rc == RC_OK) {
        rc = net_create(dev, &c, &p->net, e);
    }
    if (rc == RC_OK) {
        rc = net_load(p->net, t->weights, e);
    }
    if (rc != RC_OK) {
        predictor_destroy(p);
        return rc;
    }
    *out = p;
    return RC_OK;
}

enum rc predictor_create(const struct teacher *t, struct device *dev, int batch, int size,
                         enum dtype type, struct predictor **out, struct err *e)
{
    const struct net_config c = {.batch = batch, .size = size, .type = type};

    return predictor_make(t, dev, &c, out, e);
}

enum rc predictor_create_whole(const struct teacher *t, struct device *dev, int batch, int size,
                               struct predictor **out, struct err *e)
{
    const struct net_config c = {.batch = batch, .size = size, .type = DT_F32, .whole = true};

    return predictor_make(t, dev, &c, out, e);
}

enum rc predictor_create_int8(const struct teacher *t, struct device *dev, int batch, int size,
                              const struct quant *quant, struct predictor **out, struct err *e)
{
    const struct net_config c = {.batch = batch, .size = size, .type = DT_U8, .quant = quant};

    return predictor_make(t, dev, &c, out, e);
}

void predictor_destroy(struct predictor *p)
{
    if (p != NULL) {
        net_destroy(p->net);
        mem_free(p->logits);
        mem_free(p);
    }
}

enum rc predictor_run(struct predictor *p, const uint8_t *pixels, float *probs, float *logits,
                      struct err *e)
{
    enum rc rc = net_infer(p->net, pixels, p->logits, e);

    if (rc != RC_OK) {
        return rc;
    }
    net_softmax(p->logits, p->batch, p->classes, probs);
    if (logits != NULL) {
        memcpy(logits, p->logits, (size_t)p->batch * (size_t)p->classes * sizeof *logits);
    }
    return RC_OK;
}

struct net *predictor_net(struct predictor *p)
{
    return p->net;
}

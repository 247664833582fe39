#include "common/train/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/train/safetensors.h"

enum { MODEL_META_MAX = 24, MODEL_LIST_MAX = 512 };

void model_info_release(struct model_info *m)
{
    for (int i = 0; m->class_names != NULL && i < m->classes; i++) {
        mem_free(m->class_names[i]);
    }
    mem_free(m->class_names);
    memset(m, 0, sizeof *m);
}

/* ---- saving --------------------------------------------------------------------------------- */

/* O,H,W,I to O,I,H,W and back: the inner block of each o is transposed. */
static void model_permute(const struct param_view *v, const float *in, float *out, bool to_timm)
{
    size_t hw = (size_t)v->h * (size_t)v->w;
    size_t channels = (size_t)v->i;

    for (size_t o = 0; o < (size_t)v->o; o++) {
        for (size_t p = 0; p < hw; p++) {
            for (size_t c = 0; c < channels; c++) {
                size_t ours = (o * hw + p) * channels + c;
                size_t timm = (o * channels + c) * hw + p;

                if (to_timm) {
                    out[timm] = in[ours];
                } else {
                    out[ours] = in[timm];
                }
            }
        }
    }
}

static void model_tensor(const struct param_view *v, const float *data, struct st_tensor *t)
{
    *t = (struct st_tensor){.name = v->name, .type = ST_F32, .dims = v->timm_dims, .data = data};
    t->shape[0] = v->o;
    t->shape[1] = v->i;
    t->shape[2] = v->h;
    t->shape[3] = v->w;
    t->bytes = v->n * sizeof(float);
}

static char *model_names_json(const struct model_info *info)
{
    json_t *list = json_array();
    char *text = NULL;

    for (int i = 0; i < info->classes; i++) {
        if (json_array_append_new(list, json_string(info->class_names[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

struct model_meta {
    const char *pairs[2 * MODEL_META_MAX + 1];
    int n;
    char text[8][96];
    char *names;
};

static void model_meta_add(struct model_meta *m, const char *key, const char *value)
{
    m->pairs[m->n++] = key;
    m->pairs[m->n++] = value;
    m->pairs[m->n] = NULL;
}

/* RC_NOMEM. meta->names is freed by the caller. */
static enum rc model_meta_fill(struct model_meta *m, const struct model_info *info, struct err *e)
{
    memset(m, 0, sizeof *m);
    (void)snprintf(m->text[0], sizeof m->text[0], "%d", info->in_channels);
    (void)snprintf(m->text[1], sizeof m->text[1], "%d", info->classes);
    (void)snprintf(m->text[2], sizeof m->text[2], "%d", info->train_size);
    (void)snprintf(m->text[3], sizeof m->text[3], "%.17g", info->crop_pct);
    (void)snprintf(m->text[4], sizeof m->text[4], "%.9g,%.9g,%.9g", (double)info->mean[0],
                   (double)info->mean[1], (double)info->mean[2]);
    (void)snprintf(m->text[5], sizeof m->text[5], "%.9g,%.9g,%.9g", (double)info->std[0],
                   (double)info->std[1], (double)info->std[2]);
    model_meta_add(m, "format", "pt"); /* what PyTorch's readers look for */
    model_meta_add(m, "preceptor.family", info->family);
    model_meta_add(m, "preceptor.in_channels", m->text[0]);
    model_meta_add(m, "preceptor.classes", m->text[1]);
    model_meta_add(m, "preceptor.train_size", m->text[2]);
    model_meta_add(m, "preceptor.crop_pct", m->text[3]);
    model_meta_add(m, "preceptor.mean", m->text[4]);
    model_meta_add(m, "preceptor.std", m->text[5]);
    model_meta_add(m, "preceptor.note", info->note);
    if (info->class_names != NULL) {
        m->names = model_names_json(info);
        if (m->names == NULL) {
            return mem_raise(e, "the class list", (size_t)info->classes);
        }
        model_meta_add(m, "preceptor.class_names", m->names);
    }
    return RC_OK;
}

/* Views as tensors, and a num_batches_tracked for each BN; counters names them. */
static int model_tensors(const struct params *p, const float *buffer, float *permuted,
                         char (*counters)[PARAM_NAME_MAX + 24], struct st_tensor *out)
{
    static const int64_t zero = 0;
    int n = 0;
    int bns = 0;

    for (int i = 0; i < p->n_views; i++) {
        const struct param_view *v = &p->views[i];
        const float *data = buffer + v->offset;

        if (v->h * v->w > 1) {
            model_permute(v, data, permuted + v->offset, true);
            data = permuted + v->offset;
        }
        model_tensor(v, data, &out[n++]);
        if (v->kind == PARAM_VAR) {
            char *name = counters[bns++];

            (void)snprintf(name, sizeof *counters, "%.*s.num_batches_tracked",
                           (int)(strlen(v->name) - strlen(".running_var")), v->name);
            out[n++] = (struct st_tensor){
                .name = name, .type = ST_I64, .data = &zero, .bytes = sizeof zero};
        }
    }
    return n;
}

enum rc model_save(const char *path, const struct params *p, const float *buffer,
                   const struct model_info *info, struct err *e)
{
    struct st_tensor *tensors = mem_calloc(2 * (size_t)p->n_views, sizeof *tensors);
    char(*counters)[PARAM_NAME_MAX + 24] = mem_calloc((size_t)p->n_views, sizeof *counters);
    float *permuted = params_buffer(p);
    struct model_meta meta;
    enum rc rc = model_meta_fill(&meta, info, e);

    if (rc == RC_OK && (tensors == NULL || counters == NULL || permuted == NULL)) {
        rc = mem_raise(e, path, p->n_total * sizeof *permuted);
    }
    if (rc == RC_OK) {
        rc = st_write(path, tensors, model_tensors(p, buffer, permuted, counters, tensors),
                      meta.pairs, e);
    }
    free(meta.names);
    mem_free(permuted);
    mem_free(counters);
    mem_free(tensors);
    return rc;
}

/* ---- loading -------------------------------------------------------------------------------- */

static bool model_shape_is(const struct st_tensor *t, const struct param_view *v)
{
    struct st_tensor want;

    model_tensor(v, NULL, &want);
    return t->dims == want.dims &&
           memcmp(t->shape, want.shape, (size_t)want.dims * sizeof *want.shape) == 0;
}

static bool model_is_head(const struct param_view *v)
{
    return strncmp(v->name, "fc.", 3) == 0;
}

/* A list of names for a message, cut off with "..." when long. */
struct model_list {
    char text[MODEL_LIST_MAX];
    size_t at;
    int n;
};

static void model_list_add(struct model_list *l, const char *name)
{
    size_t left = sizeof l->text - l->at;
    int n = 0;

    l->n++;
    if (left < PARAM_NAME_MAX + 8) {
        if (left > 4) {
            memcpy(l->text + l->at, " ...", 5);
            l->at = sizeof l->text;
        }
        return;
    }
    n = snprintf(l->text + l->at, left, " %.*s", PARAM_NAME_MAX, name);
    l->at += (size_t)n;
}

/* Every tensor of the family is there in its shape (the head apart), and no other. */
static enum rc model_check(const struct st_file *f, const char *path, const struct params *p,
                           struct err *e)
{
    struct model_list missing = {{0}, 0, 0};
    struct model_list extra = {{0}, 0, 0};

    for (int i = 0; i < p->n_views; i++) {
        const struct st_tensor *t = st_find(f, p->views[i].name);

        if (t == NULL || (!model_is_head(&p->views[i]) && !model_shape_is(t, &p->views[i]))) {
            model_list_add(&missing, p->views[i].name);
        }
    }
    for (int i = 0; i < st_count(f); i++) {
        const char *name = st_at(f, i)->name;

        if (params_find(p, name) == NULL && strstr(name, ".num_batches_tracked") == NULL) {
            model_list_add(&extra, name);
        }
    }
    if (missing.n > 0 || extra.n > 0) {
        return err_raise(e, RC_INVAL,
                         "'%s' does not hold a %s: %d tensors missing or of another shape (%s), %d "
                         "unknown (%s)",
                         path, p->model.family->name, missing.n,
                         missing.n > 0 ? missing.text + 1 : "none", extra.n,
                         extra.n > 0 ? extra.text + 1 : "none");
    }
    return RC_OK;
}

static enum rc model_check_head(const struct st_file *f, const char *path, const struct params *p,
                                bool replace_head, struct err *e)
{
    const struct param_view *w = params_find(p, "fc.weight");
    const struct st_tensor *t = st_find(f, "fc.weight");

    if (replace_head || model_shape_is(t, w)) {
        return RC_OK;
    }
    return err_raise(e, RC_INVAL,
                     "'%s' has a head of %lld classes, but %d are needed: give --replace_head to "
                     "draw a new head, or use data with that class list",
                     path, t->dims > 0 ? (long long)t->shape[0] : 0, w->o);
}

static enum rc model_read_view(const struct st_file *f, const struct param_view *v, float *scratch,
                               float *out, struct err *e)
{
    const struct st_tensor *t = st_find(f, v->name);
    enum rc rc = RC_OK;

    if (model_is_head(v) && !model_shape_is(t, v)) {
        return RC_OK; /* a replaced head */
    }
    if (v->h * v->w == 1) {
        return st_to_f32(t, out, e);
    }
    rc = st_to_f32(t, scratch, e);
    if (rc == RC_OK) {
        model_permute(v, scratch, out, false);
    }
    return rc;
}

enum rc model_load(const char *path, const struct params *p, bool replace_head, float *buffer,
                   struct err *e)
{
    struct st_file *f = NULL;
    float *scratch = NULL;
    size_t most = 0;
    enum rc rc = st_open(path, &f, e);

    if (rc == RC_OK) {
        rc = model_check(f, path, p, e);
    }
    if (rc == RC_OK) {
        rc = model_check_head(f, path, p, replace_head, e);
    }
    for (int i = 0; i < p->n_views; i++) {
        most = p->views[i].n > most ? p->views[i].n : most;
    }
    if (rc == RC_OK) {
        scratch = mem_calloc(most, sizeof *scratch);
        rc = scratch == NULL ? mem_raise(e, path, most * sizeof *scratch) : RC_OK;
    }
    for (int i = 0; i < p->n_views && rc == RC_OK; i++) {
        rc = model_read_view(f, &p->views[i], scratch, buffer + p->views[i].offset, e);
    }
    mem_free(scratch);
    st_close(f);
    return rc;
}

/* ---- probing -------------------------------------------------------------------------------- */

static void model_triple(const char *text, float out[3])
{
    float v[3];

    if (text != NULL && sscanf(text, "%f,%f,%f", &v[0], &v[1], &v[2]) == 3) {
        memcpy(out, v, sizeof v);
    }
}

static enum rc model_probe_names(const struct st_file *f, const char *path, struct model_info *info,
                                 struct err *e)
{
    const char *text = st_metadata(f, "preceptor.class_names");
    json_t *list = NULL;
    enum rc rc = RC_OK;

    if (text == NULL) {
        return RC_OK;
    }
    list = json_loads(text, 0, NULL);
    if (!json_is_array(list) || json_array_size(list) != (size_t)info->classes) {
        json_decref(list);
        return err_raise(e, RC_CORRUPT, "'%s': its class list is not a list of %d names", path,
                         info->classes);
    }
    info->class_names = mem_calloc((size_t)info->classes, sizeof *info->class_names);
    for (int i = 0; info->class_names != NULL && i < info->classes && rc == RC_OK; i++) {
        const char *name = json_string_value(json_array_get(list, (size_t)i));

        info->class_names[i] = mem_strdup(name != NULL ? name : "");
        rc = info->class_names[i] == NULL ? mem_raise(e, "a class name", 1) : RC_OK;
    }
    if (info->class_names == NULL) {
        rc = mem_raise(e, "the class list", (size_t)info->classes);
    }
    json_decref(list);
    return rc;
}

/* Whether the file's tensors are those of a member: names and shapes, whatever the class count. */
static bool model_fits(const struct st_file *f, const struct nn_family *family, int in_channels)
{
    struct nn_model m = {family, in_channels, 1};
    struct params *p = NULL;
    bool fits = params_create(&m, &p, NULL) == RC_OK && model_check(f, "", p, NULL) == RC_OK;

    params_destroy(p);
    return fits;
}

static const struct nn_family *model_family(const struct st_file *f, int in_channels)
{
    const char *name = st_metadata(f, "preceptor.family");
    const struct nn_family *named = name != NULL ? nn_family_find(name) : NULL;

    if (named != NULL) {
        return named;
    }
    for (int i = 0; nn_family_at(i) != NULL; i++) {
        if (model_fits(f, nn_family_at(i), in_channels)) {
            return nn_family_at(i);
        }
    }
    return NULL;
}

static enum rc model_probe_file(const struct st_file *f, const char *path, struct model_info *info,
                                struct err *e)
{
    static const float mean[3] = {0.485f, 0.456f, 0.406f};
    static const float std[3] = {0.229f, 0.224f, 0.225f};
    const struct st_tensor *first = st_find(f, "conv1.0.weight");
    const struct st_tensor *head = st_find(f, "fc.weight");
    const struct nn_family *family = NULL;
    const char *text = NULL;

    if (first == NULL || first->dims != 4 || (first->shape[1] != 1 && first->shape[1] != 3) ||
        head == NULL || head->dims != 2 || head->shape[0] < 1 ||
        head->shape[0] > MODEL_MAX_CLASSES) {
        return err_raise(e, RC_INVAL,
                         "'%s' holds no ResNet-RS: expected timm's conv1.0.weight and fc.weight",
                         path);
    }
    info->in_channels = (int)first->shape[1];
    info->classes = (int)head->shape[0];
    family = model_family(f, info->in_channels);
    if (family == NULL) {
        return err_raise(e, RC_INVAL,
                         "'%s' holds no member of the family: `preceptor models` lists them", path);
    }
    (void)snprintf(info->family, sizeof info->family, "%s", family->name);
    memcpy(info->mean, mean, sizeof mean);
    memcpy(info->std, std, sizeof std);
    model_triple(st_metadata(f, "preceptor.mean"), info->mean);
    model_triple(st_metadata(f, "preceptor.std"), info->std);
    text = st_metadata(f, "preceptor.train_size");
    info->train_size = text != NULL ? (int)strtol(text, NULL, 10) : 0;
    text = st_metadata(f, "preceptor.crop_pct");
    info->crop_pct = text != NULL ? strtod(text, NULL) : 0;
    text = st_metadata(f, "preceptor.note");
    (void)snprintf(info->note, sizeof info->note, "%s", text != NULL ? text : "");
    return model_probe_names(f, path, info, e);
}

enum rc model_probe(const char *path, struct model_info *info, struct err *e)
{
    struct model_info m = {0};
    struct st_file *f = NULL;
    enum rc rc = st_open(path, &f, e);

    if (rc != RC_OK) {
        return rc;
    }
    rc = model_probe_file(f, path, &m, e);
    st_close(f);
    if (rc != RC_OK) {
        model_info_release(&m);
        return rc;
    }
    *info = m;
    return RC_OK;
}

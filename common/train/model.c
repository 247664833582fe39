/* Model files: weights under timm's names, and what they say of themselves. */
#include "common/base/json.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/train/model.h"
#include "common/train/model_impl.h"

enum { NUMBERS_TEXT = 128, LIST_TEXT = 200, LISTED = 3, IMAGE_MAX = 4096 };

static const char TRACKED[] = ".num_batches_tracked"; /* timm's counter of batches: not used */
static const char VAR[] = ".running_var";

void model_info_release(struct model_info *m)
{
    for (int i = 0; i < m->classes && m->class_names != NULL; i++) {
        mem_free(m->class_names[i]);
    }
    mem_free(m->class_names);
    m->class_names = NULL;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s);
    size_t m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* timm's BNs count their batches: a strict load wants the counters too. */
static enum rc add_counters(struct model_tensors *t, char **names, struct st_tensor **out,
                            int *n_out, struct err *e)
{
    static const int64_t zero = 0;
    struct st_tensor *all = mem_calloc(2 * (size_t)t->n, sizeof *all);
    int n = t->n;

    if (all == NULL) {
        return mem_raise(e, "tensors to be written", 2 * (size_t)t->n * sizeof *all);
    }
    memcpy(all, t->tensors, (size_t)t->n * sizeof *all);
    for (int i = 0; i < t->n; i++) {
        const char *name = t->tensors[i].name;

        if (ends_with(name, VAR)) {
            int layer = (int)(strlen(name) - strlen(VAR));

            names[i] = mem_sprintf("%.*s%s", layer, name, TRACKED);
            if (names[i] == NULL) {
                mem_free(all);
                return mem_raise(e, "names of tensors", strlen(name));
            }
            all[n++] = (struct st_tensor){
                .name = names[i], .type = ST_I64, .data = &zero, .bytes = sizeof zero};
        }
    }
    *out = all;
    *n_out = n;
    return RC_OK;
}

static void numbers_text(const float x[3], int n, char *out)
{
    int used = snprintf(out, NUMBERS_TEXT, "%.9g", (double)x[0]);

    for (int i = 1; i < n; i++) {
        used += snprintf(out + used, NUMBERS_TEXT - (size_t)used, " %.9g", (double)x[i]);
    }
}

/* The class list as JSON text (free); "" without one. */
static char *classes_text(const struct model_info *info)
{
    json_t *a = json_array();
    char *text = NULL;
    bool ok = a != NULL;

    for (int i = 0; i < info->classes && info->class_names != NULL && ok; i++) {
        ok = json_array_append_new(a, json_string(info->class_names[i])) == 0;
    }
    if (ok) {
        text = json_dumps(a, JSON_COMPACT);
    }
    json_decref(a);
    return text;
}

static enum rc write_model(const char *path, const struct params *p, const struct st_tensor *all,
                           int n, const struct model_info *info, struct err *e)
{
    char channels[16];
    char size[16];
    char crop[32];
    char mean[NUMBERS_TEXT];
    char std[NUMBERS_TEXT];
    char *names = classes_text(info);
    enum rc rc;

    if (names == NULL) {
        return err_raise(e, RC_INVAL,
                         "'%s': the class list cannot be written (a name is not UTF-8, or memory "
                         "is short)",
                         path);
    }
    snprintf(channels, sizeof channels, "%d", p->model.in_channels);
    snprintf(size, sizeof size, "%d", info->train_size);
    snprintf(crop, sizeof crop, "%.9g", info->crop_pct);
    numbers_text(info->mean, p->model.in_channels, mean);
    numbers_text(info->std, p->model.in_channels, std);
    {
        const char *const meta[] = {"format",      "pt",     "family",     p->model.family->name,
                                    "in_channels", channels, "train_size", size,
                                    "crop_pct",    crop,     "mean",       mean,
                                    "std",         std,      "note",       info->note,
                                    "class_names", names,    NULL};

        rc = st_write(path, all, n, meta, e);
    }
    free(names);
    return rc;
}

enum rc model_save(const char *path, const struct params *p, const float *buffer,
                   const struct model_info *info, struct err *e)
{
    struct model_tensors t = {0};
    struct st_tensor *all = NULL;
    char **names = NULL;
    int n = 0;
    int views = 0;
    enum rc rc = model_tensors_create(p, buffer, p->n_total, "", &t, e);

    if (rc != RC_OK) {
        return rc;
    }
    views = t.n;
    names = mem_calloc((size_t)views, sizeof *names);
    rc = names == NULL ? mem_raise(e, "names of tensors", (size_t)views * sizeof *names)
                       : add_counters(&t, names, &all, &n, e);
    rc = rc != RC_OK ? rc : write_model(path, p, all, n, info, e);
    for (int i = 0; i < views && names != NULL; i++) {
        mem_free(names[i]);
    }
    mem_free(names);
    mem_free(all);
    model_tensors_release(&t);
    return rc;
}

/* ---- what a file is -------------------------------------------------------------------------- */

static int64_t dimension(const struct st_file *f, const char *name, int i)
{
    const struct st_tensor *t = st_find(f, name);

    return t != NULL && i < t->dims ? t->shape[i] : 0;
}

/* How many of the member's tensors are there, by name and channels. */
static int held(const struct st_file *f, const struct params *p)
{
    int n = 0;

    for (int i = 0; i < p->n_views; i++) {
        const struct param_view *v = &p->views[i];
        const struct st_tensor *t = st_find(f, v->name);

        n += t != NULL && t->dims == v->timm_dims && t->shape[0] == v->o &&
             (v->timm_dims < 2 || t->shape[1] == v->i);
    }
    return n;
}

/* The member that most of the file's tensors make up and that lacks the fewest. Nearly all must be
 * there: model_load then says which are not. */
static enum rc find_family(const struct st_file *f, struct model_info *m, struct err *e)
{
    int best = 0;

    for (int i = 0; nn_family_at(i) != NULL; i++) {
        const struct nn_family *family = nn_family_at(i);
        struct nn_model model = {family, m->in_channels, m->classes};
        struct params *p = NULL;
        enum rc rc;
        int n;
        int lacking;

        rc = params_create(&model, &p, e);
        if (rc != RC_OK) {
            return rc;
        }
        n = held(f, p);
        lacking = p->n_views - n;
        if (lacking <= p->n_views / 8 && n - lacking > best) {
            best = n - lacking;
            snprintf(m->family, sizeof m->family, "%s", family->name);
        }
        params_destroy(p);
    }
    return RC_OK;
}

static double number(const char *text, double most)
{
    double x = text != NULL ? strtod(text, NULL) : 0;

    return x > 0 && x <= most ? x : 0;
}

/* def: of a file that does not say, as timm's; of one channel their mean. */
static void read_numbers(const char *text, const float def[3], int n, float out[3])
{
    char *end = NULL;

    for (int i = 0; i < 3; i++) {
        out[i] = n == 1 ? (def[0] + def[1] + def[2]) / 3 : def[i];
    }

    for (int i = 0; i < n && text != NULL; i++) {
        out[i] = strtof(text, &end);
        text = end;
    }
}

static enum rc read_classes(const char *path, const char *text, struct model_info *m, struct err *e)
{
    json_t *a = text != NULL ? json_loads(text, 0, NULL) : NULL;
    enum rc rc = RC_OK;

    if (text == NULL || json_array_size(a) == 0) {
        goto out; /* unknown */
    }
    if (json_array_size(a) != (size_t)m->classes) {
        rc = err_raise(e, RC_CORRUPT, "'%s': %zu class names for %d classes", path,
                       json_array_size(a), m->classes);
        goto out;
    }
    m->class_names = mem_calloc((size_t)m->classes, sizeof *m->class_names);
    for (int i = 0; i < m->classes && m->class_names != NULL && rc == RC_OK; i++) {
        const char *name = json_string_value(json_array_get(a, (size_t)i));

        if (name == NULL) {
            rc = err_raise(e, RC_CORRUPT, "'%s': class name %d is not a string", path, i);
        } else if ((m->class_names[i] = mem_strdup(name)) == NULL) {
            rc = mem_raise(e, "class names", strlen(name));
        }
    }
    if (m->class_names == NULL) {
        rc = mem_raise(e, "class names", (size_t)m->classes * sizeof *m->class_names);
    }
out:
    json_decref(a);
    return rc;
}

static enum rc probe(const struct st_file *f, const char *path, struct model_info *m, struct err *e)
{
    static const float mean[3] = {0.485F, 0.456F, 0.406F}; /* ImageNet's */
    static const float std[3] = {0.229F, 0.224F, 0.225F};
    int64_t classes = dimension(f, "fc.bias", 0);
    int64_t channels = dimension(f, "conv1.0.weight", 1);
    const char *note = st_metadata(f, "note");
    enum rc rc;

    if (classes < 1 || classes > MODEL_MAX_CLASSES || (channels != 1 && channels != 3)) {
        return err_raise(e, RC_INVAL,
                         "'%s' is not a ResNet-RS of this family: it has no conv1.0.weight and "
                         "fc.bias as they have",
                         path);
    }
    m->classes = (int)classes;
    m->in_channels = (int)channels;
    rc = find_family(f, m, e);
    if (rc == RC_OK && m->family[0] == '\0') {
        rc = err_raise(e, RC_INVAL,
                       "'%s' is not a ResNet-RS of this family: no member has its tensors "
                       "(`preceptor models` lists the members)",
                       path);
    }
    if (rc != RC_OK) {
        return rc;
    }
    m->train_size = (int)number(st_metadata(f, "train_size"), IMAGE_MAX);
    m->crop_pct = number(st_metadata(f, "crop_pct"), 1);
    read_numbers(st_metadata(f, "mean"), mean, m->in_channels, m->mean);
    read_numbers(st_metadata(f, "std"), std, m->in_channels, m->std);
    snprintf(m->note, sizeof m->note, "%s", note != NULL ? note : "");
    return read_classes(path, st_metadata(f, "class_names"), m, e);
}

enum rc model_probe(const char *path, struct model_info *info, struct err *e)
{
    struct st_file *f = NULL;
    struct model_info m = {0};
    enum rc rc = st_open(path, &f, e);

    rc = rc != RC_OK ? rc : probe(f, path, &m, e);
    if (rc == RC_OK) {
        *info = m;
    } else {
        model_info_release(&m);
    }
    st_close(f);
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct name_list {
    int n;
    char text[LIST_TEXT];
};

static void list_name(struct name_list *l, const char *name)
{
    size_t used = strlen(l->text);

    if (l->n++ < LISTED) {
        snprintf(l->text + used, sizeof l->text - used, "%s'%.50s'", used > 0 ? ", " : "", name);
    }
}

/* Names on one side alone. */
static enum rc check_names(const struct st_file *f, const char *path, const struct params *p,
                           struct err *e)
{
    struct name_list missing = {0, ""};
    struct name_list extra = {0, ""};

    for (int i = 0; i < p->n_views; i++) {
        if (st_find(f, p->views[i].name) == NULL) {
            list_name(&missing, p->views[i].name);
        }
    }
    for (int i = 0; i < st_count(f); i++) {
        const char *name = st_at(f, i)->name;

        if (!ends_with(name, TRACKED) && params_find(p, name) == NULL) {
            list_name(&extra, name);
        }
    }
    if (missing.n > 0 || extra.n > 0) {
        return err_raise(e, RC_INVAL,
                         "'%s' does not hold the tensors of %s: %d missing (%s%s), %d unknown "
                         "(%s%s)",
                         path, p->model.family->name, missing.n, missing.text,
                         missing.n > LISTED ? ", ..." : "", extra.n, extra.text,
                         extra.n > LISTED ? ", ..." : "");
    }
    return RC_OK;
}

static bool in_head(const struct param_view *v)
{
    return strncmp(v->name, "fc.", 3) == 0;
}

enum rc model_load(const char *path, const struct params *p, bool replace_head, float *buffer,
                   struct err *e)
{
    struct st_file *f = NULL;
    int64_t classes = 0;
    enum rc rc = st_open(path, &f, e);

    rc = rc != RC_OK ? rc : check_names(f, path, p, e);
    if (rc != RC_OK) {
        goto out;
    }
    classes = dimension(f, "fc.bias", 0);
    if (classes != p->model.classes && !replace_head) {
        rc = err_raise(e, RC_INVAL,
                       "'%s' has %lld classes where %d are needed: its head can be replaced by a "
                       "new one (replace_head), the rest is kept",
                       path, (long long)classes, p->model.classes);
        goto out;
    }
    for (int i = 0; i < p->n_views && rc == RC_OK; i++) {
        if (!(replace_head && in_head(&p->views[i]))) {
            rc = model_read_view(f, path, "", &p->views[i], buffer, e);
        }
    }
out:
    st_close(f);
    return rc;
}

/* Flat buffers (weights O,H,W,I) to and from timm's tensors (O,I,H,W). */
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/train/model_impl.h"

enum { NAME_MAX_PREFIXED = PARAM_NAME_MAX + 16, SHAPE_TEXT = 128 };

static void to_timm(const struct param_view *v, const float *from, float *to)
{
    size_t area = (size_t)v->h * (size_t)v->w;
    size_t in = (size_t)v->i;

    for (size_t o = 0; o < (size_t)v->o; o++) {
        for (size_t a = 0; a < area; a++) {
            for (size_t i = 0; i < in; i++) {
                to[(o * in + i) * area + a] = from[(o * area + a) * in + i];
            }
        }
    }
}

static void from_timm(const struct param_view *v, const float *from, float *to)
{
    size_t area = (size_t)v->h * (size_t)v->w;
    size_t in = (size_t)v->i;

    for (size_t o = 0; o < (size_t)v->o; o++) {
        for (size_t a = 0; a < area; a++) {
            for (size_t i = 0; i < in; i++) {
                to[(o * area + a) * in + i] = from[(o * in + i) * area + a];
            }
        }
    }
}

static bool is_permuted(const struct param_view *v)
{
    return v->h * v->w > 1 && v->i > 1;
}

static void timm_shape(const struct param_view *v, struct st_tensor *t)
{
    const int64_t shape[4] = {v->o, v->i, v->h, v->w};

    t->dims = v->timm_dims;
    memcpy(t->shape, shape, (size_t)v->timm_dims * sizeof shape[0]);
}

static enum rc add(struct model_tensors *out, const struct param_view *v, const float *buffer,
                   const char *prefix, float **permuted, struct err *e)
{
    struct st_tensor *t = &out->tensors[out->n];
    char *name = mem_sprintf("%s%s", prefix, v->name);

    if (name == NULL) {
        return mem_raise(e, "names of tensors", sizeof v->name);
    }
    out->names[out->n++] = name;
    *t = (struct st_tensor){.name = name, .type = ST_F32, .bytes = v->n * sizeof(float)};
    timm_shape(v, t);
    t->data = buffer + v->offset;
    if (is_permuted(v)) {
        to_timm(v, buffer + v->offset, *permuted);
        t->data = *permuted;
        *permuted += v->n;
    }
    return RC_OK;
}

enum rc model_tensors_create(const struct params *p, const float *buffer, size_t end,
                             const char *prefix, struct model_tensors *out, struct err *e)
{
    struct model_tensors m = {0};
    size_t floats = 1;
    float *next;
    enum rc rc = RC_OK;

    for (int i = 0; i < p->n_views; i++) {
        floats += is_permuted(&p->views[i]) ? p->views[i].n : 0;
    }
    m.tensors = mem_calloc((size_t)p->n_views, sizeof *m.tensors);
    m.names = mem_calloc((size_t)p->n_views, sizeof *m.names);
    m.permuted = mem_aligned(floats * sizeof *m.permuted);
    if (m.tensors == NULL || m.names == NULL || m.permuted == NULL) {
        model_tensors_release(&m);
        return mem_raise(e, "tensors to be written", floats * sizeof *m.permuted);
    }
    next = m.permuted;
    for (int i = 0; i < p->n_views && rc == RC_OK; i++) {
        if (p->views[i].offset < end) {
            rc = add(&m, &p->views[i], buffer, prefix, &next, e);
        }
    }
    if (rc != RC_OK) {
        model_tensors_release(&m);
        return rc;
    }
    *out = m;
    return RC_OK;
}

void model_tensors_release(struct model_tensors *t)
{
    for (int i = 0; i < t->n; i++) {
        mem_free(t->names[i]);
    }
    mem_free(t->names);
    mem_free(t->tensors);
    mem_free(t->permuted);
    *t = (struct model_tensors){0};
}

static void shape_text(const struct st_tensor *t, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < t->dims && used < size; i++) {
        int n = snprintf(out + used, size - used, i > 0 ? "x%lld" : "%lld", (long long)t->shape[i]);

        used += n > 0 ? (size_t)n : 0;
    }
}

enum rc model_read_view(const struct st_file *f, const char *path, const char *prefix,
                        const struct param_view *v, float *buffer, struct err *e)
{
    char name[NAME_MAX_PREFIXED];
    char has[SHAPE_TEXT];
    char wants[SHAPE_TEXT];
    struct st_tensor shape = {0};
    const struct st_tensor *t;
    float *raw;
    enum rc rc;

    snprintf(name, sizeof name, "%s%s", prefix, v->name);
    t = st_find(f, name);
    if (t == NULL) {
        return err_raise(e, RC_CORRUPT, "'%s' has no tensor '%s'", path, name);
    }
    timm_shape(v, &shape);
    if (t->dims != shape.dims ||
        memcmp(t->shape, shape.shape, (size_t)shape.dims * sizeof shape.shape[0]) != 0) {
        shape_text(t, has, sizeof has);
        shape_text(&shape, wants, sizeof wants);
        return err_raise(e, RC_INVAL, "'%s': tensor '%s' has shape %s where the model has %s", path,
                         name, has, wants);
    }
    if (!is_permuted(v)) {
        return st_to_f32(t, buffer + v->offset, e);
    }
    raw = mem_aligned(v->n * sizeof *raw);
    if (raw == NULL) {
        return mem_raise(e, name, v->n * sizeof *raw);
    }
    rc = st_to_f32(t, raw, e);
    if (rc == RC_OK) {
        from_timm(v, raw, buffer + v->offset);
    }
    mem_free(raw);
    return rc;
}

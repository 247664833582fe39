#include "common/nn/params.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"

enum {
    ALIGN_FLOATS = MEM_ALIGN / sizeof(float),
    MAX_CLASSES = 65536,
    VIEWS_A_CONV = 5, /* weight and the four of its BN */
};

static void add(struct params *p, const char *layer, const char *part, struct param_view v)
{
    struct param_view *out = &p->views[p->n_views++];
    int n;

    *out = v;
    n = snprintf(out->name, sizeof out->name, "%s.%s", layer, part);
    assert(n > 0 && (size_t)n < sizeof out->name);
    (void)n;
    out->n = (size_t)v.o * (size_t)v.h * (size_t)v.w * (size_t)v.i;
}

static void add_vector(struct params *p, const char *layer, const char *part, enum param_kind kind,
                       int o)
{
    add(p, layer, part, (struct param_view){"", kind, o, 1, 1, 1, 1, 0, 0});
}

static void add_conv(struct params *p, const char *layer, int o, int r, int i)
{
    add(p, layer, "weight", (struct param_view){"", PARAM_WEIGHT, o, r, r, i, 4, 0, 0});
}

static void add_bn(struct params *p, const char *layer, int c)
{
    add_vector(p, layer, "weight", PARAM_GAMMA, c);
    add_vector(p, layer, "bias", PARAM_BETA, c);
    add_vector(p, layer, "running_mean", PARAM_MEAN, c);
    add_vector(p, layer, "running_var", PARAM_VAR, c);
}

/* Convolutions first, then their BNs, as timm's Sequential and Bottleneck list them. */
static void add_block(struct params *p, const struct nn_block *b)
{
    static const char *const conv[] = {"conv1", "conv2", "conv3"};
    static const char *const bn[] = {"bn1", "bn2", "bn3"};
    const int in[] = {b->in, b->mid, b->mid};
    const int out[] = {b->mid, b->mid, b->out};
    char layer[PARAM_NAME_MAX - 16];

    for (int i = 0; i < 3; i++) {
        snprintf(layer, sizeof layer, "%s.%s", b->name, conv[i]);
        add_conv(p, layer, out[i], i == 1 ? 3 : 1, in[i]);
        snprintf(layer, sizeof layer, "%s.%s", b->name, bn[i]);
        add_bn(p, layer, out[i]);
    }
    snprintf(layer, sizeof layer, "%s.se.fc1", b->name);
    add_conv(p, layer, b->hidden, 1, b->out);
    add_vector(p, layer, "bias", PARAM_BIAS, b->hidden);
    snprintf(layer, sizeof layer, "%s.se.fc2", b->name);
    add_conv(p, layer, b->out, 1, b->hidden);
    add_vector(p, layer, "bias", PARAM_BIAS, b->out);
    if (b->projection) {
        snprintf(layer, sizeof layer, "%s.downsample.1", b->name);
        add_conv(p, layer, b->out, 1, b->in);
        snprintf(layer, sizeof layer, "%s.downsample.2", b->name);
        add_bn(p, layer, b->out);
    }
}

static void add_all(struct params *p)
{
    const struct nn_model *m = &p->model;
    struct nn_stem_conv stem[NN_STEM_MAX];
    int convs = nn_family_stem(m, stem);

    for (int i = 0; i < convs; i++) {
        add_conv(p, stem[i].conv, stem[i].out, 3, stem[i].in);
        add_bn(p, stem[i].bn, stem[i].out);
    }
    for (int i = 0; i < nn_family_blocks(m->family); i++) {
        struct nn_block b;

        nn_family_block(m->family, i, &b);
        add_block(p, &b);
    }
    add(p, "fc", "weight",
        (struct param_view){"", PARAM_WEIGHT, m->classes, 1, 1, nn_family_features(m->family), 2, 0,
                            0});
    add_vector(p, "fc", "bias", PARAM_BIAS, m->classes);
}

/* Lay out the views of kinds a and b behind what is there; returns the new end. */
static size_t lay_out(struct params *p, size_t at, enum param_kind a, enum param_kind b)
{
    for (int i = 0; i < p->n_views; i++) {
        struct param_view *v = &p->views[i];

        if (v->kind == a || v->kind == b) {
            v->offset = at;
            at += (v->n + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
        }
    }
    return at;
}

static enum rc check(const struct nn_model *m, struct err *e)
{
    if (m->family == NULL) {
        return err_raise(e, RC_INVAL, "model: no family member is given");
    }
    if (m->in_channels != 1 && m->in_channels != 3) {
        return err_raise(e, RC_INVAL, "model %s: %d input channels (1 or 3 expected)",
                         m->family->name, m->in_channels);
    }
    if (m->classes < 1 || m->classes > MAX_CLASSES) {
        return err_raise(e, RC_INVAL, "model %s: %d classes (1 to %d expected)", m->family->name,
                         m->classes, MAX_CLASSES);
    }
    if (m->family->width < 8 || m->family->width % 8 != 0) {
        return err_raise(e, RC_INVAL, "model %s: width %d is not a multiple of 8", m->family->name,
                         m->family->width);
    }
    return RC_OK;
}

enum rc params_create(const struct nn_model *m, struct params **out, struct err *e)
{
    struct params *p = NULL;
    enum rc rc = check(m, e);
    size_t most;

    if (rc != RC_OK) {
        goto out;
    }
    /* a block: four convolutions with BN, two of SE with bias; then fc with bias */
    most = VIEWS_A_CONV * NN_STEM_MAX + (size_t)nn_family_blocks(m->family) * 24 + 2;
    p = mem_calloc(1, sizeof *p);
    if (p != NULL) {
        p->views = mem_calloc(most, sizeof *p->views);
    }
    if (p == NULL || p->views == NULL) {
        rc = mem_raise(e, "parameter views", most * sizeof *p->views);
        goto out;
    }
    p->model = *m;
    add_all(p);
    assert((size_t)p->n_views <= most);
    p->n_decayed = lay_out(p, 0, PARAM_WEIGHT, PARAM_WEIGHT);
    p->n_biased = lay_out(p, p->n_decayed, PARAM_BIAS, PARAM_BIAS);
    p->n_trainable = lay_out(p, p->n_biased, PARAM_GAMMA, PARAM_BETA);
    p->n_total = lay_out(p, p->n_trainable, PARAM_MEAN, PARAM_VAR);
    *out = p;
    p = NULL; /* now the caller's */
out:
    params_destroy(p);
    return rc;
}

void params_destroy(struct params *p)
{
    if (p != NULL) {
        mem_free(p->views);
        mem_free(p);
    }
}

const struct param_view *params_find(const struct params *p, const char *name)
{
    for (int i = 0; i < p->n_views; i++) {
        if (strcmp(p->views[i].name, name) == 0) {
            return &p->views[i];
        }
    }
    return NULL;
}

float *params_buffer(const struct params *p)
{
    float *b = mem_aligned(p->n_total * sizeof *b);

    if (b != NULL) {
        memset(b, 0, p->n_total * sizeof *b);
    }
    return b;
}

static void init_normal(const struct param_view *v, uint64_t seed, double std, float *w)
{
    struct key128 key;
    struct rng r;

    hash_key(v->name, strlen(v->name), &key);
    rng_init(&r, seed, RNG_INIT, 0, &key, 0);
    for (size_t i = 0; i < v->n; i++) {
        w[i] = (float)(std * rng_normal(&r));
    }
}

static void fill(float *w, size_t n, float x)
{
    for (size_t i = 0; i < n; i++) {
        w[i] = x;
    }
}

/* The gamma that closes a block starts at 0, so the block starts as its shortcut. */
static bool closes_block(const struct param_view *v)
{
    return strstr(v->name, ".bn3.") != NULL;
}

void params_init(const struct params *p, uint64_t seed, double fc_std, float *buffer)
{
    memset(buffer, 0, p->n_total * sizeof *buffer);
    for (int i = 0; i < p->n_views; i++) {
        const struct param_view *v = &p->views[i];
        float *w = buffer + v->offset;

        switch (v->kind) {
        case PARAM_WEIGHT:
            init_normal(v, seed,
                        v->timm_dims == 2 ? fc_std : sqrt(2.0 / ((double)v->o * v->h * v->w)), w);
            break;
        case PARAM_GAMMA:
            fill(w, v->n, closes_block(v) ? 0.0F : 1.0F);
            break;
        case PARAM_VAR:
            fill(w, v->n, 1.0F);
            break;
        case PARAM_BIAS:
        case PARAM_BETA:
        case PARAM_MEAN:
            break;
        }
    }
}

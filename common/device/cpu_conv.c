#include "common/base/mem.h"
#include "common/device/cpu_impl.h"

/* A convolution: oneDNN's primitive (cpu_dnnl.c), the plan's packed weights, and the ways between
 * those and the f32 masters (k, r, r, c_weights). */
struct cpu_conv {
    struct cpu_dnnl_conv *dnnl;
    enum op_kind kind;
    struct op_conv op;
    void *packed; /* weights as oneDNN wants them */
    float *bias;
};

void cpu_conv_destroy(struct cpu_conv *c)
{
    if (c != NULL) {
        cpu_dnnl_conv_destroy(c->dnnl);
        mem_free(c->packed);
        mem_free(c->bias);
        mem_free(c);
    }
}

enum rc cpu_conv_create(struct cpu_dnnl *d, const struct op_desc *op, struct cpu_conv **out,
                        struct err *e)
{
    struct cpu_conv *c = mem_calloc(1, sizeof *c);
    enum rc rc;

    if (c == NULL) {
        return mem_raise(e, "convolution", sizeof *c);
    }
    c->kind = op->kind;
    c->op = op->u.conv;
    rc = cpu_dnnl_conv_create(d, op, &c->dnnl, e);
    if (rc != RC_OK) {
        goto out;
    }
    if (c->kind != OP_CONV_BWD_WEIGHTS) {
        c->packed = mem_aligned(cpu_dnnl_packed_bytes(c->dnnl));
        c->bias = mem_calloc((size_t)c->op.k, sizeof *c->bias);
        if (c->packed == NULL || c->bias == NULL) {
            rc = mem_raise(e, "weights of a convolution", cpu_dnnl_packed_bytes(c->dnnl));
            goto out;
        }
    }
    *out = c;
    c = NULL;
out:
    cpu_conv_destroy(c);
    return rc;
}

/* Scratch: [masters staged, f32 (k, r, r, c)] [packed gradient] [bias gradient] [scratchpad] */
struct scratch {
    float *staged;
    void *gradient;
    float *bias;
    void *pad;
};

/* Returns the bytes that they take from p on (NULL: only to know). */
static size_t scratch_at(const struct cpu_conv *c, char *p, struct scratch *out)
{
    const struct op_conv *o = &c->op;
    size_t master = (size_t)o->k * (size_t)o->r * (size_t)o->r * (size_t)o->c * sizeof(float);
    bool back = c->kind == OP_CONV_BWD_WEIGHTS, staged = !back || o->c != o->c_weights;
    size_t gradient = staged ? cpu_round_up(master, MEM_ALIGN) : 0;
    size_t bias = gradient + (back ? cpu_round_up(cpu_dnnl_packed_bytes(c->dnnl), MEM_ALIGN) : 0);
    size_t pad = bias + cpu_round_up((size_t)o->k * sizeof(float), MEM_ALIGN);

    if (p != NULL) {
        out->staged = (float *)(void *)p;
        out->gradient = p + gradient;
        out->bias = (float *)(void *)(p + bias);
        out->pad = p + pad;
    }
    return pad + cpu_dnnl_scratchpad_bytes(c->dnnl);
}

size_t cpu_conv_scratch_bytes(const struct cpu_conv *c)
{
    return scratch_at(c, NULL, NULL);
}

size_t cpu_conv_packed_bytes(const struct cpu_conv *c)
{
    return c->packed != NULL ? cpu_dnnl_packed_bytes(c->dnnl) + (size_t)c->op.k * sizeof(float) : 0;
}

const char *cpu_conv_impl(const struct cpu_conv *c)
{
    return cpu_dnnl_impl(c->dnnl);
}

/* staged[k, tap, c] = weights[k, tap, c] * scale[k], zero from c_weights on */
static void stage(const struct op_conv *o, const float *weights, const float *scale, float *staged)
{
    size_t taps = (size_t)o->r * (size_t)o->r, cw = (size_t)o->c_weights, c = (size_t)o->c;

    for (size_t k = 0; k < (size_t)o->k; k++) {
        float s = scale != NULL ? scale[k] : 1.0f;

        for (size_t t = 0; t < taps; t++) {
            const float *from = weights + (k * taps + t) * cw;
            float *to = staged + (k * taps + t) * c;

            for (size_t i = 0; i < cw; i++) {
                to[i] = from[i] * s;
            }
            memset(to + cw, 0, (c - cw) * sizeof *to);
        }
    }
}

enum rc cpu_conv_pack(struct cpu_conv *c, const float *weights, const float *bias,
                      const float *scale, void *scratch, struct err *e)
{
    struct scratch s;

    (void)scratch_at(c, scratch, &s);
    if (scale != NULL || c->op.c != c->op.c_weights) {
        stage(&c->op, weights, scale, s.staged);
        weights = s.staged;
    }
    if (bias != NULL) {
        memcpy(c->bias, bias, (size_t)c->op.k * sizeof *bias);
    }
    return cpu_dnnl_reorder(c->dnnl, weights, c->packed, s.pad, e);
}

/* dw += the gradient in oneDNN's layout (the reorder adds); db += the bias's */
static enum rc accumulate(struct cpu_conv *c, const struct scratch *s, float *dw, float *db,
                          struct err *e)
{
    const struct op_conv *o = &c->op;
    size_t rows = (size_t)o->k * (size_t)o->r * (size_t)o->r;
    bool padded = o->c != o->c_weights;
    enum rc rc = cpu_dnnl_reorder(c->dnnl, s->gradient, padded ? s->staged : dw, s->pad, e);

    for (size_t i = 0; rc == RC_OK && padded && i < rows; i++) {
        for (size_t j = 0; j < (size_t)o->c_weights; j++) {
            dw[i * (size_t)o->c_weights + j] += s->staged[i * (size_t)o->c + j];
        }
    }
    for (size_t k = 0; rc == RC_OK && o->with_bias && k < (size_t)o->k; k++) {
        db[k] += s->bias[k];
    }
    return rc;
}

enum rc cpu_conv_run(struct cpu_conv *c, void *const args[], void *scratch, struct err *e)
{
    struct cpu_dnnl_args a = {.weights = c->packed, .bias = c->bias};
    struct scratch s;
    enum rc rc;

    (void)scratch_at(c, scratch, &s);
    a.scratchpad = s.pad;
    if (c->kind == OP_CONV_BWD_WEIGHTS) {
        a.src = args[0];
        a.dst = args[1];
        a.weights = s.gradient;
        a.bias = s.bias;
        rc = cpu_dnnl_run(c->dnnl, &a, e);
        return rc != RC_OK ? rc : accumulate(c, &s, args[2], c->op.with_bias ? args[3] : NULL, e);
    }
    a.src = c->kind == OP_CONV ? args[0] : args[1];
    a.dst = c->kind == OP_CONV ? args[1] : args[0];
    return cpu_dnnl_run(c->dnnl, &a, e);
}

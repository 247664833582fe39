#include "common/base/mem.h"
#include "common/device/cpu_impl.h"

/* A convolution: oneDNN's primitive (cpu_dnnl.c), the plan's packed weights, and the ways between
 * those and the f32 masters (k, r, r, c_weights). */
struct cpu_conv {
    struct cpu_dnnl_conv *dnnl;
    const struct cpu_dnnl_facts *facts;
    enum op_kind kind;
    struct op_conv op;
    void *packed; /* weights as oneDNN wants them */
    float *bias;  /* OP_CONV_Q: in steps */
    float *step;  /* OP_CONV_Q: (k), what a weight of 1 stands for */
    bool shared;  /* packed, bias and step are another's */
};

static void release_weights(struct cpu_conv *c)
{
    if (!c->shared) {
        mem_free(c->packed);
        mem_free(c->bias);
        mem_free(c->step);
    }
}

void cpu_conv_destroy(struct cpu_conv *c)
{
    if (c != NULL) {
        cpu_dnnl_conv_destroy(c->dnnl);
        release_weights(c);
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
    c->facts = cpu_dnnl_conv_facts(c->dnnl);
    if (c->kind != OP_CONV_BWD_WEIGHTS) {
        c->packed = mem_aligned(c->facts->packed_bytes);
        c->bias = mem_calloc((size_t)c->op.k, sizeof *c->bias);
        c->step = mem_calloc((size_t)c->op.k, sizeof *c->step);
        if (c->packed == NULL || c->bias == NULL || c->step == NULL) {
            rc = mem_raise(e, "weights of a convolution", c->facts->packed_bytes);
            goto out;
        }
    }
    *out = c;
    c = NULL;
out:
    cpu_conv_destroy(c);
    return rc;
}

bool cpu_conv_share(struct cpu_conv *c, const struct cpu_conv *owner)
{
    if (!cpu_dnnl_same_layout(c->dnnl, owner->dnnl)) {
        return false;
    }
    release_weights(c);
    c->packed = owner->packed;
    c->bias = owner->bias;
    c->step = owner->step;
    c->shared = true;
    return true;
}

/* Scratch: [masters staged, f32 (k, r, r, c)] [packed gradient] [bias gradient] [scratchpad] */
struct scratch {
    size_t gradient, bias, pad, bytes; /* where each begins, and the end */
};

static struct scratch scratch_of(const struct cpu_conv *c)
{
    const struct op_conv *o = &c->op;
    size_t master = (size_t)o->k * (size_t)o->r * (size_t)o->r * (size_t)o->c * sizeof(float);
    bool back = c->kind == OP_CONV_BWD_WEIGHTS, staged = !back || o->c != o->c_weights;
    struct scratch s;

    s.gradient = staged ? cpu_round_up(master, MEM_ALIGN) : 0;
    s.bias = s.gradient + (back ? cpu_round_up(c->facts->packed_bytes, MEM_ALIGN) : 0);
    s.pad = s.bias + cpu_round_up((size_t)o->k * sizeof(float), MEM_ALIGN);
    s.bytes = s.pad + c->facts->scratchpad_bytes;
    return s;
}

size_t cpu_conv_scratch_bytes(const struct cpu_conv *c)
{
    return scratch_of(c).bytes;
}

size_t cpu_conv_packed_bytes(const struct cpu_conv *c)
{
    return c->packed != NULL ? c->facts->packed_bytes + (size_t)c->op.k * sizeof(float) : 0;
}

const char *cpu_conv_impl(const struct cpu_conv *c)
{
    return c->facts->impl;
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

/* oneDNN adds the bias to the sum of integers and multiplies by the step. */
static enum rc pack_q(struct cpu_conv *c, const float *weights, const float *bias,
                      const float *scale, void *scratch, struct err *e)
{
    device_quant_weights(&c->op, weights, scale, scratch, c->step);
    for (int k = 0; k < c->op.k; k++) {
        c->bias[k] = bias != NULL ? (float)((double)bias[k] / (double)c->step[k]) : 0;
    }
    return cpu_dnnl_reorder(c->dnnl, scratch, c->packed, (char *)scratch + scratch_of(c).pad, e);
}

enum rc cpu_conv_pack(struct cpu_conv *c, const float *weights, const float *bias,
                      const float *scale, void *scratch, struct err *e)
{
    if (c->kind == OP_CONV_Q) {
        return pack_q(c, weights, bias, scale, scratch, e);
    }
    if (scale != NULL || c->op.c != c->op.c_weights) {
        stage(&c->op, weights, scale, scratch);
        weights = scratch;
    }
    if (bias != NULL) {
        memcpy(c->bias, bias, (size_t)c->op.k * sizeof *bias);
    }
    return cpu_dnnl_reorder(c->dnnl, weights, c->packed, (char *)scratch + scratch_of(c).pad, e);
}

/* dw += the gradient in oneDNN's layout: the reorder adds, but where c is padded */
static enum rc add_weights(struct cpu_conv *c, const struct cpu_dnnl_args *a, float *staged,
                           float *dw, struct err *e)
{
    const struct op_conv *o = &c->op;
    size_t rows = (size_t)o->k * (size_t)o->r * (size_t)o->r, cw = (size_t)o->c_weights;
    bool padded = o->c != o->c_weights;
    enum rc rc = cpu_dnnl_reorder(c->dnnl, a->weights, padded ? staged : dw, a->scratchpad, e);

    for (size_t i = 0; rc == RC_OK && padded && i < rows; i++) {
        for (size_t j = 0; j < cw; j++) {
            dw[i * cw + j] += staged[i * (size_t)o->c + j];
        }
    }
    return rc;
}

/* x, dy, dw, [db] */
static enum rc run_bwd_weights(struct cpu_conv *c, void *const args[], char *scratch, struct err *e)
{
    struct scratch s = scratch_of(c);
    struct cpu_dnnl_args a = {.src = args[0],
                              .weights = scratch + s.gradient,
                              .bias = scratch + s.bias,
                              .dst = args[1],
                              .scratchpad = scratch + s.pad};
    enum rc rc = cpu_dnnl_run(c->dnnl, &a, e);

    if (rc == RC_OK && c->op.with_bias) {
        const float *gradient = a.bias;
        float *db = args[3];

        for (size_t k = 0; k < (size_t)c->op.k; k++) {
            db[k] += gradient[k];
        }
    }
    return rc != RC_OK ? rc : add_weights(c, &a, (float *)(void *)scratch, args[2], e);
}

enum rc cpu_conv_run(struct cpu_conv *c, void *const args[], void *scratch, struct err *e)
{
    bool forward = c->kind != OP_CONV_BWD_DATA;
    struct cpu_dnnl_args a = {.src = forward ? args[0] : args[1],
                              .weights = c->packed,
                              .bias = c->bias,
                              .dst = forward ? args[1] : args[0],
                              .step = c->step,
                              .scratchpad = (char *)scratch + scratch_of(c).pad};

    if (c->kind == OP_CONV_BWD_WEIGHTS) {
        return run_bwd_weights(c, args, scratch, e);
    }
    return cpu_dnnl_run(c->dnnl, &a, e);
}

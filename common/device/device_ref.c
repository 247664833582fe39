#include <string.h>

#include "common/base/mem.h"
#include "common/device/ref_impl.h"

/* clang-format off */
static ref_fn *const functions[OP_KIND_N] = {
    [OP_CONV]             = ref_conv,
    [OP_CONV_BWD_DATA]    = ref_conv_bwd_data,
    [OP_CONV_BWD_WEIGHTS] = ref_conv_bwd_weights,
    [OP_BN_ACT]           = ref_bn_act,
    [OP_BN_ACT_BWD]       = ref_bn_act_bwd,
    [OP_BN_INFER]         = ref_bn_infer,
    [OP_GATE_ADD_ACT]     = ref_gate_add_act,
    [OP_GATE_ADD_ACT_BWD] = ref_gate_add_act_bwd,
    [OP_AVG_POOL2]        = ref_avg_pool2,
    [OP_AVG_POOL2_BWD]    = ref_avg_pool2_bwd,
    [OP_GLOBAL_POOL]      = ref_global_pool,
    [OP_GLOBAL_POOL_BWD]  = ref_global_pool_bwd,
    [OP_RELU_BWD]         = ref_relu_bwd,
    [OP_SIGMOID]          = ref_sigmoid,
    [OP_SIGMOID_BWD]      = ref_sigmoid_bwd,
    [OP_MUL_ROW]          = ref_mul_row,
    [OP_ADD]              = ref_add,
    [OP_SOFTMAX_CE]       = ref_softmax_ce,
    [OP_NORMALIZE]        = ref_normalize,
    [OP_SGD]              = ref_sgd,
    [OP_SQUARES]          = ref_squares,
    [OP_CONV_Q]           = ref_conv_q,
    [OP_QUANTIZE]         = ref_quantize,
    [OP_AVG_POOL2_Q]      = ref_avg_pool2_q,
    [OP_GLOBAL_POOL_Q]    = ref_global_pool_q,
    [OP_GATE_ADD_ACT_Q]   = ref_gate_add_act_q,
};
/* clang-format on */

static enum rc ref_create(int threads, int local_rank, struct device **out, struct err *e)
{
    struct device *d = mem_calloc(1, sizeof *d);

    (void)threads; /* always one */
    (void)local_rank;
    if (d == NULL) {
        return mem_raise(e, "ref device", sizeof *d);
    }
    d->ops = &device_ref_ops;
    *out = d;
    return RC_OK;
}

static void ref_destroy(struct device *d)
{
    mem_free(d);
}

static void ref_describe(const struct device *d, struct device_info *out)
{
    (void)d;
    memcpy(out->isa, "ref", sizeof "ref");
    memcpy(out->library, "plain loops", sizeof "plain loops");
    out->threads = 1;
    out->has_bf16 = true;
    out->has_int8 = true;
}

static int ref_input_channels(const struct device *d, int c, enum dtype type)
{
    (void)d;
    (void)type;
    return c;
}

static void ref_plan_destroy(struct plan *plan)
{
    struct ref_plan *p = (struct ref_plan *)plan;

    if (p != NULL) {
        mem_free(p->weights);
        mem_free(p->bias);
        mem_free(p->q);
        mem_free(p->step);
        mem_free(p);
    }
}

static enum rc ref_plan_create(struct device *d, const struct op_desc *op, struct plan **out,
                               struct err *e)
{
    const struct op_conv *v = &op->u.conv;
    struct ref_plan *p = mem_calloc(1, sizeof *p);
    enum rc rc = RC_OK;

    (void)d;
    if (p == NULL) {
        return mem_raise(e, "ref plan", sizeof *p);
    }
    if (op->kind == OP_BN_ACT) {
        p->base.saved_bytes = 3 * sizeof(double) * (size_t)op->u.map.c;
    }
    if (op->kind == OP_CONV || op->kind == OP_CONV_BWD_DATA) {
        size_t n = (size_t)v->k * (size_t)v->r * (size_t)v->r * (size_t)v->c_weights;

        p->weights = mem_calloc(n, sizeof *p->weights);
        p->bias = mem_calloc((size_t)v->k, sizeof *p->bias);
        p->base.packed_bytes = (n + (size_t)v->k) * sizeof(float);
        if (p->weights == NULL || p->bias == NULL) {
            rc = mem_raise(e, "weights of a convolution", p->base.packed_bytes);
            goto out;
        }
    }
    if (op->kind == OP_CONV_Q) {
        size_t n = (size_t)v->k * (size_t)v->r * (size_t)v->r * (size_t)v->c;

        p->q = mem_calloc(n, sizeof *p->q);
        p->step = mem_calloc((size_t)v->k, sizeof *p->step);
        p->bias = mem_calloc((size_t)v->k, sizeof *p->bias);
        p->base.packed_bytes = n + 2 * (size_t)v->k * sizeof(float);
        if (p->q == NULL || p->step == NULL || p->bias == NULL) {
            rc = mem_raise(e, "weights of a convolution", p->base.packed_bytes);
            goto out;
        }
    }
    *out = &p->base;
    p = NULL;
out:
    ref_plan_destroy((struct plan *)p);
    return rc;
}

static enum rc ref_plan_pack(struct plan *plan, const float *weights, const float *bias,
                             const float *scale, struct err *e)
{
    struct ref_plan *p = (struct ref_plan *)plan;
    const struct op_conv *v = &plan->op.u.conv;
    size_t row = (size_t)v->r * (size_t)v->r * (size_t)v->c_weights;

    (void)e;
    if (plan->op.kind == OP_CONV_Q) {
        device_quant_weights(v, weights, scale, p->q, p->step);
        for (int k = 0; k < v->k; k++) {
            p->bias[k] = bias != NULL ? bias[k] : 0.0f;
        }
        return RC_OK;
    }
    for (size_t k = 0; k < (size_t)v->k; k++) {
        for (size_t i = 0; i < row; i++) {
            float w = weights[k * row + i] * (scale != NULL ? scale[k] : 1.0f);

            p->weights[k * row + i] = v->type == DT_BF16 ? bf16_to_f32(bf16_from_f32(w)) : w;
        }
        p->bias[k] = bias != NULL ? bias[k] : 0.0f;
    }
    return RC_OK;
}

static enum rc ref_plan_run(struct plan *p, void *const args[], struct err *e)
{
    (void)e;
    functions[p->op.kind]((const struct ref_plan *)p, args);
    return RC_OK;
}

const struct device_ops device_ref_ops = {
    .name = "ref",
    .create = ref_create,
    .destroy = ref_destroy,
    .describe = ref_describe,
    .input_channels = ref_input_channels,
    DEVICE_HOST_MEMORY,
    .plan_create = ref_plan_create,
    .plan_destroy = ref_plan_destroy,
    .plan_pack = ref_plan_pack,
    .plan_run = ref_plan_run,
};

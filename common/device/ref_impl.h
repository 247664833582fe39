/**
 * The ref backend: the formulas of device.h as plain loops, in double precision between one load
 * and one store of each value. It defines what is correct; it is not fast and not meant to be.
 */
#ifndef PRECEPTOR_REF_IMPL_H
#define PRECEPTOR_REF_IMPL_H

#include "common/device/device_impl.h"

struct ref_plan {
    struct plan base;
    float *weights; /* (k, r, r, c_weights), scaled, rounded to the plan's type */
    float *bias;    /* (k) or NULL */
    int8_t *q;      /* OP_CONV_Q: (k, r, r, c) */
    float *step;    /* ... (k) */
};

typedef void ref_fn(const struct ref_plan *p, void *const args[]); /* of a function, no struct */

/** Load and store the i-th element of a tensor. */
static inline double ref_get(const void *p, enum dtype t, size_t i)
{
    if (t == DT_F64) {
        return ((const double *)p)[i];
    }
    return t == DT_F32 ? (double)((const float *)p)[i]
                       : (double)bf16_to_f32(((const uint16_t *)p)[i]);
}

static inline void ref_put(void *p, enum dtype t, size_t i, double v)
{
    if (t == DT_F64) {
        ((double *)p)[i] = v;
    } else if (t == DT_F32) {
        ((float *)p)[i] = (float)v;
    } else {
        ((uint16_t *)p)[i] = bf16_from_f32((float)v);
    }
}

static inline double ref_f32(const void *p, size_t i)
{
    return (double)((const float *)p)[i];
}

static inline void ref_add_f32(void *p, size_t i, double v)
{
    ((float *)p)[i] = (float)((double)((float *)p)[i] + v);
}

ref_fn ref_conv, ref_conv_bwd_data, ref_conv_bwd_weights;
ref_fn ref_bn_act, ref_bn_act_bwd, ref_bn_infer;
ref_fn ref_gate_add_act, ref_gate_add_act_bwd;
ref_fn ref_avg_pool2, ref_avg_pool2_bwd, ref_global_pool, ref_global_pool_bwd;
ref_fn ref_relu_bwd, ref_sigmoid, ref_sigmoid_bwd, ref_mul_row, ref_add;
ref_fn ref_softmax_ce, ref_normalize, ref_sgd, ref_squares;
ref_fn ref_conv_q, ref_quantize, ref_avg_pool2_q, ref_global_pool_q, ref_gate_add_act_q;

#endif

/**
 * One operation on one device with reproducible data: what its arguments are, their values (floats
 * on the host, whatever their type on the device), and a run that uploads, runs and downloads.
 * Shared by the tests of common/device; equal (operation, seed) give equal data on every device.
 */
#ifndef PRECEPTOR_OP_HARNESS_H
#define PRECEPTOR_OP_HARNESS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/device/device.h"

enum harness_dir { IN, OUT, ADDED, SAVED, SCALARS, ABSENT };
enum harness_fill { NORMAL, UNIT, KEEP, RELUED, PIXELS, TARGET, STEP };

struct harness_arg {
    size_t n;
    enum dtype type;
    enum harness_dir dir;
    enum harness_fill fill;
};

struct harness {
    struct device *device;
    struct op_desc op;
    struct plan *plan;
    struct harness_arg arg[PLAN_MAX_ARGS];
    float *host[PLAN_MAX_ARGS];
    void *dev[PLAN_MAX_ARGS];
    int n_args;
    float *weights, *bias; /* convolutions: masters */
    size_t n_weights;
};

#define must(call)                                                                                 \
    do {                                                                                           \
        struct err must_err = {0};                                                                 \
        enum rc must_rc = (call);                                                                  \
        if (must_rc != RC_OK) {                                                                    \
            fail_msg("%s: %d %s", #call, (int)must_rc, must_err.msg);                              \
        }                                                                                          \
    } while (0)

/* The i-th backend that can start on this machine, or NULL past the last. */
static inline const char *harness_backend(int i)
{
    for (int b = 0; device_backend_name(b) != NULL; b++) {
        struct device *d = NULL;
        struct err e = {0};

        if (device_create(device_backend_name(b), 1, &d, &e) == RC_OK && i-- == 0) {
            device_destroy(d);
            return device_backend_name(b);
        }
        device_destroy(d);
    }
    return NULL;
}

static inline size_t harness_out(const struct op_conv *o, int h)
{
    return (size_t)((h + 2 * o->pad - o->r) / o->stride + 1);
}

static inline void harness_set(struct harness *t, int i, size_t n, enum dtype type,
                               enum harness_dir dir, enum harness_fill fill)
{
    t->arg[i] = (struct harness_arg){n, type, dir, fill};
    t->n_args = i + 1 > t->n_args ? i + 1 : t->n_args;
}

static inline void harness_conv_args(struct harness *t)
{
    const struct op_conv *o = &t->op.u.conv;
    size_t nx = (size_t)o->n * (size_t)o->h * (size_t)o->w * (size_t)o->c;
    size_t ny = (size_t)o->n * harness_out(o, o->h) * harness_out(o, o->w) * (size_t)o->k;
    bool forward = t->op.kind == OP_CONV, data = t->op.kind == OP_CONV_BWD_DATA;

    t->n_weights = (size_t)o->k * (size_t)o->r * (size_t)o->r *
                   (size_t)(o->c_weights > 0 ? o->c_weights : o->c);
    harness_set(t, 0, data ? ny : nx, o->type, IN, NORMAL);
    harness_set(t, 1, data ? nx : ny, o->wide ? DT_F32 : o->type, forward || data ? OUT : IN, NORMAL);
    if (t->op.kind == OP_CONV_BWD_WEIGHTS) {
        harness_set(t, 2, t->n_weights, DT_F32, ADDED, NORMAL);
        harness_set(t, 3, (size_t)o->k, DT_F32, o->with_bias ? ADDED : ABSENT, NORMAL);
    }
}

static inline void harness_map_args(struct harness *t)
{
    const struct op_map *o = &t->op.u.map;
    size_t c = (size_t)o->c, image = (size_t)o->h * (size_t)o->w * c, n = (size_t)o->n * image;
    size_t rows = (size_t)o->n * c, half = (size_t)((o->h + 1) / 2) * (size_t)((o->w + 1) / 2);
    enum harness_dir gate = o->with_gate ? IN : ABSENT, keep = o->with_keep ? IN : ABSENT;

    harness_set(t, 0, n, o->type, IN, NORMAL);
    switch ((int)t->op.kind) {
    case OP_BN_ACT:
        harness_set(t, 1, c, DT_F32, IN, UNIT);
        harness_set(t, 2, c, DT_F32, IN, NORMAL);
        harness_set(t, 3, n, o->type, OUT, NORMAL);
        harness_set(t, 4, c, DT_F32, OUT, NORMAL);
        harness_set(t, 5, c, DT_F32, OUT, NORMAL);
        harness_set(t, 6, plan_saved_bytes(t->plan), DT_U8, SAVED, NORMAL);
        break;
    case OP_BN_ACT_BWD:
        harness_set(t, 1, n, o->type, IN, NORMAL);
        harness_set(t, 2, c, DT_F32, IN, UNIT);
        harness_set(t, 3, 0, DT_U8, SAVED, NORMAL);
        harness_set(t, 4, n, o->type, OUT, NORMAL);
        harness_set(t, 5, c, DT_F32, ADDED, NORMAL);
        harness_set(t, 6, c, DT_F32, ADDED, NORMAL);
        break;
    case OP_BN_INFER:
        harness_set(t, 1, c, DT_F32, IN, UNIT);
        harness_set(t, 2, c, DT_F32, IN, NORMAL);
        harness_set(t, 3, n, o->type, OUT, NORMAL);
        break;
    case OP_GATE_ADD_ACT:
        harness_set(t, 1, n, o->type, IN, NORMAL);
        harness_set(t, 2, rows, o->type, gate, UNIT);
        harness_set(t, 3, (size_t)o->n, DT_F32, keep, KEEP);
        harness_set(t, 4, n, o->type, OUT, NORMAL);
        break;
    case OP_GATE_ADD_ACT_BWD:
        harness_set(t, 1, n, o->type, IN, RELUED);
        harness_set(t, 2, n, o->type, IN, NORMAL);
        harness_set(t, 3, rows, o->type, gate, UNIT);
        harness_set(t, 4, (size_t)o->n, DT_F32, keep, KEEP);
        harness_set(t, 5, n, o->type, OUT, NORMAL);
        harness_set(t, 6, n, o->type, OUT, NORMAL);
        harness_set(t, 7, rows, o->type, o->with_gate ? OUT : ABSENT, NORMAL);
        break;
    case OP_AVG_POOL2:
        harness_set(t, 1, (size_t)o->n * half * c, o->type, OUT, NORMAL);
        break;
    case OP_AVG_POOL2_BWD:
        harness_set(t, 0, (size_t)o->n * half * c, o->type, IN, NORMAL);
        harness_set(t, 1, n, o->type, OUT, NORMAL);
        break;
    case OP_GLOBAL_POOL:
        harness_set(t, 1, rows, o->type, OUT, NORMAL);
        break;
    case OP_GLOBAL_POOL_BWD:
        harness_set(t, 0, rows, o->type, IN, NORMAL);
        harness_set(t, 1, n, o->type, OUT, NORMAL);
        break;
    case OP_SIGMOID:
        harness_set(t, 1, n, o->type, OUT, NORMAL);
        break;
    case OP_RELU_BWD:
    case OP_SIGMOID_BWD:
        harness_set(t, 0, n, o->type, IN, t->op.kind == OP_RELU_BWD ? RELUED : UNIT);
        harness_set(t, 1, n, o->type, IN, NORMAL);
        harness_set(t, 2, n, o->type, OUT, NORMAL);
        break;
    default: /* OP_MUL_ROW, OP_ADD */
        harness_set(t, 1, n, t->op.kind == OP_MUL_ROW ? DT_F32 : o->type, IN, UNIT);
        harness_set(t, 2, n, o->type, OUT, NORMAL);
        break;
    }
}

static inline void harness_other_args(struct harness *t)
{
    const struct op_loss *l = &t->op.u.loss;
    const struct op_normalize *z = &t->op.u.normalize;
    size_t pixels = (size_t)z->n * (size_t)z->h * (size_t)z->w;

    if (t->op.kind == OP_SOFTMAX_CE) {
        size_t n = (size_t)l->n * (size_t)l->classes;

        harness_set(t, 0, n, l->type, IN, NORMAL);
        harness_set(t, 1, n, DT_F32, IN, TARGET);
        harness_set(t, 2, (size_t)l->n, DT_F32, IN, UNIT);
        harness_set(t, 3, (size_t)l->n, DT_F32, OUT, NORMAL);
        harness_set(t, 4, n, l->type, OUT, NORMAL);
        harness_set(t, 5, n, DT_F32, OUT, NORMAL);
    } else if (t->op.kind == OP_NORMALIZE) {
        harness_set(t, 0, pixels * (size_t)z->c_in, DT_U8, IN, PIXELS);
        harness_set(t, 1, pixels * (size_t)z->c_out, z->type, OUT, NORMAL);
    } else if (t->op.kind == OP_SQUARES) {
        harness_set(t, 0, t->op.u.squares.n, DT_F32, IN, NORMAL);
        harness_set(t, 1, 1, DT_F64, OUT, NORMAL);
    } else {
        for (int i = 0; i < 4; i++) {
            harness_set(t, i, t->op.u.sgd.n, DT_F32, i == 1 ? IN : ADDED, NORMAL);
        }
        harness_set(t, 4, 4, DT_F32, SCALARS, STEP);
    }
}

/* 64 bits of a counter (splitmix64): quick, the sanitizers' builds make millions */
static inline uint64_t harness_bits(uint64_t counter)
{
    uint64_t z = (counter + 1) * 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* The value of element i of an argument, representable in its type, from 64 random bits. */
static inline float harness_value(uint64_t bits, const struct harness_arg *a, size_t i)
{
    static const float step[4] = {0.1f, 0.01f, 0.5f, 0.9f}; /* lr, wd, grad_scale, decay */
    const float unit = 1.0f / (1 << 21);                    /* three uniforms of 21 bits */
    float u = (float)(bits & 0x1fffff) * unit, v = (float)(bits >> 21 & 0x1fffff) * unit;
    float w = (float)(bits >> 42 & 0x1fffff) * unit;

    switch (a->fill) {
    case UNIT:
        v = 0.1f + 0.8f * u;
        break;
    case KEEP:
        v = i % 3 == 1 ? 0.0f : 1.25f;
        break;
    case PIXELS:
        v = (float)(bits >> 56);
        break;
    case TARGET:
        v = v < 0.25f ? u : 0.0f;
        break;
    case STEP:
        v = step[i];
        break;
    case NORMAL:
    case RELUED:
        v = 2.0f * (u + v + w - 1.5f); /* near enough to normal, variance 1 */
        v = a->fill == RELUED && v < 0 ? 0.0f : v;
        break;
    }
    return a->type == DT_BF16 ? bf16_to_f32(bf16_from_f32(v)) : v;
}

static inline float *harness_random(const struct harness_arg *a, uint64_t seed, uint32_t which)
{
    float *v = mem_calloc(a->n + 1, sizeof *v);

    assert_non_null(v);
    for (size_t i = 0; i < a->n; i++) {
        v[i] = harness_value(harness_bits(seed << 48 | (uint64_t)which << 40 | i), a, i);
    }
    return v;
}

/* Host floats to the device in the argument's type, or back. */
static inline void harness_copy(struct harness *t, int i, bool up)
{
    const struct harness_arg *a = &t->arg[i];
    size_t bytes = a->n * dtype_size(a->type);
    unsigned char *raw = mem_calloc(bytes + 1, 1);

    assert_non_null(raw);
    if (!up) {
        must(device_download(t->device, NULL, raw, t->dev[i], bytes, &must_err));
        must(device_sync(t->device, NULL, &must_err));
    }
    for (size_t j = 0; j < a->n; j++) {
        uint16_t half;

        if (a->type == DT_F32) {
            memcpy(up ? (void *)(raw + 4 * j) : (void *)&t->host[i][j],
                   up ? (void *)&t->host[i][j] : (void *)(raw + 4 * j), 4);
        } else if (a->type == DT_U8) {
            raw[j] = (unsigned char)t->host[i][j];
        } else if (a->type == DT_F64) { /* what comes back alone */
            double wide;

            memcpy(&wide, raw + sizeof wide * j, sizeof wide);
            t->host[i][j] = (float)wide;
        } else if (up) {
            half = bf16_from_f32(t->host[i][j]);
            memcpy(raw + 2 * j, &half, 2);
        } else {
            memcpy(&half, raw + 2 * j, 2);
            t->host[i][j] = bf16_to_f32(half);
        }
    }
    if (up) {
        must(device_upload(t->device, NULL, t->dev[i], raw, bytes, &must_err));
        must(device_sync(t->device, NULL, &must_err));
    }
    mem_free(raw);
}

static inline void harness_pack(struct harness *t, const float *scale)
{
    bool with_bias = t->op.kind == OP_CONV && t->op.u.conv.with_bias;

    must(plan_pack(t->plan, t->weights, with_bias ? t->bias : NULL, scale, &must_err));
}

/* Run with what stands in host[]; afterwards host[] holds what was written. */
static inline void harness_run(struct harness *t)
{
    void *args[PLAN_MAX_ARGS] = {0};

    for (int i = 0; i < t->n_args; i++) {
        enum harness_dir dir = t->arg[i].dir;

        if (dir == IN || dir == ADDED) {
            harness_copy(t, i, true);
        }
        args[i] = dir == SCALARS ? (void *)t->host[i] : dir == ABSENT ? NULL : t->dev[i];
    }
    must(plan_run(t->plan, args, &must_err));
    for (int i = 0; i < t->n_args; i++) {
        if (t->arg[i].dir == OUT || t->arg[i].dir == ADDED) {
            harness_copy(t, i, false);
        }
    }
}

static inline void harness_close(struct harness *t)
{
    for (int i = 0; i < t->n_args; i++) {
        mem_free(t->host[i]);
        device_free(t->device, t->dev[i]);
    }
    mem_free(t->weights);
    mem_free(t->bias);
    plan_destroy(t->plan);
}

/* Allocate and fill every argument; false where the backend has not got the operation. */
static inline bool harness_open(struct harness *t, struct device *d, const struct op_desc *op,
                                uint64_t seed)
{
    struct harness_arg master = {0, DT_F32, IN, NORMAL};
    struct err e = {0};
    enum rc rc;

    memset(t, 0, sizeof *t);
    t->device = d;
    t->op = *op;
    rc = plan_create(d, op, &t->plan, &e);
    if (rc == RC_UNSUPPORTED) {
        return false;
    }
    if (rc != RC_OK) {
        fail_msg("plan_create: %d %s", (int)rc, e.msg);
    }
    if (op->kind <= OP_CONV_BWD_WEIGHTS) {
        harness_conv_args(t);
        master.n = t->n_weights;
        t->weights = harness_random(&master, seed, 100);
        master.n = (size_t)op->u.conv.k;
        t->bias = harness_random(&master, seed, 101);
        if (op->kind != OP_CONV_BWD_WEIGHTS) {
            harness_pack(t, NULL);
        }
    } else if (op->kind < OP_SOFTMAX_CE) {
        harness_map_args(t);
    } else {
        harness_other_args(t);
    }
    for (int i = 0; i < t->n_args; i++) {
        t->host[i] = harness_random(&t->arg[i], seed, (uint32_t)i);
        must(device_alloc(d, (t->arg[i].n + 1) * dtype_size(t->arg[i].type), "test", &t->dev[i],
                          &must_err));
    }
    return true;
}

/* The saved tensor of a BN backward: of a forward over the same x, gamma and a random beta. */
static inline void harness_bn_saved(struct harness *back, uint64_t seed)
{
    struct op_desc op = back->op;
    struct harness fwd;

    op.kind = OP_BN_ACT;
    assert_true(harness_open(&fwd, back->device, &op, seed));
    memcpy(fwd.host[0], back->host[0], fwd.arg[0].n * sizeof(float));
    memcpy(fwd.host[1], back->host[2], fwd.arg[1].n * sizeof(float));
    harness_run(&fwd);
    device_free(back->device, back->dev[3]);
    back->dev[3] = fwd.dev[6];
    fwd.dev[6] = NULL;
    harness_close(&fwd);
}

#endif

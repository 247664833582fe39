#include "common/device/cpu_impl.h"

/* Element-wise operations: a chunk function each, over n elements from the pointers given. */

struct operands {
    const void *a, *b;
    void *y;
};

typedef void chunk_fn(struct operands v, size_t n, bool bf16);

static void each_chunk(const struct op_map *o, chunk_fn *f, void *a, void *b, bool b_is_f32,
                       void *y)
{
    size_t total = cpu_count(o), chunks = (total + CPU_CHUNK - 1) / CPU_CHUNK;
    enum dtype bt = b_is_f32 ? DT_F32 : o->type;

#pragma omp parallel for schedule(static) if (total > CPU_SERIAL)
    for (size_t i = 0; i < chunks; i++) {
        size_t from = i * CPU_CHUNK;
        struct operands v = {cpu_at(a, o->type, from), b != NULL ? cpu_at(b, bt, from) : NULL,
                             cpu_at(y, o->type, from)};

        f(v, cpu_chunk_len(total, from, CPU_CHUNK), o->type == DT_BF16);
    }
}

CPU_INLINE void relu_bwd(struct operands v, size_t n, bool bf16)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        cpu_put(v.y, i, bf16, cpu_get(v.a, i, bf16) > 0 ? cpu_get(v.b, i, bf16) : 0);
    }
}

/* exp for x in [-88, 88]: 2^n * P(r), r = x - n*ln 2, P of degree 7; relative error below 2e-7 */
CPU_INLINE float exp_approx(float x)
{
    float nearest = (x * 1.44269504f + 12582912.0f) - 12582912.0f; /* 1.5 * 2^23 rounds */
    float n = nearest == nearest ? nearest : 0.0f;                 /* of NaN: x spoils r */
    float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.98412698e-4f;
    int32_t bits;
    float power;

    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    bits = ((int32_t)n + 127) * (1 << 23);
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

CPU_INLINE void sigmoid(struct operands v, size_t n, bool bf16)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float x = cpu_get(v.a, i, bf16);
        float inside = x > 87.0f ? 87.0f : x < -87.0f ? -87.0f : x; /* NaN stays */

        cpu_put(v.y, i, bf16, 1.0f / (1.0f + exp_approx(-inside)));
    }
}

CPU_INLINE void sigmoid_bwd(struct operands v, size_t n, bool bf16)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float y = cpu_get(v.a, i, bf16);

        cpu_put(v.y, i, bf16, cpu_get(v.b, i, bf16) * y * (1.0f - y));
    }
}

CPU_INLINE void mul_row(struct operands v, size_t n, bool bf16)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        cpu_put(v.y, i, bf16, cpu_get(v.a, i, bf16) * ((const float *)v.b)[i]);
    }
}

CPU_INLINE void add(struct operands v, size_t n, bool bf16)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        cpu_put(v.y, i, bf16, cpu_get(v.a, i, bf16) + cpu_get(v.b, i, bf16));
    }
}

/* One clone of a body for each storage type. */
#define CHUNK_OF(body)                                                                             \
    CPU_CLONES static void body##_chunk(struct operands v, size_t n, bool bf16)                    \
    {                                                                                              \
        if (bf16) {                                                                                \
            body(v, n, true);                                                                      \
        } else {                                                                                   \
            body(v, n, false);                                                                     \
        }                                                                                          \
    }

CHUNK_OF(relu_bwd)
CHUNK_OF(sigmoid)
CHUNK_OF(sigmoid_bwd)
CHUNK_OF(mul_row)
CHUNK_OF(add)

static void run_relu_bwd(const struct cpu_plan *p, void *scratch, void *const args[])
{
    (void)scratch;
    each_chunk(&p->base.op.u.map, relu_bwd_chunk, args[0], args[1], false, args[2]);
}

static void run_sigmoid(const struct cpu_plan *p, void *scratch, void *const args[])
{
    (void)scratch;
    each_chunk(&p->base.op.u.map, sigmoid_chunk, args[0], NULL, false, args[1]);
}

static void run_sigmoid_bwd(const struct cpu_plan *p, void *scratch, void *const args[])
{
    (void)scratch;
    each_chunk(&p->base.op.u.map, sigmoid_bwd_chunk, args[0], args[1], false, args[2]);
}

static void run_mul_row(const struct cpu_plan *p, void *scratch, void *const args[])
{
    (void)scratch;
    each_chunk(&p->base.op.u.map, mul_row_chunk, args[0], args[1], true, args[2]);
}

static void run_add(const struct cpu_plan *p, void *scratch, void *const args[])
{
    (void)scratch;
    each_chunk(&p->base.op.u.map, add_chunk, args[0], args[1], false, args[2]);
}

struct sgd {
    float lr, wd, scale, decay, mu;
    bool nesterov;
};

CPU_INLINE void sgd_step(const struct sgd *s, float *w, const float *g, float *m, float *ema,
                         size_t n)
{
    float lr = s->lr, wd = s->wd, scale = s->scale, mu = s->mu, rate = 1.0f - s->decay;
    bool nesterov = s->nesterov, with_ema = ema != NULL;

#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float grad = g[i] * scale + wd * w[i];
        float v = mu * m[i] + grad;
        float next = w[i] - lr * (nesterov ? grad + mu * v : v);

        m[i] = v;
        w[i] = next;
        if (with_ema) {
            ema[i] += rate * (next - ema[i]);
        }
    }
}

CPU_CLONES static void sgd_chunk(const struct sgd *s, float *w, const float *g, float *m,
                                 float *ema, size_t n)
{
    if (ema != NULL) {
        sgd_step(s, w, g, m, ema, n);
    } else {
        sgd_step(s, w, g, m, NULL, n);
    }
}

/* w, g, momentum, ema, scalars */
static void run_sgd(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_sgd *o = &p->base.op.u.sgd;
    const float *scalars = args[4];
    struct sgd s = {scalars[0], scalars[1], scalars[2], scalars[3], o->momentum, o->nesterov};
    float *w = args[0], *g = args[1], *m = args[2], *ema = args[3];
    size_t chunks = (o->n + CPU_CHUNK - 1) / CPU_CHUNK;

    (void)scratch;
#pragma omp parallel for schedule(static) if (o->n > CPU_SERIAL)
    for (size_t i = 0; i < chunks; i++) {
        size_t at = i * CPU_CHUNK;

        sgd_chunk(&s, w + at, g + at, m + at, ema != NULL ? ema + at : NULL,
                  cpu_chunk_len(o->n, at, CPU_CHUNK));
    }
}

enum { SQUARES_CHUNK = 1 << 16, LANES = 8 };

CPU_CLONES static double squares_chunk(const float *x, size_t n)
{
    double part[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            part[k] += (double)x[i + k] * (double)x[i + k];
        }
    }
    for (; i < n; i++) {
        part[0] += (double)x[i] * (double)x[i];
    }
    return ((part[0] + part[1]) + (part[2] + part[3])) +
           ((part[4] + part[5]) + (part[6] + part[7]));
}

static size_t squares_chunks(const struct op_desc *op)
{
    return (op->u.squares.n + SQUARES_CHUNK - 1) / SQUARES_CHUNK;
}

static size_t squares_scratch(const struct op_desc *op)
{
    return squares_chunks(op) * sizeof(double);
}

/* x, y */
static void run_squares(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const size_t n = p->base.op.u.squares.n, chunks = squares_chunks(&p->base.op);
    const float *x = args[0];
    double *part = scratch, sum = 0;

#pragma omp parallel for schedule(static) if (n > CPU_SERIAL)
    for (size_t i = 0; i < chunks; i++) {
        const size_t at = i * SQUARES_CHUNK;

        part[i] = squares_chunk(x + at, cpu_chunk_len(n, at, SQUARES_CHUNK));
    }
    for (size_t i = 0; i < chunks; i++) {
        sum += part[i];
    }
    *(double *)args[1] = sum;
}

const struct cpu_kernel cpu_map_relu_bwd = {.run = run_relu_bwd};
const struct cpu_kernel cpu_map_sigmoid = {.run = run_sigmoid};
const struct cpu_kernel cpu_map_sigmoid_bwd = {.run = run_sigmoid_bwd};
const struct cpu_kernel cpu_map_mul_row = {.run = run_mul_row};
const struct cpu_kernel cpu_map_add = {.run = run_add};
const struct cpu_kernel cpu_map_sgd = {.run = run_sgd};
const struct cpu_kernel cpu_map_squares = {.scratch = squares_scratch, .run = run_squares};

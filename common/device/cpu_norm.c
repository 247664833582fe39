#include <math.h>

#include "common/device/cpu_impl.h"

/* Batch norm. Statistics: each chunk of rows gives its own mean and sum of squared deviations in
 * f32 lanes (the second pass over a chunk finds it in the cache); chunks are joined in f64 as Chan,
 * Golub and LeVeque (1979) do. Constants stand repeated to `width` values (cpu_width). */

enum { ROWS_MIN = 32, CHUNK_VALUES = 8192 };

/* Rows of a chunk: of the shape alone, and a whole number of widths. */
static size_t chunk_values(const struct op_map *o)
{
    size_t c = (size_t)o->c, width = cpu_width(o->c), per_width = width / c;
    size_t rows = CHUNK_VALUES / c > ROWS_MIN ? CHUNK_VALUES / c : ROWS_MIN;

    return cpu_round_up(rows, per_width) * c;
}

static size_t n_chunks(const struct op_map *o)
{
    size_t chunk = chunk_values(o);

    return (cpu_count(o) + chunk - 1) / chunk;
}

/* Scratch: constants (6, width), then per chunk two partial rows (width), then two f64 rows (c) */
struct work {
    float *constants;
    float *partial;
    double *total;
};

static size_t work_bytes(const struct op_desc *op)
{
    const struct op_map *o = &op->u.map;

    return (6 + 2 * n_chunks(o)) * cpu_width(o->c) * sizeof(float) +
           2 * (size_t)o->c * sizeof(double);
}

static struct work work_at(const struct op_map *o, void *scratch)
{
    size_t width = cpu_width(o->c);
    struct work w;

    w.total = scratch;
    w.constants = (float *)(void *)(w.total + 2 * (size_t)o->c);
    w.partial = w.constants + 6 * width;
    return w;
}

/* What the forward leaves: (c) each. */
struct saved {
    float *mean, *rstd, *beta;
};

static struct saved saved_at(void *p, int c)
{
    float *f = p;

    return (struct saved){f, f + c, f + 2 * (size_t)c};
}

size_t cpu_norm_saved_bytes(const struct op_map *o)
{
    return 3 * (size_t)o->c * sizeof(float);
}

/* Add lanes c.. onto the first c, in order. */
static void fold(float *row, size_t c, size_t width)
{
    for (size_t i = c; i < width; i++) {
        row[i % c] += row[i];
    }
}

/* ---- statistics ----------------------------------------------------------------------------- */

CPU_INLINE void sum_rows(const void *x, size_t n, size_t width, float *sum, bool bf16)
{
    for (size_t at = 0; at < n; at += width) {
        size_t len = cpu_chunk_len(n, at, width);

#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            sum[i] += cpu_get(x, at + i, bf16);
        }
    }
}

CPU_INLINE void square_rows(const void *x, size_t n, size_t width, const float *mean, float *sum,
                            bool bf16)
{
    for (size_t at = 0; at < n; at += width) {
        size_t len = cpu_chunk_len(n, at, width);

#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            float d = cpu_get(x, at + i, bf16) - mean[i];

            sum[i] += d * d;
        }
    }
}

CPU_CLONES static void sum_chunk(const void *x, size_t n, size_t width, float *sum, bool bf16)
{
    if (bf16) {
        sum_rows(x, n, width, sum, true);
    } else {
        sum_rows(x, n, width, sum, false);
    }
}

CPU_CLONES static void square_chunk(const void *x, size_t n, size_t width, const float *mean,
                                    float *sum, bool bf16)
{
    if (bf16) {
        square_rows(x, n, width, mean, sum, true);
    } else {
        square_rows(x, n, width, mean, sum, false);
    }
}

void cpu_norm_moments(const struct op_map *o, const void *x, size_t n, float *mean, float *m2)
{
    size_t c = (size_t)o->c, width = cpu_width(o->c);
    float rows = (float)(n / c);

    memset(mean, 0, width * sizeof *mean);
    memset(m2, 0, width * sizeof *m2);
    sum_chunk(x, n, width, mean, o->type == DT_BF16);
    fold(mean, c, width);
    for (size_t i = 0; i < c; i++) {
        mean[i] /= rows;
    }
    cpu_repeat(mean, c, width);
    square_chunk(x, n, width, mean, m2, o->type == DT_BF16);
    fold(m2, c, width);
}

/* total[0..c) mean, total[c..2c) biased variance, of the chunks' moments */
static void join_moments(const struct op_map *o, const struct work *w)
{
    size_t c = (size_t)o->c, width = cpu_width(o->c), total = cpu_count(o);
    size_t chunk = chunk_values(o), chunks = n_chunks(o);
    double *mean = w->total, *var = w->total + c, m = (double)(total / c);

    memset(mean, 0, 2 * c * sizeof *mean);
    for (size_t i = 0; i < chunks; i++) {
        double rows = (double)(cpu_chunk_len(total, i * chunk, chunk) / c);
        const float *part = w->partial + 2 * i * width;

        for (size_t j = 0; j < c; j++) {
            mean[j] += rows * (double)part[j];
        }
    }
    for (size_t j = 0; j < c; j++) {
        mean[j] /= m;
    }
    for (size_t i = 0; i < chunks; i++) {
        double rows = (double)(cpu_chunk_len(total, i * chunk, chunk) / c);
        const float *part = w->partial + 2 * i * width;

        for (size_t j = 0; j < c; j++) {
            double d = (double)part[j] - mean[j];

            var[j] += (double)part[width + j] + rows * d * d;
        }
    }
    for (size_t j = 0; j < c; j++) {
        var[j] /= m;
    }
}

/* ---- y = act((x - mean) * scale + shift) ---------------------------------------------------- */

CPU_INLINE void affine_rows(const void *x, void *y, size_t n, size_t width, const float *k,
                            bool bf16, bool relu)
{
    const float *mean = k, *scale = k + width, *shift = k + 2 * width;

    for (size_t at = 0; at < n; at += width) {
        size_t len = cpu_chunk_len(n, at, width);

#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            float v = (cpu_get(x, at + i, bf16) - mean[i]) * scale[i] + shift[i];

            cpu_put(y, at + i, bf16, relu && v < 0 ? 0 : v);
        }
    }
}

CPU_CLONES static void affine_chunk(const void *x, void *y, size_t n, size_t width, const float *k,
                                    bool bf16, bool relu)
{
    if (bf16 && relu) {
        affine_rows(x, y, n, width, k, true, true);
    } else if (bf16) {
        affine_rows(x, y, n, width, k, true, false);
    } else if (relu) {
        affine_rows(x, y, n, width, k, false, true);
    } else {
        affine_rows(x, y, n, width, k, false, false);
    }
}

static void affine(const struct op_map *o, void *x, void *y, const float *constants)
{
    size_t total = cpu_count(o), chunk = chunk_values(o), chunks = n_chunks(o);

#pragma omp parallel for schedule(static) if (total > CPU_SERIAL)
    for (size_t i = 0; i < chunks; i++) {
        affine_chunk(cpu_at(x, o->type, i * chunk), cpu_at(y, o->type, i * chunk),
                     cpu_chunk_len(total, i * chunk, chunk), cpu_width(o->c), constants,
                     o->type == DT_BF16, o->relu);
    }
}

/* x, gamma, beta, y, mean, var, saved */
static void run_bn_act(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t c = (size_t)o->c, width = cpu_width(o->c), total = cpu_count(o);
    size_t chunk = chunk_values(o), chunks = n_chunks(o);
    struct work w = work_at(o, scratch);
    struct saved s = saved_at(args[6], o->c);
    const float *gamma = args[1], *beta = args[2];
    float *mean = args[4], *var = args[5];

#pragma omp parallel for schedule(static) if (total > CPU_SERIAL)
    for (size_t i = 0; i < chunks; i++) {
        float *part = w.partial + 2 * i * width;

        cpu_norm_moments(o, cpu_at(args[0], o->type, i * chunk),
                         cpu_chunk_len(total, i * chunk, chunk), part, part + width);
    }
    join_moments(o, &w);
    for (size_t j = 0; j < c; j++) {
        mean[j] = s.mean[j] = w.constants[j] = (float)w.total[j];
        var[j] = (float)w.total[c + j];
        s.rstd[j] = (float)(1.0 / sqrt(w.total[c + j] + (double)o->eps));
        s.beta[j] = w.constants[2 * width + j] = beta[j];
        w.constants[width + j] = gamma[j] * s.rstd[j];
    }
    for (int i = 0; i < 3; i++) {
        cpu_repeat(w.constants + (size_t)i * width, c, width);
    }
    affine(o, args[0], args[3], w.constants);
}

/* x, scale, shift, y */
static void run_bn_infer(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t c = (size_t)o->c, width = cpu_width(o->c);
    float *k = work_at(o, scratch).constants;

    memset(k, 0, width * sizeof *k);
    memcpy(k + width, args[1], c * sizeof *k);
    memcpy(k + 2 * width, args[2], c * sizeof *k);
    cpu_repeat(k + width, c, width);
    cpu_repeat(k + 2 * width, c, width);
    affine(o, args[0], args[3], k);
}

/* ---- backward ------------------------------------------------------------------------------- */

/* Rows of constants of the backward. */
enum { K_MEAN, K_RSTD, K_SCALE, K_BETA, K_MEAN_G, K_MEAN_GX };

/* dy where the ReLU was open, which the forward's own arithmetic says again */
CPU_INLINE float open_gradient(float centred, float dy, float scale, float beta, bool relu)
{
    return relu && !(centred * scale + beta > 0) ? 0 : dy;
}

/* sum[0..width) += g; sum[width..) += g * xhat */
CPU_INLINE void gradient_sums(const void *x, const void *dy, size_t n, size_t width, const float *k,
                              float *sum, bool bf16, bool relu)
{
    const float *mean = k, *rstd = k + width, *scale = k + K_SCALE * width;
    const float *beta = k + K_BETA * width;
    float *sum_gx = sum + width;

    for (size_t at = 0; at < n; at += width) {
        size_t len = cpu_chunk_len(n, at, width);

#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            float d = cpu_get(x, at + i, bf16) - mean[i];
            float g = open_gradient(d, cpu_get(dy, at + i, bf16), scale[i], beta[i], relu);

            sum[i] += g;
            sum_gx[i] += g * (d * rstd[i]);
        }
    }
}

CPU_CLONES static void gradient_sums_chunk(const void *x, const void *dy, size_t n, size_t width,
                                           const float *k, float *sum, bool bf16, bool relu)
{
    if (bf16 && relu) {
        gradient_sums(x, dy, n, width, k, sum, true, true);
    } else if (bf16) {
        gradient_sums(x, dy, n, width, k, sum, true, false);
    } else if (relu) {
        gradient_sums(x, dy, n, width, k, sum, false, true);
    } else {
        gradient_sums(x, dy, n, width, k, sum, false, false);
    }
}

/* dx = scale * (g - mean_g - xhat * mean_gx) */
CPU_INLINE void input_gradient(const void *x, const void *dy, void *dx, size_t n, size_t width,
                               const float *k, bool bf16, bool relu)
{
    const float *mean = k, *rstd = k + width, *scale = k + K_SCALE * width;
    const float *beta = k + K_BETA * width;
    const float *mean_g = k + K_MEAN_G * width, *mean_gx = k + K_MEAN_GX * width;

    for (size_t at = 0; at < n; at += width) {
        size_t len = cpu_chunk_len(n, at, width);

#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            float d = cpu_get(x, at + i, bf16) - mean[i];
            float g = open_gradient(d, cpu_get(dy, at + i, bf16), scale[i], beta[i], relu);

            cpu_put(dx, at + i, bf16, scale[i] * (g - mean_g[i] - d * rstd[i] * mean_gx[i]));
        }
    }
}

CPU_CLONES static void input_gradient_chunk(const void *x, const void *dy, void *dx, size_t n,
                                            size_t width, const float *k, bool bf16, bool relu)
{
    if (bf16 && relu) {
        input_gradient(x, dy, dx, n, width, k, true, true);
    } else if (bf16) {
        input_gradient(x, dy, dx, n, width, k, true, false);
    } else if (relu) {
        input_gradient(x, dy, dx, n, width, k, false, true);
    } else {
        input_gradient(x, dy, dx, n, width, k, false, false);
    }
}

/* total[0..2c) = sums over chunks and lanes; dgamma, dbeta += them; their means to the constants */
static void join_sums(const struct op_map *o, const struct work *w, float *dgamma, float *dbeta)
{
    size_t c = (size_t)o->c, width = cpu_width(o->c), chunks = n_chunks(o);
    double m = (double)(cpu_count(o) / c);

    memset(w->total, 0, 2 * c * sizeof *w->total);
    for (size_t i = 0; i < 2 * chunks; i++) {
        const float *part = w->partial + i * width;
        double *total = w->total + (i % 2) * c;

        for (size_t j = 0; j < width; j += c) {
            for (size_t q = 0; q < c; q++) {
                total[q] += (double)part[j + q];
            }
        }
    }
    for (size_t j = 0; j < c; j++) {
        dbeta[j] += (float)w->total[j];
        dgamma[j] += (float)w->total[c + j];
        w->constants[K_MEAN_G * width + j] = (float)(w->total[j] / m);
        w->constants[K_MEAN_GX * width + j] = (float)(w->total[c + j] / m);
    }
}

/* x, dy, gamma, saved, dx, dgamma, dbeta */
static void run_bn_act_bwd(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t c = (size_t)o->c, width = cpu_width(o->c), total = cpu_count(o);
    size_t chunk = chunk_values(o), chunks = n_chunks(o);
    bool bf16 = o->type == DT_BF16;
    struct work w = work_at(o, scratch);
    struct saved s = saved_at(args[3], o->c);
    const float *gamma = args[2];
    float *k = w.constants;

    for (size_t j = 0; j < c; j++) {
        k[j] = s.mean[j];
        k[K_RSTD * width + j] = s.rstd[j];
        k[K_SCALE * width + j] = gamma[j] * s.rstd[j];
        k[K_BETA * width + j] = s.beta[j];
    }
    for (size_t i = K_MEAN; i <= K_BETA; i++) {
        cpu_repeat(k + i * width, c, width);
    }
#pragma omp parallel for schedule(static) if (total > CPU_SERIAL)
    for (size_t i = 0; i < chunks; i++) {
        float *part = w.partial + 2 * i * width;

        memset(part, 0, 2 * width * sizeof *part);
        gradient_sums_chunk(cpu_at(args[0], o->type, i * chunk),
                            cpu_at(args[1], o->type, i * chunk),
                            cpu_chunk_len(total, i * chunk, chunk), width, k, part, bf16, o->relu);
    }
    join_sums(o, &w, args[5], args[6]);
    cpu_repeat(k + K_MEAN_G * width, c, width);
    cpu_repeat(k + K_MEAN_GX * width, c, width);
#pragma omp parallel for schedule(static) if (total > CPU_SERIAL)
    for (size_t i = 0; i < chunks; i++) {
        input_gradient_chunk(cpu_at(args[0], o->type, i * chunk),
                             cpu_at(args[1], o->type, i * chunk),
                             cpu_at(args[4], o->type, i * chunk),
                             cpu_chunk_len(total, i * chunk, chunk), width, k, bf16, o->relu);
    }
}

const struct cpu_kernel cpu_norm_bn_act = {work_bytes, run_bn_act};
const struct cpu_kernel cpu_norm_bn_act_bwd = {work_bytes, run_bn_act_bwd};
const struct cpu_kernel cpu_norm_bn_infer = {work_bytes, run_bn_infer};

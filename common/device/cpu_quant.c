#include <math.h>

#include "common/device/cpu_impl.h"

/* The 8-bit operations between the convolutions. Rows of `width` values, as in cpu_gate.c. */

enum { CHUNK_VALUES = 16384 };

/* u8(v): after the clamp the sum with 1.5 * 2^23 holds the nearest integer in its last bits. */
CPU_INLINE uint8_t to_u8(float v)
{
    uint32_t bits;

    v = v > 0 ? v : 0;
    v = (v < 255 ? v : 255) + 12582912.0f;
    memcpy(&bits, &v, sizeof bits);
    return (uint8_t)bits;
}

CPU_INLINE float get(const void *p, size_t i, bool is_signed)
{
    return is_signed ? (float)((const int8_t *)p)[i] : (float)((const uint8_t *)p)[i];
}

static size_t image_values(const struct op_map *o)
{
    return (size_t)o->h * (size_t)o->w * (size_t)o->c;
}

static size_t chunk_values(const struct op_map *o)
{
    size_t width = cpu_width(o->c);

    return CHUNK_VALUES > width ? cpu_round_up(CHUNK_VALUES, width) : width;
}

static size_t image_chunks(const struct op_map *o)
{
    return (image_values(o) + chunk_values(o) - 1) / chunk_values(o);
}

/* Scratch: rows of factors, one an image and one that all share. */
static size_t rows_bytes(const struct op_desc *op)
{
    return ((size_t)op->u.map.n + 1) * cpu_width(op->u.map.c) * sizeof(float);
}

static void fill_row(const struct op_map *o, const float *values, float *row)
{
    memcpy(row, values, (size_t)o->c * sizeof *row);
    cpu_repeat(row, (size_t)o->c, cpu_width(o->c));
}

/* ---- y = u8(a * gate * x + b * shortcut) ---------------------------------------------------- */

struct rows {
    const float *a, *b;
    size_t width;
};

CPU_INLINE void gate_add(const int8_t *x, const void *shortcut, uint8_t *y, size_t n,
                         const struct rows *r, bool is_signed)
{
    const float *a = r->a, *b = r->b;

    for (size_t at = 0; at < n; at += r->width) {
        size_t len = cpu_chunk_len(n, at, r->width);

#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            y[at + i] = to_u8(a[i] * (float)x[at + i] + b[i] * get(shortcut, at + i, is_signed));
        }
    }
}

CPU_CLONES static void gate_add_chunk(const int8_t *x, const void *shortcut, uint8_t *y, size_t n,
                                      const struct rows *r, bool is_signed)
{
    if (is_signed) {
        gate_add(x, shortcut, y, n, r, true);
    } else {
        gate_add(x, shortcut, y, n, r, false);
    }
}

/* x, shortcut, gate, a, b, y */
static void run_gate_add(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t image = image_values(o), chunk = chunk_values(o), per_image = image_chunks(o);
    size_t c = (size_t)o->c, width = cpu_width(o->c), jobs = (size_t)o->n * per_image;
    const float *gate = args[2], *a = args[3];
    float *factors = scratch, *b = factors + (size_t)o->n * width;

    for (size_t n = 0; n < (size_t)o->n; n++) {
        for (size_t i = 0; i < c; i++) {
            factors[n * width + i] = a[i] * gate[n * c + i];
        }
        cpu_repeat(factors + n * width, c, width);
    }
    fill_row(o, args[4], b);
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t i = 0; i < jobs; i++) {
        size_t n = i / per_image, at = i % per_image * chunk, from = n * image + at;
        struct rows r = {factors + n * width, b, width};

        gate_add_chunk((const int8_t *)args[0] + from, (const uint8_t *)args[1] + from,
                       (uint8_t *)args[5] + from, cpu_chunk_len(image, at, chunk), &r,
                       o->shortcut == DT_S8);
    }
}

const struct cpu_kernel cpu_quant_gate_add = {rows_bytes, run_gate_add};

/* ---- y = u8(scale * x) ---------------------------------------------------------------------- */

CPU_INLINE void quantize(const void *x, uint8_t *y, size_t n, size_t width, const float *scale,
                         bool bf16)
{
    for (size_t at = 0; at < n; at += width) {
        size_t len = cpu_chunk_len(n, at, width);

#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            y[at + i] = to_u8(scale[i] * cpu_get(x, at + i, bf16));
        }
    }
}

CPU_CLONES static void quantize_chunk(const void *x, uint8_t *y, size_t n, size_t width,
                                      const float *scale, bool bf16)
{
    if (bf16) {
        quantize(x, y, n, width, scale, true);
    } else {
        quantize(x, y, n, width, scale, false);
    }
}

/* x, scale, y */
static void run_quantize(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t total = cpu_count(o), chunk = chunk_values(o);
    float *scale = scratch;

    fill_row(o, args[1], scale);
#pragma omp parallel for schedule(static) if (total > CPU_SERIAL)
    for (size_t at = 0; at < total; at += chunk) {
        quantize_chunk(cpu_at(args[0], o->type, at), (uint8_t *)args[2] + at,
                       cpu_chunk_len(total, at, chunk), cpu_width(o->c), scale, o->type == DT_BF16);
    }
}

const struct cpu_kernel cpu_quant_quantize = {rows_bytes, run_quantize};

/* ---- 2x2 stride 2, ceil mode ---------------------------------------------------------------- */

/* sum / 2^shift to nearest, ties to even */
CPU_INLINE uint8_t mean(unsigned sum, unsigned shift)
{
    unsigned half = (1u << shift) >> 1;

    return (uint8_t)((sum + half - (half > 0 ? 1u - (sum >> shift & 1u) : 0u)) >> shift);
}

CPU_INLINE void avg2(const uint8_t *top, const uint8_t *down, uint8_t *y, size_t w, size_t c,
                     bool two)
{
    for (size_t ox = 0; ox < (w + 1) / 2; ox++) {
        const uint8_t *a = top + 2 * ox * c, *d = down + 2 * ox * c;
        uint8_t *to = y + ox * c;

        if (2 * ox + 1 < w) {
#pragma omp simd
            for (size_t i = 0; i < c; i++) {
                unsigned sum = (unsigned)a[i] + a[i + c];

                to[i] = two ? mean(sum + d[i] + d[i + c], 2) : mean(sum, 1);
            }
        } else {
#pragma omp simd
            for (size_t i = 0; i < c; i++) {
                to[i] = two ? mean((unsigned)a[i] + d[i], 1) : a[i];
            }
        }
    }
}

CPU_CLONES static void avg2_chunk(const uint8_t *top, const uint8_t *down, uint8_t *y, size_t w,
                                  size_t c, bool two)
{
    if (two) {
        avg2(top, down, y, w, c, true);
    } else {
        avg2(top, down, y, w, c, false);
    }
}

/* x, y */
static void run_avg2(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t h = (size_t)o->h, w = (size_t)o->w, c = (size_t)o->c, oh = (h + 1) / 2;
    size_t ow = (w + 1) / 2, rows = (size_t)o->n * oh;

    (void)scratch;
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t i = 0; i < rows; i++) {
        size_t n = i / oh, y = 2 * (i % oh);
        bool two = y + 1 < h;
        const uint8_t *top = (const uint8_t *)args[0] + (n * h + y) * w * c;

        avg2_chunk(top, two ? top + w * c : top, (uint8_t *)args[1] + i * ow * c, w, c, two);
    }
}

const struct cpu_kernel cpu_quant_avg2 = {.run = run_avg2};

/* ---- scale * mean over (h, w) --------------------------------------------------------------- */

CPU_INLINE void sum_rows(const void *x, size_t n, size_t width, int32_t *sum, bool is_signed)
{
    memset(sum, 0, width * sizeof *sum);
    for (size_t at = 0; at < n; at += width) {
        size_t len = cpu_chunk_len(n, at, width);

#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            sum[i] += is_signed ? ((const int8_t *)x)[at + i] : ((const uint8_t *)x)[at + i];
        }
    }
}

CPU_CLONES static void sum_rows_chunk(const void *x, size_t n, size_t width, int32_t *sum,
                                      bool is_signed)
{
    if (is_signed) {
        sum_rows(x, n, width, sum, true);
    } else {
        sum_rows(x, n, width, sum, false);
    }
}

/* x, scale, y. device_op_check holds h * w so small that s32 holds every sum. */
static void run_global(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t c = (size_t)o->c, width = cpu_width(o->c), image = image_values(o);
    double pixels = (double)o->h * (double)o->w;
    const float *scale = args[1];
    float *y = args[2];

#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t n = 0; n < (size_t)o->n; n++) {
        int32_t *sum = (int32_t *)scratch + n * width;

        sum_rows_chunk((const uint8_t *)args[0] + n * image, image, width, sum, o->type == DT_S8);
        for (size_t i = c; i < width; i++) {
            sum[i % c] += sum[i];
        }
        for (size_t i = 0; i < c; i++) {
            y[n * c + i] = (float)((double)scale[i] * sum[i] / pixels);
        }
    }
}

const struct cpu_kernel cpu_quant_global = {rows_bytes, run_global};

#include "common/device/cpu_impl.h"

/* ---- 2x2 stride 2, ceil mode, padding not counted ------------------------------------------- */

/* The up to four input pixels of an output pixel; a missing one repeats an existing one with
 * weight 0 (right, down) so that the sum has one form. */
CPU_INLINE void avg2_row(const void *top, const void *down, void *y, size_t w, size_t c, bool two,
                         bool bf16)
{
    for (size_t ox = 0; ox < (w + 1) / 2; ox++) {
        size_t left = 2 * ox * c, right = 2 * ox + 1 < w ? left + c : left, out = ox * c;
        bool wide = right != left;
        float factor = (two ? 0.5f : 1.0f) * (wide ? 0.5f : 1.0f);

#pragma omp simd
        for (size_t i = 0; i < c; i++) {
            float sum = cpu_get(top, left + i, bf16);

            sum += wide ? cpu_get(top, right + i, bf16) : 0;
            sum += two ? cpu_get(down, left + i, bf16) : 0;
            sum += two && wide ? cpu_get(down, right + i, bf16) : 0;
            cpu_put(y, out + i, bf16, sum * factor);
        }
    }
}

CPU_CLONES static void avg2_row_chunk(const void *top, const void *down, void *y, size_t w,
                                      size_t c, bool two, bool bf16)
{
    if (bf16) {
        avg2_row(top, down, y, w, c, two, true);
    } else {
        avg2_row(top, down, y, w, c, two, false);
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
        size_t top = (n * h + y) * w * c;

        avg2_row_chunk(cpu_at(args[0], o->type, top),
                       cpu_at(args[0], o->type, two ? top + w * c : top),
                       cpu_at(args[1], o->type, i * ow * c), w, c, two, o->type == DT_BF16);
    }
}

/* One row of dx: the output row's gradient spread over its pixels. */
CPU_INLINE void avg2_bwd_row(const void *dy, void *dx, size_t w, size_t c, bool two, bool bf16)
{
    for (size_t x = 0; x < w; x++) {
        bool wide = (x | 1) < w;
        float factor = (two ? 0.5f : 1.0f) * (wide ? 0.5f : 1.0f);
        size_t from = x / 2 * c, to = x * c;

#pragma omp simd
        for (size_t i = 0; i < c; i++) {
            cpu_put(dx, to + i, bf16, cpu_get(dy, from + i, bf16) * factor);
        }
    }
}

CPU_CLONES static void avg2_bwd_row_chunk(const void *dy, void *dx, size_t w, size_t c, bool two,
                                          bool bf16)
{
    if (bf16) {
        avg2_bwd_row(dy, dx, w, c, two, true);
    } else {
        avg2_bwd_row(dy, dx, w, c, two, false);
    }
}

/* dy, dx */
static void run_avg2_bwd(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t h = (size_t)o->h, w = (size_t)o->w, c = (size_t)o->c, oh = (h + 1) / 2;
    size_t ow = (w + 1) / 2, rows = (size_t)o->n * h;

    (void)scratch;
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t i = 0; i < rows; i++) {
        size_t n = i / h, y = i % h;

        avg2_bwd_row_chunk(cpu_at(args[0], o->type, (n * oh + y / 2) * ow * c),
                           cpu_at(args[1], o->type, i * w * c), w, c, (y | 1) < h,
                           o->type == DT_BF16);
    }
}

const struct cpu_kernel cpu_pool_avg2 = {.run = run_avg2};
const struct cpu_kernel cpu_pool_avg2_bwd = {.run = run_avg2_bwd};

/* ---- mean over (h, w) ----------------------------------------------------------------------- */

enum { BLOCK_WIDTHS = 64 }; /* rows of `width` summed in f32 before they join the f64 total */

/* Scratch: f64 totals (n, width), f32 block sums (n, width). */
static size_t global_scratch_bytes(const struct op_desc *op)
{
    return (size_t)op->u.map.n * cpu_width(op->u.map.c) * (sizeof(double) + sizeof(float));
}

CPU_INLINE void global_sum(const void *x, size_t n, size_t width, float *sum, double *total,
                           bool bf16)
{
    for (size_t block = 0; block < n; block += BLOCK_WIDTHS * width) {
        size_t end = block + cpu_chunk_len(n, block, BLOCK_WIDTHS * width);

        memset(sum, 0, width * sizeof *sum);
        for (size_t at = block; at < end; at += width) {
            size_t len = cpu_chunk_len(end, at, width);

#pragma omp simd
            for (size_t i = 0; i < len; i++) {
                sum[i] += cpu_get(x, at + i, bf16);
            }
        }
#pragma omp simd
        for (size_t i = 0; i < width; i++) {
            total[i] += (double)sum[i];
        }
    }
}

CPU_CLONES static void global_sum_chunk(const void *x, size_t n, size_t width, float *sum,
                                        double *total, bool bf16)
{
    if (bf16) {
        global_sum(x, n, width, sum, total, true);
    } else {
        global_sum(x, n, width, sum, total, false);
    }
}

/* x, y */
static void run_global(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t n = (size_t)o->n, c = (size_t)o->c, width = cpu_width(o->c);
    size_t pixels = (size_t)o->h * (size_t)o->w;
    double *totals = scratch;
    float *sums = (float *)(void *)(totals + n * width);

    memset(totals, 0, n * width * sizeof *totals);
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t i = 0; i < n; i++) {
        double *total = totals + i * width;

        global_sum_chunk(cpu_at(args[0], o->type, i * pixels * c), pixels * c, width,
                         sums + i * width, total, o->type == DT_BF16);
        for (size_t j = c; j < width; j++) {
            total[j % c] += total[j];
        }
        for (size_t j = 0; j < c; j++) {
            cpu_put(args[1], i * c + j, o->type == DT_BF16, (float)(total[j] / (double)pixels));
        }
    }
}

CPU_INLINE void spread(const void *dy, void *dx, size_t pixels, size_t c, bool bf16)
{
    float factor = 1.0f / (float)pixels;

    for (size_t q = 0; q < pixels; q++) {
#pragma omp simd
        for (size_t i = 0; i < c; i++) {
            cpu_put(dx, q * c + i, bf16, cpu_get(dy, i, bf16) * factor);
        }
    }
}

CPU_CLONES static void spread_chunk(const void *dy, void *dx, size_t pixels, size_t c, bool bf16)
{
    if (bf16) {
        spread(dy, dx, pixels, c, true);
    } else {
        spread(dy, dx, pixels, c, false);
    }
}

/* dy, dx */
static void run_global_bwd(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t c = (size_t)o->c, pixels = (size_t)o->h * (size_t)o->w;

    (void)scratch;
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t i = 0; i < (size_t)o->n; i++) {
        spread_chunk(cpu_at(args[0], o->type, i * c), cpu_at(args[1], o->type, i * pixels * c),
                     pixels, c, o->type == DT_BF16);
    }
}

const struct cpu_kernel cpu_pool_global = {global_scratch_bytes, run_global};
const struct cpu_kernel cpu_pool_global_bwd = {.run = run_global_bwd};

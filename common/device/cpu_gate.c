#include "common/device/cpu_impl.h"

/* The tail of a block: y = relu(gate[n,c] * keep[n] * x + shortcut), and its backward in one pass.
 * The product of gate and keep is a row of constants for each image, repeated to `width`. */

enum { CHUNK_VALUES = 16384 };

/* Values of a chunk: whole widths, so whole rows, of one image. */
static size_t chunk_values(const struct op_map *o)
{
    size_t width = cpu_width(o->c);

    return CHUNK_VALUES > width ? cpu_round_up(CHUNK_VALUES, width) : width;
}

static size_t image_values(const struct op_map *o)
{
    return (size_t)o->h * (size_t)o->w * (size_t)o->c;
}

static size_t image_chunks(const struct op_map *o)
{
    return (image_values(o) + chunk_values(o) - 1) / chunk_values(o);
}

/* Scratch: factors (n, width), then the backward's partial sums (n, chunks, width). */
static size_t scratch_bytes(const struct op_desc *op)
{
    const struct op_map *o = &op->u.map;

    return (size_t)o->n * (1 + image_chunks(o)) * cpu_width(o->c) * sizeof(float);
}

static void fill_factors(const struct op_map *o, const void *gate, const float *keep,
                         float *factors)
{
    size_t c = (size_t)o->c, width = cpu_width(o->c);
    bool bf16 = o->type == DT_BF16;

    for (size_t n = 0; n < (size_t)o->n; n++) {
        float k = keep != NULL ? keep[n] : 1.0f, *row = factors + n * width;

        for (size_t i = 0; i < c; i++) {
            row[i] = gate != NULL ? cpu_get(gate, n * c + i, bf16) * k : k;
        }
        cpu_repeat(row, c, width);
    }
}

CPU_INLINE void gate_add(const void *x, const void *shortcut, void *y, size_t n, size_t width,
                         const float *factor, bool bf16)
{
    for (size_t at = 0; at < n; at += width) {
        size_t len = cpu_chunk_len(n, at, width);

#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            float v = factor[i] * cpu_get(x, at + i, bf16) + cpu_get(shortcut, at + i, bf16);

            cpu_put(y, at + i, bf16, v < 0 ? 0 : v);
        }
    }
}

CPU_CLONES static void gate_add_chunk(const void *x, const void *shortcut, void *y, size_t n,
                                      size_t width, const float *factor, bool bf16)
{
    if (bf16) {
        gate_add(x, shortcut, y, n, width, factor, true);
    } else {
        gate_add(x, shortcut, y, n, width, factor, false);
    }
}

/* x, shortcut, gate, keep, y */
static void run_gate_add_act(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t image = image_values(o), chunk = chunk_values(o), per_image = image_chunks(o);
    size_t width = cpu_width(o->c), jobs = (size_t)o->n * per_image;
    float *factors = scratch;

    fill_factors(o, o->with_gate ? args[2] : NULL, o->with_keep ? args[3] : NULL, factors);
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t i = 0; i < jobs; i++) {
        size_t n = i / per_image, at = i % per_image * chunk, from = n * image + at;

        gate_add_chunk(cpu_at(args[0], o->type, from), cpu_at(args[1], o->type, from),
                       cpu_at(args[4], o->type, from), cpu_chunk_len(image, at, chunk), width,
                       factors + n * width, o->type == DT_BF16);
    }
}

/* One chunk of the backward. */
struct chunk {
    const void *x, *y, *dy;
    void *dx, *dshortcut;
    const float *factor;
    float *sum; /* (width) of x * g */
    size_t n, width;
};

CPU_INLINE void gate_bwd(const struct chunk *k, bool bf16)
{
    for (size_t at = 0; at < k->n; at += k->width) {
        size_t len = cpu_chunk_len(k->n, at, k->width);
        const void *x = k->x, *y = k->y, *dy = k->dy;
        void *dx = k->dx, *dshortcut = k->dshortcut;
        const float *factor = k->factor;
        float *sum = k->sum;

#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            float g = cpu_get(y, at + i, bf16) > 0 ? cpu_get(dy, at + i, bf16) : 0;

            sum[i] += cpu_get(x, at + i, bf16) * g;
            cpu_put(dx, at + i, bf16, factor[i] * g);
            cpu_put(dshortcut, at + i, bf16, g);
        }
    }
}

CPU_CLONES static void gate_bwd_chunk(const struct chunk *k, bool bf16)
{
    if (bf16) {
        gate_bwd(k, true);
    } else {
        gate_bwd(k, false);
    }
}

/* dgate[n,c] = keep[n] * the sums of the image's chunks and lanes */
static void join_sums(const struct op_map *o, const float *sums, const float *keep, void *dgate)
{
    size_t c = (size_t)o->c, width = cpu_width(o->c), per_image = image_chunks(o);

#pragma omp parallel for schedule(static) if ((size_t)o->n * c > CPU_SERIAL)
    for (size_t n = 0; n < (size_t)o->n; n++) {
        const float *image = sums + n * per_image * width;
        double k = keep != NULL ? (double)keep[n] : 1.0;

        for (size_t j = 0; j < c; j++) {
            double sum = 0;

            for (size_t i = j; i < per_image * width; i += c) {
                sum += (double)image[i];
            }
            cpu_put(dgate, n * c + j, o->type == DT_BF16, (float)(k * sum));
        }
    }
}

/* x, y, dy, gate, keep, dx, dshortcut, dgate */
static void run_gate_add_act_bwd(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t image = image_values(o), chunk = chunk_values(o), per_image = image_chunks(o);
    size_t width = cpu_width(o->c), jobs = (size_t)o->n * per_image;
    float *factors = scratch, *sums = factors + (size_t)o->n * width;
    float *keep = o->with_keep ? args[4] : NULL;

    fill_factors(o, o->with_gate ? args[3] : NULL, keep, factors);
    memset(sums, 0, jobs * width * sizeof *sums);
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t i = 0; i < jobs; i++) {
        size_t n = i / per_image, at = i % per_image * chunk, from = n * image + at;
        struct chunk k = {.x = cpu_at(args[0], o->type, from),
                          .y = cpu_at(args[1], o->type, from),
                          .dy = cpu_at(args[2], o->type, from),
                          .dx = cpu_at(args[5], o->type, from),
                          .dshortcut = cpu_at(args[6], o->type, from),
                          .factor = factors + n * width,
                          .sum = sums + i * width,
                          .n = cpu_chunk_len(image, at, chunk),
                          .width = width};

        gate_bwd_chunk(&k, o->type == DT_BF16);
    }
    if (o->with_gate) {
        join_sums(o, sums, keep, args[7]);
    }
}

const struct cpu_kernel cpu_gate_add_act = {scratch_bytes, run_gate_add_act};
const struct cpu_kernel cpu_gate_add_act_bwd = {scratch_bytes, run_gate_add_act_bwd};

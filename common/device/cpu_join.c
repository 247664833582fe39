#include <math.h>

#include "common/device/cpu_impl.h"

/* The tail of a block in training: batch norm, the mean that SE looks at, and
 * y = relu(gate[n,c] * keep[n] * z + shortcut), z the batch norm's output, which is never stored:
 *   forward   x once for its moments, which give the pooled z as well; then x and the shortcut for y
 *   backward  x, y and the gradient of y once for g and its sums over each image, from which the
 *             gradients of gate, gamma and beta and both means of batch norm's backward follow; then
 *             x and g for dx
 * Chunks are whole rows of one image; constants of an image stand repeated to `width`. */

enum { ROWS_MIN = 32, CHUNK_VALUES = 16384 };

static size_t image_values(const struct op_map *o)
{
    return (size_t)o->h * (size_t)o->w * (size_t)o->c;
}

/* Values of a chunk: whole widths. */
static size_t chunk_values(const struct op_map *o)
{
    size_t width = cpu_width(o->c), c = (size_t)o->c;
    size_t rows = CHUNK_VALUES / c > ROWS_MIN ? CHUNK_VALUES / c : ROWS_MIN;

    return cpu_round_up(rows * c, width);
}

static size_t image_chunks(const struct op_map *o)
{
    return (image_values(o) + chunk_values(o) - 1) / chunk_values(o);
}

/* What the forward leaves, (c) and (n, c), and the sums over images that the backward adds to it. */
struct saved {
    float *mean, *rstd, *beta;
    float *image;  /* mean of an image's x, from the batch's mean */
    float *g, *gd; /* sums over (h, w) of g, and of g times x from its mean */
};

static struct saved saved_at(void *p, const struct op_map *o)
{
    size_t c = (size_t)o->c, rows = (size_t)o->n * c;
    float *f = p;

    return (struct saved){.mean = f,
                          .rstd = f + c,
                          .beta = f + 2 * c,
                          .image = f + 3 * c,
                          .g = f + 3 * c + rows,
                          .gd = f + 3 * c + 2 * rows};
}

size_t cpu_join_saved_bytes(const struct op_map *o)
{
    return 3 * ((size_t)o->c + (size_t)o->n * (size_t)o->c) * sizeof(float);
}

/* Scratch: two f64 rows (c) of each image and of the batch; K_ROWS rows of constants (width) of each
 * image; two rows of partial sums (width) of each chunk. */
enum { K_MEAN, K_X, K_G, K_SHIFT, K_ROWS };

struct work {
    double *image, *total;
    float *constants, *partial;
};

static size_t work_bytes(const struct op_desc *op)
{
    const struct op_map *o = &op->u.map;
    size_t n = (size_t)o->n, width = cpu_width(o->c);

    return 2 * (n + 1) * (size_t)o->c * sizeof(double) +
           n * (K_ROWS + 2 * image_chunks(o)) * width * sizeof(float);
}

static struct work work_at(const struct op_map *o, void *scratch)
{
    size_t n = (size_t)o->n, c = (size_t)o->c;
    struct work w;

    w.image = scratch;
    w.total = w.image + 2 * n * c;
    w.constants = (float *)(void *)(w.total + 2 * c);
    w.partial = w.constants + n * K_ROWS * cpu_width(o->c);
    return w;
}

/* Chunk i of all images: where it begins, how many values, its image's constants, its partial sums. */
struct piece {
    size_t from, n, width;
    const float *k;
    float *sum;
};

static struct piece piece_at(const struct op_map *o, const struct work *w, size_t i)
{
    size_t image = image_values(o), per_image = image_chunks(o), width = cpu_width(o->c);
    size_t n = i / per_image, at = i % per_image * chunk_values(o);

    return (struct piece){.from = n * image + at,
                          .n = cpu_chunk_len(image, at, chunk_values(o)),
                          .width = width,
                          .k = w->constants + n * K_ROWS * width,
                          .sum = w->partial + 2 * i * width};
}

static void repeat_constants(const struct op_map *o, float *k)
{
    size_t width = cpu_width(o->c);

    for (size_t i = 0; i < K_ROWS; i++) {
        cpu_repeat(k + i * width, (size_t)o->c, width);
    }
}

static double factor(const struct op_map *o, const void *gate, const float *keep, size_t n,
                     size_t j)
{
    double g = (double)cpu_get(gate, n * (size_t)o->c + j, o->type == DT_BF16);

    return o->with_keep ? g * (double)keep[n] : g;
}

/* ---- moments and the pooled z --------------------------------------------------------------- */

/* image: the mean (c) of image n, of its chunks' */
static void image_mean(const struct op_map *o, const struct work *w, size_t n)
{
    size_t c = (size_t)o->c, per_image = image_chunks(o);
    double *mean = w->image + 2 * n * c, pixels = (double)(image_values(o) / c);

    memset(mean, 0, c * sizeof *mean);
    for (size_t i = 0; i < per_image; i++) {
        struct piece p = piece_at(o, w, n * per_image + i);
        double rows = (double)(p.n / c);

        for (size_t j = 0; j < c; j++) {
            mean[j] += rows * (double)p.sum[j];
        }
    }
    for (size_t j = 0; j < c; j++) {
        mean[j] /= pixels;
    }
}

/* image: its squared deviations from the batch's mean, behind its mean */
static void image_deviations(const struct op_map *o, const struct work *w, size_t n)
{
    size_t c = (size_t)o->c, per_image = image_chunks(o);
    double *square = w->image + (2 * n + 1) * c;

    memset(square, 0, c * sizeof *square);
    for (size_t i = 0; i < per_image; i++) {
        struct piece p = piece_at(o, w, n * per_image + i);
        double rows = (double)(p.n / c);

        for (size_t j = 0; j < c; j++) {
            double d = (double)p.sum[j] - w->total[j];

            square[j] += (double)p.sum[p.width + j] + rows * d * d;
        }
    }
}

/* total: row (0 mean, 1 deviations) of the images, added up and divided */
static void total_of(const struct op_map *o, const struct work *w, size_t row, double divisor)
{
    size_t c = (size_t)o->c;
    double *total = w->total + row * c;

    memset(total, 0, c * sizeof *total);
    for (size_t n = 0; n < (size_t)o->n; n++) {
        for (size_t j = 0; j < c; j++) {
            total[j] += w->image[(2 * n + row) * c + j];
        }
    }
    for (size_t j = 0; j < c; j++) {
        total[j] /= divisor;
    }
}

/* x -> total: mean and biased variance; image: means */
static void moments(const struct op_map *o, void *x, const struct work *w)
{
    size_t n = (size_t)o->n, jobs = n * image_chunks(o);

#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t i = 0; i < jobs; i++) {
        struct piece p = piece_at(o, w, i);

        cpu_norm_moments(o, cpu_at(x, o->type, p.from), p.n, p.sum, p.sum + p.width);
    }
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t i = 0; i < n; i++) {
        image_mean(o, w, i);
    }
    total_of(o, w, 0, (double)n);
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t i = 0; i < n; i++) {
        image_deviations(o, w, i);
    }
    total_of(o, w, 1, (double)(cpu_count(o) / (size_t)o->c));
}

/* x, gamma, beta, pooled, mean, var, saved */
static void run_pool(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t c = (size_t)o->c;
    struct work w = work_at(o, scratch);
    struct saved s = saved_at(args[6], o);
    const float *gamma = args[1], *beta = args[2];
    float *mean = args[4], *var = args[5];

    moments(o, args[0], &w);
    for (size_t j = 0; j < c; j++) {
        mean[j] = s.mean[j] = (float)w.total[j];
        var[j] = (float)w.total[c + j];
        s.rstd[j] = (float)(1.0 / sqrt(w.total[c + j] + (double)o->eps));
        s.beta[j] = beta[j];
    }
    for (size_t n = 0; n < (size_t)o->n; n++) {
        for (size_t j = 0; j < c; j++) {
            float d = (float)(w.image[2 * n * c + j] - w.total[j]);

            s.image[n * c + j] = d;
            cpu_put(args[3], n * c + j, o->type == DT_BF16, d * (gamma[j] * s.rstd[j]) + beta[j]);
        }
    }
}

/* ---- y = relu(gate * keep * z + shortcut) --------------------------------------------------- */

CPU_INLINE void join(const void *x, const void *shortcut, void *y, const struct piece *p, bool bf16)
{
    const float *mean = p->k, *scale = p->k + K_X * p->width, *shift = p->k + K_SHIFT * p->width;

    for (size_t at = 0; at < p->n; at += p->width) {
        size_t len = cpu_chunk_len(p->n, at, p->width);

#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            float v = (cpu_get(x, at + i, bf16) - mean[i]) * scale[i] + shift[i];

            v += cpu_get(shortcut, at + i, bf16);
            cpu_put(y, at + i, bf16, v < 0 ? 0 : v);
        }
    }
}

CPU_CLONES static void join_chunk(const void *x, const void *shortcut, void *y,
                                  const struct piece *p, bool bf16)
{
    if (bf16) {
        join(x, shortcut, y, p, true);
    } else {
        join(x, shortcut, y, p, false);
    }
}

/* x, saved, gamma, shortcut, gate, keep, y */
static void run_join(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t c = (size_t)o->c, width = cpu_width(o->c), jobs = (size_t)o->n * image_chunks(o);
    struct work w = work_at(o, scratch);
    struct saved s = saved_at(args[1], o);
    const float *gamma = args[2];

    for (size_t n = 0; n < (size_t)o->n; n++) {
        float *k = w.constants + n * K_ROWS * width;

        memset(k, 0, K_ROWS * width * sizeof *k);
        for (size_t j = 0; j < c; j++) {
            double f = factor(o, args[4], args[5], n, j);

            k[j] = s.mean[j];
            k[K_X * width + j] = (float)(f * (double)(gamma[j] * s.rstd[j]));
            k[K_SHIFT * width + j] = (float)(f * (double)s.beta[j]);
        }
        repeat_constants(o, k);
    }
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t i = 0; i < jobs; i++) {
        struct piece q = piece_at(o, &w, i);

        join_chunk(cpu_at(args[0], o->type, q.from), cpu_at(args[3], o->type, q.from),
                   cpu_at(args[6], o->type, q.from), &q, o->type == DT_BF16);
    }
}

/* ---- backward, first pass: g and its sums --------------------------------------------------- */

/* The tensors of a chunk. */
struct gradients {
    const void *x, *y, *dy, *more;
    void *g;
};

CPU_INLINE void masked(const struct gradients *t, const struct piece *p, bool bf16, bool with_more)
{
    const void *x = t->x, *y = t->y, *dy = t->dy, *more = t->more;
    void *out = t->g;
    const float *mean = p->k;
    float *sum = p->sum, *sum_d = p->sum + p->width;

    for (size_t at = 0; at < p->n; at += p->width) {
        size_t len = cpu_chunk_len(p->n, at, p->width);

#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            float g = cpu_get(dy, at + i, bf16);

            g += with_more ? cpu_get(more, at + i, bf16) : 0;
            g = cpu_get(y, at + i, bf16) > 0 ? g : 0;
            sum[i] += g;
            sum_d[i] += g * (cpu_get(x, at + i, bf16) - mean[i]);
            cpu_put(out, at + i, bf16, g);
        }
    }
}

CPU_CLONES static void masked_chunk(const struct gradients *t, const struct piece *p, bool bf16)
{
    if (bf16 && t->more != NULL) {
        masked(t, p, true, true);
    } else if (bf16) {
        masked(t, p, true, false);
    } else if (t->more != NULL) {
        masked(t, p, false, true);
    } else {
        masked(t, p, false, false);
    }
}

/* Both sums (c) of image n, over its chunks and lanes. */
static void image_sums(const struct op_map *o, const struct work *w, const struct saved *s,
                       size_t n)
{
    size_t c = (size_t)o->c, width = cpu_width(o->c), per_image = image_chunks(o);
    double *sums = w->image + 2 * n * c;

    memset(sums, 0, 2 * c * sizeof *sums);
    for (size_t i = 0; i < 2 * per_image; i++) {
        const float *part = w->partial + (2 * n * per_image + i) * width;
        double *sum = sums + i % 2 * c;

        for (size_t j = 0; j < width; j += c) {
            for (size_t q = 0; q < c; q++) {
                sum[q] += (double)part[j + q];
            }
        }
    }
    for (size_t j = 0; j < c; j++) {
        s->g[n * c + j] = (float)sums[j];
        s->gd[n * c + j] = (float)sums[c + j];
    }
}

/* x, y, dy, more, keep, gamma, saved, g, dgate */
static void run_join_bwd(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t c = (size_t)o->c, width = cpu_width(o->c), n_images = (size_t)o->n;
    size_t jobs = n_images * image_chunks(o);
    struct work w = work_at(o, scratch);
    struct saved s = saved_at(args[6], o);
    const float *keep = args[4], *gamma = args[5];

    memcpy(w.constants, s.mean, c * sizeof *s.mean);
    cpu_repeat(w.constants, c, width);
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t i = 0; i < jobs; i++) {
        struct piece q = piece_at(o, &w, i);
        struct gradients t = {.x = cpu_at(args[0], o->type, q.from),
                              .y = cpu_at(args[1], o->type, q.from),
                              .dy = cpu_at(args[2], o->type, q.from),
                              .more = args[3] != NULL ? cpu_at(args[3], o->type, q.from) : NULL,
                              .g = cpu_at(args[7], o->type, q.from)};

        q.k = w.constants; /* the mean alone */
        memset(q.sum, 0, 2 * width * sizeof *q.sum);
        masked_chunk(&t, &q, o->type == DT_BF16);
    }
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t n = 0; n < n_images; n++) {
        image_sums(o, &w, &s, n);
        for (size_t j = 0; j < c; j++) {
            double scale = (double)gamma[j] * (double)s.rstd[j];
            double sum =
                scale * (double)s.gd[n * c + j] + (double)s.beta[j] * (double)s.g[n * c + j];

            sum *= o->with_keep ? (double)keep[n] : 1;
            cpu_put(args[8], n * c + j, o->type == DT_BF16, (float)sum);
        }
    }
}

/* ---- backward, second pass: dx -------------------------------------------------------------- */

CPU_INLINE void input_gradient(const void *x, const void *g, void *dx, const struct piece *p,
                               bool bf16)
{
    const float *mean = p->k, *of_x = p->k + K_X * p->width;
    const float *of_g = p->k + K_G * p->width, *shift = p->k + K_SHIFT * p->width;

    for (size_t at = 0; at < p->n; at += p->width) {
        size_t len = cpu_chunk_len(p->n, at, p->width);

#pragma omp simd
        for (size_t i = 0; i < len; i++) {
            float d = cpu_get(x, at + i, bf16) - mean[i];

            cpu_put(dx, at + i, bf16, of_g[i] * cpu_get(g, at + i, bf16) + shift[i] - of_x[i] * d);
        }
    }
}

CPU_CLONES static void input_gradient_chunk(const void *x, const void *g, void *dx,
                                            const struct piece *p, bool bf16)
{
    if (bf16) {
        input_gradient(x, g, dx, p, true);
    } else {
        input_gradient(x, g, dx, p, false);
    }
}

/* total: over the batch, of dz = factor * g + dpooled / pixels: its sum; its sum times x from its mean */
static void sum_images(const struct op_map *o, const struct work *w, const struct saved *s,
                       void *const args[])
{
    size_t c = (size_t)o->c;

    memset(w->total, 0, 2 * c * sizeof *w->total);
    for (size_t n = 0; n < (size_t)o->n; n++) {
        for (size_t j = 0; j < c; j++) {
            size_t at = n * c + j;
            double f = factor(o, args[2], args[3], n, j);
            double pooled = (double)cpu_get(args[4], at, o->type == DT_BF16);

            w->total[j] += f * (double)s->g[at] + pooled;
            w->total[c + j] += f * (double)s->gd[at] + pooled * (double)s->image[at];
        }
    }
}

/* Of image n: dx = scale * (factor * g + dpooled/pixels - mean of dz - xhat * mean of dz*xhat) */
static void gradient_constants(const struct op_map *o, const struct work *w, const struct saved *s,
                               void *const args[], size_t n)
{
    size_t c = (size_t)o->c, width = cpu_width(o->c);
    double pixels = (double)(image_values(o) / c), m = pixels * o->n;
    const float *gamma = args[5];
    float *k = w->constants + n * K_ROWS * width;

    for (size_t j = 0; j < c; j++) {
        double rstd = (double)s->rstd[j], scale = (double)gamma[j] * rstd;
        double pooled = (double)cpu_get(args[4], n * c + j, o->type == DT_BF16);

        k[j] = s->mean[j];
        k[K_X * width + j] = (float)(scale * rstd * rstd * w->total[c + j] / m);
        k[K_G * width + j] = (float)(scale * factor(o, args[2], args[3], n, j));
        k[K_SHIFT * width + j] = (float)(scale * (pooled / pixels - w->total[j] / m));
    }
    repeat_constants(o, k);
}

/* x, g, gate, keep, dpooled, gamma, saved, dx, dgamma, dbeta */
static void run_pool_bwd(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t n_images = (size_t)o->n, jobs = n_images * image_chunks(o);
    struct work w = work_at(o, scratch);
    struct saved s = saved_at(args[6], o);
    float *dgamma = args[8], *dbeta = args[9];

    sum_images(o, &w, &s, args);
    for (size_t j = 0; j < (size_t)o->c; j++) {
        dbeta[j] += (float)w.total[j];
        dgamma[j] += (float)(w.total[(size_t)o->c + j] * (double)s.rstd[j]);
    }
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t n = 0; n < n_images; n++) {
        gradient_constants(o, &w, &s, args, n);
    }
#pragma omp parallel for schedule(static) if (cpu_count(o) > CPU_SERIAL)
    for (size_t i = 0; i < jobs; i++) {
        struct piece q = piece_at(o, &w, i);

        input_gradient_chunk(cpu_at(args[0], o->type, q.from), cpu_at(args[1], o->type, q.from),
                             cpu_at(args[7], o->type, q.from), &q, o->type == DT_BF16);
    }
}

const struct cpu_kernel cpu_join_pool = {work_bytes, run_pool};
const struct cpu_kernel cpu_join_forward = {work_bytes, run_join};
const struct cpu_kernel cpu_join_bwd = {work_bytes, run_join_bwd};
const struct cpu_kernel cpu_join_pool_bwd = {work_bytes, run_pool_bwd};

#include <math.h>

#include "common/base/mem.h"
#include "common/device/cpu_impl.h"

/* Both ends of a network: pixels in, loss out. */

/* log of the sum of exponentials of a row, from its largest logit */
static double log_sum_exp(const void *row, size_t k, bool bf16)
{
    float most = -INFINITY;
    double sum = 0;

    for (size_t i = 0; i < k; i++) {
        most = fmaxf(most, cpu_get(row, i, bf16));
    }
    for (size_t i = 0; i < k; i++) {
        sum += exp((double)cpu_get(row, i, bf16) - (double)most);
    }
    return (double)most + log(sum);
}

/* One row; see ref_softmax_ce for the formula. */
static float row_loss(const void *row, const float *target, size_t k, double weight, void *dlogits,
                      float *prob, bool bf16)
{
    double lse = log_sum_exp(row, k, bf16), loss = 0, mass = 0;

    for (size_t i = 0; i < k; i++) {
        double t = (double)target[i];

        mass += t;
        loss -= t != 0 ? t * ((double)cpu_get(row, i, bf16) - lse) : 0;
    }
    for (size_t i = 0; i < k && (dlogits != NULL || prob != NULL); i++) {
        double q = exp((double)cpu_get(row, i, bf16) - lse);

        if (dlogits != NULL) {
            cpu_put(dlogits, i, bf16, (float)(weight * (q * mass - (double)target[i])));
        }
        if (prob != NULL) {
            prob[i] = (float)q;
        }
    }
    return (float)(weight * loss);
}

/* logits, target, weight, loss, dlogits, prob */
static void run_softmax_ce(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_loss *o = &p->base.op.u.loss;
    size_t k = (size_t)o->classes, rows = (size_t)o->n;
    const float *target = args[1], *weight = args[2];
    float *loss = args[3], *prob = args[5];

    (void)scratch;
/* an exponential costs as much as 64 plain elements */
#pragma omp parallel for schedule(static) if (rows * k * 64 > CPU_SERIAL)
    for (size_t n = 0; n < rows; n++) {
        loss[n] = row_loss(cpu_at(args[0], o->type, n * k), target + n * k, k, (double)weight[n],
                           args[4] != NULL ? cpu_at(args[4], o->type, n * k) : NULL,
                           prob != NULL ? prob + n * k : NULL, o->type == DT_BF16);
    }
}

/* table[c_in][256] in the plan's type: every value that a pixel can become. */
enum rc cpu_loss_normalize_table(const struct op_normalize *o, void **out, struct err *e)
{
    size_t bytes = (size_t)o->c_in * 256 * dtype_size(o->type);
    void *table = mem_aligned(bytes);

    if (table == NULL) {
        return mem_raise(e, "table of pixel values", bytes);
    }
    for (size_t c = 0; c < (size_t)o->c_in; c++) {
        for (size_t u = 0; u < 256; u++) {
            float v = ((float)u / 255.0f - o->mean[c]) / o->std[c];

            cpu_put(table, c * 256 + u, o->type == DT_BF16, v);
        }
    }
    *out = table;
    return RC_OK;
}

/* The table's values of n pixels; type and channels are constants where this is inlined. */
CPU_INLINE void look_up(const void *table, const uint8_t *pixels, void *y, size_t n, size_t c_in,
                        size_t c_out, bool bf16)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < c_in; c++) {
            size_t from = c * 256 + pixels[i * c_in + c], to = i * c_out + c;

            if (bf16) {
                ((uint16_t *)y)[to] = ((const uint16_t *)table)[from];
            } else {
                ((float *)y)[to] = ((const float *)table)[from];
            }
        }
        for (size_t c = c_in; c < c_out; c++) {
            cpu_put(y, i * c_out + c, bf16, 0.0f);
        }
    }
}

static void look_up_chunk(const struct op_normalize *o, const void *table, const uint8_t *pixels,
                          void *y, size_t n)
{
    bool bf16 = o->type == DT_BF16;

    if (o->c_in == 3 && o->c_out == 3 && bf16) {
        look_up(table, pixels, y, n, 3, 3, true);
    } else if (o->c_in == 3 && o->c_out == 3) {
        look_up(table, pixels, y, n, 3, 3, false);
    } else if (o->c_in == 1 && o->c_out == 1 && bf16) {
        look_up(table, pixels, y, n, 1, 1, true);
    } else if (o->c_in == 1 && o->c_out == 1) {
        look_up(table, pixels, y, n, 1, 1, false);
    } else {
        look_up(table, pixels, y, n, (size_t)o->c_in, (size_t)o->c_out, bf16);
    }
}

/* pixels, y */
static void run_normalize(const struct cpu_plan *p, void *scratch, void *const args[])
{
    const struct op_normalize *o = &p->base.op.u.normalize;
    size_t total = (size_t)o->n * (size_t)o->h * (size_t)o->w;
    size_t chunk = 4096, chunks = (total + chunk - 1) / chunk;

    (void)scratch;
#pragma omp parallel for schedule(static) if (total > CPU_SERIAL)
    for (size_t i = 0; i < chunks; i++) {
        size_t at = i * chunk;

        look_up_chunk(o, p->table, (const uint8_t *)args[0] + at * (size_t)o->c_in,
                      cpu_at(args[1], o->type, at * (size_t)o->c_out),
                      cpu_chunk_len(total, at, chunk));
    }
}

const struct cpu_kernel cpu_loss_softmax_ce = {.run = run_softmax_ce};
const struct cpu_kernel cpu_loss_normalize = {.run = run_normalize};

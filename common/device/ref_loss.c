#include <math.h>

#include "common/device/ref_impl.h"

/* log of the sum of exponentials of a row, from its largest logit */
static double log_sum_exp(const struct op_loss *o, const void *logits, size_t row)
{
    size_t k = (size_t)o->classes;
    double most = ref_get(logits, o->type, row * k), sum = 0;

    for (size_t i = 1; i < k; i++) {
        most = fmax(most, ref_get(logits, o->type, row * k + i));
    }
    for (size_t i = 0; i < k; i++) {
        sum += exp(ref_get(logits, o->type, row * k + i) - most);
    }
    return most + log(sum);
}

/* logits, target, weight, loss, dlogits, prob; with p = softmax(logits):
 * loss = weight * -sum target*log p; dlogits = weight * (p * sum target - target) */
void ref_softmax_ce(const struct ref_plan *p, void *const args[])
{
    const struct op_loss *o = &p->base.op.u.loss;
    size_t k = (size_t)o->classes;

    for (size_t n = 0; n < (size_t)o->n; n++) {
        double lse = log_sum_exp(o, args[0], n), weight = ref_f32(args[2], n);
        double loss = 0, mass = 0;

        for (size_t i = n * k; i < (n + 1) * k; i++) {
            double t = ref_f32(args[1], i);

            mass += t;
            loss -= t != 0 ? t * (ref_get(args[0], o->type, i) - lse) : 0;
        }
        ((float *)args[3])[n] = (float)(weight * loss);
        for (size_t i = n * k; i < (n + 1) * k; i++) {
            double q = exp(ref_get(args[0], o->type, i) - lse);

            if (args[4] != NULL) {
                ref_put(args[4], o->type, i, weight * (q * mass - ref_f32(args[1], i)));
            }
            if (args[5] != NULL) {
                ((float *)args[5])[i] = (float)q;
            }
        }
    }
}

/* pixels, y: (u/255 - mean) / std in single precision, each step rounded, as timm does */
void ref_normalize(const struct ref_plan *p, void *const args[])
{
    const struct op_normalize *o = &p->base.op.u.normalize;
    size_t pixels = (size_t)o->n * (size_t)o->h * (size_t)o->w;

    for (size_t i = 0; i < pixels; i++) {
        for (size_t c = 0; c < (size_t)o->c_out; c++) {
            float y = 0;

            if (c < (size_t)o->c_in) {
                y = (float)((const uint8_t *)args[0])[i * (size_t)o->c_in + c] / 255.0f;
                y = (y - o->mean[c]) / o->std[c];
            }
            ref_put(args[1], o->type, i * (size_t)o->c_out + c, (double)y);
        }
    }
}

/* w, g, momentum, ema, {lr, wd, grad_scale, decay} */
void ref_sgd(const struct ref_plan *p, void *const args[])
{
    const struct op_sgd *o = &p->base.op.u.sgd;
    float *w = args[0], *m = args[2], *ema = args[3];
    double lr = ref_f32(args[4], 0), wd = ref_f32(args[4], 1);
    double scale = ref_f32(args[4], 2), decay = ref_f32(args[4], 3);
    double mu = (double)o->momentum;

    for (size_t i = 0; i < o->n; i++) {
        double g = ref_f32(args[1], i) * scale + wd * (double)w[i];
        double v = mu * (double)m[i] + g;
        double next = (double)w[i] - lr * (o->nesterov ? g + mu * v : v);

        m[i] = (float)v;
        w[i] = (float)next;
        if (ema != NULL) {
            ema[i] = (float)((double)ema[i] + (1 - decay) * (next - (double)ema[i]));
        }
    }
}

/* x, y */
void ref_squares(const struct ref_plan *p, void *const args[])
{
    double sum = 0;

    for (size_t i = 0; i < p->base.op.u.squares.n; i++) {
        sum += ref_f32(args[0], i) * ref_f32(args[0], i);
    }
    *(double *)args[1] = sum;
}

#include <math.h>

#include "common/device/ref_impl.h"

static size_t count(const struct op_map *o)
{
    return (size_t)o->n * (size_t)o->h * (size_t)o->w * (size_t)o->c;
}

/* What a BN forward leaves for its backward: (c) each. */
struct bn_saved {
    double *mean, *rstd, *beta;
};

static struct bn_saved bn_saved_at(void *p, int c)
{
    double *d = p;

    return (struct bn_saved){d, d + c, d + 2 * (size_t)c};
}

/* mean and biased variance of channel c over (n, h, w), in two passes */
static void bn_statistics(const struct op_map *o, const void *x, size_t c, double *mean,
                          double *var)
{
    size_t total = count(o), step = (size_t)o->c;
    double sum = 0, square = 0, m = (double)(total / step);

    for (size_t i = c; i < total; i += step) {
        sum += ref_get(x, o->type, i);
    }
    *mean = sum / m;
    for (size_t i = c; i < total; i += step) {
        double d = ref_get(x, o->type, i) - *mean;

        square += d * d;
    }
    *var = square / m;
}

/* x, gamma, beta, y, mean, var, saved: y = act(gamma * (x - mean) / sqrt(var + eps) + beta) */
void ref_bn_act(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    struct bn_saved s = bn_saved_at(args[6], o->c);

    for (size_t c = 0; c < (size_t)o->c; c++) {
        double var, gamma = ref_f32(args[1], c);

        bn_statistics(o, args[0], c, &s.mean[c], &var);
        s.rstd[c] = 1 / sqrt(var + (double)o->eps);
        s.beta[c] = ref_f32(args[2], c);
        ((float *)args[4])[c] = (float)s.mean[c];
        ((float *)args[5])[c] = (float)var;
        for (size_t i = c; i < count(o); i += (size_t)o->c) {
            double xhat = (ref_get(args[0], o->type, i) - s.mean[c]) * s.rstd[c];
            double y = gamma * xhat + s.beta[c];

            ref_put(args[3], o->type, i, o->relu && y < 0 ? 0 : y);
        }
    }
}

/* x, dy, gamma, saved, dx, dgamma, dbeta; with g = dy * (y > 0) and m = n*h*w:
 * dbeta += sum g; dgamma += sum g*xhat; dx = gamma * rstd * (g - dbeta/m - xhat * dgamma/m) */
void ref_bn_act_bwd(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    struct bn_saved s = bn_saved_at(args[3], o->c);
    size_t total = count(o), step = (size_t)o->c;
    double m = (double)(total / step);

    for (size_t c = 0; c < step; c++) {
        double gamma = ref_f32(args[2], c), sum_g = 0, sum_gx = 0;

        for (int pass = 0; pass < 2; pass++) {
            for (size_t i = c; i < total; i += step) {
                double xhat = (ref_get(args[0], o->type, i) - s.mean[c]) * s.rstd[c];
                bool off = o->relu && gamma * xhat + s.beta[c] <= 0;
                double g = off ? 0 : ref_get(args[1], o->type, i);

                if (pass == 0) {
                    sum_g += g;
                    sum_gx += g * xhat;
                } else {
                    ref_put(args[4], o->type, i,
                            gamma * s.rstd[c] * (g - sum_g / m - xhat * sum_gx / m));
                }
            }
        }
        ref_add_f32(args[5], c, sum_gx);
        ref_add_f32(args[6], c, sum_g);
    }
}

/* x, scale, shift, y */
void ref_bn_infer(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;

    for (size_t i = 0; i < count(o); i++) {
        size_t c = i % (size_t)o->c;
        double y = ref_f32(args[1], c) * ref_get(args[0], o->type, i) + ref_f32(args[2], c);

        ref_put(args[3], o->type, i, o->relu && y < 0 ? 0 : y);
    }
}

/* gate[n,c] and keep[n], 1 where they are not given */
static double gate_at(const struct op_map *o, const void *gate, size_t n, size_t c)
{
    return o->with_gate ? ref_get(gate, o->type, n * (size_t)o->c + c) : 1;
}

static double keep_at(const struct op_map *o, const void *keep, size_t n)
{
    return o->with_keep ? ref_f32(keep, n) : 1;
}

/* x, shortcut, gate, keep, y: y = relu(gate * keep * x + shortcut) */
void ref_gate_add_act(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t image = (size_t)o->h * (size_t)o->w * (size_t)o->c;

    for (size_t i = 0; i < count(o); i++) {
        size_t n = i / image;
        double y = gate_at(o, args[2], n, i % (size_t)o->c) * keep_at(o, args[3], n) *
                       ref_get(args[0], o->type, i) +
                   ref_get(args[1], o->type, i);

        ref_put(args[4], o->type, i, y < 0 ? 0 : y);
    }
}

/* x, y, dy, gate, keep, dx, dshortcut, dgate; with g = dy * (y > 0):
 * dx = gate * keep * g; dshortcut = g; dgate[n,c] = keep * sum_{h,w} x * g */
void ref_gate_add_act_bwd(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t image = (size_t)o->h * (size_t)o->w * (size_t)o->c;

    for (size_t n = 0; n < (size_t)o->n; n++) {
        for (size_t c = 0; c < (size_t)o->c; c++) {
            double keep = keep_at(o, args[4], n), gate = gate_at(o, args[3], n, c), sum = 0;

            for (size_t i = n * image + c; i < (n + 1) * image; i += (size_t)o->c) {
                double g = ref_get(args[1], o->type, i) > 0 ? ref_get(args[2], o->type, i) : 0;

                sum += ref_get(args[0], o->type, i) * g;
                ref_put(args[5], o->type, i, gate * keep * g);
                ref_put(args[6], o->type, i, g);
            }
            if (o->with_gate) {
                ref_put(args[7], o->type, n * (size_t)o->c + c, keep * sum);
            }
        }
    }
}

/* y, dy, dx */
void ref_relu_bwd(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;

    for (size_t i = 0; i < count(o); i++) {
        ref_put(args[2], o->type, i,
                ref_get(args[0], o->type, i) > 0 ? ref_get(args[1], o->type, i) : 0);
    }
}

void ref_sigmoid(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;

    for (size_t i = 0; i < count(o); i++) {
        ref_put(args[1], o->type, i, 1 / (1 + exp(-ref_get(args[0], o->type, i))));
    }
}

/* y, dy, dx */
void ref_sigmoid_bwd(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;

    for (size_t i = 0; i < count(o); i++) {
        double y = ref_get(args[0], o->type, i);

        ref_put(args[2], o->type, i, ref_get(args[1], o->type, i) * y * (1 - y));
    }
}

/* x, m, y */
void ref_mul_row(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;

    for (size_t i = 0; i < count(o); i++) {
        ref_put(args[2], o->type, i, ref_get(args[0], o->type, i) * ref_f32(args[1], i));
    }
}

/* a, b, y */
void ref_add(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;

    for (size_t i = 0; i < count(o); i++) {
        ref_put(args[2], o->type, i, ref_get(args[0], o->type, i) + ref_get(args[1], o->type, i));
    }
}

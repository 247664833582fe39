#include <math.h>

#include "common/device/ref_impl.h"

/* u8(v) and s8(v): nearest, ties to even, clamped. */
static uint8_t to_u8(double v)
{
    return (uint8_t)fmin(fmax(rint(v), 0), 255);
}

static int8_t to_s8(double v)
{
    return (int8_t)fmin(fmax(rint(v), -128), 127);
}

/* An 8-bit value as the integer that it is. */
static int get(const void *p, enum dtype t, size_t i)
{
    return t == DT_U8 ? ((const uint8_t *)p)[i] : ((const int8_t *)p)[i];
}

/* sum over the taps and channels of one output value */
static int64_t dot(const struct op_conv *o, const uint8_t *x, const int8_t *w, int n, int oy,
                   int ox)
{
    int64_t sum = 0;

    for (int ky = 0; ky < o->r; ky++) {
        for (int kx = 0; kx < o->r; kx++) {
            int iy = oy * o->stride + ky - o->pad, ix = ox * o->stride + kx - o->pad;
            size_t tap = (size_t)(ky * o->r + kx) * (size_t)o->c;

            if (iy >= 0 && ix >= 0 && iy < o->h && ix < o->w) {
                size_t at = (((size_t)n * (size_t)o->h + (size_t)iy) * (size_t)o->w + (size_t)ix) *
                            (size_t)o->c;

                for (size_t c = 0; c < (size_t)o->c; c++) {
                    sum += (int64_t)x[at + c] * w[tap + c];
                }
            }
        }
    }
    return sum;
}

/* v[n,oy,ox,k] = bias[k] + step[k] * sum_{ky,kx,c} x[n, oy*s+ky-p, ox*s+kx-p, c] * q[k,ky,kx,c] */
void ref_conv_q(const struct ref_plan *p, void *const args[])
{
    const struct op_conv *o = &p->base.op.u.conv;
    int oh = device_op_conv_out(o, o->h), ow = device_op_conv_out(o, o->w);
    size_t per_k = (size_t)o->r * (size_t)o->r * (size_t)o->c, at = 0;

    for (int n = 0; n < o->n; n++) {
        for (int i = 0; i < oh * ow; i++) {
            for (size_t k = 0; k < (size_t)o->k; k++, at++) {
                double sum = (double)dot(o, args[0], p->q + k * per_k, n, i / ow, i % ow);
                double v = (double)p->bias[k] + (double)p->step[k] * sum;

                if (o->relu) {
                    ((uint8_t *)args[1])[at] = to_u8(v);
                } else {
                    ((int8_t *)args[1])[at] = to_s8(v);
                }
            }
        }
    }
}

/* x, scale, y */
void ref_quantize(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t n = (size_t)o->n * (size_t)o->h * (size_t)o->w * (size_t)o->c;

    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)args[2])[i] =
            to_u8(ref_f32(args[1], i % (size_t)o->c) * ref_get(args[0], o->type, i));
    }
}

/* x, y: the mean of the up to four pixels that there are */
void ref_avg_pool2_q(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t h = (size_t)o->h, w = (size_t)o->w, c = (size_t)o->c, oh = (h + 1) / 2, ow = (w + 1) / 2;

    for (size_t i = 0; i < (size_t)o->n * oh * ow * c; i++) {
        size_t n = i / (oh * ow * c), y = 2 * (i / (ow * c) % oh), x = 2 * (i / c % ow);
        double sum = 0, count = 0;

        for (size_t j = y; j < h && j < y + 2; j++) {
            for (size_t k = x; k < w && k < x + 2; k++, count++) {
                sum += ((const uint8_t *)args[0])[((n * h + j) * w + k) * c + i % c];
            }
        }
        ((uint8_t *)args[1])[i] = to_u8(sum / count);
    }
}

/* x, scale, y */
void ref_global_pool_q(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t c = (size_t)o->c, pixels = (size_t)o->h * (size_t)o->w;

    for (size_t i = 0; i < (size_t)o->n * c; i++) {
        double sum = 0;

        for (size_t q = 0; q < pixels; q++) {
            sum += get(args[0], o->type, (i / c * pixels + q) * c + i % c);
        }
        ((float *)args[2])[i] = (float)(ref_f32(args[1], i % c) * sum / (double)pixels);
    }
}

/* x, shortcut, gate, a, b, y: y = u8(a * gate * x + b * shortcut) */
void ref_gate_add_act_q(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t c = (size_t)o->c, image = (size_t)o->h * (size_t)o->w * c;

    for (size_t i = 0; i < (size_t)o->n * image; i++) {
        double gate = ref_f32(args[2], i / image * c + i % c);
        double v = ref_f32(args[3], i % c) * gate * get(args[0], o->type, i) +
                   ref_f32(args[4], i % c) * get(args[1], o->shortcut, i);

        ((uint8_t *)args[5])[i] = to_u8(v);
    }
}

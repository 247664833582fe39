#include "common/device/ref_impl.h"

/* Index of (n, y, x, 0) in an (n, h, w, c) tensor. */
static size_t pixel(int n, int y, int x, int h, int w, int c)
{
    return (((size_t)n * (size_t)h + (size_t)y) * (size_t)w + (size_t)x) * (size_t)c;
}

static bool inside(int y, int x, int h, int w)
{
    return y >= 0 && y < h && x >= 0 && x < w;
}

/* sum over the taps and channels of one output value */
static double dot(const struct op_conv *o, const void *x, const float *w, int n, int oy, int ox)
{
    double sum = 0;

    for (int ky = 0; ky < o->r; ky++) {
        for (int kx = 0; kx < o->r; kx++) {
            int iy = oy * o->stride + ky - o->pad, ix = ox * o->stride + kx - o->pad;
            size_t tap = (size_t)(ky * o->r + kx) * (size_t)o->c_weights;

            if (inside(iy, ix, o->h, o->w)) {
                size_t at = pixel(n, iy, ix, o->h, o->w, o->c);

                for (size_t c = 0; c < (size_t)o->c_weights; c++) {
                    sum += ref_get(x, o->type, at + c) * (double)w[tap + c];
                }
            }
        }
    }
    return sum;
}

/* y[n,oy,ox,k] = act(bias[k] + sum_{ky,kx,c} x[n, oy*s+ky-p, ox*s+kx-p, c] * w[k,ky,kx,c]) */
void ref_conv(const struct ref_plan *p, void *const args[])
{
    const struct op_conv *o = &p->base.op.u.conv;
    int oh = device_op_conv_out(o, o->h), ow = device_op_conv_out(o, o->w);
    size_t per_k = (size_t)o->r * (size_t)o->r * (size_t)o->c_weights;
    enum dtype type = device_op_conv_type(o);

    for (int n = 0; n < o->n; n++) {
        for (int oy = 0; oy < oh; oy++) {
            for (int ox = 0; ox < ow; ox++) {
                for (size_t k = 0; k < (size_t)o->k; k++) {
                    double y =
                        (double)p->bias[k] + dot(o, args[0], p->weights + k * per_k, n, oy, ox);

                    ref_put(args[1], type, pixel(n, oy, ox, oh, ow, o->k) + k,
                            o->relu && y < 0 ? 0 : y);
                }
            }
        }
    }
}

/* The output pixel whose tap (ky, kx) reads input pixel (y, x), if there is one. */
static bool output_of(const struct op_conv *o, int y, int x, int ky, int kx, int *oy, int *ox)
{
    int sy = y + o->pad - ky, sx = x + o->pad - kx;

    *oy = sy / o->stride;
    *ox = sx / o->stride;
    return sy >= 0 && sx >= 0 && sy % o->stride == 0 && sx % o->stride == 0 &&
           inside(*oy, *ox, device_op_conv_out(o, o->h), device_op_conv_out(o, o->w));
}

static double dot_back(const struct ref_plan *p, const void *dy, int n, int y, int x, size_t c)
{
    const struct op_conv *o = &p->base.op.u.conv;
    int oh = device_op_conv_out(o, o->h), ow = device_op_conv_out(o, o->w), oy, ox;
    size_t per_k = (size_t)o->r * (size_t)o->r * (size_t)o->c_weights;
    double sum = 0;

    for (int ky = 0; ky < o->r; ky++) {
        for (int kx = 0; kx < o->r; kx++) {
            size_t tap = (size_t)(ky * o->r + kx) * (size_t)o->c_weights;

            if (output_of(o, y, x, ky, kx, &oy, &ox)) {
                size_t at = pixel(n, oy, ox, oh, ow, o->k);

                for (size_t k = 0; k < (size_t)o->k; k++) {
                    sum += ref_get(dy, o->type, at + k) * (double)p->weights[k * per_k + tap + c];
                }
            }
        }
    }
    return sum;
}

/* dx[n,y,x,c] = sum over k and the taps that read it of dy[n,oy,ox,k] * w[k,ky,kx,c] */
void ref_conv_bwd_data(const struct ref_plan *p, void *const args[])
{
    const struct op_conv *o = &p->base.op.u.conv;

    for (int n = 0; n < o->n; n++) {
        for (int y = 0; y < o->h; y++) {
            for (int x = 0; x < o->w; x++) {
                for (size_t c = 0; c < (size_t)o->c; c++) {
                    ref_put(args[1], o->type, pixel(n, y, x, o->h, o->w, o->c) + c,
                            c < (size_t)o->c_weights ? dot_back(p, args[0], n, y, x, c) : 0);
                }
            }
        }
    }
}

static double tap_grad(const struct op_conv *o, const void *x, const void *dy, size_t k, int ky,
                       int kx, size_t c)
{
    int oh = device_op_conv_out(o, o->h), ow = device_op_conv_out(o, o->w);
    double sum = 0;

    for (int n = 0; n < o->n; n++) {
        for (int oy = 0; oy < oh; oy++) {
            for (int ox = 0; ox < ow; ox++) {
                int iy = oy * o->stride + ky - o->pad, ix = ox * o->stride + kx - o->pad;

                if (inside(iy, ix, o->h, o->w)) {
                    sum += ref_get(x, o->type, pixel(n, iy, ix, o->h, o->w, o->c) + c) *
                           ref_get(dy, o->type, pixel(n, oy, ox, oh, ow, o->k) + k);
                }
            }
        }
    }
    return sum;
}

/* dw[k,ky,kx,c] += sum_{n,oy,ox} x[n, oy*s+ky-p, ox*s+kx-p, c] * dy[n,oy,ox,k];
 * db[k] += sum_{n,oy,ox} dy[n,oy,ox,k] */
void ref_conv_bwd_weights(const struct ref_plan *p, void *const args[])
{
    const struct op_conv *o = &p->base.op.u.conv;
    size_t pixels =
        (size_t)o->n * (size_t)device_op_conv_out(o, o->h) * (size_t)device_op_conv_out(o, o->w);

    for (size_t k = 0, i = 0; k < (size_t)o->k; k++) {
        double sum = 0;

        for (int ky = 0; ky < o->r; ky++) {
            for (int kx = 0; kx < o->r; kx++) {
                for (size_t c = 0; c < (size_t)o->c_weights; c++, i++) {
                    ref_add_f32(args[2], i, tap_grad(o, args[0], args[1], k, ky, kx, c));
                }
            }
        }
        if (o->with_bias) {
            for (size_t q = 0; q < pixels; q++) {
                sum += ref_get(args[1], o->type, q * (size_t)o->k + k);
            }
            ref_add_f32(args[3], k, sum);
        }
    }
}

#include "common/device/ref_impl.h"

static size_t at(const struct op_map *o, int n, int y, int x, int h, int w)
{
    return (((size_t)n * (size_t)h + (size_t)y) * (size_t)w + (size_t)x) * (size_t)o->c;
}

/* How many input pixels output pixel (y, x) averages: 4, fewer on an odd edge. */
static int window(const struct op_map *o, int y, int x)
{
    return (2 * y + 1 < o->h ? 2 : 1) * (2 * x + 1 < o->w ? 2 : 1);
}

/* y[n,y,x,c] = mean of the input pixels (2y..2y+1, 2x..2x+1) that exist */
void ref_avg_pool2(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    int oh = (o->h + 1) / 2, ow = (o->w + 1) / 2;

    for (int n = 0; n < o->n; n++) {
        for (int y = 0; y < oh; y++) {
            for (int x = 0; x < ow; x++) {
                for (size_t c = 0; c < (size_t)o->c; c++) {
                    double sum = 0;

                    for (int i = 2 * y; i < 2 * y + 2 && i < o->h; i++) {
                        for (int j = 2 * x; j < 2 * x + 2 && j < o->w; j++) {
                            sum += ref_get(args[0], o->type, at(o, n, i, j, o->h, o->w) + c);
                        }
                    }
                    ref_put(args[1], o->type, at(o, n, y, x, oh, ow) + c, sum / window(o, y, x));
                }
            }
        }
    }
}

/* dx[n,i,j,c] = dy[n,i/2,j/2,c] / pixels of that window */
void ref_avg_pool2_bwd(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    int oh = (o->h + 1) / 2, ow = (o->w + 1) / 2;

    for (int n = 0; n < o->n; n++) {
        for (int i = 0; i < o->h; i++) {
            for (int j = 0; j < o->w; j++) {
                for (size_t c = 0; c < (size_t)o->c; c++) {
                    double dy = ref_get(args[0], o->type, at(o, n, i / 2, j / 2, oh, ow) + c);

                    ref_put(args[1], o->type, at(o, n, i, j, o->h, o->w) + c,
                            dy / window(o, i / 2, j / 2));
                }
            }
        }
    }
}

/* y[n,c] = mean over (h, w) */
void ref_global_pool(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t pixels = (size_t)o->h * (size_t)o->w, channels = (size_t)o->c;

    for (size_t n = 0; n < (size_t)o->n; n++) {
        for (size_t c = 0; c < channels; c++) {
            double sum = 0;

            for (size_t i = 0; i < pixels; i++) {
                sum += ref_get(args[0], o->type, (n * pixels + i) * channels + c);
            }
            ref_put(args[1], o->type, n * channels + c, sum / (double)pixels);
        }
    }
}

/* dx[n,h,w,c] = dy[n,c] / (h * w) */
void ref_global_pool_bwd(const struct ref_plan *p, void *const args[])
{
    const struct op_map *o = &p->base.op.u.map;
    size_t pixels = (size_t)o->h * (size_t)o->w, channels = (size_t)o->c;

    for (size_t i = 0; i < (size_t)o->n * pixels * channels; i++) {
        size_t n = i / (pixels * channels), c = i % channels;

        ref_put(args[1], o->type, i, ref_get(args[0], o->type, n * channels + c) / (double)pixels);
    }
}

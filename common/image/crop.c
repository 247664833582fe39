/* The evaluation transform of timm: resize the short side, crop the centre (zeros where it is
 * smaller), on no more of the file than the crop needs. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/image/image_impl.h"

enum { CROP_MAX_SIZE = 8192 };

static int crop_short_side(const struct image_eval *p)
{
    return (int)floor(p->size / p->crop_pct);
}

void image_eval_fingerprint(const struct image_eval *p, char *buf, size_t size)
{
    (void)snprintf(
        buf, size, "jpeg=islow,fancy,%s resize=pillow13-%s,short=%d crop=centre,%d channels=%d",
        p->reduced_dct ? "reduced" : "full", p->filter == IMAGE_BICUBIC ? "bicubic" : "bilinear",
        crop_short_side(p), p->size, p->channels);
}

/* One axis of torchvision's CenterCrop: where the crop starts in the image (*from), where the image
 * lands in the output (*at), how many pixels are copied. */
static int crop_axis(int have, int size, int *from, int *at)
{
    *from = have > size ? (int)rint((have - size) / 2.0) : 0;
    *at = have < size ? (size - have) / 2 : 0;
    return have < size ? have : size;
}

int crop_denominator(int w, int h, int out_w, int out_h)
{
    int d = 8;

    while (d > 1 && ((w + d - 1) / d < out_w || (h + d - 1) / d < out_h)) {
        d /= 2;
    }
    return d;
}

static enum rc crop_check(const struct image_eval *p, struct err *e)
{
    if (p->size < 1 || !(p->crop_pct > 0.0) || p->size / p->crop_pct > CROP_MAX_SIZE ||
        p->size / p->crop_pct < 1.0 || (p->channels != 1 && p->channels != 3)) {
        return err_raise(e, RC_INVAL,
                         "preprocessing to %d px, crop %g, %d channels: expected 1 to %d px after "
                         "the resize, 1 or 3 channels",
                         p->size, p->crop_pct, p->channels, CROP_MAX_SIZE);
    }
    return RC_OK;
}

enum rc image_eval_file(struct codec *k, const struct image_eval *p, const void *data, size_t bytes,
                        uint8_t *out, enum image_reason *why, struct err *e)
{
    struct input in = {data, bytes};
    struct resize_window win = {.filter = p->filter};
    struct jpeg_want want = {.denom = 1, .to_end = true};
    struct raster r = {0};
    enum image_format format = IMAGE_UNKNOWN;
    int w = 0;
    int h = 0;
    int need[4] = {0};
    int at[2] = {0};
    size_t stride = (size_t)p->size * (size_t)p->channels;
    int short_side = 0;
    enum rc rc = RC_OK;

    *why = IMAGE_OK;
    rc = crop_check(p, e);
    if (rc == RC_OK) {
        rc = decode_probe(in, &format, &w, &h, why, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    short_side = crop_short_side(p);
    win.out_w = w <= h ? short_side : (int)((int64_t)short_side * w / h);
    win.out_h = w <= h ? (int)((int64_t)short_side * h / w) : short_side;
    win.w = crop_axis(win.out_w, p->size, &win.x, &at[0]);
    win.h = crop_axis(win.out_h, p->size, &win.y, &at[1]);
    if (p->reduced_dct && format == IMAGE_JPEG) {
        want.denom = crop_denominator(w, h, win.out_w, win.out_h);
    }
    win.box[2] = (double)w / want.denom;
    win.box[3] = (double)h / want.denom;
    rc = resize_needs(k, (w + want.denom - 1) / want.denom, (h + want.denom - 1) / want.denom, &win,
                      need, e);
    if (rc != RC_OK) {
        return rc;
    }
    want.x0 = need[0];
    want.y0 = need[1];
    want.x1 = need[2];
    want.y1 = need[3];
    rc = decode_raster(k, in, p->channels, &want, &r, why, e);
    if (rc != RC_OK) {
        return rc;
    }
    if (win.w < p->size || win.h < p->size) {
        memset(out, 0, stride * (size_t)p->size);
    }
    return resize_raster(k, &r, &win, out + (size_t)at[1] * stride + (size_t)(at[0] * p->channels),
                         stride, e);
}

/* Training noise: the crop, the flip, the layers of RandAugment, the cutout. */
#include <math.h>
#include <string.h>

#include "common/image/augment_impl.h"

enum { AUGMENT_TRIES = 10, AUGMENT_MAX_SIZE = 8192 };

void augment_default(struct augment *a)
{
    *a = (struct augment){
        .size = 160,
        .channels = 3,
        .crop = AUG_CROP_RRC,
        .area_min = 0.08,
        .area_max = 1.0,
        .aspect_min = 3.0 / 4.0,
        .aspect_max = 4.0 / 3.0,
        .filter = IMAGE_BICUBIC,
        .crop_pct = 1.0,
        .flip = 0.5,
        .layers = 2,
        .magnitude = 10,
        .op_prob = 1.0,
        .flavor = AUG_TF,
        .ops = (1U << AUG_OP_N) - 1,
        .cutout_const = 40,
        .fill = -1,
    };
}

static enum rc augment_check(const struct augment *a, struct err *e)
{
    const char *wrong = NULL;

    if (a->size < 1 || a->size > AUGMENT_MAX_SIZE) {
        wrong = "size";
    } else if (a->channels != 1 && a->channels != 3) {
        wrong = "channels";
    } else if (a->layers > 0 && (a->ops == 0 || a->ops >> AUG_OP_N != 0)) {
        wrong = "operations";
    } else if (a->crop == AUG_CROP_RRC &&
               !(a->area_min > 0 && a->area_min <= a->area_max && a->area_max <= 1 &&
                 a->aspect_min > 0 && a->aspect_min <= a->aspect_max)) {
        wrong = "area or aspect";
    } else if (a->fill > 255) {
        wrong = "fill";
    }
    return wrong == NULL ? RC_OK : err_raise(e, RC_INVAL, "noise: out of range: %s", wrong);
}

static double augment_uniform(struct rng *r, double lo, double hi)
{
    return lo + (hi - lo) * rng_f64(r);
}

/* torchvision's RandomResizedCrop: area uniform, aspect log-uniform, ten tries, then the largest
 * centred crop whose aspect is in range. */
struct augment_box augment_draw_crop(const struct augment *a, int w, int h, struct rng *r)
{
    struct augment_box b = {0, 0, w, h};
    double aspect = (double)w / h;

    for (int i = 0; i < AUGMENT_TRIES; i++) {
        double area = (double)w * h * augment_uniform(r, a->area_min, a->area_max);
        double ratio = exp(augment_uniform(r, log(a->aspect_min), log(a->aspect_max)));
        double cw = rint(sqrt(area * ratio));
        double ch = rint(sqrt(area / ratio));

        if (cw >= 1 && cw <= w && ch >= 1 && ch <= h) {
            b.w = (int)cw;
            b.h = (int)ch;
            b.y = (int)rng_below(r, (uint32_t)(h - b.h + 1));
            b.x = (int)rng_below(r, (uint32_t)(w - b.w + 1));
            return b;
        }
    }
    if (aspect < a->aspect_min) {
        b.h = (int)rint(w / a->aspect_min);
    } else if (aspect > a->aspect_max) {
        b.w = (int)rint(h * a->aspect_max);
    }
    b.w = b.w > w ? w : b.w;
    b.h = b.h > h ? h : b.h;
    b.y = (h - b.h) / 2;
    b.x = (w - b.w) / 2;
    return b;
}

/* Decode what the crop needs and resize it: the crop is cut first, so nothing outside it is seen. */
static enum rc augment_crop(struct codec *k, const struct augment *a, struct input in,
                            struct rng *r, uint8_t *out, enum image_reason *why, struct err *e)
{
    struct resize_window win = {.out_w = a->size,
                                .out_h = a->size,
                                .w = a->size,
                                .h = a->size,
                                .filter = a->filter,
                                .once = true};
    struct jpeg_want want = {.denom = 1};
    struct raster src = {0};
    struct augment_box b;
    enum image_format format = IMAGE_UNKNOWN;
    int w = 0;
    int h = 0;
    int d = 1;
    enum rc rc = decode_probe(in, &format, &w, &h, why, e);

    if (rc != RC_OK) {
        return rc;
    }
    b = augment_draw_crop(a, w, h, r);
    d = format == IMAGE_JPEG ? crop_denominator(b.w, b.h, a->size, a->size) : 1;
    want.denom = d;
    want.x0 = b.x / d;
    want.y0 = b.y / d;
    want.x1 = (b.x + b.w + d - 1) / d;
    want.y1 = (b.y + b.h + d - 1) / d;
    rc = decode_raster(k, in, a->channels, &want, &src, why, e);
    if (rc != RC_OK) {
        return rc;
    }
    win.box[0] = (double)b.x / d - want.x0;
    win.box[1] = (double)b.y / d - want.y0;
    win.box[2] = (double)(b.x + b.w) / d - want.x0;
    win.box[3] = (double)(b.y + b.h) / d - want.y0;
    src.x -= want.x0;
    src.y -= want.y0;
    src.full_w = want.x1 - want.x0;
    src.full_h = want.y1 - want.y0;
    return resize_raster(k, &src, &win, out, (size_t)a->size * (size_t)a->channels, e);
}

static void augment_last_cutout(const struct augment *a, struct rng *r, struct image *img)
{
    uint8_t colour[3];
    bool apply = rng_f64(r) < a->cutout_prob;
    int x = (int)rng_below(r, (uint32_t)img->w) - a->cutout_px / 2;
    int y = (int)rng_below(r, (uint32_t)img->h) - a->cutout_px / 2;

    if (apply) {
        randaugment_colour(a, img->c, colour);
        pixel_fill(img, x, y, x + a->cutout_px, y + a->cutout_px, colour);
    }
}

enum rc augment_file(struct codec *k, const struct augment *a, const void *data, size_t bytes,
                     struct rng *r, uint8_t *out, enum image_reason *why, struct err *e)
{
    struct input in = {data, bytes};
    struct image img = {.pixels = out, .w = a->size, .h = a->size, .c = a->channels};
    struct image_eval eval = {
        .size = a->size, .channels = a->channels, .crop_pct = a->crop_pct, .filter = a->filter};
    enum rc rc = RC_OK;

    *why = IMAGE_OK;
    rc = augment_check(a, e);
    if (rc == RC_OK) {
        rc = a->crop == AUG_CROP_RRC ? augment_crop(k, a, in, r, out, why, e)
                                     : image_eval_file(k, &eval, data, bytes, out, why, e);
    }
    if (rc == RC_OK) {
        rc = codec_reserve(&k->aug, pixel_bytes(&img), e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    if (a->crop == AUG_CROP_SHIFT && a->shift_px > 0) {
        int dx = (int)rng_below(r, 2 * (uint32_t)a->shift_px + 1) - a->shift_px;
        int dy = (int)rng_below(r, 2 * (uint32_t)a->shift_px + 1) - a->shift_px;

        pixel_shift(&img, dx, dy, k->aug.p);
    }
    if (rng_f64(r) < a->flip) {
        pixel_flip(&img);
    }
    randaugment_layers(a, r, &img, k->aug.p);
    if (a->cutout_prob > 0 && a->cutout_px > 0) {
        augment_last_cutout(a, r, &img);
    }
    return RC_OK;
}

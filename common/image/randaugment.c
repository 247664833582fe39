/* RandAugment: which operation, how strong, and its dispatch. */
#include <math.h>
#include <string.h>

#include "common/image/augment_impl.h"

enum { RANDAUGMENT_MAX_LEVEL = 10 };

static const char *const randaugment_names[AUG_OP_N] = {
    [AUG_IDENTITY] = "identity",
    [AUG_AUTOCONTRAST] = "autocontrast",
    [AUG_EQUALIZE] = "equalize",
    [AUG_INVERT] = "invert",
    [AUG_ROTATE] = "rotate",
    [AUG_POSTERIZE] = "posterize",
    [AUG_SOLARIZE] = "solarize",
    [AUG_SOLARIZE_ADD] = "solarize_add",
    [AUG_COLOR] = "color",
    [AUG_CONTRAST] = "contrast",
    [AUG_BRIGHTNESS] = "brightness",
    [AUG_SHARPNESS] = "sharpness",
    [AUG_SHEAR_X] = "shear_x",
    [AUG_SHEAR_Y] = "shear_y",
    [AUG_TRANSLATE_X] = "translate_x",
    [AUG_TRANSLATE_Y] = "translate_y",
    [AUG_CUTOUT] = "cutout",
};

const char *augment_op_name(enum augment_op op)
{
    return (unsigned)op < AUG_OP_N ? randaugment_names[op] : "unknown";
}

static uint32_t randaugment_set(const char *name, size_t n)
{
    uint32_t all = (1U << AUG_OP_N) - 1;

    if (n == 3 && strncmp(name, "all", n) == 0) {
        return all;
    }
    if (n == 4 && strncmp(name, "timm", n) == 0) {
        return all & ~(1U << AUG_IDENTITY) & ~(1U << AUG_CUTOUT);
    }
    for (int i = 0; i < AUG_OP_N; i++) {
        if (strlen(randaugment_names[i]) == n && strncmp(name, randaugment_names[i], n) == 0) {
            return 1U << i;
        }
    }
    return 0;
}

enum rc augment_parse_ops(const char *names, uint32_t *ops, struct err *e)
{
    uint32_t set = 0;

    for (const char *p = names;;) {
        size_t n = strcspn(p, ",");
        size_t skip = strspn(p, " ");
        size_t end = n;
        uint32_t one = 0;

        skip = skip < n ? skip : n;
        while (end > skip && p[end - 1] == ' ') {
            end--;
        }
        one = randaugment_set(p + skip, end - skip);
        if (one == 0) {
            return err_raise(e, RC_INVAL,
                             "unknown operation '%.*s' in '%s': expected all, timm or names such "
                             "as rotate,shear_x",
                             (int)(end - skip), p + skip, names);
        }
        set |= one;
        if (p[n] == '\0') {
            break;
        }
        p += n + 1;
    }
    *ops = set;
    return RC_OK;
}

/* ---- arguments ---------------------------------------------------------------------------- */

/* Model Garden's level_to_arg; sign is +1 or -1. */
static double randaugment_tf_argument(const struct augment *a, enum augment_op op, double m,
                                      double sign)
{
    double v = m / RANDAUGMENT_MAX_LEVEL;
    double translate = a->translate_const > 0 ? a->translate_const : 100.0;

    switch (op) {
    case AUG_ROTATE:
        return sign * (v * 30.0);
    case AUG_POSTERIZE:
        return trunc(v * 4);
    case AUG_SOLARIZE:
        return trunc(v * 256);
    case AUG_SOLARIZE_ADD:
        return trunc(v * 110);
    case AUG_COLOR:
    case AUG_CONTRAST:
    case AUG_BRIGHTNESS:
    case AUG_SHARPNESS:
        return v * 1.8 + 0.1;
    case AUG_SHEAR_X:
    case AUG_SHEAR_Y:
        return sign * (v * 0.3);
    case AUG_TRANSLATE_X:
    case AUG_TRANSLATE_Y:
        return sign * (v * translate);
    case AUG_CUTOUT:
        return trunc(v * a->cutout_const);
    case AUG_IDENTITY:
    case AUG_AUTOCONTRAST:
    case AUG_EQUALIZE:
    case AUG_INVERT:
    case AUG_OP_N:
        break;
    }
    return 0.0;
}

/* timm's LEVEL_TO_ARG of the increasing variants. */
static double randaugment_timm_argument(const struct augment *a, enum augment_op op, double m,
                                        double sign)
{
    double v = m / RANDAUGMENT_MAX_LEVEL;

    switch (op) {
    case AUG_POSTERIZE:
        return 4 - trunc(v * 4);
    case AUG_SOLARIZE:
        return 256 - fmin(256, trunc(v * 256));
    case AUG_SOLARIZE_ADD:
        return fmin(128, trunc(v * 110));
    case AUG_COLOR:
    case AUG_CONTRAST:
    case AUG_BRIGHTNESS:
    case AUG_SHARPNESS:
        return fmax(0.1, 1.0 + sign * (v * 0.9));
    case AUG_TRANSLATE_X:
    case AUG_TRANSLATE_Y:
        return sign * (a->translate_const > 0 ? v * a->translate_const : v * 0.45 * a->size);
    case AUG_ROTATE:
    case AUG_SHEAR_X:
    case AUG_SHEAR_Y:
    case AUG_CUTOUT:
    case AUG_IDENTITY:
    case AUG_AUTOCONTRAST:
    case AUG_EQUALIZE:
    case AUG_INVERT:
    case AUG_OP_N:
        break;
    }
    return randaugment_tf_argument(a, op, m, sign);
}

static double randaugment_argument(const struct augment *a, enum augment_op op, double m,
                                   double sign)
{
    return a->flavor == AUG_TF ? randaugment_tf_argument(a, op, m, sign)
                               : randaugment_timm_argument(a, op, m, sign);
}

double augment_argument(const struct augment *a, enum augment_op op, double magnitude)
{
    return randaugment_argument(a, op, magnitude, 1.0);
}

void randaugment_colour(const struct augment *a, int channels, uint8_t colour[3])
{
    static const uint8_t mean[3] = {124, 116, 104};

    if (a->fill < 0 && a->flavor == AUG_TIMM && channels == 3) {
        memcpy(colour, mean, sizeof mean);
    } else {
        memset(colour, a->fill < 0 ? 128 : a->fill, 3);
    }
}

/* ---- dispatch ----------------------------------------------------------------------------- */

struct randaugment_call {
    double arg;
    int center[2];
    uint8_t colour[3];
    uint8_t *spare;
};

static void randaugment_cutout(const struct randaugment_call *c, struct image *img)
{
    int p = (int)c->arg;

    pixel_fill(img, c->center[0] - p, c->center[1] - p, c->center[0] + p, c->center[1] + p,
               c->colour);
}

static void randaugment_tf(const struct randaugment_call *c, enum augment_op op, struct image *img)
{
    float f = (float)c->arg;

    switch (op) {
    case AUG_AUTOCONTRAST:
        tf_autocontrast(img);
        break;
    case AUG_ROTATE:
        tf_rotate(img, c->arg, c->spare);
        break;
    case AUG_POSTERIZE:
        tf_posterize(img, (int)c->arg);
        break;
    case AUG_SOLARIZE:
        pixel_solarize(img, (int)c->arg & 255);
        break;
    case AUG_COLOR:
        tf_color(img, f);
        break;
    case AUG_CONTRAST:
        tf_contrast(img, f);
        break;
    case AUG_SHARPNESS:
        tf_sharpness(img, f, c->spare);
        break;
    case AUG_SHEAR_X:
        tf_transform(img, (const float[6]){1, f, 0, 0, 1, 0}, c->spare);
        break;
    case AUG_SHEAR_Y:
        tf_transform(img, (const float[6]){1, 0, 0, f, 1, 0}, c->spare);
        break;
    case AUG_TRANSLATE_X:
        tf_transform(img, (const float[6]){1, 0, f, 0, 1, 0}, c->spare);
        break;
    case AUG_TRANSLATE_Y:
        tf_transform(img, (const float[6]){1, 0, 0, 0, 1, f}, c->spare);
        break;
    case AUG_IDENTITY:
    case AUG_EQUALIZE:
    case AUG_INVERT:
    case AUG_SOLARIZE_ADD:
    case AUG_BRIGHTNESS:
    case AUG_CUTOUT:
    case AUG_OP_N:
        break;
    }
}

static void randaugment_timm(const struct randaugment_call *c, enum augment_op op,
                             struct image *img)
{
    float f = (float)c->arg;
    int bits = (int)c->arg;

    switch (op) {
    case AUG_AUTOCONTRAST:
        pil_autocontrast(img);
        break;
    case AUG_ROTATE:
        pil_rotate(img, c->arg, c->colour, c->spare);
        break;
    case AUG_POSTERIZE: /* 0 bits: black, as before Pillow refused it */
        pixel_mask(img, (uint8_t)(bits >= 8 ? 0xFF : 0xFF00 >> bits));
        break;
    case AUG_SOLARIZE:
        pixel_solarize(img, (int)c->arg);
        break;
    case AUG_COLOR:
        pil_color(img, f);
        break;
    case AUG_CONTRAST:
        pil_contrast(img, f);
        break;
    case AUG_SHARPNESS:
        pil_sharpness(img, f, c->spare);
        break;
    case AUG_SHEAR_X:
        pil_transform(img, (const double[6]){1, c->arg, 0, 0, 1, 0}, c->colour, c->spare);
        break;
    case AUG_SHEAR_Y:
        pil_transform(img, (const double[6]){1, 0, 0, c->arg, 1, 0}, c->colour, c->spare);
        break;
    case AUG_TRANSLATE_X:
        pil_transform(img, (const double[6]){1, 0, c->arg, 0, 1, 0}, c->colour, c->spare);
        break;
    case AUG_TRANSLATE_Y:
        pil_transform(img, (const double[6]){1, 0, 0, 0, 1, c->arg}, c->colour, c->spare);
        break;
    case AUG_IDENTITY:
    case AUG_EQUALIZE:
    case AUG_INVERT:
    case AUG_SOLARIZE_ADD:
    case AUG_BRIGHTNESS:
    case AUG_CUTOUT:
    case AUG_OP_N:
        break;
    }
}

static void randaugment_apply(const struct randaugment_call *c, enum augment_flavor flavor,
                              enum augment_op op, struct image *img)
{
    switch ((int)op) { /* what both flavors do alike */
    case AUG_EQUALIZE:
        pixel_equalize(img);
        return;
    case AUG_INVERT:
        pixel_invert(img);
        return;
    case AUG_SOLARIZE_ADD:
        pixel_solarize_add(img, (int)c->arg);
        return;
    case AUG_BRIGHTNESS:
        pixel_brightness(img, (float)c->arg);
        return;
    case AUG_CUTOUT:
        randaugment_cutout(c, img);
        return;
    default:
        break;
    }
    if (flavor == AUG_TF) {
        randaugment_tf(c, op, img);
    } else {
        randaugment_timm(c, op, img);
    }
}

enum rc augment_apply(struct codec *k, enum augment_flavor flavor, enum augment_op op, double arg,
                      const int center[2], struct image *img, struct err *e)
{
    struct augment a = {.flavor = flavor, .fill = -1};
    struct randaugment_call c = {.arg = arg};
    enum rc rc = codec_reserve(&k->aug, pixel_bytes(img), e);

    if (rc == RC_OK) {
        c.spare = k->aug.p;
        memcpy(c.center, center, sizeof c.center);
        randaugment_colour(&a, img->c, c.colour);
        randaugment_apply(&c, flavor, op, img);
    }
    return rc;
}

/* ---- drawing ------------------------------------------------------------------------------ */

enum augment_op randaugment_draw_op(uint32_t ops, struct rng *r)
{
    uint32_t n = rng_below(r, (uint32_t)__builtin_popcount(ops));

    for (; n > 0; n--) {
        ops &= ops - 1;
    }
    return (enum augment_op)__builtin_ctz(ops);
}

/* timm draws around M with the given spread, Model Garden with a spread of 1 whatever is asked;
 * both then clip to 0..10, and timm clips M itself. */
static double randaugment_draw_magnitude(const struct augment *a, struct rng *r)
{
    double m = a->magnitude;

    if (a->magnitude_std > 0) {
        m += rng_normal(r) * (a->flavor == AUG_TF ? 1.0 : a->magnitude_std);
    } else if (a->flavor == AUG_TF) {
        return m;
    }
    return fmin(fmax(m, 0.0), RANDAUGMENT_MAX_LEVEL);
}

void randaugment_layers(const struct augment *a, struct rng *r, struct image *img, uint8_t *spare)
{
    struct randaugment_call c = {.spare = spare};

    randaugment_colour(a, img->c, c.colour);
    for (int i = 0; i < a->layers; i++) {
        enum augment_op op = randaugment_draw_op(a->ops, r);
        bool apply = rng_f64(r) < a->op_prob;
        double m = randaugment_draw_magnitude(a, r);
        double sign = (rng_u32(r) & 1) != 0 ? 1.0 : -1.0;

        c.center[0] = (int)rng_below(r, (uint32_t)img->w);
        c.center[1] = (int)rng_below(r, (uint32_t)img->h);
        c.arg = randaugment_argument(a, op, m, sign);
        if (apply) {
            randaugment_apply(&c, a->flavor, op, img);
        }
    }
}

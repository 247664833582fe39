/**
 * Training noise on pixels: random-resized crop, flip, shift, RandAugment, cutout.
 * Source: ResNet-RS (Bello 2021) section 4.2; RandAugment (Cubuk 2019); TF Model Garden
 * augment.py for flavor tf (quirks included); timm auto_augment.py for flavor timm (inc1).
 * All draws come from the caller's stream, so they depend on the image's key and epoch alone.
 */
#ifndef PRECEPTOR_AUGMENT_H
#define PRECEPTOR_AUGMENT_H

#include "common/base/rng.h"
#include "common/image/image.h"

enum augment_op {
    AUG_IDENTITY, AUG_AUTOCONTRAST, AUG_EQUALIZE, AUG_INVERT, AUG_ROTATE, AUG_POSTERIZE,
    AUG_SOLARIZE, AUG_SOLARIZE_ADD, AUG_COLOR, AUG_CONTRAST, AUG_BRIGHTNESS, AUG_SHARPNESS,
    AUG_SHEAR_X, AUG_SHEAR_Y, AUG_TRANSLATE_X, AUG_TRANSLATE_Y, AUG_CUTOUT, AUG_OP_N
};
const char *augment_op_name(enum augment_op op); /* "shear_x" */

enum augment_flavor { AUG_TF, AUG_TIMM };
enum augment_crop { AUG_CROP_RRC, AUG_CROP_CENTER, AUG_CROP_SHIFT };

struct augment {
    int size, channels;        /* output */
    enum augment_crop crop;    /* RRC; the evaluation crop; or the evaluation crop shifted */
    double area_min, area_max; /* of RRC: 0.08, 1 */
    double aspect_min, aspect_max; /* 3/4, 4/3 */
    enum image_filter filter;
    double crop_pct;           /* of AUG_CROP_CENTER and AUG_CROP_SHIFT */
    int shift_px;              /* AUG_CROP_SHIFT: uniform in [-shift_px, shift_px], zero fill */
    double flip;               /* probability of a horizontal flip: 0.5 */
    int layers;                /* RandAugment N; 0 off */
    double magnitude;          /* RandAugment M of 10 */
    double magnitude_std;      /* timm's mstd; tf: any value above 0 adds N(0, 1) */
    double op_prob;            /* probability that a drawn operation is applied: tf 1, timm 0.5 */
    enum augment_flavor flavor;
    uint32_t ops;              /* bit set of enum augment_op drawn from, uniformly */
    double translate_const;    /* pixels at M = 10; 0: tf 100 (Model Garden's recipes 10), timm
                                  0.45 of the side */
    double cutout_const;       /* tf: half side at M = 10 (40) */
    double cutout_prob;        /* cutout after the layers, apart from RandAugment's own */
    int cutout_px;             /* its side */
    int fill;                  /* of geometry (timm) and cutout: 0..255; -1 tf 128, timm the mean
                                  colour 124, 116, 104 or gray 128 */
};

/** Defaults of the paper's code (RRC, flip, N = 2, M = 10, tf, all 16 operations + identity). */
void augment_default(struct augment *a);

/** A bit set from names: "identity,rotate,shear_x"; "all" (17); "timm" (its 15: neither identity
 * nor cutout). RC_INVAL names the unknown one. */
NODISCARD enum rc augment_parse_ops(const char *names, uint32_t *ops, struct err *e);

/** Decode, crop, flip and augment one file into out (size, size, channels). Under AUG_CROP_RRC only
 * the needed region of a JPEG is decoded, at a DCT scale not below the output's; damage below that
 * region is not seen (pack has seen it). Draws come in this order: crop, flip, then for each layer
 * operation, whether to apply it, magnitude, sign, cutout's centre, then the last cutout.
 * Errors as image_decode; RC_INVAL with IMAGE_OK: the configuration is wrong. */
NODISCARD enum rc augment_file(struct codec *k, const struct augment *a, const void *data,
                               size_t bytes, struct rng *r, uint8_t *out, enum image_reason *why,
                               struct err *e);

/** One operation in place on (h, w, c) with a fixed argument: tf's semantics (arg as the level is
 * resolved to: degrees, factor, threshold, pixels, ...). For golden tests and for augment_file.
 * center (x, y): AUG_CUTOUT's. */
NODISCARD enum rc augment_apply(struct codec *k, enum augment_flavor flavor, enum augment_op op,
                                double arg, const int center[2], struct image *img, struct err *e);

/** The argument of an operation at a magnitude (before the random sign). */
double augment_argument(const struct augment *a, enum augment_op op, double magnitude);

#endif

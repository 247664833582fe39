/**
 * Pixels: decode as Pillow does, resize as Pillow does, crop as timm does (design.md section 3).
 * Pixels are uint8, H x W x C interleaved, C = 1 (gray) or 3 (RGB).
 *
 * struct codec holds one thread's scratch buffers: in a steady state nothing is allocated.
 */
#ifndef PRECEPTOR_IMAGE_H
#define PRECEPTOR_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum {
    IMAGE_MAX_BYTES = 256 << 20,    /* of a file */
    IMAGE_MAX_PIXELS = 178956970,   /* width * height: Pillow's decompression-bomb limit */
    IMAGE_MAX_SIDE = 65535
};

enum image_format {
    IMAGE_UNKNOWN, IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP, IMAGE_GIF, IMAGE_BMP, IMAGE_PNM
};

/** Why a file cannot be used; the quarantine ledger holds the name. */
enum image_reason {
    IMAGE_OK,
    IMAGE_EMPTY,          /* zero bytes */
    IMAGE_NOT_IDENTIFIED, /* no format that we read */
    IMAGE_TRUNCATED,      /* ends before its last row */
    IMAGE_BROKEN,         /* the decoder refuses the stream */
    IMAGE_TOO_LARGE,      /* over the limits above */
    IMAGE_UNSUPPORTED_KIND, /* a known format in a form that we do not read (12 bit, lossless, ...) */
    IMAGE_REASON_N
};
const char *image_reason_name(enum image_reason r); /* "ok", "empty", "not-identified", ... */
const char *image_format_name(enum image_format f);

struct image {
    uint8_t *pixels; /* (h, w, c), borrowed from the codec: valid until its next call */
    int w, h, c;
};

struct codec;

/** RC_NOMEM. */
NODISCARD enum rc codec_create(struct codec **out, struct err *e);
void codec_destroy(struct codec *k);

/** The format by content, never by name. */
enum image_format image_sniff(const void *data, size_t bytes);

/** Header only: width, height, channels of the file (not of the decode), without decoding.
 * RC_INVAL with *why. */
NODISCARD enum rc image_probe(struct codec *k, const void *data, size_t bytes, int *w, int *h,
                              enum image_reason *why, struct err *e);

/**
 * Decode a whole file to `channels` (1 or 3) as Pillow's convert("RGB") / convert("L") would.
 * EXIF orientation and ICC are ignored, alpha is dropped as Pillow does. 16 bit: the high byte (of
 * gray too, which Pillow clips). docs/decisions/pixels.md lists every difference.
 * RC_INVAL  the file is bad: *why says which reason, e has the detail; nothing else is harmed
 * RC_NOMEM
 */
NODISCARD enum rc image_decode(struct codec *k, const void *data, size_t bytes, int channels,
                               struct image *out, enum image_reason *why, struct err *e);

/* ---- evaluation and labeling --------------------------------------------------------------- */

enum image_filter { IMAGE_BILINEAR, IMAGE_BICUBIC };

struct image_eval {
    int size;         /* output side */
    int channels;     /* 1 or 3 */
    double crop_pct;  /* timm's: resize the short side to floor(size/crop_pct), crop the centre */
    enum image_filter filter;
    bool reduced_dct; /* decode JPEGs at a reduced scale: faster, another fingerprint */
};

/** One line that names all that the pixels depend on: "jpeg=islow,fancy pillow13-bicubic ...". */
void image_eval_fingerprint(const struct image_eval *p, char *buf, size_t size);

/** Decode and preprocess one file into out (size, size, channels). Errors as image_decode. */
NODISCARD enum rc image_eval_file(struct codec *k, const struct image_eval *p, const void *data,
                                  size_t bytes, uint8_t *out, enum image_reason *why,
                                  struct err *e);

/** Pillow's resize of the box (x0, y0, x1, y1) of src to (out_w, out_h, c), into out.
 * RC_INVAL the box is not in the image; RC_NOMEM. */
NODISCARD enum rc image_resize(struct codec *k, const struct image *src, const double box[4],
                               int out_w, int out_h, enum image_filter filter, uint8_t *out,
                               struct err *e);

#endif

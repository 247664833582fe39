/**
 * Private to common/image: the codec's buffers and what the readers and the resizer share.
 * A reader puts pixels into codec.pixels and describes them with a struct raster.
 */
#ifndef PRECEPTOR_IMAGE_IMPL_H
#define PRECEPTOR_IMAGE_IMPL_H

#include "common/image/image.h"

/* Hot loops are compiled for several instruction sets, chosen when the program starts: integer and
 * non-contracted float arithmetic, so every version gives the same bits. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) &&                            \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define IMAGE_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define IMAGE_CLONES
#endif

enum {
    BUF_KEEP = 64 << 20,     /* a larger buffer goes back when a smaller one will do */
    IMAGE_TABLES = 24,       /* resize tables kept */
    JPEG_MAX_SCANS = 500     /* of a progressive file: more is an attack on time */
};

/** A buffer that grows and is kept. */
struct codec_buf {
    uint8_t *p;
    size_t bytes;
};

/** At least bytes, contents undefined. RC_NOMEM. */
NODISCARD enum rc codec_reserve(struct codec_buf *b, size_t bytes, struct err *e);
void codec_release(struct codec_buf *b);

/** Pixels of a part of an image: pixels[0] stands at (x, y) of an image of full_w x full_h. */
struct raster {
    uint8_t *pixels; /* rows of w * c bytes */
    int w, h, c;
    int x, y, full_w, full_h;
};

/** One axis of a resize: Pillow's fixed-point table for the outputs [first, first + count). */
struct resize_table {
    int in, out; /* out = 0: unused */
    float in0, in1; /* Pillow's box is f32 */
    enum image_filter filter;
    int first, count;
    int taps;           /* row length of k */
    int *lo, *n;        /* (count): first source index, number of taps */
    int32_t *k;         /* (count, taps): weights times 2^22 */
    struct codec_buf storage; /* of the three */
    uint64_t used;      /* clock of the last use */
};

struct jpeg; /* jpeg.c */

struct codec {
    struct codec_buf pixels; /* a reader's output */
    struct codec_buf work;   /* a reader's scratch; colour conversion */
    struct codec_buf pass;   /* between the two passes of a resize */
    struct codec_buf lanes;  /* int32 rows and sums of a pass */
    struct codec_buf aug;    /* a second copy of an image under augmentation */
    struct jpeg *jpeg;
    struct resize_table tables[IMAGE_TABLES];
    struct resize_table once[2]; /* of random crops, which never come again: x, y */
    uint64_t clock;
};

/** Set *why and raise RC_INVAL. */
#define image_refuse(e, why, reason, ...)                                                         \
    (*(why) = (reason), err_raise((e), RC_INVAL, __VA_ARGS__))

/** RC_INVAL (IMAGE_TOO_LARGE, IMAGE_BROKEN) unless 1 <= w, h <= IMAGE_MAX_SIDE and w * h fits. */
NODISCARD enum rc image_check_size(const char *format, int64_t w, int64_t h,
                                   enum image_reason *why, struct err *e);

/* ---- readers: probe gives the size from the header; decode fills out (c = 1 or 3) ------------ */

struct input {
    const uint8_t *p;
    size_t n;
};

NODISCARD enum rc png_probe(struct input in, int *w, int *h, enum image_reason *why,
                            struct err *e);
NODISCARD enum rc png_decode(struct codec *k, struct input in, struct raster *out,
                             enum image_reason *why, struct err *e);
NODISCARD enum rc webp_probe(struct input in, int *w, int *h, enum image_reason *why,
                             struct err *e);
NODISCARD enum rc webp_decode(struct codec *k, struct input in, struct raster *out,
                              enum image_reason *why, struct err *e);
NODISCARD enum rc gif_probe(struct input in, int *w, int *h, enum image_reason *why,
                            struct err *e);
NODISCARD enum rc gif_decode(struct codec *k, struct input in, struct raster *out,
                             enum image_reason *why, struct err *e);
NODISCARD enum rc bmp_probe(struct input in, int *w, int *h, enum image_reason *why,
                            struct err *e);
NODISCARD enum rc bmp_decode(struct codec *k, struct input in, struct raster *out,
                             enum image_reason *why, struct err *e);
NODISCARD enum rc pnm_probe(struct input in, int *w, int *h, enum image_reason *why,
                            struct err *e);
NODISCARD enum rc pnm_decode(struct codec *k, struct input in, struct raster *out,
                             enum image_reason *why, struct err *e);

/** What is wanted of a JPEG. The box is in pixels of the scaled image. */
struct jpeg_want {
    int w, h;           /* what the header scan found: filled in by decode_raster */
    int denom;          /* DCT scale 1/denom: 1, 2, 4, 8 */
    int x0, y0, x1, y1; /* the raster covers at least this box; x1 = 0: the whole image */
    bool to_end;        /* read the file to its end, so that damage below the box is seen */
};

NODISCARD enum rc jpeg_reader_create(struct jpeg **out, struct err *e);
void jpeg_reader_destroy(struct jpeg *j);
/** Pillow's walk over the markers up to the first scan. */
NODISCARD enum rc jpeg_probe(struct input in, int *w, int *h, enum image_reason *why,
                             struct err *e);
NODISCARD enum rc jpeg_decode(struct codec *k, struct input in, const struct jpeg_want *want,
                              struct raster *out, enum image_reason *why, struct err *e);

/* ---- shared steps ------------------------------------------------------------------------- */

/** Decode to `channels`; want (NULL: all) applies to JPEG, other formats decode whole. */
NODISCARD enum rc decode_raster(struct codec *k, struct input in, int channels,
                                const struct jpeg_want *want, struct raster *out,
                                enum image_reason *why, struct err *e);

/** The limits on bytes, the sniff and the probe. */
NODISCARD enum rc decode_probe(struct input in, enum image_format *format, int *w, int *h,
                               enum image_reason *why, struct err *e);

/** A part of a resized image: the columns and rows [x, x + w) x [y, y + h) of out_w x out_h. */
struct resize_window {
    double box[4]; /* in the full source image */
    int out_w, out_h;
    int x, y, w, h;
    enum image_filter filter;
    bool once; /* a random box: its tables are not worth keeping */
};

/** The source pixels that a window needs: box[0] <= x < box[2], box[1] <= y < box[3]. */
NODISCARD enum rc resize_needs(struct codec *k, int full_w, int full_h,
                               const struct resize_window *win, int box[4], struct err *e);

/** Resize; out has rows of `stride` bytes. src must cover resize_needs. RC_NOMEM. */
NODISCARD enum rc resize_raster(struct codec *k, const struct raster *src,
                                const struct resize_window *win, uint8_t *out, size_t stride,
                                struct err *e);

/** The scale 1/d (8, 4, 2, 1) at which a JPEG of w x h has at least out_w x out_h pixels. */
int crop_denominator(int w, int h, int out_w, int out_h);

#endif

/* What a file is, whether it is within the limits, and its pixels as Pillow's convert gives them. */
#include <string.h>

#include "common/base/mem.h"
#include "common/image/image_impl.h"

const char *image_reason_name(enum image_reason r)
{
    static const char *const names[IMAGE_REASON_N] = {
        [IMAGE_OK] = "ok",
        [IMAGE_EMPTY] = "empty",
        [IMAGE_NOT_IDENTIFIED] = "not-identified",
        [IMAGE_TRUNCATED] = "truncated",
        [IMAGE_BROKEN] = "broken",
        [IMAGE_TOO_LARGE] = "too-large",
        [IMAGE_UNSUPPORTED_KIND] = "unsupported-kind",
    };

    return (unsigned)r < IMAGE_REASON_N ? names[r] : "unknown";
}

const char *image_format_name(enum image_format f)
{
    static const char *const names[] = {
        [IMAGE_UNKNOWN] = "unknown", [IMAGE_JPEG] = "JPEG", [IMAGE_PNG] = "PNG",
        [IMAGE_WEBP] = "WebP",       [IMAGE_GIF] = "GIF",   [IMAGE_BMP] = "BMP",
        [IMAGE_PNM] = "PNM",
    };

    return (unsigned)f < sizeof names / sizeof names[0] ? names[f] : "unknown";
}

/* ---- buffers and the codec ---------------------------------------------------------------- */

enum rc buf_reserve(struct buf *b, size_t bytes, struct err *e)
{
    if (bytes + BUF_PAD <= b->bytes && (b->bytes <= BUF_KEEP || bytes + BUF_PAD > BUF_KEEP)) {
        return RC_OK;
    }
    buf_release(b);
    b->p = mem_aligned(bytes + BUF_PAD);
    if (b->p == NULL) {
        return mem_raise(e, "an image buffer", bytes);
    }
    b->bytes = bytes + BUF_PAD;
    memset(b->p + bytes, 0, BUF_PAD);
    return RC_OK;
}

void buf_release(struct buf *b)
{
    mem_free(b->p);
    *b = (struct buf){0};
}

enum rc codec_create(struct codec **out, struct err *e)
{
    struct codec *k = mem_calloc(1, sizeof *k);
    enum rc rc = RC_OK;

    if (k == NULL) {
        return mem_raise(e, "an image codec", sizeof *k);
    }
    rc = jpeg_reader_create(&k->jpeg, e);
    if (rc != RC_OK) {
        codec_destroy(k);
        return rc;
    }
    *out = k;
    return RC_OK;
}

void codec_destroy(struct codec *k)
{
    if (k == NULL) {
        return;
    }
    jpeg_reader_destroy(k->jpeg);
    buf_release(&k->pixels);
    buf_release(&k->work);
    buf_release(&k->pass);
    buf_release(&k->aug);
    for (int i = 0; i < IMAGE_TABLES; i++) {
        buf_release(&k->tables[i].storage);
    }
    mem_free(k);
}

/* ---- formats ------------------------------------------------------------------------------ */

enum image_format image_sniff(const void *data, size_t bytes)
{
    static const struct {
        enum image_format format;
        size_t at, n;
        const char *magic;
    } kinds[] = {
        {IMAGE_JPEG, 0, 3, "\xFF\xD8\xFF"},
        {IMAGE_PNG, 0, 8, "\x89PNG\r\n\x1A\n"},
        {IMAGE_WEBP, 8, 4, "WEBP"},
        {IMAGE_GIF, 0, 6, "GIF87a"},
        {IMAGE_GIF, 0, 6, "GIF89a"},
        {IMAGE_BMP, 0, 2, "BM"},
        {IMAGE_PNM, 0, 2, "P5"},
        {IMAGE_PNM, 0, 2, "P6"},
    };
    const uint8_t *p = data;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (bytes >= kinds[i].at + kinds[i].n &&
            memcmp(p + kinds[i].at, kinds[i].magic, kinds[i].n) == 0 &&
            (kinds[i].format != IMAGE_WEBP || memcmp(p, "RIFF", 4) == 0)) {
            return kinds[i].format;
        }
    }
    return IMAGE_UNKNOWN;
}

enum rc image_check_size(const char *format, int64_t w, int64_t h, enum image_reason *why,
                         struct err *e)
{
    if (w < 1 || h < 1) {
        return image_refuse(e, why, IMAGE_BROKEN, "%s: a size of %lld x %lld pixels", format,
                            (long long)w, (long long)h);
    }
    if (w > IMAGE_MAX_SIDE || h > IMAGE_MAX_SIDE || w * h > IMAGE_MAX_PIXELS) {
        return image_refuse(e, why, IMAGE_TOO_LARGE,
                            "%s: %lld x %lld pixels, at most %d a side and %d in all are read",
                            format, (long long)w, (long long)h, IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS);
    }
    return RC_OK;
}

enum rc decode_probe(struct input in, enum image_format *format, int *w, int *h,
                     enum image_reason *why, struct err *e)
{
    typedef enum rc probe_fn(struct input, int *, int *, enum image_reason *, struct err *);
    static probe_fn *const probes[] = {
        [IMAGE_JPEG] = jpeg_probe, [IMAGE_PNG] = png_probe, [IMAGE_WEBP] = webp_probe,
        [IMAGE_GIF] = gif_probe,   [IMAGE_BMP] = bmp_probe, [IMAGE_PNM] = pnm_probe,
    };

    *why = IMAGE_OK;
    if (in.n == 0) {
        return image_refuse(e, why, IMAGE_EMPTY, "the file is empty");
    }
    if (in.n > IMAGE_MAX_BYTES) {
        return image_refuse(e, why, IMAGE_TOO_LARGE, "the file has %zu bytes, at most %d are read",
                            in.n, IMAGE_MAX_BYTES);
    }
    *format = image_sniff(in.p, in.n);
    if (*format == IMAGE_UNKNOWN) {
        return image_refuse(e, why, IMAGE_NOT_IDENTIFIED,
                            "not an image: expected JPEG, PNG, WebP, GIF, BMP, PGM or PPM");
    }
    return probes[*format](in, w, h, why, e);
}

enum rc image_probe(struct codec *k, const void *data, size_t bytes, int *w, int *h,
                    enum image_reason *why, struct err *e)
{
    struct input in = {data, bytes};
    enum image_format format = IMAGE_UNKNOWN;

    (void)k;
    return decode_probe(in, &format, w, h, why, e);
}

/* ---- to the wanted channels --------------------------------------------------------------- */

IMAGE_CLONES
static void decode_to_gray(const uint8_t *restrict s, uint8_t *restrict d, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        d[i] = (uint8_t)((s[3 * i] * 19595U + s[3 * i + 1] * 38470U + s[3 * i + 2] * 7471U +
                          0x8000U) >>
                         16);
    }
}

static enum rc decode_convert(struct codec *k, struct raster *r, int channels, struct err *e)
{
    size_t n = (size_t)r->w * (size_t)r->h;
    struct buf swap = k->pixels;
    enum rc rc = RC_OK;

    if (r->c == channels) {
        return RC_OK;
    }
    rc = buf_reserve(&k->work, n * (size_t)channels, e);
    if (rc != RC_OK) {
        return rc;
    }
    if (channels == 1) {
        decode_to_gray(r->pixels, k->work.p, n);
    } else {
        for (size_t i = 0; i < n; i++) {
            memset(k->work.p + 3 * i, r->pixels[i], 3);
        }
    }
    k->pixels = k->work;
    k->work = swap;
    r->pixels = k->pixels.p;
    r->c = channels;
    return RC_OK;
}

enum rc decode_raster(struct codec *k, struct input in, int channels, const struct jpeg_want *want,
                      struct raster *out, enum image_reason *why, struct err *e)
{
    typedef enum rc decode_fn(struct codec *, struct input, struct raster *, enum image_reason *,
                              struct err *);
    static decode_fn *const decoders[] = {
        [IMAGE_PNG] = png_decode, [IMAGE_WEBP] = webp_decode, [IMAGE_GIF] = gif_decode,
        [IMAGE_BMP] = bmp_decode, [IMAGE_PNM] = pnm_decode,
    };
    struct jpeg_want all = {.denom = 1, .to_end = true};
    enum image_format format = IMAGE_UNKNOWN;
    int w = 0;
    int h = 0;
    enum rc rc = decode_probe(in, &format, &w, &h, why, e);

    if (rc == RC_OK && format == IMAGE_JPEG) {
        all = want == NULL ? all : *want;
        all.w = w;
        all.h = h;
        rc = jpeg_decode(k, in, &all, out, why, e);
    } else if (rc == RC_OK) {
        rc = decoders[format](k, in, out, why, e);
    }
    return rc == RC_OK ? decode_convert(k, out, channels, e) : rc;
}

enum rc image_decode(struct codec *k, const void *data, size_t bytes, int channels,
                     struct image *out, enum image_reason *why, struct err *e)
{
    struct input in = {data, bytes};
    struct raster r = {0};
    enum rc rc = decode_raster(k, in, channels, NULL, &r, why, e);

    if (rc == RC_OK) {
        *out = (struct image){.pixels = r.pixels, .w = r.w, .h = r.h, .c = r.c};
    }
    return rc;
}

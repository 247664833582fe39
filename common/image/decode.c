/* A file's pixels as Pillow's convert gives them. */
#include <string.h>

#include "common/image/image_impl.h"

/* Kinds of pictures that we know by sight and do not read. */
static const char *decode_foreign(struct input in)
{
    static const struct {
        const char *name;
        size_t at, n;
        const char *magic;
    } kinds[] = {
        {"TIFF", 0, 4, "II*\0"},
        {"TIFF", 0, 4, "MM\0*"},
        {"BigTIFF", 0, 4, "II+\0"},
        {"BigTIFF", 0, 4, "MM\0+"},
        {"AVIF", 4, 8, "ftypavif"},
        {"HEIC", 4, 8, "ftypheic"},
        {"HEIF", 4, 8, "ftypmif1"},
        {"JPEG XL", 0, 2, "\xFF\x0A"},
        {"JPEG XL", 4, 8, "JXL \r\n\x87\n"},
        {"JPEG 2000", 4, 8, "jP  \r\n\x87\n"},
        {"Photoshop file", 0, 4, "8BPS"},
        {"icon", 0, 4, "\0\0\1\0"},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (in.n >= kinds[i].at + kinds[i].n &&
            memcmp(in.p + kinds[i].at, kinds[i].magic, kinds[i].n) == 0) {
            return kinds[i].name;
        }
    }
    return NULL;
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
    if (*format == IMAGE_UNKNOWN && decode_foreign(in) != NULL) {
        return image_refuse(e, why, IMAGE_UNSUPPORTED_KIND,
                            "%s is not read: make it a JPEG, PNG or WebP", decode_foreign(in));
    }
    if (*format == IMAGE_UNKNOWN) {
        return image_refuse(e, why, IMAGE_NOT_IDENTIFIED,
                            "not an image: expected JPEG, PNG, WebP, GIF, BMP, PGM or PPM");
    }
    return probes[*format](in, w, h, why, e);
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
    struct codec_buf swap = k->pixels;
    enum rc rc = RC_OK;

    if (r->c == channels) {
        return RC_OK;
    }
    rc = codec_reserve(&k->work, n * (size_t)channels, e);
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

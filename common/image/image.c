/* The public face of decoding: names, the sniff, the limits. */
#include <string.h>

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

enum rc image_probe(struct codec *k, const void *data, size_t bytes, int *w, int *h,
                    enum image_reason *why, struct err *e)
{
    struct input in = {data, bytes};
    enum image_format format = IMAGE_UNKNOWN;

    (void)k;
    return decode_probe(in, &format, w, h, why, e);
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

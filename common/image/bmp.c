/* Windows and OS/2 bitmaps: 1, 4, 8 bit with a palette, 16, 24, 32 bit; no run-length coding. */
#include <string.h>

#include "common/image/image_impl.h"

struct bmp {
    int w, h;
    bool top_down;
    int bits;
    uint32_t compression; /* 0 plain, 3 bit fields */
    uint32_t mask[3];     /* red, green, blue */
    size_t pixels;        /* where the rows start */
    size_t stride;
    int colours;
    uint8_t palette[256][3]; /* RGB */
};

static uint32_t bmp_u16(const uint8_t *p)
{
    return (uint32_t)(p[0] | p[1] << 8);
}

static uint32_t bmp_u32(const uint8_t *p)
{
    return bmp_u16(p) | bmp_u16(p + 2) << 16;
}

static enum rc bmp_cut(enum image_reason *why, struct err *e)
{
    return image_refuse(e, why, IMAGE_TRUNCATED, "BMP: the file ends before its last row");
}

/* Entries are blue, green, red (and a filler byte in all but the OS/2 header). */
static enum rc bmp_palette(struct input in, struct bmp *b, size_t at, size_t entry,
                           enum image_reason *why, struct err *e)
{
    if (b->colours < 1 || b->colours > 256) {
        return image_refuse(e, why, IMAGE_BROKEN, "BMP: a palette of %d colours", b->colours);
    }
    if (at > in.n || (size_t)b->colours * entry > in.n - at) {
        return bmp_cut(why, e);
    }
    for (int i = 0; i < b->colours; i++) {
        const uint8_t *p = in.p + at + (size_t)i * entry;

        b->palette[i][0] = p[2];
        b->palette[i][1] = p[1];
        b->palette[i][2] = p[0];
    }
    return RC_OK;
}

static enum rc bmp_masks(struct input in, struct bmp *b, enum image_reason *why, struct err *e)
{
    static const uint32_t plain16[3] = {0x7C00, 0x3E0, 0x1F};
    static const uint32_t plain32[3] = {0xFF0000, 0xFF00, 0xFF};

    memcpy(b->mask, b->bits == 16 ? plain16 : plain32, sizeof b->mask);
    if (b->compression == 3) {
        if (in.n < 66) {
            return bmp_cut(why, e);
        }
        for (int i = 0; i < 3; i++) {
            b->mask[i] = bmp_u32(in.p + 54 + 4 * i);
        }
        if ((b->mask[0] | b->mask[1] | b->mask[2]) == 0) {
            memcpy(b->mask, plain32, sizeof b->mask);
        }
    }
    for (int i = 0; i < 3; i++) {
        if (b->mask[i] == 0 || (b->bits == 16 && b->mask[i] > 0xFFFF)) {
            return image_refuse(e, why, IMAGE_UNSUPPORTED_KIND, "BMP: bit fields %x %x %x",
                                b->mask[0], b->mask[1], b->mask[2]);
        }
    }
    return RC_OK;
}

static enum rc bmp_header(struct input in, struct bmp *b, enum image_reason *why, struct err *e)
{
    const uint8_t *p = in.p + 14;
    uint32_t size = in.n < 26 ? 0 : bmp_u32(p);
    int64_t h = 0;
    enum rc rc = RC_OK;

    if (in.n < 26 || size > in.n - 14) {
        return bmp_cut(why, e);
    }
    if (size == 12) {
        b->w = (int)bmp_u16(p + 4);
        h = bmp_u16(p + 6);
        b->bits = (int)bmp_u16(p + 10);
        b->colours = b->bits <= 8 ? 1 << b->bits : 0;
    } else if (size >= 40) {
        b->w = (int)(bmp_u32(p + 4) > IMAGE_MAX_SIDE ? IMAGE_MAX_SIDE + 1 : bmp_u32(p + 4));
        h = (int32_t)bmp_u32(p + 8);
        b->bits = (int)bmp_u16(p + 14);
        b->compression = bmp_u32(p + 16);
        b->colours = bmp_u32(p + 32) > 256 ? 257 : (int)bmp_u32(p + 32);
        if (b->colours == 0 && b->bits <= 8) {
            b->colours = 1 << b->bits;
        }
    } else {
        return image_refuse(e, why, IMAGE_UNSUPPORTED_KIND, "BMP: a header of %u bytes", size);
    }
    b->top_down = h < 0;
    h = h < 0 ? -h : h;
    rc = image_check_size("BMP", b->w, h, why, e);
    if (rc != RC_OK) {
        return rc;
    }
    b->h = (int)h;
    b->pixels = bmp_u32(in.p + 10);
    b->stride = ((size_t)b->w * (size_t)b->bits + 31) / 32 * 4;
    if ((b->compression != 0 && (b->compression != 3 || b->bits < 16)) ||
        (b->bits != 1 && b->bits != 4 && b->bits != 8 && b->bits != 16 && b->bits != 24 &&
         b->bits != 32)) {
        return image_refuse(e, why, IMAGE_UNSUPPORTED_KIND, "BMP: %d bits, compression %u", b->bits,
                            b->compression);
    }
    return b->bits <= 8 ? bmp_palette(in, b, 14 + size, size == 12 ? 3 : 4, why, e)
                        : bmp_masks(in, b, why, e);
}

enum rc bmp_probe(struct input in, int *w, int *h, enum image_reason *why, struct err *e)
{
    struct bmp b = {0};
    enum rc rc = bmp_header(in, &b, why, e);

    if (rc == RC_OK) {
        *w = b.w;
        *h = b.h;
    }
    return rc;
}

/* A field of v, widened to 8 bits as v * 255 / max. */
static uint8_t bmp_field(uint32_t v, uint32_t mask)
{
    int shift = __builtin_ctz(mask);
    uint64_t max = mask >> shift;

    return (uint8_t)((uint64_t)((v & mask) >> shift) * 255 / max);
}

static void bmp_row(const struct bmp *b, const uint8_t *s, uint8_t *d)
{
    for (int x = 0; x < b->w; x++, d += 3) {
        if (b->bits <= 8) {
            int at = x * b->bits;
            int index = s[at / 8] >> (8 - b->bits - at % 8) & ((1 << b->bits) - 1);

            memcpy(d, b->palette[index], 3);
        } else if (b->bits == 24) {
            d[0] = s[3 * x + 2];
            d[1] = s[3 * x + 1];
            d[2] = s[3 * x];
        } else {
            uint32_t v = b->bits == 16 ? bmp_u16(s + 2 * x) : bmp_u32(s + 4 * x);

            for (int c = 0; c < 3; c++) {
                d[c] = bmp_field(v, b->mask[c]);
            }
        }
    }
}

enum rc bmp_decode(struct codec *k, struct input in, struct raster *out, enum image_reason *why,
                   struct err *e)
{
    struct bmp b = {0};
    enum rc rc = bmp_header(in, &b, why, e);

    if (rc != RC_OK) {
        return rc;
    }
    if (b.pixels > in.n || b.stride * (size_t)b.h > in.n - b.pixels) {
        return bmp_cut(why, e);
    }
    rc = codec_reserve(&k->pixels, (size_t)b.w * (size_t)b.h * 3, e);
    if (rc != RC_OK) {
        return rc;
    }
    for (int y = 0; y < b.h; y++) {
        int from = b.top_down ? y : b.h - 1 - y;

        bmp_row(&b, in.p + b.pixels + (size_t)from * b.stride,
                k->pixels.p + (size_t)y * (size_t)b.w * 3);
    }
    *out = (struct raster){.pixels = k->pixels.p, .w = b.w, .h = b.h, .c = 3};
    out->full_w = b.w;
    out->full_h = b.h;
    return RC_OK;
}

/* Operations on pixels that TensorFlow and Pillow do alike. */
#include <string.h>

#include "common/image/augment_impl.h"

enum { PIXEL_VALUES = 256 };

void pixel_map(struct image *img, uint8_t lut[3][256], bool per_channel)
{
    size_t n = pixel_bytes(img);

    if (img->c == 1 || !per_channel) {
        for (size_t i = 0; i < n; i++) {
            img->pixels[i] = lut[0][img->pixels[i]];
        }
        return;
    }
    for (size_t i = 0; i < n; i += 3) {
        for (size_t c = 0; c < 3; c++) {
            img->pixels[i + c] = lut[c][img->pixels[i + c]];
        }
    }
}

void pixel_histogram(const struct image *img, uint32_t counts[3][256])
{
    size_t n = pixel_bytes(img);
    size_t c = (size_t)img->c;

    memset(counts, 0, 3 * PIXEL_VALUES * sizeof counts[0][0]);
    for (size_t i = 0; i < n; i += c) {
        for (size_t j = 0; j < c; j++) {
            counts[j][img->pixels[i + j]]++;
        }
    }
}

/* The steps of Pillow's ImageOps.equalize: the identity where there is one value only or too few
 * pixels for a step. */
static void pixel_equalize_table(const uint32_t counts[256], uint8_t lut[256])
{
    uint32_t sum = 0;
    uint32_t last = 0;
    uint32_t step = 0;
    uint32_t n = 0;

    for (int i = 0; i < PIXEL_VALUES; i++) {
        sum += counts[i];
        last = counts[i] != 0 ? counts[i] : last;
    }
    step = (sum - last) / 255;
    n = step / 2;
    for (int i = 0; i < PIXEL_VALUES; i++) {
        uint32_t v = step == 0 ? (uint32_t)i : n / step;

        lut[i] = (uint8_t)(v < 255 ? v : 255);
        n += counts[i];
    }
}

void pixel_equalize(struct image *img)
{
    uint32_t counts[3][256];
    uint8_t lut[3][256];

    pixel_histogram(img, counts);
    for (int c = 0; c < img->c; c++) {
        pixel_equalize_table(counts[c], lut[c]);
    }
    pixel_map(img, lut, true);
}

void pixel_invert(struct image *img)
{
    size_t n = pixel_bytes(img);

    for (size_t i = 0; i < n; i++) {
        img->pixels[i] = (uint8_t)(255 - img->pixels[i]);
    }
}

void pixel_solarize(struct image *img, int threshold)
{
    size_t n = pixel_bytes(img);

    for (size_t i = 0; i < n; i++) {
        int v = img->pixels[i];

        img->pixels[i] = (uint8_t)(v < threshold ? v : 255 - v);
    }
}

void pixel_solarize_add(struct image *img, int add)
{
    size_t n = pixel_bytes(img);

    for (size_t i = 0; i < n; i++) {
        int v = img->pixels[i];
        int more = v + add < 255 ? v + add : 255;

        img->pixels[i] = (uint8_t)(v < 128 ? more : v);
    }
}

void pixel_mask(struct image *img, uint8_t mask)
{
    size_t n = pixel_bytes(img);

    for (size_t i = 0; i < n; i++) {
        img->pixels[i] &= mask;
    }
}

uint8_t pixel_blend(float a, float b, float f)
{
    float v = a + f * (b - a);

    if (v <= 0.0F) {
        return 0;
    }
    return v >= 255.0F ? 255 : (uint8_t)v;
}

IMAGE_CLONES
void pixel_blend_all(const uint8_t *restrict a, uint8_t *restrict b, size_t n, float f)
{
    for (size_t i = 0; i < n; i++) {
        float v = (float)a[i] + f * ((float)b[i] - (float)a[i]);

        v = v < 0.0F ? 0.0F : v;
        b[i] = (uint8_t)(int)(v > 255.0F ? 255.0F : v);
    }
}

void pixel_brightness(struct image *img, float f)
{
    uint8_t lut[3][256];

    for (int i = 0; i < PIXEL_VALUES; i++) {
        lut[0][i] = pixel_blend(0.0F, (float)i, f);
    }
    pixel_map(img, lut, false);
}

void pixel_fill(struct image *img, int x0, int y0, int x1, int y1, const uint8_t colour[3])
{
    size_t c = (size_t)img->c;

    x0 = x0 < 0 ? 0 : x0;
    y0 = y0 < 0 ? 0 : y0;
    x1 = x1 > img->w ? img->w : x1;
    y1 = y1 > img->h ? img->h : y1;
    for (int y = y0; y < y1; y++) {
        for (int x = x0; x < x1; x++) {
            pixel_copy(img->pixels + ((size_t)y * (size_t)img->w + (size_t)x) * c, colour, c);
        }
    }
}

void pixel_flip(struct image *img)
{
    size_t c = (size_t)img->c;

    for (int y = 0; y < img->h; y++) {
        uint8_t *a = img->pixels + (size_t)y * (size_t)img->w * c;
        uint8_t *b = a + ((size_t)img->w - 1) * c;

        for (; a < b; a += c, b -= c) {
            uint8_t t[3];

            pixel_copy(t, a, c);
            pixel_copy(a, b, c);
            pixel_copy(b, t, c);
        }
    }
}

void pixel_shift(struct image *img, int dx, int dy, uint8_t *spare)
{
    size_t c = (size_t)img->c;
    size_t stride = (size_t)img->w * c;
    int w = img->w - (dx < 0 ? -dx : dx);

    memcpy(spare, img->pixels, pixel_bytes(img));
    memset(img->pixels, 0, pixel_bytes(img));
    for (int y = 0; y < img->h && w > 0; y++) {
        if (y - dy >= 0 && y - dy < img->h) {
            memcpy(img->pixels + (size_t)y * stride + (size_t)(dx > 0 ? dx : 0) * c,
                   spare + (size_t)(y - dy) * stride + (size_t)(dx < 0 ? -dx : 0) * c,
                   (size_t)w * c);
        }
    }
}

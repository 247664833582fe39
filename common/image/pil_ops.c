/* RandAugment's operations as Pillow computes them, which is what timm's auto_augment.py calls. */
#include <math.h>
#include <string.h>

#include "common/image/augment_impl.h"

void pil_autocontrast(struct image *img)
{
    uint32_t counts[3][256];
    uint8_t lut[3][256];

    pixel_histogram(img, counts);
    for (int c = 0; c < img->c; c++) {
        int lo = 0;
        int hi = 255;
        double scale = 1.0;
        double offset = 0.0;

        while (lo < 255 && counts[c][lo] == 0) {
            lo++;
        }
        while (hi > 0 && counts[c][hi] == 0) {
            hi--;
        }
        if (hi > lo) {
            scale = 255.0 / (hi - lo);
            offset = -lo * scale;
        }
        for (int i = 0; i < 256; i++) {
            int v = (int)(i * scale + offset);

            lut[c][i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
    pixel_map(img, lut, true);
}

static inline uint32_t pil_luma(const uint8_t *p)
{
    return (p[0] * 19595U + p[1] * 38470U + p[2] * 7471U + 0x8000U) >> 16;
}

IMAGE_CLONES
static void pil_color_all(uint8_t *p, size_t n, float f)
{
    for (size_t i = 0; i < n; i += 3) {
        float a = (float)pil_luma(p + i);

        for (size_t c = 0; c < 3; c++) {
            float v = a + f * ((float)p[i + c] - a);

            v = v < 0.0F ? 0.0F : v;
            p[i + c] = (uint8_t)(int)(v > 255.0F ? 255.0F : v);
        }
    }
}

void pil_color(struct image *img, float f)
{
    if (img->c == 3 && f != 1.0F) {
        pil_color_all(img->pixels, pixel_bytes(img), f);
    }
}

void pil_contrast(struct image *img, float f)
{
    size_t n = (size_t)img->w * (size_t)img->h;
    uint64_t sum = 0;
    uint8_t lut[3][256];
    float mean = 0.0F;

    for (size_t i = 0; i < n; i++) {
        sum += img->c == 3 ? pil_luma(img->pixels + 3 * i) : img->pixels[i];
    }
    mean = (float)(int)((double)sum / (double)n + 0.5);
    for (int i = 0; i < 256; i++) {
        lut[0][i] = pixel_blend(mean, (float)i, f);
    }
    pixel_map(img, lut, false);
}

/* Pillow's SMOOTH filter: thirteenths, rounded (a tie cannot be: 13 is odd). */
IMAGE_CLONES
static void pil_smooth_row(const uint8_t *restrict s, uint8_t *restrict d, int stride, int c, int n)
{
    for (int i = 0; i < n; i++) {
        const uint8_t *p = s + i;
        int sum = p[-stride - c] + p[-stride] + p[-stride + c] + p[-c] + 5 * p[0] + p[c] +
                  p[stride - c] + p[stride] + p[stride + c];

        d[i] = (uint8_t)((2 * sum + 13) / 26);
    }
}

void pil_sharpness(struct image *img, float f, uint8_t *spare)
{
    int stride = img->w * img->c;

    memcpy(spare, img->pixels, pixel_bytes(img));
    for (int y = 1; y + 1 < img->h && img->w > 2; y++) {
        size_t at = (size_t)y * (size_t)stride + (size_t)img->c;

        pil_smooth_row(img->pixels + at, spare + at, stride, img->c, stride - 2 * img->c);
    }
    pixel_blend_all(spare, img->pixels, pixel_bytes(img), f);
}

/* One pixel between its four neighbours, in Pillow's order of operations. */
static inline void pil_bilinear(const struct image *img, const uint8_t *s, double x, double y,
                                uint8_t *d)
{
    size_t c = (size_t)img->c;
    size_t stride = (size_t)img->w * c;
    int ix = (int)floor(x - 0.5);
    int iy = (int)floor(y - 0.5);
    double dx = x - 0.5 - ix;
    double dy = y - 0.5 - iy;
    size_t x0 = (size_t)(ix < 0 ? 0 : ix) * c;
    size_t x1 = (size_t)(ix + 1 < img->w ? ix + 1 : img->w - 1) * c;
    const uint8_t *a = s + (size_t)(iy < 0 ? 0 : iy) * stride;
    const uint8_t *b = s + (size_t)(iy + 1 < img->h ? iy + 1 : img->h - 1) * stride;

    for (size_t i = 0; i < c; i++) {
        double v1 = a[x0 + i] + (a[x1 + i] - a[x0 + i]) * dx;
        double v2 = b[x0 + i] + (b[x1 + i] - b[x0 + i]) * dx;

        d[i] = (uint8_t)(v1 + (v2 - v1) * dy);
    }
}

IMAGE_CLONES
void pil_transform(struct image *img, const double t[6], const uint8_t colour[3], uint8_t *spare)
{
    size_t c = (size_t)img->c;
    uint8_t *d = img->pixels;

    memcpy(spare, img->pixels, pixel_bytes(img));
    for (int y = 0; y < img->h; y++) {
        for (int x = 0; x < img->w; x++, d += c) {
            double fx = t[0] * (x + 0.5) + t[1] * (y + 0.5) + t[2];
            double fy = t[3] * (x + 0.5) + t[4] * (y + 0.5) + t[5];

            if (fx < 0.0 || fx >= img->w || fy < 0.0 || fy >= img->h) {
                pixel_copy(d, colour, c);
            } else {
                pil_bilinear(img, spare, fx, fy, d);
            }
        }
    }
}

static double pil_round15(double v)
{
    return rint(v * 1e15) / 1e15;
}

void pil_rotate(struct image *img, double degrees, const uint8_t colour[3], uint8_t *spare)
{
    static const double pi = 3.14159265358979323846;
    double a = fmod(degrees, 360.0);
    double c = 0.0;
    double s = 0.0;
    double x = -img->w / 2.0;
    double y = -img->h / 2.0;
    double t[6];

    a = -(a < 0 ? a + 360.0 : a) * (pi / 180.0);
    c = pil_round15(cos(a));
    s = pil_round15(sin(a));
    t[0] = c;
    t[1] = s;
    t[2] = c * x + s * y - x;
    t[3] = -s;
    t[4] = c;
    t[5] = -s * x + c * y - y;
    pil_transform(img, t, colour, spare);
}

/* RandAugment's operations as TF Model Garden's augment.py computes them, quirks included: f32
 * without contraction, casts that truncate, borders that reflect. */
#include <math.h>
#include <string.h>

#include "common/image/augment_impl.h"

static const float tf_inverse_255 = 1.0F / 255.0F;

static inline uint8_t tf_saturate(float v)
{
    v = v < 0.0F ? 0.0F : v;
    return (uint8_t)(int)(v > 255.0F ? 255.0F : v);
}

void tf_autocontrast(struct image *img)
{
    uint32_t counts[3][256];
    uint8_t lut[3][256];

    pixel_histogram(img, counts);
    for (int c = 0; c < img->c; c++) {
        int lo = 0;
        int hi = 255;
        float scale = 0.0F;
        float offset = 0.0F;

        while (lo < 255 && counts[c][lo] == 0) {
            lo++;
        }
        while (hi > 0 && counts[c][hi] == 0) {
            hi--;
        }
        scale = hi > lo ? 255.0F / (float)(hi - lo) : 1.0F;
        offset = hi > lo ? (float)-lo * scale : 0.0F;
        for (int i = 0; i < 256; i++) {
            lut[c][i] = tf_saturate((float)i * scale + offset);
        }
    }
    pixel_map(img, lut, true);
}

IMAGE_CLONES
static void tf_color_all(uint8_t *p, size_t n, float f)
{
    for (size_t i = 0; i < n; i += 3) {
        float r = (float)p[i] * tf_inverse_255;
        float g = (float)p[i + 1] * tf_inverse_255;
        float b = (float)p[i + 2] * tf_inverse_255;
        int gray = (int)(((r * 0.2989F + g * 0.587F) + b * 0.114F) * 255.5F);

        for (size_t c = 0; c < 3; c++) {
            float a = (float)gray;

            p[i + c] = tf_saturate(a + f * ((float)p[i + c] - a));
        }
    }
}

void tf_color(struct image *img, float f)
{
    if (img->c == 3 && f != 1.0F) {
        tf_color_all(img->pixels, pixel_bytes(img), f);
    }
}

void tf_contrast(struct image *img, float f)
{
    uint32_t counts[3][256];
    uint8_t lut[3][256];

    pixel_histogram(img, counts);
    for (int c = 0; c < img->c; c++) {
        double sum = 0.0;
        float mean = 0.0F;

        for (int i = 0; i < 256; i++) {
            sum += (double)counts[c][i] * (double)((float)i * tf_inverse_255);
        }
        mean = (float)(sum / ((double)img->w * img->h));
        for (int i = 0; i < 256; i++) {
            float x = (float)i * tf_inverse_255;

            lut[c][i] = tf_saturate(((x - mean) * f + mean) * 255.5F);
        }
    }
    pixel_map(img, lut, true);
}

/* TensorFlow's convolution is a chain of fused multiply-adds in f32. A product of f32 and uint8 and
 * its sum with such a chain's value are exact in f64, so rounding once from there is the same. */
IMAGE_CLONES
static void tf_smooth_row(const uint8_t *restrict s, uint8_t *restrict d, int stride, int c, int n)
{
    const float edge = 1.0F / 13.0F;
    const float centre = 5.0F / 13.0F;

    for (int i = 0; i < n; i++) {
        float sum = 0.0F;

        for (int y = -1; y <= 1; y++) {
            for (int x = -1; x <= 1; x++) {
                float k = x == 0 && y == 0 ? centre : edge;

                sum = (float)((double)sum + (double)k * (double)s[i + y * stride + x * c]);
            }
        }
        d[i] = (uint8_t)(int)(sum > 255.0F ? 255.0F : sum);
    }
}

void tf_sharpness(struct image *img, float f, uint8_t *spare)
{
    int stride = img->w * img->c;

    memcpy(spare, img->pixels, pixel_bytes(img));
    for (int y = 1; y + 1 < img->h && img->w > 2; y++) {
        size_t at = (size_t)y * (size_t)stride + (size_t)img->c;

        tf_smooth_row(img->pixels + at, spare + at, stride, img->c, stride - 2 * img->c);
    }
    pixel_blend_all(spare, img->pixels, pixel_bytes(img), f);
}

void tf_posterize(struct image *img, int bits)
{
    int shift = (8 - bits) & 255;

    shift = shift > 7 ? 7 : shift;
    pixel_mask(img, (uint8_t)(0xFF >> shift << shift));
}

/* A coordinate outside [0, n) comes back by reflection about the borders, as ScipyND's "reflect". */
static inline int tf_reflect(float c, int n)
{
    float len = (float)(n - 1);

    if (c < 0.0F) {
        float two = (float)(2 * n);

        if (c < two) {
            c = two * (float)(int)(-c / two) + c;
        }
        c = c < (float)-n ? c + two : -c - 1.0F;
    } else if (c > len) {
        float two = (float)(2 * n);

        c -= two * (float)(int)(c / two);
        if (c >= (float)n) {
            c = two - c - 1.0F;
        }
    }
    c = c < 0.0F ? 0.0F : c > len ? len : c;
    return (int)c + (c - (float)(int)c >= 0.5F); /* half away from zero */
}

IMAGE_CLONES
void tf_transform(struct image *img, const float t[6], uint8_t *spare)
{
    size_t c = (size_t)img->c;
    uint8_t *d = img->pixels;

    memcpy(spare, img->pixels, pixel_bytes(img));
    for (int y = 0; y < img->h; y++) {
        for (int x = 0; x < img->w; x++, d += c) {
            float fx = (t[0] * (float)x + t[1] * (float)y) + t[2];
            float fy = (t[3] * (float)x + t[4] * (float)y) + t[5];
            size_t from =
                (size_t)tf_reflect(fy, img->h) * (size_t)img->w + (size_t)tf_reflect(fx, img->w);

            pixel_copy(d, spare + from * c, c);
        }
    }
}

void tf_rotate(struct image *img, double degrees, uint8_t *spare)
{
    static const double pi = 3.14159265358979323846;
    float a = (float)(degrees * (pi / 180.0));
    float c = cosf(a);
    float s = sinf(a);
    float w = (float)(img->w - 1);
    float h = (float)(img->h - 1);
    float t[6] = {c, -s, (w - (c * w - s * h)) / 2.0F, s, c, (h - (s * w + c * h)) / 2.0F};

    tf_transform(img, t, spare);
}

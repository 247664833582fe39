/**
 * Private to common/image: the operations of RandAugment on pixels.
 * pixel_*  what TensorFlow and Pillow do alike; tf_* and pil_*  where they differ.
 * All work in place on (h, w, c), c = 1 or 3; `spare` holds as many bytes for a second copy.
 */
#ifndef PRECEPTOR_AUGMENT_IMPL_H
#define PRECEPTOR_AUGMENT_IMPL_H

#include "common/image/augment.h"
#include "common/image/image_impl.h"

static inline size_t pixel_bytes(const struct image *img)
{
    return (size_t)img->w * (size_t)img->h * (size_t)img->c;
}

/* One pixel. */
static inline void pixel_copy(uint8_t *d, const uint8_t *s, size_t c)
{
    d[0] = s[0];
    if (c == 3) {
        d[1] = s[1];
        d[2] = s[2];
    }
}

/* A table for all channels: lut[c] when per_channel, else lut[0]. */
void pixel_map(struct image *img, uint8_t lut[3][256], bool per_channel);
void pixel_histogram(const struct image *img, uint32_t counts[3][256]);
void pixel_equalize(struct image *img);
void pixel_invert(struct image *img);
/* Pixels below the threshold stay, the others are inverted. */
void pixel_solarize(struct image *img, int threshold);
/* add to pixels below 128, at most 255. */
void pixel_solarize_add(struct image *img, int add);
/* Keep the bits of the mask. */
void pixel_mask(struct image *img, uint8_t mask);
/* a + f * (b - a) in f32: truncated for 0 < f < 1, else clipped, then truncated. */
uint8_t pixel_blend(float a, float b, float f);
/* b (n pixels) becomes blend(a, b, f). */
void pixel_blend_all(const uint8_t *a, uint8_t *b, size_t n, float f);
/* Black to the image: blend(0, x, f). */
void pixel_brightness(struct image *img, float f);
/* The part of [x0, x1) x [y0, y1) that lies in the image. */
void pixel_fill(struct image *img, int x0, int y0, int x1, int y1, const uint8_t colour[3]);
void pixel_flip(struct image *img);
/* Moved right by dx and down by dy, zeros behind. */
void pixel_shift(struct image *img, int dx, int dy, uint8_t *spare);

void tf_autocontrast(struct image *img);
void tf_color(struct image *img, float f);
void tf_contrast(struct image *img, float f);
void tf_sharpness(struct image *img, float f, uint8_t *spare);
void tf_posterize(struct image *img, int bits);
/* Nearest, outside pixels reflected. x' = t[0] x + t[1] y + t[2], y' = t[3] x + t[4] y + t[5]. */
void tf_transform(struct image *img, const float t[6], uint8_t *spare);
void tf_rotate(struct image *img, double degrees, uint8_t *spare);

void pil_autocontrast(struct image *img);
void pil_color(struct image *img, float f);
void pil_contrast(struct image *img, float f);
void pil_sharpness(struct image *img, float f, uint8_t *spare);
/* Bilinear, outside pixels take the colour; t as tf_transform's, on pixel centres. */
void pil_transform(struct image *img, const double t[6], const uint8_t colour[3],
                   uint8_t *spare);
void pil_rotate(struct image *img, double degrees, const uint8_t colour[3], uint8_t *spare);

/* The crop of AUG_CROP_RRC for an image of w x h. */
struct augment_box {
    int x, y, w, h;
};
struct augment_box augment_draw_crop(const struct augment *a, int w, int h, struct rng *r);
/* One of the set, uniformly. */
enum augment_op randaugment_draw_op(uint32_t ops, struct rng *r);
/* The layers of RandAugment. spare: see above. */
void randaugment_layers(const struct augment *a, struct rng *r, struct image *img,
                        uint8_t *spare);
/* The fill colour that the configuration says. */
void randaugment_colour(const struct augment *a, int channels, uint8_t colour[3]);

#endif

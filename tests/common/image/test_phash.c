/* The perceptual hash: what it does not see, what it tells apart. */
#include "common/image/phash.h"
#include "tests/common/image/golden.h"

enum { W = 96, H = 64 };

/* A picture of soft blobs that follow from n. */
static void paint(unsigned n, int w, int h, int channels, uint8_t *out)
{
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < w; x++) {
            double v = 128;

            for (unsigned b = 1; b <= 24; b++) {
                unsigned s = (n * 7919 + b) * 2654435761u;
                double dx = (double)x / w - (s >> 8 & 255) / 255.0;
                double dy = (double)y / h - (s >> 16 & 255) / 255.0;

                v += (s & 1 ? 90 : -90) / (1 + 30 * b * (dx * dx + dy * dy));
            }
            v = v < 0 ? 0 : v > 255 ? 255 : v;
            for (int c = 0; c < channels; c++) {
                out[(y * w + x) * channels + c] = (uint8_t)v;
            }
        }
    }
}

static uint64_t hash_of(uint8_t *pixels, int w, int h, int channels)
{
    const struct image image = {pixels, w, h, channels};
    struct err e = {0};
    uint64_t hash = 0;

    if (phash_image(golden_codec, &image, &hash, &e) != RC_OK) {
        fail_msg("%s", e.msg);
    }
    return hash;
}

static uint64_t painted(unsigned n, int w, int h, int channels)
{
    static uint8_t pixels[4 * W * H * 3];

    assert_true(w * h * channels <= (int)sizeof pixels);
    paint(n, w, h, channels, pixels);
    return hash_of(pixels, w, h, channels);
}

static void half_of_the_bits_are_set(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 50; n++) {
        assert_int_equal(__builtin_popcountll(painted(n, W, H, 3)), 32);
    }
}

static void size_and_color_hardly_matter(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 50; n++) {
        uint64_t hash = painted(n, W, H, 3);

        assert_in_range(phash_distance(hash, painted(n, W, H, 1)), 0, 0);
        assert_in_range(phash_distance(hash, painted(n, 2 * W, 2 * H, 1)), 0, 6);
        assert_in_range(phash_distance(hash, painted(n, W / 2, H / 2, 1)), 0, 6);
    }
}

static void noise_and_brightness_hardly_matter(void **state)
{
    uint8_t pixels[W * H];

    (void)state;
    for (unsigned n = 0; n < 50; n++) {
        uint64_t hash = painted(n, W, H, 1);

        paint(n, W, H, 1, pixels);
        for (unsigned i = 0; i < W * H; i++) {
            pixels[i] = (uint8_t)(pixels[i] / 2 + 20 + (i * 2654435761u >> 29));
        }
        assert_in_range(phash_distance(hash, hash_of(pixels, W, H, 1)), 0, 6);
    }
}

static void other_pictures_are_far_away(void **state)
{
    int nearest = PHASH_BITS;

    (void)state;
    for (unsigned n = 0; n < 60; n++) {
        for (unsigned m = 0; m < n; m++) {
            int d = phash_distance(painted(n, W, H, 1), painted(m, W, H, 1));

            nearest = d < nearest ? d : nearest;
        }
    }
    assert_in_range(nearest, 7, PHASH_BITS);
}

static void a_mirrored_picture_is_another(void **state)
{
    uint8_t pixels[W * H];

    (void)state;
    paint(3, W, H, 1, pixels);
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W / 2; x++) {
            uint8_t t = pixels[y * W + x];

            pixels[y * W + x] = pixels[y * W + W - 1 - x];
            pixels[y * W + W - 1 - x] = t;
        }
    }
    assert_in_range(phash_distance(painted(3, W, H, 1), hash_of(pixels, W, H, 1)), 12, PHASH_BITS);
}

static void a_flat_picture_says_nothing(void **state)
{
    uint8_t pixels[W * H];

    (void)state;
    for (int level = 0; level < 256; level += 51) {
        memset(pixels, level, sizeof pixels);
        assert_true(hash_of(pixels, W, H, 1) == 0);
        pixels[17] ^= 8;
        assert_true(hash_of(pixels, W, H, 1) == 0);
    }
}

static void the_bits_are_those_of_the_specification(void **state)
{
    (void)state;
    assert_true(painted(1, W, H, 3) == 0x192e94edb43be8d0u);
    assert_true(painted(2, 31, 77, 1) == 0x9e2e31388d38dcb3u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_of_the_bits_are_set),
        cmocka_unit_test(size_and_color_hardly_matter),
        cmocka_unit_test(noise_and_brightness_hardly_matter),
        cmocka_unit_test(other_pictures_are_far_away),
        cmocka_unit_test(a_mirrored_picture_is_another),
        cmocka_unit_test(a_flat_picture_says_nothing),
        cmocka_unit_test(the_bits_are_those_of_the_specification),
    };

    return cmocka_run_group_tests(tests, golden_enter, golden_leave);
}

#include <math.h>

#include "common/image/augment_impl.h"
#include "tests/common/image/golden.h"

enum { DRAWS = 100000 };

static void draw_stream(struct rng *r, uint64_t seed, uint8_t image)
{
    struct key128 key = {{image}};

    rng_init(r, seed, RNG_AUGMENT, 3, &key, 0);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Kolmogorov and Smirnov against the uniform on [0, 1]: 1.95 / sqrt(n) is passed once in 1000. */
static void expect_uniform(double *u, int n, const char *what)
{
    double worst = 0;

    qsort(u, (size_t)n, sizeof *u, compare);
    for (int i = 0; i < n; i++) {
        worst = fmax(worst, fmax(u[i] - (double)i / n, (double)(i + 1) / n - u[i]));
    }
    if (worst > 1.95 / sqrt(n)) {
        fail_msg("%s: the distance from uniform is %g", what, worst);
    }
}

/* ---- the crop ----------------------------------------------------------------------------- */

/* Areas up to a half fit at any aspect, so no draw is turned down. */
static void crops_have_uniform_area_log_aspect_and_place(void **state)
{
    static double area[DRAWS], aspect[DRAWS], x[DRAWS], y[DRAWS];
    struct augment a;
    struct rng r;

    (void)state;
    augment_default(&a);
    a.area_max = 0.5;
    draw_stream(&r, 1, 0);
    for (int i = 0; i < DRAWS; i++) {
        struct augment_box b = augment_draw_crop(&a, 60000, 60000, &r);

        area[i] = (b.w / 60000.0 * (b.h / 60000.0) - 0.08) / 0.42;
        aspect[i] = log((double)b.w / b.h * 4 / 3) / log(16.0 / 9);
        x[i] = (b.x + 0.5) / (60000 - b.w + 1);
        y[i] = (b.y + 0.5) / (60000 - b.h + 1);
    }
    expect_uniform(area, DRAWS, "area");
    expect_uniform(aspect, DRAWS, "log aspect");
    expect_uniform(x, DRAWS, "x");
    expect_uniform(y, DRAWS, "y");
}

static void a_crop_that_cannot_be_is_the_largest_centred_one(void **state)
{
    struct augment a;
    struct rng r;
    struct augment_box b;

    (void)state;
    augment_default(&a);
    a.area_min = 0.9;
    draw_stream(&r, 1, 0);
    b = augment_draw_crop(&a, 100, 2, &r);
    assert_memory_equal(&b, (&(struct augment_box){48, 0, 3, 2}), sizeof b);
    b = augment_draw_crop(&a, 3, 100, &r);
    assert_memory_equal(&b, (&(struct augment_box){0, 48, 3, 4}), sizeof b);
}

static void check_rrc(const char *name, int channels, int size, uint8_t image)
{
    struct golden_file f = golden_read("tests/data/photos/", name);
    struct image whole = golden_decode("tests/data/photos/", name, channels);
    struct image cut = {.c = channels};
    struct augment a;
    enum image_reason why = IMAGE_OK;
    struct rng r;
    struct augment_box b;
    size_t bytes = (size_t)size * (size_t)size * (size_t)channels;
    uint8_t *got = mem_calloc(bytes, 1);
    uint8_t *expected = mem_calloc(bytes, 1);

    assert_true(got != NULL && expected != NULL);
    augment_default(&a);
    a.size = size;
    a.channels = channels;
    a.layers = 0;
    a.flip = 0;
    draw_stream(&r, 4, image);
    assert_int_equal(augment_file(golden_codec, &a, f.data, f.bytes, &r, got, &why, NULL), RC_OK);
    draw_stream(&r, 4, image);
    b = augment_draw_crop(&a, whole.w, whole.h, &r);
    cut.w = b.w;
    cut.h = b.h;
    cut.pixels = mem_calloc(golden_bytes(&cut), 1);
    assert_non_null(cut.pixels);
    for (int y = 0; y < b.h; y++) {
        memcpy(cut.pixels + (size_t)(y * b.w * channels),
               whole.pixels + (size_t)(((b.y + y) * whole.w + b.x) * channels),
               (size_t)(b.w * channels));
    }
    assert_int_equal(image_resize(golden_codec, &cut, (const double[4]){0, 0, b.w, b.h}, size, size,
                                  IMAGE_BICUBIC, expected, NULL),
                     RC_OK);
    assert_memory_equal(got, expected, bytes);
    mem_free(cut.pixels);
    mem_free(got);
    mem_free(expected);
    mem_free(whole.pixels);
    mem_free(f.data);
}

/* At an output size that no reduced scale reaches, decoding the region alone is exact. */
static void a_random_crop_is_cut_then_resized(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < 30; i++) {
        check_rrc("discs/02.jpg", 3, 96, i);
        check_rrc("tiles/04.jpg", 3, 96, i);
        check_rrc("stripes/07.jpg", 1, 96, i);
        check_rrc("stripes/11.jpg", 3, 96, i);
    }
}

/* ---- flip, shift, cutout on a file of 2 x 2 or 3 x 3 gray pixels --------------------------------- */

static const char *const two = "P5 2 2 255\n\x01\x02\x03\x04";
static const char *const three = "P5 3 3 255\n\x01\x02\x03\x04\x05\x06\x07\x08\x09";

static struct augment plain(int size, enum augment_crop crop)
{
    struct augment a;

    augment_default(&a);
    a.size = size;
    a.channels = 1;
    a.crop = crop;
    a.layers = 0;
    a.flip = 0;
    return a;
}

static void run(const struct augment *a, const char *file, struct rng *r, uint8_t *out)
{
    enum image_reason why = IMAGE_OK;
    struct err e = {0};

    if (augment_file(golden_codec, a, file, strlen(file), r, out, &why, &e) != RC_OK) {
        fail_msg("%s", e.msg);
    }
}

static void a_flip_happens_with_its_probability(void **state)
{
    struct augment a = plain(2, AUG_CROP_CENTER);
    struct rng r;
    int flips = 0;

    (void)state;
    a.flip = 0.4;
    draw_stream(&r, 6, 0);
    for (int i = 0; i < DRAWS; i++) {
        uint8_t out[4];

        run(&a, two, &r, out);
        if (out[0] == 1) {
            assert_memory_equal(out, "\1\2\3\4", 4);
        } else {
            assert_memory_equal(out, "\2\1\4\3", 4);
            flips++;
        }
    }
    assert_true(fabs(flips - 0.4 * DRAWS) < 4 * sqrt(0.24 * DRAWS));
}

/* The centre pixel says where it went; what came in is zero. */
static void a_shift_is_uniform_with_zeros_behind(void **state)
{
    struct augment a = plain(3, AUG_CROP_SHIFT);
    struct rng r;
    int counts[9] = {0};
    double chi = 0;

    (void)state;
    a.shift_px = 1;
    draw_stream(&r, 7, 0);
    for (int i = 0; i < DRAWS; i++) {
        uint8_t out[9];
        int at = 0;

        run(&a, three, &r, out);
        while (out[at] != 5) {
            at++;
        }
        counts[at]++;
        assert_int_equal(out[0], at == 4 ? 1 : at == 0 ? 5 : at == 1 ? 4 : at == 3 ? 2 : 0);
    }
    for (int i = 0; i < 9; i++) {
        chi += pow(counts[i] - DRAWS / 9.0, 2) / (DRAWS / 9.0);
    }
    assert_true(chi < 26.1); /* 8 degrees of freedom, p = 0.001 */
}

static void the_last_cutout_is_a_square_of_its_side(void **state)
{
    struct augment a = plain(3, AUG_CROP_CENTER);
    struct rng r;
    int cut = 0;

    (void)state;
    a.cutout_prob = 0.5;
    a.cutout_px = 1;
    a.fill = 77;
    draw_stream(&r, 8, 0);
    for (int i = 0; i < DRAWS; i++) {
        uint8_t out[9];
        int filled = 0;

        run(&a, three, &r, out);
        for (int k = 0; k < 9; k++) {
            filled += out[k] == 77;
        }
        assert_in_range(filled, 0, 1);
        cut += filled;
    }
    assert_true(fabs(cut - 0.5 * DRAWS) < 4 * sqrt(0.25 * DRAWS));
}

/* ---- the whole ---------------------------------------------------------------------------- */

static void full_noise(struct codec *k, uint8_t image, enum augment_flavor flavor, uint8_t *out)
{
    struct golden_file f = golden_read("tests/data/photos/", "tiles/02.jpg");
    enum image_reason why = IMAGE_OK;
    struct augment a;
    struct rng r;
    struct err e = {0};

    augment_default(&a);
    a.size = 48;
    a.flavor = flavor;
    a.cutout_prob = 0.5;
    a.cutout_px = 8;
    draw_stream(&r, 2, image);
    if (augment_file(k, &a, f.data, f.bytes, &r, out, &why, &e) != RC_OK) {
        fail_msg("%s", e.msg);
    }
    mem_free(f.data);
}

static void noise_depends_on_the_stream_alone(void **state)
{
    uint8_t a[48 * 48 * 3];
    uint8_t b[48 * 48 * 3];
    struct codec *fresh = NULL;

    (void)state;
    for (int flavor = AUG_TF; flavor <= AUG_TIMM; flavor++) {
        for (uint8_t i = 0; i < 40; i++) {
            full_noise(golden_codec, i, (enum augment_flavor)flavor, a);
            full_noise(golden_codec, (uint8_t)(i + 100), (enum augment_flavor)flavor, b);
            assert_memory_not_equal(a, b, sizeof a);
            assert_int_equal(codec_create(&fresh, NULL), RC_OK);
            full_noise(fresh, i, (enum augment_flavor)flavor, b);
            codec_destroy(fresh);
            assert_memory_equal(a, b, sizeof a);
        }
    }
}

static void warm_noise_allocates_nothing(void **state)
{
    static uint8_t data[200 * 200 * 3 + 15];
    struct augment a;
    uint8_t out[64 * 64 * 3];
    uint64_t before = 0;
    int n = snprintf((char *)data, sizeof data, "P6 200 200 255\n");

    (void)state;
    augment_default(&a);
    a.size = 64;
    memset(data + n, 90, 200 * 200 * 3);
    for (uint8_t i = 0; i < 200; i++) {
        enum image_reason why = IMAGE_OK;
        struct rng r;

        if (i == 100) {
            before = mem_count();
        }
        draw_stream(&r, 1, (uint8_t)(i % 100));
        assert_int_equal(augment_file(golden_codec, &a, data, sizeof data, &r, out, &why, NULL),
                         RC_OK);
    }
    assert_int_equal(mem_count(), before);
}

static void a_bad_file_keeps_its_reason_and_a_bad_option_its_name(void **state)
{
    struct augment a = plain(3, AUG_CROP_RRC);
    enum image_reason why = IMAGE_OK;
    struct err e = {0};
    uint8_t out[9];
    struct rng r;

    (void)state;
    draw_stream(&r, 1, 0);
    assert_int_equal(augment_file(golden_codec, &a, "text", 4, &r, out, &why, &e), RC_INVAL);
    assert_int_equal(why, IMAGE_NOT_IDENTIFIED);
    err_clear(&e);
    a.area_min = 2;
    assert_int_equal(augment_file(golden_codec, &a, two, 15, &r, out, &why, &e), RC_INVAL);
    assert_int_equal(why, IMAGE_OK);
    assert_string_equal(e.msg, "noise: out of range: area or aspect");
    err_clear(&e);
    a = plain(3, AUG_CROP_CENTER);
    a.layers = 1;
    a.ops = 0;
    assert_int_equal(augment_file(golden_codec, &a, two, 15, &r, out, &why, &e), RC_INVAL);
    assert_string_equal(e.msg, "noise: out of range: operations");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crops_have_uniform_area_log_aspect_and_place),
        cmocka_unit_test(a_crop_that_cannot_be_is_the_largest_centred_one),
        cmocka_unit_test(a_random_crop_is_cut_then_resized),
        cmocka_unit_test(a_flip_happens_with_its_probability),
        cmocka_unit_test(a_shift_is_uniform_with_zeros_behind),
        cmocka_unit_test(the_last_cutout_is_a_square_of_its_side),
        cmocka_unit_test(noise_depends_on_the_stream_alone),
        cmocka_unit_test(warm_noise_allocates_nothing),
        cmocka_unit_test(a_bad_file_keeps_its_reason_and_a_bad_option_its_name),
    };

    return cmocka_run_group_tests(tests, golden_enter, golden_leave);
}

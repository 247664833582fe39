#include "tests/common/image/golden.h"

static enum rc eval_file(const struct image_eval *p, const struct golden_file *f, uint8_t *out,
                         enum image_reason *why, struct err *e)
{
    return image_eval_file(golden_codec, p, f->data, f->bytes, out, why, e);
}

static void check_eval(char **col, int n)
{
    struct golden_file f = golden_read(GOLDEN, col[0]);
    struct image_eval p = {.size = golden_int(col[1]),
                           .crop_pct = strtod(col[2], NULL),
                           .filter = golden_filter(col[3]),
                           .channels = golden_int(col[4])};
    size_t bytes = (size_t)p.size * (size_t)p.size * (size_t)p.channels;
    uint8_t *out = mem_calloc(bytes, 1);
    enum image_reason why = IMAGE_REASON_N;
    struct err e = {0};
    char *what = mem_sprintf("%s to %s px, crop %s, %s, %s channels", col[0], col[1], col[2],
                             col[3], col[4]);

    assert_int_equal(n, 6);
    assert_true(out != NULL && what != NULL);
    if (eval_file(&p, &f, out, &why, &e) != RC_OK) {
        fail_msg("%s: %s", what, e.msg);
    }
    golden_expect(out, bytes, col[5], what);
    mem_free(what);
    mem_free(out);
    mem_free(f.data);
}

static void the_evaluation_transform_is_timms(void **state)
{
    (void)state;
    assert_in_range(golden_each("eval.tsv", check_eval), 200, 1000);
}

static void the_fingerprint_names_all_that_pixels_depend_on(void **state)
{
    struct image_eval p = {.size = 160, .channels = 3, .crop_pct = 0.91, .filter = IMAGE_BICUBIC};
    char text[160];

    (void)state;
    image_eval_fingerprint(&p, text, sizeof text);
    assert_string_equal(text, "jpeg=islow,fancy,full resize=pillow13-bicubic,short=175 "
                              "crop=centre,160 channels=3");
    p = (struct image_eval){28, 1, 1.0, IMAGE_BILINEAR, true};
    image_eval_fingerprint(&p, text, sizeof text);
    assert_string_equal(text, "jpeg=islow,fancy,reduced resize=pillow13-bilinear,short=28 "
                              "crop=centre,28 channels=1");
}

static double mean_difference(const uint8_t *a, const uint8_t *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum += abs(a[i] - b[i]);
    }
    return sum / (double)n;
}

static void a_reduced_decode_is_near_the_exact_one(void **state)
{
    struct golden_file f = golden_read("tests/data/photos/", "discs/01.jpg");
    struct image_eval p = {.size = 28, .channels = 3, .crop_pct = 0.875, .filter = IMAGE_BICUBIC};
    uint8_t exact[28 * 28 * 3];
    uint8_t reduced[28 * 28 * 3];
    enum image_reason why = IMAGE_OK;
    double mean = 0;

    (void)state;
    assert_int_equal(eval_file(&p, &f, exact, &why, NULL), RC_OK);
    p.reduced_dct = true;
    assert_int_equal(eval_file(&p, &f, reduced, &why, NULL), RC_OK);
    mean = mean_difference(exact, reduced, sizeof exact);
    assert_true(mean > 0.0 && mean < 4.0);
    mem_free(f.data);
}

static void the_reduced_scale_keeps_every_output_pixel(void **state)
{
    (void)state;
    assert_int_equal(crop_denominator(500, 375, 233, 175), 2);
    assert_int_equal(crop_denominator(500, 349, 250, 175), 2);
    assert_int_equal(crop_denominator(500, 348, 250, 175), 1);
    assert_int_equal(crop_denominator(4000, 3000, 233, 175), 8);
    assert_int_equal(crop_denominator(100, 100, 200, 200), 1);
}

/* A file cut below what the crop needs is still a truncated file. */
static void damage_below_the_crop_is_seen(void **state)
{
    struct golden_file f = golden_read(GOLDEN, "tall.jpg");
    struct image_eval p = {.size = 16, .channels = 3, .crop_pct = 0.5, .filter = IMAGE_BICUBIC};
    uint8_t out[16 * 16 * 3];
    enum image_reason why = IMAGE_OK;

    (void)state;
    assert_int_equal(eval_file(&p, &f, out, &why, NULL), RC_OK);
    f.bytes -= f.bytes / 12;
    assert_int_equal(eval_file(&p, &f, out, &why, NULL), RC_INVAL);
    assert_int_equal(why, IMAGE_TRUNCATED);
    mem_free(f.data);
}

static void a_thread_of_an_image_is_cropped_without_its_length_in_memory(void **state)
{
    struct golden_file f = {0};
    struct image_eval p = {.size = 24, .channels = 1, .crop_pct = 1.0, .filter = IMAGE_BICUBIC};
    uint8_t out[24 * 24];
    enum image_reason why = IMAGE_OK;

    (void)state;
    f.data = mem_calloc(60020, 1);
    assert_non_null(f.data);
    f.bytes = (size_t)snprintf(f.data, 20, "P5 1 60000 255\n") + 60000;
    memset(f.data + 15, 99, 60000);
    assert_int_equal(eval_file(&p, &f, out, &why, NULL), RC_OK);
    assert_int_equal(out[0], 99);
    assert_int_equal(out[sizeof out - 1], 99);
    mem_free(f.data);
}

static void a_warm_crop_allocates_nothing(void **state)
{
    static const char *const names[] = {"420.jpg", "tall.jpg", "gray.jpg", "rgb.png"};
    struct image_eval p = {.size = 40, .channels = 3, .crop_pct = 0.9, .filter = IMAGE_BICUBIC};
    uint8_t out[40 * 40 * 3];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) {
            struct golden_file f = golden_read(GOLDEN, names[i]);
            enum image_reason why = IMAGE_OK;
            uint64_t before = mem_count();

            assert_int_equal(eval_file(&p, &f, out, &why, NULL), RC_OK);
            if (round == 1) {
                assert_int_equal(mem_count(), before);
            }
            mem_free(f.data);
        }
    }
}

static void a_senseless_size_is_refused(void **state)
{
    struct golden_file f = golden_read(GOLDEN, "420.jpg");
    struct image_eval p = {.size = 160, .channels = 2, .crop_pct = 0.9};
    enum image_reason why = IMAGE_OK;
    struct err e = {0};
    uint8_t out[1];

    (void)state;
    assert_int_equal(eval_file(&p, &f, out, &why, &e), RC_INVAL);
    assert_int_equal(why, IMAGE_OK);
    assert_non_null(strstr(e.msg, "preprocessing to 160 px, crop 0.9, 2 channels: expected"));
    p = (struct image_eval){.size = 160, .channels = 3, .crop_pct = 0};
    assert_int_equal(eval_file(&p, &f, out, &why, NULL), RC_INVAL);
    mem_free(f.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_evaluation_transform_is_timms),
        cmocka_unit_test(the_fingerprint_names_all_that_pixels_depend_on),
        cmocka_unit_test(a_reduced_decode_is_near_the_exact_one),
        cmocka_unit_test(the_reduced_scale_keeps_every_output_pixel),
        cmocka_unit_test(damage_below_the_crop_is_seen),
        cmocka_unit_test(a_thread_of_an_image_is_cropped_without_its_length_in_memory),
        cmocka_unit_test(a_warm_crop_allocates_nothing),
        cmocka_unit_test(a_senseless_size_is_refused),
    };

    return cmocka_run_group_tests(tests, golden_enter, golden_leave);
}

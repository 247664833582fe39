#include <math.h>

#include "common/image/augment_impl.h"
#include "tests/common/image/golden.h"

static enum augment_op op_named(const char *name)
{
    for (int i = 0; i < AUG_OP_N; i++) {
        if (strcmp(augment_op_name((enum augment_op)i), name) == 0) {
            return (enum augment_op)i;
        }
    }
    fail_msg("no operation is named '%s'", name);
    return AUG_OP_N;
}

static void check_op(struct image *img, enum augment_flavor flavor, const char *op, double arg,
                     const int center[2], const char *sha, const char *file)
{
    char *what = mem_sprintf("%s of %s at %g, centre %d %d", op, file, arg, center[0], center[1]);
    struct err e = {0};

    assert_non_null(what);
    assert_int_equal(augment_apply(golden_codec, flavor, op_named(op), arg, center, img, &e),
                     RC_OK);
    golden_expect(img->pixels, golden_bytes(img), sha, what);
    mem_free(what);
    mem_free(img->pixels);
}

static void check_tf(char **col, int n)
{
    bool photo = strncmp(col[0], "photos/", 7) == 0;
    struct image img = golden_decode(photo ? "tests/data/" : GOLDEN, col[0], 3);
    const int center[2] = {golden_int(col[4]), golden_int(col[5])};

    assert_int_equal(n, 7);
    check_op(&img, AUG_TF, col[1], strtod(col[3], NULL), center, col[6], col[0]);
}

static void every_operation_equals_tensorflows(void **state)
{
    (void)state;
    assert_in_range(golden_each("tf_aug.tsv", check_tf), 390, 1000);
}

static void check_pil(char **col, int n)
{
    struct image img = golden_decode(GOLDEN, col[0], golden_int(col[1]));
    const int center[2] = {0, 0};

    assert_int_equal(n, 5);
    check_op(&img, AUG_TIMM, col[2], strtod(col[3], NULL), center, col[4], col[0]);
}

static void every_operation_equals_pillows(void **state)
{
    (void)state;
    assert_in_range(golden_each("pil_aug.tsv", check_pil), 230, 1000);
}

/* ---- arguments ---------------------------------------------------------------------------- */

struct level {
    enum augment_op op;
    double m, arg;
};

static void check_levels(const struct augment *a, const struct level *levels, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double got = augment_argument(a, levels[i].op, levels[i].m);

        if (fabs(got - levels[i].arg) > 1e-12) {
            fail_msg("%s at %g: %g, expected %g", augment_op_name(levels[i].op), levels[i].m, got,
                     levels[i].arg);
        }
    }
}

static void tf_arguments_are_the_papers(void **state)
{
    static const struct level levels[] = {
        {AUG_ROTATE, 10, 30},       {AUG_ROTATE, 15, 45},        {AUG_POSTERIZE, 10, 4},
        {AUG_POSTERIZE, 15, 6},     {AUG_POSTERIZE, 27, 10},     {AUG_SOLARIZE, 10, 256},
        {AUG_SOLARIZE, 27, 691},    {AUG_SOLARIZE_ADD, 15, 165}, {AUG_COLOR, 10, 1.9},
        {AUG_CONTRAST, 15, 2.8},    {AUG_SHARPNESS, 27, 4.96},   {AUG_SHEAR_X, 15, 0.45},
        {AUG_TRANSLATE_Y, 10, 100}, {AUG_TRANSLATE_X, 27, 270},  {AUG_CUTOUT, 10, 40},
        {AUG_CUTOUT, 27, 108},      {AUG_INVERT, 10, 0},         {AUG_BRIGHTNESS, 5, 1.0},
    };
    struct augment a;

    (void)state;
    augment_default(&a);
    check_levels(&a, levels, sizeof levels / sizeof levels[0]);
    a.translate_const = 10;
    assert_true(augment_argument(&a, AUG_TRANSLATE_X, 5) == 5.0);
}

static void timm_arguments_are_its_increasing_ones(void **state)
{
    static const struct level levels[] = {
        {AUG_ROTATE, 3, 9},        {AUG_POSTERIZE, 0, 4},       {AUG_POSTERIZE, 5, 2},
        {AUG_POSTERIZE, 10, 0},    {AUG_SOLARIZE, 0, 256},      {AUG_SOLARIZE, 10, 0},
        {AUG_SOLARIZE, 5, 128},    {AUG_SOLARIZE_ADD, 10, 110}, {AUG_COLOR, 3, 1.27},
        {AUG_BRIGHTNESS, 10, 1.9}, {AUG_SHEAR_Y, 3, 0.09},      {AUG_TRANSLATE_X, 10, 72},
    };
    struct augment a;

    (void)state;
    augment_default(&a);
    a.flavor = AUG_TIMM;
    check_levels(&a, levels, sizeof levels / sizeof levels[0]);
    a.translate_const = 8;
    assert_true(fabs(augment_argument(&a, AUG_TRANSLATE_Y, 3) - 2.4) < 1e-12);
}

static void names_of_operations_become_a_set(void **state)
{
    struct err e = {0};
    uint32_t ops = 0;

    (void)state;
    assert_int_equal(augment_parse_ops("identity,rotate , shear_x", &ops, &e), RC_OK);
    assert_int_equal(ops, 1U << AUG_IDENTITY | 1U << AUG_ROTATE | 1U << AUG_SHEAR_X);
    assert_int_equal(augment_parse_ops("all", &ops, &e), RC_OK);
    assert_int_equal(__builtin_popcount(ops), 17);
    assert_int_equal(augment_parse_ops("timm", &ops, &e), RC_OK);
    assert_int_equal(__builtin_popcount(ops), 15);
    assert_int_equal(augment_parse_ops("rotate,spin", &ops, &e), RC_INVAL);
    assert_non_null(strstr(e.msg, "unknown operation 'spin' in 'rotate,spin'"));
    err_clear(&e);
    assert_int_equal(augment_parse_ops("rotate,", &ops, &e), RC_INVAL);
    assert_int_equal(__builtin_popcount(ops), 15);
}

/* ---- draws -------------------------------------------------------------------------------- */

enum { DRAWS = 100000 };

static void draw_stream(struct rng *r, uint64_t seed)
{
    struct key128 key = {{0}};

    rng_init(r, seed, RNG_TEST, 0, &key, 0);
}

/* Chi-square of counts that should be equal, as a z-score (Wilson and Hilferty). */
static double chi_z(const int *counts, int n)
{
    double expected = 0;
    double chi = 0;
    double v = 2.0 / (9.0 * (n - 1));

    for (int i = 0; i < n; i++) {
        expected += counts[i];
    }
    expected /= n;
    for (int i = 0; i < n; i++) {
        chi += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    return (cbrt(chi / (n - 1)) - (1 - v)) / sqrt(v);
}

static void operations_are_drawn_uniformly(void **state)
{
    static const uint32_t sets[] = {0x1FFFF, 1U << AUG_ROTATE | 1U << AUG_COLOR | 1U << AUG_CUTOUT};

    (void)state;
    for (size_t s = 0; s < 2; s++) {
        int counts[AUG_OP_N] = {0};
        int seen[AUG_OP_N];
        int n = 0;
        struct rng r;

        draw_stream(&r, 5 + s);
        for (int i = 0; i < DRAWS; i++) {
            counts[randaugment_draw_op(sets[s], &r)]++;
        }
        for (int i = 0; i < AUG_OP_N; i++) {
            if ((sets[s] >> i & 1) != 0) {
                seen[n++] = counts[i];
            } else {
                assert_int_equal(counts[i], 0);
            }
        }
        assert_true(fabs(chi_z(seen, n)) < 3.5);
    }
}

/* Layers on a few pixels, many times; returns how often the first pixel came out as `value`. */
static int count_layers(const struct augment *a, const uint8_t start[6], uint8_t value)
{
    struct rng r;
    int hits = 0;

    draw_stream(&r, 9);
    for (int i = 0; i < DRAWS; i++) {
        uint8_t pixels[6];
        uint8_t spare[6];
        struct image img = {pixels, 6, 1, 1};

        memcpy(pixels, start, sizeof pixels);
        randaugment_layers(a, &r, &img, spare);
        hits += pixels[0] == value;
    }
    return hits;
}

static void an_operation_is_applied_with_its_probability(void **state)
{
    static const uint8_t start[6] = {10, 20, 30, 40, 50, 60};
    struct augment a = {.layers = 1, .op_prob = 0.3, .ops = 1U << AUG_INVERT};
    int hits = 0;

    (void)state;
    hits = count_layers(&a, start, 245);
    assert_true(fabs(hits - 0.3 * DRAWS) < 4 * sqrt(0.3 * 0.7 * DRAWS));
    a.op_prob = 1;
    assert_int_equal(count_layers(&a, start, 245), DRAWS);
    a.layers = 2;
    assert_int_equal(count_layers(&a, start, 10), DRAWS);
    a.layers = 0;
    assert_int_equal(count_layers(&a, start, 10), DRAWS);
}

static void both_signs_are_as_likely(void **state)
{
    static const uint8_t start[6] = {10, 20, 30, 40, 50, 60};
    struct augment a = {.layers = 1,
                        .op_prob = 1,
                        .ops = 1U << AUG_TRANSLATE_X,
                        .magnitude = 10,
                        .translate_const = 2};
    int right = 0;

    (void)state;
    right = count_layers(&a, start, 30);
    assert_true(fabs(right - 0.5 * DRAWS) < 4 * sqrt(0.25 * DRAWS));
    assert_int_equal(count_layers(&a, start, 20), DRAWS - right); /* reflected from the left */
}

static void the_cutout_centre_is_uniform(void **state)
{
    struct augment a = {.layers = 1,
                        .op_prob = 1,
                        .ops = 1U << AUG_CUTOUT,
                        .magnitude = 10,
                        .cutout_const = 1,
                        .fill = 7};
    int counts[6] = {0};
    struct rng r;

    (void)state;
    draw_stream(&r, 3);
    for (int i = 0; i < DRAWS; i++) {
        uint8_t pixels[7] = {0};
        uint8_t spare[7];
        struct image img = {pixels, 6, 1, 1};
        int last = 5;

        randaugment_layers(&a, &r, &img, spare);
        while (pixels[last] == 0) {
            last--;
        }
        counts[last]++; /* [centre - 1, centre + 1) is filled */
    }
    assert_true(fabs(chi_z(counts, 6)) < 3.5);
}

static void timm_spreads_the_magnitude_and_clips_it(void **state)
{
    static const uint8_t start[6] = {100, 0, 0, 0, 0, 0};
    struct augment a = {.layers = 1,
                        .op_prob = 1,
                        .ops = 1U << AUG_SOLARIZE_ADD,
                        .magnitude = 9,
                        .flavor = AUG_TIMM};
    int at_ten = 0;

    (void)state;
    assert_int_equal(count_layers(&a, start, 199), DRAWS); /* + int(0.9 * 110) */
    a.magnitude = 30;
    assert_int_equal(count_layers(&a, start, 210), DRAWS);
    a.magnitude = 9;
    a.magnitude_std = 1;
    at_ten = count_layers(&a, start, 210); /* P(N(9, 1) >= 10) = 0.158655 */
    assert_true(fabs(at_ten - 0.158655 * DRAWS) < 4 * sqrt(0.1335 * DRAWS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_equals_tensorflows),
        cmocka_unit_test(every_operation_equals_pillows),
        cmocka_unit_test(tf_arguments_are_the_papers),
        cmocka_unit_test(timm_arguments_are_its_increasing_ones),
        cmocka_unit_test(names_of_operations_become_a_set),
        cmocka_unit_test(operations_are_drawn_uniformly),
        cmocka_unit_test(an_operation_is_applied_with_its_probability),
        cmocka_unit_test(both_signs_are_as_likely),
        cmocka_unit_test(the_cutout_centre_is_uniform),
        cmocka_unit_test(timm_spreads_the_magnitude_and_clips_it),
    };

    return cmocka_run_group_tests(tests, golden_enter, golden_leave);
}

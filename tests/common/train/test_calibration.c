/* A temperature is found, on the held-out images alone, and judged on the others. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/train/calibration.h"

enum { CLASSES = 6 };

static struct coll *self;

static int open_self(void **state)
{
    struct err e = {0};

    (void)state;
    return coll_self_create(&self, &e);
}

static int close_self(void **state)
{
    (void)state;
    coll_destroy(self);
    return 0;
}

/* Normal logits, and a class drawn from softmax(z / temperature). */
static void draw(struct rng *r, double temperature, float z[CLASSES], int32_t *cls)
{
    double p[CLASSES];
    double sum = 0;
    double u;

    for (int k = 0; k < CLASSES; k++) {
        z[k] = (float)(3 * rng_normal(r));
        p[k] = exp((double)z[k] / temperature);
        sum += p[k];
    }
    u = (double)rng_f32(r) * sum;
    *cls = 0;
    while (*cls < CLASSES - 1 && u >= p[*cls]) {
        u -= p[(*cls)++];
    }
}

static struct calibration *drawn(double temperature, int rows, uint64_t first)
{
    struct calibration *c = NULL;
    struct key128 key = {{0}};
    struct rng r;
    struct err e = {0};

    rng_init(&r, 2, RNG_TEST, 0, &key, 0);
    assert_int_equal(calibration_create(CLASSES, first, &c, &e), RC_OK);
    for (int i = 0; i < rows; i++) {
        float z[CLASSES];
        int32_t cls;

        draw(&r, temperature, z, &cls);
        assert_int_equal(calibration_add(c, z, cls, &e), RC_OK);
    }
    return c;
}

static void the_temperature_that_classes_were_drawn_with_is_found(void **state)
{
    static const double wanted[] = {0.5, 1, 2.5};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct calibration *c = drawn(wanted[i], 20000, 0);
        double t = 0;
        int64_t held = 0;
        struct err e = {0};

        assert_int_equal(calibration_fit(c, self, &t, &held, &e), RC_OK);
        assert_int_equal(held, 4000);
        assert_true(fabs(t / wanted[i] - 1) < 0.08);
        calibration_destroy(c);
    }
}

/* NLL of the held-out rows by its definition. */
static double nll(double temperature, int rows, double t)
{
    struct key128 key = {{0}};
    struct rng r;
    double sum = 0;

    rng_init(&r, 2, RNG_TEST, 0, &key, 0);
    for (int i = 0; i < rows; i++) {
        float z[CLASSES];
        int32_t cls;
        double mass = 0;

        draw(&r, temperature, z, &cls);
        for (int k = 0; k < CLASSES; k++) {
            mass += exp((double)(z[k] - z[cls]) / t);
        }
        sum += i % CALIBRATION_EVERY == 0 ? log(mass) : 0;
    }
    return sum;
}

static void no_other_temperature_is_better(void **state)
{
    struct calibration *c = drawn(1.7, 500, 0);
    double t = 0;
    int64_t held = 0;
    struct err e = {0};

    (void)state;
    assert_int_equal(calibration_fit(c, self, &t, &held, &e), RC_OK);
    for (double step = 1e-3; step < 1; step *= 10) {
        assert_true(nll(1.7, 500, t) < nll(1.7, 500, t * (1 + step)));
        assert_true(nll(1.7, 500, t) < nll(1.7, 500, t / (1 + step)));
    }
    calibration_destroy(c);
}

static void the_others_are_better_calibrated_at_it(void **state)
{
    struct calibration *c = drawn(2.5, 5000, 0);
    struct evaluation before = {0};
    struct evaluation after = {0};
    double t = 0;
    int64_t held = 0;
    struct err e = {0};

    (void)state;
    assert_int_equal(calibration_fit(c, self, &t, &held, &e), RC_OK);
    assert_int_equal(calibration_evaluate(c, 1, self, &before, &e), RC_OK);
    assert_int_equal(calibration_evaluate(c, t, self, &after, &e), RC_OK);
    assert_int_equal(after.images, 4000);
    assert_int_equal(after.top1, before.top1); /* a temperature changes no order */
    assert_true(before.ece > 0.1 && after.ece < 0.03);
    assert_true(after.nll < 0.9 * before.nll);
    evaluation_release(&before);
    evaluation_release(&after);
    calibration_destroy(c);
}

/* A rank whose first image is number 3 of the set holds out numbers 5, 10, ... */
static void what_is_held_out_hangs_on_the_number_in_the_whole_set(void **state)
{
    struct calibration *c = drawn(1, 8, 3);
    double t = 0;
    int64_t held = 0;
    struct err e = {0};

    (void)state;
    assert_int_equal(calibration_fit(c, self, &t, &held, &e), RC_OK);
    assert_int_equal(held, 2);
    calibration_destroy(c);
}

static void nothing_held_out_is_an_error(void **state)
{
    struct calibration *c = drawn(1, 4, 1);
    double t = 7;
    int64_t held = 7;
    struct err e = {0};

    (void)state;
    assert_int_equal(calibration_fit(c, self, &t, &held, &e), RC_INVAL);
    assert_string_equal(e.msg, "no image is held out to fit a temperature to");
    assert_true(t == 7 && held == 7);
    calibration_destroy(c);
}

static void a_model_that_is_always_right_ends_at_the_limit(void **state)
{
    struct calibration *c = NULL;
    const float z[CLASSES] = {0, 0, 5, 0, 0, 0};
    double t = 0;
    int64_t held = 0;
    struct err e = {0};

    (void)state;
    assert_int_equal(calibration_create(CLASSES, 0, &c, &e), RC_OK);
    assert_int_equal(calibration_add(c, z, 2, &e), RC_OK);
    assert_int_equal(calibration_fit(c, self, &t, &held, &e), RC_OK);
    assert_true(fabs(t - 0.05) < 1e-6);
    calibration_destroy(c);
}

static void a_failed_allocation_is_an_error(void **state)
{
    struct calibration *c = NULL;
    const float z[CLASSES] = {0};
    struct evaluation v = {0};
    struct err e = {0};

    (void)state;
    mem_fail_at(1);
    assert_int_equal(calibration_create(CLASSES, 0, &c, &e), RC_NOMEM);
    assert_int_equal(calibration_create(CLASSES, 0, &c, &e), RC_OK);
    for (uint64_t n = 1; n <= 2; n++) {
        mem_fail_at(n);
        assert_int_equal(calibration_add(c, z, 2, &e), RC_NOMEM);
    }
    mem_fail_at(0);
    assert_int_equal(calibration_add(c, z, 2, &e), RC_OK);
    for (uint64_t n = 1; n <= 2; n++) {
        mem_fail_at(n);
        assert_int_equal(calibration_evaluate(c, 1, self, &v, &e), RC_NOMEM);
    }
    mem_fail_at(0);
    calibration_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_temperature_that_classes_were_drawn_with_is_found),
        cmocka_unit_test(no_other_temperature_is_better),
        cmocka_unit_test(the_others_are_better_calibrated_at_it),
        cmocka_unit_test(what_is_held_out_hangs_on_the_number_in_the_whole_set),
        cmocka_unit_test(nothing_held_out_is_an_error),
        cmocka_unit_test(a_model_that_is_always_right_ends_at_the_limit),
        cmocka_unit_test(a_failed_allocation_is_an_error),
    };

    return cmocka_run_group_tests(tests, open_self, close_self);
}

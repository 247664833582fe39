/* Ranges of activations: what was seen, in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/nn/quant.h"

enum { ROWS = 4000 };

static const struct nn_model *model(void)
{
    static struct nn_model m;

    m = (struct nn_model){nn_family_find("resnetrs11_w16"), 1, 5};
    return &m;
}

static void start(struct quant **q, struct quant_watch **w)
{
    struct err e = {0};

    assert_int_equal(quant_create(model(), q, &e), RC_OK);
    assert_int_equal(quant_watch_create(*q, w, &e), RC_OK);
}

static void see(struct quant_watch *w, const char *name, const float *v, size_t rows, int channels)
{
    struct err e = {0};

    assert_int_equal(quant_watch_see(w, name, v, rows, channels, &e), RC_OK);
}

static void draw(float *v, size_t n, double spread)
{
    static const struct key128 key = {{1}};
    struct rng r;

    rng_init(&r, 2, RNG_TEST, 0, &key, 0);
    for (size_t i = 0; i < n; i++) {
        v[i] = (float)(spread * fabs(rng_normal(&r)));
    }
}

static void ranges_are_the_models(void **state)
{
    struct quant *q = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(quant_create(model(), &q, &e), RC_OK);
    assert_int_equal(quant_find(q, "conv1.0")->n, 1);
    assert_int_equal(quant_find(q, "layer1.0.conv3")->n, 64);
    assert_int_equal(quant_find(q, "layer2.0.downsample.1")->n, 128);
    assert_int_equal(quant_find(q, "layer2.0.join")->n, 1);
    assert_int_equal(quant_find(q, "layer3.0.join")->n, 256); /* the last: only the head reads it */
    assert_null(quant_find(q, "layer1.0.se.fc1"));
    quant_destroy(q);
}

static void tops_do_not_depend_on_order_or_batches(void **state)
{
    static float v[ROWS];
    struct quant *a = NULL;
    struct quant *b = NULL;
    struct quant_watch *wa = NULL;
    struct quant_watch *wb = NULL;

    (void)state;
    draw(v, ROWS, 3);
    start(&a, &wa);
    start(&b, &wb);
    see(wa, "layer1.0.conv1", v, ROWS, 1);
    for (int i = 3; i >= 0; i--) { /* the spans are widened at other moments */
        see(wb, "layer1.0.conv1", v + (size_t)i * ROWS / 4, ROWS / 4, 1);
    }
    quant_watch_finish(wa);
    quant_watch_finish(wb);
    assert_true(quant_find(a, "layer1.0.conv1")->top[0] > 0);
    assert_memory_equal(a->tops, b->tops, a->n_tops * sizeof *a->tops);
    quant_watch_destroy(wa);
    quant_watch_destroy(wb);
    quant_destroy(a);
    quant_destroy(b);
}

static double square_error(const float *v, size_t n, double top)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        double q = rint(fmin((double)v[i] / top * 255, 255)) * top / 255;

        sum += (q - (double)v[i]) * (q - (double)v[i]);
    }
    return sum;
}

/* One value far from the others is clamped where that costs less than a coarse step for all. */
static void the_top_has_the_least_squared_error(void **state)
{
    static float v[ROWS];
    struct quant *q = NULL;
    struct quant_watch *w = NULL;
    double top = 0;
    double least = HUGE_VAL;

    (void)state;
    draw(v, ROWS, 1);
    v[17] = 6;
    start(&q, &w);
    see(w, "conv1.0", v, ROWS, 1);
    quant_watch_finish(w);
    top = (double)quant_find(q, "conv1.0")->top[0];
    for (double t = 0.5; t <= 6; t += 0.01) {
        least = fmin(least, square_error(v, ROWS, t));
    }
    assert_true(top < 6);
    assert_true(square_error(v, ROWS, top) < 1.05 * least);
    quant_watch_destroy(w);
    quant_destroy(q);
}

static void channels_keep_their_largest_magnitude(void **state)
{
    float v[2 * 64] = {0};
    struct quant *q = NULL;
    struct quant_watch *w = NULL;
    const float *top = NULL;

    (void)state;
    v[3] = 1.5F;
    v[64 + 3] = -2.5F;
    v[64 + 63] = 0.25F;
    start(&q, &w);
    see(w, "layer1.0.conv3", v, 2, 64);
    quant_watch_finish(w);
    top = quant_find(q, "layer1.0.conv3")->top;
    assert_true(top[3] == 2.5F && top[63] == 0.25F && top[0] == 0);
    quant_watch_destroy(w);
    quant_destroy(q);
}

static void a_value_that_is_not_finite_names_its_plan(void **state)
{
    float v[2] = {1, NAN};
    struct quant *q = NULL;
    struct quant_watch *w = NULL;
    struct err e = {0};

    (void)state;
    start(&q, &w);
    assert_int_equal(quant_watch_see(w, "conv1.0", v, 2, 1, &e), RC_INVAL);
    assert_non_null(strstr(e.msg, "conv1.0 gives a value that is not finite"));
    e = (struct err){0};
    assert_int_equal(quant_watch_see(w, "fc", v, 2, 1, &e), RC_OK); /* not among the ranges */
    quant_watch_destroy(w);
    quant_destroy(q);
}

static void memory_that_runs_out_leaks_nothing(void **state)
{
    enum rc rc = RC_NOMEM;

    (void)state;
    for (uint64_t n = 1; rc != RC_OK; n++) {
        struct quant *q = NULL;
        struct quant_watch *w = NULL;
        struct err e = {0};

        mem_fail_at(n);
        rc = quant_create(model(), &q, &e);
        rc = rc == RC_OK ? quant_watch_create(q, &w, &e) : rc;
        mem_fail_at(0);
        assert_true(rc == RC_OK || rc == RC_NOMEM);
        quant_watch_destroy(w);
        quant_destroy(q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_the_models),
        cmocka_unit_test(tops_do_not_depend_on_order_or_batches),
        cmocka_unit_test(the_top_has_the_least_squared_error),
        cmocka_unit_test(channels_keep_their_largest_magnitude),
        cmocka_unit_test(a_value_that_is_not_finite_names_its_plan),
        cmocka_unit_test(memory_that_runs_out_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

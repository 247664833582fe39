#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/train/evaluate.h"

static struct evaluation v;
static struct coll *self;

static int start(void **state)
{
    struct err e = {0};

    (void)state;
    return coll_self_create(&self, &e) != RC_OK || evaluation_init(&v, 7, &e) != RC_OK;
}

static int stop(void **state)
{
    (void)state;
    evaluation_release(&v);
    coll_destroy(self);
    return 0;
}

static void counts_ranks_and_bins_are_right(void **state)
{
    const float sure[7] = {0.9f, 0.1f, 0, 0, 0, 0, 0};
    const float flat[7] = {0.2f, 0.2f, 0.15f, 0.15f, 0.1f, 0.1f, 0.1f};
    struct err e = {0};

    (void)state;
    evaluation_add(&v, sure, 0); /* right */
    evaluation_add(&v, sure, 1); /* second */
    evaluation_add(&v, flat, 1); /* ties go to the lower number: second */
    evaluation_add(&v, flat, 6); /* seventh: not among five */
    assert_int_equal(evaluation_finish(&v, self, &e), RC_OK);
    assert_int_equal(v.images, 4);
    assert_int_equal(v.top1, 1);
    assert_int_equal(v.top5, 3);
    assert_int_equal(v.per_class[1], 2);
    assert_int_equal(v.per_class_top1[0], 1);
    assert_int_equal(v.per_class_top1[1], 0);
    assert_true(fabs(v.nll - -(log(0.9) + log(0.1) + log(0.2) + log(0.1)) / 4) < 1e-7);
    /* two bins: confidence 0.9 with 1 of 2 right, 0.2 with none of 2 */
    assert_int_equal(v.bin_images[13], 2);
    assert_int_equal(v.bin_images[3], 2); /* f32 0.2 lies above 3/15 */
    assert_true(fabs(v.ece - (fabs(1.8 - 1) + 0.4) / 4) < 1e-7);
}

static void a_class_of_probability_0_keeps_the_loss_finite(void **state)
{
    const float sure[7] = {1, 0, 0, 0, 0, 0, 0};
    struct err e = {0};

    (void)state;
    evaluation_add(&v, sure, 3);
    assert_int_equal(evaluation_finish(&v, self, &e), RC_OK);
    assert_true(isfinite(v.nll) && v.nll > 80);
    assert_int_equal(v.bin_images[EVALUATE_BINS - 1], 1);
}

static void no_images_give_no_means(void **state)
{
    struct err e = {0};

    (void)state;
    assert_int_equal(evaluation_finish(&v, self, &e), RC_OK);
    assert_true(v.images == 0 && v.nll == 0 && v.ece == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_ranks_and_bins_are_right, start, stop),
        cmocka_unit_test_setup_teardown(a_class_of_probability_0_keeps_the_loss_finite, start,
                                        stop),
        cmocka_unit_test_setup_teardown(no_images_give_no_means, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/train/schedule.h"

/* Within f32 of TF Model Garden's values (lr_schedule.py, the paper's run). */
static bool near(double x, double wanted)
{
    return fabs(x - wanted) <= 3e-7 * fabs(wanted) + 1e-12;
}

static void cosine_with_warm_up_is_model_gardens(void **state)
{
    const struct schedule s = {SCHEDULE_COSINE, 1.6, 109200, 1560};

    (void)state;
    assert_true(schedule_lr(&s, 0) == 0);
    assert_true(near(schedule_lr(&s, 1), .00102512469));
    assert_true(near(schedule_lr(&s, 780), .799597204));
    assert_true(near(schedule_lr(&s, 1559), 1.59816921));
    assert_true(near(schedule_lr(&s, 1560), 1.59919441));
    assert_true(near(schedule_lr(&s, 54600), .799999952));
    assert_true(near(schedule_lr(&s, 109200), 0));
    assert_true(near(schedule_lr(&s, 200000), 0));
}

static void steps_divide_by_ten_at_30_60_80_of_90(void **state)
{
    const struct schedule s = {SCHEDULE_STEP, 1, 900, 0};

    (void)state;
    assert_true(schedule_lr(&s, 299) == 1);
    assert_true(schedule_lr(&s, 300) == 0.1);
    assert_true(schedule_lr(&s, 599) == 0.1);
    assert_true(schedule_lr(&s, 600) == 0.01);
    assert_true(schedule_lr(&s, 799) == 0.01);
    assert_true(schedule_lr(&s, 800) == 0.001);
}

static void a_constant_rate_warms_up_too(void **state)
{
    const struct schedule s = {SCHEDULE_CONSTANT, 0.4, 100, 4};

    (void)state;
    assert_true(schedule_lr(&s, 0) == 0);
    assert_true(schedule_lr(&s, 1) == 0.1);
    assert_true(schedule_lr(&s, 4) == 0.4);
    assert_true(schedule_lr(&s, 99) == 0.4);
}

static void emas_decay_is_model_gardens(void **state)
{
    (void)state;
    assert_true(near(schedule_ema_decay(.9999, 0), .1));
    assert_true(near(schedule_ema_decay(.9999, 1), .181818182));
    assert_true(near(schedule_ema_decay(.9999, 10), .55));
    assert_true(near(schedule_ema_decay(.9999, 100), .918181818));
    assert_true(near(schedule_ema_decay(.9999, 10000), .999100899));
    assert_true(schedule_ema_decay(.9999, 1000000) == .9999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosine_with_warm_up_is_model_gardens),
        cmocka_unit_test(steps_divide_by_ten_at_30_60_80_of_90),
        cmocka_unit_test(a_constant_rate_warms_up_too),
        cmocka_unit_test(emas_decay_is_model_gardens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

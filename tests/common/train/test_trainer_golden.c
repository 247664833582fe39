/* Ten training steps are PyTorch's with timm's network: losses, gradients, momentum, weights, running
 * statistics and their EMA, with decay's exclusions and injected noise (tests/golden/make_timm.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/golden/golden_train.h"

/* The first step keeps every ReLU's input away from 0, in "noise" all do by less; in later ones of the
 * other a few may flip in f32, which changes gradients this much (as between f32 and f64 of PyTorch
 * itself). */
static const double FLIPS = 3e-2;

static json_t *golden;

static int open_golden(void **state)
{
    (void)state;
    golden = golden_read("tests/golden/train/timm.json");
    return 0;
}

static int close_golden(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static const json_t *named(const char *name)
{
    size_t i;
    const json_t *c;

    json_array_foreach(json_object_get(golden, "cases"), i, c)
    {
        if (strcmp(golden_name(c), name) == 0) {
            return c;
        }
    }
    fail_msg("no case %s", name);
    return NULL;
}

static void near(const struct golden_train *g, const char *what, const float *x, const float *minus,
                 size_t end, double tolerance)
{
    struct golden_worst w = golden_views(g->c, what, g->params, x, minus, 0, end);

    if (!(w.distance < tolerance)) {
        fail_msg("%s %s: relative distance %.2g, expected below %.2g", what, w.name, w.distance,
                 tolerance);
    }
}

static void run(const char *name, const char *backend, enum dtype type, int steps,
                double loss_tolerance)
{
    struct golden_train *g = golden_train_open(named(name), backend, type);
    const struct params *p = g->params;

    for (int i = 0; i < steps; i++) {
        double d = golden_train_step(g, i);

        if (!(d < loss_tolerance)) {
            fail_msg("step %d: the loss differs by %.2g, expected below %.2g", i, d,
                     loss_tolerance);
        }
        if (i == 0 && type != DT_BF16) {
            near(g, "momentum_1", trainer_momentum(g->trainer), NULL, p->n_trainable,
                 type == DT_F64 ? 2e-7 : 5e-5);
        }
    }
    if (type == DT_F32) {
        near(g, "momentum_10", trainer_momentum(g->trainer), NULL, p->n_trainable, FLIPS);
        near(g, "weights_10", trainer_weights(g->trainer), g->start, p->n_total, FLIPS / 3);
        near(g, "ema_10", trainer_ema(g->trainer), g->start, p->n_total, FLIPS / 3);
    }
    golden_train_close(g);
}

static void ten_nesterov_steps_are_torchs(void **state)
{
    (void)state;
    run("nesterov", "cpu", DT_F32, 10, 1e-6);
}

static void ten_noisy_steps_of_two_micro_batches_are_torchs(void **state)
{
    (void)state;
    run("noise", "cpu", DT_F32, 10, 1e-6);
}

static void the_ref_backend_takes_the_same_steps(void **state)
{
    (void)state;
    run("nesterov", "ref", DT_F32, 10, 1e-6);
    run("noise", "ref", DT_F32, 10, 1e-6);
}

/* Later steps start from weights that are rounded to f32. */
static void a_step_in_f64_is_torchs_to_f32s_last_bits(void **state)
{
    (void)state;
    run("nesterov", "ref", DT_F64, 1, 1e-7);
    run("noise", "ref", DT_F64, 1, 1e-7);
}

static void bf16_losses_stay_near(void **state)
{
    (void)state;
    run("nesterov", "cpu", DT_BF16, 3, 3e-2);
    run("noise", "cpu", DT_BF16, 3, 3e-2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_nesterov_steps_are_torchs),
        cmocka_unit_test(ten_noisy_steps_of_two_micro_batches_are_torchs),
        cmocka_unit_test(the_ref_backend_takes_the_same_steps),
        cmocka_unit_test(a_step_in_f64_is_torchs_to_f32s_last_bits),
        cmocka_unit_test(bf16_losses_stay_near),
    };

    return cmocka_run_group_tests(tests, open_golden, close_golden);
}

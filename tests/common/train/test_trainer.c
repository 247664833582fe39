#include "tests/common/train/train_fixture.h"

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

static void steps_lower_the_loss(void **state)
{
    struct train_fixture f;
    struct trainer_stats s;
    double first = 0;

    (void)state;
    fixture_config(&f);
    f.config.dropout = f.config.drop_path = 0;
    fixture_start(&f, self, 1);
    for (int i = 0; i < 30; i++) {
        fixture_must_step(&f, &s);
        first = i == 0 ? s.loss : first;
    }
    assert_int_equal(trainer_steps(f.trainer), 30);
    assert_true(first > 1.4 && first < 2.2);
    assert_true(s.loss < 0.75 * first);
    fixture_stop(&f);
}

static void equal_runs_give_equal_bits(void **state)
{
    struct train_fixture a;
    struct train_fixture b;
    struct trainer_stats sa;
    struct trainer_stats sb;
    const struct params *p;

    (void)state;
    fixture_config(&a);
    fixture_config(&b);
    fixture_start(&a, self, 2);
    fixture_start(&b, self, 2);
    for (int i = 0; i < 4; i++) {
        fixture_must_step(&a, &sa);
        fixture_must_step(&b, &sb);
        assert_true(sa.loss == sb.loss && sa.grad_norm == sb.grad_norm);
    }
    p = trainer_params(a.trainer);
    assert_memory_equal(trainer_weights(a.trainer), trainer_weights(b.trainer),
                        p->n_total * sizeof(float));
    assert_memory_equal(trainer_ema(a.trainer), trainer_ema(b.trainer), p->n_total * sizeof(float));
    fixture_stop(&a);
    fixture_stop(&b);
}

static void a_steady_step_allocates_nothing(void **state)
{
    struct train_fixture f;
    struct trainer_stats s;
    uint64_t before = 0;

    (void)state;
    fixture_config(&f);
    fixture_start(&f, self, 1);
    fixture_must_step(&f, &s);
    before = mem_count();
    for (int i = 0; i < 3; i++) {
        fixture_must_step(&f, &s);
    }
    assert_int_equal(mem_count(), before);
    fixture_stop(&f);
}

static float *copy(const struct train_fixture *f, const float *buffer)
{
    float *c = params_buffer(trainer_params(f->trainer));

    assert_non_null(c);
    memcpy(c, buffer, trainer_params(f->trainer)->n_total * sizeof *c);
    return c;
}

static void a_loss_that_is_not_finite_names_layer_and_image(void **state)
{
    struct train_fixture f;
    struct trainer_stats s;
    struct err e = {0};
    float *weights;
    float *ema;

    (void)state;
    fixture_config(&f);
    f.poison = 1;
    fixture_start(&f, self, 1);
    fixture_must_step(&f, &s);
    weights = copy(&f, trainer_weights(f.trainer));
    ema = copy(&f, trainer_ema(f.trainer));
    assert_int_equal(fixture_step(&f, &s, &e), RC_CORRUPT);
    assert_non_null(strstr(e.msg, "step 1:"));
    assert_non_null(strstr(e.msg, "first at fc.bias"));
    assert_non_null(strstr(e.msg, "images 00000000000000000000000000000103"));
    assert_memory_equal(trainer_weights(f.trainer), weights,
                        trainer_params(f.trainer)->n_total * sizeof(float));
    assert_memory_equal(trainer_ema(f.trainer), ema,
                        trainer_params(f.trainer)->n_total * sizeof(float));
    assert_int_equal(trainer_steps(f.trainer), 1);
    mem_free(weights);
    mem_free(ema);
    fixture_stop(&f);
}

static void a_step_that_is_not_finite_can_be_skipped(void **state)
{
    struct train_fixture f;
    struct trainer_stats s;
    float *weights;

    (void)state;
    fixture_config(&f);
    f.poison = 1;
    f.config.skip_nonfinite = true;
    fixture_start(&f, self, 1);
    fixture_must_step(&f, &s);
    assert_false(s.skipped);
    weights = copy(&f, trainer_weights(f.trainer));
    fixture_must_step(&f, &s);
    assert_true(s.skipped);
    assert_int_equal(trainer_skipped(f.trainer), 1);
    assert_int_equal(trainer_steps(f.trainer), 2);
    assert_memory_equal(trainer_weights(f.trainer), weights,
                        trainer_params(f.trainer)->n_total * sizeof(float));
    fixture_must_step(&f, &s);
    assert_true(isfinite(s.loss) && !s.skipped);
    mem_free(weights);
    fixture_stop(&f);
}

static void a_failing_source_stops_the_step(void **state)
{
    struct train_fixture f;
    struct trainer_stats s;
    struct err e = {0};

    (void)state;
    fixture_config(&f);
    f.fail = 0;
    fixture_start(&f, self, 1);
    assert_int_equal(fixture_step(&f, &s, &e), RC_IO);
    assert_string_equal(e.msg, "the source of step 0 fails");
    assert_int_equal(trainer_steps(f.trainer), 0);
    fixture_stop(&f);
}

static void clipping_bounds_the_change(void **state)
{
    struct train_fixture f;
    struct trainer_stats s;
    float *before;
    const float *after;
    double sum = 0;

    (void)state;
    fixture_config(&f);
    f.config.schedule = (struct schedule){SCHEDULE_CONSTANT, 1.0, 10, 0};
    f.config.momentum = 0;
    f.config.nesterov = false;
    f.config.weight_decay = 0;
    f.config.clip_norm = 0.01;
    fixture_start(&f, self, 1);
    before = copy(&f, trainer_weights(f.trainer));
    fixture_must_step(&f, &s);
    assert_true(s.grad_norm > 0.1); /* before clipping */
    after = trainer_weights(f.trainer);
    for (size_t i = 0; i < trainer_params(f.trainer)->n_trainable; i++) {
        double d = (double)after[i] - (double)before[i];

        sum += d * d;
    }
    assert_true(fabs(sqrt(sum) - 0.01) < 1e-5);
    mem_free(before);
    fixture_stop(&f);
}

static void a_config_that_cannot_be_is_named(void **state)
{
    struct train_fixture f;
    struct err e = {0};

    (void)state;
    fixture_config(&f);
    f.config.dropout = 1;
    assert_int_equal(device_create("cpu", 1, &f.dev, &e), RC_OK);
    assert_int_equal(trainer_create(f.dev, self, &f.config, &f.trainer, &e), RC_INVAL);
    assert_string_equal(e.msg, "trainer: dropout 1 and drop path 0.2 must be in [0, 1)");
    device_destroy(f.dev);
}

static void creating_survives_any_failed_allocation(void **state)
{
    struct train_fixture f;
    enum rc rc = RC_NOMEM;

    (void)state;
    fixture_config(&f);
    for (uint64_t n = 1; rc == RC_NOMEM; n = n < 40 ? n + 1 : n + 13) {
        struct err e = {0};

        f.dev = NULL;
        assert_int_equal(device_create("ref", 1, &f.dev, &e), RC_OK);
        mem_fail_at(n);
        rc = trainer_create(f.dev, self, &f.config, &f.trainer, &e);
        mem_fail_at(0);
        if (rc == RC_OK) {
            trainer_destroy(f.trainer);
        } else {
            assert_int_equal(rc, RC_NOMEM);
            assert_non_null(strstr(e.msg, "memory"));
        }
        device_destroy(f.dev);
    }
    assert_int_equal(rc, RC_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_lower_the_loss),
        cmocka_unit_test(equal_runs_give_equal_bits),
        cmocka_unit_test(a_steady_step_allocates_nothing),
        cmocka_unit_test(a_loss_that_is_not_finite_names_layer_and_image),
        cmocka_unit_test(a_step_that_is_not_finite_can_be_skipped),
        cmocka_unit_test(a_failing_source_stops_the_step),
        cmocka_unit_test(clipping_bounds_the_change),
        cmocka_unit_test(a_config_that_cannot_be_is_named),
        cmocka_unit_test(creating_survives_any_failed_allocation),
    };

    return cmocka_run_group_tests(tests, open_self, close_self);
}

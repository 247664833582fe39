/* Progress of training moves with the micro-batches of a rank, in images of all ranks. */
#include "student/train_progress.h"

#include "tests/common/base/support.h"

enum { STEPS = 10, IMAGES = 4096 };

static int calls;

static enum rc fake_source(void *ctx, int64_t step, int micro, struct trainer_batch *out,
                           struct err *e)
{
    (void)out;
    (void)e;
    assert_int_equal(step, 3);
    assert_ptr_equal(ctx, &calls);
    calls++;
    return micro < 24 ? RC_OK : RC_CORRUPT;
}

static void micro_batches_of_a_rank_move_it_through_the_step(void **state)
{
    struct train_progress p = {.source = fake_source,
                               .ctx = &calls,
                               .steps = STEPS,
                               .images = IMAGES,
                               .first_micro = 16,
                               .n_micro = 16};
    const struct trainer_stats s = {.loss = 2.5, .lr = 0.1, .wait_input_s = 1};
    struct trainer_batch batch;
    struct err e = {0};

    (void)state;
    train_progress_begin(&p, "train", 3);
    assert_int_equal(p.line.total, STEPS * IMAGES);
    assert_int_equal(p.line.first, 3 * IMAGES);
    for (int micro = 16; micro < 24; micro++) {
        support_ok(train_progress_next(&p, 3, micro, &batch, &e), &e);
        assert_int_equal(p.line.done, 3 * IMAGES + (micro - 16) * IMAGES / 16);
    }
    assert_int_equal(train_progress_next(&p, 3, 24, &batch, &e), RC_CORRUPT);
    assert_int_equal(calls, 9);
    train_progress_step(&p, 4, &s, 4);
    assert_int_equal(p.line.done, 4 * IMAGES);
    assert_string_equal(p.detail, "step 4/10 | loss 2.500 | lr 0.1 | io wait 25 %");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(micro_batches_of_a_rank_move_it_through_the_step)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Stochastic depth and dropout: rates, distributions, and what a row's masks hang on. */
#include "common/train/trainer_impl.h"
#include "tests/common/train/train_fixture.h"

enum { DRAWS = 100000 };

/* The 0.1 % point of chi-square with one degree of freedom; seeds are fixed, so no run is unlucky. */
static const double CHI2 = 10.83;

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

static void start(struct train_fixture *f, const char *family, int channels)
{
    struct err e = {0};

    f->config.net.model.family = nn_family_find(family);
    f->config.net.model.in_channels = channels;
    f->coll = self;
    assert_int_equal(device_create("ref", 1, &f->dev, &e), RC_OK);
    if (trainer_create(f->dev, f->coll, &f->config, &f->trainer, &e) != RC_OK) {
        fail_msg("%s", e.msg);
    }
}

static void draw(struct train_fixture *f, int64_t step)
{
    struct trainer_batch b = {.keys = f->keys, .copies = f->copies};

    trainer_noise_draw(f->trainer, &b, step);
}

/* Of n draws `hits` have probability p. */
static double chi2(double hits, double n, double p)
{
    double d = hits - n * p;

    return d * d / (n * p) + d * d / (n * (1 - p));
}

static void stochastic_depth_rises_by_block_as_in_timm(void **state)
{
    struct train_fixture f;

    (void)state;
    fixture_config(&f);
    f.config.net.size = 32;
    f.config.drop_path = 0.1;
    start(&f, "resnetrs26_w32", 1);
    for (int i = 0; i < 8; i++) {
        assert_true(fabs(trainer_noise_rate(f.trainer, i) - 0.1 * i / 7) < 1e-15);
    }
    fixture_stop(&f);
}

/* rate * (i + 2)/5 for stage i: 0.04, 0.06, 0.08, 0.10. */
static void stochastic_depth_rises_by_stage_as_in_tf(void **state)
{
    struct train_fixture f;

    (void)state;
    fixture_config(&f);
    f.config.net.size = 32;
    f.config.drop_path = 0.1;
    f.config.drop_path_per_stage = true;
    start(&f, "resnetrs26_w32", 1);
    for (int i = 0; i < 8; i++) {
        assert_true(fabs(trainer_noise_rate(f.trainer, i) - 0.02 * (i / 2 + 2)) < 1e-15);
    }
    fixture_stop(&f);
}

static void rows_are_dropped_at_their_rate_and_kept_ones_scaled(void **state)
{
    struct train_fixture f;
    double dropped[3] = {0, 0, 0};
    double both = 0;
    double n = 0;

    (void)state;
    fixture_config(&f);
    start(&f, "resnetrs11_w16", 1);
    for (int64_t step = 0; step < DRAWS / FIX_BATCH; step++) {
        for (int i = 0; i < FIX_BATCH; i++) {
            f.keys[i].b[0] = (uint8_t)(17 * i);
        }
        draw(&f, step);
        for (int k = 0; k < 3; k++) {
            double rate = trainer_noise_rate(f.trainer, k);

            for (int i = 0; i < FIX_BATCH; i++) {
                float x = f.trainer->keep[k * FIX_BATCH + i];

                assert_true(x == 0 || x == (float)(1 / (1 - rate)));
                dropped[k] += x == 0;
            }
        }
        for (int i = 0; i < FIX_BATCH; i++) {
            both += f.trainer->keep[FIX_BATCH + i] == 0 && f.trainer->keep[2 * FIX_BATCH + i] == 0;
        }
        n += FIX_BATCH;
    }
    assert_true(dropped[0] == 0); /* the first block of timm's rule */
    assert_true(chi2(dropped[1], n, 0.1) < CHI2);
    assert_true(chi2(dropped[2], n, 0.2) < CHI2);
    assert_true(chi2(both, n, 0.1 * 0.2) < CHI2); /* blocks are drawn apart */
    fixture_stop(&f);
}

static void features_are_dropped_at_their_rate_and_kept_ones_scaled(void **state)
{
    struct train_fixture f;
    double dropped = 0;
    double pairs = 0;
    double n = 0;
    double n_pairs = 0;

    (void)state;
    fixture_config(&f);
    start(&f, "resnetrs11_w16", 1);
    for (int64_t step = 0; n < DRAWS; step++) {
        int features = net_features(trainer_net(f.trainer));

        draw(&f, step);
        for (int i = 0; i < features; i++) {
            float x = f.trainer->dropout[i];

            assert_true(x == 0 || x == (float)(1 / 0.75));
            dropped += x == 0;
            pairs += i % 2 == 1 && x == 0 && f.trainer->dropout[i - 1] == 0;
        }
        n += features;
        n_pairs += features / 2;
    }
    assert_true(chi2(dropped, n, 0.25) < CHI2);
    assert_true(chi2(pairs, n_pairs, 0.0625) < CHI2);
    fixture_stop(&f);
}

/* What row i holds, from both masks. */
static void row_of(const struct train_fixture *f, int i, float *out)
{
    int features = net_features(trainer_net(f->trainer));

    for (int k = 0; k < 3; k++) {
        out[k] = f->trainer->keep[k * FIX_BATCH + i];
    }
    memcpy(out + 3, f->trainer->dropout + i * features, (size_t)features * sizeof *out);
}

static void masks_hang_on_step_image_and_copy_never_on_the_place(void **state)
{
    struct train_fixture f;
    float at_2[3 + 1024];
    float other[3 + 1024];
    size_t bytes;

    (void)state;
    fixture_config(&f);
    f.config.drop_path = 0.9;
    start(&f, "resnetrs11_w16", 1);
    bytes = (3 + (size_t)net_features(trainer_net(f.trainer))) * sizeof(float);
    assert_true(bytes <= sizeof at_2);
    f.keys[2].b[3] = 9;
    draw(&f, 4);
    row_of(&f, 2, at_2);
    row_of(&f, 1, other);
    assert_memory_not_equal(at_2, other, bytes); /* another image */
    f.keys[2].b[3] = 0;
    f.keys[7].b[3] = 9;
    draw(&f, 4);
    row_of(&f, 7, other);
    assert_memory_equal(at_2, other, bytes); /* another place */
    f.copies[7] = 1;
    draw(&f, 4);
    row_of(&f, 7, other);
    assert_memory_not_equal(at_2, other, bytes); /* another copy */
    f.copies[7] = 0;
    draw(&f, 5);
    row_of(&f, 7, other);
    assert_memory_not_equal(at_2, other, bytes); /* another step */
    fixture_stop(&f);
}

static void a_seed_gives_its_own_masks(void **state)
{
    struct train_fixture f;
    float one[3 + 1024];
    float other[3 + 1024];
    size_t bytes;

    (void)state;
    fixture_config(&f);
    start(&f, "resnetrs11_w16", 1);
    bytes = (3 + (size_t)net_features(trainer_net(f.trainer))) * sizeof(float);
    draw(&f, 0);
    row_of(&f, 0, one);
    f.trainer->config.seed++;
    draw(&f, 0);
    row_of(&f, 0, other);
    assert_memory_not_equal(one, other, bytes);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stochastic_depth_rises_by_block_as_in_timm),
        cmocka_unit_test(stochastic_depth_rises_by_stage_as_in_tf),
        cmocka_unit_test(rows_are_dropped_at_their_rate_and_kept_ones_scaled),
        cmocka_unit_test(features_are_dropped_at_their_rate_and_kept_ones_scaled),
        cmocka_unit_test(masks_hang_on_step_image_and_copy_never_on_the_place),
        cmocka_unit_test(a_seed_gives_its_own_masks),
    };

    return cmocka_run_group_tests(tests, open_self, close_self);
}

/* Pixels that are copied ahead: every pass sees its own, whatever was copied when. On a device whose
 * memory is the host's nobody is asked. For cuda: on the fakes, whose queues run as late or as early as
 * they can. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/nn/net.h"

enum { BATCH = 3, SIZE = 12, CLASSES = 5, PASSES = 6, PIXELS = BATCH * SIZE * SIZE };

struct fixture {
    struct device *dev;
    struct net *net;
    float *weights, *params, *grads; /* on the device where it trains */
    uint8_t pixels[PASSES][PIXELS];
    int coming, asked;
    const uint8_t *only; /* not NULL: what comes, whatever the pass */
};

static void make_pixels(struct fixture *f)
{
    uint32_t x = 7;

    for (int p = 0; p < PASSES; p++) {
        for (int i = 0; i < PIXELS; i++) {
            x = x * 1664525 + 1013904223;
            f->pixels[p][i] = (uint8_t)(x >> 24);
        }
    }
}

static void make(struct fixture *f, bool training)
{
    struct net_config c = {.model = {nn_family_find("resnetrs11_w16"), 1, CLASSES},
                           .batch = BATCH,
                           .size = SIZE,
                           .type = DT_F32,
                           .training = training,
                           .mean = {0.5f},
                           .std = {0.25f}};
    struct err e = {0};
    void *at[2];
    size_t bytes;

    memset(f, 0, sizeof *f);
    make_pixels(f);
    assert_int_equal(device_create("cpu", 1, &f->dev, &e), RC_OK);
    assert_int_equal(net_create(f->dev, &c, &f->net, &e), RC_OK);
    f->weights = params_buffer(net_params(f->net));
    params_init(net_params(f->net), 7, 0.05, f->weights);
    if (!training) {
        assert_int_equal(net_load(f->net, f->weights, &e), RC_OK);
        return;
    }
    bytes = net_params(f->net)->n_total * sizeof *f->weights;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(device_alloc(f->dev, bytes, "test", &at[i], &e), RC_OK);
    }
    f->params = at[0];
    f->grads = at[1];
    assert_int_equal(device_upload(f->dev, NULL, f->params, f->weights, bytes, &e), RC_OK);
    assert_int_equal(device_sync(f->dev, NULL, &e), RC_OK);
    net_bind(f->net, f->params, f->grads);
    assert_int_equal(net_refresh(f->net, &e), RC_OK);
}

static void done(struct fixture *f)
{
    net_destroy(f->net);
    if (f->params != NULL) {
        device_free(f->dev, f->params);
        device_free(f->dev, f->grads);
    }
    device_destroy(f->dev);
    mem_free(f->weights);
}

static const uint8_t *next_pixels(void *ctx)
{
    struct fixture *f = ctx;

    f->asked++;
    if (f->only != NULL) {
        return f->only;
    }
    return f->coming < PASSES ? f->pixels[f->coming] : NULL;
}

static void infer(struct fixture *f, const uint8_t *pixels, float logits[BATCH * CLASSES])
{
    struct err e = {0};

    assert_int_equal(net_infer(f->net, pixels, logits, &e), RC_OK);
}

static void train(struct fixture *f, const uint8_t *pixels, float loss[BATCH])
{
    float target[BATCH * CLASSES] = {0}, weight[BATCH];
    const struct net_targets t = {target, weight, NULL, NULL};
    struct err e = {0};

    for (int i = 0; i < BATCH; i++) {
        weight[i] = 1;
        target[i * CLASSES + i] = 1;
    }
    assert_int_equal(net_train(f->net, pixels, &t, loss, NULL, &e), RC_OK);
}

/* What a pass over each of the pixels alone gives. */
static void logits_of(struct fixture *f, float out[PASSES][BATCH * CLASSES])
{
    net_ask_ahead(f->net, NULL, NULL);
    for (int p = 0; p < PASSES; p++) {
        infer(f, f->pixels[p], out[p]);
    }
}

static void expect_logits(struct fixture *f, const uint8_t *pixels, const float *wanted)
{
    float got[BATCH * CLASSES];

    infer(f, pixels, got);
    assert_memory_equal(got, wanted, sizeof got);
}

static void expect_asked(const struct fixture *f, int times)
{
    assert_int_equal(f->asked, device_is_host(f->dev) ? 0 : times);
}

static void each_inference_sees_its_own_pixels(void **state)
{
    float alone[PASSES][BATCH * CLASSES];
    struct fixture f;

    (void)state;
    make(&f, false);
    logits_of(&f, alone);
    net_ask_ahead(f.net, next_pixels, &f);
    for (int p = 0; p < PASSES; p++) {
        f.coming = p + 1;
        expect_logits(&f, f.pixels[p], alone[p]);
    }
    expect_asked(&f, PASSES);
    done(&f);
}

static void each_training_pass_sees_its_own_pixels(void **state)
{
    float alone[PASSES][BATCH], got[BATCH];
    struct fixture f;

    (void)state;
    make(&f, true);
    for (int p = 0; p < PASSES; p++) {
        train(&f, f.pixels[p], alone[p]);
    }
    net_ask_ahead(f.net, next_pixels, &f);
    for (int p = 0; p < PASSES; p++) {
        f.coming = p + 1;
        train(&f, f.pixels[p], got);
        assert_memory_equal(got, alone[p], sizeof got);
    }
    expect_asked(&f, PASSES);
    done(&f);
}

static void pixels_that_nobody_takes_are_passed_over(void **state)
{
    static const int order[] = {0, 1, 3, 1, 4, 5, 1, 1, 2};
    float alone[PASSES][BATCH * CLASSES];
    struct fixture f;

    (void)state;
    make(&f, false);
    logits_of(&f, alone);
    f.only = f.pixels[1];
    net_ask_ahead(f.net, next_pixels, &f);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        expect_logits(&f, f.pixels[order[i]], alone[order[i]]);
    }
    done(&f);
}

static void asking_somebody_else_forgets_what_was_copied(void **state)
{
    float alone[PASSES][BATCH * CLASSES];
    struct fixture f;

    (void)state;
    make(&f, false);
    logits_of(&f, alone);
    f.coming = 1;
    net_ask_ahead(f.net, next_pixels, &f);
    expect_logits(&f, f.pixels[0], alone[0]);
    memcpy(f.pixels[1], f.pixels[2],
           PIXELS); /* another feed, whose memory lies where the last one's did */
    net_ask_ahead(f.net, NULL, NULL);
    expect_logits(&f, f.pixels[1], alone[2]);
    done(&f);
}

static int late(void **state)
{
    (void)state;
    return unsetenv("FAKE_CUDA_EAGER");
}

static int early(void **state)
{
    (void)state;
    return setenv("FAKE_CUDA_EAGER", "1", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_inference_sees_its_own_pixels),
        cmocka_unit_test(each_training_pass_sees_its_own_pixels),
        cmocka_unit_test(pixels_that_nobody_takes_are_passed_over),
        cmocka_unit_test(asking_somebody_else_forgets_what_was_copied),
    };
    const int lazily = cmocka_run_group_tests_name("queues run late", tests, late, NULL);

    return lazily + cmocka_run_group_tests_name("queues run early", tests, early, late);
}

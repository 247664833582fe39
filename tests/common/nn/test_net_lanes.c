/* Inference in lanes: the bits of one network, one copy of the weights, errors that come through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/nn/net_impl.h"

enum { BATCH = 14, SIZE = 28, CLASSES = 10, PIXELS = BATCH * SIZE * SIZE };

static uint8_t pixels[PIXELS];
static float one[BATCH * CLASSES], many[BATCH * CLASSES];

static struct net *make(struct device *dev, int batch, enum dtype type)
{
    const struct net_config c = {.model = {nn_family_find("resnetrs11_w16"), 1, CLASSES},
                                 .batch = batch,
                                 .size = SIZE,
                                 .type = type,
                                 .std = {0.3f, 0.3f, 0.3f}};
    struct net *n = NULL;
    struct err e = {0};

    if (net_create(dev, &c, &n, &e) != RC_OK) {
        fail_msg("%s", e.msg);
    }
    return n;
}

static void load(struct net *n)
{
    float *w = params_buffer(net_params(n));
    struct err e = {0};

    assert_non_null(w);
    params_init(net_params(n), 3, 0.5, w);
    assert_int_equal(net_load(n, w, &e), RC_OK);
    mem_free(w);
}

static struct device *threads(int n)
{
    struct device *dev = NULL;
    struct err e = {0};

    assert_int_equal(device_create("cpu", n, &dev, &e), RC_OK);
    return dev;
}

static void assert_same_bits(enum dtype type)
{
    struct device *single = threads(1);
    struct device *several = threads(3);
    struct net *a = make(single, BATCH, type);
    struct net *b = make(several, BATCH, type);
    struct err e = {0};

    assert_null(a->lanes);
    assert_non_null(b->lanes); /* three: of 4, 5 and 5 rows */
    load(a);
    load(b);
    assert_int_equal(net_infer(a, pixels, one, &e), RC_OK);
    for (int pass = 0; pass < 3; pass++) {
        memset(many, 0, sizeof many);
        assert_int_equal(net_infer(b, pixels, many, &e), RC_OK);
        assert_memory_equal(one, many, sizeof one);
    }
    net_destroy(a);
    net_destroy(b);
    device_destroy(single);
    device_destroy(several);
}

static void lanes_give_the_bits_of_one_network(void **state)
{
    struct device *dev = threads(1);
    struct device_info info;

    (void)state;
    device_describe(dev, &info);
    device_destroy(dev);
    assert_same_bits(DT_F32);
    if (info.has_bf16) {
        assert_same_bits(DT_BF16);
    }
}

static void lanes_keep_one_copy_of_the_weights(void **state)
{
    struct device *single = threads(1);
    struct device *several = threads(2);
    struct net *a = make(single, 6, DT_F32);
    struct net *b = make(several, 12, DT_F32);
    struct net_memory of_one;
    struct net_memory of_lanes;

    (void)state;
    net_memory(a, &of_one);
    net_memory(b, &of_lanes);
    assert_int_equal(of_lanes.weights, of_one.weights);
    assert_int_equal(of_lanes.activations, 2 * of_one.activations);
    assert_int_equal((int64_t)net_flops(b), 2 * (int64_t)net_flops(a));
    net_destroy(a);
    net_destroy(b);
    device_destroy(single);
    device_destroy(several);
}

static void a_small_batch_and_training_have_no_lanes(void **state)
{
    struct device *dev = threads(4);
    struct net_config c = {.batch = 64, .training = true};

    (void)state;
    assert_int_equal(net_lanes_count(dev, &c), 1);
    c.training = false;
    assert_int_equal(net_lanes_count(dev, &c), 4);
    c.batch = 9;
    assert_int_equal(net_lanes_count(dev, &c), 2);
    c.batch = 7;
    assert_int_equal(net_lanes_count(dev, &c), 1);
    device_destroy(dev);
}

static void a_lane_that_fails_fails_the_pass(void **state)
{
    struct device *dev = threads(2);
    struct net *n = make(dev, 12, DT_F32);
    struct err e = {0};

    (void)state;
    assert_int_equal(net_infer(n, pixels, many, &e), RC_INVAL); /* no weights yet */
    assert_non_null(strstr(e.msg, "before its weights were packed"));
    load(n);
    assert_int_equal(net_infer(n, pixels, many, &e), RC_OK);
    net_destroy(n);
    device_destroy(dev);
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    struct device *dev = threads(2);
    const struct net_config c = {.model = {nn_family_find("resnetrs11_w16"), 1, CLASSES},
                                 .batch = 8,
                                 .size = SIZE,
                                 .type = DT_F32,
                                 .std = {1, 1, 1}};
    uint64_t failing = 1;
    enum rc rc = RC_NOMEM;

    (void)state;
    for (; rc != RC_OK; failing += 7) {
        struct net *n = NULL;
        struct err e = {0};

        mem_fail_at(failing);
        rc = net_create(dev, &c, &n, &e);
        mem_fail_at(0);
        assert_true(rc == RC_OK || rc == RC_NOMEM);
        net_destroy(n);
    }
    device_destroy(dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_give_the_bits_of_one_network),
        cmocka_unit_test(lanes_keep_one_copy_of_the_weights),
        cmocka_unit_test(a_small_batch_and_training_have_no_lanes),
        cmocka_unit_test(a_lane_that_fails_fails_the_pass),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    for (size_t i = 0; i < PIXELS; i++) {
        pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

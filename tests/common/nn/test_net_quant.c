/* The int8 network: near f32, the same on cpu and ref, the same bits in any batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/nn/net_impl.h"

enum { BATCH = 6, SIZE = 32, CHANNELS = 3, CLASSES = 7, PIXELS = BATCH * SIZE * SIZE * CHANNELS };

/* Of the logits' L2 norm. Measured: 0.0038 from f32, 0.0008 between cpu and ref. */
static const double TOLERANCE = 0.008;

static struct {
    struct net_config config;
    struct quant *quant;
    float *weights;
    uint8_t pixels[PIXELS];
    float f32[BATCH * CLASSES];
} all;

static struct device *open_device(const char *backend, int threads)
{
    struct device *d = NULL;
    struct err e = {0};

    assert_int_equal(device_create(backend, threads, &d, &e), RC_OK);
    return d;
}

static bool cpu_has_int8(void)
{
    struct device *d = open_device("cpu", 1);
    struct device_info info;

    device_describe(d, &info);
    device_destroy(d);
    return info.has_int8;
}

/* Weights with statistics of a BN that has seen data: scales near 1 and no dead block. */
static void draw_weights(const struct params *p, struct rng *r)
{
    params_init(p, 3, 0.05, all.weights);
    for (int v = 0; v < p->n_views; v++) {
        for (size_t i = 0; i < p->views[v].n; i++) {
            float *x = &all.weights[p->views[v].offset + i];
            double noise = rng_normal(r);

            if (p->views[v].kind == PARAM_GAMMA) {
                *x = (float)(0.5 + 0.2 * fabs(noise));
            } else if (p->views[v].kind == PARAM_BETA) {
                *x = (float)(0.3 * noise);
            }
        }
    }
}

static int set_up(void **state)
{
    static const struct key128 key = {{9}};
    struct device *dev = open_device("cpu", 1);
    struct quant_watch *watch = NULL;
    struct net *net = NULL;
    struct err e = {0};
    struct rng r;

    (void)state;
    rng_init(&r, 5, RNG_TEST, 0, &key, 0);
    all.config = (struct net_config){.batch = BATCH, .size = SIZE, .type = DT_F32};
    all.config.model = (struct nn_model){nn_family_find("resnetrs14_w32"), CHANNELS, CLASSES};
    for (int i = 0; i < CHANNELS; i++) {
        all.config.mean[i] = 0.45F;
        all.config.std[i] = 0.25F;
    }
    for (int i = 0; i < PIXELS; i++) {
        all.pixels[i] = (uint8_t)rng_below(&r, 256);
    }
    assert_int_equal(net_create(dev, &all.config, &net, &e), RC_OK);
    all.weights = params_buffer(net_params(net));
    assert_non_null(all.weights);
    draw_weights(net_params(net), &r);
    assert_int_equal(net_load(net, all.weights, &e), RC_OK);
    assert_int_equal(quant_create(&all.config.model, &all.quant, &e), RC_OK);
    assert_int_equal(quant_watch_create(all.quant, &watch, &e), RC_OK);
    net_observe(net, quant_watch_see, watch);
    assert_int_equal(net_infer(net, all.pixels, all.f32, &e), RC_OK);
    quant_watch_finish(watch);
    quant_watch_destroy(watch);
    net_destroy(net);
    device_destroy(dev);
    all.config.type = DT_U8;
    all.config.quant = all.quant;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    quant_destroy(all.quant);
    mem_free(all.weights);
    return 0;
}

static void infer(const char *backend, int threads, int batch, float *logits)
{
    struct device *dev = open_device(backend, threads);
    struct net_config c = all.config;
    struct net *net = NULL;
    struct err e = {0};

    c.batch = batch;
    assert_int_equal(net_create(dev, &c, &net, &e), RC_OK);
    assert_int_equal(net_load(net, all.weights, &e), RC_OK);
    for (int at = 0; at < BATCH; at += batch) {
        assert_int_equal(net_infer(net, all.pixels + (size_t)at * SIZE * SIZE * CHANNELS,
                                   logits + (size_t)at * CLASSES, &e),
                         RC_OK);
    }
    net_destroy(net);
    device_destroy(dev);
}

static double relative(const float *a, const float *b)
{
    double difference = 0;
    double norm = 0;

    for (int i = 0; i < BATCH * CLASSES; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        norm += (double)b[i] * (double)b[i];
    }
    return sqrt(difference / norm);
}

static void every_range_was_seen(void **state)
{
    (void)state;
    for (int i = 0; i < all.quant->n_ranges; i++) {
        double sum = 0;

        for (int c = 0; c < all.quant->ranges[i].n; c++) {
            sum += (double)all.quant->ranges[i].top[c];
        }
        if (!(sum > 0)) {
            fail_msg("nothing was seen of %s", all.quant->ranges[i].name);
        }
    }
}

static void logits_are_near_those_of_f32(void **state)
{
    float got[BATCH * CLASSES];

    (void)state;
    infer("ref", 1, BATCH, got);
    assert_true(relative(got, all.f32) < TOLERANCE);
    assert_true(relative(got, all.f32) > 1e-4); /* it is another arithmetic */
}

/* But for a few values that f32 and f64 round apart. */
static void cpu_gives_what_ref_gives(void **state)
{
    float ref[BATCH * CLASSES];
    float cpu[BATCH * CLASSES];

    (void)state;
    if (!cpu_has_int8()) {
        print_message("skipped: this processor has no int8 dot products (VNNI)\n");
        skip();
    }
    infer("ref", 1, BATCH, ref);
    infer("cpu", 2, BATCH, cpu);
    assert_true(relative(cpu, ref) < TOLERANCE / 4);
}

static void bits_depend_on_neither_batch_nor_threads(void **state)
{
    float want[BATCH * CLASSES];
    float got[BATCH * CLASSES];

    (void)state;
    if (!cpu_has_int8()) {
        print_message("skipped: this processor has no int8 dot products (VNNI)\n");
        skip();
    }
    infer("cpu", 1, BATCH, want);
    for (int batch = 1; batch <= 3; batch++) {
        infer("cpu", 1 + batch % 2, batch, got);
        assert_memory_equal(got, want, sizeof got);
    }
}

static void a_calibration_of_another_model_is_refused(void **state)
{
    struct device *dev = open_device("ref", 1);
    struct nn_model other = {nn_family_find("resnetrs11_w16"), CHANNELS, CLASSES};
    struct net_config c = all.config;
    struct quant *q = NULL;
    struct net *net = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(quant_create(&other, &q, &e), RC_OK);
    c.quant = q;
    assert_int_equal(net_create(dev, &c, &net, &e), RC_INVAL);
    assert_string_equal(e.msg,
                        "the calibration is of another model: network resnetrs14_w32 needs 1 "
                        "range of conv1.6, and it has 0");
    quant_destroy(q);
    device_destroy(dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_range_was_seen),
        cmocka_unit_test(logits_are_near_those_of_f32),
        cmocka_unit_test(cpu_gives_what_ref_gives),
        cmocka_unit_test(bits_depend_on_neither_batch_nor_threads),
        cmocka_unit_test(a_calibration_of_another_model_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* Ten training steps are PyTorch's with timm's network: losses, gradients, momentum, weights, running
 * statistics and their EMA, with decay's exclusions and injected noise (tests/golden/make_timm.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/train/trainer.h"
#include "tests/common/nn/formula.h"

enum { BATCH_MAX = 8, SIZE_MAX_PX = 48, CLASSES_MAX = 10, BLOCKS_MAX = 8, FEATURES_MAX = 256 };

/* The first step keeps every ReLU's input away from 0; in later ones a few may flip in f32, which
 * changes gradients this much (as between f32 and f64 of PyTorch itself). */
static const double FLIPS = 3e-2;

struct golden_run {
    const json_t *c;
    struct nn_family family;
    struct trainer_config config;
    struct trainer *trainer;
    uint64_t seed;
    uint8_t pixels[BATCH_MAX * SIZE_MAX_PX * SIZE_MAX_PX * 3];
    float target[BATCH_MAX * CLASSES_MAX], weight[BATCH_MAX];
    float keep[BLOCKS_MAX * BATCH_MAX], dropout[BATCH_MAX * FEATURES_MAX];
    struct key128 keys[BATCH_MAX];
    uint32_t copies[BATCH_MAX];
};

static double number(const json_t *c, const char *name)
{
    const json_t *v = json_object_get(c, name);

    assert_true(json_is_number(v));
    return json_number_value(v);
}

static bool flag(const json_t *c, const char *name)
{
    const json_t *v = json_object_get(c, name);

    assert_true(json_is_boolean(v));
    return json_is_true(v);
}

static void configure(struct golden_run *g, const json_t *c, enum dtype type)
{
    struct trainer_config *t = &g->config;

    memset(g, 0, sizeof *g);
    g->c = c;
    g->seed = (uint64_t)number(c, "seed");
    g->family = (struct nn_family){.name = "narrow", .stem = NN_STEM_RS, .stages = 4, .width = 8};
    for (size_t s = 0; s < 4; s++) {
        g->family.blocks[s] =
            (int)json_integer_value(json_array_get(json_object_get(c, "blocks"), s));
    }
    t->net.model = (struct nn_model){&g->family, 3, (int)number(c, "classes")};
    t->net.batch = (int)number(c, "batch");
    t->net.size = (int)number(c, "size");
    t->net.type = type;
    memcpy(t->net.mean, formula_mean, sizeof t->net.mean);
    memcpy(t->net.std, formula_std, sizeof t->net.std);
    t->micro_batches = (int)number(c, "micro_batches");
    t->schedule = (struct schedule){SCHEDULE_CONSTANT, number(c, "lr"), 10, 0};
    t->momentum = number(c, "momentum");
    t->nesterov = flag(c, "nesterov");
    t->weight_decay = number(c, "weight_decay");
    t->decay_biases = flag(c, "decay_biases");
    t->bn_momentum = number(c, "bn_momentum");
    t->ema_decay = number(c, "ema_decay");
    t->dropout = number(c, "dropout");
    t->drop_path = number(c, "keep");
    for (int i = 0; i < BATCH_MAX; i++) {
        g->weight[i] = 1;
    }
}

static void mask(const char *tag, uint64_t seed, size_t n, double rate, float *out)
{
    uint64_t start = formula_start(tag, seed);

    for (size_t i = 0; i < n; i++) {
        out[i] = formula_uniform(start, i) < rate ? 0.0f : (float)(1.0 / (1.0 - rate));
    }
}

static void draw_targets(struct golden_run *g, const char *tag)
{
    size_t n = (size_t)g->config.net.batch;
    size_t k = (size_t)g->config.net.model.classes;
    bool soft = flag(g->c, "soft");
    char name[FORMULA_NAME_MAX];
    uint64_t start;

    snprintf(name, sizeof name, "%s%s", soft ? "target" : "label", tag);
    start = formula_start(name, g->seed);
    for (size_t i = 0; i < n; i++) {
        float *row = g->target + i * k;
        double sum = 0;

        for (size_t j = 0; j < k; j++) {
            sum += pow(formula_uniform(start, i * k + j), 4);
        }
        for (size_t j = 0; j < k; j++) {
            row[j] = soft ? (float)(pow(formula_uniform(start, i * k + j), 4) / sum)
                          : (float)(0.1 / (double)k);
        }
        if (!soft) {
            row[(size_t)(formula_uniform(start, i) * (double)k)] = (float)(0.9 + 0.1 / (double)k);
        }
    }
}

static enum rc source(void *ctx, int64_t step, int m, struct trainer_batch *out, struct err *e)
{
    struct golden_run *g = ctx;
    size_t n = (size_t)g->config.net.batch;
    int size = g->config.net.size;
    char tag[32];
    char name[FORMULA_NAME_MAX];

    (void)e;
    snprintf(tag, sizeof tag, "%d.%d", (int)step, m);
    formula_pixels(tag, g->seed, n * (size_t)(size * size * 3), g->pixels);
    draw_targets(g, tag);
    for (int b = 0; b < net_blocks(trainer_net(g->trainer)); b++) {
        snprintf(name, sizeof name, "keep%d.%s", b, tag);
        mask(name, g->seed, n, g->config.drop_path, g->keep + (size_t)b * n);
    }
    snprintf(name, sizeof name, "dropout%s", tag);
    mask(name, g->seed, n * (size_t)net_features(trainer_net(g->trainer)), g->config.dropout,
         g->dropout);
    *out = (struct trainer_batch){g->pixels, g->target, g->weight, g->keys,
                                  g->copies, g->keep,   g->dropout};
    return RC_OK;
}

/* The worst relative distance of the views below `end` from the stored ones, which must be close. */
static void compare(const struct golden_run *g, const char *what, const float *x,
                    const float *minus, size_t end, double tolerance)
{
    const struct params *p = trainer_params(g->trainer);
    const json_t *stored = json_object_get(g->c, what);
    size_t compared = 0;

    for (int i = 0; i < p->n_views; i++) {
        const struct param_view *v = &p->views[i];
        double d;

        if (v->offset >= end) {
            continue;
        }
        assert_true(json_is_array(json_object_get(stored, v->name)));
        d = formula_distance(v->name, v, x + v->offset, minus != NULL ? minus + v->offset : NULL,
                             v->n, json_object_get(stored, v->name));
        if (!(d < tolerance)) {
            fail_msg("%s %s: relative distance %.2g, expected below %.2g", what, v->name, d,
                     tolerance);
        }
        compared++;
    }
    assert_int_equal(compared, json_object_size(stored));
}

static void step(struct golden_run *g, int i, double tolerance)
{
    double norm = (double)g->config.net.batch * g->config.micro_batches;
    double wanted = json_number_value(json_array_get(json_object_get(g->c, "losses"), (size_t)i));
    struct trainer_stats s;
    struct err e = {0};

    if (trainer_step(g->trainer, source, g, norm, &s, &e) != RC_OK) {
        fail_msg("%s", e.msg);
    }
    if (!(fabs(s.loss - wanted) < tolerance * fabs(wanted))) {
        fail_msg("step %d: loss %.9g, expected %.9g", i, s.loss, wanted);
    }
}

static void run(const json_t *c, const char *backend, enum dtype type, int steps,
                double loss_tolerance)
{
    struct golden_run *g = mem_calloc(1, sizeof *g);
    struct device *dev = NULL;
    struct coll *self = NULL;
    struct err e = {0};
    const struct params *p;
    float *start;

    assert_non_null(g);
    configure(g, c, type);
    assert_int_equal(coll_self_create(&self, &e), RC_OK);
    assert_int_equal(device_create(backend, 2, &dev, &e), RC_OK);
    assert_int_equal(trainer_create(dev, self, &g->config, &g->trainer, &e), RC_OK);
    p = trainer_params(g->trainer);
    start = params_buffer(p);
    assert_non_null(start);
    formula_fill(p, g->seed, start);
    assert_int_equal(trainer_restore(g->trainer, start, NULL, NULL, 0, &e), RC_OK);
    for (int i = 0; i < steps; i++) {
        step(g, i, loss_tolerance);
        if (i == 0 && type == DT_F32) {
            compare(g, "momentum_1", trainer_momentum(g->trainer), NULL, p->n_trainable, 5e-5);
        }
    }
    if (type == DT_F32) {
        compare(g, "momentum_10", trainer_momentum(g->trainer), NULL, p->n_trainable, FLIPS);
        compare(g, "weights_10", trainer_weights(g->trainer), start, p->n_total, FLIPS / 3);
        compare(g, "ema_10", trainer_ema(g->trainer), start, p->n_total, FLIPS / 3);
    }
    mem_free(start);
    trainer_destroy(g->trainer);
    device_destroy(dev);
    coll_destroy(self);
    mem_free(g);
}

static json_t *golden;

static int open_golden(void **state)
{
    struct err e = {0};

    (void)state;
    return json_read("tests/golden/train/timm.json", &golden, &e);
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
        if (strcmp(json_string_value(json_object_get(c, "name")), name) == 0) {
            return c;
        }
    }
    fail_msg("no case %s", name);
    return NULL;
}

static void ten_nesterov_steps_are_torchs(void **state)
{
    (void)state;
    run(named("nesterov"), "cpu", DT_F32, 10, 1e-5);
}

static void ten_noisy_steps_of_two_micro_batches_are_torchs(void **state)
{
    (void)state;
    run(named("noise"), "cpu", DT_F32, 10, 1e-5);
}

static void the_ref_backend_takes_the_same_steps(void **state)
{
    (void)state;
    run(named("nesterov"), "ref", DT_F32, 10, 1e-5);
}

static void bf16_losses_stay_near(void **state)
{
    (void)state;
    run(named("nesterov"), "cpu", DT_BF16, 3, 3e-2);
    run(named("noise"), "cpu", DT_BF16, 3, 3e-2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_nesterov_steps_are_torchs),
        cmocka_unit_test(ten_noisy_steps_of_two_micro_batches_are_torchs),
        cmocka_unit_test(the_ref_backend_takes_the_same_steps),
        cmocka_unit_test(bf16_losses_stay_near),
    };

    return cmocka_run_group_tests(tests, open_golden, close_golden);
}

/** A stored run of training steps (tests/golden/make_timm.py) against the trainer's. */
#ifndef GOLDEN_TRAIN_H
#define GOLDEN_TRAIN_H

#include "common/train/trainer.h"
#include "tests/golden/golden.h"

enum {
    GOLDEN_BATCH_MAX = 8,
    GOLDEN_SIZE_MAX = 48,
    GOLDEN_CLASSES_MAX = 10,
    GOLDEN_BLOCKS_MAX = 8,
    GOLDEN_FEATURES_MAX = 256
};

struct golden_train {
    const json_t *c;
    struct nn_family family;
    struct trainer_config config;
    struct device *dev;
    struct coll *self;
    struct trainer *trainer;
    const struct params *params;
    uint64_t seed;
    float *start; /* the weights before the first step */
    uint8_t pixels[GOLDEN_BATCH_MAX * GOLDEN_SIZE_MAX * GOLDEN_SIZE_MAX * 3];
    float target[GOLDEN_BATCH_MAX * GOLDEN_CLASSES_MAX], weight[GOLDEN_BATCH_MAX];
    float keep[GOLDEN_BLOCKS_MAX * GOLDEN_BATCH_MAX];
    float dropout[GOLDEN_BATCH_MAX * GOLDEN_FEATURES_MAX];
    struct key128 keys[GOLDEN_BATCH_MAX];
    uint32_t copies[GOLDEN_BATCH_MAX];
};

static inline void golden_train_config(struct golden_train *g, const json_t *c, enum dtype type)
{
    struct trainer_config *t = &g->config;

    t->net.model =
        (struct nn_model){golden_family(c, &g->family), 3, (int)golden_number(c, "classes")};
    t->net.batch = (int)golden_number(c, "batch");
    t->net.size = (int)golden_number(c, "size");
    t->net.type = type;
    memcpy(t->net.mean, formula_mean, sizeof t->net.mean);
    memcpy(t->net.std, formula_std, sizeof t->net.std);
    t->micro_batches = (int)golden_number(c, "micro_batches");
    t->schedule = (struct schedule){SCHEDULE_CONSTANT, golden_number(c, "lr"), 10, 0};
    t->momentum = golden_number(c, "momentum");
    t->nesterov = golden_flag(c, "nesterov");
    t->weight_decay = golden_number(c, "weight_decay");
    t->decay_biases = golden_flag(c, "decay_biases");
    t->bn_momentum = golden_number(c, "bn_momentum");
    t->ema_decay = golden_number(c, "ema_decay");
    t->dropout = golden_number(c, "dropout");
    t->drop_path = golden_number(c, "keep");
}

static inline struct golden_train *golden_train_open(const json_t *c, const char *backend,
                                                     enum dtype type)
{
    struct golden_train *g = mem_calloc(1, sizeof *g);
    struct err e = {0};

    golden_must(g != NULL, "memory");
    g->c = c;
    g->seed = (uint64_t)golden_number(c, "seed");
    golden_train_config(g, c, type);
    golden_must(g->config.net.batch <= GOLDEN_BATCH_MAX && g->config.net.size <= GOLDEN_SIZE_MAX &&
                    g->config.net.model.classes <= GOLDEN_CLASSES_MAX,
                "a case that is too large");
    for (int i = 0; i < GOLDEN_BATCH_MAX; i++) {
        g->weight[i] = 1;
    }
    golden_ok(coll_self_create(&g->self, &e), &e);
    golden_ok(device_create(backend, 2, &g->dev, &e), &e);
    golden_ok(trainer_create(g->dev, g->self, &g->config, &g->trainer, &e), &e);
    g->params = trainer_params(g->trainer);
    golden_must(nn_family_blocks(g->params->model.family) <= GOLDEN_BLOCKS_MAX &&
                    nn_family_features(g->params->model.family) <= GOLDEN_FEATURES_MAX,
                "a case that is too large");
    g->start = params_buffer(g->params);
    golden_must(g->start != NULL, "memory");
    formula_fill(g->params, g->seed, g->start);
    golden_ok(trainer_restore(g->trainer, g->start, NULL, NULL, 0, &e), &e);
    return g;
}

static inline void golden_train_close(struct golden_train *g)
{
    trainer_destroy(g->trainer);
    device_destroy(g->dev);
    coll_destroy(g->self);
    mem_free(g->start);
    mem_free(g);
}

static inline enum rc golden_train_source(void *ctx, int64_t step, int m, struct trainer_batch *out,
                                          struct err *e)
{
    struct golden_train *g = ctx;
    size_t n = (size_t)g->config.net.batch;
    int size = g->config.net.size;
    char tag[32];
    char name[FORMULA_NAME_MAX];

    (void)e;
    (void)snprintf(tag, sizeof tag, "%d.%d", (int)step, m);
    formula_pixels(tag, g->seed, n * (size_t)(size * size * 3), g->pixels);
    golden_targets(tag, g->seed, n, (size_t)g->config.net.model.classes,
                   golden_flag(g->c, "soft"), g->target);
    for (int b = 0; b < net_blocks(trainer_net(g->trainer)); b++) {
        (void)snprintf(name, sizeof name, "keep%d.%s", b, tag);
        golden_mask(name, g->seed, n, g->config.drop_path, g->keep + (size_t)b * n);
    }
    (void)snprintf(name, sizeof name, "dropout%s", tag);
    golden_mask(name, g->seed, n * (size_t)net_features(trainer_net(g->trainer)),
                g->config.dropout, g->dropout);
    *out = (struct trainer_batch){g->pixels, g->target, g->weight, g->keys,
                                  g->copies, g->keep,   g->dropout};
    return RC_OK;
}

/* One step; the loss' relative difference from step i's. */
static inline double golden_train_step(struct golden_train *g, int i)
{
    double norm = (double)g->config.net.batch * g->config.micro_batches;
    double wanted = json_number_value(json_array_get(json_object_get(g->c, "losses"), (size_t)i));
    struct trainer_stats s;
    struct err e = {0};

    golden_ok(trainer_step(g->trainer, golden_train_source, g, norm, &s, &e), &e);
    return fabs(s.loss - wanted) / fabs(wanted);
}

#endif

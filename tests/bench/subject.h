/** What the programs that time a network share: made-up images with classes, random weights, and a
 * trainer of the recipe's kind. */
#ifndef PRECEPTOR_TESTS_BENCH_SUBJECT_H
#define PRECEPTOR_TESTS_BENCH_SUBJECT_H

#include <string.h>

#include "common/train/trainer.h"
#include "tests/bench/bench.h"

/** A batch, the same again and again. */
struct subject_rows {
    uint8_t *pixels;
    float *target, *weight, *logits;
    struct key128 *keys;
    uint32_t *copies;
};

static inline void subject_fill(struct subject_rows *s, const struct net_config *c)
{
    const size_t batch = (size_t)c->batch, classes = (size_t)c->model.classes;
    const size_t pixels = batch * (size_t)(c->size * c->size * c->model.in_channels);

    s->pixels = bench_alloc(pixels);
    s->target = bench_alloc(batch * classes * sizeof(float));
    s->logits = bench_alloc(batch * classes * sizeof(float));
    s->weight = bench_alloc(batch * sizeof(float));
    s->keys = bench_alloc(batch * sizeof *s->keys);
    s->copies = bench_alloc(batch * sizeof *s->copies);
    for (size_t i = 0; i < pixels; i++) {
        s->pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    memset(s->target, 0, batch * classes * sizeof(float));
    memset(s->keys, 0, batch * sizeof *s->keys);
    for (size_t i = 0; i < batch; i++) {
        s->target[i * classes + i % classes] = 1;
        s->weight[i] = 1;
        s->copies[i] = (uint32_t)i;
    }
}

static inline void subject_free(struct subject_rows *s)
{
    mem_free(s->pixels);
    mem_free(s->target);
    mem_free(s->logits);
    mem_free(s->weight);
    mem_free(s->keys);
    mem_free(s->copies);
}

/** A trainer_source; ctx is the subject_rows. */
static inline enum rc subject_next(void *ctx, int64_t step, int m, struct trainer_batch *out,
                                   struct err *e)
{
    const struct subject_rows *s = ctx;

    (void)step, (void)m, (void)e;
    *out = (struct trainer_batch){.pixels = s->pixels,
                                  .target = s->target,
                                  .weight = s->weight,
                                  .keys = s->keys,
                                  .copies = s->copies};
    return RC_OK;
}

/** One micro-batch a rank. */
static inline struct trainer *subject_trainer(struct device *dev, struct coll *coll,
                                              const struct net_config *c)
{
    const struct trainer_config tc = {
        .net = *c,
        .micro_batches = coll_size(coll),
        .schedule = {.kind = SCHEDULE_CONSTANT, .lr = 1e-3, .steps = 1000000},
        .momentum = 0.9,
        .weight_decay = 4e-5,
        .bn_momentum = 0.1,
        .ema_decay = 0.9999,
        .skip_nonfinite = true,
        .seed = 1,
        .fc_std = 0.01};
    struct trainer *t = NULL;
    struct err e = {0};

    bench_must(trainer_create(dev, coll, &tc, &t, &e), &e);
    return t;
}

/** Parameters of n, on the heap. */
static inline float *subject_weights(const struct net *n)
{
    float *w = params_buffer(net_params(n));
    struct err e = {0};

    if (w == NULL) {
        bench_must(mem_raise(&e, "weights", net_params(n)->n_total * sizeof *w), &e);
    }
    params_init(net_params(n), 1, 0.01, w);
    return w;
}

#endif

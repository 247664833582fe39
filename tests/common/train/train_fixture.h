/** A small training run for tests: resnetrs11_w16 on random pixels that carry their class. */
#ifndef TRAIN_FIXTURE_H
#define TRAIN_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/train/trainer.h"

enum { FIX_BATCH = 8, FIX_SIZE = 16, FIX_CLASSES = 5, FIX_MICRO = 2 };

struct train_fixture {
    struct device *dev;
    struct coll *coll;
    struct trainer_config config;
    struct trainer *trainer;
    uint8_t pixels[FIX_BATCH * FIX_SIZE * FIX_SIZE];
    float target[FIX_BATCH * FIX_CLASSES], weight[FIX_BATCH];
    struct key128 keys[FIX_BATCH];
    uint32_t copies[FIX_BATCH];
    int64_t poison; /* step whose micro-batch 0 has a NaN target in row 3; -1: none */
    int64_t fail;   /* step whose source fails; -1: none */
};

static inline void fixture_draw(struct train_fixture *f, int64_t step, int m)
{
    struct key128 key = {{(uint8_t)m}};
    struct rng r;

    rng_init(&r, 5, RNG_TEST, (uint64_t)step, &key, 0);
    for (int i = 0; i < FIX_BATCH; i++) {
        int cls = (int)rng_below(&r, FIX_CLASSES);

        for (int p = 0; p < FIX_SIZE * FIX_SIZE; p++) {
            int bright = p / FIX_SIZE / 3 == cls ? 120 : 0;

            f->pixels[i * FIX_SIZE * FIX_SIZE + p] = (uint8_t)((int)rng_below(&r, 120) + bright);
        }
        for (int k = 0; k < FIX_CLASSES; k++) {
            f->target[i * FIX_CLASSES + k] = k == cls ? 0.92f : 0.02f;
        }
        f->weight[i] = 1;
        f->keys[i].b[15] = (uint8_t)(m * FIX_BATCH + i);
        f->keys[i].b[14] = (uint8_t)step;
        f->copies[i] = 0;
    }
}

static inline enum rc fixture_source(void *ctx, int64_t step, int m, struct trainer_batch *out,
                                     struct err *e)
{
    struct train_fixture *f = ctx;
    int first;
    int count;

    trainer_split(f->trainer, &first, &count);
    if (step == f->fail) {
        return err_raise(e, RC_IO, "the source of step %d fails", (int)step);
    }
    fixture_draw(f, step, first + m);
    if (step == f->poison && first + m == 0) {
        f->target[3 * FIX_CLASSES] = NAN;
    }
    *out = (struct trainer_batch){.pixels = f->pixels, .target = f->target, .weight = f->weight,
                                  .keys = f->keys, .copies = f->copies};
    return RC_OK;
}

static inline void fixture_config(struct train_fixture *f)
{
    struct trainer_config *c = &f->config;

    memset(f, 0, sizeof *f);
    f->poison = f->fail = -1;
    c->net.model = (struct nn_model){nn_family_find("resnetrs11_w16"), 1, FIX_CLASSES};
    c->net.batch = FIX_BATCH;
    c->net.size = FIX_SIZE;
    c->net.type = DT_F32;
    c->net.mean[0] = 0.4f;
    c->net.std[0] = 0.3f;
    c->micro_batches = FIX_MICRO;
    c->schedule = (struct schedule){SCHEDULE_COSINE, 0.1, 40, 5};
    c->momentum = 0.9;
    c->nesterov = true;
    c->weight_decay = 1e-3;
    c->bn_momentum = 0.1;
    c->ema_decay = 0.9;
    c->dropout = 0.25;
    c->drop_path = 0.2;
    c->seed = 3;
    c->fc_std = 0.05;
}

static inline void fixture_start(struct train_fixture *f, struct coll *coll, int threads)
{
    struct err e = {0};

    f->coll = coll;
    assert_int_equal(device_create("cpu", threads, &f->dev, &e), RC_OK);
    assert_int_equal(trainer_create(f->dev, f->coll, &f->config, &f->trainer, &e), RC_OK);
}

static inline void fixture_stop(struct train_fixture *f)
{
    trainer_destroy(f->trainer);
    device_destroy(f->dev);
}

static inline enum rc fixture_step(struct train_fixture *f, struct trainer_stats *s, struct err *e)
{
    return trainer_step(f->trainer, fixture_source, f, FIX_BATCH * FIX_MICRO, s, e);
}

/* A step that goes well, or the test fails with its sentence. */
static inline void fixture_must_step(struct train_fixture *f, struct trainer_stats *s)
{
    struct err e = {0};

    if (fixture_step(f, s, &e) != RC_OK) {
        fail_msg("%s", e.msg);
    }
}

#endif

/*
 * A step of data-parallel training, its compute alone and its all-reduce alone, for tests/hosts/overlap: the
 * least seconds of each, all ranks at the same thing at the same time.
 * usage: overlap FAMILY SIZE BATCH STEPS     rank 0 prints "floats N", "compute S", "comm S", "step S"
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/train/trainer.h"

enum { CLASSES = 10 };

struct subject {
    struct device *dev;
    struct coll *world, *self;
    int size, batch;
    uint8_t *pixels;
    float *target, *weight;
    struct key128 *keys;
    uint32_t *copies;
};

static void must(enum rc rc, const struct err *e)
{
    if (rc != RC_OK) {
        fprintf(stderr, "overlap: %s\n", e->msg);
        exit(1);
    }
}

static void *room(size_t n, size_t bytes)
{
    void *p = mem_calloc(n, bytes);

    if (p == NULL) {
        fprintf(stderr, "overlap: out of memory\n");
        exit(1);
    }
    return p;
}

static enum rc source(void *ctx, int64_t step, int m, struct trainer_batch *out, struct err *e)
{
    const struct subject *s = ctx;

    (void)step, (void)m, (void)e;
    *out = (struct trainer_batch){.pixels = s->pixels,
                                  .target = s->target,
                                  .weight = s->weight,
                                  .keys = s->keys,
                                  .copies = s->copies};
    return RC_OK;
}

static void fill(struct subject *s)
{
    const size_t n = (size_t)s->batch;
    const size_t pixels = n * (size_t)s->size * (size_t)s->size * 3;

    s->pixels = room(pixels, 1);
    s->target = room(n * CLASSES, sizeof(float));
    s->weight = room(n, sizeof(float));
    s->keys = room(n, sizeof *s->keys);
    s->copies = room(n, sizeof *s->copies);
    for (size_t i = 0; i < pixels; i++) {
        s->pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    for (size_t i = 0; i < n; i++) {
        s->target[i * CLASSES + i % CLASSES] = 1;
        s->weight[i] = 1;
    }
}

static struct trainer *trainer(const struct subject *s, const char *family, struct coll *coll)
{
    struct trainer_config c = {.micro_batches = coll_size(coll),
                               .schedule = {.kind = SCHEDULE_CONSTANT, .lr = 1e-4, .steps = 1000},
                               .momentum = 0.9,
                               .bn_momentum = 0.1,
                               .ema_decay = 0.99,
                               .seed = 1,
                               .fc_std = 0.01};
    struct trainer *t = NULL;
    struct err e = {0};

    c.net = (struct net_config){.model = {nn_family_find(family), 3, CLASSES},
                                .batch = s->batch,
                                .size = s->size,
                                .type = DT_F32,
                                .mean = {0.5f, 0.5f, 0.5f},
                                .std = {0.25f, 0.25f, 0.25f}};
    must(trainer_create(s->dev, coll, &c, &t, &e), &e);
    return t;
}

/* The slowest rank's seconds, the least of n times. */
static double least(struct subject *s, struct trainer *t, float *buf, size_t floats, int n)
{
    struct trainer_stats stats;
    double best = 1e9;
    struct err e = {0};

    for (int i = 0; i <= n; i++) {
        double took;
        int ticket = 0;

        must(coll_barrier(s->world, &e), &e);
        took = clock_now();
        if (t != NULL) {
            must(trainer_step(t, source, s, s->batch, &stats, &e), &e);
        } else {
            must(coll_allreduce_start(s->world, buf, floats, 0, &ticket, &e), &e);
            must(coll_allreduce_wait(s->world, ticket, &e), &e);
        }
        took = clock_now() - took;
        must(coll_allreduce(s->world, &took, 1, COLL_F64, COLL_MAX, &e), &e);
        best = i > 0 && took < best ? took : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    struct subject s = {0};
    struct trainer *alone;
    struct trainer *together;
    double seconds[3];
    size_t floats;
    float *buf;
    struct err e = {0};

    if (argc != 5 || nn_family_find(argv[1]) == NULL) {
        fprintf(stderr, "usage: overlap FAMILY SIZE BATCH STEPS\n");
        return 2;
    }
    s.size = (int)strtol(argv[2], NULL, 10);
    s.batch = (int)strtol(argv[3], NULL, 10);
    must(coll_create(&s.world, &e), &e);
    must(coll_self_create(&s.self, &e), &e);
    must(device_create("cpu", 1, &s.dev, &e), &e);
    fill(&s);
    alone = trainer(&s, argv[1], s.self);
    floats = trainer_params(alone)->n_total;
    buf = room(floats, sizeof *buf);
    seconds[0] = least(&s, alone, NULL, 0, (int)strtol(argv[4], NULL, 10));
    trainer_destroy(alone);
    seconds[1] = least(&s, NULL, buf, floats, 2);
    together = trainer(&s, argv[1], s.world);
    seconds[2] = least(&s, together, NULL, 0, (int)strtol(argv[4], NULL, 10));
    trainer_destroy(together);
    if (coll_rank(s.world) == 0) {
        printf("floats %zu\ncompute %.4f\ncomm %.4f\nstep %.4f\n", floats, seconds[0], seconds[1],
               seconds[2]);
    }
    mem_free(buf);
    device_destroy(s.dev);
    coll_destroy(s.self);
    coll_destroy(s.world);
    return 0;
}

/*
 * Data-parallel training for train_ranks.sh: steps on random pixels, the same for any number of ranks.
 * usage: train_ranks FAMILY STEPS MICRO_BATCHES CASE
 *   CASE  plain   rank 0 prints "loss STEP VALUE" and each rank "weights DIGEST" at the end
 *         fail    the last rank's source fails in step 1; each rank prints "rank R: rc N: sentence"
 *         poison  a target of micro-batch 0 is not finite in step 1; the same
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/rng.h"
#include "common/train/trainer.h"

/* Few pixels: each ReLU's input is one more that may change its sign with the order of sums. */
enum { BATCH = 4, SIZE = 16, SIZE_LARGE = 48, CLASSES = 5 };

struct run {
    struct device *dev;
    struct coll *coll;
    struct trainer *trainer;
    const char *kind;
    int size;
    uint8_t pixels[BATCH * SIZE_LARGE * SIZE_LARGE];
    float target[BATCH * CLASSES], weight[BATCH];
    struct key128 keys[BATCH];
    uint32_t copies[BATCH];
};

static enum rc source(void *ctx, int64_t step, int m, struct trainer_batch *out, struct err *e)
{
    struct run *r = ctx;
    struct key128 key = {{0}};
    struct rng rng;
    int first;
    int count;
    int micro;

    trainer_split(r->trainer, &first, &count);
    micro = first + m;
    if (strcmp(r->kind, "fail") == 0 && step == 1 && coll_rank(r->coll) == coll_size(r->coll) - 1) {
        return err_raise(e, RC_IO, "the source of rank %d fails", coll_rank(r->coll));
    }
    key.b[0] = (uint8_t)micro;
    rng_init(&rng, 9, RNG_TEST, (uint64_t)step, &key, 0);
    for (int i = 0; i < BATCH * r->size * r->size; i++) {
        r->pixels[i] = (uint8_t)rng_below(&rng, 256);
    }
    memset(r->target, 0, sizeof r->target);
    for (int i = 0; i < BATCH; i++) {
        r->target[i * CLASSES + (int)rng_below(&rng, CLASSES)] = 1;
        r->weight[i] = 1;
        r->keys[i].b[15] = (uint8_t)(micro * BATCH + i);
    }
    if (strcmp(r->kind, "poison") == 0 && step == 1 && micro == 0) {
        r->target[2 * CLASSES] = NAN;
    }
    *out = (struct trainer_batch){.pixels = r->pixels,
                                  .target = r->target,
                                  .weight = r->weight,
                                  .keys = r->keys,
                                  .copies = r->copies};
    return RC_OK;
}

static enum rc start(struct run *r, const char *family, int micro_batches, struct err *e)
{
    struct trainer_config c = {.micro_batches = micro_batches,
                               .schedule = {SCHEDULE_COSINE, 0.01, 100, 0},
                               .momentum = 0.9,
                               .nesterov = true,
                               .weight_decay = 1e-3,
                               .bn_momentum = 0.1,
                               .ema_decay = 0.99,
                               .dropout = 0.2,
                               .drop_path = 0.1,
                               .seed = 1,
                               .fc_std = 0.05};
    enum rc rc = coll_create(&r->coll, e);

    r->size = nn_family_find(family)->stem == NN_STEM_SMALL ? SIZE : SIZE_LARGE;
    c.net = (struct net_config){.model = {nn_family_find(family), 1, CLASSES},
                                .batch = BATCH,
                                .size = r->size,
                                .type = DT_F32,
                                .mean = {0.5f},
                                .std = {0.25f}};
    rc = rc != RC_OK ? rc : device_create("cpu", 1, &r->dev, e);
    return rc != RC_OK ? rc : trainer_create(r->dev, r->coll, &c, &r->trainer, e);
}

static enum rc steps(struct run *r, int n, int micro_batches, struct err *e)
{
    struct trainer_stats s;
    enum rc rc = RC_OK;

    for (int i = 0; i < n && rc == RC_OK; i++) {
        rc = trainer_step(r->trainer, source, r, BATCH * micro_batches, &s, e);
        if (rc == RC_OK && coll_rank(r->coll) == 0) {
            printf("loss %d %.17g\n", i, s.loss);
        }
    }
    return rc;
}

static void print_weights(const struct run *r)
{
    struct digest d;
    char hex[HASH_HEX_DIGEST];

    hash_digest(trainer_weights(r->trainer), trainer_params(r->trainer)->n_total * sizeof(float),
                &d);
    hash_digest_hex(&d, hex);
    printf("weights %s\n", hex);
}

int main(int argc, char **argv)
{
    static struct run r;
    struct err e = {0};
    enum rc rc;

    if (argc != 5) {
        fprintf(stderr, "usage: train_ranks FAMILY STEPS MICRO_BATCHES CASE\n");
        return 2;
    }
    r.kind = argv[4];
    rc = start(&r, argv[1], (int)strtol(argv[3], NULL, 10), &e);
    rc = rc != RC_OK
             ? rc
             : steps(&r, (int)strtol(argv[2], NULL, 10), (int)strtol(argv[3], NULL, 10), &e);
    if (rc == RC_OK) {
        print_weights(&r);
    } else {
        printf("rank %d: rc %d: %s\n", coll_rank(r.coll), (int)rc, e.msg);
    }
    trainer_destroy(r.trainer);
    device_destroy(r.dev);
    coll_destroy(r.coll);
    return 0;
}

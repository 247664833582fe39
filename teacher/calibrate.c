#include "teacher/calibrate.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "shards/feed.h"
#include "teacher/calibrate_impl.h"

/* ---- by hand --------------------------------------------------------------------------------- */

struct calibrate {
    struct predictor *predictor;
    struct quant *quant;
    struct quant_watch *watch;
    float *probs;
    int images; /* of the batch under way: rows of the padding are not counted */
};

static enum rc calibrate_see(void *ctx, const char *name, const float *values, size_t rows,
                             int channels, struct err *e)
{
    const struct calibrate *c = ctx;

    return quant_watch_see(c->watch, name, values, rows / CALIBRATE_BATCH * (size_t)c->images,
                           channels, e);
}

enum rc calibrate_begin(const struct teacher *t, struct device *dev, int size,
                        struct calibrate **out, struct err *e)
{
    const struct model_info *info = teacher_info(t);
    struct calibrate *c = mem_calloc(1, sizeof *c);
    enum rc rc = RC_OK;

    if (c == NULL) {
        return mem_raise(e, "calibration", sizeof *c);
    }
    c->probs = mem_calloc((size_t)info->classes * CALIBRATE_BATCH, sizeof *c->probs);
    if (c->probs == NULL) {
        rc = mem_raise(e, "calibration", (size_t)info->classes * CALIBRATE_BATCH);
    }
    if (rc == RC_OK && !device_is_host(dev)) {
        rc = err_raise(e, RC_UNSUPPORTED,
                       "int8 is computed by the cpu backend alone: say --device cpu, or "
                       "--precision bf16");
    }
    if (rc == RC_OK) {
        rc = predictor_create_whole(t, dev, CALIBRATE_BATCH, size, &c->predictor, e);
    }
    if (rc == RC_OK) {
        rc = quant_create(&teacher_params(t)->model, &c->quant, e);
    }
    if (rc == RC_OK) {
        rc = quant_watch_create(c->quant, &c->watch, e);
    }
    if (rc != RC_OK) {
        calibrate_destroy(c);
        return rc;
    }
    net_observe(predictor_net(c->predictor), calibrate_see, c);
    *out = c;
    return RC_OK;
}

enum rc calibrate_add(struct calibrate *c, const uint8_t *pixels, int n, struct err *e)
{
    c->images = n;
    return predictor_run(c->predictor, pixels, c->probs, NULL, e);
}

void calibrate_end(struct calibrate *c, struct quant **out)
{
    quant_watch_finish(c->watch);
    quant_watch_destroy(c->watch); /* which borrows the ranges */
    c->watch = NULL;
    *out = c->quant;
    c->quant = NULL;
}

void calibrate_destroy(struct calibrate *c)
{
    if (c != NULL) {
        predictor_destroy(c->predictor);
        quant_watch_destroy(c->watch);
        quant_destroy(c->quant);
        mem_free(c->probs);
        mem_free(c);
    }
}

/* ---- the sample ------------------------------------------------------------------------------ */

enum { SAMPLE_SHARDS = 8 }; /* at most: each is read whole once, to check its digest */

struct sample {
    struct corpus *corpus;
    int shards[SAMPLE_SHARDS];
    int n_shards;
    int at, in_shard; /* the shard and the image in it that come next */
    int left;         /* images to give */
    int given;
    struct rng rng;
};

/* Shards by chance, in ascending order: reservoir sampling keeps each with the same probability. */
static void sample_shards(struct sample *s)
{
    int seen = 0;

    for (int i = 0; i < corpus_shards(s->corpus); i++) {
        if (corpus_shard(s->corpus, i)->images == 0) {
            continue;
        }
        seen++;
        if (s->n_shards < SAMPLE_SHARDS) {
            s->shards[s->n_shards++] = i;
            continue;
        }
        const int place = (int)rng_below(&s->rng, (uint32_t)seen);

        if (place < SAMPLE_SHARDS) {
            memmove(&s->shards[place], &s->shards[place + 1],
                    (size_t)(SAMPLE_SHARDS - 1 - place) * sizeof s->shards[0]);
            s->shards[SAMPLE_SHARDS - 1] = i;
        }
    }
}

/* Images of the shard that comes next. */
static int sample_share(const struct sample *s, int images)
{
    const int even = images / s->n_shards + (s->at < images % s->n_shards);
    const uint64_t has = corpus_shard(s->corpus, s->shards[s->at])->images;

    return (uint64_t)even < has ? even : (int)has;
}

struct sample_feed {
    struct sample sample;
    int images; /* wanted */
};

/* One image out of each of `share` equal parts of the shard, then padding to a whole batch. */
static enum rc sample_source(void *ctx, struct feed_item *item, float *target, bool *more,
                             struct err *e)
{
    struct sample_feed *f = ctx;
    struct sample *s = &f->sample;

    (void)target, (void)e;
    while (s->at < s->n_shards) {
        const int share = sample_share(s, f->images);
        const uint64_t images = corpus_shard(s->corpus, s->shards[s->at])->images;
        double part = 0;
        uint32_t position = 0;

        if (s->in_shard >= share) {
            s->at++;
            s->in_shard = 0;
            continue;
        }
        part = ((double)s->in_shard++ + rng_f64(&s->rng)) / share;
        position = (uint32_t)(part * (double)images);
        if (position >= images || corpus_is_forgotten(s->corpus, s->shards[s->at], position)) {
            continue;
        }
        *item = (struct feed_item){.shard = s->shards[s->at], .position = position};
        s->given++;
        return RC_OK;
    }
    if (s->given % CALIBRATE_BATCH == 0) {
        *more = false;
        return RC_OK;
    }
    *item = (struct feed_item){.padding = true};
    s->given++;
    return RC_OK;
}

/* ---- of a corpus ----------------------------------------------------------------------------- */

/* The images of a batch that could be decoded, one after the other in rows; how many. */
static int calibrate_rows(const struct feed_batch *b, size_t row_bytes, uint8_t *rows)
{
    int n = 0;

    for (int i = 0; i < b->n && !b->items[i].padding; i++) {
        if (b->items[i].why == IMAGE_OK) {
            memcpy(rows + (size_t)n++ * row_bytes, b->pixels + (size_t)i * row_bytes, row_bytes);
        }
    }
    return n;
}

static enum rc calibrate_all(struct calibrate *c, const struct image_eval *eval, struct feed *feed,
                             int *images, struct err *e)
{
    const size_t row = (size_t)eval->size * (size_t)eval->size * (size_t)eval->channels;
    uint8_t *rows = mem_aligned(CALIBRATE_BATCH * row);
    struct feed_batch b;
    bool more = true;
    enum rc rc = rows != NULL ? RC_OK : mem_raise(e, "pixels", CALIBRATE_BATCH * row);

    if (rc == RC_OK) {
        memset(rows, 0, CALIBRATE_BATCH * row);
    }
    while (rc == RC_OK && (rc = feed_next(feed, &b, &more, e)) == RC_OK && more) {
        const int n = calibrate_rows(&b, row, rows);

        rc = n > 0 ? calibrate_add(c, rows, n, e) : RC_OK;
        *images += n;
        feed_return(feed, &b);
    }
    mem_free(rows);
    return rc;
}

enum rc calibrate_corpus(const struct teacher *t, struct device *dev, struct corpus *corpus,
                         const struct calibrate_rule *rule, int decoders, struct quant **out,
                         struct err *e)
{
    static const struct key128 whole = {{0}}; /* the draws belong to no image */
    struct sample_feed f = {.sample.corpus = corpus, .images = rule->images};
    struct feed_config fc = {.corpora = {corpus, NULL},
                             .eval = rule->eval,
                             .batch = CALIBRATE_BATCH,
                             .threads = decoders,
                             .skip_bad = true,
                             .source = sample_source,
                             .ctx = &f};
    struct calibrate *c = NULL;
    struct feed *feed = NULL;
    int images = 0;
    enum rc rc = calibrate_begin(t, dev, rule->eval.size, &c, e);

    rng_init(&f.sample.rng, rule->seed, RNG_CALIBRATE, 0, &whole, 0);
    sample_shards(&f.sample);
    if (rc == RC_OK) {
        rc = feed_create(&fc, &feed, e);
    }
    if (rc == RC_OK) {
        feed_pause(feed, true);
        rc = calibrate_all(c, &rule->eval, feed, &images, e);
    }
    if (rc == RC_OK && images == 0) {
        rc = err_raise(e, RC_INVAL,
                       "the corpus '%s' gives no image to calibrate int8 on: take another, or "
                       "--precision bf16",
                       corpus_path(corpus));
    }
    if (rc == RC_OK) {
        calibrate_end(c, out);
        log_info("teacher", "calibrated for int8 on %d images of '%s'", images,
                 corpus_path(corpus));
    }
    feed_destroy(feed);
    calibrate_destroy(c);
    return rc;
}

/* Rank 0's part of calibrate_share. */
static enum rc calibrate_make(const char *folder, const struct teacher *t, struct device *dev,
                              struct corpus *corpus, const struct calibrate_rule *rule,
                              int decoders, struct quant *q, struct digest *digest, struct err *e)
{
    struct quant *made = NULL;
    bool found = false;
    enum rc rc = RC_OK;

    if (folder != NULL) {
        rc = calibrate_file_read(folder, t, rule, q, digest, &found, e);
    }
    if (rc != RC_OK || found) {
        return rc;
    }
    rc = calibrate_corpus(t, dev, corpus, rule, decoders, &made, e);
    if (rc == RC_OK) {
        memcpy(q->tops, made->tops, q->n_tops * sizeof *q->tops);
    }
    if (rc == RC_OK && folder != NULL) {
        rc = calibrate_file_write(folder, t, rule, q, e);
    }
    if (rc == RC_OK && folder != NULL) { /* what lies there is what counts */
        rc = calibrate_file_read(folder, t, rule, q, digest, &found, e);
    }
    quant_destroy(made);
    return rc;
}

enum rc calibrate_share(struct coll *coll, const char *folder, const struct teacher *t,
                        struct device *dev, struct corpus *corpus,
                        const struct calibrate_rule *rule, int decoders, struct quant **out,
                        struct digest *digest, struct err *e)
{
    struct quant *q = NULL;
    enum rc rc = quant_create(&teacher_params(t)->model, &q, e);

    if (rc == RC_OK && coll_rank(coll) == 0) {
        rc = calibrate_make(folder, t, dev, corpus, rule, decoders, q, digest, e);
    }
    rc = coll_agree(coll, rc, e);
    if (rc == RC_OK) {
        rc = coll_broadcast(coll, q->tops, q->n_tops * sizeof *q->tops, 0, e);
    }
    if (rc == RC_OK && digest != NULL) {
        rc = coll_broadcast(coll, digest, sizeof *digest, 0, e);
    }
    if (rc == RC_OK) {
        *out = q;
        q = NULL;
    }
    quant_destroy(q);
    return rc;
}

#include "student/mix.h"

#include <assert.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "shards/epoch_order.h"

/* An open label shard; the cache holds those of the windows in use. */
struct mix_labels {
    int shard; /* of the corpus; -1: free */
    struct label_reader *reader;
    uint64_t used; /* for least recently used */
};

struct mix {
    struct mix_config c;
    struct epoch_order *orders[2]; /* labeled, unlabeled */
    struct feed *feed;
    struct feed_batch batch;
    bool held;
    /* the source's cursor */
    int64_t step;
    int micro, row;
    /* one micro-batch */
    int rows;
    float *target, *weight;
    struct key128 *keys;
    uint32_t *copies;
    /* pseudo-labels */
    struct mix_labels *cache;
    int n_cache;
    uint64_t clock;
};

static enum rc mix_source(void *ctx, struct feed_item *item, float *target, bool *more,
                          struct err *e)
{
    struct mix *m = ctx;
    const struct train_rows *r = &m->c.rows;
    struct epoch_item at;
    bool labeled = m->row < r->micro_labeled;
    uint64_t index = 0;
    enum rc rc = RC_OK;

    (void)target;
    if (m->step >= m->c.steps || m->c.n_micro == 0) {
        *more = false;
        return RC_OK;
    }
    if (labeled) {
        index = (uint64_t)m->step * (uint64_t)r->labeled +
                (uint64_t)m->micro * (uint64_t)r->micro_labeled + (uint64_t)m->row;
    } else {
        index = (uint64_t)m->step * (uint64_t)r->unlabeled +
                (uint64_t)m->micro * (uint64_t)r->micro_unlabeled +
                (uint64_t)(m->row - r->micro_labeled);
    }
    rc = epoch_order_at(m->orders[labeled ? 0 : 1], index, &at, e);
    if (rc != RC_OK) {
        return rc;
    }
    *item = (struct feed_item){.corpus = labeled ? 0 : 1,
                               .shard = at.shard,
                               .position = at.position,
                               .copy = at.copy,
                               .epoch = at.epoch,
                               .noise = true};
    if (++m->row == m->rows) {
        m->row = 0;
        if (++m->micro == m->c.first_micro + m->c.n_micro) {
            m->micro = m->c.first_micro;
            m->step++;
        }
    }
    return RC_OK;
}

static enum rc mix_orders(struct mix *m, struct err *e)
{
    struct epoch_order_config oc = {.corpus = m->c.labeled,
                                    .seed = (uint64_t)m->c.train->seed,
                                    .window = (int)m->c.train->window};
    enum rc rc = epoch_order_create(&oc, &m->orders[0], e);

    if (rc == RC_OK && m->c.unlabeled != NULL) {
        oc.corpus = m->c.unlabeled;
        oc.selection = m->c.selection;
        oc.seed += 1; /* the two streams are shuffled apart */
        rc = epoch_order_create(&oc, &m->orders[1], e);
    }
    return rc;
}

static enum rc mix_feed(struct mix *m, struct err *e)
{
    struct feed_config fc = {.corpora = {m->c.labeled, m->c.unlabeled},
                             .augment = {m->c.augment, m->c.augment},
                             .eval = m->c.eval,
                             .seed = (uint64_t)m->c.train->seed,
                             .batch = m->rows,
                             .threads = m->c.threads,
                             .readers = 4 * (int)m->c.train->window,
                             .source = mix_source,
                             .ctx = m};
    enum rc rc = feed_create(&fc, &m->feed, e);

    if (rc == RC_OK) {
        feed_pause(m->feed, m->c.take_turns);
    }
    return rc;
}

static enum rc mix_buffers(struct mix *m, struct err *e)
{
    size_t rows = (size_t)m->rows;

    m->target = mem_calloc(rows * (size_t)m->c.classes, sizeof *m->target);
    m->weight = mem_calloc(rows, sizeof *m->weight);
    m->keys = mem_calloc(rows, sizeof *m->keys);
    m->copies = mem_calloc(rows, sizeof *m->copies);
    m->n_cache = 4 * (int)m->c.train->window;
    m->cache = mem_calloc((size_t)m->n_cache, sizeof *m->cache);
    if (m->target == NULL || m->weight == NULL || m->keys == NULL || m->copies == NULL ||
        m->cache == NULL) {
        return mem_raise(e, "a micro-batch", rows * (size_t)m->c.classes * sizeof *m->target);
    }
    for (int i = 0; i < m->n_cache; i++) {
        m->cache[i].shard = -1;
    }
    for (int i = 0; i < m->rows; i++) {
        m->weight[i] = i < m->c.rows.micro_labeled ? 1.0f : (float)m->c.train->unlabeled_weight;
    }
    return RC_OK;
}

enum rc mix_create(const struct mix_config *c, struct mix **out, struct err *e)
{
    struct mix *m = mem_calloc(1, sizeof *m);
    enum rc rc = RC_OK;

    if (m == NULL) {
        return mem_raise(e, "the mix", sizeof *m);
    }
    m->c = *c;
    m->step = c->first_step;
    m->micro = c->first_micro;
    m->rows = c->rows.micro_labeled + c->rows.micro_unlabeled;
    rc = mix_buffers(m, e);
    if (rc == RC_OK) {
        rc = mix_orders(m, e);
    }
    if (rc == RC_OK) {
        rc = mix_feed(m, e);
    }
    if (rc != RC_OK) {
        mix_destroy(m);
        return rc;
    }
    *out = m;
    return RC_OK;
}

void mix_destroy(struct mix *m)
{
    if (m == NULL) {
        return;
    }
    feed_destroy(m->feed);
    epoch_order_destroy(m->orders[0]);
    epoch_order_destroy(m->orders[1]);
    for (int i = 0; m->cache != NULL && i < m->n_cache; i++) {
        label_reader_close(m->cache[i].reader);
    }
    mem_free(m->cache);
    mem_free(m->target);
    mem_free(m->weight);
    mem_free(m->keys);
    mem_free(m->copies);
    mem_free(m);
}

/* The open label shard of an image shard, opening it in place of the least recently used. */
static enum rc mix_label_shard(struct mix *m, int shard, struct label_reader **out, struct err *e)
{
    struct mix_labels *slot = &m->cache[0];
    struct label_reader *reader = NULL;
    int index = 0;
    enum rc rc = RC_OK;

    for (int i = 0; i < m->n_cache; i++) {
        if (m->cache[i].shard == shard) {
            slot = &m->cache[i];
            break;
        }
        if (m->cache[i].used < slot->used) {
            slot = &m->cache[i];
        }
    }
    if (slot->shard != shard) {
        index = label_store_find(m->c.labels, shard);
        if (index < 0) {
            return err_raise(e, RC_INVAL, "image shard '%s' has no labels in '%s': label it first",
                             corpus_shard(m->c.unlabeled, shard)->name,
                             label_store_path(m->c.labels));
        }
        rc = label_reader_open(m->c.labels, index, false, &reader, e);
        if (rc != RC_OK) {
            return rc;
        }
        label_reader_close(slot->reader);
        slot->reader = reader;
        slot->shard = shard;
    }
    slot->used = ++m->clock;
    *out = slot->reader;
    return RC_OK;
}

/* The control of shuffle_labels: another image's label, the same one each time, and never one that says
 * nothing. */
static enum rc mix_shuffled(struct mix *m, struct label_reader *reader,
                            const struct feed_item *item, struct label *out, struct err *e)
{
    uint64_t n = label_reader_count(reader);
    struct key128 shard = {{0}};
    struct rng r;
    uint64_t shift = 0;
    enum rc rc = RC_OK;

    memcpy(shard.b, &item->shard, sizeof item->shard);
    rng_init(&r, (uint64_t)m->c.train->seed, RNG_SELECT, 0, &shard, 0);
    shift = n > 1 ? 1 + rng_below(&r, (uint32_t)(n - 1)) : 0;
    for (uint64_t i = 0; i < n; i++) {
        rc = label_reader_at(reader, (item->position + shift + i) % n, out, e);
        if (rc != RC_OK || out->confidence > 0) {
            break;
        }
    }
    return rc;
}

static enum rc mix_pseudo_label(struct mix *m, const struct feed_item *item, float *target,
                                struct err *e)
{
    const struct train_config *t = m->c.train;
    struct label_reader *reader = NULL;
    struct label label;
    bool found = true;
    enum rc rc = mix_label_shard(m, item->shard, &reader, e);

    if (rc != RC_OK) {
        return rc;
    }
    rc = t->shuffle_labels ? mix_shuffled(m, reader, item, &label, e)
                           : label_reader_get(reader, &item->key, &label, &found, e);
    if (rc == RC_OK && !found) {
        char hex[HASH_HEX_KEY];

        hash_key_hex(&item->key, hex);
        rc = err_raise(e, RC_CORRUPT, "image %s of shard '%s' has no label in '%s'", hex,
                       corpus_shard(m->c.unlabeled, item->shard)->name,
                       label_store_path(m->c.labels));
    }
    if (rc == RC_OK) {
        label_to_target(&label, m->c.classes, t->hard ? 0 : t->temperature, target);
        rc = label_reader_check(reader, e); /* the label lies in the map */
    }
    return rc;
}

/* y (1 - s) + s/K */
static void mix_smooth(float *target, int classes, double smoothing)
{
    for (int k = 0; k < classes; k++) {
        target[k] = (float)((double)target[k] * (1 - smoothing) + smoothing / classes);
    }
}

static enum rc mix_targets(struct mix *m, struct err *e)
{
    const struct train_config *t = m->c.train;
    int classes = m->c.classes;
    enum rc rc = RC_OK;

    for (int i = 0; i < m->rows && rc == RC_OK; i++) {
        const struct feed_item *item = &m->batch.items[i];
        float *target = m->target + (size_t)i * (size_t)classes;

        m->keys[i] = item->key;
        m->copies[i] = item->copy;
        if (item->corpus == 1) {
            rc = mix_pseudo_label(m, item, target, e);
        } else if (item->cls < 0 || item->cls >= classes) {
            rc = err_raise(e, RC_CORRUPT, "shard '%s': an image of class %d of %d classes",
                           corpus_shard(m->c.labeled, item->shard)->name, (int)item->cls, classes);
        } else {
            memset(target, 0, (size_t)classes * sizeof *target);
            target[item->cls] = 1;
        }
        if (rc == RC_OK && (item->corpus == 0 || t->hard)) {
            mix_smooth(target, classes, t->label_smoothing);
        }
    }
    return rc;
}

enum rc mix_next(void *ctx, int64_t step, int micro, struct trainer_batch *out, struct err *e)
{
    struct mix *m = ctx;
    bool more = true;
    enum rc rc = RC_OK;

    (void)step;
    (void)micro;
    if (m->held) {
        feed_return(m->feed, &m->batch);
        m->held = false;
    }
    rc = feed_next(m->feed, &m->batch, &more, e);
    if (rc != RC_OK) {
        return rc;
    }
    m->held = true;
    assert(more && m->batch.n == m->rows);
    rc = mix_targets(m, e);
    *out = (struct trainer_batch){.pixels = m->batch.pixels,
                                  .target = m->target,
                                  .weight = m->weight,
                                  .keys = m->keys,
                                  .copies = m->copies};
    return rc;
}

const uint8_t *mix_peek(void *of)
{
    const struct mix *m = of;

    return feed_peek(m->feed);
}

double mix_waited(const struct mix *m)
{
    return feed_waited(m->feed);
}

double mix_norm(const struct train_config *c, const struct train_rows *rows)
{
    double weights = rows->labeled;

    if (c->loss_norm == TRAIN_NORM_ALL) {
        weights += rows->unlabeled * c->unlabeled_weight;
    }
    return weights;
}

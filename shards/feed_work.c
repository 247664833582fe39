#include <string.h>

#include "common/base/rng.h"
#include "shards/feed_impl.h"

struct feed_slot *feed_work_slot(struct feed *f, uint64_t batch)
{
    return &f->slots[batch % (uint64_t)f->config.depth];
}

static void work_slot_fail(struct feed_slot *s, int row, const struct err *err)
{
    if (row < s->err_row) {
        s->err_row = row;
        s->err = *err;
    }
}

/* ---- the source thread ---------------------------------------------------------------------- */

/* Ask the source for a batch; *more false: it ended within this one. */
static void work_fill(struct feed *f, struct feed_slot *s, bool *more)
{
    struct err err = {0};

    s->err_row = INT_MAX;
    for (s->n = 0; s->n < f->config.batch && *more; s->n++) {
        struct feed_item *item = &s->items[s->n];
        float *target =
            s->target == NULL ? NULL : s->target + (size_t)s->n * (size_t)f->config.classes;

        memset(item, 0, sizeof *item);
        if (f->config.source(f->config.ctx, item, target, more, &err) != RC_OK) {
            *more = false;
            work_slot_fail(s, s->n, &err);
        }
        if (!*more) {
            break;
        }
    }
    s->left = s->n;
}

void *feed_work_source(void *arg)
{
    struct feed *f = arg;
    bool more = true;

    (void)pthread_mutex_lock(&f->lock);
    while (more) {
        struct feed_slot *s = feed_work_slot(f, f->filled);

        while (!s->free && !f->stop) {
            (void)pthread_cond_wait(&f->slot_freed, &f->lock);
        }
        if (f->stop) {
            break;
        }
        s->free = false;
        (void)pthread_mutex_unlock(&f->lock);
        work_fill(f, s, &more);
        (void)pthread_mutex_lock(&f->lock);
        if (s->n > 0 || s->err_row != INT_MAX) {
            f->filled++;
            (void)pthread_cond_broadcast(&f->work_came);
        }
    }
    f->ended = true;
    (void)pthread_cond_broadcast(&f->batch_done);
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- workers -------------------------------------------------------------------------------- */

static enum rc work_decode(struct feed_worker *w, struct feed_item *item,
                           const struct shard_record *rec, uint8_t *out, struct err *e)
{
    const struct feed_config *c = &w->feed->config;
    struct rng r;

    if (!item->noise) {
        return image_eval_file(w->codec, &c->eval, rec->data, rec->bytes, out, &item->why, e);
    }
    rng_init(&r, c->seed, RNG_AUGMENT, item->epoch, &item->key, item->copy);
    return augment_file(w->codec, &c->augment[item->corpus], rec->data, rec->bytes, &r, out,
                        &item->why, e);
}

static enum rc work_bad_image(struct feed *f, struct feed_item *item, uint8_t *out,
                              const struct err *cause, struct err *e)
{
    const struct corpus *c = f->config.corpora[item->corpus];
    char hex[HASH_HEX_KEY];

    if (f->config.skip_bad) {
        memset(out, 0, f->row_bytes);
        return RC_OK;
    }
    hash_key_hex(&item->key, hex);
    return err_raise(e, cause->rc, "image %s of shard '%s' in '%s' cannot be decoded (%s): %s", hex,
                     corpus_shard(c, item->shard)->name, corpus_path(c),
                     image_reason_name(item->why), cause->msg);
}

static enum rc work_make(struct feed_worker *w, struct feed_item *item, struct shard_reader *reader,
                         uint8_t *out, struct err *e)
{
    struct shard_record rec;
    struct err cause = {0};
    enum rc rc = shard_reader_get(reader, item->position, &rec, e);

    if (rc != RC_OK) {
        return rc;
    }
    item->key = rec.key;
    item->cls =
        shard_record_class(&rec, (int64_t)item->copy < rec.n_occurrences ? (int)item->copy : 0);
    rc = work_decode(w, item, &rec, out, &cause);
    if (shard_reader_check(reader, e) != RC_OK) { /* what was decoded may have been zeros */
        return RC_CORRUPT;
    }
    if (rc == RC_INVAL) {
        return work_bad_image(w->feed, item, out, &cause, e);
    }
    return rc == RC_OK ? RC_OK : err_raise(e, rc, "%s", cause.msg);
}

static enum rc work_row(struct feed_worker *w, struct feed_item *item, uint8_t *out, struct err *e)
{
    struct feed *f = w->feed;
    struct shard_reader *reader = NULL;
    enum rc rc = RC_OK;
    int entry = 0;

    item->cls = CORPUS_UNLABELED;
    item->why = IMAGE_OK;
    if (item->padding) {
        memset(out, 0, f->row_bytes);
        return RC_OK;
    }
    if (item->corpus < 0 || item->corpus >= FEED_MAX_CORPORA ||
        f->config.corpora[item->corpus] == NULL || item->shard < 0 ||
        item->shard >= corpus_shards(f->config.corpora[item->corpus])) {
        return err_raise(e, RC_INVAL, "no shard %d in corpus %d of the feed", item->shard,
                         item->corpus);
    }
    rc = reader_cache_get(f->cache, item->corpus, item->shard, &entry, &reader, e);
    if (rc == RC_OK) {
        rc = work_make(w, item, reader, out, e);
        reader_cache_put(f->cache, entry);
    }
    return rc;
}

/* Whether decoders should leave the cores to compute: they work while the caller waits for them, on
 * its batch and, as cores come free, on the one behind it. */
static bool work_holds_back(const struct feed *f)
{
    return f->paused && (!f->waiting || f->working > f->next + 1);
}

/* The next rows to make, or false: wait. With the lock held. */
static bool work_take(struct feed *f, struct feed_slot **slot, int *first, int *n)
{
    struct feed_slot *s = NULL;

    while (f->working < f->filled && feed_work_slot(f, f->working)->n == 0) {
        f->working++; /* a batch of nothing but the source's error */
    }
    if (f->working == f->filled || work_holds_back(f)) {
        return false;
    }
    s = feed_work_slot(f, f->working);
    *slot = s;
    *first = f->working_row;
    *n = s->n - f->working_row < f->chunk ? s->n - f->working_row : f->chunk;
    f->working_row += *n;
    if (f->working_row == s->n) {
        f->working++;
        f->working_row = 0;
    }
    return true;
}

void *feed_work_decode(void *arg)
{
    struct feed_worker *w = arg;
    struct feed *f = w->feed;
    struct feed_slot *s = NULL;
    int first = 0;
    int n = 0;

    (void)pthread_mutex_lock(&f->lock);
    for (;;) {
        struct err err = {0};
        int bad = INT_MAX;

        while (!f->stop && !work_take(f, &s, &first, &n)) {
            (void)pthread_cond_wait(&f->work_came, &f->lock);
        }
        if (f->stop) {
            break;
        }
        (void)pthread_mutex_unlock(&f->lock);
        for (int i = first; i < first + n; i++) {
            if (work_row(w, &s->items[i], s->pixels + (size_t)i * f->row_bytes, &err) != RC_OK) {
                bad = i;
                break;
            }
        }
        (void)pthread_mutex_lock(&f->lock);
        if (bad != INT_MAX) {
            work_slot_fail(s, bad, &err);
        }
        s->left -= n;
        if (s->left == 0) {
            f->waiting = f->waiting && s != feed_work_slot(f, f->next);
            (void)pthread_cond_broadcast(&f->batch_done);
        }
    }
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

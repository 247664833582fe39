#include "shards/eval_feed.h"

#include "common/base/mem.h"

struct eval_feed {
    struct feed *feed;
    struct corpus *corpus;
    struct shard_reader *reader; /* of the shard that the source walks */
    int shard;
    uint64_t position;
    uint32_t copy;
    uint64_t left; /* occurrences still to give */
    struct feed_batch batch;
    bool held;
    int32_t *cls;
};

/* How often the record at the walk's position is used: not at all when it was forgotten. */
static uint32_t eval_feed_uses(const struct eval_feed *f)
{
    return corpus_is_forgotten(f->corpus, f->shard, (uint32_t)f->position)
               ? 0
               : shard_reader_index(f->reader)[f->position].n_occurrences;
}

/* The next shard's reader; the walk starts at its first record. */
static enum rc eval_feed_open_shard(struct eval_feed *f, int shard, struct err *e)
{
    shard_reader_close(f->reader);
    f->reader = NULL;
    f->shard = shard;
    f->position = 0;
    f->copy = 0;
    return shard_reader_open(f->corpus, shard, false, &f->reader, e);
}

static enum rc eval_feed_source(void *ctx, struct feed_item *item, float *target, bool *more,
                                struct err *e)
{
    struct eval_feed *f = ctx;
    enum rc rc = RC_OK;

    (void)target;
    if (f->left == 0) {
        *more = false;
        return RC_OK;
    }
    while (f->reader == NULL || f->position == shard_reader_count(f->reader) ||
           eval_feed_uses(f) == 0) {
        if (f->reader != NULL && f->position < shard_reader_count(f->reader)) {
            f->position++;
            continue;
        }
        rc = eval_feed_open_shard(f, f->shard + 1, e);
        if (rc != RC_OK) {
            return rc;
        }
    }
    *item =
        (struct feed_item){.shard = f->shard, .position = (uint32_t)f->position, .copy = f->copy};
    if (++f->copy >= eval_feed_uses(f)) {
        f->copy = 0;
        f->position++;
    }
    f->left--;
    return RC_OK;
}

/* Walk to occurrence `from`: whole shards by the manifest, the rest by the index. */
static enum rc eval_feed_seek(struct eval_feed *f, uint64_t from, struct err *e)
{
    int shard = 0;
    enum rc rc = RC_OK;

    while (shard < corpus_shards(f->corpus) &&
           from >= corpus_shard(f->corpus, shard)->occurrences) {
        from -= corpus_shard(f->corpus, shard)->occurrences;
        shard++;
    }
    if (shard == corpus_shards(f->corpus)) {
        return RC_OK;
    }
    rc = eval_feed_open_shard(f, shard, e);
    while (rc == RC_OK && from > 0) {
        uint32_t n = eval_feed_uses(f);

        if (from < n) {
            f->copy = (uint32_t)from;
            break;
        }
        from -= n;
        f->position++;
    }
    return rc;
}

enum rc eval_feed_create(const struct eval_feed_config *c, struct eval_feed **out, struct err *e)
{
    struct feed_config fc = {.eval = c->eval, .batch = c->batch, .threads = c->threads};
    struct eval_feed *f = mem_calloc(1, sizeof *f);
    enum rc rc = RC_OK;

    if (f == NULL) {
        return mem_raise(e, "an evaluation feed", sizeof *f);
    }
    f->corpus = c->corpus;
    f->left = c->to - c->from;
    f->cls = mem_calloc((size_t)c->batch, sizeof *f->cls);
    if (f->cls == NULL) {
        rc = mem_raise(e, "an evaluation batch", (size_t)c->batch * sizeof *f->cls);
        goto out;
    }
    if (f->left > 0) {
        rc = eval_feed_seek(f, c->from, e);
    }
    if (rc != RC_OK) {
        goto out;
    }
    fc.corpora[0] = c->corpus;
    fc.source = eval_feed_source;
    fc.ctx = f;
    fc.trust = true; /* the walk above has checked each shard by then */
    rc = feed_create(&fc, &f->feed, e);
out:
    if (rc != RC_OK) {
        eval_feed_destroy(f);
        return rc;
    }
    *out = f;
    return RC_OK;
}

void eval_feed_destroy(struct eval_feed *f)
{
    if (f != NULL) {
        feed_destroy(f->feed);
        shard_reader_close(f->reader);
        mem_free(f->cls);
        mem_free(f);
    }
}

enum rc eval_feed_next(struct eval_feed *f, const uint8_t **pixels, const int32_t **cls, int *n,
                       struct err *e)
{
    bool more = true;
    enum rc rc = RC_OK;

    if (f->held) {
        feed_return(f->feed, &f->batch);
        f->held = false;
    }
    rc = feed_next(f->feed, &f->batch, &more, e);
    if (rc != RC_OK || !more) {
        *n = 0;
        return rc;
    }
    f->held = true;
    for (int i = 0; i < f->batch.n; i++) {
        f->cls[i] = f->batch.items[i].cls;
    }
    *pixels = f->batch.pixels;
    *cls = f->cls;
    *n = f->batch.n;
    return RC_OK;
}

const uint8_t *eval_feed_peek(void *of)
{
    const struct eval_feed *f = of;

    return feed_peek(f->feed);
}

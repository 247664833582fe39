#include "labeler/label_task.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "labeler/audit.h"
#include "labeler/undecoded.h"
#include "shards/feed.h"

struct label_task {
    const struct label_job *job;
    int shard;
    bool sealed; /* by somebody, before we came */
    uint64_t images;
    uint32_t *positions; /* (todo) of the images without a label */
    uint64_t todo, given, labeled;
    struct label_writer *writer;
    struct feed *feed; /* NULL when nothing is to do */
    bool begun;        /* a batch was asked for */
    float *probs;      /* (batch, n_classes) */
    uint16_t *cls;     /* (batch, top_k) */
    uint16_t *logp;    /* (batch, top_k) */
    struct label *labels;
};

/* The feed's source: the positions in order, then padding to a whole batch. */
static enum rc task_source(void *ctx, struct feed_item *item, float *target, bool *more,
                           struct err *e)
{
    struct label_task *t = ctx;
    const uint64_t batch = (uint64_t)t->job->predictor.batch;

    (void)target, (void)e;
    if (t->given >= t->todo && t->given % batch == 0) {
        *more = false;
        return RC_OK;
    }
    item->shard = t->shard;
    item->padding = t->given >= t->todo;
    item->position = item->padding ? 0 : t->positions[t->given];
    t->given++;
    return RC_OK;
}

/* A forgotten image keeps its place among the labels, with one that says nothing. */
static enum rc task_forgotten(struct label_task *t, const struct key128 *keys, int n, struct err *e)
{
    const int k = t->job->lineage->top_k;
    uint16_t *cls = mem_calloc(2 * (size_t)k, sizeof *cls);
    struct label *labels = mem_calloc((size_t)n, sizeof *labels);
    enum rc rc = RC_OK;

    if (cls == NULL || labels == NULL) {
        rc = mem_raise(e, "labels of forgotten images", (size_t)n * sizeof *labels);
        goto out;
    }
    for (int i = 0; i < n; i++) {
        label_nothing(k, cls, cls + k, &labels[i]);
        labels[i].key = keys[i];
    }
    rc = label_writer_put(t->writer, labels, n, e);
out:
    mem_free(labels);
    mem_free(cls);
    return rc;
}

/* Which images of the shard have no committed label yet. */
static enum rc task_positions(struct label_task *t, const struct shard_reader *r, struct err *e)
{
    const struct shard_index_entry *index = shard_reader_index(r);
    const bool fresh = label_writer_count(t->writer) == 0;
    const size_t room = (size_t)corpus_shard_forgotten(t->job->corpus, t->shard) + 1;
    struct key128 *gone = mem_calloc(room, sizeof *gone);
    int n_gone = 0;
    enum rc rc = RC_OK;

    t->positions = mem_calloc((size_t)t->images + 1, sizeof *t->positions);
    if (t->positions == NULL || gone == NULL) {
        rc = mem_raise(e, "the positions of a shard", (size_t)t->images * sizeof *t->positions);
    }
    for (uint64_t i = 0; rc == RC_OK && i < t->images; i++) {
        bool has = false;

        if (!fresh) {
            rc = label_writer_has(t->writer, &index[i].key, &has, e);
        }
        if (!has && corpus_is_forgotten(t->job->corpus, t->shard, (uint32_t)i)) {
            gone[n_gone++] = index[i].key;
        } else if (!has) {
            t->positions[t->todo++] = (uint32_t)i;
        }
    }
    if (rc == RC_OK && n_gone > 0) {
        rc = task_forgotten(t, gone, n_gone, e);
    }
    mem_free(gone);
    return rc;
}

static enum rc task_feed(struct label_task *t, struct err *e)
{
    const struct label_job *j = t->job;
    struct feed_config c = {.corpora = {j->corpus, NULL},
                            .eval = j->eval,
                            .batch = j->predictor.batch,
                            .threads = j->decoders,
                            .skip_bad = true,
                            .trust = true, /* the digest was checked on opening */
                            .source = task_source,
                            .ctx = t};
    enum rc rc = feed_create(&c, &t->feed, e);

    if (rc == RC_OK) {
        feed_pause(t->feed, j->take_turns);
    }
    return rc;
}

static enum rc task_buffers(struct label_task *t, struct err *e)
{
    const size_t batch = (size_t)t->job->predictor.batch;
    const size_t k = (size_t)t->job->lineage->top_k;

    t->probs = mem_aligned(batch * (size_t)t->job->lineage->n_classes * sizeof *t->probs);
    t->cls = mem_calloc(batch * k, sizeof *t->cls);
    t->logp = mem_calloc(batch * k, sizeof *t->logp);
    t->labels = mem_calloc(batch, sizeof *t->labels);
    if (t->probs == NULL || t->cls == NULL || t->logp == NULL || t->labels == NULL) {
        return mem_raise(e, "a batch of labels",
                         batch * (size_t)t->job->lineage->n_classes * sizeof *t->probs);
    }
    return RC_OK;
}

static enum rc task_begin(struct label_task *t, uint32_t attempt, struct err *e)
{
    const struct label_job *j = t->job;
    struct shard_reader *r = NULL;
    char name[64];
    enum rc rc = shard_reader_open(j->corpus, t->shard, false, &r, e);

    if (rc != RC_OK) {
        return rc;
    }
    t->images = shard_reader_count(r);
    (void)snprintf(name, sizeof name, "r%d-%u-%ld", coll_rank(j->control), attempt, (long)getpid());
    rc = label_writer_open(j->dir, j->lineage, corpus_shard(j->corpus, t->shard), t->shard, name,
                           &t->writer, e);
    if (rc == RC_OK) {
        rc = task_positions(t, r, e);
    }
    shard_reader_close(r);
    if (rc == RC_OK) {
        rc = task_buffers(t, e);
    }
    return rc == RC_OK && t->todo > 0 ? task_feed(t, e) : rc;
}

enum rc label_task_open(const struct label_job *job, int shard, uint32_t attempt,
                        struct label_task **out, struct err *e)
{
    struct label_task *t = mem_calloc(1, sizeof *t);
    enum rc rc = RC_OK;

    if (t == NULL) {
        return mem_raise(e, "the labeling of a shard", sizeof *t);
    }
    t->job = job;
    t->shard = shard;
    t->sealed = label_shard_sealed(job->dir, shard);
    if (!t->sealed) {
        rc = task_begin(t, attempt, e);
    }
    if (rc == RC_OK) {
        *out = t;
        t = NULL;
    }
    label_task_close(t);
    return rc;
}

void label_task_close(struct label_task *t)
{
    if (t == NULL) {
        return;
    }
    feed_destroy(t->feed);
    label_writer_close(t->writer);
    mem_free(t->positions);
    mem_free(t->probs);
    mem_free(t->cls);
    mem_free(t->logp);
    mem_free(t->labels);
    mem_free(t);
}

int label_task_shard(const struct label_task *t)
{
    return t->shard;
}

int64_t label_task_resumed(const struct label_task *t)
{
    return (int64_t)(t->images - t->todo);
}

int64_t label_task_left(const struct label_task *t)
{
    return (int64_t)(t->todo - t->labeled);
}

double label_task_waited(const struct label_task *t)
{
    return t->feed == NULL ? 0 : feed_waited(t->feed);
}

/* An image that cannot be decoded: its label says nothing, and its shard will say why. */
static enum rc task_bad(struct label_task *t, const struct feed_item *item, struct err *e)
{
    struct quarantine_entry why;
    char *text = NULL;
    enum rc rc =
        undecoded_entry(t->job->corpus, item->shard, item->position, &t->job->eval, &why, &text, e);

    if (rc == RC_OK) {
        rc = label_writer_bad(t->writer, &why, e);
    }
    mem_free(text);
    return rc;
}

/* Pack the batch's real rows: *n of them, *bad of which cannot be decoded. */
static enum rc task_pack(struct label_task *t, const struct feed_batch *b, int *n, int *bad,
                         struct err *e)
{
    const struct label_lineage *l = t->job->lineage;
    enum rc rc = RC_OK;

    for (int i = 0; i < b->n && rc == RC_OK; i++) {
        const size_t at = (size_t)*n * (size_t)l->top_k;

        if (b->items[i].padding) {
            continue;
        }
        if (b->items[i].why == IMAGE_OK) {
            label_from_probs(t->probs + (size_t)i * (size_t)l->n_classes, l->n_classes, l->top_k,
                             t->cls + at, t->logp + at, &t->labels[*n]);
        } else {
            label_nothing(l->top_k, t->cls + at, t->logp + at, &t->labels[*n]);
            rc = task_bad(t, &b->items[i], e);
            (*bad)++;
        }
        t->labels[*n].key = b->items[i].key;
        (*n)++;
    }
    return rc;
}

static const uint8_t *task_coming(void *of)
{
    struct label_task *t = of;

    return feed_peek(t->feed);
}

/* With the first batch: the predictor was asked to look at another task's feed before. */
static void task_ask_ahead(struct label_task *t)
{
    const struct label_predictor *p = &t->job->predictor;

    if (!t->begun && p->ask_ahead != NULL) {
        p->ask_ahead(p->ctx, task_coming, t);
    }
    t->begun = true;
}

/* Label a batch and commit it. */
static enum rc task_batch(struct label_task *t, const struct feed_batch *b, int *n, int *bad,
                          struct err *e)
{
    const struct label_predictor *p = &t->job->predictor;
    enum rc rc = p->run(p->ctx, b->pixels, t->probs, e);
    const double start = clock_now();

    if (rc == RC_OK) {
        rc = task_pack(t, b, n, bad, e);
    }
    if (rc == RC_OK) {
        rc = label_writer_put(t->writer, t->labels, *n, e);
    }
    trace_span(t->job->trace, "store", "labels packed and committed", NULL, start);
    return rc;
}

enum rc label_task_step(struct label_task *t, int *n, int *bad, struct err *e)
{
    const double start = clock_now();
    struct feed_batch b;
    bool more = false;
    enum rc rc = RC_OK;

    *n = 0;
    *bad = 0;
    if (t->feed == NULL) {
        return RC_OK;
    }
    rc = feed_next(t->feed, &b, &more, e);
    trace_span(t->job->trace, "wait", "input", NULL, start);
    if (rc != RC_OK || !more) {
        return rc;
    }
    task_ask_ahead(t);
    rc = task_batch(t, &b, n, bad, e);
    feed_return(t->feed, &b);
    t->labeled += rc == RC_OK ? (uint64_t)*n : 0;
    trace_step(t->job->trace, "batch", start);
    return rc;
}

enum rc label_task_seal(struct label_task *t, bool *won, struct err *e)
{
    *won = !t->sealed && !label_shard_sealed(t->job->dir, t->shard);
    if (t->sealed) {
        return RC_OK;
    }
    if (*won && t->job->audit > 0) {
        enum rc rc = audit_shard(t->job, t->shard, t->writer, e);

        if (rc != RC_OK) {
            return rc;
        }
    }
    return label_writer_seal(t->writer, t->images, e);
}

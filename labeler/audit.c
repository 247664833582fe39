#include "labeler/audit.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "shards/feed.h"

/* Which images: those of the least hash of their key. The seed is not the order of any epoch's. */
static const uint64_t AUDIT_SEED = 0x6175646974; /* "audit" */

struct pick {
    uint64_t hash;
    uint32_t position;
};

struct audit {
    const struct label_job *job;
    int shard;
    struct label_writer *writer;
    struct pick *picks;
    int n, given;
    uint64_t seen, agree;
    double difference; /* sum */
};

static int by_hash(const void *a, const void *b)
{
    const struct pick *x = a;
    const struct pick *y = b;

    return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1)
                              : (x->position > y->position) - (x->position < y->position);
}

static int by_position(const void *a, const void *b)
{
    const struct pick *x = a;
    const struct pick *y = b;

    return (x->position > y->position) - (x->position < y->position);
}

/* The sample, in the order of positions; images that were forgotten are not read. */
static enum rc audit_pick(struct audit *a, struct err *e)
{
    struct corpus *corpus = a->job->corpus;
    struct shard_reader *r = NULL;
    enum rc rc = shard_reader_open(corpus, a->shard, true, &r, e); /* checked when labeled */
    const uint64_t images = rc == RC_OK ? shard_reader_count(r) : 0;

    a->picks = mem_calloc((size_t)images + 1, sizeof *a->picks);
    if (rc == RC_OK && a->picks == NULL) {
        rc = mem_raise(e, "the sample of an audit", (size_t)images * sizeof *a->picks);
    }
    for (uint64_t i = 0; rc == RC_OK && i < images; i++) {
        if (!corpus_is_forgotten(corpus, a->shard, (uint32_t)i)) {
            a->picks[a->n++] = (struct pick){
                rng_hash64(AUDIT_SEED, 0, &shard_reader_index(r)[i].key, 0), (uint32_t)i};
        }
    }
    shard_reader_close(r);
    if (rc == RC_OK) {
        qsort(a->picks, (size_t)a->n, sizeof *a->picks, by_hash);
        a->n = a->n < a->job->audit ? a->n : a->job->audit;
        qsort(a->picks, (size_t)a->n, sizeof *a->picks, by_position);
    }
    return rc;
}

static enum rc audit_source(void *ctx, struct feed_item *item, float *target, bool *more,
                            struct err *e)
{
    struct audit *a = ctx;

    (void)target, (void)e;
    if (a->given >= a->n && a->given % a->job->auditor.batch == 0) {
        *more = false;
        return RC_OK;
    }
    *item = (struct feed_item){.shard = a->shard, .padding = a->given >= a->n};
    if (!item->padding) {
        item->position = a->picks[a->given].position;
    }
    a->given++;
    return RC_OK;
}

/* One image's label beside its probabilities in f32. */
static enum rc audit_compare(struct audit *a, const struct key128 *key, const float *probs,
                             struct err *e)
{
    uint16_t cls = 0;
    float confidence = 0;
    int best = 0;
    enum rc rc = label_writer_best(a->writer, key, &cls, &confidence, e);

    for (int k = 1; k < a->job->lineage->n_classes; k++) {
        best = probs[k] > probs[best] ? k : best;
    }
    if (rc == RC_OK) {
        a->seen++;
        a->agree += best == cls;
        a->difference += fabs((double)probs[cls] - (double)confidence);
    }
    return rc;
}

static enum rc audit_batch(struct audit *a, const struct feed_batch *b, float *probs, struct err *e)
{
    const struct label_predictor *p = &a->job->auditor;
    enum rc rc = p->run(p->ctx, b->pixels, probs, e);

    for (int i = 0; i < b->n && rc == RC_OK; i++) {
        if (!b->items[i].padding && b->items[i].why == IMAGE_OK) {
            rc = audit_compare(a, &b->items[i].key,
                               probs + (size_t)i * (size_t)a->job->lineage->n_classes, e);
        }
    }
    return rc;
}

static enum rc audit_run(struct audit *a, struct err *e)
{
    const struct label_job *j = a->job;
    const struct feed_config c = {.corpora = {j->corpus, NULL},
                                  .eval = j->eval,
                                  .batch = j->auditor.batch,
                                  .threads = j->decoders,
                                  .skip_bad = true,
                                  .trust = true,
                                  .source = audit_source,
                                  .ctx = a};
    const size_t bytes = (size_t)j->auditor.batch * (size_t)j->lineage->n_classes * sizeof(float);
    float *probs = mem_aligned(bytes);
    struct feed *feed = NULL;
    struct feed_batch b;
    bool more = true;
    enum rc rc = probs != NULL ? feed_create(&c, &feed, e) : mem_raise(e, "an audit", bytes);

    if (rc == RC_OK) {
        feed_pause(feed, j->take_turns);
    }
    while (rc == RC_OK && more) {
        watch_begin(j->watch, LABEL_WATCH_LOOP, "auditing a batch of",
                    corpus_shard(j->corpus, a->shard)->name);
        rc = feed_next(feed, &b, &more, e);
        if (rc == RC_OK && more) {
            rc = audit_batch(a, &b, probs, e);
            feed_return(feed, &b);
        }
    }
    feed_destroy(feed);
    mem_free(probs);
    return rc;
}

static enum rc audit_judge(const struct audit *a, const struct label_audit *found, struct err *e)
{
    const double drift = label_audit_drift(found);

    if (drift <= a->job->max_drift) {
        return RC_OK;
    }
    return err_raise(e, RC_INVAL,
                     "the labels of '%s' drift from f32 by %.4f, more than --max-drift %g: of %llu "
                     "images %llu have f32's best class (mean difference %.4f). It is not sealed: "
                     "take bf16, or more --calibrate, or allow it by --max-drift; the run resumes",
                     corpus_shard(a->job->corpus, a->shard)->name, drift, a->job->max_drift,
                     (unsigned long long)found->images, (unsigned long long)found->agree,
                     (double)found->difference / 1e6);
}

enum rc audit_shard(const struct label_job *job, int shard, struct label_writer *w, struct err *e)
{
    struct audit a = {.job = job, .shard = shard, .writer = w};
    struct label_audit found = {0};
    enum rc rc = audit_pick(&a, e);

    if (rc == RC_OK && a.n > 0) {
        rc = audit_run(&a, e);
    }
    mem_free(a.picks);
    if (rc == RC_OK && a.seen > 0) {
        found = (struct label_audit){a.seen, a.agree,
                                     (uint64_t)llround(1e6 * a.difference / (double)a.seen)};
        rc = audit_judge(&a, &found, e);
    }
    if (rc == RC_OK) {
        label_writer_audit(w, &found);
        watch_begin(job->watch, LABEL_WATCH_LOOP, "sealing the labels of",
                    corpus_shard(job->corpus, shard)->name);
    }
    return rc;
}

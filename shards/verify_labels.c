/* verify of a label store: every label, and the images that could not be decoded. */
#include <string.h>

#include "shards/label_bad_impl.h"
#include "shards/verify_impl.h"

static const char *verify_label_flaw(const struct label *l, const struct key128 *last,
                                     int n_classes)
{
    if (memcmp(last, &l->key, sizeof l->key) >= 0) {
        return "keys are out of order";
    }
    for (int i = 0; i < l->k; i++) {
        if (l->cls[i] >= n_classes) {
            return "a class is out of range";
        }
    }
    return l->confidence >= 0 && l->confidence <= 1 ? NULL : "the confidence is not in [0, 1]";
}

static enum rc verify_labels_of(struct verify *v, const struct label_store *s, int shard,
                                struct label_reader *r, struct err *e)
{
    struct key128 last = {{0}};
    enum rc rc = RC_OK;

    for (uint64_t p = 0; p < label_reader_count(r) && rc == RC_OK; p++) {
        const char *flaw = NULL;
        struct label l;

        rc = label_reader_at(r, p, &l, e);
        if (rc == RC_OK) {
            flaw = verify_label_flaw(&l, &last, label_store_lineage(s)->n_classes);
            last = l.key;
        }
        rc = rc != RC_OK ? verify_fault(v, rc, e) : rc;
        if (rc == RC_OK && flaw != NULL) {
            rc = verify_say(v, label_store_shard(s, shard)->name, p, flaw, e);
        }
        v->result->records++;
        rc = rc == RC_OK ? verify_step(v, e) : rc;
    }
    return rc;
}

/* The images of a label shard that could not be decoded: each has a label that says nothing. */
struct verify_bad {
    struct label_reader *reader;
    const char *name;
    struct key128 last;
    uint64_t n;
};

static enum rc verify_bad_one(void *ctx, const struct quarantine_entry *why, struct err *e)
{
    struct verify_bad *b = ctx;
    struct label l = {.confidence = 1};
    bool found = false;
    enum rc rc = label_reader_get(b->reader, &why->key, &l, &found, e);

    if (rc == RC_OK && (!found || l.confidence > 0 ||
                        (b->n > 0 && memcmp(&b->last, &why->key, sizeof why->key) >= 0))) {
        rc = err_raise(e, RC_CORRUPT,
                       "'%s' is damaged: bad image %llu has a label, or is out of order", b->name,
                       (unsigned long long)b->n);
    }
    b->last = why->key;
    b->n++;
    return rc;
}

static enum rc verify_bad(struct verify *v, const struct label_shard *shard, struct label_reader *r,
                          struct err *e)
{
    struct verify_bad b = {.reader = r, .name = shard->name};
    const char *text = NULL;
    size_t bytes = 0;
    enum rc rc = label_reader_bad(r, &text, &bytes, e);

    if (rc == RC_OK) {
        rc = label_bad_each(shard->name, text, bytes, verify_bad_one, &b, e);
    }
    if (rc == RC_OK && b.n != shard->bad) {
        rc = err_raise(e, RC_CORRUPT, "'%s' has %llu bad images where labels.json says %llu",
                       shard->name, (unsigned long long)b.n, (unsigned long long)shard->bad);
    }
    return verify_fault(v, rc, e);
}

/* All that could not be decoded stands in the ledger beside the labels. */
static enum rc verify_label_ledger(struct verify *v, const struct label_store *s, struct err *e)
{
    const char *path = label_store_path(s);
    struct quarantine *q = NULL;
    enum rc rc = verify_ledger(v, path, e);

    if (rc == RC_OK && quarantine_open(path, QUARANTINE_READ, &q, e) != RC_OK) {
        err_clear(e); /* verify_ledger has said so */
    } else if (rc == RC_OK && quarantine_count(q) < label_store_bad(s)) {
        (void)err_raise(e, RC_CORRUPT,
                        "'%s/quarantine.jsonl' lists %llu images, its label shards %llu: label "
                        "again, which mends it",
                        path, (unsigned long long)quarantine_count(q),
                        (unsigned long long)label_store_bad(s));
        rc = verify_fault(v, RC_CORRUPT, e);
    }
    quarantine_close(q);
    return rc;
}

enum rc verify_labels(struct verify *v, struct err *e)
{
    struct label_store *s = NULL;
    enum rc rc = label_store_open(v->config->path, &s, e);

    if (rc != RC_OK) {
        return rc == RC_INVAL || rc == RC_IO ? rc : verify_fault(v, rc, e);
    }
    v->result->shards = label_store_shards(s);
    progress_begin(&v->progress, "verify", "labels", 0, 0);
    rc = verify_manifest(v, label_store_path(s), "/labels.json", "labels", e);
    for (int i = 0; i < verify_picks(v, label_store_shards(s)) && rc == RC_OK; i++) {
        int shard = verify_pick(v, i, label_store_shards(s));
        struct label_reader *r = NULL;

        rc = label_reader_open(s, shard, false, &r, e);
        rc = rc == RC_OK ? verify_labels_of(v, s, shard, r, e) : verify_fault(v, rc, e);
        if (rc == RC_OK && r != NULL) {
            rc = verify_bad(v, label_store_shard(s, shard), r, e);
        }
        label_reader_close(r);
        v->result->verified++;
        v->result->bytes += label_store_shard(s, shard)->bytes;
    }
    if (rc == RC_OK) {
        rc = verify_label_ledger(v, s, e);
    }
    label_store_close(s);
    return rc;
}

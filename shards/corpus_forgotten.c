/* Tombstones as the readers of a corpus see them. */
#include <string.h>

#include "common/base/mem.h"
#include "shards/corpus_impl.h"
#include "shards/shard_reader.h"

static uint64_t corpus_live_occurrences(const struct corpus *c, const struct forgotten_entry *t)
{
    const struct corpus_extra *x = NULL;
    size_t n = corpus_extras_of(&c->extras, t->shard, &x);
    uint64_t count = t->occurrences;

    for (size_t i = 0; i < n; i++) {
        count += memcmp(&x[i].key, &t->key, sizeof t->key) == 0;
    }
    return count;
}

enum rc corpus_load_forgotten(struct corpus *c, struct err *e)
{
    enum rc rc = forgotten_read(c->path, &c->gone, e);

    if (rc != RC_OK || c->gone.n == 0) {
        return rc;
    }
    c->gone_first = mem_calloc((size_t)c->n_shards + 1, sizeof *c->gone_first);
    if (c->gone_first == NULL) {
        return mem_raise(e, "tombstones", ((size_t)c->n_shards + 1) * sizeof *c->gone_first);
    }
    for (uint64_t i = 0; i < c->gone.n; i++) {
        const struct forgotten_entry *t = &c->gone.entries[i];
        uint64_t count = corpus_live_occurrences(c, t);

        if (t->shard >= (uint32_t)c->n_shards || t->position >= c->shards[t->shard].images ||
            count > c->shards[t->shard].occurrences) {
            return err_raise(e, RC_CORRUPT,
                             "'%s/forgotten.bin' is of another corpus: it names image %lu of shard "
                             "%lu",
                             c->path, (unsigned long)t->position, (unsigned long)t->shard);
        }
        c->shards[t->shard].occurrences -= count;
        c->occurrences -= count;
        c->gone_first[t->shard + 1]++;
    }
    for (int i = 0; i < c->n_shards; i++) {
        c->gone_first[i + 1] += c->gone_first[i];
    }
    return RC_OK;
}

uint64_t corpus_forgotten(const struct corpus *c)
{
    return c->gone.n;
}

uint64_t corpus_shard_forgotten(const struct corpus *c, int i)
{
    return c->gone_first != NULL ? c->gone_first[i + 1] - c->gone_first[i] : 0;
}

/* Take the forgotten images of a shard from the counts: their records say their classes. */
static enum rc corpus_uncount(struct corpus *c, int shard, uint64_t *counts, struct err *e)
{
    struct shard_reader *r = NULL;
    enum rc rc = shard_reader_open(c, shard, false, &r, e);

    for (uint64_t i = c->gone_first[shard]; i < c->gone_first[shard + 1] && rc == RC_OK; i++) {
        struct shard_record rec;

        rc = shard_reader_get(r, c->gone.entries[i].position, &rec, e);
        for (int k = 0; rc == RC_OK && k < rec.n_occurrences; k++) {
            const int32_t cls = shard_record_class(&rec, k);

            if (cls < 0 || cls >= c->classes.n || counts[cls] == 0) {
                rc = err_raise(e, RC_CORRUPT, "'%s' counts fewer images of a class than it has",
                               c->path);
            } else {
                counts[cls]--;
            }
        }
    }
    shard_reader_close(r);
    return rc;
}

enum rc corpus_class_counts(struct corpus *c, uint64_t *counts, struct err *e)
{
    enum rc rc = RC_OK;

    memcpy(counts, c->per_class, (size_t)c->classes.n * sizeof *counts);
    for (int i = 0; i < c->n_shards && rc == RC_OK; i++) {
        if (corpus_shard_forgotten(c, i) > 0) {
            rc = corpus_uncount(c, i, counts, e);
        }
    }
    return rc;
}

/* The tombstone of an image, or NULL. */
static const struct forgotten_entry *corpus_tombstone(const struct corpus *c, int i,
                                                      uint32_t position)
{
    uint64_t lo = 0;
    uint64_t hi = 0;

    if (c->gone_first == NULL) {
        return NULL;
    }
    lo = c->gone_first[i];
    hi = c->gone_first[i + 1];
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;

        if (c->gone.entries[mid].position == position) {
            return &c->gone.entries[mid];
        }
        if (c->gone.entries[mid].position < position) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

bool corpus_is_forgotten(const struct corpus *c, int i, uint32_t position)
{
    return corpus_tombstone(c, i, position) != NULL;
}

const char *corpus_forgotten_why(const struct corpus *c, int i, uint32_t position, size_t *bytes)
{
    const struct forgotten_entry *t = corpus_tombstone(c, i, position);

    return t != NULL ? forgotten_reason(&c->gone, t->reason, bytes) : NULL;
}

void corpus_forgotten_digest(const struct corpus *c, struct digest *out)
{
    memset(out, 0, sizeof *out);
    if (c->gone.n > 0) {
        hash_digest(c->gone.entries, (size_t)c->gone.n * sizeof *c->gone.entries, out);
    }
}

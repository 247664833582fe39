/* One image, one shard: a key in two is a fault that no shard shows by itself. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "shards/verify_impl.h"

/* Keys are spread evenly: all whose first 32 bits lie in a range fit in memory at a time. */
static const uint64_t TWICE_KEYS = 1 << 20;

struct twice_key {
    struct key128 key;
    uint32_t shard;
};

struct twice {
    struct corpus *corpus;
    struct twice_key *keys; /* (n) */
    size_t n, room;
};

static uint64_t twice_first(const struct key128 *key)
{
    return (uint64_t)key->b[0] << 24 | (uint64_t)key->b[1] << 16 | (uint64_t)key->b[2] << 8 |
           key->b[3];
}

static enum rc twice_add(struct twice *t, const struct key128 *key, int shard, struct err *e)
{
    if (t->n == t->room) {
        size_t room = t->room == 0 ? 1024 : 2 * t->room;
        struct twice_key *keys = mem_realloc(t->keys, room, sizeof *keys);

        if (keys == NULL) {
            return mem_raise(e, "keys", room * sizeof *keys);
        }
        t->keys = keys;
        t->room = room;
    }
    t->keys[t->n++] = (struct twice_key){*key, (uint32_t)shard};
    return RC_OK;
}

/* First position of a shard whose key is in the range. */
static uint64_t twice_lower(const struct shard_index_entry *index, uint64_t n, uint64_t from)
{
    uint64_t lo = 0;
    uint64_t hi = n;

    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;

        if (twice_first(&index[mid].key) < from) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* Keys of one shard in [from, to). A shard that cannot be opened is a fault already. */
static enum rc twice_shard(struct twice *t, int shard, uint64_t from, uint64_t to, struct err *e)
{
    struct shard_reader *r = NULL;
    const struct shard_index_entry *index = NULL;
    struct err why = {0};
    enum rc rc = shard_reader_open(t->corpus, shard, false, &r, &why);

    if (rc != RC_OK) {
        return rc == RC_NOMEM ? err_raise(e, rc, "%s", why.msg) : RC_OK;
    }
    index = shard_reader_index(r);
    for (uint64_t p = twice_lower(index, shard_reader_count(r), from);
         p < shard_reader_count(r) && twice_first(&index[p].key) < to && rc == RC_OK; p++) {
        rc = twice_add(t, &index[p].key, shard, e);
    }
    shard_reader_close(r);
    return rc;
}

static int twice_compare(const void *a, const void *b)
{
    const struct twice_key *x = a;
    const struct twice_key *y = b;
    int order = memcmp(&x->key, &y->key, sizeof x->key);

    return order != 0 ? order : (x->shard > y->shard) - (x->shard < y->shard);
}

static enum rc twice_report(struct verify *v, const struct twice *t, struct err *e)
{
    enum rc rc = RC_OK;

    for (size_t i = 1; i < t->n && rc == RC_OK; i++) {
        const struct twice_key *x = &t->keys[i - 1];
        const struct twice_key *y = &t->keys[i];
        char hex[HASH_HEX_KEY];

        if (memcmp(&x->key, &y->key, sizeof x->key) == 0 && x->shard != y->shard) {
            hash_key_hex(&x->key, hex);
            rc =
                err_raise(e, RC_CORRUPT, "'%s': image %s is in two shards, '%s' and '%s'",
                          corpus_path(t->corpus), hex, corpus_shard(t->corpus, (int)x->shard)->name,
                          corpus_shard(t->corpus, (int)y->shard)->name);
            rc = verify_fault(v, rc, e);
        }
    }
    return rc;
}

enum rc verify_twice(struct verify *v, struct corpus *c, struct err *e)
{
    const uint64_t all = (uint64_t)1 << 32;
    const uint64_t passes = corpus_images(c) / TWICE_KEYS + 1;
    struct twice t = {.corpus = c};
    enum rc rc = RC_OK;

    for (uint64_t pass = 0; pass < passes && rc == RC_OK && corpus_shards(c) > 1; pass++) {
        t.n = 0;
        for (int i = 0; i < corpus_shards(c) && rc == RC_OK; i++) {
            rc = twice_shard(&t, i, all * pass / passes, all * (pass + 1) / passes, e);
        }
        if (rc == RC_OK && t.n > 0) {
            qsort(t.keys, t.n, sizeof *t.keys, twice_compare);
            rc = twice_report(v, &t, e);
        }
        rc = rc == RC_OK ? verify_step(v, e) : rc;
    }
    mem_free(t.keys);
    return rc;
}

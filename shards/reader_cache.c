#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "common/base/mem.h"
#include "shards/reader_cache_impl.h"

enum { CACHE_MAX_CORPORA = 2 };

struct cache_entry {
    int corpus, shard; /* shard -1: free */
    struct shard_reader *reader;
    int users;
    bool opening; /* one thread opens it, others wait */
    uint64_t used;
};

struct reader_cache {
    struct corpus *corpora[CACHE_MAX_CORPORA];
    bool trust;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* an entry was opened, failed to, or came back */
    uint64_t clock;
    int n;
    struct cache_entry *entries;
};

enum rc reader_cache_create(struct corpus *const corpora[], int n, int capacity, bool trust,
                            struct reader_cache **out, struct err *e)
{
    struct reader_cache *c = mem_calloc(1, sizeof *c);
    struct cache_entry *entries = mem_calloc((size_t)capacity, sizeof *entries);

    assert(n <= CACHE_MAX_CORPORA && capacity > 0);
    if (c == NULL || entries == NULL) {
        mem_free(c);
        mem_free(entries);
        return mem_raise(e, "open shards", (size_t)capacity * sizeof *entries);
    }
    for (int i = 0; i < n; i++) {
        c->corpora[i] = corpora[i];
    }
    for (int i = 0; i < capacity; i++) {
        entries[i].shard = -1;
    }
    c->trust = trust;
    c->n = capacity;
    c->entries = entries;
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->changed, NULL);
    *out = c;
    return RC_OK;
}

void reader_cache_destroy(struct reader_cache *c)
{
    if (c == NULL) {
        return;
    }
    for (int i = 0; i < c->n; i++) {
        assert(c->entries[i].users == 0);
        shard_reader_close(c->entries[i].reader);
    }
    (void)pthread_cond_destroy(&c->changed);
    (void)pthread_mutex_destroy(&c->lock);
    mem_free(c->entries);
    mem_free(c);
}

static struct cache_entry *cache_find(struct reader_cache *c, int corpus, int shard)
{
    for (int i = 0; i < c->n; i++) {
        if (c->entries[i].shard == shard && c->entries[i].corpus == corpus) {
            return &c->entries[i];
        }
    }
    return NULL;
}

/* A free entry, else the idle one that was used longest ago; NULL if all are in use. */
static struct cache_entry *cache_victim(struct reader_cache *c)
{
    struct cache_entry *best = NULL;

    for (int i = 0; i < c->n; i++) {
        struct cache_entry *entry = &c->entries[i];

        if (entry->shard < 0) {
            return entry;
        }
        if (entry->users == 0 && !entry->opening && (best == NULL || entry->used < best->used)) {
            best = entry;
        }
    }
    return best;
}

/* Called and returns with the lock held; opens without it. */
static enum rc cache_open(struct reader_cache *c, struct cache_entry *entry, int corpus, int shard,
                          struct err *e)
{
    struct shard_reader *old = entry->reader;
    struct shard_reader *reader = NULL;
    enum rc rc = RC_OK;

    *entry = (struct cache_entry){.corpus = corpus, .shard = shard, .opening = true};
    (void)pthread_mutex_unlock(&c->lock);
    shard_reader_close(old);
    rc = shard_reader_open(c->corpora[corpus], shard, c->trust, &reader, e);
    (void)pthread_mutex_lock(&c->lock);
    entry->opening = false;
    entry->reader = reader;
    if (rc != RC_OK) {
        entry->shard = -1;
    }
    (void)pthread_cond_broadcast(&c->changed);
    return rc;
}

enum rc reader_cache_get(struct reader_cache *c, int corpus, int shard, int *entry,
                         struct shard_reader **out, struct err *e)
{
    struct cache_entry *found = NULL;
    enum rc rc = RC_OK;

    (void)pthread_mutex_lock(&c->lock);
    for (;;) {
        found = cache_find(c, corpus, shard);
        if (found != NULL && !found->opening) {
            break;
        }
        if (found == NULL) {
            found = cache_victim(c);
            if (found != NULL) {
                rc = cache_open(c, found, corpus, shard, e);
                break;
            }
        }
        (void)pthread_cond_wait(&c->changed, &c->lock);
    }
    if (rc == RC_OK) {
        found->users++;
        found->used = ++c->clock;
        *entry = (int)(found - c->entries);
        *out = found->reader;
    }
    (void)pthread_mutex_unlock(&c->lock);
    return rc;
}

void reader_cache_put(struct reader_cache *c, int entry)
{
    (void)pthread_mutex_lock(&c->lock);
    assert(c->entries[entry].users > 0);
    if (--c->entries[entry].users == 0) {
        (void)pthread_cond_broadcast(&c->changed);
    }
    (void)pthread_mutex_unlock(&c->lock);
}

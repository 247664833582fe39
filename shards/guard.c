#include "shards/guard.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/image/phash.h"
#include "shards/near_hashes.h"
#include "shards/near_index.h"

struct guard_image {
    struct key128 key;
    uint32_t id; /* of its hash */
};

struct guard {
    char *path;
    struct digest digest;
    int radius;
    size_t n;
    struct guard_image *by_key; /* (n) sorted */
    struct key128 *keys;        /* (n) in the order of hashes */
    uint64_t *hashes;           /* (n) */
    struct near_index *index;
};

/* ---- the evaluation set ------------------------------------------------------------------------ */

static int guard_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct key128));
}

static enum rc guard_read(struct guard *g, struct corpus *c, struct err *e)
{
    size_t room = (size_t)corpus_images(c) + 1;
    enum rc rc = RC_OK;

    g->by_key = mem_calloc(room, sizeof *g->by_key);
    g->keys = mem_calloc(room, sizeof *g->keys);
    g->hashes = mem_calloc(room, sizeof *g->hashes);
    if (g->by_key == NULL || g->keys == NULL || g->hashes == NULL) {
        return mem_raise(e, "an evaluation set", room * sizeof *g->by_key);
    }
    for (int i = 0; i < corpus_shards(c) && rc == RC_OK; i++) {
        struct near_hashes h = {0};

        rc = near_hashes_open(c, i, &h, e);
        for (uint64_t p = 0; p < h.n && rc == RC_OK; p++) {
            if (!corpus_is_forgotten(c, i, (uint32_t)p)) {
                g->by_key[g->n] = (struct guard_image){h.entries[p].key, (uint32_t)g->n};
                g->keys[g->n] = h.entries[p].key;
                g->hashes[g->n++] = h.entries[p].hash;
            }
        }
        near_hashes_close(&h);
    }
    qsort(g->by_key, g->n, sizeof *g->by_key, guard_compare);
    return rc;
}

enum rc guard_open(const char *corpus, int radius, struct guard **out, struct err *e)
{
    struct guard *g = mem_calloc(1, sizeof *g);
    struct corpus *c = NULL;
    enum rc rc = g != NULL ? corpus_open(corpus, &c, e) : mem_raise(e, "a guard", sizeof *g);

    if (rc == RC_OK) {
        g->radius = radius;
        g->path = mem_strdup(corpus);
        corpus_digest(c, &g->digest);
        rc = g->path != NULL ? guard_read(g, c, e) : mem_raise(e, "a path", strlen(corpus));
    }
    if (rc == RC_OK) {
        rc = near_index_create(g->hashes, g->n, radius, &g->index, e);
    }
    corpus_close(c);
    if (rc != RC_OK) {
        guard_close(g);
        return rc;
    }
    *out = g;
    return RC_OK;
}

void guard_close(struct guard *g)
{
    if (g != NULL) {
        near_index_destroy(g->index);
        mem_free(g->hashes);
        mem_free(g->keys);
        mem_free(g->by_key);
        mem_free(g->path);
        mem_free(g);
    }
}

enum rc guard_open_list(const char *list, int radius, struct guard ***out, int *n, struct err *e)
{
    char *words = mem_strdup(list);
    struct guard **guards = mem_calloc(strlen(list) + 1, sizeof(struct guard *));
    char *rest = NULL;
    int count = 0;
    enum rc rc = words != NULL && guards != NULL ? RC_OK : mem_raise(e, "guards", strlen(list));

    for (char *w = rc == RC_OK ? strtok_r(words, ",", &rest) : NULL; w != NULL && rc == RC_OK;
         w = strtok_r(NULL, ",", &rest)) {
        rc = guard_open(w, radius, &guards[count], e);
        count += rc == RC_OK;
    }
    mem_free(words);
    if (rc != RC_OK) {
        guard_close_all(guards, count);
        return rc;
    }
    *out = guards;
    *n = count;
    return RC_OK;
}

void guard_close_all(struct guard **guards, int n)
{
    for (int i = 0; i < n; i++) {
        guard_close(guards[i]);
    }
    mem_free(guards);
}

const char *guard_path(const struct guard *g)
{
    return g->path;
}

int guard_radius(const struct guard *g)
{
    return g->radius;
}

void guard_digest(const struct guard *g, struct digest *out)
{
    *out = g->digest;
}

/* ---- searching --------------------------------------------------------------------------------- */

struct guard_near {
    uint32_t id;
    uint32_t distance;
    bool found;
};

/* The nearest, and of those equally near the one that was packed first. */
static enum rc guard_visit(void *ctx, uint32_t id, int distance, struct err *e)
{
    struct guard_near *near = ctx;

    (void)e;
    if (!near->found || (uint32_t)distance < near->distance ||
        ((uint32_t)distance == near->distance && id < near->id)) {
        *near = (struct guard_near){id, (uint32_t)distance, true};
    }
    return RC_OK;
}

static enum rc guard_search(const struct guard *g, const struct near_entry *image,
                            struct guard_near *near, struct err *e)
{
    const struct guard_image *same =
        bsearch(&image->key, g->by_key, g->n, sizeof *g->by_key, guard_compare);

    *near = (struct guard_near){0};
    if (same != NULL) {
        *near = (struct guard_near){same->id, 0, true};
        return RC_OK;
    }
    return near_index_search(g->index, image->hash, guard_visit, near, e);
}

void guard_hits_release(struct guard_hits *h)
{
    mem_free(h->all);
    memset(h, 0, sizeof *h);
}

static enum rc guard_add(struct guard_hits *h, const struct guard_hit *hit, struct err *e)
{
    if (h->n == h->room) {
        size_t room = h->room == 0 ? 64 : 2 * h->room;
        struct guard_hit *all = mem_realloc(h->all, room, sizeof *all);

        if (all == NULL) {
            return mem_raise(e, "images that a guard found", room * sizeof *all);
        }
        h->all = all;
        h->room = room;
    }
    h->all[h->n++] = *hit;
    return RC_OK;
}

static enum rc guard_shard(const struct guard *g, struct corpus *c, int shard,
                           struct guard_hits *out, struct err *e)
{
    struct near_hashes h = {0};
    struct guard_near *near = NULL;
    enum rc rc = near_hashes_open(c, shard, &h, e);
    enum rc first = RC_OK;

    if (rc == RC_OK) {
        near = mem_calloc((size_t)h.n + 1, sizeof *near);
        rc = near != NULL ? RC_OK : mem_raise(e, "images to compare", (size_t)h.n * sizeof *near);
    }
#pragma omp parallel for schedule(static, 1024)
    for (uint64_t p = 0; p < (rc == RC_OK ? h.n : 0); p++) {
        struct err err = {0};
        enum rc one = guard_search(g, &h.entries[p], &near[p], &err);

        if (one != RC_OK) {
#pragma omp critical(guard_shard_error)
            first = err_raise(e, one, "%s", err.msg);
        }
    }
    rc = rc == RC_OK ? first : rc;
    for (uint64_t p = 0; p < h.n && rc == RC_OK; p++) {
        if (near[p].found) {
            const struct guard_hit hit = {h.entries[p].key, g->keys[near[p].id], (uint32_t)shard,
                                          (uint32_t)p, near[p].distance};

            rc = guard_add(out, &hit, e);
        }
    }
    mem_free(near);
    near_hashes_close(&h);
    return rc;
}

enum rc guard_find(const struct guard *g, struct corpus *c, int from,
                   const volatile sig_atomic_t *stop, struct guard_hits *out, struct err *e)
{
    char *theirs = realpath(g->path, NULL);
    char *ours = realpath(corpus_path(c), NULL);
    enum rc rc = RC_OK;

    if (theirs != NULL && ours != NULL && strcmp(theirs, ours) == 0) {
        rc = err_raise(e, RC_INVAL,
                       "'%s' cannot be guarded against itself: --forbid takes the evaluation set",
                       corpus_path(c));
    }
    free(theirs);
    free(ours);
    for (int i = from; i < corpus_shards(c) && rc == RC_OK; i++) {
        if (stop != NULL && *stop) {
            return err_raise(e, RC_REQUEUE, "stopped: nothing was decided");
        }
        rc = guard_shard(g, c, i, out, e);
    }
    return rc;
}

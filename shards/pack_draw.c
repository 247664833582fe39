#include "shards/pack_draw.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "shards/source.h"

struct draw_candidate {
    uint64_t hash;
    int32_t cls;
};

struct draw_class { /* takes hashes in [from, to) */
    uint64_t from, to;
};

struct pack_draw {
    uint64_t seed;
    int n_classes;
    struct draw_class *classes; /* (n_classes) */
    struct draw_candidate *all; /* (n) while the sources are walked */
    size_t n, room;
    struct pack *pack;
    uint64_t candidates;
    bool enough;
};

static uint64_t draw_hash(const struct pack_draw *d, uint64_t at)
{
    struct key128 id = {{0}};

    memcpy(id.b, &at, sizeof at);
    return rng_hash64(d->seed, 0, &id, 0);
}

static enum rc draw_known(void *ctx, const struct source_image *image, enum source_known *known,
                          struct err *e)
{
    (void)ctx, (void)image, (void)e;
    *known = SOURCE_UNKNOWN;
    return RC_OK;
}

/* Candidates are numbered as pack_want numbers them. */
static enum rc draw_want(void *ctx, const struct source_image *image, bool *want, struct err *e)
{
    struct pack_draw *d = ctx;
    const struct pack_config *c = d->pack->config;
    uint64_t at = 0;
    int32_t cls = PACK_NO_CLASS;
    enum rc rc = RC_OK;

    *want = false;
    if (c->stop != NULL && *c->stop) {
        return err_raise(e, RC_REQUEUE, "stopped before the first image: the same command goes on");
    }
    if (!pack_classes_match(c, image)) {
        return RC_OK;
    }
    at = d->candidates++;
    if (c->first > 0 && at >= (uint64_t)(c->skip + c->first)) {
        d->enough = true;
        return err_raise(e, RC_REQUEUE, "the first %lld candidates were met", (long long)c->first);
    }
    rc = at >= (uint64_t)c->skip ? pack_class_of(d->pack, image, &cls, e) : RC_OK;
    if (rc != RC_OK || cls < 0) {
        return rc;
    }
    if (d->n == d->room) {
        size_t room = d->room == 0 ? 1024 : 2 * d->room;
        struct draw_candidate *all = mem_realloc(d->all, room, sizeof *all);

        if (all == NULL) {
            return mem_raise(e, "candidates of the classes", room * sizeof *all);
        }
        d->all = all;
        d->room = room;
    }
    d->all[d->n++] = (struct draw_candidate){draw_hash(d, at), cls};
    d->n_classes = cls >= d->n_classes ? cls + 1 : d->n_classes;
    return RC_OK;
}

static int draw_compare(const void *a, const void *b)
{
    const struct draw_candidate *x = a;
    const struct draw_candidate *y = b;

    if (x->cls != y->cls) {
        return x->cls < y->cls ? -1 : 1;
    }
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* The hash of a rank among the n candidates of a class; above them all when there are fewer. */
static uint64_t draw_at(const struct draw_candidate *v, size_t n, uint64_t rank)
{
    return rank < n ? v[rank].hash : UINT64_MAX;
}

static enum rc draw_rank(struct pack_draw *d, struct err *e)
{
    const struct pack_config *c = d->pack->config;
    const uint64_t skip = (uint64_t)c->skip_per_class;
    const uint64_t limit = (uint64_t)c->limit_per_class;

    d->classes = mem_calloc((size_t)d->n_classes + 1, sizeof *d->classes);
    if (d->classes == NULL) {
        return mem_raise(e, "limits of the classes", (size_t)d->n_classes * sizeof *d->classes);
    }
    if (d->n > 0) {
        qsort(d->all, d->n, sizeof *d->all, draw_compare);
    }
    for (size_t i = 0, end = 0; i < d->n; i = end) {
        while (end < d->n && d->all[end].cls == d->all[i].cls) {
            end++;
        }
        d->classes[d->all[i].cls] = (struct draw_class){
            draw_at(d->all + i, end - i, skip),
            limit > 0 ? draw_at(d->all + i, end - i, skip + limit) : UINT64_MAX};
    }
    return RC_OK;
}

enum rc pack_draw_make(struct pack *p, struct pack_draw **out, struct err *e)
{
    struct pack_draw *d = mem_calloc(1, sizeof *d);
    const struct source_visitor v = {.ctx = d, .known = draw_known, .want = draw_want};
    enum rc rc = RC_OK;

    if (d == NULL) {
        return mem_raise(e, "a draw of images", sizeof *d);
    }
    d->pack = p;
    d->seed = (uint64_t)p->config->seed;
    rc = source_walk(p->sources, p->n_sources, true, &v, e);
    if (d->enough) {
        err_clear(e);
        rc = RC_OK;
    }
    if (rc == RC_OK) {
        rc = draw_rank(d, e);
    }
    mem_free(d->all);
    d->all = NULL;
    if (rc != RC_OK) {
        pack_draw_destroy(d);
        return rc;
    }
    *out = d;
    return RC_OK;
}

void pack_draw_destroy(struct pack_draw *d)
{
    if (d != NULL) {
        mem_free(d->classes);
        mem_free(d);
    }
}

bool pack_draw_takes(const struct pack_draw *d, uint64_t at, int32_t cls)
{
    const uint64_t hash = draw_hash(d, at);

    return cls < d->n_classes && hash >= d->classes[cls].from && hash < d->classes[cls].to;
}

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "labeler/select_cut_impl.h"

static enum rc ties_visit_collect(void *ctx, struct select_shard *s, struct err *e)
{
    struct select_cuts *c = ctx;

    for (uint64_t p = 0; p < s->n; p++) {
        const struct cut_range *g = &c->ranges[s->all[p].cls];
        struct cut_candidate x = {.bits = select_bits(&s->all[p]),
                                  .shard = (uint32_t)s->i,
                                  .position = (uint32_t)p,
                                  .cls = s->all[p].cls};

        if (x.bits < g->lo || x.bits > g->hi || !select_cut_open(g)) {
            continue;
        }
        if (g->by_key) {
            enum rc rc = select_scan_key(s, p, &x.key, e);

            if (rc != RC_OK) {
                return rc;
            }
            if (select_cut_key(&x.key) < g->key_lo || select_cut_key(&x.key) > g->key_hi) {
                continue;
            }
        }
        c->candidates[atomic_fetch_add(&c->n_candidates, 1)] = x;
    }
    return RC_OK;
}

/* Class, then best first; equal ones by key where keys are known. */
static int ties_compare(const void *a, const void *b)
{
    const struct cut_candidate *x = a;
    const struct cut_candidate *y = b;

    if (x->cls != y->cls) {
        return x->cls < y->cls ? -1 : 1;
    }
    if (x->bits != y->bits) {
        return x->bits > y->bits ? -1 : 1;
    }
    return memcmp(&x->key, &y->key, sizeof x->key);
}

static int ties_compare_place(const void *a, const void *b)
{
    const struct cut_candidate *x = a;
    const struct cut_candidate *y = b;

    if (x->shard != y->shard) {
        return x->shard < y->shard ? -1 : 1;
    }
    return x->position < y->position ? -1 : x->position > y->position;
}

/* The keys of n candidates, shard by shard. */
static enum rc ties_read_keys(struct select_cuts *c, struct cut_candidate *v, size_t n,
                              struct err *e)
{
    struct select_shard shard = {.scan = c->scan, .i = -1};
    enum rc rc = RC_OK;

    qsort(v, n, sizeof *v, ties_compare_place);
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        if (shard.i != (int)v[i].shard) {
            label_reader_close(shard.reader);
            shard = (struct select_shard){.scan = c->scan, .i = (int)v[i].shard};
        }
        rc = select_scan_key(&shard, v[i].position, &v[i].key, e);
    }
    label_reader_close(shard.reader);
    return rc;
}

/* v (n): the candidates of one class, sorted. Of those tied at the line, *first .. *end are the ones
 * whose keys decide (none: the line falls between confidences). */
static void ties_at_line(const struct cut_candidate *v, size_t n, size_t want, size_t *first,
                         size_t *end)
{
    *first = want - 1;
    *end = want;
    while (*first > 0 && v[*first - 1].bits == v[want - 1].bits) {
        (*first)--;
    }
    while (*end < n && v[*end].bits == v[want - 1].bits) {
        (*end)++;
    }
    if (*end == want) {
        *first = *end;
    }
}

/* Candidates that wait for their keys are moved to the front of the array, so that one walk over the
 * shards reads them all. */
static enum rc ties_decide(struct select_cuts *c, struct err *e)
{
    struct cut_candidate *v = c->candidates;
    size_t n = c->n_candidates;
    size_t kept = 0;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < n;) {
        struct cut_range *g = &c->ranges[v[i].cls];
        size_t count = (size_t)g->count;
        size_t first = 0;
        size_t end = 0;
        uint32_t bits = v[i + (size_t)g->want - 1].bits;

        assert(i + count <= n);
        ties_at_line(v + i, count, (size_t)g->want, &first, &end);
        if (!g->by_key) { /* of the range, only this confidence is left */
            g->lo = bits;
            g->hi = bits;
            g->count = end - first;
            g->want = g->count == 0 ? 0 : g->want - first;
        }
        if (g->count > 0) {
            memmove(v + kept, v + i + first, (end - first) * sizeof *v);
            kept += end - first;
        }
        i += count;
    }
    c->n_candidates = kept;
    rc = ties_read_keys(c, v, kept, e);
    qsort(v, kept, sizeof *v, ties_compare);
    return rc;
}

enum rc select_ties_collect(struct select_cuts *c, uint64_t n, struct select_cut *cuts,
                            struct err *e)
{
    const struct select_visitor v = {ties_visit_collect, NULL, c};
    enum rc rc = RC_OK;

    c->candidates = mem_calloc((size_t)n, sizeof *c->candidates);
    if (c->candidates == NULL) {
        return mem_raise(e, "candidates of selection", (size_t)n * sizeof *c->candidates);
    }
    rc = select_scan_all(c->scan, &v, e);
    if (rc != RC_OK) {
        return rc;
    }
    assert(c->n_candidates == n);
    qsort(c->candidates, (size_t)n, sizeof *c->candidates, ties_compare);
    rc = ties_decide(c, e);
    for (size_t i = 0; i < c->n_candidates && rc == RC_OK;) {
        const struct cut_range *g = &c->ranges[c->candidates[i].cls];
        struct select_cut *cut = &cuts[c->candidates[i].cls];

        cut->split = true;
        cut->key = c->candidates[i + (size_t)g->want - 1].key;
        i += (size_t)g->count;
    }
    return rc;
}

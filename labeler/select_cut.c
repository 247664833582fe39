#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "labeler/select_impl.h"

const struct select_limits select_limits_default = {1u << 22, 1u << 20};

/* Where the line of a class still may lie: first a range of confidences, and where they are all
 * equal, a range of keys (their first 64 bits). The bins of a histogram divide it. */
struct cut_range {
    uint32_t lo, hi;         /* bits in [lo, hi] */
    uint64_t key_lo, key_hi; /* and key in [key_lo, key_hi] */
    uint64_t count;          /* labels in it */
    uint64_t want;           /* of them, above the line */
    bool by_key;
};

struct cut_candidate {
    struct key128 key; /* set where it decides */
    uint32_t bits;
    uint32_t shard, position;
    uint16_t cls;
};

struct select_cuts {
    struct select_scan *scan;
    struct select_limits limits;
    int n_classes;
    unsigned bins;               /* of each class, a power of two */
    _Atomic uint64_t *histogram; /* (n_classes, bins) */
    struct cut_range *ranges;    /* (n_classes) */
    struct cut_candidate *candidates;
    atomic_size_t n_candidates;
};

enum rc select_cut_above(const struct select_cut *cut, struct label_reader *r, uint64_t position,
                         uint32_t bits, bool *above, struct err *e)
{
    struct label l;
    enum rc rc = RC_OK;

    *above = bits > cut->bits || (bits == cut->bits && !cut->split);
    if (bits != cut->bits || !cut->split) {
        return RC_OK;
    }
    rc = label_reader_at(r, position, &l, e);
    *above = rc == RC_OK && memcmp(&l.key, &cut->key, sizeof l.key) <= 0;
    return rc;
}

/* ---- histograms ------------------------------------------------------------------------------ */

/* Bins of 2^shift values cover [lo, hi]. */
static unsigned cut_shift(uint64_t lo, uint64_t hi, unsigned bins)
{
    unsigned shift = 0;

    while ((hi - lo) >> shift >= bins) {
        shift++;
    }
    return shift;
}

static uint64_t cut_key(const struct key128 *key)
{
    uint64_t x = 0;

    for (int i = 0; i < 8; i++) {
        x = x << 8 | key->b[i];
    }
    return x;
}

/* Whether the line of the class is not known yet. */
static bool cut_open(const struct cut_range *g)
{
    return g->want > 0 && g->want < g->count;
}

static void cut_bin(struct select_cuts *c, int cls, unsigned bin)
{
    atomic_fetch_add_explicit(&c->histogram[(size_t)cls * c->bins + bin], 1, memory_order_relaxed);
}

static enum rc cut_visit_bits(void *ctx, int i, struct label_reader *r, struct err *e)
{
    struct select_cuts *c = ctx;
    const struct label_summary *all = label_reader_summary(r);
    uint64_t n = label_reader_count(r);

    for (uint64_t p = 0; p < n; p++) {
        const struct cut_range *g = NULL;
        uint32_t bits = 0;

        if (select_scan_check(c->scan, i, &all[p], &bits, e) != RC_OK) {
            return RC_CORRUPT;
        }
        g = &c->ranges[all[p].cls];
        if (bits >= g->lo && bits <= g->hi && cut_open(g) && !g->by_key) {
            cut_bin(c, all[p].cls, (bits - g->lo) >> cut_shift(g->lo, g->hi, c->bins));
        }
    }
    return RC_OK;
}

static enum rc cut_visit_keys(void *ctx, int i, struct label_reader *r, struct err *e)
{
    struct select_cuts *c = ctx;
    const struct label_summary *all = label_reader_summary(r);
    uint64_t n = label_reader_count(r);
    enum rc rc = RC_OK;

    for (uint64_t p = 0; p < n && rc == RC_OK; p++) {
        const struct cut_range *g = NULL;
        struct label l;
        uint32_t bits = 0;
        uint64_t key = 0;

        rc = select_scan_check(c->scan, i, &all[p], &bits, e);
        g = rc == RC_OK ? &c->ranges[all[p].cls] : NULL;
        if (g == NULL || bits != g->lo || !cut_open(g) || !g->by_key) {
            continue;
        }
        rc = label_reader_at(r, p, &l, e);
        key = rc == RC_OK ? cut_key(&l.key) : 0;
        if (rc == RC_OK && key >= g->key_lo && key <= g->key_hi) {
            cut_bin(c, all[p].cls,
                    (unsigned)((key - g->key_lo) >> cut_shift(g->key_lo, g->key_hi, c->bins)));
        }
    }
    return rc;
}

/* Narrow a range to the bin that holds its line: the best bin is the last one by confidence, the
 * first one by key. */
static void cut_narrow(struct select_cuts *c, int cls)
{
    struct cut_range *g = &c->ranges[cls];
    uint64_t lo = g->by_key ? g->key_lo : g->lo;
    uint64_t hi = g->by_key ? g->key_hi : g->hi;
    unsigned shift = cut_shift(lo, hi, c->bins);
    unsigned last = (unsigned)((hi - lo) >> shift);
    uint64_t left = g->want;

    for (unsigned i = 0; i <= last; i++) {
        unsigned bin = g->by_key ? i : last - i;
        uint64_t n = c->histogram[(size_t)cls * c->bins + bin];

        if (left <= n) {
            uint64_t from = lo + ((uint64_t)bin << shift);
            uint64_t to = from + (((uint64_t)1 << shift) - 1);

            to = to > hi || to < from ? hi : to;
            g->count = n;
            g->want = left;
            g->key_lo = g->by_key ? from : 0;
            g->key_hi = g->by_key ? to : UINT64_MAX;
            g->lo = g->by_key ? g->lo : (uint32_t)from;
            g->hi = g->by_key ? g->hi : (uint32_t)to;
            return;
        }
        left -= n;
    }
    assert(left == 0); /* a histogram holds its range */
}

static void cut_clear(struct select_cuts *c)
{
    memset(c->histogram, 0, (size_t)c->n_classes * c->bins * sizeof *c->histogram);
}

/* ---- the first pass: it also counts ---------------------------------------------------------- */

struct cut_first {
    struct select_cuts *cuts;
    _Atomic uint64_t *labels; /* (n_classes) */
    uint32_t floor;
};

static enum rc cut_visit_first(void *ctx, int i, struct label_reader *r, struct err *e)
{
    struct cut_first *f = ctx;
    struct select_cuts *c = f->cuts;
    const struct label_summary *all = label_reader_summary(r);
    unsigned shift = cut_shift(f->floor, SELECT_BITS_ONE, c->bins);
    uint64_t n = label_reader_count(r);

    for (uint64_t p = 0; p < n; p++) {
        uint32_t bits = 0;

        if (select_scan_check(c->scan, i, &all[p], &bits, e) != RC_OK) {
            return RC_CORRUPT;
        }
        if (bits >= f->floor) {
            cut_bin(c, all[p].cls, (bits - f->floor) >> shift);
        } else {
            atomic_fetch_add_explicit(&f->labels[all[p].cls], 1, memory_order_relaxed);
        }
    }
    return RC_OK;
}

static void cut_count(struct select_cuts *c, const struct cut_first *f,
                      struct select_class *classes)
{
    for (int k = 0; k < c->n_classes; k++) {
        uint64_t eligible = 0;

        for (unsigned b = 0; b < c->bins; b++) {
            eligible += c->histogram[(size_t)k * c->bins + b];
        }
        classes[k] = (struct select_class){.labels = f->labels[k] + eligible, .eligible = eligible};
        c->ranges[k] = (struct cut_range){
            .lo = f->floor, .hi = SELECT_BITS_ONE, .key_hi = UINT64_MAX, .count = eligible};
    }
}

enum rc select_cuts_create(struct select_scan *s, uint32_t floor,
                           const struct select_limits *limits, struct select_class *classes,
                           struct select_cuts **out, struct err *e)
{
    struct select_cuts *c = mem_calloc(1, sizeof *c);
    struct cut_first first = {.floor = floor};
    size_t n = (size_t)label_store_lineage(s->labels)->n_classes;
    enum rc rc = RC_OK;

    if (c == NULL) {
        return mem_raise(e, "selection", sizeof *c);
    }
    c->scan = s;
    c->limits = *limits;
    c->n_classes = (int)n;
    c->bins = 2;
    while (c->bins < SELECT_BINS_MAX && 2 * c->bins * n <= limits->counters) {
        c->bins *= 2;
    }
    c->histogram = mem_calloc(n * c->bins, sizeof *c->histogram);
    c->ranges = mem_calloc(n, sizeof *c->ranges);
    first.labels = mem_calloc(n, sizeof *first.labels);
    first.cuts = c;
    if (c->histogram == NULL || c->ranges == NULL || first.labels == NULL) {
        rc = mem_raise(e, "histograms of the classes", n * c->bins * sizeof *c->histogram);
        goto out;
    }
    rc = select_scan_all(s, cut_visit_first, &first, e);
    if (rc == RC_OK) {
        cut_count(c, &first, classes);
        *out = c;
        c = NULL;
    }
out:
    mem_free(first.labels);
    select_cuts_destroy(c);
    return rc;
}

void select_cuts_destroy(struct select_cuts *c)
{
    if (c != NULL) {
        mem_free(c->histogram);
        mem_free(c->ranges);
        mem_free(c->candidates);
        mem_free(c);
    }
}

/* ---- the last candidates, held in memory ----------------------------------------------------- */

static enum rc cut_visit_collect(void *ctx, int i, struct label_reader *r, struct err *e)
{
    struct select_cuts *c = ctx;
    const struct label_summary *all = label_reader_summary(r);
    uint64_t n = label_reader_count(r);

    for (uint64_t p = 0; p < n; p++) {
        const struct cut_range *g = &c->ranges[all[p].cls];
        struct cut_candidate x = {.shard = (uint32_t)i, .position = (uint32_t)p, .cls = all[p].cls};

        if (select_scan_check(c->scan, i, &all[p], &x.bits, e) != RC_OK) {
            return RC_CORRUPT;
        }
        if (!cut_open(g) || x.bits < g->lo || x.bits > g->hi) {
            continue;
        }
        if (g->by_key) {
            struct label l;
            enum rc rc = label_reader_at(r, p, &l, e);

            if (rc != RC_OK) {
                return rc;
            }
            x.key = l.key;
            if (cut_key(&l.key) < g->key_lo || cut_key(&l.key) > g->key_hi) {
                continue;
            }
        }
        c->candidates[atomic_fetch_add(&c->n_candidates, 1)] = x;
    }
    return RC_OK;
}

/* Class, then best first; equal ones by key where keys are known. */
static int cut_compare(const void *a, const void *b)
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

static int cut_compare_place(const void *a, const void *b)
{
    const struct cut_candidate *x = a;
    const struct cut_candidate *y = b;

    if (x->shard != y->shard) {
        return x->shard < y->shard ? -1 : 1;
    }
    return x->position < y->position ? -1 : x->position > y->position;
}

/* The keys of n candidates, shard by shard. */
static enum rc cut_read_keys(struct select_cuts *c, struct cut_candidate *v, size_t n,
                             struct err *e)
{
    struct label_reader *r = NULL;
    enum rc rc = RC_OK;

    qsort(v, n, sizeof *v, cut_compare_place);
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        struct label l;

        if (i == 0 || v[i].shard != v[i - 1].shard) {
            label_reader_close(r);
            r = NULL;
            rc = label_reader_open(c->scan->labels, (int)v[i].shard, true, &r, e);
        }
        if (rc == RC_OK) {
            rc = label_reader_at(r, v[i].position, &l, e);
        }
        if (rc == RC_OK) {
            v[i].key = l.key;
        }
    }
    label_reader_close(r);
    return rc;
}

/* v (n): the candidates of one class, sorted. Of those tied at the line, *first .. *end are the ones
 * whose keys decide (none: the line falls between confidences). */
static void cut_ties(const struct cut_candidate *v, size_t n, size_t want, size_t *first,
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
static enum rc cut_decide_ties(struct select_cuts *c, struct err *e)
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
        cut_ties(v + i, count, (size_t)g->want, &first, &end);
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
    rc = cut_read_keys(c, v, kept, e);
    qsort(v, kept, sizeof *v, cut_compare);
    return rc;
}

static enum rc cut_collect(struct select_cuts *c, uint64_t n, struct select_cut *cuts,
                           struct err *e)
{
    enum rc rc = RC_OK;

    c->candidates = mem_calloc((size_t)n, sizeof *c->candidates);
    if (c->candidates == NULL) {
        return mem_raise(e, "candidates of selection", (size_t)n * sizeof *c->candidates);
    }
    rc = select_scan_all(c->scan, cut_visit_collect, c, e);
    if (rc != RC_OK) {
        return rc;
    }
    assert(c->n_candidates == n);
    qsort(c->candidates, (size_t)n, sizeof *c->candidates, cut_compare);
    rc = cut_decide_ties(c, e);
    for (size_t i = 0; i < c->n_candidates && rc == RC_OK;) {
        const struct cut_range *g = &c->ranges[c->candidates[i].cls];
        struct select_cut *cut = &cuts[c->candidates[i].cls];

        cut->split = true;
        cut->key = c->candidates[i + (size_t)g->want - 1].key;
        i += (size_t)g->count;
    }
    return rc;
}

/* ---- from ranks to lines --------------------------------------------------------------------- */

/* How the ranges of open classes can be divided further. */
enum cut_by { CUT_BY_BITS, CUT_BY_KEY, CUT_NO_FURTHER };

/* Labels whose side is not known yet. Keys are looked at when confidences decide nothing more. */
static uint64_t cut_undecided(const struct select_cuts *c, enum cut_by *by)
{
    uint64_t n = 0;

    *by = CUT_NO_FURTHER;
    for (int k = 0; k < c->n_classes; k++) {
        const struct cut_range *g = &c->ranges[k];

        if (!cut_open(g)) {
            continue;
        }
        n += g->count;
        if (g->lo < g->hi) {
            *by = CUT_BY_BITS;
        } else if (*by == CUT_NO_FURTHER && g->key_lo < g->key_hi) {
            *by = CUT_BY_KEY;
        }
    }
    return n;
}

static enum rc cut_divide(struct select_cuts *c, enum cut_by by, struct err *e)
{
    enum rc rc = RC_OK;

    for (int k = 0; k < c->n_classes && by == CUT_BY_KEY; k++) {
        c->ranges[k].by_key = c->ranges[k].by_key || cut_open(&c->ranges[k]);
    }
    cut_clear(c);
    rc = select_scan_all(c->scan, by == CUT_BY_BITS ? cut_visit_bits : cut_visit_keys, c, e);
    for (int k = 0; k < c->n_classes && rc == RC_OK; k++) {
        const struct cut_range *g = &c->ranges[k];

        if (cut_open(g) && g->by_key == (by == CUT_BY_KEY)) {
            cut_narrow(c, k);
        }
    }
    return rc;
}

/* What a closed range says. */
static void cut_state(const struct cut_range *g, struct select_cut *cut)
{
    cut->bits = g->lo;
    if (g->by_key && !cut->split) { /* all of these keys, whatever their last 64 bits */
        memset(&cut->key, 0xFF, sizeof cut->key);
        for (int i = 0; i < 8; i++) {
            cut->key.b[i] = (uint8_t)(g->key_hi >> (56 - 8 * i));
        }
        cut->split = true;
    }
}

enum rc select_cuts_find(struct select_cuts *c, struct select_cut *cuts, struct err *e)
{
    enum cut_by by = CUT_NO_FURTHER;
    uint64_t n = 0;
    enum rc rc = RC_OK;

    for (int k = 0; k < c->n_classes; k++) {
        struct cut_range *g = &c->ranges[k];

        cuts[k].split = false;
        g->want = cuts[k].rank < g->count ? cuts[k].rank : g->count;
        if (cut_open(g)) {
            cut_narrow(c, k); /* the first histogram is still there */
        } else if (g->want == 0) {
            g->lo = SELECT_BITS_ONE + 1; /* nothing is above */
        }
    }
    while (rc == RC_OK && (n = cut_undecided(c, &by)) > c->limits.candidates &&
           by != CUT_NO_FURTHER) {
        rc = cut_divide(c, by, e);
    }
    if (rc == RC_OK && n > 0) {
        rc = cut_collect(c, n, cuts, e);
    }
    for (int k = 0; k < c->n_classes && rc == RC_OK; k++) {
        cut_state(&c->ranges[k], &cuts[k]);
    }
    return rc;
}

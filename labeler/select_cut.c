#include <assert.h>
#include <string.h>

#include "common/base/mem.h"
#include "labeler/select_cut_impl.h"

enum { CUT_OTHERS = 2 }; /* counters of a class beside its bins */

const struct select_limits select_limits_default = {1u << 23, 1u << 20};

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

/* Counters of one class and thread. */
static uint64_t *cut_counters(const struct select_cuts *c, int thread, int cls)
{
    const size_t stride = (size_t)c->bins + CUT_OTHERS;

    return c->histogram + ((size_t)thread * (size_t)c->n_classes + (size_t)cls) * stride;
}

static enum rc cut_visit_bits(void *ctx, struct select_shard *s, struct err *e)
{
    const struct select_cuts *c = ctx;
    const size_t stride = (size_t)c->bins + CUT_OTHERS;
    uint64_t *counters = cut_counters(c, s->thread, 0);

    (void)e;
    for (uint64_t p = 0; p < s->n; p++) {
        const struct cut_bins *b = &c->by_bits[s->all[p].cls];
        const uint32_t bits = select_bits(&s->all[p]);
        const uint32_t x = bits - b->lo;
        const size_t outside = bits < SELECT_BITS_LEAST ? stride - 1 : 0;

        counters[s->all[p].cls * stride + (x <= b->span ? 1 + (x >> b->shift) : outside)]++;
    }
    return RC_OK;
}

static enum rc cut_visit_keys(void *ctx, struct select_shard *s, struct err *e)
{
    const struct select_cuts *c = ctx;
    enum rc rc = RC_OK;

    for (uint64_t p = 0; p < s->n && rc == RC_OK; p++) {
        const struct cut_range *g = &c->ranges[s->all[p].cls];
        struct key128 name;
        uint64_t key = 0;

        if (select_bits(&s->all[p]) != g->lo || !select_cut_open(g) || !g->by_key) {
            continue;
        }
        rc = select_scan_key(s, p, &name, e);
        key = rc == RC_OK ? select_cut_key(&name) : 0;
        if (rc == RC_OK && key >= g->key_lo && key <= g->key_hi) {
            unsigned shift = cut_shift(g->key_lo, g->key_hi, c->bins);

            cut_counters(c, s->thread, s->all[p].cls)[1 + ((key - g->key_lo) >> shift)]++;
        }
    }
    return rc;
}

static enum rc cut_scan(struct select_cuts *c, bool by_key, struct err *e)
{
    const struct select_visitor v = {by_key ? cut_visit_keys : cut_visit_bits, NULL, c};
    const size_t n = (size_t)c->n_classes * ((size_t)c->bins + CUT_OTHERS);
    enum rc rc = RC_OK;

    memset(c->histogram, 0, (size_t)c->scan->threads * n * sizeof *c->histogram);
    rc = select_scan_all(c->scan, &v, e);
    select_scan_sum(c->scan, c->histogram, n);
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
        uint64_t n = cut_counters(c, 0, cls)[1 + bin];

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

/* ---- the first scan: it also counts ---------------------------------------------------------- */

static void cut_count(struct select_cuts *c, uint32_t floor, struct select_class *classes)
{
    for (int k = 0; k < c->n_classes; k++) {
        const uint64_t *counters = cut_counters(c, 0, k);
        uint64_t eligible = 0;

        for (unsigned b = 0; b < c->bins; b++) {
            eligible += counters[1 + b];
        }
        classes[k] = (struct select_class){.labels = counters[0] + eligible, .eligible = eligible};
        c->ranges[k] = (struct cut_range){
            .lo = floor, .hi = SELECT_BITS_ONE, .key_hi = UINT64_MAX, .count = eligible};
    }
}

static enum rc cut_allocate(struct select_cuts *c, struct err *e)
{
    const size_t n = (size_t)c->n_classes;
    const size_t threads = (size_t)c->scan->threads;

    c->bins = 2;
    while (c->bins < SELECT_BINS_MAX && 2 * c->bins * n * threads <= c->limits.counters) {
        c->bins *= 2;
    }
    c->histogram = mem_calloc(threads * n * ((size_t)c->bins + CUT_OTHERS), sizeof *c->histogram);
    c->ranges = mem_calloc(n, sizeof *c->ranges);
    c->by_bits = mem_calloc(n, sizeof *c->by_bits);
    return c->histogram != NULL && c->ranges != NULL && c->by_bits != NULL
               ? RC_OK
               : mem_raise(e, "histograms of the classes",
                           threads * n * c->bins * sizeof *c->histogram);
}

enum rc select_cuts_create(struct select_scan *s, uint32_t floor,
                           const struct select_limits *limits, struct select_class *classes,
                           struct select_cuts **out, struct err *e)
{
    struct select_cuts *c = mem_calloc(1, sizeof *c);
    enum rc rc = RC_OK;

    if (c == NULL) {
        return mem_raise(e, "selection", sizeof *c);
    }
    c->scan = s;
    c->limits = *limits;
    c->n_classes = label_store_lineage(s->labels)->n_classes;
    rc = cut_allocate(c, e);
    for (int k = 0; k < c->n_classes && rc == RC_OK; k++) {
        c->by_bits[k] = (struct cut_bins){floor, SELECT_BITS_ONE - floor,
                                          cut_shift(floor, SELECT_BITS_ONE, c->bins)};
    }
    if (rc == RC_OK) {
        rc = cut_scan(c, false, e);
    }
    if (rc != RC_OK) {
        select_cuts_destroy(c);
        return rc;
    }
    cut_count(c, floor, classes);
    *out = c;
    return RC_OK;
}

void select_cuts_destroy(struct select_cuts *c)
{
    if (c != NULL) {
        mem_free(c->histogram);
        mem_free(c->by_bits);
        mem_free(c->ranges);
        mem_free(c->candidates);
        mem_free(c);
    }
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

        if (!select_cut_open(g)) {
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

    for (int k = 0; k < c->n_classes; k++) {
        struct cut_range *g = &c->ranges[k];

        g->by_key = g->by_key || (by == CUT_BY_KEY && select_cut_open(g));
        c->by_bits[k] =
            select_cut_open(g) && !g->by_key
                ? (struct cut_bins){g->lo, g->hi - g->lo, cut_shift(g->lo, g->hi, c->bins)}
                : (struct cut_bins){SELECT_BITS_ONE + 1, 0, 0}; /* none has that */
    }
    rc = cut_scan(c, by == CUT_BY_KEY, e);
    for (int k = 0; k < c->n_classes && rc == RC_OK; k++) {
        const struct cut_range *g = &c->ranges[k];

        if (select_cut_open(g) && g->by_key == (by == CUT_BY_KEY)) {
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
        if (select_cut_open(g)) {
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
        rc = select_ties_collect(c, n, cuts, e);
    }
    for (int k = 0; k < c->n_classes && rc == RC_OK; k++) {
        cut_state(&c->ranges[k], &cuts[k]);
    }
    return rc;
}

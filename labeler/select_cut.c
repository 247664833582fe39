#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "common/base/mem.h"
#include "labeler/select_cut_impl.h"

const struct select_limits select_limits_default = {1u << 22, 1u << 20};

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

        if (select_scan_check(c->scan, i, all, p, &bits, e) != RC_OK) {
            return RC_CORRUPT;
        }
        g = &c->ranges[all[p].cls];
        if (bits >= g->lo && bits <= g->hi && select_cut_open(g) && !g->by_key) {
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

        rc = select_scan_check(c->scan, i, all, p, &bits, e);
        g = rc == RC_OK ? &c->ranges[all[p].cls] : NULL;
        if (g == NULL || bits != g->lo || !select_cut_open(g) || !g->by_key) {
            continue;
        }
        rc = label_reader_at(r, p, &l, e);
        key = rc == RC_OK ? select_cut_key(&l.key) : 0;
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

        if (select_scan_check(c->scan, i, all, p, &bits, e) != RC_OK) {
            return RC_CORRUPT;
        }
        if (bits >= f->floor) {
            cut_bin(c, all[p].cls, (bits - f->floor) >> shift);
        } else if (bits >= SELECT_BITS_LEAST) {
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

    for (int k = 0; k < c->n_classes && by == CUT_BY_KEY; k++) {
        c->ranges[k].by_key = c->ranges[k].by_key || select_cut_open(&c->ranges[k]);
    }
    cut_clear(c);
    rc = select_scan_all(c->scan, by == CUT_BY_BITS ? cut_visit_bits : cut_visit_keys, c, e);
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

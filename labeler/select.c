#include "labeler/select.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "labeler/select_impl.h"

enum { SELECT_PERCENT = 101 }; /* thresholds 0.00, 0.01, ... 1.00 of flavor noisystudent */

/* How one class is chosen: copies = base, and one more above the line (exact) or as often as drawn
 * (noisystudent). */
struct select_plan {
    uint32_t floor; /* bits of the lowest confidence that is looked at */
    uint32_t base;
    double fraction; /* noisystudent: the probability of one more copy */
};

struct select_tally {
    _Atomic uint64_t images, total;
    _Atomic uint32_t lowest; /* bits */
};

struct select {
    struct select_scan scan;
    struct select_rule rule;
    int n_classes;
    struct select_plan *plans; /* (n_classes) */
    struct select_cut *cuts;   /* (n_classes), flavor exact */
    struct select_tally *tallies;
    _Atomic uint64_t *percent; /* (n_classes, SELECT_PERCENT), flavor noisystudent */
    struct select_class *classes;
};

/* Bits of the least float that is >= x and says something. */
static uint32_t select_bits_from(double x)
{
    float f = (float)x;
    uint32_t bits = 0;

    f = (double)f < x ? nextafterf(f, 2) : f;
    memcpy(&bits, &f, sizeof bits);
    return bits < SELECT_BITS_LEAST ? SELECT_BITS_LEAST : bits;
}

static float select_float(uint32_t bits)
{
    float f = 0;

    memcpy(&f, &bits, sizeof f);
    return f;
}

/* ---- flavor exact ---------------------------------------------------------------------------- */

static uint32_t select_cap(uint64_t copies)
{
    return copies > SELECT_MAX_COPIES ? SELECT_MAX_COPIES : (uint32_t)copies;
}

/* Rich classes keep the N best; poor ones keep all, each N / n times and the N % n best once more. */
static void select_plan_exact(struct select *s, int k)
{
    uint64_t n = s->classes[k].eligible;
    uint64_t want = s->rule.per_class;
    struct select_plan *p = &s->plans[k];

    p->base = 1;
    s->cuts[k].rank = 0;
    if (want == 0 || n == 0) {
        return;
    }
    if (n >= want) {
        p->base = 0;
        s->cuts[k].rank = want;
    } else if (s->rule.duplicate) {
        p->base = select_cap(want / n);
        s->cuts[k].rank = want / n < SELECT_MAX_COPIES ? want % n : 0;
    }
}

static enum rc select_exact(struct select *s, struct err *e)
{
    uint32_t floor = select_bits_from(s->rule.min_confidence);
    struct select_cuts *cuts = NULL;
    enum rc rc = select_cuts_create(&s->scan, floor, &select_limits_default, s->classes, &cuts, e);

    if (rc != RC_OK) {
        return rc;
    }
    for (int k = 0; k < s->n_classes; k++) {
        s->plans[k].floor = floor;
        select_plan_exact(s, k);
    }
    rc = select_cuts_find(cuts, s->cuts, e);
    select_cuts_destroy(cuts);
    return rc;
}

/* ---- flavor noisystudent --------------------------------------------------------------------- */

/* The largest i with p >= i / 100, compared as the paper's code does, in doubles. */
static int select_percent(double p)
{
    int i = (int)(p * 100);

    while (i < SELECT_PERCENT - 1 && p >= (i + 1) / 100.0) {
        i++;
    }
    while (i > 0 && p < i / 100.0) {
        i--;
    }
    return i;
}

static enum rc select_visit_percent(void *ctx, int i, struct label_reader *r, struct err *e)
{
    struct select *s = ctx;
    const struct label_summary *all = label_reader_summary(r);
    uint64_t n = label_reader_count(r);

    for (uint64_t p = 0; p < n; p++) {
        uint32_t bits = 0;
        size_t bin = 0;

        if (select_scan_check(&s->scan, i, all, p, &bits, e) != RC_OK) {
            return RC_CORRUPT;
        }
        if (bits < SELECT_BITS_LEAST) {
            continue;
        }
        bin = (size_t)all[p].cls * SELECT_PERCENT +
              (size_t)select_percent((double)select_float(bits));
        atomic_fetch_add_explicit(&s->percent[bin], 1, memory_order_relaxed);
    }
    return RC_OK;
}

/* Walk the thresholds down until there are N labels or the least confidence is reached. */
static void select_plan_percent(struct select *s, int k, int min)
{
    const _Atomic uint64_t *bins = s->percent + (size_t)k * SELECT_PERCENT;
    struct select_class *c = &s->classes[k];
    struct select_plan *p = &s->plans[k];
    uint64_t want = s->rule.per_class;
    uint64_t total = 0;
    double copies = 1;
    int at = SELECT_PERCENT;

    for (int i = 0; i < SELECT_PERCENT; i++) {
        c->labels += bins[i];
        c->eligible += i >= min ? bins[i] : 0;
    }
    while (at > min && (want == 0 || total < want)) {
        total += bins[--at];
    }
    if (want > 0 && total > 0) {
        copies = (double)want / (double)total;
    }
    if (!s->rule.duplicate && copies > 1) {
        copies = 1;
    }
    p->floor = select_bits_from(at / 100.0);
    p->base = copies >= SELECT_MAX_COPIES ? SELECT_MAX_COPIES : (uint32_t)copies;
    p->fraction = copies >= SELECT_MAX_COPIES ? 0 : copies - (double)p->base;
}

static enum rc select_noisystudent(struct select *s, struct err *e)
{
    int min = (int)lround(s->rule.min_confidence * 100);
    enum rc rc = RC_OK;

    s->percent = mem_calloc((size_t)s->n_classes * SELECT_PERCENT, sizeof *s->percent);
    if (s->percent == NULL) {
        return mem_raise(e, "histograms of the classes",
                         (size_t)s->n_classes * SELECT_PERCENT * sizeof *s->percent);
    }
    rc = select_scan_all(&s->scan, select_visit_percent, s, e);
    for (int k = 0; k < s->n_classes && rc == RC_OK; k++) {
        s->classes[k] = (struct select_class){0};
        select_plan_percent(s, k, min);
    }
    return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

static enum rc select_one_more(const struct select *s, struct label_reader *r, uint64_t position,
                               int cls, uint32_t bits, bool *more, struct err *e)
{
    const struct select_plan *p = &s->plans[cls];
    struct label l;
    struct rng draw;
    enum rc rc = RC_OK;

    if (s->rule.flavor == SELECT_EXACT) {
        return select_cut_above(&s->cuts[cls], r, position, bits, more, e);
    }
    *more = false;
    if (p->fraction > 0) {
        rc = label_reader_at(r, position, &l, e);
        if (rc == RC_OK) {
            rng_init(&draw, s->rule.seed, RNG_SELECT, 0, &l.key, 0);
            *more = rng_f64(&draw) < p->fraction;
        }
    }
    return rc;
}

static void select_count(struct select_tally *t, uint32_t bits, uint32_t copies)
{
    uint32_t lowest = atomic_load_explicit(&t->lowest, memory_order_relaxed);

    atomic_fetch_add_explicit(&t->images, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->total, copies, memory_order_relaxed);
    while (bits < lowest && !atomic_compare_exchange_weak(&t->lowest, &lowest, bits)) {
        /* another thread lowered it: look again */
    }
}

/* Entries of one shard: v has room for all its labels. */
static enum rc select_entries(struct select *s, int i, struct label_reader *r,
                              struct selection_entry *v, uint64_t *count, struct err *e)
{
    const struct label_summary *all = label_reader_summary(r);
    uint64_t n = label_reader_count(r);
    uint64_t kept = 0;

    for (uint64_t p = 0; p < n; p++) {
        int cls = all[p].cls;
        uint32_t bits = 0;
        uint32_t copies = 0;
        bool more = false;

        if (select_scan_check(&s->scan, i, all, p, &bits, e) != RC_OK) {
            return RC_CORRUPT;
        }
        if (bits < s->plans[cls].floor) {
            continue;
        }
        if (select_one_more(s, r, p, cls, bits, &more, e) != RC_OK) {
            return e->rc;
        }
        copies = s->plans[cls].base + more;
        if (copies > 0) {
            v[kept++] = (struct selection_entry){(uint32_t)p, (uint16_t)cls, (uint16_t)copies};
            select_count(&s->tallies[cls], bits, copies);
        }
    }
    *count = kept;
    return RC_OK;
}

static enum rc select_shard(struct select *s, int i, struct selection_entry **v, uint64_t *count,
                            struct err *e)
{
    struct label_reader *r = NULL;
    enum rc rc = label_reader_open(s->scan.labels, i, true, &r, e);

    if (rc == RC_OK) {
        *v = mem_calloc((size_t)label_reader_count(r), sizeof **v);
        rc = *v == NULL
                 ? mem_raise(e, "a shard's selection", (size_t)label_reader_count(r) * sizeof **v)
                 : select_entries(s, i, r, *v, count, e);
    }
    if (rc == RC_OK) {
        rc = label_reader_check(r, e);
    }
    label_reader_close(r);
    return rc;
}

/* Shards are chosen from by all threads and written in order. */
static enum rc select_write(struct select *s, struct selection_writer *w, struct err *e)
{
    int n = label_store_shards(s->scan.labels);
    enum rc first = RC_OK;
    atomic_bool failed = false;

#pragma omp parallel for ordered schedule(dynamic, 1)
    for (int i = 0; i < n; i++) {
        struct selection_entry *v = NULL;
        struct err err = {0};
        uint64_t count = 0;
        enum rc rc = RC_OK;

        if (!atomic_load(&failed)) {
            rc = select_shard(s, i, &v, &count, &err);
        }
#pragma omp ordered
        {
            if (rc == RC_OK && !atomic_load(&failed)) {
                rc = selection_writer_put(w, label_store_shard(s->scan.labels, i)->shard, v, count,
                                          &err);
            }
            if (rc != RC_OK && first == RC_OK) {
                first = err_raise(e, rc, "%s", err.msg);
                atomic_store(&failed, true);
            }
        }
        mem_free(v);
    }
    return first;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum rc select_check_rule(const struct select_rule *rule, struct err *e)
{
    double percent = rule->min_confidence * 100;

    if (!(rule->min_confidence >= 0 && rule->min_confidence <= 1)) {
        return err_raise(e, RC_INVAL, "a confidence of %g: expected 0 to 1", rule->min_confidence);
    }
    if (rule->flavor == SELECT_NOISYSTUDENT &&
        (double)lround(percent) / 100 != rule->min_confidence) {
        return err_raise(e, RC_INVAL,
                         "flavor noisystudent knows thresholds of whole per cents: 0.%02ld, not %g",
                         lround(percent) % 100, rule->min_confidence);
    }
    return RC_OK;
}

static enum rc select_allocate(struct select *s, struct err *e)
{
    size_t n = (size_t)s->n_classes;

    s->plans = mem_calloc(n, sizeof *s->plans);
    s->cuts = mem_calloc(n, sizeof *s->cuts);
    s->tallies = mem_calloc(n, sizeof *s->tallies);
    if (s->plans == NULL || s->cuts == NULL || s->tallies == NULL) {
        return mem_raise(e, "the plans of the classes", n * sizeof *s->plans);
    }
    for (size_t k = 0; k < n; k++) {
        s->tallies[k].lowest = SELECT_BITS_ONE;
    }
    return RC_OK;
}

static enum rc select_describe(const struct select *s, struct selection_info *info, struct err *e)
{
    const struct label_lineage *l = label_store_lineage(s->scan.labels);
    struct hash *h = NULL;
    enum rc rc = hash_create(&h, e);

    if (rc != RC_OK) {
        return rc;
    }
    memset(info, 0, sizeof *info);
    for (int i = 0; i < label_store_shards(s->scan.labels); i++) {
        const struct digest *d = &label_store_shard(s->scan.labels, i)->image_digest;

        hash_update(h, d->b, sizeof d->b);
    }
    hash_final(h, &info->corpus);
    hash_destroy(h);
    label_store_digest(s->scan.labels, &info->labels);
    info->classes = l->classes;
    info->n_classes = l->n_classes;
    if (s->rule.leave != NULL) {
        select_leave_digest(s->rule.leave, &info->forgotten);
    }
    (void)snprintf(info->rule, sizeof info->rule,
                   "flavor %s, min_confidence %g, per_class %llu, duplicate %s, seed %llu",
                   s->rule.flavor == SELECT_EXACT ? "exact" : "noisystudent",
                   s->rule.min_confidence, (unsigned long long)s->rule.per_class,
                   s->rule.duplicate ? "yes" : "no", (unsigned long long)s->rule.seed);
    return RC_OK;
}

static void select_report(struct select *s)
{
    for (int k = 0; k < s->n_classes; k++) {
        struct select_class *c = &s->classes[k];

        c->images = s->tallies[k].images;
        c->total = s->tallies[k].total;
        c->threshold =
            select_float(s->rule.flavor == SELECT_EXACT ? s->tallies[k].lowest : s->plans[k].floor);
        if (s->plans[k].base == SELECT_MAX_COPIES && c->total < s->rule.per_class) {
            log_warn("labeler",
                     "class %d has %llu images to choose from: %d copies of each, the "
                     "most there can be, give %llu",
                     k, (unsigned long long)c->images, SELECT_MAX_COPIES,
                     (unsigned long long)c->total);
        }
    }
}

static enum rc select_seal(struct select *s, const char *path, struct selection_info *info,
                           struct err *e)
{
    struct selection_writer *w = NULL;
    enum rc rc = selection_writer_create(path, &w, e);

    if (rc == RC_OK) {
        rc = select_write(s, w, e);
    }
    if (rc == RC_OK) {
        rc = select_describe(s, info, e);
    }
    if (rc == RC_OK) {
        rc = selection_writer_seal(w, info, e);
    }
    selection_writer_close(w);
    return rc;
}

enum rc select_run(struct label_store *labels, const struct select_rule *rule, const char *path,
                   struct select_class *classes, struct selection_info *info, struct err *e)
{
    struct select s = {
        .scan = {.labels = labels, .leave = rule->leave}, .rule = *rule, .classes = classes};
    uint64_t eligible = 0;
    enum rc rc = select_check_rule(rule, e);

    if (rc != RC_OK) {
        return rc;
    }
    s.n_classes = label_store_lineage(labels)->n_classes;
    rc = select_allocate(&s, e);
    if (rc == RC_OK) {
        rc = rule->flavor == SELECT_EXACT ? select_exact(&s, e) : select_noisystudent(&s, e);
    }
    for (int k = 0; k < s.n_classes && rc == RC_OK; k++) {
        eligible += classes[k].eligible;
    }
    if (rc == RC_OK && eligible == 0) {
        rc = err_raise(e, RC_INVAL, "no label in '%s' has a confidence of %g or more",
                       label_store_path(labels), rule->min_confidence);
    }
    if (rc == RC_OK) {
        rc = select_seal(&s, path, info, e);
    }
    if (rc == RC_OK) {
        select_report(&s);
    }
    mem_free(s.plans);
    mem_free(s.cuts);
    mem_free(s.tallies);
    mem_free(s.percent);
    return rc;
}

#include "labeler/select.h"

#include <assert.h>
#include <math.h>
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
    uint64_t images, total;
    uint32_t lowest; /* bits */
};

struct select {
    struct select_scan scan;
    struct select_rule rule;
    int n_classes;
    struct select_plan *plans;    /* (n_classes) */
    struct select_cut *cuts;      /* (n_classes), flavor exact */
    struct select_tally *tallies; /* (threads, n_classes) */
    uint64_t *percent;            /* (threads, n_classes, SELECT_PERCENT), flavor noisystudent */
    struct select_class *classes;
    struct selection_writer *writer;
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

static enum rc select_visit_percent(void *ctx, struct select_shard *s, struct err *e)
{
    const struct select *all = ctx;
    uint64_t *percent = all->percent + (size_t)s->thread * (size_t)all->n_classes * SELECT_PERCENT;

    (void)e;
    for (uint64_t p = 0; p < s->n; p++) {
        const int at = select_percent((double)s->all[p].confidence);

        percent[(size_t)s->all[p].cls * SELECT_PERCENT + (size_t)at] +=
            select_bits(&s->all[p]) >= SELECT_BITS_LEAST;
    }
    return RC_OK;
}

/* Walk the thresholds down until there are N labels or the least confidence is reached. */
static void select_plan_percent(struct select *s, int k, int min)
{
    const uint64_t *bins = s->percent + (size_t)k * SELECT_PERCENT;
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
    const struct select_visitor v = {select_visit_percent, NULL, s};
    const size_t n = (size_t)s->n_classes * SELECT_PERCENT;
    int min = (int)lround(s->rule.min_confidence * 100);
    enum rc rc = RC_OK;

    s->percent = mem_calloc((size_t)s->scan.threads * n, sizeof *s->percent);
    if (s->percent == NULL) {
        return mem_raise(e, "histograms of the classes",
                         (size_t)s->scan.threads * n * sizeof *s->percent);
    }
    rc = select_scan_all(&s->scan, &v, e);
    select_scan_sum(&s->scan, s->percent, n);
    for (int k = 0; k < s->n_classes && rc == RC_OK; k++) {
        s->classes[k] = (struct select_class){0};
        select_plan_percent(s, k, min);
    }
    return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

static enum rc select_draw(const struct select *s, struct select_shard *shard, uint64_t position,
                           double fraction, bool *more, struct err *e)
{
    struct key128 key;
    struct rng draw;
    enum rc rc = RC_OK;

    *more = false;
    if (fraction > 0) {
        rc = select_scan_key(shard, position, &key, e);
        if (rc == RC_OK) {
            rng_init(&draw, s->rule.seed, RNG_SELECT, 0, &key, 0);
            *more = rng_f64(&draw) < fraction;
        }
    }
    return rc;
}

static void select_count(struct select_tally *t, uint32_t bits, uint32_t copies)
{
    t->images++;
    t->total += copies;
    t->lowest = bits < t->lowest ? bits : t->lowest;
}

/* Entries of one shard: v has room for all its labels. */
static enum rc select_entries(const struct select *s, struct select_shard *shard,
                              struct selection_entry *v, struct err *e)
{
    struct select_tally *tallies = s->tallies + (size_t)shard->thread * (size_t)s->n_classes;

    for (uint64_t p = 0; p < shard->n; p++) {
        const uint16_t cls = shard->all[p].cls;
        const struct select_plan *plan = &s->plans[cls];
        const uint32_t bits = select_bits(&shard->all[p]);
        uint32_t copies = plan->base;
        bool more = false;
        enum rc rc = RC_OK;

        if (bits < plan->floor) {
            continue;
        }
        rc = s->rule.flavor == SELECT_EXACT
                 ? select_cut_above(&s->cuts[cls], shard, p, bits, &more, e)
                 : select_draw(s, shard, p, plan->fraction, &more, e);
        if (rc != RC_OK) {
            return rc;
        }
        copies += more;
        if (copies > 0) {
            v[shard->n_made++] = (struct selection_entry){(uint32_t)p, cls, (uint16_t)copies};
            select_count(&tallies[cls], bits, copies);
        }
    }
    return RC_OK;
}

static enum rc select_visit_choose(void *ctx, struct select_shard *shard, struct err *e)
{
    struct selection_entry *v = mem_calloc((size_t)shard->n, sizeof *v);

    if (v == NULL) {
        return mem_raise(e, "a shard's selection", (size_t)shard->n * sizeof *v);
    }
    shard->made = v;
    return select_entries(ctx, shard, v, e);
}

static enum rc select_put(void *ctx, struct select_shard *shard, struct err *e)
{
    const struct select *s = ctx;

    return selection_writer_put(s->writer, label_store_shard(s->scan.labels, shard->i)->shard,
                                shard->made, shard->n_made, e);
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
    size_t tallies = (size_t)s->scan.threads * n;

    s->plans = mem_calloc(n, sizeof *s->plans);
    s->cuts = mem_calloc(n, sizeof *s->cuts);
    s->tallies = mem_calloc(tallies, sizeof *s->tallies);
    if (s->plans == NULL || s->cuts == NULL || s->tallies == NULL) {
        return mem_raise(e, "the plans of the classes", n * sizeof *s->plans);
    }
    for (size_t k = 0; k < tallies; k++) {
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
        info->guards = select_leave_claims(s->rule.leave);
    }
    (void)snprintf(info->rule, sizeof info->rule,
                   "flavor %s, min_confidence %g, per_class %llu, duplicate %s, seed %llu",
                   s->rule.flavor == SELECT_EXACT ? "exact" : "noisystudent",
                   s->rule.min_confidence, (unsigned long long)s->rule.per_class,
                   s->rule.duplicate ? "yes" : "no", (unsigned long long)s->rule.seed);
    return RC_OK;
}

/* The tallies of all threads, in the first's. */
static void select_sum(struct select *s)
{
    for (int t = 1; t < s->scan.threads; t++) {
        for (int k = 0; k < s->n_classes; k++) {
            const struct select_tally *from =
                &s->tallies[(size_t)t * (size_t)s->n_classes + (size_t)k];
            struct select_tally *to = &s->tallies[k];

            to->images += from->images;
            to->total += from->total;
            to->lowest = from->lowest < to->lowest ? from->lowest : to->lowest;
        }
    }
}

static void select_report(struct select *s)
{
    select_sum(s);
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
    const struct select_visitor v = {select_visit_choose, select_put, s};
    enum rc rc = selection_writer_create(path, &s->writer, e);

    if (rc == RC_OK) {
        rc = select_scan_all(&s->scan, &v, e);
    }
    if (rc == RC_OK) {
        rc = select_describe(s, info, e);
    }
    if (rc == RC_OK) {
        rc = selection_writer_seal(s->writer, info, e);
    }
    selection_writer_close(s->writer);
    return rc;
}

enum rc select_run(struct label_store *labels, const struct select_rule *rule, const char *path,
                   struct select_class *classes, struct selection_info *info, struct err *e)
{
    struct select s = {.rule = *rule, .classes = classes};
    uint64_t eligible = 0;
    enum rc rc = select_check_rule(rule, e);

    if (rc != RC_OK) {
        return rc;
    }
    s.n_classes = label_store_lineage(labels)->n_classes;
    rc = select_scan_init(&s.scan, labels, rule->leave, e);
    if (rc == RC_OK) {
        rc = select_allocate(&s, e);
    }
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
    select_scan_release(&s.scan);
    mem_free(s.plans);
    mem_free(s.cuts);
    mem_free(s.tallies);
    mem_free(s.percent);
    return rc;
}

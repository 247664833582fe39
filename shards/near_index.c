#include "shards/near_index.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/mem.h"

/* The loop over a bucket counts bits: with the instruction, where there is one. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define NEAR_CLONES __attribute__((target_clones("popcnt", "default")))
#else
#define NEAR_CLONES
#endif

enum { NEAR_BANDS_MIN = 3, NEAR_BANDS_MAX = 8, NEAR_CHUNK = 256 };

static const double NEAR_BUCKET_COST = 20; /* of looking into a bucket, in comparisons */

struct near_plan {
    int m;
    int shift[NEAR_BANDS_MAX], bits[NEAR_BANDS_MAX];
    int radius[NEAR_BANDS_MAX]; /* of each band; -1: it is not looked at */
    int whole;                  /* the radius asked for */
};

struct near_band {
    uint32_t *start; /* (2^bits + 1) */
    uint64_t *hash;  /* sorted by the band's bits, then id */
    uint32_t *id;
    uint32_t *masks; /* the buckets near bucket 0 */
    size_t n_masks;
};

struct near_index {
    struct near_plan plan;
    struct near_band bands[NEAR_BANDS_MAX];
};

/* ---- the plan ---------------------------------------------------------------------------------- */

static double near_choose(int n, int k)
{
    double c = 1;

    for (int i = 0; i < k; i++) {
        c = c * (n - i) / (i + 1);
    }
    return c;
}

static double near_masks_count(int bits, int radius)
{
    double n = 0;

    for (int k = 0; k <= radius; k++) {
        n += near_choose(bits, k);
    }
    return n;
}

static double near_plan_for(struct near_plan *p, int m, int radius, double n)
{
    double cost = 0;
    int shift = 0;

    p->m = m;
    p->whole = radius;
    for (int i = 0; i < m; i++) {
        p->bits[i] = 64 / m + (i < 64 % m);
        p->shift[i] = shift;
        p->radius[i] = radius / m - (i > radius % m);
        shift += p->bits[i];
        if (p->radius[i] >= 0) {
            cost += near_masks_count(p->bits[i], p->radius[i]) *
                    (NEAR_BUCKET_COST + n / (double)((uint64_t)1 << p->bits[i]));
        }
    }
    return cost;
}

static enum rc near_plan_make(struct near_plan *p, size_t n, int radius, struct err *e)
{
    double best = 0;

    if (radius < 0 || radius > NEAR_RADIUS_MAX) {
        return err_raise(e, RC_INVAL, "a radius of %d bits: expected 0 to %d", radius,
                         NEAR_RADIUS_MAX);
    }
    if (n >= UINT32_MAX) {
        return err_raise(e, RC_INVAL, "%zu hashes: an index holds fewer than 2^32 - 1", n);
    }
    for (int m = NEAR_BANDS_MIN; m <= NEAR_BANDS_MAX; m++) {
        struct near_plan q;
        double cost = near_plan_for(&q, m, radius, (double)n);

        if (m == NEAR_BANDS_MIN || cost < best) {
            best = cost;
            *p = q;
        }
    }
    return RC_OK;
}

static uint32_t near_bits(const struct near_plan *p, int band, uint64_t hash)
{
    return (uint32_t)(hash >> p->shift[band]) & (((uint32_t)1 << p->bits[band]) - 1);
}

/* Whether an earlier band finds the pair as well: it reports it. */
static bool near_earlier(const struct near_plan *p, int band, uint64_t x)
{
    for (int i = 0; i < band; i++) {
        if (p->radius[i] >= 0 && __builtin_popcount(near_bits(p, i, x)) <= p->radius[i]) {
            return true;
        }
    }
    return false;
}

/* ---- a band ------------------------------------------------------------------------------------ */

static void near_band_release(struct near_band *b)
{
    mem_free(b->start);
    mem_free(b->hash);
    mem_free(b->id);
    mem_free(b->masks);
    memset(b, 0, sizeof *b);
}

/* All numbers of `bits` bits with at most `radius` set. */
static enum rc near_band_masks(struct near_band *b, int bits, int radius, struct err *e)
{
    size_t room = (size_t)near_masks_count(bits, radius);
    size_t from = 0;

    b->masks = mem_calloc(room, sizeof *b->masks);
    if (b->masks == NULL) {
        return mem_raise(e, "an index of hashes", room * sizeof *b->masks);
    }
    b->n_masks = 1;
    for (int k = 1; k <= radius; k++) {
        size_t to = b->n_masks;

        for (size_t i = from; i < to; i++) { /* one more bit, above all that are set */
            int low = b->masks[i] == 0 ? 0 : 32 - __builtin_clz(b->masks[i]);

            for (int bit = low; bit < bits; bit++) {
                b->masks[b->n_masks++] = b->masks[i] | (uint32_t)1 << bit;
            }
        }
        from = to;
    }
    return RC_OK;
}

/* A counting sort. */
static void near_band_fill(struct near_band *b, const struct near_plan *p, int band,
                           const uint64_t *hashes, size_t n)
{
    size_t buckets = (size_t)1 << p->bits[band];

    for (size_t i = 0; i < n; i++) {
        if (hashes[i] != 0) {
            b->start[near_bits(p, band, hashes[i]) + 1]++;
        }
    }
    for (size_t i = 0; i < buckets; i++) {
        b->start[i + 1] += b->start[i];
    }
    for (size_t i = n; i-- > 0;) { /* from the end, so that start[v + 1] becomes start[v] */
        if (hashes[i] != 0) {
            uint32_t at = --b->start[near_bits(p, band, hashes[i]) + 1];

            b->hash[at] = hashes[i];
            b->id[at] = (uint32_t)i;
        }
    }
    /* start[v + 1] is now where bucket v begins. */
    memmove(b->start, b->start + 1, buckets * sizeof *b->start);
}

static enum rc near_band_make(struct near_band *b, const struct near_plan *p, int band,
                              const uint64_t *hashes, size_t n, struct err *e)
{
    size_t buckets = (size_t)1 << p->bits[band];
    size_t used = 0;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < n; i++) {
        used += hashes[i] != 0;
    }
    b->start = mem_calloc(buckets + 1, sizeof *b->start);
    b->hash = mem_calloc(used + 1, sizeof *b->hash);
    b->id = mem_calloc(used + 1, sizeof *b->id);
    if (b->start == NULL || b->hash == NULL || b->id == NULL) {
        near_band_release(b);
        return mem_raise(e, "an index of hashes", buckets * 4 + used * 12);
    }
    rc = near_band_masks(b, p->bits[band], p->radius[band], e);
    if (rc != RC_OK) {
        near_band_release(b);
        return rc;
    }
    near_band_fill(b, p, band, hashes, n);
    b->start[buckets] = (uint32_t)used;
    return RC_OK;
}

/* How many of hashes [from, to) are within the radius: neither branch nor store, so that a processor
 * that counts the bits of eight words at a time does. */
static inline __attribute__((always_inline)) size_t near_count(const uint64_t *hashes, size_t from,
                                                               size_t to, uint64_t hash, int radius)
{
    size_t n = 0;

    for (size_t i = from; i < to; i++) {
        n += __builtin_popcountll(hashes[i] ^ hash) <= radius;
    }
    return n;
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vpopcntdq"))) static size_t near_count_wide(
    const uint64_t *hashes, size_t from, size_t to, uint64_t hash, int radius)
{
    return near_count(hashes, from, to, hash, radius);
}

/* Whether the loop over [from, to) below would find nothing. */
static bool near_none(const uint64_t *hashes, size_t from, size_t to, uint64_t hash, int radius)
{
    return __builtin_cpu_supports("avx512vpopcntdq") &&
           near_count_wide(hashes, from, to, hash, radius) == 0;
}
#else
static bool near_none(const uint64_t *hashes, size_t from, size_t to, uint64_t hash, int radius)
{
    (void)hashes, (void)from, (void)to, (void)hash, (void)radius;
    return false;
}
#endif

/* Indices from `from` on, below `to`, whose hashes are within the radius: at most NEAR_CHUNK, into out.
 * *next: where to go on. */
NEAR_CLONES static size_t near_scan(const uint64_t *hashes, size_t from, size_t to, uint64_t hash,
                                    int radius, uint32_t out[NEAR_CHUNK], size_t *next)
{
    size_t end = to - from > NEAR_CHUNK ? from + NEAR_CHUNK : to;
    size_t n = 0;

    *next = end;
    if (near_none(hashes, from, end, hash, radius)) {
        return 0;
    }
    for (size_t i = from; i < end; i++) {
        out[n] = (uint32_t)i;
        n += __builtin_popcountll(hashes[i] ^ hash) <= radius;
    }
    return n;
}

/* ---- searching --------------------------------------------------------------------------------- */

enum rc near_index_create(const uint64_t *hashes, size_t n, int radius, struct near_index **out,
                          struct err *e)
{
    struct near_index *x = mem_calloc(1, sizeof *x);
    enum rc rc = x != NULL ? near_plan_make(&x->plan, n, radius, e)
                           : mem_raise(e, "an index of hashes", sizeof *x);

    for (int i = 0; rc == RC_OK && i < x->plan.m; i++) {
        if (x->plan.radius[i] >= 0) {
            rc = near_band_make(&x->bands[i], &x->plan, i, hashes, n, e);
        }
    }
    if (rc != RC_OK) {
        near_index_destroy(x);
        return rc;
    }
    *out = x;
    return RC_OK;
}

void near_index_destroy(struct near_index *x)
{
    if (x != NULL) {
        for (int i = 0; i < NEAR_BANDS_MAX; i++) {
            near_band_release(&x->bands[i]);
        }
        mem_free(x);
    }
}

int near_index_bands(const struct near_index *x)
{
    return x->plan.m;
}

static enum rc near_search_bucket(const struct near_index *x, int band, uint32_t bucket,
                                  uint64_t hash, near_visit *visit, void *ctx, struct err *e)
{
    const struct near_band *b = &x->bands[band];
    uint32_t found[NEAR_CHUNK];
    enum rc rc = RC_OK;

    for (size_t at = b->start[bucket]; at < b->start[bucket + 1] && rc == RC_OK;) {
        size_t n = near_scan(b->hash, at, b->start[bucket + 1], hash, x->plan.whole, found, &at);

        for (size_t i = 0; i < n && rc == RC_OK; i++) {
            uint64_t differ = b->hash[found[i]] ^ hash;

            if (!near_earlier(&x->plan, band, differ)) {
                rc = visit(ctx, b->id[found[i]], __builtin_popcountll(differ), e);
            }
        }
    }
    return rc;
}

enum rc near_index_search(const struct near_index *x, uint64_t hash, near_visit *visit, void *ctx,
                          struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < x->plan.m && hash != 0; i++) {
        uint32_t bucket = near_bits(&x->plan, i, hash);

        for (size_t k = 0; k < x->bands[i].n_masks && rc == RC_OK; k++) {
            rc = near_search_bucket(x, i, bucket ^ x->bands[i].masks[k], hash, visit, ctx, e);
        }
    }
    return rc;
}

/* ---- all pairs --------------------------------------------------------------------------------- */

struct near_pairs {
    struct near_pair *all;
    size_t n, room;
};

static enum rc near_pairs_add(struct near_pairs *p, uint32_t a, uint32_t b, int distance,
                              struct err *e)
{
    if (p->n == p->room) {
        size_t room = p->room == 0 ? 1024 : 2 * p->room;
        struct near_pair *more = mem_realloc(p->all, room, sizeof *more);

        if (more == NULL) {
            return mem_raise(e, "pairs of hashes", room * sizeof *more);
        }
        p->all = more;
        p->room = room;
    }
    p->all[p->n++] = (struct near_pair){a < b ? a : b, a < b ? b : a, (uint32_t)distance};
    return RC_OK;
}

/* The pairs between a hash and a bucket, of which those behind `from` count. */
static enum rc near_pairs_bucket(const struct near_plan *p, int band, const struct near_band *b,
                                 size_t at, size_t from, size_t to, struct near_pairs *pairs,
                                 struct err *e)
{
    uint32_t found[NEAR_CHUNK];
    enum rc rc = RC_OK;

    while (from < to && rc == RC_OK) {
        size_t n = near_scan(b->hash, from, to, b->hash[at], p->whole, found, &from);

        for (size_t i = 0; i < n && rc == RC_OK; i++) {
            uint64_t differ = b->hash[found[i]] ^ b->hash[at];

            if (!near_earlier(p, band, differ)) {
                rc = near_pairs_add(pairs, b->id[at], b->id[found[i]], __builtin_popcountll(differ),
                                    e);
            }
        }
    }
    return rc;
}

/* A bucket with itself and with those nearby that come after it: near things stay in the cache. */
static enum rc near_pairs_of(const struct near_plan *p, int band, const struct near_band *b,
                             uint32_t bucket, struct near_pairs *pairs, struct err *e)
{
    enum rc rc = RC_OK;

    for (size_t k = 0; k < b->n_masks && b->start[bucket] < b->start[bucket + 1]; k++) {
        uint32_t other = bucket ^ b->masks[k];

        for (size_t at = b->start[bucket];
             at < b->start[bucket + 1] && other >= bucket && rc == RC_OK; at++) {
            size_t from = other == bucket ? at + 1 : b->start[other];

            rc = near_pairs_bucket(p, band, b, at, from, b->start[other + 1], pairs, e);
        }
    }
    return rc;
}

static enum rc near_pairs_join(struct near_pairs *to, const struct near_pairs *from, struct err *e)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i < from->n && rc == RC_OK; i++) {
        rc = near_pairs_add(to, from->all[i].a, from->all[i].b, (int)from->all[i].distance, e);
    }
    return rc;
}

static enum rc near_pairs_band(const struct near_plan *p, int band, const struct near_band *b,
                               struct near_pairs *out, struct err *e)
{
    int64_t buckets = (int64_t)1 << p->bits[band];
    enum rc first = RC_OK;
    atomic_bool failed = false;

#pragma omp parallel
    {
        struct near_pairs mine = {NULL, 0, 0};
        struct err err = {0};
        enum rc rc = RC_OK;

#pragma omp for schedule(dynamic, 64)
        for (int64_t v = 0; v < buckets; v++) {
            if (rc == RC_OK && !atomic_load_explicit(&failed, memory_order_relaxed)) {
                rc = near_pairs_of(p, band, b, (uint32_t)v, &mine, &err);
                if (rc != RC_OK) {
                    atomic_store(&failed, true);
                }
            }
        }
#pragma omp critical(near_pairs_joined)
        {
            if (rc == RC_OK && first == RC_OK) {
                rc = near_pairs_join(out, &mine, &err);
            }
            if (rc != RC_OK && first == RC_OK) {
                first = err_raise(e, rc, "%s", err.msg);
            }
        }
        mem_free(mine.all);
    }
    return first;
}

enum rc near_index_pairs(const uint64_t *hashes, size_t n, int radius, struct near_pair **out,
                         size_t *n_out, struct err *e)
{
    struct near_plan p;
    struct near_pairs pairs = {NULL, 0, 0};
    enum rc rc = near_plan_make(&p, n, radius, e);

    for (int i = 0; rc == RC_OK && i < p.m; i++) {
        struct near_band b = {NULL, NULL, NULL, NULL, 0};

        if (p.radius[i] < 0) {
            continue;
        }
        rc = near_band_make(&b, &p, i, hashes, n, e);
        if (rc == RC_OK) {
            rc = near_pairs_band(&p, i, &b, &pairs, e);
        }
        near_band_release(&b);
    }
    if (rc != RC_OK) {
        mem_free(pairs.all);
        return rc;
    }
    *out = pairs.all;
    *n_out = pairs.n;
    return RC_OK;
}

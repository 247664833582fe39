#include "shards/epoch_order.h"

#include <assert.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"

enum {
    ORDER_WINDOW = 8,       /* shards, by default */
    ORDER_MAX_WINDOW = 256, /* slot has 8 bits */
    ORDER_MAX_COPIES = 1 << 24,
    ORDER_SMALL = 24 /* items sorted by insertion */
};

/* 12 bytes. Order: hash, then place, then position, so that equal hashes have one order too. */
struct order_item {
    uint32_t hash;
    uint32_t place; /* slot of the shard in its window << 24 | copy */
    uint32_t position;
};

struct epoch_order {
    struct epoch_order_config config;
    int shards;
    uint64_t length;
    uint64_t *lost;     /* (shards) copies of forgotten images; NULL: none */
    uint32_t *shuffled; /* (shards) of the epoch */
    bool has_epoch;
    uint64_t epoch;
    int first, next;     /* the window is shuffled[first .. next) */
    uint64_t begin, end; /* and holds these items of the epoch */
    int loaded;          /* first of the window in items; -1 none */
    struct order_item *items;
    size_t n_items, capacity;
};

static uint64_t order_shard_items(const struct epoch_order *o, int shard)
{
    const struct corpus *c = o->config.corpus;

    if (o->config.selection != NULL) {
        return selection_total(o->config.selection, shard) - (o->lost != NULL ? o->lost[shard] : 0);
    }
    return corpus_labeled(c) ? corpus_shard(c, shard)->occurrences
                             : corpus_shard(c, shard)->images - corpus_shard_forgotten(c, shard);
}

/* Copies of a selection whose images were forgotten since it was made. */
static enum rc order_count_lost(struct epoch_order *o, struct err *e)
{
    enum rc rc = RC_OK;

    if (o->config.selection == NULL || corpus_forgotten(o->config.corpus) == 0) {
        return RC_OK;
    }
    o->lost = mem_calloc((size_t)o->shards, sizeof *o->lost);
    if (o->lost == NULL) {
        return mem_raise(e, "an epoch's shards", (size_t)o->shards * sizeof *o->lost);
    }
    for (int i = 0; i < selection_info(o->config.selection)->shards && rc == RC_OK; i++) {
        const struct selection_entry *entries = NULL;
        uint64_t n = 0;
        uint64_t total = 0;

        if (corpus_shard_forgotten(o->config.corpus, i) > 0) {
            rc = selection_shard(o->config.selection, i, &entries, &n, &total, e);
        }
        for (uint64_t k = 0; k < n && rc == RC_OK; k++) {
            if (corpus_is_forgotten(o->config.corpus, i, entries[k].position)) {
                o->lost[i] += entries[k].copies;
            }
        }
    }
    return rc;
}

enum rc epoch_order_create(const struct epoch_order_config *c, struct epoch_order **out,
                           struct err *e)
{
    struct epoch_order *o = NULL;
    enum rc rc = RC_OK;
    int shards = corpus_shards(c->corpus);

    if (c->window < 0 || c->window > ORDER_MAX_WINDOW) {
        return err_raise(e, RC_INVAL, "a window of %d shards: expected 1 to %d", c->window,
                         ORDER_MAX_WINDOW);
    }
    if (c->selection != NULL && selection_info(c->selection)->shards > shards) {
        return err_raise(e, RC_INVAL,
                         "the selection covers %d shards but the corpus '%s' has %d: it was made "
                         "from another corpus",
                         selection_info(c->selection)->shards, corpus_path(c->corpus), shards);
    }
    o = mem_calloc(1, sizeof *o);
    if (o == NULL) {
        return mem_raise(e, "an epoch's order", sizeof *o);
    }
    o->config = *c;
    o->config.window = c->window == 0 ? ORDER_WINDOW : c->window;
    o->shards = shards;
    o->loaded = -1;
    o->shuffled = mem_calloc((size_t)shards, sizeof *o->shuffled);
    if (o->shuffled == NULL) {
        rc = mem_raise(e, "an epoch's shards", (size_t)shards * sizeof *o->shuffled);
        goto out;
    }
    rc = order_count_lost(o, e);
    if (rc != RC_OK) {
        goto out;
    }
    for (int i = 0; i < shards; i++) {
        o->length += order_shard_items(o, i);
    }
    *out = o;
    o = NULL;
out:
    epoch_order_destroy(o);
    return rc;
}

void epoch_order_destroy(struct epoch_order *o)
{
    if (o != NULL) {
        mem_free(o->lost);
        mem_free(o->shuffled);
        mem_free(o->items);
        mem_free(o);
    }
}

uint64_t epoch_order_length(const struct epoch_order *o)
{
    return o->length;
}

static void order_to_start(struct epoch_order *o)
{
    o->first = 0;
    o->next = 0;
    o->begin = 0;
    o->end = 0;
}

static void order_shuffle(struct epoch_order *o, uint64_t epoch)
{
    static const struct key128 whole_epoch = {{0}};
    struct rng r;

    rng_init(&r, o->config.seed, RNG_ORDER, epoch, &whole_epoch, 0);
    for (int i = 0; i < o->shards; i++) {
        o->shuffled[i] = (uint32_t)i;
    }
    for (int i = o->shards - 1; i > 0; i--) {
        uint32_t j = rng_below(&r, (uint32_t)i + 1);
        uint32_t t = o->shuffled[i];

        o->shuffled[i] = o->shuffled[j];
        o->shuffled[j] = t;
    }
    o->epoch = epoch;
    o->has_epoch = true;
    o->loaded = -1;
    order_to_start(o);
}

static void order_next_window(struct epoch_order *o)
{
    o->first = o->next;
    o->begin = o->end;
    for (int i = 0; i < o->config.window && o->next < o->shards; i++) {
        o->end += order_shard_items(o, (int)o->shuffled[o->next++]);
    }
}

/* ---- one window's items --------------------------------------------------------------------- */

static void order_big_endian(uint8_t *b, uint32_t x)
{
    b[0] = (uint8_t)(x >> 24);
    b[1] = (uint8_t)(x >> 16);
    b[2] = (uint8_t)(x >> 8);
    b[3] = (uint8_t)x;
}

static enum rc order_add(struct epoch_order *o, int slot, uint32_t position, uint32_t copies,
                         struct err *e)
{
    int shard = (int)o->shuffled[o->first + slot];
    struct key128 id = {{0}};

    if (corpus_is_forgotten(o->config.corpus, shard, position)) {
        return RC_OK;
    }
    if (copies > ORDER_MAX_COPIES || copies > o->capacity - o->n_items) {
        return err_raise(
            e, RC_CORRUPT, "shard '%s' of '%s' has more items than its manifest or selection says",
            corpus_shard(o->config.corpus, shard)->name, corpus_path(o->config.corpus));
    }
    order_big_endian(id.b, (uint32_t)shard);
    order_big_endian(id.b + 4, position);
    for (uint32_t copy = 0; copy < copies; copy++) {
        struct order_item *item = &o->items[o->n_items++];

        item->hash = (uint32_t)(rng_hash64(o->config.seed, o->epoch, &id, copy) >> 32);
        item->place = (uint32_t)slot << 24 | copy;
        item->position = position;
    }
    return RC_OK;
}

static enum rc order_add_selected(struct epoch_order *o, int slot, struct err *e)
{
    int shard = (int)o->shuffled[o->first + slot];
    uint64_t images = corpus_shard(o->config.corpus, shard)->images;
    const struct selection_entry *entries = NULL;
    uint64_t n = 0;
    uint64_t total = 0;
    enum rc rc = selection_shard(o->config.selection, shard, &entries, &n, &total, e);

    for (uint64_t i = 0; i < n && rc == RC_OK; i++) {
        if (entries[i].position >= images) {
            return err_raise(e, RC_CORRUPT,
                             "the selection names image %u of shard '%s', which has %llu",
                             entries[i].position, corpus_shard(o->config.corpus, shard)->name,
                             (unsigned long long)images);
        }
        rc = order_add(o, slot, entries[i].position, entries[i].copies, e);
    }
    return rc == RC_OK ? selection_check(o->config.selection, e) : rc;
}

static enum rc order_add_occurrences(struct epoch_order *o, int slot, struct err *e)
{
    int shard = (int)o->shuffled[o->first + slot];
    struct shard_reader *reader = NULL;
    enum rc rc = shard_reader_open(o->config.corpus, shard, o->config.trust, &reader, e);
    uint64_t n = rc == RC_OK ? shard_reader_count(reader) : 0;
    const struct shard_index_entry *index = rc == RC_OK ? shard_reader_index(reader) : NULL;

    for (uint64_t i = 0; i < n && rc == RC_OK; i++) {
        rc = order_add(o, slot, (uint32_t)i, index[i].n_occurrences, e);
    }
    rc = rc == RC_OK ? shard_reader_check(reader, e) : rc; /* the index lies in the map */
    shard_reader_close(reader);
    return rc;
}

static enum rc order_add_shard(struct epoch_order *o, int slot, struct err *e)
{
    const struct corpus_shard *s =
        corpus_shard(o->config.corpus, (int)o->shuffled[o->first + slot]);
    enum rc rc = RC_OK;

    if (o->config.selection != NULL) {
        return order_add_selected(o, slot, e);
    }
    if (corpus_labeled(o->config.corpus) &&
        (s->occurrences != s->images || corpus_forgotten(o->config.corpus) > 0)) {
        return order_add_occurrences(o, slot, e);
    }
    for (uint64_t i = 0; i < s->images && rc == RC_OK; i++) {
        rc = order_add(o, slot, (uint32_t)i, 1, e);
    }
    return rc;
}

/* ---- sorting: in place, since a window may be large ----------------------------------------- */

static bool order_less(const struct order_item *a, const struct order_item *b)
{
    uint64_t ka = (uint64_t)a->hash << 32 | a->place;
    uint64_t kb = (uint64_t)b->hash << 32 | b->place;

    return ka != kb ? ka < kb : a->position < b->position;
}

static void order_insertion_sort(struct order_item *v, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct order_item x = v[i];
        size_t j = i;

        for (; j > 0 && order_less(&x, &v[j - 1]); j--) {
            v[j] = v[j - 1];
        }
        v[j] = x;
    }
}

/* A radix sort in place over the hash's bytes, most significant first; hashes are uniform, so the
 * buckets are even and soon small. */
static void order_sort(struct order_item *v, size_t n, int shift)
{
    size_t begin[256];
    size_t end[256];
    size_t count[256] = {0};
    size_t sum = 0;

    if (n <= ORDER_SMALL || shift < 0) {
        order_insertion_sort(v, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        count[v[i].hash >> shift & 255]++;
    }
    for (int b = 0; b < 256; b++) {
        begin[b] = sum;
        sum += count[b];
        end[b] = sum;
    }
    for (unsigned b = 0; b < 256; b++) {
        while (begin[b] < end[b]) {
            struct order_item x = v[begin[b]];
            unsigned to = x.hash >> shift & 255;

            while (to != b) {
                struct order_item y = v[begin[to]];

                v[begin[to]++] = x;
                x = y;
                to = x.hash >> shift & 255;
            }
            v[begin[b]++] = x;
        }
    }
    for (int b = 0; b < 256; b++) {
        order_sort(v + end[b] - count[b], count[b], shift - 8);
    }
}

static enum rc order_load(struct epoch_order *o, struct err *e)
{
    uint64_t n = o->end - o->begin;
    enum rc rc = RC_OK;

    o->loaded = -1;
    o->n_items = 0;
    if (n > o->capacity) {
        struct order_item *items = mem_realloc(o->items, (size_t)n, sizeof *items);

        if (items == NULL) {
            return mem_raise(e, "the items of a window of shards", (size_t)n * sizeof *items);
        }
        o->items = items;
        o->capacity = (size_t)n;
    }
    for (int slot = 0; slot < o->next - o->first && rc == RC_OK; slot++) {
        rc = order_add_shard(o, slot, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    if (o->n_items != n) {
        return err_raise(e, RC_CORRUPT,
                         "a window of '%s' has %zu items where its manifest or selection says %llu",
                         corpus_path(o->config.corpus), o->n_items, (unsigned long long)n);
    }
    order_sort(o->items, o->n_items, 24);
    o->loaded = o->first;
    return RC_OK;
}

enum rc epoch_order_at(struct epoch_order *o, uint64_t t, struct epoch_item *out, struct err *e)
{
    const struct order_item *item = NULL;
    uint64_t epoch = 0;
    uint64_t at = 0;
    enum rc rc = RC_OK;

    if (o->length == 0) {
        return err_raise(e, RC_INVAL, "there is nothing to read in '%s'%s",
                         corpus_path(o->config.corpus),
                         o->config.selection != NULL ? ": the selection is empty" : "");
    }
    epoch = t / o->length;
    at = t % o->length;
    if (!o->has_epoch || epoch != o->epoch) {
        order_shuffle(o, epoch);
    }
    if (at < o->begin) {
        order_to_start(o);
    }
    while (at >= o->end) {
        assert(o->next < o->shards);
        order_next_window(o);
    }
    if (o->loaded != o->first) {
        rc = order_load(o, e);
    }
    if (rc == RC_OK) {
        item = &o->items[at - o->begin];
        out->shard = (int)o->shuffled[o->first + (int)(item->place >> 24)];
        out->position = item->position;
        out->copy = item->place & 0xFFFFFFu;
        out->epoch = epoch;
    }
    return rc;
}

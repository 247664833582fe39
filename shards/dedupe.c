#include "shards/dedupe.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/image/phash.h"
#include "shards/json_bytes.h"
#include "shards/near_hashes.h"
#include "shards/near_index.h"

static const uint32_t DEDUPE_NONE = UINT32_MAX;

struct dedupe_image {
    struct key128 key;
    uint64_t hash;
};

struct dedupe {
    const struct dedupe_config *config;
    struct dedupe_result *result;
    struct dedupe_image *entries; /* (n), corpus after corpus */
    size_t n, room;
    size_t *ends;       /* (config.n) of each corpus in entries */
    uint32_t *keeper;   /* (n) what an image is near, or DEDUPE_NONE */
    uint64_t *distinct; /* (n_distinct) hashes */
    uint32_t *first;    /* (n_distinct) the first image that has it */
    size_t n_distinct;
};

/* ---- reading ----------------------------------------------------------------------------------- */

static enum rc dedupe_room(struct dedupe *d, uint64_t more, struct err *e)
{
    size_t room = d->n + (size_t)more;
    struct dedupe_image *entries = mem_realloc(d->entries, room + 1, sizeof *entries);

    if (entries == NULL) {
        return mem_raise(e, "hashes", room * sizeof *entries);
    }
    d->entries = entries;
    d->room = room;
    return RC_OK;
}

static enum rc dedupe_read_shard(struct dedupe *d, struct corpus *c, int shard, struct err *e)
{
    struct near_hashes h;
    enum rc rc = RC_OK;

    if (d->config->stop != NULL && *d->config->stop) {
        return err_raise(e, RC_REQUEUE, "stopped: nothing was written");
    }
    rc = near_hashes_open(c, shard, &h, e);
    if (rc != RC_OK) {
        return rc;
    }
    for (uint64_t i = 0; i < h.n; i++) {
        if (!corpus_is_forgotten(c, shard, (uint32_t)i)) {
            d->entries[d->n++] = (struct dedupe_image){h.entries[i].key, h.entries[i].hash};
            d->result->blank += h.entries[i].hash == 0;
        }
    }
    near_hashes_close(&h);
    return RC_OK;
}

static enum rc dedupe_read(struct dedupe *d, struct err *e)
{
    struct progress progress = {0};
    enum rc rc = RC_OK;

    progress_begin(&progress, "dedupe", "images", 0, 0);
    for (int i = 0; i < d->config->n && rc == RC_OK; i++) {
        struct corpus *c = NULL;

        rc = corpus_open(d->config->corpora[i], &c, e);
        if (rc == RC_OK) {
            rc = dedupe_room(d, corpus_images(c), e);
        }
        for (int s = 0; rc == RC_OK && s < corpus_shards(c); s++) {
            rc = dedupe_read_shard(d, c, s, e);
            progress_update(&progress, (int64_t)d->n, NULL);
        }
        d->ends[i] = d->n;
        corpus_close(c);
    }
    progress_end(&progress, NULL);
    if (rc == RC_OK && d->n >= UINT32_MAX) {
        rc = err_raise(e, RC_INVAL, "%zu images: dedupe takes fewer than 2^32 - 1 at a time", d->n);
    }
    d->result->images = d->n;
    return rc;
}

/* ---- equal hashes ------------------------------------------------------------------------------ */

static size_t dedupe_slot(const struct dedupe *d, const uint32_t *slots, size_t n_slots,
                          uint64_t hash)
{
    size_t at = (size_t)(hash * 0x9e3779b97f4a7c15u >> 20) & (n_slots - 1);

    while (slots[at] != DEDUPE_NONE && d->distinct[slots[at]] != hash) {
        at = (at + 1) & (n_slots - 1);
    }
    return at;
}

/* Distinct hashes with their first image; keeper of the others is that image. */
static enum rc dedupe_distinct(struct dedupe *d, struct err *e)
{
    size_t n_slots = 16;
    uint32_t *slots = NULL;

    while (n_slots < 2 * d->n) {
        n_slots *= 2;
    }
    slots = mem_calloc(n_slots, sizeof *slots);
    d->keeper = mem_calloc(d->n + 1, sizeof *d->keeper);
    d->distinct = mem_calloc(d->n + 1, sizeof *d->distinct);
    d->first = mem_calloc(d->n + 1, sizeof *d->first);
    if (slots == NULL || d->keeper == NULL || d->distinct == NULL || d->first == NULL) {
        mem_free(slots);
        return mem_raise(e, "hashes", n_slots * sizeof *slots + d->n * 16);
    }
    memset(slots, 0xff, n_slots * sizeof *slots);
    for (size_t i = 0; i < d->n; i++) {
        size_t at = 0;

        d->keeper[i] = DEDUPE_NONE;
        if (d->entries[i].hash == 0) {
            continue;
        }
        at = dedupe_slot(d, slots, n_slots, d->entries[i].hash);
        if (slots[at] != DEDUPE_NONE) {
            d->keeper[i] = d->first[slots[at]];
            continue;
        }
        slots[at] = (uint32_t)d->n_distinct;
        d->distinct[d->n_distinct] = d->entries[i].hash;
        d->first[d->n_distinct++] = (uint32_t)i;
    }
    mem_free(slots);
    return RC_OK;
}

/* ---- near hashes ------------------------------------------------------------------------------- */

/* By the later image, then the nearer, then the earlier one. */
static int dedupe_compare(const void *a, const void *b)
{
    const struct near_pair *x = a;
    const struct near_pair *y = b;

    if (x->b != y->b) {
        return x->b < y->b ? -1 : 1;
    }
    if (x->distance != y->distance) {
        return x->distance < y->distance ? -1 : 1;
    }
    return x->a < y->a ? -1 : x->a > y->a;
}

/* In order: an image goes to the nearest that is kept. Distinct hashes are in order of first images. */
static enum rc dedupe_decide(struct dedupe *d, struct err *e)
{
    struct near_pair *pairs = NULL;
    size_t n = 0;
    enum rc rc = near_index_pairs(d->distinct, d->n_distinct, d->config->radius, &pairs, &n, e);

    if (rc != RC_OK) {
        return rc;
    }
    if (n > 0) {
        qsort(pairs, n, sizeof *pairs, dedupe_compare);
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t later = d->first[pairs[i].b];
        uint32_t earlier = d->first[pairs[i].a];

        if (d->keeper[later] == DEDUPE_NONE && d->keeper[earlier] == DEDUPE_NONE) {
            d->keeper[later] = earlier;
        }
    }
    mem_free(pairs);
    for (size_t i = 0; i < d->n; i++) { /* of equal hashes the first may have gone itself */
        if (d->keeper[i] != DEDUPE_NONE && d->keeper[d->keeper[i]] != DEDUPE_NONE) {
            d->keeper[i] = d->keeper[d->keeper[i]];
        }
    }
    return RC_OK;
}

static enum rc dedupe_count(struct dedupe *d, struct err *e)
{
    bool *keeps = mem_calloc(d->n + 1, sizeof *keeps);

    if (keeps == NULL) {
        return mem_raise(e, "groups", d->n);
    }
    for (size_t i = 0; i < d->n; i++) {
        uint32_t k = d->keeper[i];

        if (k != DEDUPE_NONE) {
            d->result->dropped++;
            d->result->same += d->entries[i].hash == d->entries[k].hash;
            d->result->groups += !keeps[k];
            keeps[k] = true;
        }
    }
    mem_free(keeps);
    return RC_OK;
}

/* ---- the list ---------------------------------------------------------------------------------- */

static enum rc dedupe_line(const struct dedupe *d, size_t i, const char *corpus, struct fs_file *f,
                           struct err *e)
{
    const struct dedupe_image *kept = &d->entries[d->keeper[i]];
    char key[HASH_HEX_KEY];
    char near[HASH_HEX_KEY];
    json_t *o = NULL;
    char *text = NULL;
    enum rc rc = RC_OK;

    hash_key_hex(&d->entries[i].key, key);
    hash_key_hex(&kept->key, near);
    o = json_pack("{s:s,s:s,s:i}", "key", key, "near", near, "distance",
                  phash_distance(d->entries[i].hash, kept->hash));
    rc = o != NULL ? json_bytes_set(o, "corpus", corpus, strlen(corpus), e)
                   : mem_raise(e, "a line", 0);
    if (rc == RC_OK) {
        text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
        rc = text != NULL ? fs_file_append(f, text, strlen(text), e) : mem_raise(e, "a line", 0);
    }
    if (rc == RC_OK) {
        rc = fs_file_append(f, "\n", 1, e);
    }
    free(text);
    json_decref(o);
    return rc;
}

static enum rc dedupe_write(const struct dedupe *d, struct err *e)
{
    struct fs_file *f = NULL;
    int corpus = 0;
    enum rc rc = RC_OK;

    if (d->config->out == NULL) {
        return RC_OK;
    }
    rc = fs_file_create(d->config->out, &f, e);
    for (size_t i = 0; i < d->n && rc == RC_OK; i++) {
        while (i >= d->ends[corpus]) {
            corpus++;
        }
        if (d->keeper[i] != DEDUPE_NONE) {
            rc = dedupe_line(d, i, d->config->corpora[corpus], f, e);
        }
    }
    if (rc != RC_OK) {
        fs_file_discard(f);
        return rc;
    }
    return fs_file_commit(f, e);
}

enum rc dedupe_run(const struct dedupe_config *config, struct dedupe_result *result, struct err *e)
{
    struct dedupe d = {.config = config, .result = result};
    double start = clock_now();
    enum rc rc = RC_OK;

    memset(result, 0, sizeof *result);
    d.ends = mem_calloc((size_t)config->n, sizeof *d.ends);
    rc = d.ends != NULL ? dedupe_read(&d, e) : mem_raise(e, "corpora", (size_t)config->n);
    result->read_s = clock_now() - start;
    start = clock_now();
    if (rc == RC_OK) {
        rc = dedupe_distinct(&d, e);
    }
    if (rc == RC_OK) {
        rc = dedupe_decide(&d, e);
    }
    result->search_s = clock_now() - start;
    if (rc == RC_OK) {
        rc = dedupe_count(&d, e);
    }
    if (rc == RC_OK) {
        rc = dedupe_write(&d, e);
    }
    mem_free(d.first);
    mem_free(d.distinct);
    mem_free(d.keeper);
    mem_free(d.entries);
    mem_free(d.ends);
    return rc;
}

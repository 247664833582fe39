#include "shards/near_hashes.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/image/phash.h"
#include "shards/corpus_impl.h"
#include "shards/flat_file.h"

static const char near_kind[] = "PRCHASH1";

/* Body: digest of the shard, count, entries. */
enum { NEAR_COUNT = 32, NEAR_ENTRIES = 40 };

static char *near_path(const char *dir, int i)
{
    return mem_sprintf("%s/hashes-%06d.bin", dir, i);
}

enum rc near_hashes_write(const char *dir, int i, const struct digest *shard,
                          const struct near_entry *entries, uint64_t n, struct err *e)
{
    size_t bytes = NEAR_ENTRIES + (size_t)n * sizeof *entries;
    char *path = near_path(dir, i);
    unsigned char *block = NULL;
    enum rc rc = path != NULL ? flat_file_create(bytes, &block, e) : mem_raise(e, "a path", 0);

    if (rc == RC_OK) {
        memcpy(block + FLAT_FILE_HEAD, shard, sizeof *shard);
        memcpy(block + FLAT_FILE_HEAD + NEAR_COUNT, &n, sizeof n);
        memcpy(block + FLAT_FILE_HEAD + NEAR_ENTRIES, entries, (size_t)n * sizeof *entries);
        rc = flat_file_write(path, near_kind, block, bytes, e);
    }
    mem_free(block);
    mem_free(path);
    return rc;
}

enum rc near_hashes_seal(const char *dir, int i, const struct digest *shard,
                         const struct pending *sealed, struct err *e)
{
    uint32_t n = pending_count(sealed);
    struct near_entry *entries = mem_calloc(n, sizeof *entries);
    bool all = true;
    enum rc rc = RC_OK;

    if (entries == NULL) {
        return mem_raise(e, "hashes", n * sizeof *entries);
    }
    for (uint32_t k = 0; k < n; k++) {
        entries[k].key = pending_at(sealed, k)->key;
        entries[k].hash = pending_at(sealed, k)->phash;
        entries[k].occurrences = pending_at(sealed, k)->n_occurrences;
        all = all && pending_at(sealed, k)->hashed;
    }
    if (all) {
        rc = near_hashes_write(dir, i, shard, entries, n, e);
    }
    mem_free(entries);
    return rc;
}

/* *fit: it is of this shard. */
static enum rc near_read(const char *path, const struct corpus_shard *s, struct near_hashes *out,
                         bool *fit, struct err *e)
{
    unsigned char *block = NULL;
    size_t bytes = 0;
    enum rc rc = flat_file_read(path, near_kind, &block, &bytes, e);

    *fit = rc == RC_OK && block != NULL &&
           bytes == NEAR_ENTRIES + (size_t)s->images * sizeof *out->entries &&
           memcmp(block + FLAT_FILE_HEAD, &s->digest, sizeof s->digest) == 0;
    if (!*fit) {
        mem_free(block);
        return rc;
    }
    out->block = block;
    out->entries = (const void *)(block + FLAT_FILE_HEAD + NEAR_ENTRIES);
    out->n = s->images;
    return RC_OK;
}

static enum rc near_hash_record(struct codec *k, const struct shard_record *rec, uint64_t *hash,
                                uint64_t *bad, struct err *e)
{
    enum image_reason why = IMAGE_OK;
    struct image image;
    enum rc rc = image_decode(k, rec->data, rec->bytes, 3, &image, &why, e);

    *hash = 0;
    *bad += rc == RC_INVAL;
    if (rc == RC_INVAL) { /* packed by its header */
        err_clear(e);
        return RC_OK;
    }
    return rc == RC_OK ? phash_image(k, &image, hash, e) : rc;
}

static enum rc near_make(struct shard_reader *r, const char *name, struct near_entry *entries,
                         struct err *e)
{
    struct codec *k = NULL;
    uint64_t bad = 0;
    enum rc rc = codec_create(&k, e);

    for (uint64_t p = 0; p < shard_reader_count(r) && rc == RC_OK; p++) {
        struct shard_record rec;

        rc = shard_reader_get(r, p, &rec, e);
        if (rc == RC_OK) {
            entries[p].key = rec.key;
            entries[p].occurrences = (uint32_t)rec.n_occurrences;
            rc = near_hash_record(k, &rec, &entries[p].hash, &bad, e);
        }
        if (rc == RC_OK) {
            rc = shard_reader_check(r, e);
        }
    }
    codec_destroy(k);
    if (rc == RC_OK && bad > 0) {
        log_warn(
            "shards",
            "%llu images of '%s' cannot be decoded: nobody can tell what they look like; label "
            "lists them and nothing trains on them",
            (unsigned long long)bad, name);
    }
    return rc;
}

static enum rc near_remake(struct corpus *c, int i, struct near_hashes *out, struct err *e)
{
    struct corpus *sealed = NULL; /* without later occurrences */
    struct shard_reader *r = NULL;
    struct near_entry *entries = NULL;
    struct err why = {0};
    enum rc rc = corpus_load(corpus_path(c), &sealed, e);

    if (rc == RC_OK) {
        rc = shard_reader_open(sealed, i, false, &r, e);
    }
    if (rc != RC_OK) {
        corpus_close(sealed);
        return rc;
    }
    entries = mem_calloc((size_t)shard_reader_count(r), sizeof *entries);
    rc = entries == NULL ? mem_raise(e, "hashes", (size_t)shard_reader_count(r) * sizeof *entries)
                         : near_make(r, corpus_shard(c, i)->name, entries, e);
    if (rc == RC_OK) {
        out->block = (unsigned char *)entries;
        out->entries = entries;
        out->n = shard_reader_count(r);
        entries = NULL;
        if (near_hashes_write(corpus_path(c), i, &corpus_shard(c, i)->digest, out->entries, out->n,
                              &why) != RC_OK) {
            log_debug("shards", "the hashes of shard %d are not kept: %s", i, why.msg);
        }
    }
    mem_free(entries);
    shard_reader_close(r);
    corpus_close(sealed);
    return rc;
}

enum rc near_hashes_open(struct corpus *c, int i, struct near_hashes *out, struct err *e)
{
    char *path = near_path(corpus_path(c), i);
    struct err why = {0};
    bool fit = false;
    enum rc rc = path != NULL ? RC_OK : mem_raise(e, "a path", strlen(corpus_path(c)));

    memset(out, 0, sizeof *out);
    if (rc == RC_OK) {
        rc = near_read(path, corpus_shard(c, i), out, &fit, &why);
        if (rc == RC_CORRUPT) {
            log_warn("shards", "%s: making it again from its shard", why.msg);
            rc = RC_OK;
        } else if (rc != RC_OK) {
            rc = err_raise(e, rc, "%s", why.msg);
        }
    }
    if (rc == RC_OK && !fit) {
        rc = near_remake(c, i, out, e);
    }
    mem_free(path);
    return rc;
}

void near_hashes_close(struct near_hashes *h)
{
    mem_free(h->block);
    memset(h, 0, sizeof *h);
}

enum rc near_hashes_check(struct corpus *c, int i, struct err *e)
{
    char *path = near_path(corpus_path(c), i);
    struct near_hashes h = {0};
    bool fit = false;
    enum rc rc = path != NULL ? near_read(path, corpus_shard(c, i), &h, &fit, e)
                              : mem_raise(e, "a path", strlen(corpus_path(c)));

    if (rc == RC_OK && !fit && fs_exists(path)) {
        rc = err_raise(e, RC_CORRUPT, "'%s' is of another shard: remove it, it is a cache", path);
    }
    for (uint64_t p = 1; p < h.n && rc == RC_OK; p++) {
        if (memcmp(&h.entries[p - 1].key, &h.entries[p].key, sizeof h.entries->key) >= 0) {
            rc = err_raise(e, RC_CORRUPT, "'%s': keys are out of order: remove it, it is a cache",
                           path);
        }
    }
    near_hashes_close(&h);
    mem_free(path);
    return rc;
}

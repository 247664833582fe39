#include "shards/known.h"

#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "shards/corpus_impl.h"
#include "shards/known_sum.h"
#include "shards/lmdb_file.h"

enum { KNOWN_IMAGES, KNOWN_OCCURRENCES, KNOWN_FILES, KNOWN_META, KNOWN_TABLES };
static const char *const known_tables[KNOWN_TABLES] = {"images", "occurrences", "files", "meta"};

struct known {
    struct lmdb_file *file;
    const struct corpus *corpus;
    bool changed; /* and known.sha256 is gone */
};

/* What the tables cover; the digest of the last shard tells another corpus from a grown one. */
struct known_cover {
    uint32_t shards;
    uint32_t extra_files;
    struct digest last;
};

static void known_cover_of(const struct corpus *c, uint32_t shards, uint32_t extra_files,
                           struct known_cover *out)
{
    memset(out, 0, sizeof *out);
    out->shards = shards;
    out->extra_files = extra_files;
    if (shards > 0) {
        out->last = c->shards[shards - 1].digest;
    }
}

static enum rc known_hash_occurrence(const struct key128 *key, int32_t cls, const char *source,
                                     size_t source_bytes, struct key128 *out, struct err *e)
{
    struct hash *h = NULL;
    struct digest d;
    enum rc rc = hash_create(&h, e);

    if (rc != RC_OK) {
        return rc;
    }
    hash_update(h, key, sizeof *key);
    hash_update(h, &cls, sizeof cls);
    hash_update(h, source, source_bytes);
    hash_final(h, &d);
    hash_destroy(h);
    memcpy(out, &d, sizeof *out);
    return RC_OK;
}

static enum rc known_get(struct known *k, int table, const struct key128 *key, void *out,
                         size_t bytes, bool *found, struct err *e)
{
    struct lmdb_val v = {NULL, 0};
    enum rc rc = lmdb_file_get(k->file, table, key, sizeof *key, &v, found, e);

    if (rc == RC_OK && *found && v.bytes != bytes) {
        rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: delete it, pack makes it again",
                       lmdb_file_path(k->file));
    }
    if (rc == RC_OK && *found && bytes > 0) {
        memcpy(out, v.data, bytes);
    }
    return rc;
}

enum rc known_find_image(struct known *k, const struct key128 *key, bool *found,
                         struct known_image *out, struct err *e)
{
    return known_get(k, KNOWN_IMAGES, key, out, sizeof *out, found, e);
}

enum rc known_find_occurrence(struct known *k, const struct key128 *key, int32_t cls,
                              const char *source, size_t source_bytes, bool *found, struct err *e)
{
    struct key128 hash;
    enum rc rc = known_hash_occurrence(key, cls, source, source_bytes, &hash, e);

    return rc == RC_OK ? known_get(k, KNOWN_OCCURRENCES, &hash, NULL, 0, found, e) : rc;
}

enum rc known_find_file(struct known *k, const char *path, bool *found, struct known_file *out,
                        struct err *e)
{
    struct key128 hash;

    hash_key(path, strlen(path), &hash);
    return known_get(k, KNOWN_FILES, &hash, out, sizeof *out, found, e);
}

enum rc known_put_image(struct known *k, const struct key128 *key, const struct known_image *image,
                        struct err *e)
{
    return lmdb_file_replace(k->file, KNOWN_IMAGES, key, sizeof *key, image, sizeof *image, e);
}

enum rc known_put_occurrence(struct known *k, const struct key128 *key, int32_t cls,
                             const char *source, size_t source_bytes, struct err *e)
{
    struct key128 hash;
    enum rc rc = known_hash_occurrence(key, cls, source, source_bytes, &hash, e);

    return rc == RC_OK ? lmdb_file_replace(k->file, KNOWN_OCCURRENCES, &hash, sizeof hash, "", 0, e)
                       : rc;
}

void known_note_of(const char *path, const struct known_file *file, struct known_note *out)
{
    hash_key(path, strlen(path), &out->path);
    out->file = *file;
}

enum rc known_put_note(struct known *k, const struct known_note *note, struct err *e)
{
    return lmdb_file_replace(k->file, KNOWN_FILES, &note->path, sizeof note->path, &note->file,
                             sizeof note->file, e);
}

enum rc known_commit(struct known *k, const struct corpus *c, struct err *e)
{
    struct known_cover cover;
    enum rc rc = RC_OK;

    known_cover_of(c, (uint32_t)c->n_shards, (uint32_t)c->n_extra_files, &cover);
    if (!k->changed) {
        rc = known_sum_drop(c->path, e);
        k->changed = rc == RC_OK;
    }
    if (rc != RC_OK) {
        return rc;
    }
    rc = lmdb_file_replace(k->file, KNOWN_META, "cover", 5, &cover, sizeof cover, e);
    return rc == RC_OK ? lmdb_file_commit(k->file, e) : rc;
}

/* ---- opening: bring it up to the manifest ------------------------------------------------------ */

static enum rc known_learn_shard(struct known *k, struct corpus *c, int shard, struct err *e)
{
    struct shard_reader *r = NULL;
    enum rc rc = shard_reader_open(c, shard, false, &r, e);

    for (uint64_t p = 0; rc == RC_OK && p < shard_reader_count(r); p++) {
        const struct shard_index_entry *entry = &shard_reader_index(r)[p];
        const struct known_image image = {(uint32_t)shard, entry->cls};
        struct shard_record rec;

        rc = shard_reader_get(r, p, &rec, e);
        if (rc == RC_OK) {
            rc = known_put_image(k, &entry->key, &image, e);
        }
        for (int i = 0; rc == RC_OK && i < rec.n_occurrences; i++) {
            size_t bytes = 0;
            const char *source = shard_record_source(&rec, i, &bytes);

            rc = known_put_occurrence(k, &rec.key, shard_record_class(&rec, i), source, bytes, e);
        }
    }
    shard_reader_close(r);
    return rc;
}

static enum rc known_learn_extra(struct known *k, const struct corpus *c, int file, struct err *e)
{
    struct corpus_extras x = {NULL, 0, 0};
    enum rc rc = corpus_extra_read(c->path, &c->extra_files[file], &x, e);

    for (size_t i = 0; rc == RC_OK && i < x.n; i++) {
        rc = known_put_occurrence(k, &x.all[i].key, x.all[i].cls, x.all[i].source,
                                  x.all[i].source_bytes, e);
    }
    corpus_extras_release(&x);
    return rc;
}

/* *usable false: it is of another corpus, or of a later state of this one. */
static enum rc known_covers(struct known *k, const struct corpus *c, struct known_cover *cover,
                            bool *usable, struct err *e)
{
    struct known_cover expected;
    struct lmdb_val v = {NULL, 0};
    bool found = false;
    enum rc rc = lmdb_file_get(k->file, KNOWN_META, "cover", 5, &v, &found, e);

    memset(cover, 0, sizeof *cover);
    *usable = rc == RC_OK && (!found || v.bytes == sizeof *cover);
    if (!*usable || !found) {
        return rc;
    }
    memcpy(cover, v.data, sizeof *cover);
    *usable =
        cover->shards <= (uint32_t)c->n_shards && cover->extra_files <= (uint32_t)c->n_extra_files;
    if (*usable) {
        known_cover_of(c, cover->shards, cover->extra_files, &expected);
        *usable = memcmp(&expected, cover, sizeof expected) == 0;
    }
    return rc;
}

static enum rc known_try(struct known *k, const char *path, const struct corpus *c,
                         struct known_cover *cover, bool *usable, struct err *e)
{
    enum rc rc = lmdb_file_create(path, known_tables, KNOWN_TABLES, &k->file, e);

    *usable = false;
    if (rc == RC_OK) {
        rc = known_covers(k, c, cover, usable, e);
    }
    if (rc == RC_CORRUPT) {
        err_clear(e);
        rc = RC_OK;
    }
    return rc;
}

static enum rc known_update(struct known *k, struct corpus *c, const struct known_cover *cover,
                            struct err *e)
{
    enum rc rc = RC_OK;

    if (cover->shards == (uint32_t)c->n_shards &&
        cover->extra_files == (uint32_t)c->n_extra_files) {
        return RC_OK;
    }
    log_info("shards", "reading %d sealed shards of '%s' to know what they hold",
             c->n_shards - (int)cover->shards, c->path);
    for (int i = (int)cover->shards; i < c->n_shards && rc == RC_OK; i++) {
        rc = known_learn_shard(k, c, i, e);
    }
    for (int i = (int)cover->extra_files; i < c->n_extra_files && rc == RC_OK; i++) {
        rc = known_learn_extra(k, c, i, e);
    }
    return rc == RC_OK ? known_commit(k, c, e) : rc;
}

/* The file at path is of no use. */
static enum rc known_forget(const char *dir, const char *path, struct err *e)
{
    (void)unlink(path);
    return known_sum_drop(dir, e);
}

enum rc known_open(struct corpus *c, struct known **out, struct err *e)
{
    struct known *k = mem_calloc(1, sizeof *k);
    char *path = fs_join(c->path, KNOWN_NAME);
    struct known_cover cover;
    struct err why = {0};
    bool usable = false;
    enum rc rc = RC_OK;

    if (k == NULL || path == NULL) {
        rc = mem_raise(e, "what a corpus knows", sizeof *k);
        goto out;
    }
    k->corpus = c;
    rc = known_sum_check(c->path, &why);
    if (rc == RC_CORRUPT) {
        log_warn("shards", "%s: making it again", why.msg);
        err_clear(&why);
        rc = known_forget(c->path, path, &why);
    }
    if (rc == RC_OK) {
        rc = known_try(k, path, c, &cover, &usable, &why);
    }
    if (rc == RC_OK && !usable) {
        lmdb_file_close(k->file);
        k->file = NULL;
        rc = known_forget(c->path, path, &why);
    }
    if (rc == RC_OK && k->file == NULL) {
        rc = known_try(k, path, c, &cover, &usable, &why);
    }
    if (rc != RC_OK || !usable) {
        rc = err_raise(e, rc != RC_OK ? rc : RC_CORRUPT, "%s",
                       rc != RC_OK ? why.msg : "a new LMDB file is damaged already");
        goto out;
    }
    rc = known_update(k, c, &cover, e);
    if (rc == RC_OK) {
        *out = k;
        k = NULL;
    }
out:
    known_close(k);
    mem_free(path);
    return rc;
}

void known_close(struct known *k)
{
    struct err why = {0};

    if (k != NULL) {
        lmdb_file_close(k->file);
        if (k->changed && known_sum_write(k->corpus->path, &why) != RC_OK) {
            log_debug("shards", "known.lmdb stays without a digest: %s", why.msg);
        }
        mem_free(k);
    }
}

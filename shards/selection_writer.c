#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "shards/lmdb_file.h"
#include "shards/manifest.h"
#include "shards/selection_impl.h"

/* Bytes put between two commits: what an open transaction holds in memory. */
static const size_t WRITER_COMMIT = (size_t)32 << 20;

struct selection_writer {
    struct lmdb_file *file;
    char *final, *tmp, *json;
    struct selection_total *totals; /* (shards) */
    int shards, capacity;
    size_t uncommitted;
};

const char *const selection_tables[SELECTION_TABLES] = {"shards", "meta"};

void selection_key(int shard, uint8_t key[SELECTION_KEY])
{
    uint32_t n = (uint32_t)shard;

    key[0] = (uint8_t)(n >> 24);
    key[1] = (uint8_t)(n >> 16);
    key[2] = (uint8_t)(n >> 8);
    key[3] = (uint8_t)n;
}

char *selection_path(const char *path, const char *suffix)
{
    size_t n = strlen(path);

    if (n > 5 && (strcmp(path + n - 5, ".lmdb") == 0 || strcmp(path + n - 5, ".json") == 0)) {
        n -= 5;
    }
    return mem_sprintf("%.*s%s", (int)n, path, suffix);
}

/* The folder that the selection lies in. */
static enum rc writer_make_folder(const char *path, struct err *e)
{
    char *dir = mem_strdup(path);
    char *slash = dir != NULL ? strrchr(dir, '/') : NULL;
    enum rc rc = dir != NULL ? RC_OK : mem_raise(e, "a path", strlen(path));

    if (slash != NULL && slash != dir) {
        *slash = '\0';
        rc = fs_mkdirs(dir, e);
    }
    mem_free(dir);
    return rc;
}

enum rc selection_writer_create(const char *path, struct selection_writer **out, struct err *e)
{
    struct selection_writer *w = mem_calloc(1, sizeof *w);
    enum rc rc = RC_OK;

    if (w == NULL) {
        return mem_raise(e, "a selection", sizeof *w);
    }
    w->final = selection_path(path, ".lmdb");
    w->json = selection_path(path, ".json");
    w->tmp = w->final == NULL ? NULL : mem_sprintf("%s.tmp.%ld", w->final, (long)getpid());
    if (w->tmp == NULL || w->json == NULL) {
        rc = mem_raise(e, "a path", strlen(path));
        goto out;
    }
    rc = writer_make_folder(w->final, e);
    if (rc != RC_OK) {
        goto out;
    }
    fs_sweep_file(w->final);
    fs_sweep_file(w->json);
    rc = lmdb_file_create(w->tmp, selection_tables, SELECTION_TABLES, &w->file, e);
    if (rc == RC_OK) {
        lmdb_file_loose(w->file);
        *out = w;
        w = NULL;
    }
out:
    selection_writer_close(w);
    return rc;
}

void selection_writer_close(struct selection_writer *w)
{
    if (w == NULL) {
        return;
    }
    if (w->file != NULL) {
        lmdb_file_close(w->file);
        (void)unlink(w->tmp);
    }
    mem_free(w->final);
    mem_free(w->tmp);
    mem_free(w->json);
    mem_free(w->totals);
    mem_free(w);
}

static enum rc writer_room(struct selection_writer *w, int shard, struct err *e)
{
    struct selection_total *totals = NULL;
    int capacity = w->capacity;

    while (capacity <= shard) {
        capacity = capacity == 0 ? 64 : 2 * capacity;
    }
    if (capacity > w->capacity) {
        totals = mem_realloc(w->totals, (size_t)capacity, sizeof *totals);
        if (totals == NULL) {
            return mem_raise(e, "a selection's totals", (size_t)capacity * sizeof *totals);
        }
        w->totals = totals;
        w->capacity = capacity;
    }
    while (w->shards <= shard) {
        w->totals[w->shards++] = (struct selection_total){0, 0};
    }
    return RC_OK;
}

enum rc selection_writer_put(struct selection_writer *w, int shard,
                             const struct selection_entry *entries, uint64_t n, struct err *e)
{
    uint8_t key[SELECTION_KEY];
    enum rc rc = RC_OK;

    assert(shard >= w->shards);
    rc = writer_room(w, shard, e);
    if (rc != RC_OK || n == 0) {
        return rc;
    }
    for (uint64_t i = 0; i < n; i++) {
        assert(entries[i].copies > 0 && (i == 0 || entries[i - 1].position < entries[i].position));
        w->totals[shard].copies += entries[i].copies;
    }
    w->totals[shard].images = n;
    selection_key(shard, key);
    rc = lmdb_file_put(w->file, SELECTION_SHARDS, key, sizeof key, entries,
                       (size_t)n * sizeof *entries, true, e);
    w->uncommitted += (size_t)n * sizeof *entries;
    if (rc == RC_OK && w->uncommitted >= WRITER_COMMIT) {
        rc = lmdb_file_commit(w->file, e);
        w->uncommitted = 0;
    }
    return rc;
}

static enum rc writer_describe(const struct selection_writer *w, const struct selection_info *info,
                               const struct digest *digest, uint64_t bytes, struct err *e)
{
    static const struct digest nothing;
    char hex[5][HASH_HEX_DIGEST];
    json_t *root = NULL;
    enum rc rc = RC_OK;

    hash_digest_hex(&info->corpus, hex[0]);
    hash_digest_hex(&info->labels, hex[1]);
    hash_digest_hex(&info->classes, hex[2]);
    hash_digest_hex(digest, hex[3]);
    hash_digest_hex(&info->forgotten, hex[4]);
    root = json_pack("{s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:s, s:s, s:I, s:s*, s:O*}", "corpus",
                     hex[0], "labels", hex[1], "classes", hex[2], "n_classes", info->n_classes,
                     "shards", info->shards, "images", (json_int_t)info->images, "total",
                     (json_int_t)info->total, "rule", info->rule, "file_digest", hex[3], "bytes",
                     (json_int_t)bytes, "forgotten",
                     memcmp(&info->forgotten, &nothing, sizeof nothing) != 0 ? hex[4] : NULL,
                     "guards", info->guards);
    rc = root != NULL ? manifest_write(w->json, SELECTION_KIND, SELECTION_FORMAT, root, e)
                      : err_raise(e, RC_NOMEM, "out of memory for '%s'", w->json);
    json_decref(root);
    return rc;
}

enum rc selection_writer_seal(struct selection_writer *w, struct selection_info *info,
                              struct err *e)
{
    struct lmdb_file *file = w->file;
    struct digest digest;
    uint64_t bytes = 0;
    enum rc rc = lmdb_file_put(file, SELECTION_META, SELECTION_TOTALS, strlen(SELECTION_TOTALS),
                               w->totals, (size_t)w->shards * sizeof *w->totals, false, e);

    if (rc != RC_OK) {
        return rc;
    }
    info->shards = w->shards;
    info->images = 0;
    info->total = 0;
    for (int i = 0; i < w->shards; i++) {
        info->images += w->totals[i].images;
        info->total += w->totals[i].copies;
    }
    /* An older selection of this name goes, description first: without one it is absent. */
    (void)unlink(w->json);
    (void)unlink(w->final);
    w->file = NULL;
    rc = lmdb_file_seal(file, w->tmp, w->final, &digest, &bytes, e); /* takes file */
    if (rc != RC_OK) {
        (void)unlink(w->tmp);
        return rc;
    }
    return writer_describe(w, info, &digest, bytes, e);
}

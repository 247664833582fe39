#include "shards/selection.h"

#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "shards/lmdb_file.h"
#include "shards/manifest.h"
#include "shards/selection_impl.h"

struct selection {
    struct lmdb_file *file;
    char *path; /* of the .lmdb */
    struct selection_info info;
    struct digest digest;
    const struct selection_total *totals; /* (info.shards), in the map */
};

/* ---- the description beside it --------------------------------------------------------------- */

static enum rc selection_count(const json_t *root, const char *path, const char *name, int64_t max,
                               int64_t *out, struct err *e)
{
    enum rc rc = json_get_int(root, path, name, out, e);

    if (rc == RC_OK && (*out < 0 || *out > max)) {
        rc = err_raise(e, RC_CORRUPT, "'%s': \"%s\" is %lld, expected 0 to %lld", path, name,
                       (long long)*out, (long long)max);
    }
    return rc;
}

static enum rc selection_numbers(const json_t *root, const char *path, struct selection_info *info,
                                 int64_t *bytes, struct err *e)
{
    int64_t classes = 0;
    int64_t shards = 0;
    int64_t images = 0;
    int64_t total = 0;
    enum rc rc = RC_OK;

    if ((rc = selection_count(root, path, "n_classes", 65536, &classes, e)) != RC_OK ||
        (rc = selection_count(root, path, "shards", INT32_MAX, &shards, e)) != RC_OK ||
        (rc = selection_count(root, path, "images", INT64_MAX, &images, e)) != RC_OK ||
        (rc = selection_count(root, path, "total", INT64_MAX, &total, e)) != RC_OK ||
        (rc = selection_count(root, path, "bytes", INT64_MAX, bytes, e)) != RC_OK) {
        return rc;
    }
    info->n_classes = (int)classes;
    info->shards = (int)shards;
    info->images = (uint64_t)images;
    info->total = (uint64_t)total;
    return RC_OK;
}

static enum rc selection_describe(struct selection *s, const char *path, int64_t *bytes,
                                  struct err *e)
{
    json_t *root = NULL;
    const char *rule = NULL;
    enum rc rc = manifest_read(path, SELECTION_KIND, SELECTION_FORMAT, &root, e);

    if (rc == RC_OK && (rc = selection_numbers(root, path, &s->info, bytes, e)) == RC_OK &&
        (rc = json_get_digest(root, path, "corpus", &s->info.corpus, e)) == RC_OK &&
        (rc = json_get_digest(root, path, "labels", &s->info.labels, e)) == RC_OK &&
        (rc = json_get_digest(root, path, "classes", &s->info.classes, e)) == RC_OK &&
        (rc = json_get_digest(root, path, "file_digest", &s->digest, e)) == RC_OK &&
        (rc = json_get_string(root, path, "rule", &rule, e)) == RC_OK) {
        (void)snprintf(s->info.rule, sizeof s->info.rule, "%s", rule);
    }
    if (rc == RC_OK && json_object_get(root, "forgotten") != NULL) {
        rc = json_get_digest(root, path, "forgotten", &s->info.forgotten, e);
    }
    s->info.guards = json_incref(json_object_get(root, "guards"));
    json_decref(root);
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Whether a shard can have what its totals say: memory is asked for by them. */
static bool selection_total_sane(const struct selection_total *t, uint64_t bytes)
{
    return t->images <= bytes / sizeof(struct selection_entry) && t->copies >= t->images &&
           t->copies <= t->images * UINT16_MAX;
}

static enum rc selection_totals(struct selection *s, uint64_t bytes, struct err *e)
{
    struct lmdb_val v = {NULL, 0};
    bool found = false;
    enum rc rc = lmdb_file_get(s->file, SELECTION_META, SELECTION_TOTALS, strlen(SELECTION_TOTALS),
                               &v, &found, e);

    if (rc == RC_OK && (!found || v.bytes != (size_t)s->info.shards * sizeof *s->totals ||
                        (uintptr_t)v.data % _Alignof(struct selection_total) != 0)) {
        rc = err_raise(e, RC_CORRUPT, "'%s' does not have the totals of its %d shards", s->path,
                       s->info.shards);
    }
    s->totals = rc == RC_OK ? v.data : NULL;
    for (int i = 0; i < s->info.shards && rc == RC_OK; i++) {
        if (!selection_total_sane(&s->totals[i], bytes)) {
            rc = err_raise(e, RC_CORRUPT,
                           "'%s' says that shard %d has %llu images in %llu copies: it cannot",
                           s->path, i, (unsigned long long)s->totals[i].images,
                           (unsigned long long)s->totals[i].copies);
        }
    }
    return rc;
}

enum rc selection_open(const char *path, struct selection **out, struct err *e)
{
    struct selection *s = mem_calloc(1, sizeof *s);
    char *json = selection_path(path, ".json");
    int64_t bytes = 0;
    enum rc rc = RC_OK;

    if (s != NULL) {
        s->path = selection_path(path, ".lmdb");
    }
    if (s == NULL || json == NULL || s->path == NULL) {
        rc = mem_raise(e, "a selection", sizeof *s);
        goto out;
    }
    rc = selection_describe(s, json, &bytes, e);
    if (rc == RC_OK) {
        rc = lmdb_file_open(s->path, selection_tables, SELECTION_TABLES, (uint64_t)bytes,
                            &s->digest, &s->file, e);
    }
    if (rc == RC_OK) {
        rc = selection_totals(s, (uint64_t)bytes, e);
    }
    if (rc == RC_OK) {
        *out = s;
        s = NULL;
    }
out:
    mem_free(json);
    selection_close(s);
    return rc;
}

void selection_close(struct selection *s)
{
    if (s != NULL) {
        lmdb_file_close(s->file);
        json_decref(s->info.guards);
        mem_free(s->path);
        mem_free(s);
    }
}

const struct selection_info *selection_info(const struct selection *s)
{
    return &s->info;
}

void selection_digest(const struct selection *s, struct digest *out)
{
    *out = s->digest;
}

const json_t *selection_guards(const struct selection *s)
{
    return s->info.guards;
}

uint64_t selection_total(const struct selection *s, int shard)
{
    return shard >= 0 && shard < s->info.shards ? s->totals[shard].copies : 0;
}

enum rc selection_shard(struct selection *s, int shard, const struct selection_entry **entries,
                        uint64_t *n, uint64_t *total, struct err *e)
{
    struct lmdb_val v = {NULL, 0};
    bool found = false;
    uint8_t key[SELECTION_KEY];
    uint64_t images = 0;
    enum rc rc = RC_OK;

    if (selection_total(s, shard) > 0) {
        images = s->totals[shard].images;
        selection_key(shard, key);
        rc = lmdb_file_get(s->file, SELECTION_SHARDS, key, sizeof key, &v, &found, e);
        if (rc == RC_OK &&
            (!found || v.bytes / sizeof **entries != images || v.bytes % sizeof **entries != 0 ||
             (uintptr_t)v.data % _Alignof(struct selection_entry) != 0)) {
            rc = err_raise(e, RC_CORRUPT, "'%s' does not hold the %llu images of shard %d", s->path,
                           (unsigned long long)images, shard);
        }
    }
    if (rc == RC_OK) {
        *entries = v.data;
        *n = images;
        *total = selection_total(s, shard);
    }
    return rc;
}

enum rc selection_check(const struct selection *s, struct err *e)
{
    return lmdb_file_sound(s->file)
               ? RC_OK
               : err_raise(e, RC_IO, "'%s' cannot be read: the disk failed, or it was cut short",
                           s->path);
}

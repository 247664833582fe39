/* label_store_update: sealed label shards enter labels.json. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/json_bytes.h"
#include "shards/label_bad_impl.h"
#include "shards/label_store_impl.h"
#include "shards/lmdb_file.h"
#include "shards/manifest.h"

static enum rc update_json(json_t *made, struct err *e)
{
    return made != NULL ? RC_OK : err_raise(e, RC_NOMEM, "out of memory for labels.json");
}

static enum rc update_new_manifest(const struct label_lineage *l, const char *const classes[],
                                   json_t **out, struct err *e)
{
    char weights[HASH_HEX_DIGEST];
    char list[HASH_HEX_DIGEST];
    json_t *names = json_array();
    json_t *root = NULL;
    char calibration[HASH_HEX_DIGEST];

    for (int i = 0; i < l->n_classes && names != NULL; i++) {
        if (json_array_append_new(names, json_string(classes[i])) != 0) {
            json_decref(names);
            return err_raise(e, RC_INVAL, "the name of class %d is not UTF-8", i);
        }
    }
    hash_digest_hex(&l->weights, weights);
    hash_digest_hex(&l->classes, list);
    root = json_pack("{s:{s:s, s:s, s:s, s:s, s:s, s:i, s:i}, s:o, s:[]}", "lineage", "weights",
                     weights, "model", l->model, "preprocessing", l->preprocessing, "precision",
                     l->precision, "classes", list, "n_classes", l->n_classes, "top_k", l->top_k,
                     "classes", names, "shards");
    hash_digest_hex(&l->calibration, calibration);
    if (root != NULL && label_lineage_calibrated(l) &&
        json_object_set_new(json_object_get(root, "lineage"), "calibration",
                            json_string(calibration)) != 0) {
        json_decref(root);
        root = NULL;
    }
    *out = root;
    return update_json(root, e);
}

/* What a sealed shard says of itself, and its summary. */
struct update_shard {
    struct label_meta meta;
    uint64_t labels, summary_at;
    struct digest summary_digest;
};

static enum rc update_summary(struct lmdb_file *f, struct update_shard *u, struct err *e)
{
    struct lmdb_val v = {NULL, 0};
    bool found = false;
    enum rc rc = lmdb_file_get(f, LABEL_TABLE_META, LABEL_META_SUMMARY, strlen(LABEL_META_SUMMARY),
                               &v, &found, e);

    if (rc == RC_OK && (!found || v.bytes != u->labels * sizeof(struct label_summary))) {
        rc = err_raise(e, RC_CORRUPT, "'%s' has no summary of its %llu labels", lmdb_file_path(f),
                       (unsigned long long)u->labels);
    }
    if (rc == RC_OK) {
        rc = lmdb_file_at(f, &v, &u->summary_at, e);
    }
    if (rc == RC_OK) {
        hash_digest(v.data, v.bytes, &u->summary_digest);
    }
    if (rc == RC_OK && !lmdb_file_sound(f)) {
        rc = err_raise(e, RC_IO, "'%s' cannot be read: the disk failed, or it was cut short",
                       lmdb_file_path(f));
    }
    return rc;
}

static enum rc update_read(const char *path, struct update_shard *u, struct err *e)
{
    struct lmdb_file *f = NULL;
    struct lmdb_val v;
    bool found = false;
    enum rc rc = lmdb_file_open(path, label_record_tables, LABEL_TABLES, 0, NULL, &f, e);

    if (rc == RC_OK) {
        rc = lmdb_file_get(f, LABEL_TABLE_META, LABEL_META_SHARD, strlen(LABEL_META_SHARD), &v,
                           &found, e);
    }
    if (rc == RC_OK && !found) {
        rc = err_raise(e, RC_CORRUPT, "'%s' is not a label shard: it has no description", path);
    }
    if (rc == RC_OK) {
        rc = label_record_meta_parse(v.data, v.bytes, path, &u->meta, e);
    }
    if (rc == RC_OK) {
        rc = lmdb_file_count(f, LABEL_TABLE_LABELS, &u->labels, e);
    }
    if (rc == RC_OK) {
        rc = update_summary(f, u, e);
    }
    lmdb_file_close(f);
    return rc;
}

static enum rc update_check(const char *path, const struct label_lineage *lineage,
                            const struct corpus_shard *image, struct update_shard *u, struct err *e)
{
    const struct label_meta *m = &u->meta;
    struct digest expected;
    enum rc rc = update_read(path, u, e);

    if (rc != RC_OK) {
        return rc;
    }
    label_lineage_digest(lineage, &expected);
    if (memcmp(&m->lineage, &expected, sizeof expected) != 0) {
        return err_raise(e, RC_CORRUPT, "'%s' was made by other weights or settings than its store",
                         path);
    }
    if (memcmp(&m->image_digest, &image->digest, sizeof expected) != 0) {
        return err_raise(e, RC_CORRUPT, "'%s' labels another '%s' than the corpus has", path,
                         image->name);
    }
    if (u->labels != image->images || m->labels != u->labels) {
        return err_raise(e, RC_CORRUPT, "'%s' has %llu labels but '%s' has %llu images", path,
                         (unsigned long long)u->labels, image->name,
                         (unsigned long long)image->images);
    }
    return RC_OK;
}

static enum rc update_enter(const char *dir, int shard, const struct label_lineage *lineage,
                            const struct corpus_shard *image, json_t *list, size_t at,
                            struct err *e)
{
    char *path = mem_sprintf("%s/labels-%06d.lmdb", dir, shard);
    char hex[HASH_HEX_DIGEST];
    char image_hex[HASH_HEX_DIGEST];
    char summary_hex[HASH_HEX_DIGEST];
    struct update_shard u = {0};
    struct digest digest;
    json_t *entry = NULL;
    uint64_t bytes = 0;
    enum rc rc = path != NULL ? RC_OK : mem_raise(e, "a path", strlen(dir));

    if (rc != RC_OK || (rc = fs_size(path, &bytes, e)) != RC_OK ||
        (rc = hash_file(path, &digest, e)) != RC_OK ||
        (rc = update_check(path, lineage, image, &u, e)) != RC_OK) {
        goto out;
    }
    hash_digest_hex(&digest, hex);
    hash_digest_hex(&u.meta.image_digest, image_hex);
    hash_digest_hex(&u.summary_digest, summary_hex);
    entry = json_pack("{s:s, s:i, s:s, s:s, s:I, s:I, s:s, s:s, s:I, s:s}", "name",
                      strrchr(path, '/') + 1, "shard", shard, "image_shard", u.meta.image_shard,
                      "image_digest", image_hex, "labels", (json_int_t)u.labels, "bytes",
                      (json_int_t)bytes, "digest", hex, "isa", u.meta.isa, "summary_at",
                      (json_int_t)u.summary_at, "summary_digest", summary_hex);
    rc = update_json(entry, e);
    if (rc == RC_OK) {
        rc = label_record_audit_set(entry, &u.meta.audit, e);
    }
    if (rc == RC_OK && u.meta.bad > 0 &&
        json_object_set_new(entry, "bad", json_integer((json_int_t)u.meta.bad)) != 0) {
        rc = update_json(NULL, e);
    }
    if (rc == RC_OK && json_array_insert(list, at, entry) != 0) {
        rc = update_json(NULL, e);
    }
    json_decref(entry);
out:
    mem_free(path);
    return rc;
}

/* The store that is there must be of this lineage and of this corpus. */
static enum rc update_same(const struct label_store *s, const struct label_lineage *lineage,
                           const struct corpus *corpus, struct err *e)
{
    struct digest had;
    struct digest want;

    label_lineage_digest(&s->lineage, &had);
    label_lineage_digest(lineage, &want);
    if (memcmp(&had, &want, sizeof want) != 0) {
        return err_raise(e, RC_CORRUPT, "the label store '%s' is of other weights or settings",
                         s->path);
    }
    for (int i = 0; i < s->n_shards; i++) {
        const struct label_shard *l = &s->shards[i];

        if (l->shard >= corpus_shards(corpus) ||
            memcmp(&l->image_digest, &corpus_shard(corpus, l->shard)->digest,
                   sizeof l->image_digest) != 0) {
            return err_raise(e, RC_CORRUPT,
                             "the label store '%s' labels another '%s' than the corpus '%s' has",
                             s->path, l->image_shard, corpus_path(corpus));
        }
    }
    return RC_OK;
}

/* Walk the corpus and the list side by side: both are in the order of shards. */
static enum rc update_list(const char *dir, const struct label_lineage *lineage,
                           const struct corpus *corpus, json_t *list, int *entered, struct err *e)
{
    enum rc rc = RC_OK;
    size_t at = 0;

    for (int i = 0; i < corpus_shards(corpus) && rc == RC_OK; i++) {
        const json_t *have = json_array_get(list, at);

        if (have != NULL && json_integer_value(json_object_get(have, "shard")) == i) {
            at++;
        } else if (label_shard_sealed(dir, i)) {
            rc = update_enter(dir, i, lineage, corpus_shard(corpus, i), list, at, e);
            at++;
            (*entered)++;
        }
    }
    return rc;
}

/* Where the images are, so that selection finds what was forgotten. */
static enum rc update_corpus(json_t *root, const struct corpus *corpus, struct err *e)
{
    char real[PATH_MAX];

    (void)json_object_del(root, "corpus");
    (void)json_object_del(root, "corpus_hex");
    return realpath(corpus_path(corpus), real) != NULL
               ? json_bytes_set(root, "corpus", real, strlen(real), e)
               : RC_OK;
}

enum rc label_store_update(const char *dir, const struct label_lineage *lineage,
                           const char *const classes[], const struct corpus *corpus, struct err *e)
{
    char *path = fs_join(dir, "labels.json");
    struct label_store *store = NULL;
    json_t *root = NULL;
    int entered = 0;
    enum rc rc = path != NULL ? fs_mkdirs(dir, e) : mem_raise(e, "a path", strlen(dir));

    if (rc != RC_OK) {
        goto out;
    }
    if (fs_exists(path)) {
        rc = label_store_open(dir, &store, e);
        if (rc == RC_OK) {
            rc = update_same(store, lineage, corpus, e);
            root = json_incref(store->manifest);
        }
    } else {
        rc = update_new_manifest(lineage, classes, &root, e);
        entered = 1; /* it must be written */
    }
    if (rc == RC_OK) {
        rc = update_list(dir, lineage, corpus, json_object_get(root, "shards"), &entered, e);
    }
    if (rc == RC_OK) {
        rc = label_bad_ledger(dir, json_object_get(root, "shards"), e);
    }
    if (rc == RC_OK && entered > 0) {
        label_writer_sweep_sealed(dir);
        rc = update_corpus(root, corpus, e);
    }
    if (rc == RC_OK && entered > 0) {
        rc = manifest_write(path, LABEL_KIND, LABEL_FORMAT, root, e);
    }
out:
    json_decref(root);
    label_store_close(store);
    mem_free(path);
    return rc;
}

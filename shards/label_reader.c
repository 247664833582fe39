#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/label_bad_impl.h"
#include "shards/label_store_impl.h"
#include "shards/lmdb_file.h"

/* Where a record lies in the map. */
struct reader_place {
    const void *key, *data;
};

struct label_reader {
    struct lmdb_file *file;
    char *path;
    int k, n_classes;
    uint64_t count;
    pthread_mutex_t lock;        /* over the making of places */
    struct reader_place *places; /* (count) by position; made by the first access by position */
};

static enum rc reader_meta(struct label_reader *r, const struct label_shard *shard, struct err *e)
{
    struct label_meta m;
    struct lmdb_val v;
    uint64_t n = 0;
    bool found = false;
    enum rc rc = lmdb_file_count(r->file, LABEL_TABLE_LABELS, &n, e);

    if (rc == RC_OK && n != shard->labels) {
        rc = err_raise(e, RC_CORRUPT, "'%s' has %llu labels where labels.json says %llu", r->path,
                       (unsigned long long)n, (unsigned long long)shard->labels);
    }
    if (rc == RC_OK) {
        rc = lmdb_file_get(r->file, LABEL_TABLE_META, LABEL_META_SHARD, strlen(LABEL_META_SHARD),
                           &v, &found, e);
    }
    if (rc == RC_OK && !found) {
        rc = err_raise(e, RC_CORRUPT, "'%s' is not a label shard: it has no description", r->path);
    }
    if (rc == RC_OK) {
        rc = label_record_meta_parse(v.data, v.bytes, r->path, &m, e);
    }
    if (rc == RC_OK && (m.top_k != r->k || m.n_classes != r->n_classes)) {
        rc =
            err_raise(e, RC_CORRUPT, "'%s' has other classes or another k than its store", r->path);
    }
    r->count = n;
    return rc;
}

enum rc label_reader_open(struct label_store *s, int i, bool trust, struct label_reader **out,
                          struct err *e)
{
    const struct label_shard *shard = label_store_shard(s, i);
    struct label_reader *r = mem_calloc(1, sizeof *r);
    enum rc rc = RC_OK;

    if (r == NULL) {
        return mem_raise(e, "a label shard's reader", sizeof *r);
    }
    (void)pthread_mutex_init(&r->lock, NULL);
    r->k = s->lineage.top_k;
    r->n_classes = s->lineage.n_classes;
    r->path = fs_join(s->path, shard->name);
    if (r->path == NULL) {
        rc = mem_raise(e, "a path", strlen(s->path));
        goto out;
    }
    rc = lmdb_file_open(r->path, label_record_tables, LABEL_TABLES, shard->bytes,
                        trust ? NULL : &shard->digest, &r->file, e);
    if (rc == RC_OK) {
        rc = reader_meta(r, shard, e);
    }
    if (rc == RC_OK) {
        *out = r;
        r = NULL;
    }
out:
    label_reader_close(r);
    return rc;
}

void label_reader_close(struct label_reader *r)
{
    if (r != NULL) {
        lmdb_file_close(r->file);
        (void)pthread_mutex_destroy(&r->lock);
        mem_free(r->places);
        mem_free(r->path);
        mem_free(r);
    }
}

enum rc label_reader_bad(struct label_reader *r, const char **text, size_t *bytes, struct err *e)
{
    return label_bad_lines(r->file, text, bytes, e);
}

uint64_t label_reader_count(const struct label_reader *r)
{
    return r->count;
}

enum rc label_reader_check(const struct label_reader *r, struct err *e)
{
    return lmdb_file_sound(r->file)
               ? RC_OK
               : err_raise(e, RC_IO, "'%s' cannot be read: the disk failed, or it was cut short",
                           r->path);
}

static enum rc reader_parse(struct label_reader *r, const void *key, const void *data, size_t bytes,
                            struct label *out, struct err *e)
{
    const char *wrong =
        label_record_parse(key, sizeof(struct key128), data, bytes, r->k, r->n_classes, out);
    char hex[HASH_HEX_KEY];

    if (wrong == NULL) {
        return RC_OK;
    }
    hash_key_hex(key, hex);
    return err_raise(e, RC_CORRUPT, "the label of image %s in '%s' is damaged: %s", hex, r->path,
                     wrong);
}

static enum rc reader_walk(struct label_reader *r, struct reader_place *places, struct err *e)
{
    struct lmdb_walk *walk = NULL;
    struct lmdb_val key;
    struct lmdb_val val;
    uint64_t i = 0;
    bool more = true;
    enum rc rc = lmdb_walk_open(r->file, LABEL_TABLE_LABELS, &walk, e);

    while (rc == RC_OK && (rc = lmdb_walk_next(walk, &key, &val, &more, e)) == RC_OK && more) {
        if (i == r->count || key.bytes != sizeof(struct key128) ||
            val.bytes != label_record_bytes(r->k)) {
            rc = err_raise(e, RC_CORRUPT, "record %llu of '%s' is not a label",
                           (unsigned long long)i, r->path);
            break;
        }
        places[i++] = (struct reader_place){key.data, val.data};
    }
    lmdb_walk_close(walk);
    if (rc == RC_OK && i != r->count) {
        rc = err_raise(e, RC_CORRUPT, "'%s' holds %llu labels where it says %llu", r->path,
                       (unsigned long long)i, (unsigned long long)r->count);
    }
    return rc;
}

static enum rc reader_places(struct label_reader *r, struct err *e)
{
    struct reader_place *places = NULL;
    enum rc rc = RC_OK;

    (void)pthread_mutex_lock(&r->lock);
    if (r->places == NULL) {
        places = mem_calloc((size_t)r->count, sizeof *places);
        rc = places == NULL ? mem_raise(e, r->path, (size_t)r->count * sizeof *places)
                            : reader_walk(r, places, e);
        if (rc == RC_OK) {
            r->places = places;
            places = NULL;
        }
    }
    (void)pthread_mutex_unlock(&r->lock);
    mem_free(places);
    return rc;
}

enum rc label_reader_at(struct label_reader *r, uint64_t position, struct label *out, struct err *e)
{
    enum rc rc = reader_places(r, e);

    if (rc == RC_OK && position >= r->count) {
        rc = err_raise(e, RC_INVAL, "'%s' has no label %llu: it has %llu", r->path,
                       (unsigned long long)position, (unsigned long long)r->count);
    }
    if (rc != RC_OK) {
        return rc;
    }
    return reader_parse(r, r->places[position].key, r->places[position].data,
                        label_record_bytes(r->k), out, e);
}

enum rc label_reader_get(struct label_reader *r, const struct key128 *key, struct label *out,
                         bool *found, struct err *e)
{
    struct lmdb_val v;
    enum rc rc = lmdb_file_get(r->file, LABEL_TABLE_LABELS, key->b, sizeof key->b, &v, found, e);

    if (rc == RC_OK && *found) {
        rc = reader_parse(r, key->b, v.data, v.bytes, out, e);
    }
    return rc;
}

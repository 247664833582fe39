#include "shards/shard_reader.h"

#include <stdint.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/watch.h"
#include "shards/corpus_impl.h"
#include "shards/lmdb_file.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the index of a shard is used from the map as it is: little-endian machines only"
#endif

const char *const shard_reader_tables[SHARD_TABLES] = {"records", "meta"};

/* A record with later occurrences: its occurrences in one piece, as they would stand in a record. */
struct shard_merged {
    uint64_t position;
    int n;
    void *block;             /* a record without a file */
    const void *occurrences; /* in it */
};

struct shard_reader {
    struct lmdb_file *file;
    char *path;
    uint64_t count;
    const struct shard_index_entry *index;
    struct shard_index_entry *own_index; /* a copy, where the map cannot be used as it is */
    struct shard_merged *merged;         /* by position */
    size_t n_merged;
};

static enum rc reader_header(struct shard_reader *r, const struct corpus_shard *s, struct err *e)
{
    struct lmdb_val v = {NULL, 0};
    json_t *header = NULL;
    int64_t images = 0;
    int64_t format = 0;
    bool found = false;
    enum rc rc = lmdb_file_get(r->file, SHARD_TABLE_META, "header", 6, &v, &found, e);

    if (rc != RC_OK) {
        return rc;
    }
    header = found ? json_loadb(v.data, v.bytes, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (header == NULL) {
        return err_raise(e, RC_CORRUPT, "'%s' is damaged: it has no header", r->path);
    }
    rc = json_get_int(header, r->path, "format", &format, e);
    if (rc == RC_OK) {
        rc = json_get_int(header, r->path, "images", &images, e);
    }
    json_decref(header);
    if (rc == RC_OK && format > CORPUS_FORMAT) {
        rc = err_raise(e, RC_UNSUPPORTED,
                       "'%s' has format %lld, this program reads up to %d: use a newer preceptor",
                       r->path, (long long)format, CORPUS_FORMAT);
    }
    if (rc == RC_OK && (uint64_t)images != s->images) {
        rc = err_raise(e, RC_CORRUPT,
                       "'%s' is damaged: it holds %lld images, the manifest says %llu", r->path,
                       (long long)images, (unsigned long long)s->images);
    }
    r->count = s->images;
    return rc;
}

static enum rc reader_own_index(struct shard_reader *r, const void *from, struct err *e)
{
    size_t bytes = (size_t)r->count * sizeof *r->own_index;

    if (r->own_index != NULL) {
        return RC_OK;
    }
    r->own_index = mem_calloc((size_t)r->count, sizeof *r->own_index);
    if (r->own_index == NULL) {
        return mem_raise(e, "the index of a shard", bytes);
    }
    memcpy(r->own_index, from, bytes);
    r->index = r->own_index;
    return RC_OK;
}

static enum rc reader_index(struct shard_reader *r, struct err *e)
{
    struct lmdb_val v = {NULL, 0};
    bool found = false;
    enum rc rc = lmdb_file_get(r->file, SHARD_TABLE_META, "index", 5, &v, &found, e);

    if (rc != RC_OK) {
        return rc;
    }
    if (!found || v.bytes != r->count * sizeof *r->index) {
        return err_raise(e, RC_CORRUPT, "'%s' is damaged: its index has %zu bytes, expected %zu",
                         r->path, found ? v.bytes : 0, (size_t)r->count * sizeof *r->index);
    }
    if ((uintptr_t)v.data % _Alignof(struct shard_index_entry) != 0) {
        return reader_own_index(r, v.data, e); /* small values stand anywhere on a page */
    }
    r->index = v.data;
    return RC_OK;
}

/* ---- later occurrences ------------------------------------------------------------------------ */

struct reader_join {
    const struct shard_record *rec;
    const struct corpus_extra *extra;
};

static struct shard_occurrence reader_joined(void *ctx, uint32_t i)
{
    const struct reader_join *j = ctx;
    struct shard_occurrence o;
    size_t bytes = 0;

    if (i < (uint32_t)j->rec->n_occurrences) {
        o.cls = shard_record_class(j->rec, (int)i);
        o.source = shard_record_source(j->rec, (int)i, &bytes);
        o.source_bytes = (uint32_t)bytes;
    } else {
        const struct corpus_extra *x = &j->extra[i - (uint32_t)j->rec->n_occurrences];

        o.cls = x->cls;
        o.source = x->source;
        o.source_bytes = x->source_bytes;
    }
    return o;
}

/* Lay the occurrences of a record and n later ones out as a record without a file. */
static enum rc reader_merge(struct shard_reader *r, uint64_t position,
                            const struct corpus_extra *extra, size_t n, struct err *e)
{
    struct shard_record rec;
    struct shard_record whole;
    struct reader_join join = {&rec, extra};
    struct shard_merged *m = &r->merged[r->n_merged];
    size_t text = 0;
    size_t bytes = 0;
    enum rc rc = shard_reader_get(r, position, &rec, e);

    if (rc != RC_OK) {
        return rc;
    }
    for (int i = 0; i < rec.n_occurrences; i++) {
        (void)shard_record_source(&rec, i, &bytes);
        text += bytes;
    }
    for (size_t i = 0; i < n; i++) {
        text += extra[i].source_bytes;
    }
    m->n = rec.n_occurrences + (int)n;
    bytes = shard_record_size(0, (uint32_t)m->n, text);
    m->block = mem_calloc(bytes, 1);
    if (m->block == NULL) {
        return mem_raise(e, "the occurrences of an image", bytes);
    }
    r->n_merged++;
    m->position = position;
    (void)shard_record_write(m->block, &rec.key, 0, (uint32_t)m->n, text, reader_joined, &join);
    rc = shard_record_parse(m->block, bytes, r->path, position, &whole, e);
    if (rc == RC_OK) {
        m->occurrences = whole.occurrences;
        r->own_index[position].n_occurrences = (uint32_t)m->n;
    }
    return rc;
}

static enum rc reader_merge_all(struct shard_reader *r, const struct corpus *c, int shard,
                                struct err *e)
{
    const struct corpus_extra *x = NULL;
    size_t n = corpus_extras_of(&c->extras, (uint32_t)shard, &x);
    enum rc rc = RC_OK;

    if (n == 0) {
        return RC_OK;
    }
    r->merged = mem_calloc(n, sizeof *r->merged);
    if (r->merged == NULL) {
        return mem_raise(e, "later occurrences", n * sizeof *r->merged);
    }
    rc = reader_own_index(r, r->index, e);
    for (size_t i = 0; i < n && rc == RC_OK;) {
        size_t end = i + 1;
        uint64_t position = 0;
        bool found = false;

        while (end < n && memcmp(&x[end].key, &x[i].key, sizeof x->key) == 0) {
            end++;
        }
        shard_reader_find(r, &x[i].key, &found, &position);
        if (!found) {
            char hex[HASH_HEX_KEY];

            hash_key_hex(&x[i].key, hex);
            rc = err_raise(e, RC_CORRUPT, "'%s' has no image %s, but a later occurrence of it",
                           r->path, hex);
        } else {
            rc = reader_merge(r, position, &x[i], end - i, e);
        }
        i = end;
    }
    return rc;
}

static const struct shard_merged *reader_merged(const struct shard_reader *r, uint64_t position)
{
    size_t lo = 0;
    size_t hi = r->n_merged;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (r->merged[mid].position == position) {
            return &r->merged[mid];
        }
        if (r->merged[mid].position < position) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

/* ---- the reader ------------------------------------------------------------------------------- */

static enum rc reader_open_file(struct corpus *c, int i, bool trust, struct shard_reader *r,
                                struct err *e)
{
    const struct corpus_shard *s = &c->shards[i];
    bool known = trust || atomic_load(&c->checked[i]) != 0;
    enum rc rc = RC_OK;

    r->path = fs_join(c->path, s->name);
    if (r->path == NULL) {
        return mem_raise(e, "a path", strlen(c->path));
    }
    rc = lmdb_file_open(r->path, shard_reader_tables, SHARD_TABLES, s->bytes,
                        known ? NULL : &s->digest, &r->file, e);
    if (rc == RC_OK && !known) {
        atomic_store(&c->checked[i], 1);
    }
    return rc;
}

enum rc shard_reader_open(struct corpus *c, int i, bool trust, struct shard_reader **out,
                          struct err *e)
{
    struct shard_reader *r = NULL;
    enum rc rc = RC_OK;

    if (i < 0 || i >= c->n_shards) {
        return err_raise(e, RC_INVAL, "'%s' has %d shards: there is no shard %d", c->path,
                         c->n_shards, i);
    }
    r = mem_calloc(1, sizeof *r);
    if (r == NULL) {
        return mem_raise(e, "a shard reader", sizeof *r);
    }
    rc = reader_open_file(c, i, trust, r, e);
    if (rc == RC_OK) {
        rc = reader_header(r, &c->shards[i], e);
    }
    if (rc == RC_OK) {
        rc = reader_index(r, e);
    }
    if (rc == RC_OK) {
        rc = reader_merge_all(r, c, i, e);
    }
    if (rc != RC_OK) {
        shard_reader_close(r);
        return rc;
    }
    *out = r;
    return RC_OK;
}

void shard_reader_close(struct shard_reader *r)
{
    if (r == NULL) {
        return;
    }
    for (size_t i = 0; i < r->n_merged; i++) {
        mem_free(r->merged[i].block);
    }
    mem_free(r->merged);
    mem_free(r->own_index);
    lmdb_file_close(r->file);
    mem_free(r->path);
    mem_free(r);
}

uint64_t shard_reader_count(const struct shard_reader *r)
{
    return r->count;
}

const struct shard_index_entry *shard_reader_index(const struct shard_reader *r)
{
    return r->index;
}

bool shard_reader_sound(const struct shard_reader *r)
{
    return lmdb_file_sound(r->file);
}

enum rc shard_reader_check(const struct shard_reader *r, struct err *e)
{
    return shard_reader_sound(r)
               ? RC_OK
               : err_raise(e, RC_CORRUPT, "'%s' is damaged: a part of it cannot be read", r->path);
}

static enum rc reader_check(const struct shard_reader *r, uint64_t position,
                            const struct shard_record *rec, struct err *e)
{
    char hex[HASH_HEX_KEY];
    struct key128 is;

    hash_key(rec->data, rec->bytes, &is);
    if (memcmp(&is, &rec->key, sizeof is) == 0 &&
        memcmp(&is, &r->index[position].key, sizeof is) == 0) {
        return RC_OK;
    }
    hash_key_hex(&r->index[position].key, hex);
    return err_raise(e, RC_CORRUPT,
                     "'%s' is damaged: image %s (record %llu) is not what was sealed", r->path, hex,
                     (unsigned long long)position);
}

static enum rc reader_fetch(struct shard_reader *r, uint64_t position, struct shard_record *out,
                            struct err *e)
{
    const unsigned char key[4] = {(unsigned char)(position >> 24), (unsigned char)(position >> 16),
                                  (unsigned char)(position >> 8), (unsigned char)position};
    struct lmdb_val v = {NULL, 0};
    bool found = false;
    enum rc rc = lmdb_file_get(r->file, SHARD_TABLE_RECORDS, key, sizeof key, &v, &found, e);

    if (rc == RC_OK && !found) {
        rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: record %llu is missing", r->path,
                       (unsigned long long)position);
    }
    if (rc == RC_OK) {
        rc = shard_record_parse(v.data, v.bytes, r->path, position, out, e);
    }
    return rc == RC_OK ? reader_check(r, position, out, e) : rc;
}

enum rc shard_reader_get(struct shard_reader *r, uint64_t position, struct shard_record *out,
                         struct err *e)
{
    const struct shard_merged *m = NULL;
    struct shard_record rec;
    struct err why = {0};
    enum rc rc = RC_OK;

    watch_tick();
    if (position >= r->count) {
        return err_raise(e, RC_INVAL, "'%s' has %llu images: there is no position %llu", r->path,
                         (unsigned long long)r->count, (unsigned long long)position);
    }
    rc = reader_fetch(r, position, &rec, &why);
    if (shard_reader_check(r, e) != RC_OK) {
        return RC_CORRUPT;
    }
    if (rc != RC_OK) {
        return err_raise(e, rc, "%s", why.msg);
    }
    m = r->n_merged > 0 ? reader_merged(r, position) : NULL;
    if (m != NULL) {
        rec.n_occurrences = m->n;
        rec.occurrences = m->occurrences;
    }
    *out = rec;
    return RC_OK;
}

void shard_reader_find(const struct shard_reader *r, const struct key128 *key, bool *found,
                       uint64_t *position)
{
    uint64_t lo = 0;
    uint64_t hi = r->count;

    *found = false;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        int order = memcmp(&r->index[mid].key, key, sizeof *key);

        if (order == 0) {
            *found = true;
            *position = mid;
            return;
        }
        if (order < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
}

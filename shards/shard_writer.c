#include "shards/shard_writer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "shards/corpus_impl.h"
#include "shards/lmdb_file.h"

/* LMDB holds what a transaction writes in memory: a shard is sealed in pieces of this size. */
static const uint64_t SEAL_PIECE = (uint64_t)256 << 20;

struct shard_writer {
    struct pending *pending;
    struct lmdb_file *file;
    struct shard_index_entry *index;
    struct shard_occurrence *occurrences; /* of one image */
    uint32_t occurrence_room;
    uint64_t data_bytes;
    uint64_t n_occurrences;
};

static struct shard_occurrence writer_occurrence(void *ctx, uint32_t i)
{
    return ((const struct shard_writer *)ctx)->occurrences[i];
}

static enum rc writer_sources(struct shard_writer *w, uint32_t i, struct err *e)
{
    uint32_t n = pending_at(w->pending, i)->n_occurrences;

    if (n > w->occurrence_room) {
        struct shard_occurrence *o = mem_realloc(w->occurrences, 2 * (size_t)n, sizeof *o);

        if (o == NULL) {
            return mem_raise(e, "occurrences of an image", 2 * (size_t)n * sizeof *o);
        }
        w->occurrences = o;
        w->occurrence_room = 2 * n;
    }
    pending_occurrences(w->pending, i, w->occurrences);
    return RC_OK;
}

static enum rc writer_record(struct shard_writer *w, uint32_t i, struct err *e)
{
    const struct pending_image *image = pending_at(w->pending, i);
    const unsigned char key[4] = {(unsigned char)(i >> 24), (unsigned char)(i >> 16),
                                  (unsigned char)(i >> 8), (unsigned char)i};
    size_t size = shard_record_size((size_t)image->bytes, image->n_occurrences, image->text_bytes);
    void *value = NULL;
    enum rc rc = writer_sources(w, i, e);

    if (rc == RC_OK) {
        rc = lmdb_file_reserve(w->file, SHARD_TABLE_RECORDS, key, sizeof key, size, &value, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    value = shard_record_write(value, &image->key, (size_t)image->bytes, image->n_occurrences,
                               image->text_bytes, writer_occurrence, w);
    w->index[i].key = image->key;
    w->index[i].cls = w->occurrences[0].cls;
    w->index[i].n_occurrences = image->n_occurrences;
    w->data_bytes += image->bytes;
    w->n_occurrences += image->n_occurrences;
    return pending_read(w->pending, i, value, e);
}

static enum rc writer_records(struct shard_writer *w, struct err *e)
{
    uint64_t piece = 0;
    enum rc rc = RC_OK;

    for (uint32_t i = 0; i < pending_count(w->pending) && rc == RC_OK; i++) {
        rc = writer_record(w, i, e);
        piece += pending_at(w->pending, i)->bytes;
        if (rc == RC_OK && piece >= SEAL_PIECE) {
            rc = lmdb_file_commit(w->file, e);
            piece = 0;
        }
    }
    return rc;
}

static enum rc writer_meta(struct shard_writer *w, struct err *e)
{
    uint32_t n = pending_count(w->pending);
    json_t *header = json_object();
    char *text = NULL;
    enum rc rc = RC_OK;

    if (json_object_set_new(header, "kind", json_string("images")) != 0 ||
        json_object_set_new(header, "format", json_integer(CORPUS_FORMAT)) != 0 ||
        json_object_set_new(header, "images", json_integer(n)) != 0 ||
        json_object_set_new(header, "occurrences", json_integer((json_int_t)w->n_occurrences)) !=
            0 ||
        json_object_set_new(header, "image_bytes", json_integer((json_int_t)w->data_bytes)) != 0) {
        rc = mem_raise(e, "the header of a shard", 0);
        goto out;
    }
    text = json_dumps(header, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL) {
        rc = mem_raise(e, "the header of a shard", 0);
        goto out;
    }
    rc = lmdb_file_put(w->file, SHARD_TABLE_META, "header", 6, text, strlen(text), true, e);
    if (rc == RC_OK) {
        rc = lmdb_file_put(w->file, SHARD_TABLE_META, "index", 5, w->index, n * sizeof *w->index,
                           true, e);
    }
out:
    free(text);
    json_decref(header);
    return rc;
}

static enum rc writer_write(struct shard_writer *w, const char *tmp, struct err *e)
{
    enum rc rc = lmdb_file_create(tmp, shard_reader_tables, SHARD_TABLES, &w->file, e);

    if (rc == RC_OK) {
        rc = writer_records(w, e);
    }
    return rc == RC_OK ? writer_meta(w, e) : rc;
}

enum rc shard_writer_seal(const char *dir, struct pending *p, struct corpus_shard *out,
                          struct err *e)
{
    struct shard_writer w = {.pending = p};
    struct corpus_shard done = *out;
    char *final = mem_sprintf("%s/%s", dir, out->name);
    char *tmp = mem_sprintf("%s/%s.tmp.%ld", dir, out->name, (long)getpid());
    enum rc rc = RC_OK;

    w.index = mem_calloc(pending_count(p), sizeof *w.index);
    if (final == NULL || tmp == NULL || w.index == NULL) {
        rc = mem_raise(e, "the index of a shard", pending_count(p) * sizeof *w.index);
        goto out;
    }
    (void)unlink(tmp);
    pending_sort(p);
    rc = writer_write(&w, tmp, e);
    if (rc == RC_OK) {
        rc = lmdb_file_seal(w.file, tmp, final, &done.digest, &done.bytes, e);
        w.file = NULL;
    }
    if (rc == RC_OK) {
        done.images = pending_count(p);
        done.occurrences = w.n_occurrences;
        *out = done;
    }
out:
    lmdb_file_close(w.file);
    if (rc != RC_OK && tmp != NULL) {
        (void)unlink(tmp);
    }
    mem_free(w.occurrences);
    mem_free(w.index);
    mem_free(tmp);
    mem_free(final);
    return rc;
}

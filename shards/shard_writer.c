#include "shards/shard_writer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "shards/corpus_impl.h"
#include "shards/lmdb_bulk.h"
#include "shards/lmdb_seal_impl.h"

struct shard_writer {
    struct pending *pending;
    struct shard_index_entry *index;
    struct shard_occurrence *occurrences; /* of one image */
    uint32_t occurrence_room;
    unsigned char *head; /* of one record: all but the file's bytes */
    char *header;        /* JSON */
    uint32_t at;         /* the image whose record is written */
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

/* ---- what is known before anything is written ---------------------------------------------------- */

static enum rc writer_index(struct shard_writer *w, struct err *e)
{
    size_t room = 0;
    enum rc rc = RC_OK;

    for (uint32_t i = 0; i < pending_count(w->pending) && rc == RC_OK; i++) {
        const struct pending_image *image = pending_at(w->pending, i);
        size_t head = shard_record_size(0, image->n_occurrences, image->text_bytes);

        rc = writer_sources(w, i, e);
        if (rc == RC_OK) {
            w->index[i].key = image->key;
            w->index[i].cls = w->occurrences[0].cls;
            w->index[i].n_occurrences = image->n_occurrences;
            w->data_bytes += image->bytes;
            w->n_occurrences += image->n_occurrences;
            room = head > room ? head : room;
        }
    }
    if (rc == RC_OK) {
        w->head = mem_calloc(room, 1);
        rc = w->head != NULL ? RC_OK : mem_raise(e, "a record", room);
    }
    return rc;
}

static enum rc writer_header(struct shard_writer *w, struct err *e)
{
    json_t *header = json_object();
    enum rc rc = RC_OK;

    if (json_object_set_new(header, "kind", json_string("images")) != 0 ||
        json_object_set_new(header, "format", json_integer(CORPUS_FORMAT)) != 0 ||
        json_object_set_new(header, "images", json_integer(pending_count(w->pending))) != 0 ||
        json_object_set_new(header, "occurrences", json_integer((json_int_t)w->n_occurrences)) !=
            0 ||
        json_object_set_new(header, "image_bytes", json_integer((json_int_t)w->data_bytes)) != 0) {
        rc = mem_raise(e, "the header of a shard", 0);
    }
    if (rc == RC_OK) {
        w->header = json_dumps(header, JSON_COMPACT | JSON_SORT_KEYS);
        rc = w->header != NULL ? RC_OK : mem_raise(e, "the header of a shard", 0);
    }
    json_decref(header);
    return rc;
}

/* ---- tables -------------------------------------------------------------------------------------- */

static enum rc writer_fill_record(void *ctx, struct lmdb_bulk *b, struct err *e)
{
    struct shard_writer *w = ctx;
    const struct pending_image *image = pending_at(w->pending, w->at);
    uint64_t done = 0;
    enum rc rc = writer_sources(w, w->at, e);

    if (rc == RC_OK) {
        const unsigned char *end =
            shard_record_write(w->head, &image->key, (size_t)image->bytes, image->n_occurrences,
                               image->text_bytes, writer_occurrence, w);

        rc = lmdb_bulk_copy(b, w->head, (size_t)(end - w->head), e);
    }
    while (rc == RC_OK && done < image->bytes) {
        void *to = NULL;
        size_t n = 0;

        rc = lmdb_bulk_room(b, (size_t)(image->bytes - done), &to, &n, e);
        if (rc == RC_OK) {
            rc = pending_read(w->pending, w->at, done, n, to, e);
            done += n;
        }
    }
    return rc;
}

static enum rc writer_fill_header(void *ctx, struct lmdb_bulk *b, struct err *e)
{
    const struct shard_writer *w = ctx;

    return lmdb_bulk_copy(b, w->header, strlen(w->header), e);
}

static enum rc writer_fill_index(void *ctx, struct lmdb_bulk *b, struct err *e)
{
    const struct shard_writer *w = ctx;

    return lmdb_bulk_copy(b, w->index, pending_count(w->pending) * sizeof *w->index, e);
}

static enum rc writer_give(void *ctx, struct lmdb_bulk *b, struct err *e)
{
    struct shard_writer *w = ctx;
    const uint32_t n = pending_count(w->pending);
    enum rc rc = lmdb_bulk_table(b, shard_reader_tables[SHARD_TABLE_RECORDS], e);

    for (w->at = 0; w->at < n && rc == RC_OK; w->at++) {
        const struct pending_image *image = pending_at(w->pending, w->at);
        const unsigned char key[4] = {(unsigned char)(w->at >> 24), (unsigned char)(w->at >> 16),
                                      (unsigned char)(w->at >> 8), (unsigned char)w->at};

        rc = lmdb_bulk_put(
            b, key, sizeof key,
            shard_record_size((size_t)image->bytes, image->n_occurrences, image->text_bytes),
            writer_fill_record, w, e);
    }
    if (rc == RC_OK) {
        rc = lmdb_bulk_table(b, shard_reader_tables[SHARD_TABLE_META], e);
    }
    if (rc == RC_OK) {
        rc = lmdb_bulk_put(b, "header", 6, strlen(w->header), writer_fill_header, w, e);
    }
    return rc == RC_OK ? lmdb_bulk_put(b, "index", 5, n * sizeof *w->index, writer_fill_index, w, e)
                       : rc;
}

/* ---- sealing ------------------------------------------------------------------------------------- */

static enum rc writer_write(struct shard_writer *w, const char *tmp, const char *final,
                            struct corpus_shard *done, struct err *e)
{
    enum rc rc = writer_index(w, e);

    if (rc == RC_OK) {
        rc = writer_header(w, e);
    }
    if (rc == RC_OK) {
        rc = lmdb_bulk_write(tmp, writer_give, w, &done->digest, &done->bytes, e);
    }
    if (rc == RC_OK) {
        (void)unlink(final); /* no manifest names it */
        rc = lmdb_seal_publish(tmp, final, e);
    }
    return rc;
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
    }
    if (rc == RC_OK) {
        pending_sort(p);
        rc = writer_write(&w, tmp, final, &done, e);
    }
    if (rc == RC_OK) {
        done.images = pending_count(p);
        done.occurrences = w.n_occurrences;
        *out = done;
    } else if (tmp != NULL) {
        (void)unlink(tmp);
    }
    free(w.header);
    mem_free(w.head);
    mem_free(w.occurrences);
    mem_free(w.index);
    mem_free(tmp);
    mem_free(final);
    return rc;
}

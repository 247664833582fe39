#include "shards/label_bad_impl.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/quarantine_line.h"

/* Keys in the table "meta": of an image in a partial, "bad" and its key; of all in a sealed shard. */
static const char bad_prefix[] = "bad";
static const char bad_all[] = "label_bad";
enum { BAD_PREFIX = sizeof bad_prefix - 1, BAD_KEY = BAD_PREFIX + sizeof(struct key128) };

enum rc label_bad_put(struct lmdb_file *partial, const struct quarantine_entry *why, struct err *e)
{
    unsigned char key[BAD_KEY];
    char *line = NULL;
    enum rc rc = quarantine_line_write(why, &line, e);

    memcpy(key, bad_prefix, BAD_PREFIX);
    memcpy(key + BAD_PREFIX, &why->key, sizeof why->key);
    if (rc == RC_OK) {
        rc =
            lmdb_file_put(partial, LABEL_TABLE_META, key, sizeof key, line, strlen(line), false, e);
    }
    free(line);
    return rc;
}

/* ---- sealing --------------------------------------------------------------------------------- */

struct bad_text {
    char *text;
    size_t bytes, room;
    uint64_t n;
};

static enum rc bad_append(struct bad_text *t, const struct lmdb_val *line, struct err *e)
{
    if (line->bytes + 1 > t->room - t->bytes) {
        size_t room = 2 * t->room + line->bytes + 1;
        char *more = mem_realloc(t->text, room, 1);

        if (more == NULL) {
            return mem_raise(e, "images that cannot be decoded", room);
        }
        t->text = more;
        t->room = room;
    }
    memcpy(t->text + t->bytes, line->data, line->bytes);
    t->bytes += line->bytes;
    t->text[t->bytes++] = '\n';
    t->n++;
    return RC_OK;
}

static enum rc bad_collect(struct lmdb_file *partial, struct bad_text *t, struct err *e)
{
    struct lmdb_walk *walk = NULL;
    struct lmdb_val key;
    struct lmdb_val line;
    bool more = true;
    enum rc rc = lmdb_walk_open(partial, LABEL_TABLE_META, &walk, e);

    while (rc == RC_OK && (rc = lmdb_walk_next(walk, &key, &line, &more, e)) == RC_OK && more) {
        if (key.bytes == BAD_KEY && memcmp(key.data, bad_prefix, BAD_PREFIX) == 0) {
            rc = bad_append(t, &line, e);
        }
    }
    lmdb_walk_close(walk);
    return rc;
}

enum rc label_bad_seal(struct lmdb_file *partial, struct lmdb_file *to, uint64_t *n, struct err *e)
{
    struct bad_text t = {0};
    enum rc rc = bad_collect(partial, &t, e);

    if (rc == RC_OK && t.n > 0) {
        rc = lmdb_file_put(to, LABEL_TABLE_META, bad_all, strlen(bad_all), t.text, t.bytes, false,
                           e);
    }
    *n = t.n;
    mem_free(t.text);
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

enum rc label_bad_lines(struct lmdb_file *sealed, const char **text, size_t *bytes, struct err *e)
{
    struct lmdb_val v = {NULL, 0};
    bool found = false;
    enum rc rc = lmdb_file_get(sealed, LABEL_TABLE_META, bad_all, strlen(bad_all), &v, &found, e);

    *text = found ? v.data : NULL;
    *bytes = found ? v.bytes : 0;
    return rc;
}

enum rc label_bad_each(const char *path, const char *text, size_t bytes,
                       enum rc (*each)(void *ctx, const struct quarantine_entry *why,
                                       struct err *e),
                       void *ctx, struct err *e)
{
    const char *end = text + bytes;
    uint64_t number = 1;
    enum rc rc = RC_OK;

    for (const char *at = text; at < end && rc == RC_OK; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        struct quarantine_entry why;

        if (stop == NULL) {
            return err_raise(e, RC_CORRUPT, "'%s' is damaged: the last of its bad images is torn",
                             path);
        }
        rc = quarantine_line_parse(path, number, at, (size_t)(stop - at), &why, e);
        if (rc == RC_OK && !why.has_key) {
            rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: bad image %llu has no key", path,
                           (unsigned long long)number);
            quarantine_line_release(&why);
        } else if (rc == RC_OK) {
            rc = each(ctx, &why, e);
            quarantine_line_release(&why);
        }
        at = stop + 1;
    }
    return rc;
}

/* ---- the ledger ------------------------------------------------------------------------------ */

static enum rc bad_enter(void *ctx, const struct quarantine_entry *why, struct err *e)
{
    bool fresh = false;

    return quarantine_add(ctx, why, &fresh, e);
}

static enum rc bad_enter_shard(struct quarantine *q, const char *dir, const char *name,
                               struct err *e)
{
    char *path = fs_join(dir, name);
    struct lmdb_file *f = NULL;
    const char *text = NULL;
    size_t bytes = 0;
    enum rc rc = path != NULL
                     ? lmdb_file_open(path, label_record_tables, LABEL_TABLES, 0, NULL, &f, e)
                     : mem_raise(e, "a path", strlen(dir));

    if (rc == RC_OK) {
        rc = label_bad_lines(f, &text, &bytes, e);
    }
    if (rc == RC_OK) {
        rc = label_bad_each(path, text, bytes, bad_enter, q, e);
    }
    lmdb_file_close(f);
    mem_free(path);
    return rc;
}

static uint64_t bad_count(const json_t *entry)
{
    return (uint64_t)json_integer_value(json_object_get(entry, "bad"));
}

enum rc label_bad_ledger(const char *dir, const json_t *shards, struct err *e)
{
    struct quarantine *q = NULL;
    uint64_t all = 0;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < json_array_size(shards); i++) {
        all += bad_count(json_array_get(shards, i));
    }
    if (all == 0) {
        return RC_OK;
    }
    rc = quarantine_open(dir, QUARANTINE_ADD, &q, e);
    for (size_t i = 0; rc == RC_OK && quarantine_count(q) < all && i < json_array_size(shards);
         i++) {
        const json_t *entry = json_array_get(shards, i);

        if (bad_count(entry) > 0) {
            rc = bad_enter_shard(q, dir, json_string_value(json_object_get(entry, "name")), e);
        }
    }
    if (rc == RC_OK) {
        rc = quarantine_sync(q, e);
    }
    quarantine_close(q);
    return rc;
}

#include "shards/corpus_extra.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "shards/json_bytes.h"

static const size_t EXTRA_FILE_MAX = (size_t)1 << 32;

void corpus_extras_release(struct corpus_extras *x)
{
    for (size_t i = 0; i < x->n; i++) {
        mem_free(x->all[i].source);
    }
    mem_free(x->all);
    memset(x, 0, sizeof *x);
}

enum rc corpus_extras_add(struct corpus_extras *x, const struct corpus_extra *extra, struct err *e)
{
    char *source = NULL;

    if (x->n == x->room) {
        size_t room = x->room == 0 ? 64 : 2 * x->room;
        struct corpus_extra *all = mem_realloc(x->all, room, sizeof *all);

        if (all == NULL) {
            return mem_raise(e, "occurrences of images", room * sizeof *all);
        }
        x->all = all;
        x->room = room;
    }
    source = mem_calloc((size_t)extra->source_bytes + 1, 1);
    if (source == NULL) {
        return mem_raise(e, "the source of an image", extra->source_bytes);
    }
    memcpy(source, extra->source, extra->source_bytes);
    x->all[x->n] = *extra;
    x->all[x->n].source = source;
    x->all[x->n].order = x->n;
    x->n++;
    return RC_OK;
}

static int extra_compare(const void *a, const void *b)
{
    const struct corpus_extra *p = a;
    const struct corpus_extra *q = b;
    int order = 0;

    if (p->shard != q->shard) {
        return p->shard < q->shard ? -1 : 1;
    }
    order = memcmp(&p->key, &q->key, sizeof p->key);
    return order != 0 ? order : (p->order > q->order) - (p->order < q->order);
}

void corpus_extras_sort(struct corpus_extras *x)
{
    if (x->n > 1) {
        qsort(x->all, x->n, sizeof *x->all, extra_compare);
    }
}

static size_t extra_lower(const struct corpus_extras *x, uint64_t shard)
{
    size_t lo = 0;
    size_t hi = x->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (x->all[mid].shard < shard) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

size_t corpus_extras_of(const struct corpus_extras *x, uint32_t shard,
                        const struct corpus_extra **first)
{
    size_t lo = extra_lower(x, shard);

    *first = x->n > 0 ? x->all + lo : NULL;
    return extra_lower(x, (uint64_t)shard + 1) - lo;
}

static enum rc extra_line(const struct corpus_extra *x, char **out, struct err *e)
{
    char hex[HASH_HEX_KEY];
    json_t *line = json_object();
    enum rc rc = RC_OK;

    hash_key_hex(&x->key, hex);
    *out = NULL;
    if (line == NULL || json_object_set_new(line, "shard", json_integer(x->shard)) != 0 ||
        json_object_set_new(line, "key", json_string(hex)) != 0 ||
        json_object_set_new(line, "class", json_integer(x->cls)) != 0) {
        rc = mem_raise(e, "a line of occurrences", 0);
        goto out;
    }
    rc = json_bytes_set(line, "source", x->source, x->source_bytes, e);
    if (rc == RC_OK) {
        *out = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
        rc = *out != NULL ? RC_OK : mem_raise(e, "a line of occurrences", 0);
    }
out:
    json_decref(line);
    return rc;
}

enum rc corpus_extra_write(const char *dir, const struct corpus_extras *x,
                           struct corpus_extra_file *f, struct err *e)
{
    char *path = fs_join(dir, f->name);
    char *text = NULL;
    size_t n = 0;
    size_t room = 0;
    enum rc rc = path != NULL ? RC_OK : mem_raise(e, "a path", strlen(dir));

    for (size_t i = 0; i < x->n && rc == RC_OK; i++) {
        char *line = NULL;
        size_t bytes = 0;

        rc = extra_line(&x->all[i], &line, e);
        bytes = rc == RC_OK ? strlen(line) + 1 : 0;
        if (rc == RC_OK && n + bytes > room) {
            char *more = mem_realloc(text, 2 * room + bytes, 1);

            rc = more != NULL ? RC_OK : mem_raise(e, "lines of occurrences", 2 * room + bytes);
            text = more != NULL ? more : text;
            room = 2 * room + bytes;
        }
        if (rc == RC_OK) {
            memcpy(text + n, line, bytes - 1);
            text[n + bytes - 1] = '\n';
            n += bytes;
        }
        free(line);
    }
    if (rc == RC_OK) {
        rc = fs_write_atomic(path, text, n, e);
    }
    if (rc == RC_OK) {
        f->lines = x->n;
        f->bytes = n;
        hash_digest(text, n, &f->digest);
    }
    mem_free(text);
    mem_free(path);
    return rc;
}

static enum rc extra_parse(const char *line, size_t bytes, const char *path,
                           struct corpus_extras *x, struct err *e)
{
    struct corpus_extra extra = {0};
    const char *hex = NULL;
    char *source = NULL;
    size_t source_bytes = 0;
    int64_t shard = 0;
    int64_t cls = 0;
    json_t *obj = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
    enum rc rc = RC_OK;

    if (obj == NULL) {
        return err_raise(e, RC_CORRUPT, "'%s' is damaged: a line is not JSON", path);
    }
    rc = json_get_int(obj, path, "shard", &shard, e);
    if (rc == RC_OK) {
        rc = json_get_int(obj, path, "class", &cls, e);
    }
    if (rc == RC_OK) {
        rc = json_get_string(obj, path, "key", &hex, e);
    }
    if (rc == RC_OK && (shard < 0 || shard > INT32_MAX || cls < -1 || cls > INT32_MAX ||
                        hash_key_parse(hex, &extra.key, NULL) != RC_OK)) {
        rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: a value is out of range", path);
    }
    if (rc == RC_OK) {
        rc = json_bytes_get(obj, path, "source", &source, &source_bytes, e);
    }
    if (rc == RC_OK) {
        extra.shard = (uint32_t)shard;
        extra.cls = (int32_t)cls;
        extra.source = source;
        extra.source_bytes = (uint32_t)source_bytes;
        rc = corpus_extras_add(x, &extra, e);
    }
    mem_free(source);
    json_decref(obj);
    return rc;
}

enum rc corpus_extra_read(const char *dir, const struct corpus_extra_file *f,
                          struct corpus_extras *x, struct err *e)
{
    char *path = fs_join(dir, f->name);
    char *text = NULL;
    size_t n = 0;
    uint64_t lines = 0;
    struct digest d;
    enum rc rc = path != NULL ? RC_OK : mem_raise(e, "a path", strlen(dir));

    if (rc == RC_OK) {
        rc = fs_read(path, EXTRA_FILE_MAX, &text, &n, e);
    }
    if (rc != RC_OK) {
        goto out;
    }
    hash_digest(text, n, &d);
    if (n != f->bytes || memcmp(&d, &f->digest, sizeof d) != 0) {
        rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: it is not what was sealed", path);
        goto out;
    }
    for (size_t at = 0; at < n && rc == RC_OK; lines++) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t bytes = end != NULL ? (size_t)(end - text) - at : n - at;

        rc = extra_parse(text + at, bytes, path, x, e);
        at += bytes + 1;
    }
    if (rc == RC_OK && lines != f->lines) {
        rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: it has %llu lines, %llu were sealed", path,
                       (unsigned long long)lines, (unsigned long long)f->lines);
    }
out:
    mem_free(text);
    mem_free(path);
    return rc;
}

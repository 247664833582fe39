#include "shards/forget.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "shards/corpus_impl.h"
#include "shards/json_bytes.h"
#include "shards/near_hashes.h"

enum { FORGET_REASON = 512, FORGET_HEX_KEY = 32, FORGET_HEX_DIGEST = 64 };
static const size_t FORGET_LIST_MAX = (size_t)1 << 36;
static const double FORGET_PATIENCE = 2;

struct forget_list {
    struct key128 *keys;
    size_t n, room;
    const char *path;
    char corpus[PATH_MAX]; /* resolved */
};

/* ---- the list ---------------------------------------------------------------------------------- */

static enum rc list_add(struct forget_list *l, const struct key128 *key, struct err *e)
{
    if (l->n == l->room) {
        size_t room = l->room == 0 ? 1024 : 2 * l->room;
        struct key128 *keys = mem_realloc(l->keys, room, sizeof *keys);

        if (keys == NULL) {
            return mem_raise(e, "a list of keys", room * sizeof *keys);
        }
        l->keys = keys;
        l->room = room;
    }
    l->keys[l->n++] = *key;
    return RC_OK;
}

/* Whether a line of JSON is of the corpus at hand; one that names none is. */
static enum rc list_ours(const struct forget_list *l, const json_t *o, bool *ours, struct err *e)
{
    char real[PATH_MAX];
    char *path = NULL;
    size_t bytes = 0;
    enum rc rc = RC_OK;

    *ours = true;
    if (json_object_get(o, "corpus") == NULL && json_object_get(o, "corpus_hex") == NULL) {
        return RC_OK;
    }
    rc = json_bytes_get(o, l->path, "corpus", &path, &bytes, e);
    if (rc == RC_OK) {
        *ours = realpath(path, real) != NULL && strcmp(real, l->corpus) == 0;
    }
    mem_free(path);
    return rc;
}

static enum rc list_json(struct forget_list *l, const char *line, size_t bytes, struct err *e)
{
    json_t *o = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
    const char *hex = NULL;
    struct key128 key;
    bool ours = false;
    enum rc rc = o != NULL ? RC_OK : err_raise(e, RC_INVAL, "it is not JSON");

    if (rc == RC_OK) {
        rc = json_get_string(o, l->path, "key", &hex, e);
    }
    if (rc == RC_OK) {
        rc = hash_key_parse(hex, &key, e);
    }
    if (rc == RC_OK) {
        rc = list_ours(l, o, &ours, e);
    }
    if (rc == RC_OK && ours) {
        rc = list_add(l, &key, e);
    }
    json_decref(o);
    return rc;
}

static enum rc list_hex(struct forget_list *l, const char *line, size_t bytes, struct err *e)
{
    char hex[FORGET_HEX_KEY + 1];
    struct key128 key;
    size_t n = 0;
    enum rc rc = RC_OK;

    while (n < bytes && line[n] != ' ' && line[n] != '\t' && line[n] != '\r') {
        n++;
    }
    if (n != FORGET_HEX_KEY && n != FORGET_HEX_DIGEST) {
        return err_raise(e, RC_INVAL, "'%.*s' is no key", (int)(n > 80 ? 80 : n), line);
    }
    memcpy(hex, line, FORGET_HEX_KEY);
    hex[FORGET_HEX_KEY] = '\0';
    rc = hash_key_parse(hex, &key, e);
    return rc == RC_OK ? list_add(l, &key, e) : rc;
}

static int list_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct key128));
}

static void list_sort(struct forget_list *l)
{
    size_t n = 0;

    if (l->n > 0) {
        qsort(l->keys, l->n, sizeof *l->keys, list_compare);
    }
    for (size_t i = 0; i < l->n; i++) {
        if (n == 0 || list_compare(&l->keys[n - 1], &l->keys[i]) != 0) {
            l->keys[n++] = l->keys[i];
        }
    }
    l->n = n;
}

static enum rc list_read(struct forget_list *l, struct err *e)
{
    char *text = NULL;
    size_t bytes = 0;
    uint64_t number = 1;
    enum rc rc = fs_read(l->path, FORGET_LIST_MAX, &text, &bytes, e);

    for (const char *at = text, *end = text + bytes; rc == RC_OK && at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop != NULL ? stop : end) - at);
        struct err why = {0};

        if (n > 0 && at[0] != '#' && at[0] != '\r') {
            rc = at[0] == '{' ? list_json(l, at, n, &why) : list_hex(l, at, n, &why);
        }
        if (rc != RC_OK) {
            rc = err_raise(e, rc == RC_NOMEM ? rc : RC_INVAL,
                           "line %llu of '%s': %s; expected a key of 32 hex digits, a line of "
                           "sha256sum, or JSON with \"key\"",
                           (unsigned long long)number, l->path, why.msg);
        }
        at = stop != NULL ? stop + 1 : end;
    }
    mem_free(text);
    list_sort(l);
    return rc;
}

/* ---- finding the images ------------------------------------------------------------------------ */

struct forget {
    struct corpus *corpus;
    struct forgotten was;
    const struct key128 *keys; /* (n) sorted */
    bool *found;               /* (n) */
    size_t n;
    struct forgotten_entry *entries;
    size_t n_entries;
    struct forget_result *result;
};

static bool forget_before(const struct forgotten_entry *t, int shard, uint32_t position)
{
    return t->shard != (uint32_t)shard ? t->shard < (uint32_t)shard : t->position < position;
}

static bool forget_has(const struct forget *f, int shard, uint32_t position)
{
    uint64_t lo = 0;
    uint64_t hi = f->was.n;

    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;

        if (forget_before(&f->was.entries[mid], shard, position)) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < f->was.n && f->was.entries[lo].shard == (uint32_t)shard &&
           f->was.entries[lo].position == position;
}

static void forget_image(struct forget *f, size_t key, int shard, uint64_t position,
                         const struct near_entry *image)
{
    f->found[key] = true;
    if (forget_has(f, shard, (uint32_t)position)) {
        f->result->already++;
        return;
    }
    f->entries[f->n_entries++] = (struct forgotten_entry){
        image->key, (uint32_t)shard, (uint32_t)position, image->occurrences, 0};
}

/* Both lists are in key order. */
static enum rc forget_shard(struct forget *f, int shard, struct err *e)
{
    struct near_hashes h;
    size_t k = 0;
    enum rc rc = near_hashes_open(f->corpus, shard, &h, e);

    if (rc != RC_OK) {
        return rc;
    }
    for (uint64_t p = 0; p < h.n && k < f->n;) {
        int order = memcmp(&f->keys[k], &h.entries[p].key, sizeof *f->keys);

        if (order == 0) {
            forget_image(f, k, shard, p, &h.entries[p]);
        }
        k += order <= 0;
        p += order >= 0;
    }
    near_hashes_close(&h);
    return RC_OK;
}

static enum rc forget_find(struct forget *f, struct err *e)
{
    enum rc rc = RC_OK;

    f->found = mem_calloc(f->n + 1, sizeof *f->found);
    f->entries = mem_calloc(f->n + 1, sizeof *f->entries);
    if (f->found == NULL || f->entries == NULL) {
        return mem_raise(e, "tombstones", f->n * sizeof *f->entries);
    }
    for (int i = 0; i < corpus_shards(f->corpus) && rc == RC_OK; i++) {
        rc = forget_shard(f, i, e);
    }
    for (size_t i = 0; i < f->n; i++) {
        f->result->unknown += !f->found[i];
    }
    return rc;
}

static void forget_reason(const char *reason, char out[FORGET_REASON])
{
    time_t now = time(NULL);
    struct tm utc;
    size_t n = 0;

    (void)gmtime_r(&now, &utc);
    n = strftime(out, FORGET_REASON, "%Y-%m-%dT%H:%M:%SZ ", &utc);
    (void)snprintf(out + n, FORGET_REASON - n, "%s", reason);
    for (char *c = out; *c != '\0'; c++) {
        *c = *c == '\n' ? ' ' : *c;
    }
}

enum rc forget_keys(const char *corpus, const struct key128 *keys, size_t n, const char *reason,
                    struct forget_result *out, struct err *e)
{
    struct forget f = {.keys = keys, .n = n, .result = out};
    char line[FORGET_REASON];
    enum rc rc = corpus_load(corpus, &f.corpus, e);

    memset(out, 0, sizeof *out);
    out->named = n;
    if (rc == RC_OK) {
        rc = forgotten_read(corpus, &f.was, e);
    }
    if (rc == RC_OK) {
        rc = forget_find(&f, e);
    }
    if (rc == RC_OK && f.n_entries > 0) {
        forget_reason(reason, line);
        rc = forgotten_write(corpus, &f.was, f.entries, f.n_entries, line, e);
    }
    out->fresh = f.n_entries;
    out->all = f.was.n + f.n_entries;
    mem_free(f.entries);
    mem_free(f.found);
    forgotten_release(&f.was);
    corpus_close(f.corpus);
    return rc;
}

enum rc forget_lock(const char *corpus, int *lock, struct err *e)
{
    return fs_lock_dir(corpus, "pack or forget", FORGET_PATIENCE, lock, e);
}

enum rc forget_list(const char *corpus, const char *list, const char *reason,
                    struct forget_result *out, struct err *e)
{
    struct forget_list l = {.path = list};
    struct corpus *c = NULL;
    int lock = -1;
    enum rc rc = corpus_open(corpus, &c, e); /* says what is wrong with it */

    corpus_close(c);
    if (rc == RC_OK && realpath(corpus, l.corpus) == NULL) {
        rc = err_raise(e, RC_IO, "cannot find '%s'", corpus);
    }
    if (rc == RC_OK) {
        rc = list_read(&l, e);
    }
    if (rc == RC_OK) {
        rc = forget_lock(corpus, &lock, e);
    }
    if (rc == RC_OK) {
        rc = forget_keys(corpus, l.keys, l.n, reason, out, e);
    }
    if (lock >= 0) {
        (void)close(lock);
    }
    mem_free(l.keys);
    return rc;
}

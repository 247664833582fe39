#include "shards/quarantine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/quarantine_line.h"

struct quarantine {
    char *dir;
    char *path;
    int fd; /* -1 until the first entry */
    uint64_t lines;
    bool torn;
    struct key128 *seen; /* open addressing over hashes of (source, key); all zero: free */
    uint64_t n_slots;
    struct quarantine_entry *entries; /* owned texts */
    uint64_t *by_source;              /* indices, sorted by source */
    uint64_t n, room;
};

/* ---- what is listed ---------------------------------------------------------------------------- */

static void quarantine_hash(const struct quarantine_entry *entry, struct key128 *out)
{
    struct key128 both[2];

    memset(both, 0, sizeof both);
    hash_key(entry->source, strlen(entry->source), &both[0]);
    if (entry->has_key) {
        both[1] = entry->key;
    }
    hash_key(both, sizeof both, out);
}

static uint64_t quarantine_slot(const struct quarantine *q, const struct key128 *hash)
{
    static const struct key128 none;
    uint64_t at = 0;

    memcpy(&at, hash->b, sizeof at);
    at &= q->n_slots - 1;
    while (memcmp(&q->seen[at], &none, sizeof none) != 0 &&
           memcmp(&q->seen[at], hash, sizeof none) != 0) {
        at = (at + 1) & (q->n_slots - 1);
    }
    return at;
}

static enum rc quarantine_grow(struct quarantine *q, struct err *e)
{
    static const struct key128 none;
    struct quarantine old = *q;

    if (2 * (q->lines + 1) <= q->n_slots) {
        return RC_OK;
    }
    q->n_slots = q->n_slots == 0 ? 256 : 2 * q->n_slots;
    q->seen = mem_calloc(q->n_slots, sizeof *q->seen);
    if (q->seen == NULL) {
        *q = old;
        return mem_raise(e, "the quarantine ledger", 2 * old.n_slots * sizeof *q->seen);
    }
    for (uint64_t i = 0; i < old.n_slots; i++) {
        if (memcmp(&old.seen[i], &none, sizeof none) != 0) {
            q->seen[quarantine_slot(q, &old.seen[i])] = old.seen[i];
        }
    }
    mem_free(old.seen);
    return RC_OK;
}

static enum rc quarantine_note(struct quarantine *q, const struct quarantine_entry *entry,
                               bool *fresh, struct err *e)
{
    struct key128 hash;
    uint64_t at = 0;
    enum rc rc = quarantine_grow(q, e);

    if (rc != RC_OK) {
        return rc;
    }
    quarantine_hash(entry, &hash);
    at = quarantine_slot(q, &hash);
    *fresh = memcmp(&q->seen[at], &hash, sizeof hash) != 0;
    q->seen[at] = hash;
    return RC_OK;
}

/* ---- lines ------------------------------------------------------------------------------------- */

static enum rc quarantine_learn(struct quarantine *q, const char *line, size_t bytes, bool keep,
                                struct err *e)
{
    struct quarantine_entry entry;
    bool fresh = false;
    enum rc rc = quarantine_line_parse(q->path, q->lines + 1, line, bytes, &entry, e);

    if (rc != RC_OK) {
        return rc;
    }
    rc = quarantine_note(q, &entry, &fresh, e);
    if (rc == RC_OK && keep && q->n == q->room) {
        uint64_t room = q->room == 0 ? 64 : 2 * q->room;
        struct quarantine_entry *more = mem_realloc(q->entries, room, sizeof *more);

        rc = more != NULL ? RC_OK : mem_raise(e, "the quarantine ledger", room * sizeof *more);
        q->entries = more != NULL ? more : q->entries;
        q->room = more != NULL ? room : q->room;
    }
    if (rc == RC_OK) {
        q->lines++;
    }
    if (rc == RC_OK && keep) {
        q->entries[q->n++] = entry;
    } else {
        quarantine_line_release(&entry);
    }
    return rc;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static int quarantine_compare(const void *a, const void *b, void *entries)
{
    const struct quarantine_entry *all = entries;

    return strcmp(all[*(const uint64_t *)a].source, all[*(const uint64_t *)b].source);
}

static enum rc quarantine_sort(struct quarantine *q, struct err *e)
{
    q->by_source = mem_calloc(q->n, sizeof *q->by_source);
    if (q->by_source == NULL) {
        return mem_raise(e, "the quarantine ledger", q->n * sizeof *q->by_source);
    }
    for (uint64_t i = 0; i < q->n; i++) {
        q->by_source[i] = i;
    }
    if (q->n > 1) {
        qsort_r(q->by_source, q->n, sizeof *q->by_source, quarantine_compare, q->entries);
    }
    return RC_OK;
}

/* The offset after the last whole line is where the next one goes. */
static enum rc quarantine_load(struct quarantine *q, bool keep, off_t *end, struct err *e)
{
    FILE *f = fopen(q->path, "rb");
    char *line = NULL;
    size_t room = 0;
    ssize_t n = 0;
    enum rc rc = RC_OK;

    *end = 0;
    if (f == NULL) {
        return errno == ENOENT
                   ? RC_OK
                   : err_raise(e, RC_IO, "cannot read '%s': %s", q->path, strerror(errno));
    }
    while (rc == RC_OK && (n = getline(&line, &room, f)) > 0 && line[n - 1] == '\n') {
        rc = quarantine_learn(q, line, (size_t)n - 1, keep, e);
        *end += n;
    }
    q->torn = rc == RC_OK && n > 0;
    free(line);
    (void)fclose(f);
    return rc;
}

enum rc quarantine_open(const char *dir, enum quarantine_mode mode, struct quarantine **out,
                        struct err *e)
{
    struct quarantine *q = mem_calloc(1, sizeof *q);
    off_t end = 0;
    enum rc rc = RC_OK;

    if (q == NULL) {
        return mem_raise(e, "the quarantine ledger", sizeof *q);
    }
    q->fd = -1;
    q->dir = mem_strdup(dir);
    q->path = fs_join(dir, "quarantine.jsonl");
    if (q->path == NULL || q->dir == NULL) {
        rc = mem_raise(e, "a path", strlen(dir));
        goto out;
    }
    rc = quarantine_load(q, mode != QUARANTINE_ADD, &end, e);
    if (rc == RC_OK && mode != QUARANTINE_ADD) {
        rc = quarantine_sort(q, e);
    }
    if (rc == RC_OK && mode != QUARANTINE_READ && fs_exists(q->path) &&
        truncate(q->path, end) != 0) {
        rc = err_raise(e, RC_IO, "cannot write '%s': %s", q->path, strerror(errno));
    }
    if (rc == RC_OK) {
        *out = q;
        q = NULL;
    }
out:
    quarantine_close(q);
    return rc;
}

void quarantine_close(struct quarantine *q)
{
    if (q == NULL) {
        return;
    }
    if (q->fd >= 0) {
        (void)close(q->fd);
    }
    for (uint64_t i = 0; i < q->n; i++) {
        quarantine_line_release(&q->entries[i]);
    }
    mem_free(q->by_source);
    mem_free(q->entries);
    mem_free(q->seen);
    mem_free(q->path);
    mem_free(q->dir);
    mem_free(q);
}

uint64_t quarantine_count(const struct quarantine *q)
{
    return q->lines;
}

bool quarantine_torn(const struct quarantine *q)
{
    return q->torn;
}

/* ---- adding ------------------------------------------------------------------------------------ */

static enum rc quarantine_write(const struct quarantine *q, char *line, struct err *e)
{
    size_t bytes = strlen(line) + 1;
    size_t done = 0;
    off_t start = lseek(q->fd, 0, SEEK_END);

    line[bytes - 1] = '\n';
    while (done < bytes) {
        ssize_t n = write(q->fd, line + done, bytes - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            int native = errno;

            (void)ftruncate(q->fd, start);
            return err_raise(e, RC_IO, "cannot write '%s': %s", q->path,
                             native == ENOSPC ? "the disk is full" : strerror(native));
        }
        done += (size_t)n;
    }
    return RC_OK;
}

enum rc quarantine_add(struct quarantine *q, const struct quarantine_entry *entry, bool *fresh,
                       struct err *e)
{
    char *line = NULL;
    enum rc rc = quarantine_note(q, entry, fresh, e);

    if (rc != RC_OK || !*fresh) {
        return rc;
    }
    if (q->fd < 0) {
        q->fd = open(q->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    }
    if (q->fd < 0) {
        return err_raise(e, RC_IO, "cannot write '%s': %s", q->path, strerror(errno));
    }
    rc = quarantine_line_write(entry, &line, e);
    if (rc == RC_OK) {
        rc = quarantine_write(q, line, e);
    }
    if (rc == RC_OK) {
        q->lines++;
    }
    free(line);
    return rc;
}

enum rc quarantine_sync(struct quarantine *q, struct err *e)
{
    if (q->fd >= 0 && fsync(q->fd) != 0) {
        return err_raise(e, RC_IO, "cannot write '%s': %s", q->path, strerror(errno));
    }
    return RC_OK;
}

/* ---- entries ----------------------------------------------------------------------------------- */

uint64_t quarantine_entries(const struct quarantine *q)
{
    return q->n;
}

const struct quarantine_entry *quarantine_at(const struct quarantine *q, uint64_t i)
{
    return &q->entries[i];
}

bool quarantine_find(const struct quarantine *q, const char *source, uint64_t *i)
{
    uint64_t lo = 0;
    uint64_t hi = q->n;

    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        int order = strcmp(q->entries[q->by_source[mid]].source, source);

        if (order == 0) {
            *i = q->by_source[mid];
            return true;
        }
        if (order < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return false;
}

static enum rc quarantine_append(char **text, size_t *n, const char *line, struct err *e)
{
    size_t bytes = strlen(line);
    char *more = mem_realloc(*text, *n + bytes + 1, 1);

    if (more == NULL) {
        return mem_raise(e, "the quarantine ledger", *n + bytes);
    }
    memcpy(more + *n, line, bytes);
    more[*n + bytes] = '\n';
    *text = more;
    *n += bytes + 1;
    return RC_OK;
}

enum rc quarantine_keep(struct quarantine *q, const bool *dropped, struct err *e)
{
    struct quarantine *now = NULL;
    char *text = NULL;
    size_t bytes = 0;
    enum rc rc = quarantine_open(q->dir, QUARANTINE_READ, &now, e);

    for (uint64_t i = 0; rc == RC_OK && i < now->n; i++) {
        char *line = NULL;

        if (i < q->n && dropped[i]) {
            continue;
        }
        rc = quarantine_line_write(&now->entries[i], &line, e);
        if (rc == RC_OK) {
            rc = quarantine_append(&text, &bytes, line, e);
        }
        free(line);
    }
    if (rc == RC_OK) {
        rc = fs_write_atomic(q->path, text, bytes, e);
    }
    mem_free(text);
    quarantine_close(now);
    return rc;
}

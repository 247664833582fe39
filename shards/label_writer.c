#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "shards/label_bad_impl.h"
#include "shards/label_record_impl.h"
#include "shards/lmdb_file.h"

struct label_writer {
    char *dir;
    char *partial; /* path; the lock is held as long as lock_fd is open */
    int lock_fd;
    char *sealing; /* path of the rewritten file before it has its final name */
    char *final;
    struct label_meta meta;
    struct lmdb_file *file;
    uint64_t count;
    uint8_t *record; /* one */
};

/* Lock a file of ours that nobody else holds: its descriptor, or -1. */
static int writer_lock(const char *path, int flags)
{
    int fd = open(path, flags | O_RDWR | O_CLOEXEC, 0666);
    struct stat held;
    struct stat named;

    if (fd < 0) {
        return -1;
    }
    /* It may have been removed, or replaced, between the two calls. */
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &held) != 0 || stat(path, &named) != 0 ||
        held.st_ino != named.st_ino || held.st_dev != named.st_dev) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void writer_unlock(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

/* Remove a file of a killed writer, unless somebody holds it. */
static void writer_sweep_file(const char *dir, const char *name)
{
    char *path = fs_join(dir, name);
    int fd = path != NULL ? writer_lock(path, 0) : -1;

    if (fd >= 0) {
        (void)unlink(path);
    }
    writer_unlock(&fd);
    mem_free(path);
}

void label_writer_sweep_sealed(const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *entry = NULL;

    while (d != NULL && (entry = readdir(d)) != NULL) {
        const char *rest = strstr(entry->d_name, ".lmdb.");
        int shard = -1;

        if (rest != NULL &&
            (strncmp(rest, ".lmdb.tmp.", 10) == 0 ||
             strncmp(rest, ".lmdb.sealing.tmp.", 18) == 0) &&
            sscanf(entry->d_name, "labels-%d", &shard) == 1 && label_shard_sealed(dir, shard)) {
            writer_sweep_file(dir, entry->d_name);
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
}

/* What killed writers left while they sealed this shard. */
static void writer_sweep_sealing(const struct label_writer *w)
{
    char prefix[64];
    DIR *d = opendir(w->dir);
    const struct dirent *entry = NULL;

    (void)snprintf(prefix, sizeof prefix, "labels-%06d.lmdb.sealing.tmp.", w->meta.shard);
    while (d != NULL && (entry = readdir(d)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
            writer_sweep_file(w->dir, entry->d_name);
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
}

/* Whether the open file is a partial of the same work; its count if so. */
static enum rc writer_fits(struct label_writer *w, struct lmdb_file *f, bool *fits, uint64_t *count,
                           struct err *e)
{
    struct label_meta m;
    struct lmdb_val v;
    bool found = false;
    enum rc rc = lmdb_file_get(f, LABEL_TABLE_META, LABEL_META_SHARD, strlen(LABEL_META_SHARD), &v,
                               &found, e);

    *fits = false;
    if (rc == RC_OK && found) {
        rc = label_record_meta_parse(v.data, v.bytes, lmdb_file_path(f), &m, e);
        *fits = rc == RC_OK && memcmp(&m.lineage, &w->meta.lineage, sizeof m.lineage) == 0 &&
                memcmp(&m.image_digest, &w->meta.image_digest, sizeof m.image_digest) == 0 &&
                m.shard == w->meta.shard && strcmp(m.isa, w->meta.isa) == 0;
    }
    return rc == RC_OK ? lmdb_file_count(f, LABEL_TABLE_LABELS, count, e) : rc;
}

/* Take over the orphan at path if it is the fullest so far; one that is of no use is removed. */
static void writer_consider(struct label_writer *w, char *path)
{
    struct lmdb_file *f = NULL;
    struct err err = {0};
    bool fits = false;
    uint64_t count = 0;
    int fd = writer_lock(path, 0);

    if (fd < 0) {
        mem_free(path);
        return; /* another process is at work on it */
    }
    if (lmdb_file_create(path, label_record_tables, LABEL_TABLES, &f, &err) != RC_OK ||
        writer_fits(w, f, &fits, &count, &err) != RC_OK || !fits) {
        log_warn("shards", "'%s' is of no use and is removed: %s", path,
                 err.rc == RC_OK ? "it is of other weights, images or instructions" : err.msg);
    }
    if (fits && (w->file == NULL || count > w->count)) {
        struct label_writer old = *w;

        w->file = f;
        w->partial = path;
        w->lock_fd = fd;
        w->count = count;
        f = old.file;
        path = old.partial;
        fd = old.lock_fd;
    }
    lmdb_file_close(f);
    if (path != NULL) {
        (void)unlink(path);
    }
    writer_unlock(&fd);
    mem_free(path);
}

static enum rc writer_take_over(struct label_writer *w, struct err *e)
{
    char prefix[64];
    DIR *d = opendir(w->dir);
    const struct dirent *entry = NULL;
    enum rc rc = RC_OK;

    if (d == NULL) {
        return err_raise(e, RC_IO, "cannot read the folder '%s': %s", w->dir, strerror(errno));
    }
    (void)snprintf(prefix, sizeof prefix, "labels-%06d.lmdb.tmp.", w->meta.shard);
    while ((entry = readdir(d)) != NULL && rc == RC_OK) {
        char *path = NULL;

        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0) {
            continue;
        }
        path = fs_join(w->dir, entry->d_name);
        if (path == NULL) {
            rc = mem_raise(e, "a path", strlen(entry->d_name));
        } else {
            writer_consider(w, path); /* takes path */
        }
    }
    (void)closedir(d);
    return rc;
}

static enum rc writer_start(struct label_writer *w, const char *attempt, struct err *e)
{
    char *text = NULL;
    size_t bytes = 0;
    enum rc rc = RC_OK;

    w->partial = mem_sprintf("%s/labels-%06d.lmdb.tmp.%s", w->dir, w->meta.shard, attempt);
    if (w->partial == NULL) {
        return mem_raise(e, "a path", strlen(w->dir));
    }
    w->lock_fd = writer_lock(w->partial, O_CREAT);
    if (w->lock_fd < 0) {
        return err_raise(e, RC_IO, "cannot lock '%s': another process holds it, or %s", w->partial,
                         strerror(errno));
    }
    rc = lmdb_file_create(w->partial, label_record_tables, LABEL_TABLES, &w->file, e);
    if (rc == RC_OK) {
        rc = label_record_meta_write(&w->meta, &text, &bytes, e);
    }
    if (rc == RC_OK) {
        rc = lmdb_file_put(w->file, LABEL_TABLE_META, LABEL_META_SHARD, strlen(LABEL_META_SHARD),
                           text, bytes, false, e);
    }
    mem_free(text);
    return rc == RC_OK ? lmdb_file_commit(w->file, e) : rc;
}

static enum rc writer_paths(struct label_writer *w, const char *dir, const char *attempt,
                            struct err *e)
{
    w->dir = mem_strdup(dir);
    w->final = mem_sprintf("%s/labels-%06d.lmdb", dir, w->meta.shard);
    w->sealing = mem_sprintf("%s/labels-%06d.lmdb.sealing.tmp.%s", dir, w->meta.shard, attempt);
    w->record = mem_calloc(label_record_bytes(w->meta.top_k), 1);
    if (w->dir == NULL || w->final == NULL || w->sealing == NULL || w->record == NULL) {
        return mem_raise(e, "a label writer", strlen(dir));
    }
    return RC_OK;
}

enum rc label_writer_open(const char *dir, const struct label_lineage *lineage,
                          const struct corpus_shard *image, int shard, const char *attempt,
                          struct label_writer **out, struct err *e)
{
    struct label_writer *w = NULL;
    enum rc rc = RC_OK;

    if (lineage->top_k < 1 || lineage->top_k > lineage->n_classes ||
        lineage->n_classes > LABEL_MAX_CLASSES) {
        return err_raise(e, RC_INVAL, "labels of the top %d of %d classes: expected 1 to %d",
                         lineage->top_k, lineage->n_classes, lineage->n_classes);
    }
    w = mem_calloc(1, sizeof *w);
    if (w == NULL) {
        return mem_raise(e, "a label writer", sizeof *w);
    }
    w->lock_fd = -1;
    label_record_meta(lineage, image, shard, &w->meta);
    rc = writer_paths(w, dir, attempt, e);
    if (rc == RC_OK) {
        rc = fs_mkdirs(dir, e);
    }
    if (rc == RC_OK) {
        rc = writer_take_over(w, e);
    }
    if (rc == RC_OK && w->file == NULL) {
        rc = writer_start(w, attempt, e);
    }
    if (rc == RC_OK) {
        *out = w;
        w = NULL;
    }
    label_writer_close(w);
    return rc;
}

void label_writer_close(struct label_writer *w)
{
    if (w == NULL) {
        return;
    }
    lmdb_file_close(w->file);
    writer_unlock(&w->lock_fd);
    mem_free(w->dir);
    mem_free(w->partial);
    mem_free(w->sealing);
    mem_free(w->final);
    mem_free(w->record);
    mem_free(w);
}

uint64_t label_writer_count(const struct label_writer *w)
{
    return w->count;
}

enum rc label_writer_has(struct label_writer *w, const struct key128 *key, bool *has, struct err *e)
{
    struct lmdb_val v;

    return lmdb_file_get(w->file, LABEL_TABLE_LABELS, key->b, sizeof key->b, &v, has, e);
}

enum rc label_writer_put(struct label_writer *w, const struct label *labels, int n, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < n && rc == RC_OK; i++) {
        assert(labels[i].k == w->meta.top_k);
        label_record_write(&labels[i], w->record);
        rc = lmdb_file_put(w->file, LABEL_TABLE_LABELS, labels[i].key.b, sizeof labels[i].key.b,
                           w->record, label_record_bytes(w->meta.top_k), false, e);
    }
    if (rc == RC_OK) {
        rc = lmdb_file_commit(w->file, e);
    }
    if (rc == RC_OK) {
        w->count += (uint64_t)n;
    }
    return rc;
}

enum rc label_writer_bad(struct label_writer *w, const struct quarantine_entry *why, struct err *e)
{
    return label_bad_put(w->file, why, e);
}

enum rc label_writer_best(struct label_writer *w, const struct key128 *key, uint16_t *cls,
                          float *confidence, struct err *e)
{
    struct lmdb_val v;
    struct label l;
    bool found = false;
    const char *wrong = NULL;
    enum rc rc = lmdb_file_get(w->file, LABEL_TABLE_LABELS, key->b, sizeof key->b, &v, &found, e);

    if (rc != RC_OK) {
        return rc;
    }
    wrong = !found ? "it is not there"
                   : label_record_parse(key->b, sizeof key->b, v.data, v.bytes, w->meta.top_k,
                                        w->meta.n_classes, &l);
    if (wrong != NULL) {
        return err_raise(e, RC_CORRUPT, "a label of '%s' cannot be audited: %s", w->partial, wrong);
    }
    *cls = l.cls[0];
    *confidence = l.confidence;
    return RC_OK;
}

void label_writer_audit(struct label_writer *w, const struct label_audit *a)
{
    w->meta.audit = *a;
}

/* ---- sealing --------------------------------------------------------------------------------- */

/* Copy the partial's labels in key order and keep their summary (expected entries). */
static enum rc writer_copy(struct label_writer *w, struct lmdb_file *to,
                           struct label_summary *summary, struct err *e)
{
    struct lmdb_walk *walk = NULL;
    struct lmdb_val key;
    struct lmdb_val val;
    uint64_t i = 0;
    bool more = true;
    enum rc rc = lmdb_walk_open(w->file, LABEL_TABLE_LABELS, &walk, e);

    while (rc == RC_OK && (rc = lmdb_walk_next(walk, &key, &val, &more, e)) == RC_OK && more) {
        struct label l;
        const char *wrong = label_record_parse(key.data, key.bytes, val.data, val.bytes,
                                               w->meta.top_k, w->meta.n_classes, &l);

        if (wrong != NULL || i == w->count) {
            rc = err_raise(e, RC_CORRUPT,
                           "label %llu of '%s' is damaged: %s; remove the file and "
                           "label its shard again",
                           (unsigned long long)i, w->partial,
                           wrong != NULL ? wrong : "there are more labels than counted");
            break;
        }
        summary[i++] = (struct label_summary){l.confidence, l.cls[0]};
        rc = lmdb_file_put(to, LABEL_TABLE_LABELS, key.data, key.bytes, val.data, val.bytes, true,
                           e);
    }
    lmdb_walk_close(walk);
    return rc;
}

static enum rc writer_describe(struct label_writer *w, struct lmdb_file *to,
                               const struct label_summary *summary, struct err *e)
{
    char *text = NULL;
    size_t bytes = 0;
    enum rc rc = RC_OK;

    w->meta.labels = w->count;
    rc = label_bad_seal(w->file, to, &w->meta.bad, e);
    if (rc == RC_OK) {
        rc = label_record_meta_write(&w->meta, &text, &bytes, e);
    }
    if (rc == RC_OK) {
        rc = lmdb_file_put(to, LABEL_TABLE_META, LABEL_META_SHARD, strlen(LABEL_META_SHARD), text,
                           bytes, false, e);
    }
    mem_free(text);
    if (rc == RC_OK) {
        rc = lmdb_file_put(to, LABEL_TABLE_META, LABEL_META_SUMMARY, strlen(LABEL_META_SUMMARY),
                           summary, (size_t)w->count * sizeof *summary, false, e);
    }
    return rc;
}

static enum rc writer_rewrite(struct label_writer *w, struct label_summary *summary, struct err *e)
{
    struct lmdb_file *to = NULL;
    struct digest digest;
    uint64_t bytes = 0;
    enum rc rc = lmdb_file_create(w->sealing, label_record_tables, LABEL_TABLES, &to, e);

    if (rc == RC_OK) {
        rc = writer_copy(w, to, summary, e);
    }
    if (rc == RC_OK) {
        rc = writer_describe(w, to, summary, e);
    }
    if (rc == RC_OK) {
        rc = lmdb_file_seal(to, w->sealing, w->final, &digest, &bytes, e); /* takes to */
        to = NULL;
    }
    lmdb_file_close(to);
    return rc;
}

enum rc label_writer_seal(struct label_writer *w, uint64_t expected, struct err *e)
{
    struct label_summary *summary = NULL;
    enum rc rc = RC_OK;
    int fd = -1;

    if (w->count != expected) {
        return err_raise(e, RC_CORRUPT,
                         "'%s' holds %llu labels but its image shard '%s' has %llu "
                         "images",
                         w->partial, (unsigned long long)w->count, w->meta.image_shard,
                         (unsigned long long)expected);
    }
    writer_sweep_sealing(w);
    summary = mem_calloc((size_t)expected, sizeof *summary);
    if (summary == NULL) {
        return mem_raise(e, "a label shard's summary", (size_t)expected * sizeof *summary);
    }
    fd = writer_lock(w->sealing, O_CREAT);
    if (fd < 0) {
        rc = err_raise(e, RC_IO, "cannot lock '%s': another process holds it, or %s", w->sealing,
                       strerror(errno));
        goto out;
    }
    rc = writer_rewrite(w, summary, e);
    if (rc != RC_OK) {
        (void)unlink(w->sealing);
        goto out;
    }
    lmdb_file_close(w->file);
    w->file = NULL;
    (void)unlink(w->partial);
out:
    writer_unlock(&fd);
    mem_free(summary);
    return rc;
}

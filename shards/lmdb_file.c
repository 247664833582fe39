#include "shards/lmdb_file.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/lmdb_check_impl.h"
#include "shards/lmdb_seal_impl.h"
#include "shards/map_guard.h"

/* Address space kept free for a file that is being written; it costs neither memory nor disk, so
 * the map never has to grow under an open transaction. Halved where the system refuses it. */
static const size_t LMDB_RESERVE = (size_t)1 << 40;
static const size_t LMDB_RESERVE_MIN = (size_t)1 << 24;

struct lmdb_file {
    MDB_env *env;
    MDB_txn *txn; /* reading: for life; writing: from the first put or get to the commit */
    MDB_dbi dbi[LMDB_MAX_TABLES];
    int n;
    bool readonly;
    bool loose;
    size_t reserve;
    int guard;     /* of the map of a sealed file */
    uintptr_t map; /* where that begins; 0: not known */
    size_t map_bytes;
    char *path;
};

struct lmdb_walk {
    struct lmdb_file *file;
    MDB_cursor *cursor;
};

static bool lmdb_disk_full(const char *path)
{
    struct statvfs s;
    char *dir = mem_strdup(path);
    bool full = false;

    if (dir != NULL) {
        char *slash = strrchr(dir, '/');

        if (slash != NULL) {
            slash[slash == dir] = '\0';
        }
        full = statvfs(slash != NULL ? dir : ".", &s) == 0 &&
               s.f_bavail * s.f_frsize < ((uint64_t)1 << 20);
        mem_free(dir);
    }
    return full;
}

static enum rc lmdb_raise(struct err *e, const char *doing, const char *path, int native)
{
    switch (native) {
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_PAGE_NOTFOUND:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_PANIC:
        return err_raise(e, RC_CORRUPT, "cannot %s '%s': it is damaged or not an LMDB file (%s)",
                         doing, path, mdb_strerror(native));
    case MDB_KEYEXIST:
        return err_raise(e, RC_INVAL, "cannot %s '%s': the key is there already or out of order",
                         doing, path);
    case MDB_BAD_VALSIZE:
        return err_raise(e, RC_INVAL, "cannot %s '%s': a key or value has a size LMDB refuses",
                         doing, path);
    case ENOMEM:
        return err_raise(e, RC_NOMEM, "cannot %s '%s': out of memory or address space", doing,
                         path);
    case MDB_MAP_FULL:
        return err_raise(e, RC_IO, "cannot %s '%s': it outgrew the address space of this process",
                         doing, path);
    default:
        break;
    }
    if (native == ENOSPC || native == EDQUOT || (native == EIO && lmdb_disk_full(path))) {
        return err_raise(e, RC_IO, "cannot %s '%s': the disk is full", doing, path);
    }
    return err_raise(e, RC_IO, "cannot %s '%s': %s", doing, path, mdb_strerror(native));
}

static enum rc lmdb_new(const char *path, int n, bool readonly, struct lmdb_file **out,
                        struct err *e)
{
    struct lmdb_file *f = mem_calloc(1, sizeof *f);

    if (f == NULL) {
        return mem_raise(e, "an LMDB file", sizeof *f);
    }
    f->n = n;
    f->readonly = readonly;
    f->guard = MAP_GUARD_NONE;
    f->path = mem_strdup(path);
    if (f->path == NULL) {
        mem_free(f);
        return mem_raise(e, "a path", strlen(path));
    }
    *out = f;
    return RC_OK;
}

/* One try; on failure the environment is gone. */
static int lmdb_env(struct lmdb_file *f, size_t map, unsigned flags)
{
    int native = mdb_env_create(&f->env);

    if (native != 0) {
        f->env = NULL;
        return native;
    }
    native = mdb_env_set_maxdbs(f->env, LMDB_MAX_TABLES);
    if (native == 0) {
        native = mdb_env_set_mapsize(f->env, map);
    }
    if (native == 0) {
        native = mdb_env_open(f->env, f->path, flags | MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS, 0666);
    }
    if (native != 0) {
        mdb_env_close(f->env);
        f->env = NULL;
    }
    return native;
}

static int lmdb_begin(struct lmdb_file *f)
{
    if (f->txn != NULL) {
        return 0;
    }
    return mdb_txn_begin(f->env, NULL, f->readonly ? MDB_RDONLY : 0, &f->txn);
}

static enum rc lmdb_tables(struct lmdb_file *f, const char *const tables[], struct err *e)
{
    int native = lmdb_begin(f);

    if (native != 0) {
        return lmdb_raise(e, "open", f->path, native);
    }
    for (int i = 0; i < f->n; i++) {
        MDB_stat s;

        native = mdb_dbi_open(f->txn, tables[i], f->readonly ? 0 : MDB_CREATE, &f->dbi[i]);
        if (native == MDB_NOTFOUND) {
            return err_raise(e, RC_CORRUPT, "'%s' has no table '%s': it is not such a store",
                             f->path, tables[i]);
        }
        if (native == 0) {
            native = mdb_stat(f->txn, f->dbi[i], &s); /* settles the handle: later gets only read */
        }
        if (native != 0) {
            return lmdb_raise(e, "open", f->path, native);
        }
    }
    return RC_OK;
}

enum rc lmdb_file_create(const char *path, const char *const tables[], int n,
                         struct lmdb_file **out, struct err *e)
{
    struct lmdb_file *f = NULL;
    enum rc rc = fs_exists(path) ? lmdb_check_pages(path, e) : RC_OK;
    int native = ENOMEM;

    if (rc == RC_OK) {
        rc = lmdb_new(path, n, false, &f, e);
    }

    if (rc != RC_OK) {
        return rc;
    }
    f->reserve = LMDB_RESERVE;
    while ((native = lmdb_env(f, f->reserve, 0)) == ENOMEM && f->reserve > LMDB_RESERVE_MIN) {
        f->reserve /= 2;
    }
    if (native != 0) {
        rc = lmdb_raise(e, "write", path, native);
        goto out;
    }
    rc = lmdb_tables(f, tables, e);
    if (rc != RC_OK) {
        goto out;
    }
    *out = f;
    f = NULL;
out:
    lmdb_file_close(f);
    return rc;
}

static enum rc lmdb_check(const char *path, uint64_t expect_bytes, const struct digest *expect,
                          struct err *e)
{
    struct digest found;
    uint64_t bytes = 0;
    enum rc rc = fs_size(path, &bytes, e);

    if (rc != RC_OK) {
        return rc;
    }
    if (bytes != expect_bytes) {
        return err_raise(e, RC_CORRUPT, "'%s' is damaged: it has %llu bytes, %llu were sealed",
                         path, (unsigned long long)bytes, (unsigned long long)expect_bytes);
    }
    rc = hash_file(path, &found, e);
    if (rc == RC_OK && memcmp(&found, expect, sizeof found) != 0) {
        char was[HASH_HEX_DIGEST];
        char is[HASH_HEX_DIGEST];

        hash_digest_hex(expect, was);
        hash_digest_hex(&found, is);
        rc = err_raise(e, RC_CORRUPT,
                       "'%s' is damaged: its SHA-256 is %.16s..., %.16s... was sealed", path, is,
                       was);
    }
    return rc;
}

/* Guard the map. A page knows its number (the first 8 bytes in LMDB's format 1), so any value in the
 * map tells where the map begins. */
static void lmdb_guard(struct lmdb_file *f, size_t bytes)
{
    MDB_cursor *cursor = NULL;
    MDB_dbi names = 0;
    MDB_stat stat;
    MDB_val k;
    MDB_val v;

    if (mdb_env_stat(f->env, &stat) == 0 && mdb_dbi_open(f->txn, NULL, 0, &names) == 0 &&
        mdb_cursor_open(f->txn, names, &cursor) == 0) {
        if (mdb_cursor_get(cursor, &k, &v, MDB_FIRST) == 0) {
            uintptr_t page = (uintptr_t)v.mv_data & ~((uintptr_t)stat.ms_psize - 1);
            uint64_t number = 0;

            memcpy(&number, (const void *)page, sizeof number);
            if (number < bytes / stat.ms_psize) {
                f->map = page - number * stat.ms_psize;
                f->map_bytes = bytes;
                f->guard = map_guard_add((const void *)f->map, bytes);
            }
        }
        mdb_cursor_close(cursor);
    }
}

bool lmdb_file_sound(const struct lmdb_file *f)
{
    return map_guard_sound(f->guard);
}

enum rc lmdb_file_at(const struct lmdb_file *f, const struct lmdb_val *v, uint64_t *at,
                     struct err *e)
{
    uintptr_t p = (uintptr_t)v->data;

    if (f->map == 0 || p < f->map || p - f->map > f->map_bytes ||
        v->bytes > f->map_bytes - (p - f->map)) {
        return err_raise(e, RC_CORRUPT, "a value of '%s' is not in its file", f->path);
    }
    *at = p - f->map;
    return RC_OK;
}

void lmdb_file_loose(struct lmdb_file *f)
{
    f->loose = mdb_env_set_flags(f->env, MDB_NOSYNC, 1) == 0;
}

enum rc lmdb_file_open(const char *path, const char *const tables[], int n, uint64_t expect_bytes,
                       const struct digest *expect, struct lmdb_file **out, struct err *e)
{
    struct lmdb_file *f = NULL;
    uint64_t bytes = 0;
    enum rc rc =
        expect != NULL ? lmdb_check(path, expect_bytes, expect, e) : lmdb_check_pages(path, e);
    int native = 0;

    if (rc == RC_OK) {
        rc = fs_size(path, &bytes, e);
    }
    if (rc == RC_OK) {
        rc = lmdb_new(path, n, true, &f, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    native = lmdb_env(f, (size_t)bytes, MDB_RDONLY);
    if (native != 0) {
        rc = lmdb_raise(e, "read", path, native);
        goto out;
    }
    rc = lmdb_tables(f, tables, e);
    if (rc != RC_OK) {
        goto out;
    }
    lmdb_guard(f, (size_t)bytes);
    *out = f;
    f = NULL;
out:
    lmdb_file_close(f);
    return rc;
}

void lmdb_file_close(struct lmdb_file *f)
{
    if (f == NULL) {
        return;
    }
    map_guard_remove(f->guard);
    if (f->txn != NULL) {
        mdb_txn_abort(f->txn);
    }
    if (f->env != NULL) {
        mdb_env_close(f->env);
    }
    mem_free(f->path);
    mem_free(f);
}

const char *lmdb_file_path(const struct lmdb_file *f)
{
    return f->path;
}

/* LMDB takes what it only reads through pointers to non-const. */
static MDB_val lmdb_in(const void *data, size_t bytes)
{
    MDB_val v;

    v.mv_size = bytes;
    memcpy(&v.mv_data, &data, sizeof data);
    return v;
}

enum rc lmdb_file_put(struct lmdb_file *f, int t, const void *key, size_t key_bytes,
                      const void *data, size_t bytes, bool append, struct err *e)
{
    MDB_val k = lmdb_in(key, key_bytes);
    MDB_val v = lmdb_in(data, bytes);
    int native = lmdb_begin(f);

    if (native == 0) {
        native = mdb_put(f->txn, f->dbi[t], &k, &v, append ? MDB_APPEND : MDB_NOOVERWRITE);
    }
    return native == 0 ? RC_OK : lmdb_raise(e, "write", f->path, native);
}

enum rc lmdb_file_replace(struct lmdb_file *f, int t, const void *key, size_t key_bytes,
                          const void *data, size_t bytes, struct err *e)
{
    MDB_val k = lmdb_in(key, key_bytes);
    MDB_val v = lmdb_in(data, bytes);
    int native = lmdb_begin(f);

    if (native == 0) {
        native = mdb_put(f->txn, f->dbi[t], &k, &v, 0);
    }
    return native == 0 ? RC_OK : lmdb_raise(e, "write", f->path, native);
}

enum rc lmdb_file_reserve(struct lmdb_file *f, int t, const void *key, size_t key_bytes,
                          size_t bytes, void **out, struct err *e)
{
    MDB_val k = lmdb_in(key, key_bytes);
    MDB_val v = {bytes, NULL};
    int native = lmdb_begin(f);

    if (native == 0) {
        native = mdb_put(f->txn, f->dbi[t], &k, &v, MDB_APPEND | MDB_RESERVE);
    }
    if (native != 0) {
        return lmdb_raise(e, "write", f->path, native);
    }
    *out = v.mv_data;
    return RC_OK;
}

/* Let the disk begin with what was committed; nobody waits for it before the seal. */
static void lmdb_write_back(const struct lmdb_file *f)
{
    mdb_filehandle_t fd = -1;

    if (f->loose && mdb_env_get_fd(f->env, &fd) == 0) {
        (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
}

enum rc lmdb_file_commit(struct lmdb_file *f, struct err *e)
{
    int native = 0;

    if (f->txn != NULL && !f->readonly) {
        native = mdb_txn_commit(f->txn);
        f->txn = NULL;
        lmdb_write_back(f);
    }
    return native == 0 ? RC_OK : lmdb_raise(e, "write", f->path, native);
}

enum rc lmdb_file_get(struct lmdb_file *f, int t, const void *key, size_t key_bytes,
                      struct lmdb_val *out, bool *found, struct err *e)
{
    MDB_val k = lmdb_in(key, key_bytes);
    MDB_val v;
    int native = lmdb_begin(f);

    if (native == 0) {
        native = mdb_get(f->txn, f->dbi[t], &k, &v);
    }
    if (native != 0 && native != MDB_NOTFOUND) {
        return lmdb_raise(e, "read", f->path, native);
    }
    *found = native == 0;
    if (native == 0) {
        out->data = v.mv_data;
        out->bytes = v.mv_size;
    }
    return RC_OK;
}

enum rc lmdb_file_count(struct lmdb_file *f, int t, uint64_t *n, struct err *e)
{
    MDB_stat s;
    int native = lmdb_begin(f);

    if (native == 0) {
        native = mdb_stat(f->txn, f->dbi[t], &s);
    }
    if (native != 0) {
        return lmdb_raise(e, "read", f->path, native);
    }
    *n = s.ms_entries;
    return RC_OK;
}

enum rc lmdb_walk_open(struct lmdb_file *f, int t, struct lmdb_walk **out, struct err *e)
{
    struct lmdb_walk *w = mem_calloc(1, sizeof *w);
    int native = 0;

    if (w == NULL) {
        return mem_raise(e, "a walk over an LMDB table", sizeof *w);
    }
    w->file = f;
    native = lmdb_begin(f);
    if (native == 0) {
        native = mdb_cursor_open(f->txn, f->dbi[t], &w->cursor);
    }
    if (native != 0) {
        mem_free(w);
        return lmdb_raise(e, "read", f->path, native);
    }
    *out = w;
    return RC_OK;
}

enum rc lmdb_walk_next(struct lmdb_walk *w, struct lmdb_val *key, struct lmdb_val *val, bool *more,
                       struct err *e)
{
    MDB_val k;
    MDB_val v;
    int native = mdb_cursor_get(w->cursor, &k, &v, MDB_NEXT);

    if (native != 0 && native != MDB_NOTFOUND) {
        return lmdb_raise(e, "read", w->file->path, native);
    }
    *more = native == 0;
    if (native == 0) {
        key->data = k.mv_data;
        key->bytes = k.mv_size;
        val->data = v.mv_data;
        val->bytes = v.mv_size;
    }
    return RC_OK;
}

void lmdb_walk_close(struct lmdb_walk *w)
{
    if (w != NULL) {
        mdb_cursor_close(w->cursor);
        mem_free(w);
    }
}

static enum rc lmdb_finish(struct lmdb_file *f, const char *tmp, struct err *e)
{
    MDB_envinfo info;
    MDB_stat stat;
    enum rc rc = lmdb_file_commit(f, e);
    int fd = -1;

    if (rc != RC_OK) {
        return rc;
    }
    (void)mdb_env_info(f->env, &info);
    (void)mdb_env_stat(f->env, &stat);
    mdb_env_close(f->env);
    f->env = NULL;
    fd = open(tmp, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return err_raise(e, RC_IO, "cannot open '%s': %s", tmp, strerror(errno));
    }
    rc = lmdb_seal_trim(fd, tmp, ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize, stat.ms_psize,
                        f->reserve, e);
    if (close(fd) != 0 && rc == RC_OK) {
        rc = err_raise(e, RC_IO, "cannot write '%s': %s", tmp, strerror(errno));
    }
    return rc;
}

enum rc lmdb_file_seal(struct lmdb_file *f, const char *tmp, const char *final,
                       struct digest *digest, uint64_t *bytes, struct err *e)
{
    enum rc rc = lmdb_finish(f, tmp, e);

    lmdb_file_close(f);
    if (rc == RC_OK) {
        rc = lmdb_seal_publish(tmp, final, e);
    }
    if (rc == RC_OK) {
        rc = hash_file(final, digest, e);
    }
    return rc == RC_OK ? fs_size(final, bytes, e) : rc;
}

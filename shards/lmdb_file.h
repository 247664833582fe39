/**
 * LMDB as we use it: a single file (MDB_NOSUBDIR), written by one process, sealed, then read-only
 * without a lock file. The one place that includes lmdb.h.
 *
 * LMDB is not hardened (design.md 7.10): size and digest are checked before a file is mapped, and
 * values point into the map: they are hostile until parsed.
 */
#ifndef PRECEPTOR_LMDB_FILE_H
#define PRECEPTOR_LMDB_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"

struct lmdb_file;

struct lmdb_val {
    const void *data;
    size_t bytes;
};

/** Tables (named databases) of a file are opened by index into this list. */
enum { LMDB_MAX_TABLES = 4 };

/** Create or open for writing (a partial). The map grows by itself as far as the disk goes.
 * tables: n names. RC_IO names the path; disk full is RC_IO and loses nothing committed. */
NODISCARD enum rc lmdb_file_create(const char *path, const char *const tables[], int n,
                                   struct lmdb_file **out, struct err *e);
/** Open a sealed file read-only, without a lock file. If expect is not NULL, size and SHA-256 are
 * checked first (RC_CORRUPT names the file, expected and found). */
NODISCARD enum rc lmdb_file_open(const char *path, const char *const tables[], int n,
                                 uint64_t expect_bytes, const struct digest *expect,
                                 struct lmdb_file **out, struct err *e);
/** Of a sealed file: false once a page of it could not be read and turned into zeros (map_guard.h).
 * Ask after reading values, before believing them. */
bool lmdb_file_sound(const struct lmdb_file *f);
/** Of a value that lies in the map of a sealed file: where in the file its bytes stand.
 * RC_CORRUPT it is not in the map. */
NODISCARD enum rc lmdb_file_at(const struct lmdb_file *f, const struct lmdb_val *v, uint64_t *at,
                               struct err *e);
/** Commits of a file that is worth nothing before it is sealed: they are not synced. */
void lmdb_file_loose(struct lmdb_file *f);
/** An open transaction is given up; NULL is fine. */
void lmdb_file_close(struct lmdb_file *f);
const char *lmdb_file_path(const struct lmdb_file *f);

/** Put into table t within the open write transaction (begun by the first put). append: the key is
 * larger than all before (MDB_APPEND). RC_IO (map or disk full after growing), RC_INVAL (exists). */
NODISCARD enum rc lmdb_file_put(struct lmdb_file *f, int t, const void *key, size_t key_bytes,
                                const void *data, size_t bytes, bool append, struct err *e);
NODISCARD enum rc lmdb_file_commit(struct lmdb_file *f, struct err *e);

/** As put, but an older value of the key is replaced. */
NODISCARD enum rc lmdb_file_replace(struct lmdb_file *f, int t, const void *key, size_t key_bytes,
                                    const void *data, size_t bytes, struct err *e);
/** Append a value of the given size, to be filled at *out before the next call on f. */
NODISCARD enum rc lmdb_file_reserve(struct lmdb_file *f, int t, const void *key, size_t key_bytes,
                                    size_t bytes, void **out, struct err *e);

/** *out borrows from the map until close (reading) or the next put. *found false: no such key. */
NODISCARD enum rc lmdb_file_get(struct lmdb_file *f, int t, const void *key, size_t key_bytes,
                                struct lmdb_val *out, bool *found, struct err *e);
NODISCARD enum rc lmdb_file_count(struct lmdb_file *f, int t, uint64_t *n, struct err *e);

/** Walk a table in key order. On a file that is being written the walk sees the open transaction and
 * must be closed before the commit and the close. */
struct lmdb_walk;
NODISCARD enum rc lmdb_walk_open(struct lmdb_file *f, int t, struct lmdb_walk **out, struct err *e);
NODISCARD enum rc lmdb_walk_next(struct lmdb_walk *w, struct lmdb_val *key, struct lmdb_val *val,
                                 bool *more, struct err *e);
void lmdb_walk_close(struct lmdb_walk *w);

/** Takes f (closed in any case). Commits, cuts the file to its used pages, fsync, link() tmp to final
 * (the first wins; a loser's file is removed and that is success), fsync of the folder, unlink tmp;
 * then digest and bytes of what is at final. On failure tmp is left for the caller to remove. Equal
 * puts in equal transactions give equal bytes. */
NODISCARD enum rc lmdb_file_seal(struct lmdb_file *f, const char *tmp, const char *final,
                                 struct digest *digest, uint64_t *bytes, struct err *e);

#endif

/**
 * A whole LMDB file in one pass: each page is written once, in the order of the file, and hashed on
 * the way. LMDB itself would copy every value into pages of its own, write those, and have them read
 * again for the digest. Any LMDB opens the file; its bytes depend on the tables alone.
 *
 * The first pages tell of the last. So the caller's function is called twice and must give the same
 * both times: first the sizes are added up (nothing is filled), then all is written.
 */
#ifndef PRECEPTOR_LMDB_BULK_H
#define PRECEPTOR_LMDB_BULK_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"

enum { LMDB_BULK_TABLES = 4, LMDB_BULK_KEY = 64 }; /* at most; bytes of a key or name */

struct lmdb_bulk;

/** Gives all tables: lmdb_bulk_table, then lmdb_bulk_put in key order, and so on. */
typedef enum rc lmdb_bulk_give(void *ctx, struct lmdb_bulk *b, struct err *e);
/** Fills a value, by lmdb_bulk_room until all of its bytes are there. */
typedef enum rc lmdb_bulk_fill(void *ctx, struct lmdb_bulk *b, struct err *e);

/** Write path and fsync it; the digest and the size of the file. RC_IO (the disk is full), RC_NOMEM,
 * RC_LIB, or what give returned; then the file is left for the caller to remove. */
NODISCARD enum rc lmdb_bulk_write(const char *path, lmdb_bulk_give *give, void *ctx,
                                  struct digest *digest, uint64_t *bytes, struct err *e);

/** Begin a table. */
NODISCARD enum rc lmdb_bulk_table(struct lmdb_bulk *b, const char *name, struct err *e);
/** Append a value of so many bytes, less than 4 GiB. Keys ascend by their bytes. */
NODISCARD enum rc lmdb_bulk_put(struct lmdb_bulk *b, const void *key, size_t key_bytes,
                                size_t bytes, lmdb_bulk_fill *fill, void *ctx, struct err *e);
/** Within fill: where the value's next bytes go, *n of them, 1 to at_most, all to be filled. */
NODISCARD enum rc lmdb_bulk_room(struct lmdb_bulk *b, size_t at_most, void **out, size_t *n,
                                 struct err *e);
/** The same with a copy of data. */
NODISCARD enum rc lmdb_bulk_copy(struct lmdb_bulk *b, const void *data, size_t bytes,
                                 struct err *e);

#endif

/**
 * A file that is written from its beginning to its end, once, and whose SHA-256 a thread of its own
 * computes meanwhile: what is written is neither read back nor waited for by its digest.
 */
#ifndef PRECEPTOR_HASHED_FILE_H
#define PRECEPTOR_HASHED_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"

struct hashed_file;

/** Make path, or make it empty. Some 32 MiB. RC_IO, RC_NOMEM, RC_LIB no thread. */
NODISCARD enum rc hashed_file_create(const char *path, struct hashed_file **out, struct err *e);
/** What was not finished is worth nothing; the file is left. NULL is fine. */
void hashed_file_close(struct hashed_file *f);

/** Where the next bytes go: *n of them, 1 to at_most, all to be filled before the next call on f.
 * RC_IO (the disk is full). */
NODISCARD enum rc hashed_file_room(struct hashed_file *f, size_t at_most, void **out, size_t *n,
                                   struct err *e);
/** The same with a copy of data. */
NODISCARD enum rc hashed_file_put(struct hashed_file *f, const void *data, size_t bytes,
                                  struct err *e);
NODISCARD enum rc hashed_file_zeros(struct hashed_file *f, size_t bytes, struct err *e);
/** Bytes so far. */
uint64_t hashed_file_bytes(const struct hashed_file *f);
/** Write what is left and fsync; the digest of all of it. Then only close. RC_IO. */
NODISCARD enum rc hashed_file_finish(struct hashed_file *f, struct digest *digest, struct err *e);

#endif

/** The steps of sealing that need no LMDB: its file format and the file system alone. */
#ifndef PRECEPTOR_LMDB_SEAL_IMPL_H
#define PRECEPTOR_LMDB_SEAL_IMPL_H

#include <stdint.h>

#include "common/base/err.h"

/** Cut the file to `bytes` and make both meta pages (of `page` bytes) say that this is the map, so that
 * any LMDB binding maps just the file and equal contents give equal bytes; fsync. reserve: the map's
 * size that they say now, at least (RC_LIB if they do not). */
NODISCARD enum rc lmdb_seal_trim(int fd, const char *path, uint64_t bytes, uint64_t page,
                                 uint64_t reserve, struct err *e);

/** Give tmp its final name, unless the name is taken: the first wins. tmp is gone afterwards; the
 * folder is synced. RC_IO. */
NODISCARD enum rc lmdb_seal_publish(const char *tmp, const char *final, struct err *e);

#endif

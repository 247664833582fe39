/**
 * known.sha256: the digest of known.lmdb as the last pack left it, a line that `sha256sum -c` takes.
 * It is gone while a pack writes, so a killed pack leaves none: then the structure of known.lmdb is
 * checked (lmdb_check_impl.h) and nothing more is known.
 */
#ifndef PRECEPTOR_KNOWN_SUM_H
#define PRECEPTOR_KNOWN_SUM_H

#include "common/base/err.h"

#define KNOWN_NAME "known.lmdb"

/** RC_CORRUPT  the corpus dir has a known.lmdb that is not what was written (named; or its sum is not)
 *  RC_OK       it is, or there is none, or no sum
 *  RC_IO, RC_NOMEM */
NODISCARD enum rc known_sum_check(const char *dir, struct err *e);
/** Of known.lmdb as it is now. RC_IO, RC_NOMEM. */
NODISCARD enum rc known_sum_write(const char *dir, struct err *e);
/** What follows writes known.lmdb. RC_IO, RC_NOMEM. */
NODISCARD enum rc known_sum_drop(const char *dir, struct err *e);

#endif

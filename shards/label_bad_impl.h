/**
 * Images of a label shard that cannot be decoded: their labels say nothing, and beside them stands why,
 * as lines of a quarantine ledger (docs/FORMAT.md, sections 5 and 9).
 */
#ifndef PRECEPTOR_LABEL_BAD_IMPL_H
#define PRECEPTOR_LABEL_BAD_IMPL_H

#include "shards/label_record_impl.h"
#include "shards/lmdb_file.h"
#include "shards/quarantine.h"

/** Note an image in a partial's open transaction. RC_INVAL: it is noted already. */
NODISCARD enum rc label_bad_put(struct lmdb_file *partial, const struct quarantine_entry *why,
                                struct err *e);
/** Put what a partial has noted into the shard that is sealed from it; *n images. */
NODISCARD enum rc label_bad_seal(struct lmdb_file *partial, struct lmdb_file *to, uint64_t *n,
                                 struct err *e);
/** The lines of a sealed shard, borrowed from its map; none: *bytes 0. */
NODISCARD enum rc label_bad_lines(struct lmdb_file *sealed, const char **text, size_t *bytes,
                                  struct err *e);
/** Every line of text, in order, to each, which ends the walk by an error; path names their place.
 * RC_CORRUPT; RC_NOMEM. */
NODISCARD enum rc label_bad_each(const char *path, const char *text, size_t bytes,
                                 enum rc (*each)(void *ctx, const struct quarantine_entry *why,
                                                 struct err *e),
                                 void *ctx, struct err *e);
/** Bring dir's quarantine ledger up to the shards of the list, entries of labels.json. */
NODISCARD enum rc label_bad_ledger(const char *dir, const json_t *shards, struct err *e);

#endif

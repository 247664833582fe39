/** Sealing pending images as a shard: header, records in key order, index. */
#ifndef PRECEPTOR_SHARD_WRITER_H
#define PRECEPTOR_SHARD_WRITER_H

#include "shards/corpus.h"
#include "shards/pending.h"

/** Write p's images (sorted here) as dir/out->name and fill out's counts, bytes and digest. The bytes
 * depend on the images and their occurrences alone. RC_IO, RC_NOMEM; no temporary is left. */
NODISCARD enum rc shard_writer_seal(const char *dir, struct pending *p, struct corpus_shard *out,
                                    struct err *e);

#endif

/**
 * Open shard readers shared by the feed's threads: the least recently used idle one is closed when
 * another is wanted.
 */
#ifndef PRECEPTOR_READER_CACHE_IMPL_H
#define PRECEPTOR_READER_CACHE_IMPL_H

#include "shards/corpus.h"

struct reader_cache;

/** corpora (n)  borrowed
 *  capacity     readers kept; at least one more than the threads that hold one at a time
 *  RC_NOMEM */
NODISCARD enum rc reader_cache_create(struct corpus *const corpora[], int n, int capacity,
                                      bool trust, struct reader_cache **out, struct err *e);
/** Nobody holds a reader any more. NULL is fine. */
void reader_cache_destroy(struct reader_cache *c);

/** The reader of a shard, opened if need be (other shards are served meanwhile); *entry goes back
 * with reader_cache_put. Errors as shard_reader_open. */
NODISCARD enum rc reader_cache_get(struct reader_cache *c, int corpus, int shard, int *entry,
                                   struct shard_reader **out, struct err *e);
void reader_cache_put(struct reader_cache *c, int entry);

#endif

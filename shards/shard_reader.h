/**
 * Reading one sealed image shard of a corpus.
 */
#ifndef PRECEPTOR_SHARD_READER_H
#define PRECEPTOR_SHARD_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "shards/shard_record.h"

struct corpus;
struct shard_reader;

/** Index of a shard in position order; borrowed until the reader closes. */
struct shard_index_entry {
    struct key128 key;
    int32_t cls;            /* of the first occurrence, or CORPUS_UNLABELED */
    uint32_t n_occurrences;
};

/** Open shard i of a corpus; size and digest are checked on the first open of a process unless
 * trust is true. RC_CORRUPT names the shard; RC_IO. Thread-safe to use after opening. */
NODISCARD enum rc shard_reader_open(struct corpus *c, int i, bool trust, struct shard_reader **out,
                                    struct err *e);
/** NULL is fine. */
void shard_reader_close(struct shard_reader *r);
uint64_t shard_reader_count(const struct shard_reader *r);
/** The index: count entries in position order. */
const struct shard_index_entry *shard_reader_index(const struct shard_reader *r);
/** The record at a position; the key is re-hashed from the bytes (RC_CORRUPT names shard and key).
 * RC_INVAL there is no such position. */
NODISCARD enum rc shard_reader_get(struct shard_reader *r, uint64_t position,
                                   struct shard_record *out, struct err *e);
/** False once a part of the shard could not be read, which then looks like zeros: ask after using the
 * bytes of a record, before believing what came of them. shard_reader_get asks by itself. */
bool shard_reader_sound(const struct shard_reader *r);
/** The same as an error: RC_CORRUPT names the shard. */
NODISCARD enum rc shard_reader_check(const struct shard_reader *r, struct err *e);
/** Binary search of a key: *found and *position. */
void shard_reader_find(const struct shard_reader *r, const struct key128 *key, bool *found,
                       uint64_t *position);

#endif

/**
 * An image record as it stands in a shard: header, occurrences, sources, the file's bytes. All
 * numbers little-endian; docs/FORMAT.md, section 3. The value is hostile until parsed.
 */
#ifndef PRECEPTOR_SHARD_RECORD_H
#define PRECEPTOR_SHARD_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"

struct shard_record {
    struct key128 key;
    const void *data; /* the file's bytes, borrowed until the reader closes */
    size_t bytes;
    int n_occurrences;
    const void *occurrences; /* n x {i32 class, u32 end of its source}, then the sources */
};

struct shard_occurrence {
    int32_t cls;
    uint32_t source_bytes;
    const char *source;
};

/** Bytes of a record with n occurrences whose sources have text_bytes together. */
size_t shard_record_size(size_t bytes, uint32_t n, size_t text_bytes);

/** Fill value (shard_record_size bytes, zeroed or not) but for the file's bytes: returns where those
 * go. next(ctx, i) gives occurrence i. */
void *shard_record_write(void *value, const struct key128 *key, size_t bytes, uint32_t n,
                         size_t text_bytes,
                         struct shard_occurrence (*next)(void *ctx, uint32_t i), void *ctx);

/** Parse and check everything but that the bytes hash to the key. where and position name the record
 * in messages. RC_CORRUPT; RC_UNSUPPORTED a newer format. */
NODISCARD enum rc shard_record_parse(const void *value, size_t size, const char *where,
                                     uint64_t position, struct shard_record *out, struct err *e);

/** Class of occurrence i in [0, n_occurrences), or CORPUS_UNLABELED. */
int32_t shard_record_class(const struct shard_record *rec, int i);
/** Source text of occurrence i ("dump/a.tar!x/y.jpg"), not terminated: *bytes long. */
const char *shard_record_source(const struct shard_record *rec, int i, size_t *bytes);

#endif

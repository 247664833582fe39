/**
 * Tombstones: images of a corpus that nothing may use any more, forgotten.bin beside the shards, which
 * stay as they are. docs/FORMAT.md, section 6.
 */
#ifndef PRECEPTOR_FORGOTTEN_H
#define PRECEPTOR_FORGOTTEN_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"

struct forgotten_entry { /* as it lies in the file, little-endian */
    struct key128 key;
    uint32_t shard;
    uint32_t position;
    uint32_t occurrences; /* in the shard */
    uint32_t reason;      /* index into the reasons */
};

struct forgotten {
    unsigned char *block;
    const struct forgotten_entry *entries; /* (n) by shard, then position */
    uint64_t n;
    const char *reasons; /* (n_reasons) lines, each ended by a line feed */
    uint32_t reasons_bytes;
    uint32_t n_reasons;
};

/** dir's tombstones; empty when there are none. RC_CORRUPT names the file; RC_IO, RC_NOMEM. */
NODISCARD enum rc forgotten_read(const char *dir, struct forgotten *out, struct err *e);
void forgotten_release(struct forgotten *f);
/** Line i of the reasons ("2026-11-24T10:00:00Z takedown 17"): *bytes long, not terminated. */
const char *forgotten_reason(const struct forgotten *f, uint32_t i, size_t *bytes);

/** Replace dir's tombstones by those of f and n more, sorted and of no image that f has; their reason
 * is the next index after f's, of this text (no line feed in it). RC_IO, RC_NOMEM. */
NODISCARD enum rc forgotten_write(const char *dir, const struct forgotten *f,
                                  const struct forgotten_entry *more, uint64_t n,
                                  const char *reason, struct err *e);

#endif

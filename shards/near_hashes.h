/**
 * Keys and perceptual hashes of a shard's images, hashes-000000.bin beside images-000000.lmdb. It is
 * a cache: bound to the shard by its digest, made by pack while it checks the images, and made
 * again from the shard where it is missing. docs/FORMAT.md, section 6.
 */
#ifndef PRECEPTOR_NEAR_HASHES_H
#define PRECEPTOR_NEAR_HASHES_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "shards/corpus.h"
#include "shards/pending.h"

struct near_entry { /* as it lies in the file, little-endian */
    struct key128 key;
    uint64_t hash; /* phash_image; 0: the image says nothing, or cannot be decoded */
    uint32_t occurrences; /* as sealed */
    uint32_t zero;
};

struct near_hashes {
    unsigned char *block;
    const struct near_entry *entries; /* (n) in position order */
    uint64_t n;
};

/** Write those of dir's shard number i. RC_IO, RC_NOMEM. */
NODISCARD enum rc near_hashes_write(const char *dir, int i, const struct digest *shard,
                                    const struct near_entry *entries, uint64_t n, struct err *e);
/** The same of the images just sealed as shard i, if all their hashes are known; else nothing. */
NODISCARD enum rc near_hashes_seal(const char *dir, int i, const struct digest *shard,
                                   const struct pending *sealed, struct err *e);
/** Of shard i: read, or made from the shard and then left beside it where that can be written.
 * RC_CORRUPT the shard is damaged; RC_IO, RC_NOMEM. */
NODISCARD enum rc near_hashes_open(struct corpus *c, int i, struct near_hashes *out, struct err *e);
/** Whether the file beside shard i, if there is one, is what was written, of this shard, and has keys
 * in order. RC_CORRUPT names the file; RC_IO, RC_NOMEM. */
NODISCARD enum rc near_hashes_check(struct corpus *c, int i, struct err *e);
void near_hashes_close(struct near_hashes *h);

#endif

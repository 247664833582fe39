/**
 * Hashes within a Hamming radius, found exactly, by multi-index hashing (Norouzi, Punjani, Fleet 2012).
 *
 * A 64-bit hash is cut into m bands, radius = m a + b with b < m: of two hashes within the radius one
 * of bands 0..b differs in at most a bits, or one of the others in at most a - 1. So each band has a
 * table sorted by its bits, and a search looks into the few buckets nearby. m from 3 to 8 is chosen
 * by what a search will cost among n hashes. Hashes of 0 (phash.h) are never found.
 */
#ifndef PRECEPTOR_NEAR_INDEX_H
#define PRECEPTOR_NEAR_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum { NEAR_RADIUS_MAX = 16 };

/** Called for each hash within the radius, once, in no order. */
typedef enum rc near_visit(void *ctx, uint32_t id, int distance, struct err *e);

struct near_index;

/** hashes (n): borrowed for the call; an id is an index into it. 12 bytes a hash and band.
 * RC_INVAL radius out of range, 2^32 - 1 hashes or more; RC_NOMEM. */
NODISCARD enum rc near_index_create(const uint64_t *hashes, size_t n, int radius,
                                    struct near_index **out, struct err *e);
void near_index_destroy(struct near_index *x);
int near_index_bands(const struct near_index *x);
/** Thread-safe. What visit returned, if it was an error. */
NODISCARD enum rc near_index_search(const struct near_index *x, uint64_t hash, near_visit *visit,
                                    void *ctx, struct err *e);

struct near_pair {
    uint32_t a, b; /* a < b */
    uint32_t distance;
};

/** All pairs of hashes within the radius, each once, in no order (mem_free). Holds one band's table at
 * a time: 20 bytes a hash with the hashes themselves. Uses all threads. Errors as near_index_create. */
NODISCARD enum rc near_index_pairs(const uint64_t *hashes, size_t n, int radius,
                                   struct near_pair **out, size_t *n_out, struct err *e);

#endif

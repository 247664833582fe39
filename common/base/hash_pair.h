/**
 * Two keys at a time. Each step of SHA-256 waits for the one before it, so that one message leaves the
 * processor's SHA instructions idle half of the time; a second one fills the gaps: twice as fast on one
 * core where there are such instructions, else two times hash_key.
 */
#ifndef PRECEPTOR_HASH_PAIR_H
#define PRECEPTOR_HASH_PAIR_H

#include "common/base/hash.h"

/** hash_key of data[0] and data[1]. */
void hash_pair_keys(const void *const data[2], const size_t bytes[2], struct key128 out[2]);

#endif

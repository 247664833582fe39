/**
 * Names and digests: SHA-256 of bytes (OpenSSL) and CRC-32 of records (zlib).
 * An image's key is the first 128 bits of the SHA-256 of its file (design.md 2.1).
 */
#ifndef PRECEPTOR_HASH_H
#define PRECEPTOR_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct key128 {
    uint8_t b[16]; /* big-endian: the order of memcmp is the order of keys */
};

struct digest {
    uint8_t b[32];
};

enum { HASH_HEX_KEY = 33, HASH_HEX_DIGEST = 65 }; /* bytes of a hex string with its end */

struct hash; /* a running SHA-256 */

NODISCARD enum rc hash_create(struct hash **out, struct err *e);
void hash_destroy(struct hash *h);
void hash_update(struct hash *h, const void *data, size_t bytes);
/** The digest of all so far; the hash starts anew. */
void hash_final(struct hash *h, struct digest *out);

/** SHA-256 of bytes in one call. Aborts only if OpenSSL itself cannot hash. */
void hash_digest(const void *data, size_t bytes, struct digest *out);

/** SHA-256 of a file's bytes. RC_IO names the path. */
NODISCARD enum rc hash_file(const char *path, struct digest *out, struct err *e);

/** The key of an image file's bytes. */
void hash_key(const void *data, size_t bytes, struct key128 *out);

/** CRC-32 (zlib's) of bytes, continuing from crc (0 at first). */
uint32_t hash_crc32(uint32_t crc, const void *data, size_t bytes);

/** Lower-case hex with its terminating 0: out holds HASH_HEX_KEY / HASH_HEX_DIGEST bytes. */
void hash_key_hex(const struct key128 *key, char *out);
void hash_digest_hex(const struct digest *d, char *out);

/** Parse 32 or 64 hex digits (nothing after them). RC_INVAL quotes the text. */
NODISCARD enum rc hash_key_parse(const char *hex, struct key128 *out, struct err *e);
NODISCARD enum rc hash_digest_parse(const char *hex, struct digest *out, struct err *e);

#endif

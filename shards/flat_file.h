/**
 * Small sealed files that are read whole: 8 bytes that name the kind, the SHA-256 of what follows,
 * then the body. Replaced atomically. docs/FORMAT.md says what is in each.
 */
#ifndef PRECEPTOR_FLAT_FILE_H
#define PRECEPTOR_FLAT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum { FLAT_FILE_HEAD = 40, FLAT_FILE_KIND = 8 };

/** A block of FLAT_FILE_HEAD + bytes (mem_free); the body starts behind the head. RC_NOMEM. */
NODISCARD enum rc flat_file_create(size_t bytes, unsigned char **out, struct err *e);
/** Fill the head of the block and write it as path. kind: FLAT_FILE_KIND characters. RC_IO. */
NODISCARD enum rc flat_file_write(const char *path, const char *kind, unsigned char *block,
                                  size_t bytes, struct err *e);
/** The block (mem_free) and the bytes of its body; *out NULL when there is no such file.
 * RC_CORRUPT not of this kind, or the digest is not that of the body (named); RC_IO, RC_NOMEM. */
NODISCARD enum rc flat_file_read(const char *path, const char *kind, unsigned char **out,
                                 size_t *bytes, struct err *e);

#endif

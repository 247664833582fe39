/**
 * Manifests: the JSON object beside sealed files that says what is sealed. Every kind has "kind",
 * "format" and "digest", the SHA-256 of the object without "digest" in its compact form (keys
 * sorted, separators ',' and ':', UTF-8). Numbers are integers. docs/FORMAT.md, section 1.
 */
#ifndef PRECEPTOR_MANIFEST_H
#define PRECEPTOR_MANIFEST_H

#include "common/base/err.h"
#include "common/base/json.h"

/** Set kind, format and digest in root and replace path atomically. RC_IO, RC_NOMEM. */
NODISCARD enum rc manifest_write(const char *path, const char *kind, int format, json_t *root,
                                 struct err *e);

/** Read and check. RC_IO cannot be read; RC_CORRUPT not JSON, another kind, or the digest is not
 * that of the contents; RC_UNSUPPORTED a format above newest. json_decref(*out) when done. */
NODISCARD enum rc manifest_read(const char *path, const char *kind, int newest, json_t **out,
                                struct err *e);

/** Whether the file's bytes are exactly what manifest_write writes for its contents: with the digest
 * this covers every bit. RC_CORRUPT names the path. */
NODISCARD enum rc manifest_verify(const char *path, json_t *root, struct err *e);

#endif

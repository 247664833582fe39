/**
 * JSON is jansson's json_t throughout (docs/decisions): this adds what its callers share.
 */
#ifndef PRECEPTOR_JSON_H
#define PRECEPTOR_JSON_H

#include <jansson.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"

/** Load and parse a file of at most 1 GiB. RC_IO; RC_CORRUPT with line and reason. */
NODISCARD enum rc json_read(const char *path, json_t **out, struct err *e);
/** Write atomically, sorted keys, two-space indent, final newline. RC_IO, RC_NOMEM. */
NODISCARD enum rc json_write(const char *path, const json_t *root, struct err *e);

/** SHA-256 of an object without its member "digest", in compact form: keys sorted by their bytes, no
 * blanks, UTF-8 (docs/FORMAT.md, section 1). RC_NOMEM. */
NODISCARD enum rc json_digest(json_t *root, struct digest *out, struct err *e);

/** Typed members: RC_CORRUPT naming path (context for messages) and member when missing or of
 * another type. Strings are borrowed from obj. */
NODISCARD enum rc json_get_string(const json_t *obj, const char *path, const char *name,
                                  const char **out, struct err *e);
NODISCARD enum rc json_get_int(const json_t *obj, const char *path, const char *name, int64_t *out,
                               struct err *e);
NODISCARD enum rc json_get_number(const json_t *obj, const char *path, const char *name,
                                  double *out, struct err *e);
NODISCARD enum rc json_get_digest(const json_t *obj, const char *path, const char *name,
                                  struct digest *out, struct err *e);

#endif

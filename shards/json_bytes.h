/** Bytes that are usually text (paths) in JSON: "name" when they are UTF-8, else "name_hex". */
#ifndef PRECEPTOR_JSON_BYTES_H
#define PRECEPTOR_JSON_BYTES_H

#include "common/base/err.h"
#include "common/base/json.h"

NODISCARD enum rc json_bytes_set(json_t *obj, const char *name, const void *data, size_t bytes,
                                 struct err *e);
/** *out (mem_free, with a 0 after the bytes). RC_CORRUPT neither member is there or well formed. */
NODISCARD enum rc json_bytes_get(const json_t *obj, const char *path, const char *name, char **out,
                                 size_t *bytes, struct err *e);

#endif

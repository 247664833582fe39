/**
 * Where an image came from and what became of it: its sources, its labels by each teacher, the
 * selections and runs that used it, whether it was forgotten or is in quarantine. Everything is joined
 * by digests, never by paths: stores may have been moved or grown since.
 */
#ifndef PRECEPTOR_LINEAGE_H
#define PRECEPTOR_LINEAGE_H

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/json.h"

/**
 * Look for key in the stores at and below roots (n).
 * out  {"key", "corpora", "quarantine", "labels", "selections", "runs", "unreadable"}, each but the
 *      first an array; json_decref. unreadable: what was met and could not be read, with the reason.
 * RC_INVAL no store below the roots knows the key; RC_IO a root is not there; RC_NOMEM.
 */
NODISCARD enum rc lineage_find(const char *const *roots, int n, const struct key128 *key,
                               json_t **out, struct err *e);

#endif

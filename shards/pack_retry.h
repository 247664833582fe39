/** Packing what the quarantine ledger lists, and that alone. */
#ifndef PRECEPTOR_PACK_RETRY_H
#define PRECEPTOR_PACK_RETRY_H

#include <stdbool.h>

#include "shards/quarantine.h"

struct pack_retry;

/** q was opened with entries. RC_NOMEM. */
NODISCARD enum rc pack_retry_create(struct quarantine *q, struct pack_retry **out, struct err *e);
void pack_retry_destroy(struct pack_retry *r);
/** The files to walk: those that the entries stand in and that are still there. */
const char *const *pack_retry_sources(const struct pack_retry *r, int *n);
/** Whether a source is listed, and its entry. */
bool pack_retry_wants(const struct pack_retry *r, const char *source,
                      const struct quarantine_entry **entry);
/** A source turned out well: it leaves the ledger at pack_retry_end. */
void pack_retry_recovered(struct pack_retry *r, const char *source);
/** Rewrite the ledger without the recovered; *n of them. */
NODISCARD enum rc pack_retry_end(struct pack_retry *r, uint64_t *n, struct err *e);

#endif

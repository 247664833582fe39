/**
 * What a selection leaves out whatever its rule says: images that were forgotten since they were
 * labeled (shards/forgotten.h).
 */
#ifndef PRECEPTOR_SELECT_LEAVE_H
#define PRECEPTOR_SELECT_LEAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "shards/corpus.h"
#include "shards/label_store.h"

struct select_leave;

/** Marks what corpus, which must be the one that was labeled, has forgotten. One bit an image of the
 * shards that hold any. RC_INVAL the labels are of other images; RC_NOMEM. */
NODISCARD enum rc select_leave_create(const struct label_store *labels, const struct corpus *corpus,
                                      struct select_leave **out, struct err *e);
/** NULL is fine. */
void select_leave_destroy(struct select_leave *l);
/** i: index of a label shard in its store. Thread-safe. */
bool select_leave_any(const struct select_leave *l, int i);
bool select_leave_has(const struct select_leave *l, int i, uint64_t position);
/** Images with labels that are left out since they were forgotten. */
uint64_t select_leave_forgotten(const struct select_leave *l);
/** corpus_forgotten_digest of the corpus. */
void select_leave_digest(const struct select_leave *l, struct digest *out);

/** The corpus that a store was made for: path, or else where the store says it was (path NULL).
 * *out NULL: it is not there any more, or holds other images now; why says so.
 * RC_INVAL, RC_IO, RC_CORRUPT of a path that was given. Close it. */
NODISCARD enum rc select_leave_corpus(const struct label_store *labels, const char *path,
                                      struct corpus **out, struct err *why, struct err *e);

#endif

/**
 * What a selection leaves out whatever its rule says: images that were forgotten since they were
 * labeled (shards/forgotten.h), and images near those of an evaluation set (shards/guard.h).
 */
#ifndef PRECEPTOR_SELECT_LEAVE_H
#define PRECEPTOR_SELECT_LEAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "shards/corpus.h"
#include "shards/guard.h"
#include "shards/label_store.h"

struct select_leave;

/** Marks what corpus, which must be the one that was labeled, has forgotten. One bit an image of the
 * shards that hold any. RC_INVAL the labels are of other images; RC_NOMEM. */
NODISCARD enum rc select_leave_create(const struct label_store *labels, const struct corpus *corpus,
                                      struct select_leave **out, struct err *e);
/** NULL is fine. */
void select_leave_destroy(struct select_leave *l);
/** Marks what is near the evaluation set, lists it beside the selection `name` as
 * NAME.forbidden-xxxx.jsonl, and enters the guard's claim. Errors of guard_find; RC_IO. */
NODISCARD enum rc select_leave_forbid(struct select_leave *l, const struct label_store *labels,
                                      struct corpus *corpus, const struct guard *g,
                                      const char *name, const volatile sig_atomic_t *stop,
                                      struct err *e);
/** Claims of the guards, for selection_info; NULL: none. */
json_t *select_leave_claims(const struct select_leave *l);
/** When the selection `name` is sealed: lists that it does not name go. */
void select_leave_sweep(const struct select_leave *l, const char *name);
/** Images with labels that guards leave out and nobody had forgotten. */
uint64_t select_leave_forbidden(const struct select_leave *l);
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

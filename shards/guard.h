/**
 * The leak guard: images that are those of an evaluation set, to the byte or nearly (phash.h), must not
 * be trained on. A guard is an evaluation set made ready to compare with; what it found and covered is
 * recorded as a claim, in corpus.json or in a selection (docs/FORMAT.md, section 13).
 */
#ifndef PRECEPTOR_GUARD_H
#define PRECEPTOR_GUARD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/json.h"
#include "shards/corpus.h"

enum { GUARD_RADIUS = 6, GUARD_NAME = 300 };

struct guard;

/** corpus: the evaluation set; images that it has forgotten guard nothing. 60 bytes an image.
 * RC_INVAL radius; RC_IO, RC_CORRUPT, RC_NOMEM. */
NODISCARD enum rc guard_open(const char *corpus, int radius, struct guard **out, struct err *e);
void guard_close(struct guard *g);
/** Guards of a list of corpora, comma-separated (*n of them, guard_close_all). */
NODISCARD enum rc guard_open_list(const char *list, int radius, struct guard ***out, int *n,
                                  struct err *e);
void guard_close_all(struct guard **guards, int n);
const char *guard_path(const struct guard *g);
int guard_radius(const struct guard *g);
/** corpus_digest of the evaluation set. */
void guard_digest(const struct guard *g, struct digest *out);

struct guard_hit {
    struct key128 key;  /* the image of the corpus that was searched */
    struct key128 near; /* the nearest image of the evaluation set: the same key for the same bytes */
    uint32_t shard, position;
    uint32_t distance;  /* bits of the hashes that differ */
};

struct guard_hits {
    struct guard_hit *all;
    size_t n, room;
};

void guard_hits_release(struct guard_hits *h);
/** Append what c holds in shards [from, ...) that is near, by shard and position; on all threads.
 * c must not be the evaluation set itself (RC_INVAL). RC_REQUEUE stopped; RC_CORRUPT, RC_NOMEM. */
NODISCARD enum rc guard_find(const struct guard *g, struct corpus *c, int from,
                             const volatile sig_atomic_t *stop, struct guard_hits *out,
                             struct err *e);

/** One line of JSON a hit to *text (mem_free), which may hold earlier lines already:
 *   {"corpus":"dump","distance":2,"evaluation":"val","key":"...","near":"..."}
 * the list can be given to `forget`. RC_NOMEM. */
NODISCARD enum rc guard_lines(const struct guard *g, const char *corpus, const struct guard_hit *hits,
                              size_t n, char **text, size_t *bytes, struct err *e);

/** Write a list as dir/PREFIXxxxx.jsonl, called by its contents, so that no manifest ever names
 * another's. RC_IO, RC_NOMEM. */
NODISCARD enum rc guard_list_write(const char *dir, const char *prefix, const char *text,
                                   size_t bytes, char name[GUARD_NAME], struct err *e);
/** Remove dir/PREFIX*.jsonl that no claim names. */
void guard_list_sweep(const char *dir, const char *prefix, const json_t *claims);

/** A claim: the guard has looked at the first `shards` shards and removed `removed` images, which the
 * file `list` (a name beside the store) holds. RC_NOMEM. */
NODISCARD enum rc guard_claim(const struct guard *g, int shards, uint64_t removed, const char *list,
                              const char *text, size_t bytes, json_t **out, struct err *e);
/** The claim of such a guard in a list of them, or NULL. */
json_t *guard_claim_of(const struct guard *g, const json_t *claims);
/** Size and digest of a claim's list, and its text (mem_free; NULL: not wanted). dir: where the store
 * lies. RC_CORRUPT names the file. */
NODISCARD enum rc guard_claim_list(const char *dir, const json_t *claim, char **text, size_t *bytes,
                                   struct err *e);

#endif

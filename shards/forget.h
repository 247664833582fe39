/**
 * Takedown: tombstones for the images of a list (forgotten.h). No later label, selection, training or
 * evaluation uses them; shards and labels stay as they are.
 */
#ifndef PRECEPTOR_FORGET_H
#define PRECEPTOR_FORGET_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "shards/corpus.h"

struct forget_result {
    uint64_t named;   /* images on the list, each once */
    uint64_t fresh;   /* forgotten now */
    uint64_t already; /* forgotten before */
    uint64_t unknown; /* not in this corpus */
    uint64_t all;     /* tombstones of the corpus now */
};

/** Forget what list names: a line is a key (32 hex digits), a SHA-256 as sha256sum prints it (64, a
 * name may follow), or a JSON object with "key", as dedupe writes it; one that names another
 * "corpus" is left out. reason: words without line breaks, kept with the time.
 * RC_INVAL a line that is none (its number); RC_IO, RC_CORRUPT, RC_NOMEM. */
NODISCARD enum rc forget_list(const char *corpus, const char *list, const char *reason,
                              struct forget_result *out, struct err *e);

/** Forget keys (n, sorted, each once) while the caller holds the corpus (forget_lock). */
NODISCARD enum rc forget_keys(const char *corpus, const struct key128 *keys, size_t n,
                              const char *reason, struct forget_result *out, struct err *e);
/** Hold the corpus against pack and other forgetting; close(*lock) gives it back (-1: no locks). */
NODISCARD enum rc forget_lock(const char *corpus, int *lock, struct err *e);

#endif

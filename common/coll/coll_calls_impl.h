/**
 * Which all-reduce each rank has made, where a library does not notice by itself that ranks differ: a
 * hash of it travels ahead, and if that differs the ranks tell each other and name who it is. Private
 * to common/coll.
 */
#ifndef PRECEPTOR_COLL_CALLS_IMPL_H
#define PRECEPTOR_COLL_CALLS_IMPL_H

#include "common/coll/coll.h"

struct coll_call {
    int64_t number; /* of the instance's calls, from 1 */
    int64_t id;     /* coll_allreduce_start's */
    int64_t n;
};

/** Of all that must be equal; above 0, so that it has a negative. */
int64_t coll_calls_hash(const struct coll_call *call);
/** The sentence on calls that differ: the first rank whose call is not that of most ranks (and of the
 * lower ranks where as many have either). */
void coll_calls_sentence(const struct coll_call *calls, int ranks, char *out, size_t size);
/** Collective, on every rank once their hashes differed. all: (size) storage. RC_INVAL with that
 * sentence; RC_LIB, RC_PEER: the ranks could not tell each other. */
NODISCARD enum rc coll_calls_differ(struct coll *control, const struct coll_call *mine,
                                    struct coll_call *all, struct err *e);

#endif

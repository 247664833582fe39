/**
 * The work service: ranks pull items (shards) from rank 0 over point-to-point messages, served by a
 * thread of rank 0 while its main thread computes. No collective is used between work_create and
 * work_destroy, since a collective with a dead rank never returns.
 *
 * Loss of a rank. Every rank's service thread tells rank 0 once a second that it is alive; rank 0
 * answers. Rank 0 gives a rank up when it has heard nothing for `lost_after` seconds, or at once when
 * both are on one host and its process is gone. The items of a lost rank go to others, with the next
 * attempt's number. A rank that was only stopped is taken back when it speaks again; what it finishes
 * late is harmless because the first link() of a sealed shard wins. Who has slept himself (his own
 * service thread did not run) does not count that time against the others.
 *
 * Loss of rank 0. Nobody else can hand out work: a rank that has not heard rank 0 for `lost_after`
 * seconds, or sees its process gone, gives up with RC_PEER.
 *
 * Agreement on entering and leaving (work_agree) is a vote by messages over the ranks that are alive.
 * A vote that is not RC_OK stops all: work_stopping() turns true everywhere within a second, ranks
 * commit what they have and vote, and all get the failed rank's sentence.
 *
 * Leaving after a loss. Under `mpirun --enable-recovery` the others live on. If a rank was lost, the
 * work service abandons the collective instance (coll_abandon): nothing collective is called any
 * more, MPI is not finalised, and main ends the process by _exit with the verb's code. mpirun itself
 * then returns 0 whatever the ranks return, so a launcher judges by what rank 0 printed and by
 * labels.json, never by mpirun's code. Without --enable-recovery mpirun ends all ranks when one dies.
 */
#ifndef PRECEPTOR_WORK_H
#define PRECEPTOR_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/coll/coll.h"

struct work;

enum work_phase { WORK_ENTER = 1, WORK_LEAVE = 2 };

/** What a rank has done so far: it travels with the heartbeats. */
struct work_counts {
    int64_t labeled; /* images that this rank labeled */
    int64_t bad;     /* images that it could not decode: they have no label */
    int64_t resumed; /* found committed in unfinished shards */
    int64_t sealed;  /* shards */
    double waited;   /* seconds without pixels to compute on */
};

struct work_config {
    struct coll *control; /* borrowed */
    double lost_after;    /* seconds of silence after which a rank is given up */
};

/** Starts the service thread when there are several ranks. RC_NOMEM, RC_LIB. */
NODISCARD enum rc work_create(const struct work_config *c, struct work **out, struct err *e);
/** NULL is fine. */
void work_destroy(struct work *w);

/** Rank 0, once, before it votes on entering: what there is to do, in this order. */
NODISCARD enum rc work_offer(struct work *w, const int *items, int n, struct err *e);

/**
 * The ranks that are alive agree on rc, as coll_agree does.
 * token  what all must have in common (entering: lineage and corpus); NULL: nothing
 * RC_INVAL on all: a rank's token is not rank 0's
 * RC_PEER  another rank failed (its sentence), or rank 0 is lost
 */
NODISCARD enum rc work_agree(struct work *w, enum work_phase phase, enum rc rc,
                             const struct digest *token, struct err *e);

/** The next item for this rank; waits while others still do the last ones, since theirs may come
 * back. *more false: all is done, or the run is stopping. One thread at a time. RC_PEER, RC_LIB. */
NODISCARD enum rc work_next(struct work *w, int *item, uint32_t *attempt, bool *more,
                            struct err *e);
/** An item is done. RC_PEER, RC_LIB: rank 0 cannot be told. */
NODISCARD enum rc work_done(struct work *w, int item, struct err *e);

/** Whether to commit and leave: a rank failed or was asked to stop, or rank 0 is lost. */
bool work_stopping(struct work *w);
/** Stop everybody (this rank was asked to): work_next gives no more. */
void work_stop(struct work *w);

/** On several ranks: tick is called some 4 times a second by the service thread, beside the caller;
 * NULL ends that, and no call is under way any more when this returns. */
void work_on_tick(struct work *w, void (*tick)(void *ctx), void *ctx);

/** This rank's counts so far. */
void work_report(struct work *w, const struct work_counts *counts);
/** Rank 0: the sum over all ranks, as far as it knows; *lost: ranks that were lost and did not come
 * back (NULL: not asked). */
void work_totals(struct work *w, struct work_counts *sum, int *lost);

#endif

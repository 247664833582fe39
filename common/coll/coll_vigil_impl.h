/**
 * What a rank does while it waits for others: it looks whether their processes are alive, tells rank 0
 * that it waits, and after a time gives the job up with a sentence that names who is late. Without it a
 * rank that is stopped, or cut off, keeps all others waiting for ever, and under mpirun's
 * --enable-recovery a dead one does too. Private to common/coll.
 */
#ifndef PRECEPTOR_COLL_VIGIL_IMPL_H
#define PRECEPTOR_COLL_VIGIL_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/coll/coll.h"

enum { COLL_VIGIL_TAG = 7201, COLL_VIGIL_MS = 250 /* between two looks */ };

/** One a process. */
struct coll_vigil {
    struct coll *control; /* carries the messages; borrowed */
    int64_t *pids;        /* (size) of the ranks on this host; 0: elsewhere */
    double patience;      /* seconds; 0: for ever */
    atomic_bool lost;     /* a wait was given up: nothing collective any more */
};

/** One wait of one thread: {0} at its start. */
struct coll_wait {
    double last;   /* of the clock */
    double waited; /* without the time in which this process was itself stopped */
    double told;   /* waited, when rank 0 was told last */
    int gone;      /* looks in a row at which a process was missing */
    bool *heard;   /* (size) rank 0: who said that it waits too */
};

/** Whether the rank's process was on this host and has ended. */
bool coll_vigil_gone(const struct coll_vigil *v, int rank);
/** A look, every COLL_VIGIL_MS or so during a wait. RC_PEER, or RC_LIB where rank 0 cannot speak: the
 * wait is given up, and the vigil is lost. RC_NOMEM. */
NODISCARD enum rc coll_vigil_look(struct coll_vigil *v, struct coll_wait *w, struct err *e);
/** At the end of a wait. */
void coll_vigil_end(struct coll_wait *w);
/** Nothing collective is possible any more: the sentence of calls after the loss. */
NODISCARD enum rc coll_vigil_refuse(struct err *e);

/** MPI's start and end wait for all ranks by themselves, and for ever when one has died: a thread that
 * ends this process with a sentence after `seconds` (0: never). what: "started". NULL: no thread. */
struct coll_guard;
struct coll_guard *coll_guard_start(double seconds, const char *what);
/** That is over. NULL is fine. */
void coll_guard_end(struct coll_guard *g);

#endif

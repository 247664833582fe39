#include "common/coll/coll_vigil_impl.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

enum { VIGIL_GONE_LOOKS = 4, VIGIL_NAMES = 8 };
static const double VIGIL_MOST_AT_ONCE = 2; /* seconds between two looks: else we slept ourselves */

static enum rc vigil_lost(struct coll_vigil *v, int late, struct err *e, const char *sentence)
{
    atomic_store(&v->lost, true);
    coll_abandon(v->control);
    return err_raise(e, late == 0 ? RC_LIB : RC_PEER, "%s", sentence);
}

enum rc coll_vigil_refuse(struct err *e)
{
    return err_raise(e, RC_PEER, "a rank is lost: nothing can be agreed on any more");
}

bool coll_vigil_gone(const struct coll_vigil *v, int rank)
{
    return v->pids[rank] > 0 && kill((pid_t)v->pids[rank], 0) != 0 && errno == ESRCH;
}

/* A rank of this host whose process is no more, or -1. */
static int vigil_missing(const struct coll_vigil *v)
{
    for (int r = 0; r < coll_size(v->control); r++) {
        if (coll_vigil_gone(v, r)) {
            return r;
        }
    }
    return -1;
}

/* Rank 0: who has said that it waits as well, since half of the patience is over. */
static enum rc vigil_hear(struct coll_vigil *v, struct coll_wait *w, struct err *e)
{
    char nothing[1];
    size_t bytes = 0;
    int from = 0;

    if (w->heard == NULL) {
        w->heard = mem_calloc((size_t)coll_size(v->control), sizeof *w->heard);
        if (w->heard == NULL) {
            return mem_raise(e, "a list of ranks", (size_t)coll_size(v->control));
        }
    }
    for (;;) {
        enum rc rc =
            coll_poll(v->control, COLL_VIGIL_TAG, nothing, sizeof nothing, &bytes, &from, e);

        if (rc != RC_OK || from < 0) {
            return rc;
        }
        w->heard[from] = w->waited > v->patience / 2;
    }
}

static enum rc vigil_name_late(struct coll_vigil *v, struct coll_wait *w, struct err *e)
{
    char names[16 * VIGIL_NAMES] = "";
    char sentence[sizeof names + 160];
    size_t used = 0;
    int late = 0;

    for (int r = 1; r < coll_size(v->control); r++) {
        if (!w->heard[r] && ++late <= VIGIL_NAMES) {
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%d",
                                     used == 0 ? "" : ", ", r);
        }
    }
    (void)snprintf(sentence, sizeof sentence,
                   "%s %s%s has been waited for during %.0f s: stopped, hanging or cut off (the "
                   "watchdog's time is an option)",
                   late == 1 ? "rank" : "of the ranks", late == 0 ? "one" : names,
                   late > VIGIL_NAMES ? ", ..." : "", w->waited);
    return vigil_lost(v, 1, e, sentence);
}

/* Tell rank 0 that this rank waits too; it may be the late one itself. */
static enum rc vigil_tell(struct coll_vigil *v, struct coll_wait *w, struct err *e)
{
    char sentence[160];
    struct err ignored = {0};

    if (w->waited - w->told > v->patience / 8) {
        w->told = w->waited;
        (void)!coll_send(v->control, 0, COLL_VIGIL_TAG, NULL, 0, &ignored);
    }
    if (w->waited < 1.25 * v->patience) { /* rank 0 speaks first if it can */
        return RC_OK;
    }
    (void)snprintf(sentence, sizeof sentence,
                   "rank 0 has been waited for during %.0f s: stopped, hanging or cut off (the "
                   "watchdog's time is an option)",
                   w->waited);
    return vigil_lost(v, 0, e, sentence);
}

enum rc coll_vigil_look(struct coll_vigil *v, struct coll_wait *w, struct err *e)
{
    double now = clock_now();
    double since = w->last > 0 ? now - w->last : 0;
    char sentence[96];
    int missing;
    enum rc rc = RC_OK;

    if (atomic_load(&v->lost)) {
        return coll_vigil_refuse(e);
    }
    if (v->control == NULL) {
        return RC_OK;
    }
    w->last = now;
    w->waited += since < VIGIL_MOST_AT_ONCE ? since : VIGIL_MOST_AT_ONCE;
    missing = vigil_missing(v);
    w->gone = missing >= 0 ? w->gone + 1 : 0;
    if (w->gone >= VIGIL_GONE_LOOKS) {
        (void)snprintf(sentence, sizeof sentence, "rank %d is lost: its process %lld is gone",
                       missing, (long long)v->pids[missing]);
        return vigil_lost(v, missing, e, sentence);
    }
    if (v->patience <= 0 || w->waited < v->patience / 4) {
        return RC_OK;
    }
    if (coll_rank(v->control) != 0) {
        return vigil_tell(v, w, e);
    }
    rc = vigil_hear(v, w, e);
    return rc == RC_OK && w->waited >= v->patience ? vigil_name_late(v, w, e) : rc;
}

void coll_vigil_end(struct coll_wait *w)
{
    mem_free(w->heard);
}

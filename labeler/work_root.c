/* The work service on rank 0. Everything here runs with the lock held. */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "labeler/work_impl.h"

/* Best effort: a rank that takes no messages is found by its silence. */
static void root_tell(struct work *w, int rank, struct work_note *n)
{
    struct err e = {0};

    if (work_note_send(w, rank, n, &e) != RC_OK) {
        log_debug("labeler", "%s", e.msg);
    }
}

void work_root_stop(struct work *w)
{
    if (w->stopping) {
        return;
    }
    w->stopping = true;
    for (int r = 1; r < w->size; r++) {
        if (!w->peers[r].lost) {
            root_tell(w, r, &(struct work_note){.kind = WORK_HEARD, .stopping = 1});
        }
    }
    (void)pthread_cond_broadcast(&w->changed);
}

void work_root_vote(struct work *w, int rank, uint32_t phase, enum rc rc,
                    const struct digest *token, const char *text)
{
    struct work_vote *v = &w->peers[rank].vote;

    v->phase = phase;
    v->rc = rc;
    v->token = *token;
    (void)snprintf(v->text, sizeof v->text, "%s", text);
    if (rc != RC_OK) {
        work_root_stop(w);
    }
    (void)pthread_cond_broadcast(&w->changed);
}

bool work_root_all_voted(const struct work *w, uint32_t phase)
{
    for (int r = 0; r < w->size; r++) {
        if (!w->peers[r].lost && w->peers[r].vote.phase < phase) {
            return false;
        }
    }
    return true;
}

static void root_outcome_is(struct work_note *out, enum rc rc, int rank, const char *text)
{
    out->rc = (int32_t)rc;
    out->rank = rank;
    (void)snprintf(out->text, sizeof out->text, "%s", text);
}

/* Whether v voted with another token than rank 0 (which must have voted well itself). */
static bool root_token_differs(const struct work *w, const struct work_vote *v)
{
    const struct work_vote *mine = &w->peers[0].vote;

    return mine->rc == RC_OK && v->rc == RC_OK &&
           memcmp(&v->token, &mine->token, sizeof v->token) != 0;
}

void work_root_outcome(struct work *w, uint32_t phase, struct work_note *out)
{
    *out = (struct work_note){.kind = WORK_RESULT, .phase = phase};
    root_outcome_is(out, RC_OK, -1, "");
    for (int r = 0; r < w->size; r++) {
        const struct work_peer *p = &w->peers[r];
        const bool failed = p->vote.rc != RC_OK && p->vote.rc != RC_REQUEUE;

        out->lost += p->lost;
        if (p->lost || (out->rc != RC_OK && out->rc != RC_REQUEUE)) {
            continue;
        }
        if (failed) {
            root_outcome_is(out, p->vote.rc, r, p->vote.text);
        } else if (root_token_differs(w, &p->vote)) {
            root_outcome_is(out, RC_INVAL, r,
                            "its model, its options or its corpus are not those of rank 0");
        } else if (p->vote.rc == RC_REQUEUE && out->rc == RC_OK) {
            root_outcome_is(out, RC_REQUEUE, r, p->vote.text);
        }
    }
    w->over = phase == WORK_LEAVE || out->rc != RC_OK;
    for (int r = 1; r < w->size; r++) {
        if (!w->peers[r].lost) {
            root_tell(w, r, out);
        }
    }
}

static void root_lose(struct work *w, int rank, const char *why)
{
    struct work_peer *p = &w->peers[rank];
    const int back = w->table == NULL ? 0 : work_table_lose(w->table, rank);

    p->lost = true;
    log_warn("labeler", "rank %d is lost: %s; %d of its shards %s given to others", rank, why, back,
             back == 1 ? "is" : "are");
    (void)pthread_cond_broadcast(&w->changed);
}

static void root_find_lost(struct work *w, double now)
{
    char why[96];

    for (int r = 1; r < w->size && !w->over; r++) {
        struct work_peer *p = &w->peers[r];

        if (p->lost) {
            continue;
        }
        if (now - p->heard > w->config.lost_after) {
            (void)snprintf(why, sizeof why, "it has been silent for %.0f s", now - p->heard);
            root_lose(w, r, why);
        } else if (p->pid > 0 && work_note_sender_gone(p->pid)) {
            (void)snprintf(why, sizeof why, "its process %lld is gone", (long long)p->pid);
            root_lose(w, r, why);
        }
    }
}

static void root_take(struct work *w, int from, const struct work_note *n, double now)
{
    struct work_peer *p = &w->peers[from];

    if (p->lost) {
        p->lost = false;
        log_info("labeler", "rank %d is back", from);
    }
    p->heard = now;
    p->pid = n->host == w->host ? n->pid : 0;
    p->counts = n->counts;
    switch (n->kind) {
    case WORK_ALIVE:
        root_tell(w, from, &(struct work_note){.kind = WORK_HEARD, .stopping = w->stopping});
        break;
    case WORK_ASK:
        p->asks = true;
        break;
    case WORK_DONE:
        work_table_done(w->table, n->item);
        (void)pthread_cond_broadcast(&w->changed);
        break;
    case WORK_VOTE:
        work_root_vote(w, from, n->phase, (enum rc)n->rc, &n->token, n->text);
        break;
    default:
        log_warn("labeler", "rank %d sent a message of unknown kind %u", from, n->kind);
        break;
    }
}

/* Answer the ranks that ask, as far as there is something to say. */
static void root_answer(struct work *w)
{
    for (int r = 1; r < w->size && w->table != NULL; r++) {
        struct work_peer *p = &w->peers[r];
        struct work_note n = {.kind = WORK_END};
        int item = 0;

        if (!p->asks || p->lost) {
            continue;
        }
        if (!w->stopping && work_table_left(w->table) > 0) {
            if (!work_table_take(w->table, r, &item, &n.attempt)) {
                continue;
            }
            n.kind = WORK_ITEM;
            n.item = item;
        }
        p->asks = false;
        root_tell(w, r, &n);
    }
}

enum rc work_root_turn(struct work *w, double now, struct err *e)
{
    struct work_note n;
    int from = 0;

    for (;;) {
        enum rc rc = work_note_poll(w, WORK_TAG_TO_ROOT, &n, &from, e);

        if (rc != RC_OK) {
            return rc;
        }
        if (from < 0) {
            break;
        }
        if (from > 0 && (n.kind != WORK_DONE || w->table != NULL)) {
            root_take(w, from, &n, now);
        }
    }
    root_find_lost(w, now);
    root_answer(w);
    return RC_OK;
}

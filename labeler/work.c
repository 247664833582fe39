#include "labeler/work.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "labeler/work_impl.h"

static const double ALIVE_S = 1.0;   /* between heartbeats */
static const double TICK_S = 0.25;   /* between calls of config.tick */
static const double ASLEEP_S = 1.0;  /* a longer turn: this process itself did not run */
static const long TURN_NS = 1000000; /* a shard takes seconds and is asked for ahead of time */
static const long IDLE_NS = 10000000;

/* ---- the other ranks' service ---------------------------------------------------------------- */

static void rank_take(struct work *w, const struct work_note *n, double now)
{
    w->heard = now;
    w->root_pid = n->host == w->host ? n->pid : 0;
    switch (n->kind) {
    case WORK_HEARD:
        w->stopping = w->stopping || n->stopping != 0;
        break;
    case WORK_ITEM:
    case WORK_END:
        w->answer = *n;
        w->answered = true;
        break;
    case WORK_RESULT:
        w->result = *n;
        break;
    default:
        break; /* of a newer kind: nothing that this rank waits for */
    }
    (void)pthread_cond_broadcast(&w->changed);
}

static enum rc rank_turn(struct work *w, double now, struct err *e)
{
    struct work_note n;
    int from = 0;

    do {
        enum rc rc = work_note_poll(w, WORK_TAG_TO_RANK, &n, &from, e);

        if (rc != RC_OK) {
            return rc;
        }
        if (from == 0) {
            rank_take(w, &n, now);
        }
    } while (from >= 0);
    /* A process that is gone may have left a last message: it is believed on the third look. */
    w->root_gone = w->root_pid > 0 && work_note_sender_gone(w->root_pid) ? w->root_gone + 1 : 0;
    if (!w->root_lost && (now - w->heard > w->config.lost_after || w->root_gone > 2)) {
        log_warn("labeler", "rank 0 is lost (%s): rank %d saves what it has and ends",
                 w->root_gone > 0 ? "its process is gone" : "it is silent", w->rank);
        w->root_lost = true;
        w->stopping = true;
        (void)pthread_cond_broadcast(&w->changed);
    }
    if (now - w->told > ALIVE_S) {
        struct err ignored = {0}; /* silence will tell */

        w->told = now;
        (void)!work_note_send(w, 0, &(struct work_note){.kind = WORK_ALIVE}, &ignored);
    }
    return RC_OK;
}

/* ---- the service thread ---------------------------------------------------------------------- */

/* Time in which this process itself did not run is not the others' silence. */
static void work_forgive(struct work *w, double now)
{
    const double gap = now - w->last_turn;

    w->last_turn = now;
    if (gap <= ASLEEP_S) {
        return;
    }
    w->heard += gap;
    for (int r = 0; w->peers != NULL && r < w->size; r++) {
        w->peers[r].heard += gap;
    }
}

static void work_tick(struct work *w, double now)
{
    (void)pthread_mutex_lock(&w->tick_lock);
    if (w->tick != NULL && now - w->last_tick >= TICK_S) {
        w->last_tick = now;
        w->tick(w->tick_ctx);
    }
    (void)pthread_mutex_unlock(&w->tick_lock);
}

static void *work_main(void *arg)
{
    struct work *w = arg;

    (void)pthread_mutex_lock(&w->lock);
    while (!w->quit) {
        const double now = clock_now();
        struct err e = {0};
        enum rc rc = RC_OK;

        work_forgive(w, now);
        rc = w->rank == 0 ? work_root_turn(w, now, &e) : rank_turn(w, now, &e);
        if (rc != RC_OK && w->broken.rc == RC_OK) {
            w->broken = e;
            w->stopping = true;
            (void)pthread_cond_broadcast(&w->changed);
        }
        const bool idle = w->rank != 0 && !w->asked;
        (void)pthread_mutex_unlock(&w->lock);
        work_tick(w, now);
        (void)nanosleep(&(struct timespec){0, idle ? IDLE_NS : TURN_NS}, NULL);
        (void)pthread_mutex_lock(&w->lock);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- making and ending ----------------------------------------------------------------------- */

static enum rc work_start(struct work *w, struct err *e)
{
    const double now = clock_now();
    int code = 0;

    w->heard = now;
    w->last_turn = now;
    w->peers = w->rank == 0 ? mem_calloc((size_t)w->size, sizeof *w->peers) : NULL;
    if (w->rank == 0 && w->peers == NULL) {
        return mem_raise(e, "the ranks of the work service", (size_t)w->size * sizeof *w->peers);
    }
    for (int r = 0; w->peers != NULL && r < w->size; r++) {
        w->peers[r].heard = now;
    }
    if (w->size == 1) {
        return RC_OK;
    }
    code = pthread_create(&w->thread, NULL, work_main, w);
    if (code != 0) {
        return err_raise(e, RC_LIB, "cannot start the work service's thread: %s", strerror(code));
    }
    w->thread_runs = true;
    return RC_OK;
}

enum rc work_create(const struct work_config *c, struct work **out, struct err *e)
{
    struct work *w = mem_calloc(1, sizeof *w);
    enum rc rc = RC_OK;

    if (w == NULL) {
        return mem_raise(e, "the work service", sizeof *w);
    }
    w->config = *c;
    w->rank = coll_rank(c->control);
    w->size = coll_size(c->control);
    w->host = work_note_host();
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_mutex_init(&w->tick_lock, NULL);
    (void)pthread_cond_init(&w->changed, NULL);
    rc = work_start(w, e);
    if (rc == RC_OK) {
        *out = w;
        w = NULL;
    }
    work_destroy(w);
    return rc;
}

void work_destroy(struct work *w)
{
    if (w == NULL) {
        return;
    }
    if (w->thread_runs) {
        (void)pthread_mutex_lock(&w->lock);
        w->quit = true;
        (void)pthread_mutex_unlock(&w->lock);
        (void)pthread_join(w->thread, NULL);
    }
    work_table_destroy(w->table);
    mem_free(w->peers);
    (void)pthread_cond_destroy(&w->changed);
    (void)pthread_mutex_destroy(&w->lock);
    (void)pthread_mutex_destroy(&w->tick_lock);
    mem_free(w);
}

/* ---- agreement ------------------------------------------------------------------------------- */

static enum rc work_lost_root(struct work *w, struct err *e)
{
    coll_abandon(w->config.control);
    if (w->broken.rc != RC_OK) {
        return err_raise(e, w->broken.rc, "%s", w->broken.msg);
    }
    return err_raise(e, RC_PEER,
                     "rank 0 is lost (%s): what is committed stays, and the same command goes on",
                     w->root_gone > 0 ? "its process is gone" : "it is silent");
}

static enum rc agree_result(struct work *w, enum rc rc, const struct work_note *r, struct err *e)
{
    if (r->lost > 0 && (r->phase == WORK_LEAVE || r->rc != RC_OK)) {
        coll_abandon(w->config.control);
    }
    if (rc != RC_OK && rc != RC_REQUEUE) {
        return rc;
    }
    if (r->rc == RC_OK) {
        return rc;
    }
    if (r->rc == RC_REQUEUE) {
        return rc == RC_REQUEUE ? rc : err_raise(e, RC_REQUEUE, "%s", r->text);
    }
    if (e != NULL) {
        err_clear(e);
    }
    return err_raise(e, r->rank == w->rank ? (enum rc)r->rc : RC_PEER, "rank %d: %s", r->rank,
                     r->text);
}

static enum rc agree_root(struct work *w, struct work_note *vote, struct work_note *result,
                          struct err *e)
{
    work_root_vote(w, 0, vote->phase, (enum rc)vote->rc, &vote->token, vote->text);
    while (!work_root_all_voted(w, vote->phase) && w->broken.rc == RC_OK) {
        (void)pthread_cond_wait(&w->changed, &w->lock);
    }
    if (w->broken.rc != RC_OK) {
        coll_abandon(w->config.control);
        return err_raise(e, w->broken.rc, "%s", w->broken.msg);
    }
    work_root_outcome(w, vote->phase, result);
    return RC_OK;
}

static enum rc agree_rank(struct work *w, struct work_note *vote, struct work_note *result,
                          struct err *e)
{
    enum rc rc = work_note_send(w, 0, vote, e);

    w->asked = true; /* the service looks often */
    while (rc == RC_OK && w->result.phase != vote->phase && !w->root_lost &&
           w->broken.rc == RC_OK) {
        (void)pthread_cond_wait(&w->changed, &w->lock);
    }
    w->asked = false;
    if (rc == RC_OK && w->result.phase != vote->phase) {
        return work_lost_root(w, e);
    }
    *result = w->result;
    return rc;
}

enum rc work_agree(struct work *w, enum work_phase phase, enum rc rc, const struct digest *token,
                   struct err *e)
{
    struct work_note vote = {.kind = WORK_VOTE, .phase = phase, .rc = (int32_t)rc};
    struct work_note result = {0};
    struct err own = {0};
    enum rc asked = RC_OK;

    if (token != NULL) {
        vote.token = *token;
    }
    if (rc != RC_OK) {
        const bool said = e != NULL && e->msg[0] != '\0';
        (void)snprintf(vote.text, sizeof vote.text, "%s", said ? e->msg : err_name(rc));
    }
    if (w->size == 1) {
        return rc;
    }
    (void)pthread_mutex_lock(&w->lock);
    asked =
        w->rank == 0 ? agree_root(w, &vote, &result, &own) : agree_rank(w, &vote, &result, &own);
    (void)pthread_mutex_unlock(&w->lock);
    if (asked != RC_OK) {
        return rc != RC_OK ? rc : err_raise(e, asked, "%s", own.msg);
    }
    return agree_result(w, rc, &result, e);
}

/* ---- items ----------------------------------------------------------------------------------- */

enum rc work_offer(struct work *w, const int *items, int n, struct err *e)
{
    struct work_table *t = NULL;
    enum rc rc = work_table_create(items, n, &t, e);

    assert(w->rank == 0 && w->table == NULL);
    if (rc == RC_OK) {
        (void)pthread_mutex_lock(&w->lock);
        w->table = t;
        (void)pthread_mutex_unlock(&w->lock);
    }
    return rc;
}

/* With the lock held. What others do may come back, so the last ones are waited for. */
static bool next_root(struct work *w, int *item, uint32_t *attempt)
{
    assert(w->table != NULL);
    while (!w->stopping && work_table_left(w->table) > 0) {
        if (work_table_take(w->table, 0, item, attempt)) {
            return true;
        }
        (void)pthread_cond_wait(&w->changed, &w->lock);
    }
    return false;
}

static enum rc next_rank(struct work *w, int *item, uint32_t *attempt, bool *more, struct err *e)
{
    enum rc rc = RC_OK;

    if (!w->asked) {
        w->answered = false;
        rc = work_note_send(w, 0, &(struct work_note){.kind = WORK_ASK}, e);
        w->asked = rc == RC_OK;
    }
    if (rc != RC_OK) {
        return rc;
    }
    while (!w->answered && !w->stopping) { /* stopping: also when rank 0 is lost */
        (void)pthread_cond_wait(&w->changed, &w->lock);
    }
    w->asked = false;
    if (w->root_lost || w->broken.rc != RC_OK) {
        return work_lost_root(w, e);
    }
    *more = !w->stopping && w->answer.kind == WORK_ITEM;
    if (*more) {
        *item = w->answer.item;
        *attempt = w->answer.attempt;
    }
    return RC_OK;
}

enum rc work_next(struct work *w, int *item, uint32_t *attempt, bool *more, struct err *e)
{
    enum rc rc = RC_OK;

    (void)pthread_mutex_lock(&w->lock);
    if (w->rank == 0) {
        *more = next_root(w, item, attempt);
    } else {
        rc = next_rank(w, item, attempt, more, e);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return rc;
}

enum rc work_done(struct work *w, int item, struct err *e)
{
    enum rc rc = RC_OK;

    (void)pthread_mutex_lock(&w->lock);
    if (w->rank == 0) {
        work_table_done(w->table, item);
        (void)pthread_cond_broadcast(&w->changed);
    } else {
        rc = work_note_send(w, 0, &(struct work_note){.kind = WORK_DONE, .item = item}, e);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return rc;
}

bool work_stopping(struct work *w)
{
    (void)pthread_mutex_lock(&w->lock);
    const bool stopping = w->stopping;
    (void)pthread_mutex_unlock(&w->lock);
    return stopping;
}

void work_stop(struct work *w)
{
    (void)pthread_mutex_lock(&w->lock);
    if (w->rank == 0) {
        work_root_stop(w);
    }
    w->stopping = true;
    (void)pthread_cond_broadcast(&w->changed);
    (void)pthread_mutex_unlock(&w->lock);
}

void work_on_tick(struct work *w, void (*tick)(void *ctx), void *ctx)
{
    (void)pthread_mutex_lock(&w->tick_lock);
    w->tick = tick;
    w->tick_ctx = ctx;
    (void)pthread_mutex_unlock(&w->tick_lock);
}

/* ---- counts ---------------------------------------------------------------------------------- */

void work_report(struct work *w, const struct work_counts *counts)
{
    (void)pthread_mutex_lock(&w->lock);
    w->mine = *counts;
    (void)pthread_mutex_unlock(&w->lock);
}

void work_totals(struct work *w, struct work_counts *sum, int *lost)
{
    struct work_counts s = {0};
    int gone = 0;

    assert(w->rank == 0);
    (void)pthread_mutex_lock(&w->lock);
    w->peers[0].counts = w->mine;
    for (int r = 0; r < w->size; r++) {
        const struct work_counts *c = &w->peers[r].counts;

        s.labeled += c->labeled;
        s.bad += c->bad;
        s.resumed += c->resumed;
        s.sealed += c->sealed;
        s.waited += c->waited;
        gone += w->peers[r].lost;
    }
    (void)pthread_mutex_unlock(&w->lock);
    *sum = s;
    if (lost != NULL) {
        *lost = gone;
    }
}

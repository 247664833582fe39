/*
 * Asynchronous all-reduces. Open MPI makes no progress on them by itself while the caller computes, so a
 * thread tests them every 100 us (measured: 98 % overlap for a tenth of a core) and sleeps on a
 * condition when none is in flight.
 */
#include <assert.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/coll/coll_mpi_impl.h"

enum { PROGRESS_US = 100 };

/* Move one all-reduce on; true when it has ended. */
static bool pending_test(struct coll_mpi_pending *p)
{
    bool all = true;
    for (int i = 0; i < p->parts; i++) {
        int done = 0;
        const int code = MPI_Test(&p->part[i], &done, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS) {
            p->failed = code;
            return true;
        }
        all = all && done;
    }
    return all;
}

static void *progress_main(void *arg)
{
    struct coll_mpi *m = arg;
    pthread_mutex_lock(&m->lock);
    while (!m->quit) {
        if (m->running == 0 || atomic_load(&m->world->abandoned)) {
            pthread_cond_wait(&m->changed, &m->lock);
            continue;
        }
        bool ended = false;
        for (int i = 0; i < COLL_MAX_PENDING; i++) {
            if (m->slots[i].state == COLL_MPI_RUNNING && pending_test(&m->slots[i])) {
                m->slots[i].state = COLL_MPI_DONE;
                m->running--;
                ended = true;
            }
        }
        if (ended) {
            pthread_cond_broadcast(&m->changed);
        }
        pthread_mutex_unlock(&m->lock);
        usleep(PROGRESS_US);
        pthread_mutex_lock(&m->lock);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static enum rc progress_start(struct coll_mpi *m, struct err *e)
{
    if (m->thread_runs) {
        return RC_OK;
    }
    const int code = pthread_create(&m->thread, NULL, progress_main, m);
    if (code != 0) {
        return err_raise(e, RC_LIB, "cannot start the thread of asynchronous all-reduces: %s",
                         strerror(code));
    }
    m->thread_runs = true;
    return RC_OK;
}

static void pending_post(struct coll_mpi *m, struct coll_mpi_pending *p, float *buf, size_t n)
{
    *p = (struct coll_mpi_pending){.state = COLL_MPI_RUNNING, .failed = MPI_SUCCESS};
    while (n > 0 && p->failed == MPI_SUCCESS) {
        const size_t part = coll_mpi_part(m, n);
        p->failed = MPI_Iallreduce(MPI_IN_PLACE, buf, (int)part, MPI_FLOAT, MPI_SUM, m->async,
                                   &p->part[p->parts]);
        if (p->failed == MPI_SUCCESS) {
            p->parts++;
        }
        buf += part;
        n -= part;
    }
}

enum rc coll_mpi_async_start(struct coll *c, float *buf, size_t n, int64_t id, int *ticket,
                             struct err *e)
{
    struct coll_mpi *m = (struct coll_mpi *)c;
    (void)id; /* NCCL's instance alone compares */
    if (n / m->split >= COLL_MPI_MAX_PARTS) {
        return err_raise(e, RC_INVAL, "asynchronous all-reduce of %zu elements: at most %zu fit", n,
                         m->split * COLL_MPI_MAX_PARTS);
    }
    enum rc rc = coll_mpi_lost(m) ? coll_vigil_refuse(e) : progress_start(m, e);
    if (rc != RC_OK) {
        return rc;
    }
    pthread_mutex_lock(&m->lock);
    struct coll_mpi_pending *p = &m->slots[m->next];
    if (p->state != COLL_MPI_FREE) {
        rc = err_raise(e, RC_INVAL, "more than %d asynchronous all-reduces are in flight",
                       (int)COLL_MAX_PENDING);
    } else {
        pending_post(m, p, buf, n);
        m->running++;
        *ticket = m->next;
        m->next = (m->next + 1) % COLL_MAX_PENDING;
        pthread_cond_broadcast(&m->changed);
    }
    pthread_mutex_unlock(&m->lock);
    return rc;
}

/* Wait for a change of the slots; the next look is due after COLL_VIGIL_MS. The lock is held. */
static void pending_sleep(struct coll_mpi *m)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += COLL_VIGIL_MS * 1000000L;
    end.tv_sec += end.tv_nsec / 1000000000L;
    end.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&m->changed, &m->lock, &end);
}

enum rc coll_mpi_async_wait(struct coll *c, int ticket, struct err *e)
{
    struct coll_mpi *m = (struct coll_mpi *)c;
    struct coll_wait wait = {0};
    enum rc rc = RC_OK;
    pthread_mutex_lock(&m->lock);
    struct coll_mpi_pending *p = &m->slots[ticket];
    assert(p->state != COLL_MPI_FREE);
    while (p->state == COLL_MPI_RUNNING && rc == RC_OK) {
        pending_sleep(m);
        if (p->state == COLL_MPI_RUNNING) {
            rc = coll_vigil_look(&m->world->vigil, &wait, e);
        }
    }
    const int failed = p->failed;
    if (rc == RC_OK) {
        p->state = COLL_MPI_FREE;
    }
    pthread_mutex_unlock(&m->lock);
    coll_vigil_end(&wait);
    if (rc != RC_OK) {
        return rc;
    }
    return failed == MPI_SUCCESS ? RC_OK
                                 : coll_mpi_raise(e, m, failed, "an asynchronous all-reduce");
}

void coll_mpi_async_stop(struct coll_mpi *m)
{
    if (!m->thread_runs) {
        return;
    }
    pthread_mutex_lock(&m->lock);
    m->quit = true;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
}

#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/coll/coll_vigil_impl.h"

struct coll_guard {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct timespec end;
    double seconds;
    const char *what;
    bool over;
};

_Noreturn void coll_leave(int code)
{
    _exit(code);
}

static void *guard_main(void *arg)
{
    struct coll_guard *g = arg;
    int code = 0;

    pthread_mutex_lock(&g->lock);
    while (!g->over && code != ETIMEDOUT) {
        code = pthread_cond_timedwait(&g->changed, &g->lock, &g->end);
    }
    if (!g->over) {
        log_warn("coll",
                 "MPI has not %s after %.0f s: a rank died or hangs on the way; this one ends",
                 g->what, g->seconds);
        coll_leave(1); /* the main thread is inside MPI_Init or MPI_Finalize */
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

struct coll_guard *coll_guard_start(double seconds, const char *what)
{
    struct coll_guard *g = seconds > 0 ? mem_calloc(1, sizeof *g) : NULL;
    pthread_condattr_t clock;

    if (g == NULL) {
        return NULL;
    }
    g->seconds = seconds;
    g->what = what;
    (void)clock_gettime(CLOCK_MONOTONIC, &g->end);
    g->end.tv_sec += (time_t)seconds;
    (void)pthread_condattr_init(&clock);
    (void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&g->lock, NULL);
    (void)pthread_cond_init(&g->changed, &clock);
    (void)pthread_condattr_destroy(&clock);
    if (pthread_create(&g->thread, NULL, guard_main, g) != 0) {
        pthread_cond_destroy(&g->changed);
        pthread_mutex_destroy(&g->lock);
        mem_free(g);
        return NULL;
    }
    return g;
}

void coll_guard_end(struct coll_guard *g)
{
    if (g == NULL) {
        return;
    }
    pthread_mutex_lock(&g->lock);
    g->over = true;
    pthread_cond_signal(&g->changed);
    pthread_mutex_unlock(&g->lock);
    pthread_join(g->thread, NULL);
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
    mem_free(g);
}

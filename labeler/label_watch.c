#include "labeler/label_watch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

enum { WATCH_NS = 100 * 1000 * 1000, WATCH_NAME = 256 };
static const double WATCH_MOST_AT_ONCE = 1; /* seconds between two looks: else we slept ourselves */

struct watch_slot {
    const char *what; /* NULL: nothing under way */
    char name[WATCH_NAME];
    double waited;
};

struct label_watch {
    double patience;
    label_watch_late *late;
    void *ctx;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    struct watch_slot slots[LABEL_WATCHED];
    bool quit;
};

/* The work that is late, in *out; false: none is. */
static bool watch_look(struct label_watch *w, double since, struct watch_slot *out)
{
    bool late = false;

    for (int i = 0; i < LABEL_WATCHED && !late; i++) {
        struct watch_slot *s = &w->slots[i];

        if (s->what != NULL) {
            s->waited += since < WATCH_MOST_AT_ONCE ? since : WATCH_MOST_AT_ONCE;
            late = s->waited >= w->patience;
            *out = *s;
        }
    }
    return late;
}

static void *watch_main(void *arg)
{
    struct label_watch *w = arg;
    struct watch_slot slot;
    double last = clock_now();
    bool late = false;

    (void)pthread_mutex_lock(&w->lock);
    while (!w->quit && !late) {
        const double now = clock_now();

        late = watch_look(w, now - last, &slot);
        last = now;
        (void)pthread_mutex_unlock(&w->lock);
        if (late) {
            w->late(w->ctx, slot.what, slot.name, slot.waited);
        } else {
            (void)nanosleep(&(struct timespec){0, WATCH_NS}, NULL);
        }
        (void)pthread_mutex_lock(&w->lock);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

enum rc label_watch_create(double patience, label_watch_late *late, void *ctx,
                           struct label_watch **out, struct err *e)
{
    struct label_watch *w = NULL;
    int code = 0;

    if (patience <= 0) {
        *out = NULL;
        return RC_OK;
    }
    w = mem_calloc(1, sizeof *w);
    if (w == NULL) {
        return mem_raise(e, "the watchdog", sizeof *w);
    }
    w->patience = patience;
    w->late = late;
    w->ctx = ctx;
    (void)pthread_mutex_init(&w->lock, NULL);
    code = pthread_create(&w->thread, NULL, watch_main, w);
    if (code != 0) {
        (void)pthread_mutex_destroy(&w->lock);
        mem_free(w);
        return err_raise(e, RC_LIB, "cannot start the watchdog's thread: %s", strerror(code));
    }
    *out = w;
    return RC_OK;
}

void label_watch_destroy(struct label_watch *w)
{
    if (w == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&w->lock);
    w->quit = true;
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    (void)pthread_mutex_destroy(&w->lock);
    mem_free(w);
}

void label_watch_begin(struct label_watch *w, enum label_watched who, const char *what,
                       const char *name)
{
    if (w == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&w->lock);
    struct watch_slot *s = &w->slots[who];
    s->what = what;
    s->waited = 0;
    (void)snprintf(s->name, sizeof s->name, "%s", name);
    (void)pthread_mutex_unlock(&w->lock);
}

void label_watch_end(struct label_watch *w, enum label_watched who)
{
    if (w == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&w->lock);
    w->slots[who].what = NULL;
    (void)pthread_mutex_unlock(&w->lock);
}

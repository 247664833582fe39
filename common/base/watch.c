#include "common/base/watch.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { WATCH_NS = 100 * 1000 * 1000, WATCH_NAME = 256 };
static const double WATCH_SAY = 60;         /* seconds, or half of the patience */
static const double WATCH_MOST_AT_ONCE = 1; /* seconds between two looks: else we slept ourselves */

struct watch_slot {
    const char *what; /* NULL: nothing under way */
    char name[WATCH_NAME];
    double waited;
    bool said; /* in the log, that it takes long */
};

struct watch {
    double patience;
    watch_late *late;
    void *ctx;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    struct watch_slot slots[WATCH_SLOTS];
    bool quit;
};

/* The piece of work of this thread: it alone writes here. */
static _Thread_local struct {
    struct watch *watch;
    int slot;
} watch_mine;

static void watch_say(const struct watch *w, struct watch_slot *s)
{
    const double most = w->patience / 2 < WATCH_SAY ? w->patience / 2 : WATCH_SAY;

    if (s->waited >= most && !s->said) {
        s->said = true;
        log_warn("base", "%s '%s' has taken %.1f s so far, %.1f s are allowed", s->what, s->name,
                 most, w->patience);
    }
}

/* The work that is late, in *out; false: none is. */
static bool watch_look(struct watch *w, double since, struct watch_slot *out)
{
    bool late = false;

    for (int i = 0; i < WATCH_SLOTS && !late; i++) {
        struct watch_slot *s = &w->slots[i];

        if (s->what != NULL) {
            s->waited += since < WATCH_MOST_AT_ONCE ? since : WATCH_MOST_AT_ONCE;
            watch_say(w, s);
            late = s->waited >= w->patience;
            *out = *s;
        }
    }
    return late;
}

void watch_leave(void *ctx, const char *what, const char *name, double seconds)
{
    const char *who = ctx;

    log_warn("base",
             "%s has been %s '%s' for %.0f s: its device, a disk or a network file system does not "
             "answer; it ends (the watchdog's time is an option)",
             who, what, name, seconds);
    _exit(1); /* a thread hangs */
}

static void *watch_main(void *arg)
{
    struct watch *w = arg;
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

enum rc watch_create(double patience, watch_late *late, void *ctx, struct watch **out,
                     struct err *e)
{
    struct watch *w = NULL;
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

void watch_destroy(struct watch *w)
{
    if (w == NULL) {
        return;
    }
    if (watch_mine.watch == w) {
        watch_mine.watch = NULL;
    }
    (void)pthread_mutex_lock(&w->lock);
    w->quit = true;
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    (void)pthread_mutex_destroy(&w->lock);
    mem_free(w);
}

static void watch_set(struct watch *w, int slot, const char *what, const char *name)
{
    struct watch_slot *s = &w->slots[slot];

    (void)pthread_mutex_lock(&w->lock);
    s->what = what;
    s->waited = 0;
    s->said = false;
    if (name != NULL) {
        (void)snprintf(s->name, sizeof s->name, "%s", name);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

void watch_begin(struct watch *w, int slot, const char *what, const char *name)
{
    assert(slot >= 0 && slot < WATCH_SLOTS);
    if (w != NULL) {
        watch_mine.watch = w;
        watch_mine.slot = slot;
        watch_set(w, slot, what, name);
    }
}

void watch_end(struct watch *w, int slot)
{
    if (w != NULL) {
        watch_set(w, slot, NULL, NULL);
        watch_mine.watch = NULL;
    }
}

void watch_at(const char *what, const char *name)
{
    if (watch_mine.watch != NULL) {
        watch_set(watch_mine.watch, watch_mine.slot, what, name);
    }
}

void watch_tick(void)
{
    struct watch *w = watch_mine.watch;

    if (w != NULL) {
        (void)pthread_mutex_lock(&w->lock);
        w->slots[watch_mine.slot].waited = 0;
        (void)pthread_mutex_unlock(&w->lock);
    }
}

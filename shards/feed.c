#include "shards/feed.h"

#include <assert.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "shards/feed_impl.h"

enum { FEED_DEPTH = 4, FEED_READERS = 32, FEED_MAX_THREADS = 256, FEED_MAX_CHUNK = 16 };

/* ---- making and ending ---------------------------------------------------------------------- */

static int feed_cores(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static enum rc feed_check(const struct feed_config *c, size_t *row_bytes, struct err *e)
{
    int size = c->eval.size;
    int channels = c->eval.channels;

    for (int i = 0; i < FEED_MAX_CORPORA; i++) {
        const struct augment *a = &c->augment[i];

        if (a->size == 0) {
            continue;
        }
        if (size == 0) {
            size = a->size;
            channels = a->channels;
        }
        if (a->size != size || a->channels != channels) {
            return err_raise(e, RC_INVAL,
                             "a feed makes images of one size: %d px of %d channels "
                             "and %d px of %d do not fit a batch",
                             size, channels, a->size, a->channels);
        }
    }
    if (size <= 0 || size > IMAGE_MAX_SIDE || (channels != 1 && channels != 3)) {
        return err_raise(e, RC_INVAL, "images of %d px and %d channels: expected 1 or 3 channels",
                         size, channels);
    }
    if (c->batch < 1 || c->depth < 0 || c->threads < 0 || c->threads > FEED_MAX_THREADS ||
        c->readers < 0 || c->classes < 0 || c->source == NULL || c->corpora[0] == NULL) {
        return err_raise(e, RC_INVAL, "a feed of batch %d, depth %d, %d threads, %d classes",
                         c->batch, c->depth, c->threads, c->classes);
    }
    *row_bytes = (size_t)size * (size_t)size * (size_t)channels;
    return RC_OK;
}

static void feed_defaults(struct feed *f)
{
    struct feed_config *c = &f->config;

    c->depth = c->depth == 0 ? FEED_DEPTH : c->depth < 2 ? 2 : c->depth;
    if (c->threads == 0) {
        int cores = feed_cores();

        c->threads = cores > FEED_MAX_THREADS ? FEED_MAX_THREADS : cores;
    }
    if (c->readers == 0) {
        c->readers = FEED_READERS;
    }
    if (c->readers <= c->threads) {
        c->readers = c->threads + 1;
    }
    f->chunk = c->batch / (4 * c->threads);
    f->chunk = f->chunk < 1 ? 1 : f->chunk > FEED_MAX_CHUNK ? FEED_MAX_CHUNK : f->chunk;
}

static enum rc feed_allocate(struct feed *f, struct err *e)
{
    const struct feed_config *c = &f->config;
    size_t batch = (size_t)c->batch;
    int corpora = c->corpora[1] == NULL ? 1 : 2;
    enum rc rc = RC_OK;

    f->slots = mem_calloc((size_t)c->depth, sizeof *f->slots);
    f->workers = mem_calloc((size_t)c->threads, sizeof *f->workers);
    if (f->slots == NULL || f->workers == NULL) {
        return mem_raise(e, "the feed", (size_t)c->depth * sizeof *f->slots);
    }
    for (int i = 0; i < c->depth; i++) {
        struct feed_slot *s = &f->slots[i];

        s->free = true;
        s->pixels = mem_aligned(batch * f->row_bytes);
        s->items = mem_calloc(batch, sizeof *s->items);
        s->target = c->classes == 0 ? NULL : mem_calloc(batch * (size_t)c->classes, sizeof(float));
        if (s->pixels == NULL || s->items == NULL || (c->classes > 0 && s->target == NULL)) {
            return mem_raise(e, "a batch of the feed", batch * f->row_bytes);
        }
        memset(s->pixels, 0, batch * f->row_bytes); /* its pages are there from the beginning */
    }
    for (int i = 0; i < c->threads && rc == RC_OK; i++) {
        f->workers[i].feed = f;
        rc = codec_create(&f->workers[i].codec, e);
    }
    return rc == RC_OK
               ? reader_cache_create(c->corpora, corpora, c->readers, c->trust, &f->cache, e)
               : rc;
}

/* Signals are for the thread that computes; faults stay with the thread that makes them. */
static void feed_block_signals(sigset_t *old)
{
    sigset_t set;

    (void)sigfillset(&set);
    (void)sigdelset(&set, SIGBUS);
    (void)sigdelset(&set, SIGSEGV);
    (void)sigdelset(&set, SIGFPE);
    (void)sigdelset(&set, SIGILL);
    (void)pthread_sigmask(SIG_SETMASK, &set, old);
}

static enum rc feed_start(struct feed *f, struct err *e)
{
    sigset_t old;
    int failed = 0;

    feed_block_signals(&old);
    for (int i = 0; i < f->config.threads && failed == 0; i++) {
        failed = pthread_create(&f->workers[i].thread, NULL, feed_work_decode, &f->workers[i]);
        f->workers_started += failed == 0;
    }
    if (failed == 0) {
        failed = pthread_create(&f->source_thread, NULL, feed_work_source, f);
        f->source_started = failed == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed == 0
               ? RC_OK
               : err_raise(e, RC_NOMEM, "cannot start a thread of the feed: %s", strerror(failed));
}

enum rc feed_create(const struct feed_config *c, struct feed **out, struct err *e)
{
    struct feed *f = NULL;
    size_t row_bytes = 0;
    enum rc rc = feed_check(c, &row_bytes, e);

    if (rc != RC_OK) {
        return rc;
    }
    f = mem_calloc(1, sizeof *f);
    if (f == NULL) {
        return mem_raise(e, "the feed", sizeof *f);
    }
    f->config = *c;
    f->row_bytes = row_bytes;
    feed_defaults(f);
    (void)pthread_mutex_init(&f->lock, NULL);
    (void)pthread_cond_init(&f->slot_freed, NULL);
    (void)pthread_cond_init(&f->work_came, NULL);
    (void)pthread_cond_init(&f->batch_done, NULL);
    rc = feed_allocate(f, e);
    if (rc == RC_OK) {
        rc = feed_start(f, e);
    }
    if (rc != RC_OK) {
        feed_destroy(f);
        return rc;
    }
    *out = f;
    return RC_OK;
}

static void feed_stop(struct feed *f)
{
    (void)pthread_mutex_lock(&f->lock);
    f->stop = true;
    (void)pthread_cond_broadcast(&f->slot_freed);
    (void)pthread_cond_broadcast(&f->work_came);
    (void)pthread_mutex_unlock(&f->lock);
    if (f->source_started) {
        (void)pthread_join(f->source_thread, NULL);
    }
    for (int i = 0; i < f->workers_started; i++) {
        (void)pthread_join(f->workers[i].thread, NULL);
    }
}

void feed_destroy(struct feed *f)
{
    if (f == NULL) {
        return;
    }
    feed_stop(f);
    for (int i = 0; f->slots != NULL && i < f->config.depth; i++) {
        mem_free(f->slots[i].pixels);
        mem_free(f->slots[i].target);
        mem_free(f->slots[i].items);
    }
    for (int i = 0; f->workers != NULL && i < f->config.threads; i++) {
        codec_destroy(f->workers[i].codec);
    }
    reader_cache_destroy(f->cache);
    (void)pthread_cond_destroy(&f->slot_freed);
    (void)pthread_cond_destroy(&f->work_came);
    (void)pthread_cond_destroy(&f->batch_done);
    (void)pthread_mutex_destroy(&f->lock);
    mem_free(f->slots);
    mem_free(f->workers);
    mem_free(f);
}

/* ---- the caller's side ---------------------------------------------------------------------- */

static void feed_wait(struct feed *f)
{
    double start = 0;

    while (!(f->next < f->filled ? feed_work_slot(f, f->next)->left == 0 : f->ended)) {
        start = start > 0 ? start : clock_now();
        if (!f->waiting) {
            f->waiting = true;
            (void)pthread_cond_broadcast(&f->work_came);
        }
        (void)pthread_cond_wait(&f->batch_done, &f->lock);
    }
    f->waiting = false;
    f->waited += start > 0 ? clock_now() - start : 0;
}

enum rc feed_next(struct feed *f, struct feed_batch *out, bool *more, struct err *e)
{
    struct feed_slot *s = NULL;
    enum rc rc = RC_OK;

    (void)pthread_mutex_lock(&f->lock);
    feed_wait(f);
    s = feed_work_slot(f, f->next);
    if (f->next == f->filled) {
        *more = false;
    } else if (s->err_row != INT_MAX) {
        rc = err_raise(e, s->err.rc, "%s", s->err.msg); /* and again, if asked again */
    } else {
        *more = true;
        *out = (struct feed_batch){.n = s->n,
                                   .index = f->next,
                                   .pixels = s->pixels,
                                   .target = s->target,
                                   .items = s->items,
                                   .slot = (int)(s - f->slots)};
        f->next++;
    }
    (void)pthread_mutex_unlock(&f->lock);
    return rc;
}

const uint8_t *feed_peek(struct feed *f)
{
    const struct feed_slot *s = NULL;
    const uint8_t *pixels = NULL;

    (void)pthread_mutex_lock(&f->lock);
    if (f->next < f->filled) {
        s = feed_work_slot(f, f->next);
        pixels = s->left == 0 && s->err_row == INT_MAX ? s->pixels : NULL;
    }
    (void)pthread_mutex_unlock(&f->lock);
    return pixels;
}

void feed_return(struct feed *f, const struct feed_batch *b)
{
    (void)pthread_mutex_lock(&f->lock);
    assert(!f->slots[b->slot].free);
    f->slots[b->slot].free = true;
    (void)pthread_cond_signal(&f->slot_freed);
    (void)pthread_mutex_unlock(&f->lock);
}

double feed_waited(const struct feed *f)
{
    return f->waited; /* written by the caller's own thread alone */
}

void feed_pause(struct feed *f, bool paused)
{
    (void)pthread_mutex_lock(&f->lock);
    f->paused = paused;
    (void)pthread_cond_broadcast(&f->work_came);
    (void)pthread_mutex_unlock(&f->lock);
}

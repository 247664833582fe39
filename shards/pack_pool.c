#include "shards/pack_pool.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/image/phash.h"

enum { POOL_JOBS = 64, POOL_KEEP = 4 << 20 };
static const size_t POOL_BYTES = (size_t)512 << 20;

enum pool_state { POOL_FREE, POOL_FILLING, POOL_WAITING, POOL_AT_WORK, POOL_DONE, POOL_TAKEN };

struct pack_pool {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    pthread_t threads[PACK_POOL_THREADS];
    int n_threads;
    bool stop;
    struct pack_job jobs[POOL_JOBS]; /* a ring */
    uint64_t first, next, started;   /* oldest not returned, next to fill, next to work on */
    size_t in_flight;                /* bytes */
};

/* RC_INVAL is a verdict on the image; else what stops all. */
static enum rc pool_verdict(enum rc rc, const struct err *e, char *detail, size_t room)
{
    detail[0] = '\0';
    if (rc != RC_OK) {
        size_t n = strnlen(e->msg, room - 1);

        memcpy(detail, e->msg, n);
        detail[n] = '\0';
    }
    return rc == RC_INVAL ? RC_OK : rc;
}

enum rc pack_pool_probe(struct codec *codec, const void *data, size_t bytes, enum image_reason *why,
                        char *detail, size_t detail_room)
{
    struct err e = {0};
    int w = 0;
    int h = 0;

    return pool_verdict(image_probe(codec, data, bytes, &w, &h, why, &e), &e, detail, detail_room);
}

static void pool_check(struct codec *codec, struct pack_job *j)
{
    struct image image;
    struct err e = {0};
    enum rc rc = pack_pool_probe(codec, j->data, j->bytes, &j->why, j->detail, sizeof j->detail);

    if (rc == RC_OK && j->why == IMAGE_OK && j->check == PACK_JOB_DECODE) {
        rc = image_decode(codec, j->data, j->bytes, 3, &image, &j->why, &e);
        if (rc == RC_OK) {
            rc = phash_image(codec, &image, &j->phash, &e);
            j->hashed = rc == RC_OK;
        }
        rc = pool_verdict(rc, &e, j->detail, sizeof j->detail);
    }
    j->rc = rc;
}

static void *pool_worker(void *arg)
{
    struct pack_pool *p = arg;
    struct codec *codec = NULL;
    struct err e = {0};
    enum rc rc = codec_create(&codec, &e);

    (void)pthread_mutex_lock(&p->lock);
    for (;;) {
        struct pack_job *j = NULL;

        while (!p->stop && p->started == p->next) {
            (void)pthread_cond_wait(&p->work, &p->lock);
        }
        if (p->stop) {
            break;
        }
        j = &p->jobs[p->started++ % POOL_JOBS];
        j->state = POOL_AT_WORK;
        (void)pthread_mutex_unlock(&p->lock);
        j->rc = rc;
        j->why = IMAGE_OK;
        j->hashed = false;
        j->detail[0] = '\0';
        if (rc == RC_OK && j->check != PACK_JOB_KNOWN) {
            pool_check(codec, j);
        }
        (void)pthread_mutex_lock(&p->lock);
        j->state = POOL_DONE;
        (void)pthread_cond_broadcast(&p->done);
    }
    (void)pthread_mutex_unlock(&p->lock);
    codec_destroy(codec);
    return NULL;
}

static int pool_cores(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

int pack_pool_threads(int threads)
{
    int n = threads > 0 ? threads : pool_cores();

    return n > PACK_POOL_THREADS ? PACK_POOL_THREADS : n;
}

enum rc pack_pool_create(int threads, struct pack_pool **out, struct err *e)
{
    struct pack_pool *p = mem_calloc(1, sizeof *p);
    int n = pack_pool_threads(threads);

    if (p == NULL) {
        return mem_raise(e, "threads that check images", sizeof *p);
    }
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->work, NULL);
    (void)pthread_cond_init(&p->done, NULL);
    while (p->n_threads < n &&
           pthread_create(&p->threads[p->n_threads], NULL, pool_worker, p) == 0) {
        p->n_threads++;
    }
    if (p->n_threads == 0) {
        pack_pool_destroy(p);
        return err_raise(e, RC_LIB, "the system gives no thread");
    }
    *out = p;
    return RC_OK;
}

void pack_pool_destroy(struct pack_pool *p)
{
    if (p == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&p->lock);
    p->stop = true;
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_threads; i++) {
        (void)pthread_join(p->threads[i], NULL);
    }
    for (int i = 0; i < POOL_JOBS; i++) {
        mem_free(p->jobs[i].own);
        mem_free(p->jobs[i].text);
    }
    (void)pthread_cond_destroy(&p->done);
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

struct pack_job *pack_pool_next(struct pack_pool *p, size_t bytes)
{
    struct pack_job *j = &p->jobs[p->next % POOL_JOBS];

    if (p->next - p->first == POOL_JOBS ||
        (p->next > p->first && p->in_flight + bytes > POOL_BYTES)) {
        return NULL;
    }
    j->state = POOL_FILLING;
    return j;
}

/* Copy a text to *at, which moves on; NULL stays NULL. */
static const char *pool_text(char **at, const char *text)
{
    size_t bytes = text != NULL ? strlen(text) + 1 : 0;
    char *copy = *at;

    if (text == NULL) {
        return NULL;
    }
    memcpy(copy, text, bytes);
    *at += bytes;
    return copy;
}

static size_t pool_text_bytes(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

enum rc pack_pool_fill(struct pack_job *j, const void *data, size_t bytes,
                       const struct pack_texts *texts, struct err *e)
{
    size_t text = pool_text_bytes(texts->stored) + pool_text_bytes(texts->full) +
                  pool_text_bytes(texts->path) + pool_text_bytes(texts->cls);
    char *at = NULL;

    if (bytes > j->room) {
        unsigned char *more = mem_realloc(j->own, bytes, 1);

        if (more == NULL) {
            return mem_raise(e, texts->full, bytes);
        }
        j->own = more;
        j->room = bytes;
    }
    if (text > j->text_room) {
        char *more = mem_realloc(j->text, text, 1);

        if (more == NULL) {
            return mem_raise(e, texts->full, text);
        }
        j->text = more;
        j->text_room = text;
    }
    if (bytes > 0) {
        memcpy(j->own, data, bytes);
    }
    j->data = j->own;
    j->bytes = bytes;
    at = j->text;
    j->texts.stored = pool_text(&at, texts->stored);
    j->texts.full = pool_text(&at, texts->full);
    j->texts.path = pool_text(&at, texts->path);
    j->texts.cls = pool_text(&at, texts->cls);
    return RC_OK;
}

void pack_pool_submit(struct pack_pool *p, struct pack_job *j)
{
    (void)pthread_mutex_lock(&p->lock);
    j->state = POOL_WAITING;
    p->next++;
    p->in_flight += j->bytes;
    (void)pthread_cond_signal(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
}

struct pack_job *pack_pool_take(struct pack_pool *p)
{
    struct pack_job *j = &p->jobs[p->first % POOL_JOBS];

    if (p->first == p->next) {
        return NULL;
    }
    (void)pthread_mutex_lock(&p->lock);
    while (j->state != POOL_DONE) {
        (void)pthread_cond_wait(&p->done, &p->lock);
    }
    j->state = POOL_TAKEN;
    (void)pthread_mutex_unlock(&p->lock);
    return j;
}

void pack_pool_return(struct pack_pool *p, struct pack_job *j)
{
    p->in_flight -= j->bytes;
    p->first++;
    j->state = POOL_FREE;
    if (j->room > POOL_KEEP) {
        mem_free(j->own);
        j->own = NULL;
        j->room = 0;
    }
}

#include "shards/source_ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/watch.h"

/* Files in flight; larger ones are only begun; so many wake the threads at once, since waking costs more
 * than a small file. */
enum { AHEAD_FILES = 64, AHEAD_WHOLE = 1 << 20, AHEAD_WAKE = 8, AHEAD_THREADS = 64 };

struct ahead_file {
    struct source_image image; /* its texts in `text` */
    struct stat st;
    enum source_known known;
    char *text;
    size_t text_room;
    void *data;
    size_t room;
    struct source_read read;
    struct source_look look;
    bool looked;
    bool no_memory;
    bool done; /* under the lock */
};

struct source_ahead {
    const struct source_visitor *v;
    struct ahead_file files[AHEAD_FILES]; /* a ring */
    pthread_t threads[AHEAD_THREADS];
    int n_threads;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    /* Under the lock: */
    uint64_t added, taken; /* files added, and taken by threads */
    uint64_t met;
    int idle;     /* threads that wait */
    bool waiting; /* the walk does, for files[met] */
    bool stop;
};

struct ahead_thread {
    struct source_ahead *a;
    int number;
};

/* ---- the threads ------------------------------------------------------------------------------- */

static void ahead_read(struct ahead_file *f)
{
    const size_t size = (size_t)f->image.file_bytes;
    const bool whole = size <= AHEAD_WHOLE;
    const size_t want = whole && size > SOURCE_HEAD ? size : SOURCE_HEAD;
    ssize_t n = -1;

    f->read = (struct source_read){.fd = -1};
    if (want > f->room || want < f->room / 2) { /* who takes it shall not take much more */
        mem_free(f->data);
        f->data = mem_aligned(want);
        f->room = f->data != NULL ? want : 0;
        if (f->data == NULL) {
            f->no_memory = true;
            return;
        }
    }
    f->read.fd = open(f->image.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    n = f->read.fd >= 0 ? source_read_some(f->read.fd, f->data, want) : -1;
    f->read.failed = n < 0 ? errno : 0;
    f->read.head = f->data;
    f->read.bytes = n < 0 ? 0 : (size_t)n;
    f->read.whole = whole;
    if (f->read.fd >= 0 && (whole || n < 0)) {
        (void)close(f->read.fd);
        f->read.fd = -1;
    }
}

/* Read a file, and look at it if it may be an image. */
static void ahead_look(const struct source_ahead *a, struct ahead_file *f, int thread)
{
    if (f->known != SOURCE_UNKNOWN) {
        return;
    }
    ahead_read(f);
    f->looked = f->read.whole && f->read.failed == 0 && !f->no_memory &&
                source_sniff(f->read.head, f->read.bytes) != SOURCE_ARCHIVE;
    if (f->looked) {
        a->v->look(a->v->ctx, thread, f->read.head, f->read.bytes, &f->look);
    }
}

static void ahead_work(struct source_ahead *a, int thread)
{
    (void)pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        struct ahead_file *f = NULL;

        if (a->taken == a->added) {
            a->idle++;
            (void)pthread_cond_wait(&a->work, &a->lock);
            a->idle--;
            continue;
        }
        f = &a->files[a->taken++ % AHEAD_FILES];
        (void)pthread_mutex_unlock(&a->lock);
        ahead_look(a, f, thread);
        (void)pthread_mutex_lock(&a->lock);
        f->done = true;
        if (a->waiting && f == &a->files[a->met % AHEAD_FILES]) {
            (void)pthread_cond_signal(&a->done);
        }
    }
    (void)pthread_mutex_unlock(&a->lock);
}

static void *ahead_main(void *arg)
{
    struct ahead_thread *t = arg;
    struct source_ahead *a = t->a;
    const int number = t->number;

    mem_free(t);
    ahead_work(a, number);
    return NULL;
}

static enum rc ahead_start(struct source_ahead *a, struct err *e)
{
    struct ahead_thread *t = mem_calloc(1, sizeof *t);

    if (t == NULL) {
        return mem_raise(e, "a thread that reads ahead", sizeof *t);
    }
    *t = (struct ahead_thread){a, a->n_threads};
    if (pthread_create(&a->threads[a->n_threads], NULL, ahead_main, t) != 0) {
        mem_free(t);
        return a->n_threads > 0 ? RC_OK : err_raise(e, RC_LIB, "the system gives no thread");
    }
    a->n_threads++;
    return RC_OK;
}

enum rc source_ahead_create(const struct source_visitor *v, struct source_ahead **out,
                            struct err *e)
{
    struct source_ahead *a = mem_calloc(1, sizeof *a);
    enum rc rc = RC_OK;

    if (a == NULL) {
        return mem_raise(e, "files that are read ahead", sizeof *a);
    }
    a->v = v;
    (void)pthread_mutex_init(&a->lock, NULL);
    (void)pthread_cond_init(&a->work, NULL);
    (void)pthread_cond_init(&a->done, NULL);
    for (int i = 0; i < v->ahead && i < AHEAD_THREADS && rc == RC_OK; i++) {
        rc = ahead_start(a, e);
    }
    if (rc != RC_OK) {
        source_ahead_destroy(a);
        return rc;
    }
    *out = a;
    return RC_OK;
}

void source_ahead_destroy(struct source_ahead *a)
{
    if (a == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&a->lock);
    a->stop = true;
    (void)pthread_cond_broadcast(&a->work);
    (void)pthread_mutex_unlock(&a->lock);
    for (int i = 0; i < a->n_threads; i++) {
        (void)pthread_join(a->threads[i], NULL);
    }
    for (uint64_t i = a->met; i < a->taken; i++) {
        if (a->files[i % AHEAD_FILES].read.fd >= 0) {
            (void)close(a->files[i % AHEAD_FILES].read.fd);
        }
    }
    for (int i = 0; i < AHEAD_FILES; i++) {
        mem_free(a->files[i].text);
        mem_free(a->files[i].data);
    }
    (void)pthread_cond_destroy(&a->done);
    (void)pthread_cond_destroy(&a->work);
    (void)pthread_mutex_destroy(&a->lock);
    mem_free(a);
}

/* ---- the walk ---------------------------------------------------------------------------------- */

/* Meet the oldest file, when it is read. */
static enum rc ahead_meet(const struct source *s, struct err *e)
{
    struct source_ahead *a = s->ahead;
    struct ahead_file *f = &a->files[a->met % AHEAD_FILES];
    enum rc rc = RC_OK;

    watch_at("reading", f->image.path);
    (void)pthread_mutex_lock(&a->lock);
    if (!f->done) {
        (void)pthread_cond_broadcast(&a->work);
    }
    a->waiting = true;
    while (!f->done) {
        (void)pthread_cond_wait(&a->done, &a->lock);
    }
    a->waiting = false;
    (void)pthread_mutex_unlock(&a->lock);
    if (f->no_memory) {
        rc = mem_raise(e, f->image.path, (size_t)f->image.file_bytes);
    } else {
        f->image.look = f->looked ? &f->look : NULL;
        f->image.block = f->looked ? &f->data : NULL;
        rc = source_file_met(s, &f->image, &f->st, f->known, &f->read, e);
    }
    f->room = f->data != NULL ? f->room : 0;
    if (f->read.fd >= 0) {
        (void)close(f->read.fd);
        f->read.fd = -1;
    }
    (void)pthread_mutex_lock(&a->lock);
    a->met++;
    (void)pthread_mutex_unlock(&a->lock);
    return rc;
}

static const char *ahead_copy(char **at, const char *text)
{
    const size_t bytes = text != NULL ? strlen(text) + 1 : 0;
    const char *copy = text != NULL ? *at : NULL;

    if (text != NULL) {
        memcpy(*at, text, bytes);
    }
    *at += bytes;
    return copy;
}

static enum rc ahead_texts(struct ahead_file *f, const struct source_image *image, struct err *e)
{
    const char *const texts[] = {image->text, image->inside, image->container, image->cls,
                                 image->path};
    size_t bytes = 0;
    char *at = NULL;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        bytes += texts[i] != NULL ? strlen(texts[i]) + 1 : 0;
    }
    if (bytes > f->text_room) {
        char *more = mem_realloc(f->text, 2 * bytes, 1);

        if (more == NULL) {
            return mem_raise(e, image->path, 2 * bytes);
        }
        f->text = more;
        f->text_room = 2 * bytes;
    }
    at = f->text;
    f->image = *image;
    f->image.text = ahead_copy(&at, image->text);
    f->image.inside = ahead_copy(&at, image->inside);
    f->image.container = ahead_copy(&at, image->container);
    f->image.cls = ahead_copy(&at, image->cls);
    f->image.path = ahead_copy(&at, image->path);
    return RC_OK;
}

enum rc source_ahead_add(const struct source *s, const struct source_image *image,
                         const struct stat *st, enum source_known known, struct err *e)
{
    struct source_ahead *a = s->ahead;
    struct ahead_file *f = &a->files[a->added % AHEAD_FILES];
    enum rc rc = a->added - a->met == AHEAD_FILES ? ahead_meet(s, e) : RC_OK;

    if (rc == RC_OK) {
        rc = ahead_texts(f, image, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    f->st = *st;
    f->known = known;
    f->looked = false;
    f->no_memory = false;
    f->read = (struct source_read){.fd = -1};
    f->done = false;
    (void)pthread_mutex_lock(&a->lock);
    a->added++;
    if (a->idle > 0 && a->added - a->taken >= AHEAD_WAKE) {
        (void)pthread_cond_signal(&a->work);
    }
    (void)pthread_mutex_unlock(&a->lock);
    return RC_OK;
}

enum rc source_ahead_drain(const struct source *s, struct err *e)
{
    enum rc rc = RC_OK;

    while (rc == RC_OK && s->ahead != NULL && s->ahead->met < s->ahead->added) {
        rc = ahead_meet(s, e);
    }
    return rc;
}

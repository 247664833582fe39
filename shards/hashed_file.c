#include "shards/hashed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"

/* Blocks between the writer and the thread that hashes; so many are given to the disk at a time. */
enum { FILE_BLOCK = 1 << 20, FILE_BLOCKS = 32, FILE_BATCH = 32 };

struct hashed_file {
    int fd;
    char *path;
    unsigned char *blocks; /* a ring */
    size_t used;           /* bytes of the block that is being filled */
    uint64_t bytes;
    struct hash *hash;
    struct digest digest;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock: */
    uint64_t filled, hashed; /* blocks */
    size_t last;             /* bytes of block filled - 1; the others are full */
    bool end;
};

static unsigned char *file_block(const struct hashed_file *f, uint64_t i)
{
    return f->blocks + (size_t)(i % FILE_BLOCKS) * FILE_BLOCK;
}

/* Let the disk begin with what is written, so that the fsync at the end finds little to do. Block `next`
 * has been handed over: those before it are written. */
static void file_begin_sync(const struct hashed_file *f, uint64_t *begun, uint64_t next)
{
    if (next - *begun >= FILE_BATCH) {
        (void)sync_file_range(f->fd, (off_t)(*begun * FILE_BLOCK),
                              (off_t)((next - *begun) * FILE_BLOCK), SYNC_FILE_RANGE_WRITE);
        *begun = next;
    }
}

static void *file_hash(void *arg)
{
    struct hashed_file *f = arg;
    uint64_t begun = 0; /* blocks that the disk has begun with */

    (void)pthread_mutex_lock(&f->lock);
    for (;;) {
        size_t bytes = 0;

        while (f->hashed == f->filled && !f->end) {
            (void)pthread_cond_wait(&f->changed, &f->lock);
        }
        if (f->hashed == f->filled) {
            break;
        }
        bytes = f->hashed + 1 == f->filled ? f->last : FILE_BLOCK;
        (void)pthread_mutex_unlock(&f->lock);
        hash_update(f->hash, file_block(f, f->hashed), bytes);
        file_begin_sync(f, &begun, f->hashed);
        (void)pthread_mutex_lock(&f->lock);
        f->hashed++;
        (void)pthread_cond_signal(&f->changed);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

enum rc hashed_file_create(const char *path, struct hashed_file **out, struct err *e)
{
    struct hashed_file *f = mem_calloc(1, sizeof *f);
    enum rc rc = f != NULL ? hash_create(&f->hash, e) : mem_raise(e, "a file", sizeof *f);

    if (f == NULL) {
        return rc;
    }
    f->fd = -1;
    (void)pthread_mutex_init(&f->lock, NULL);
    (void)pthread_cond_init(&f->changed, NULL);
    if (rc == RC_OK) {
        f->path = mem_strdup(path);
        f->blocks = mem_aligned((size_t)FILE_BLOCK * FILE_BLOCKS);
        rc = f->path != NULL && f->blocks != NULL
                 ? RC_OK
                 : mem_raise(e, path, (size_t)FILE_BLOCK * FILE_BLOCKS);
    }
    if (rc == RC_OK) {
        f->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        rc = f->fd >= 0 ? RC_OK
                        : err_raise(e, RC_IO, "cannot write '%s': %s", path, strerror(errno));
    }
    if (rc == RC_OK) {
        f->started = pthread_create(&f->thread, NULL, file_hash, f) == 0;
        rc = f->started ? RC_OK : err_raise(e, RC_LIB, "the system gives no thread");
    }
    if (rc == RC_OK) {
        *out = f;
        f = NULL;
    }
    hashed_file_close(f);
    return rc;
}

/* No more blocks come: wait for the thread. */
static void file_join(struct hashed_file *f)
{
    if (f->started) {
        (void)pthread_mutex_lock(&f->lock);
        f->end = true;
        (void)pthread_cond_signal(&f->changed);
        (void)pthread_mutex_unlock(&f->lock);
        (void)pthread_join(f->thread, NULL);
    }
    f->started = false;
}

void hashed_file_close(struct hashed_file *f)
{
    if (f == NULL) {
        return;
    }
    file_join(f);
    if (f->fd >= 0) {
        (void)close(f->fd);
    }
    (void)pthread_cond_destroy(&f->changed);
    (void)pthread_mutex_destroy(&f->lock);
    hash_destroy(f->hash);
    mem_free(f->blocks);
    mem_free(f->path);
    mem_free(f);
}

static enum rc file_raise(const struct hashed_file *f, int native, struct err *e)
{
    return err_raise(e, RC_IO, "cannot write '%s': %s", f->path,
                     native == ENOSPC || native == EDQUOT ? "the disk is full" : strerror(native));
}

static enum rc file_write(const struct hashed_file *f, const unsigned char *b, size_t bytes,
                          struct err *e)
{
    while (bytes > 0) {
        ssize_t n = write(f->fd, b, bytes);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return file_raise(f, errno, e);
        }
        b += n;
        bytes -= (size_t)n;
    }
    return RC_OK;
}

/* Hand the block at hand to the thread and write it; then wait for a free one. */
static enum rc file_submit(struct hashed_file *f, struct err *e)
{
    const unsigned char *block = file_block(f, f->filled);
    const size_t bytes = f->used;
    enum rc rc = RC_OK;

    if (bytes == 0) {
        return RC_OK;
    }
    (void)pthread_mutex_lock(&f->lock);
    f->last = bytes;
    f->filled++;
    (void)pthread_cond_signal(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
    rc = file_write(f, block, bytes, e);
    (void)pthread_mutex_lock(&f->lock);
    while (f->filled - f->hashed == FILE_BLOCKS) {
        (void)pthread_cond_wait(&f->changed, &f->lock);
    }
    (void)pthread_mutex_unlock(&f->lock);
    f->used = 0;
    return rc;
}

enum rc hashed_file_room(struct hashed_file *f, size_t at_most, void **out, size_t *n,
                         struct err *e)
{
    enum rc rc = f->used == FILE_BLOCK ? file_submit(f, e) : RC_OK;
    size_t room = FILE_BLOCK - f->used;

    if (rc == RC_OK) {
        *n = at_most < room ? at_most : room;
        *out = file_block(f, f->filled) + f->used;
        f->used += *n;
        f->bytes += *n;
    }
    return rc;
}

enum rc hashed_file_put(struct hashed_file *f, const void *data, size_t bytes, struct err *e)
{
    const unsigned char *b = data;

    while (bytes > 0) {
        void *to = NULL;
        size_t n = 0;
        enum rc rc = hashed_file_room(f, bytes, &to, &n, e);

        if (rc != RC_OK) {
            return rc;
        }
        memcpy(to, b, n);
        b += n;
        bytes -= n;
    }
    return RC_OK;
}

enum rc hashed_file_zeros(struct hashed_file *f, size_t bytes, struct err *e)
{
    while (bytes > 0) {
        void *to = NULL;
        size_t n = 0;
        enum rc rc = hashed_file_room(f, bytes, &to, &n, e);

        if (rc != RC_OK) {
            return rc;
        }
        memset(to, 0, n);
        bytes -= n;
    }
    return RC_OK;
}

uint64_t hashed_file_bytes(const struct hashed_file *f)
{
    return f->bytes;
}

enum rc hashed_file_finish(struct hashed_file *f, struct digest *digest, struct err *e)
{
    enum rc rc = file_submit(f, e);

    if (rc == RC_OK && fsync(f->fd) != 0) {
        rc = file_raise(f, errno, e);
    }
    file_join(f);
    if (rc == RC_OK) {
        hash_final(f->hash, digest);
    }
    return rc;
}

#include <assert.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/device/device_impl.h"

/* Work on the host is done when a call returns, so queues and events only have to exist. */
struct queue {
    struct device *device;
};

struct event {
    struct device *device;
};

/* Bytes: below it one thread is as quick as many. ThreadSanitizer cannot see libgomp's barriers. */
#if defined(__SANITIZE_THREAD__)
#define ZERO_CHUNK (SIZE_MAX / 2)
#else
#define ZERO_CHUNK ((size_t)1 << 20)
#endif

enum rc device_host_alloc(struct device *d, size_t bytes, const char *what, void **out,
                          struct err *e)
{
    void *p = mem_aligned(bytes > 0 ? bytes : 1);

    (void)d;
    if (p == NULL) {
        return mem_raise(e, what, bytes);
    }
    memset(p, 0, bytes);
    *out = p;
    return RC_OK;
}

void device_host_free(struct device *d, void *p)
{
    (void)d;
    mem_free(p);
}

enum rc device_host_alloc_host(struct device *d, size_t bytes, void **out, struct err *e)
{
    return device_host_alloc(d, bytes, "host buffer", out, e);
}

enum rc device_host_copy(struct device *d, struct queue *q, void *dst, const void *src,
                         size_t bytes, struct err *e)
{
    (void)d;
    (void)q;
    (void)e;
    memcpy(dst, src, bytes);
    return RC_OK;
}

enum rc device_host_zero(struct device *d, struct queue *q, void *p, size_t bytes, struct err *e)
{
    const size_t chunks = (bytes + ZERO_CHUNK - 1) / ZERO_CHUNK;

    (void)d;
    (void)q;
    (void)e;
#pragma omp parallel for schedule(static) if (chunks > 1)
    for (size_t i = 0; i < chunks; i++) {
        const size_t from = i * ZERO_CHUNK;

        memset((char *)p + from, 0, bytes - from < ZERO_CHUNK ? bytes - from : ZERO_CHUNK);
    }
    return RC_OK;
}

enum rc device_host_sync(struct device *d, struct queue *q, struct err *e)
{
    (void)d;
    (void)q;
    (void)e;
    return RC_OK;
}

enum rc device_host_queue_create(struct device *d, struct queue **out, struct err *e)
{
    struct queue *q = mem_calloc(1, sizeof *q);

    if (q == NULL) {
        return mem_raise(e, "queue", sizeof *q);
    }
    q->device = d;
    *out = q;
    return RC_OK;
}

void device_host_queue_destroy(struct device *d, struct queue *q)
{
    assert(q == NULL || q->device == d);
    (void)d;
    mem_free(q);
}

enum rc device_host_event_create(struct device *d, struct event **out, struct err *e)
{
    struct event *ev = mem_calloc(1, sizeof *ev);

    if (ev == NULL) {
        return mem_raise(e, "event", sizeof *ev);
    }
    ev->device = d;
    *out = ev;
    return RC_OK;
}

void device_host_event_destroy(struct device *d, struct event *ev)
{
    assert(ev == NULL || ev->device == d);
    (void)d;
    mem_free(ev);
}

enum rc device_host_event_record(struct device *d, struct event *ev, struct queue *q, struct err *e)
{
    assert(ev->device == d && (q == NULL || q->device == d));
    (void)d;
    (void)ev;
    (void)q;
    (void)e;
    return RC_OK;
}

enum rc device_host_event_wait(struct device *d, struct event *ev, struct queue *q, struct err *e)
{
    return device_host_event_record(d, ev, q, e);
}

enum rc device_host_event_done(struct device *d, struct event *ev, bool *done, struct err *e)
{
    *done = true;
    return device_host_event_record(d, ev, NULL, e);
}

/*
 * Pixels on their way to a device with memory of its own: through one of two pieces of pinned memory, on
 * a queue of their own. Those of the coming pass are copied while a pass runs: behind the operation
 * that reads the last ones (used), and before the pass that reads them (copied).
 */
#include <string.h>

#include "common/base/mem.h"
#include "common/nn/net_impl.h"

enum { PINNED = 2 }; /* the last copy from one may not have run when the next is filled */

struct net_stage {
    struct device *dev;
    struct queue *queue;
    struct event *copied, *used;
    void *pinned[PINNED];
    int next; /* of pinned */
    size_t bytes;
    void *at;              /* device */
    const uint8_t *staged; /* whose copy is queued, and not taken yet */
};

enum rc net_stage_create(struct device *dev, size_t bytes, void *at, struct net_stage **out,
                         struct err *e)
{
    struct net_stage *s = mem_calloc(1, sizeof *s);
    enum rc rc;

    if (s == NULL) {
        return mem_raise(e, "copies of pixels", sizeof *s);
    }
    s->dev = dev;
    s->bytes = bytes;
    s->at = at;
    rc = queue_create(dev, &s->queue, e);
    rc = rc != RC_OK ? rc : event_create(dev, &s->copied, e);
    rc = rc != RC_OK ? rc : event_create(dev, &s->used, e);
    for (int i = 0; i < PINNED && rc == RC_OK; i++) {
        rc = device_alloc_host(dev, bytes, &s->pinned[i], e);
    }
    if (rc != RC_OK) {
        net_stage_destroy(s);
        return rc;
    }
    *out = s;
    return RC_OK;
}

void net_stage_destroy(struct net_stage *s)
{
    if (s == NULL) {
        return;
    }
    if (s->queue != NULL) {
        queue_destroy(s->dev, s->queue); /* waits for its copies */
    }
    if (s->copied != NULL) {
        event_destroy(s->dev, s->copied);
    }
    if (s->used != NULL) {
        event_destroy(s->dev, s->used);
    }
    for (int i = 0; i < PINNED; i++) {
        if (s->pinned[i] != NULL) {
            device_free_host(s->dev, s->pinned[i]);
        }
    }
    mem_free(s);
}

void net_stage_drop(struct net_stage *s)
{
    s->staged = NULL;
}

enum rc net_stage_put(struct net_stage *s, const uint8_t *pixels, struct err *e)
{
    void *pinned = s->pinned[s->next];
    enum rc rc;

    memcpy(pinned, pixels, s->bytes);
    s->next = (s->next + 1) % PINNED;
    rc = event_wait(s->dev, s->used, s->queue, e);
    rc = rc != RC_OK ? rc : device_upload(s->dev, s->queue, s->at, pinned, s->bytes, e);
    rc = rc != RC_OK ? rc : event_record(s->dev, s->copied, s->queue, e);
    s->staged = rc == RC_OK ? pixels : NULL;
    return rc;
}

enum rc net_stage_take(struct net_stage *s, const uint8_t *pixels, struct err *e)
{
    enum rc rc = RC_OK;

    if (s->staged != pixels) {
        rc = device_sync(s->dev, s->queue, e); /* a copy that nobody took has left its memory */
        rc = rc != RC_OK ? rc : net_stage_put(s, pixels, e);
    }
    s->staged = NULL;
    return rc != RC_OK ? rc : event_wait(s->dev, s->copied, NULL, e);
}

enum rc net_stage_used(struct net_stage *s, struct err *e)
{
    return event_record(s->dev, s->used, NULL, e);
}

/* One process: every collective is the identity, and messages to oneself wait in a list. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/coll/coll_impl.h"

struct letter {
    struct letter *next;
    int tag;
    size_t bytes;
    unsigned char data[];
};

struct coll_self {
    struct coll base;
    pthread_mutex_t lock;
    struct letter *first, **end;
};

static enum rc self_dup(struct coll *c, struct coll **out, struct err *e)
{
    (void)c;
    return coll_self_create(out, e);
}

static void self_destroy(struct coll *c)
{
    struct coll_self *s = (struct coll_self *)c;
    while (s->first != NULL) {
        struct letter *next = s->first->next;
        mem_free(s->first);
        s->first = next;
    }
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

static enum rc self_allreduce(struct coll *c, void *buf, size_t n, enum coll_type type,
                              enum coll_op op, struct err *e)
{
    (void)c, (void)buf, (void)n, (void)type, (void)op, (void)e;
    return RC_OK;
}

static enum rc self_broadcast(struct coll *c, void *buf, size_t bytes, int root, struct err *e)
{
    (void)c, (void)buf, (void)bytes, (void)root, (void)e;
    return RC_OK;
}

static enum rc self_gather(struct coll *c, const void *mine, void *all, size_t bytes, int root,
                           struct err *e)
{
    (void)c, (void)root, (void)e;
    if (bytes > 0) {
        memmove(all, mine, bytes);
    }
    return RC_OK;
}

static enum rc self_barrier(struct coll *c, struct err *e)
{
    (void)c, (void)e;
    return RC_OK;
}

static enum rc self_allreduce_start(struct coll *c, float *buf, size_t n, int64_t id, int *ticket,
                                    struct err *e)
{
    (void)c, (void)buf, (void)n, (void)id, (void)e;
    *ticket = 0;
    return RC_OK;
}

static enum rc self_allreduce_wait(struct coll *c, int ticket, struct err *e)
{
    (void)c, (void)ticket, (void)e;
    return RC_OK;
}

static enum rc self_send(struct coll *c, int to, int tag, const void *msg, size_t bytes,
                         struct err *e)
{
    struct coll_self *s = (struct coll_self *)c;
    (void)to;
    struct letter *l = mem_calloc(1, sizeof *l + bytes);
    if (l == NULL) {
        return mem_raise(e, "a message to this rank itself", sizeof *l + bytes);
    }
    l->tag = tag;
    l->bytes = bytes;
    if (bytes > 0) {
        memcpy(l->data, msg, bytes);
    }
    pthread_mutex_lock(&s->lock);
    *s->end = l;
    s->end = &l->next;
    pthread_mutex_unlock(&s->lock);
    return RC_OK;
}

static struct letter *letter_take(struct coll_self *s, int tag)
{
    struct letter **p = &s->first;
    while (*p != NULL && (*p)->tag != tag) {
        p = &(*p)->next;
    }
    struct letter *l = *p;
    if (l != NULL) {
        *p = l->next;
        if (s->end == &l->next) {
            s->end = p;
        }
    }
    return l;
}

static enum rc self_poll(struct coll *c, int tag, void *msg, size_t max, size_t *bytes, int *from,
                         struct err *e)
{
    struct coll_self *s = (struct coll_self *)c;
    pthread_mutex_lock(&s->lock);
    struct letter *l = letter_take(s, tag);
    pthread_mutex_unlock(&s->lock);
    if (l == NULL) {
        *from = -1;
        return RC_OK;
    }
    enum rc rc = RC_OK;
    if (l->bytes > max) {
        rc = err_raise(e, RC_CORRUPT, "message with tag %d from rank 0 has %zu bytes, not %zu", tag,
                       l->bytes, max);
    } else {
        if (l->bytes > 0) {
            memcpy(msg, l->data, l->bytes);
        }
        *bytes = l->bytes;
        *from = 0;
    }
    mem_free(l);
    return rc;
}

static enum rc self_look(struct coll *c, struct coll_wait *w, struct err *e)
{
    (void)c, (void)w, (void)e;
    return RC_OK;
}

static void self_lose(struct coll *c)
{
    (void)c;
}

static void self_patience(struct coll *c, double seconds)
{
    (void)c, (void)seconds;
}

static void self_abandon(struct coll *c)
{
    (void)c;
}

static void self_abort(struct coll *c, int code)
{
    (void)c, (void)code;
    fflush(NULL);
}

static const struct coll_ops self_ops = {
    .name = "self",
    .dup = self_dup,
    .destroy = self_destroy,
    .allreduce = self_allreduce,
    .broadcast = self_broadcast,
    .gather = self_gather,
    .barrier = self_barrier,
    .allreduce_start = self_allreduce_start,
    .allreduce_wait = self_allreduce_wait,
    .send = self_send,
    .poll = self_poll,
    .look = self_look,
    .lose = self_lose,
    .patience = self_patience,
    .abandon = self_abandon,
    .abort = self_abort,
};

enum rc coll_self_create(struct coll **out, struct err *e)
{
    struct coll_self *s = mem_calloc(1, sizeof *s);
    if (s == NULL) {
        return mem_raise(e, "a collective instance", sizeof *s);
    }
    s->base = (struct coll){.ops = &self_ops, .size = 1, .local_size = 1};
    s->end = &s->first;
    pthread_mutex_init(&s->lock, NULL);
    *out = &s->base;
    return RC_OK;
}

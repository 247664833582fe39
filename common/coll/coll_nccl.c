/*
 * NCCL under the collective seam. Asynchronous all-reduces run in the memory of a GPU, on a queue of
 * their own; everything else goes to a duplicate of the control instance, in host memory.
 *
 * NCCL itself notices neither that ranks reduce different buckets nor, on one host, that a rank is gone:
 * it waits for ever. So a hash of which bucket it is travels before each in a small all-reduce of its
 * own (coll_calls_impl.h), and a waiting rank never sleeps in NCCL or CUDA: it asks whether the work has ended, whether NCCL has an
 * error to tell, whether another rank sent the sentence of a failure, and whether all still live. A
 * rank that fails aborts its communicator and tells the others, each of which passes it on to two.
 *
 * The library is loaded when it is needed: a machine without NCCL can start the program.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <nccl.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/coll/coll_calls_impl.h"
#include "common/coll/coll_impl.h"
#include "common/coll/coll_vigil_impl.h"
#include "common/device/device.h"

enum {
    NCCL_TAG = 7202,
    NCCL_OLDEST = 21400, /* communicators that do not block */
    NCCL_SLEEP_US = 50,
    SHAPE = 2, /* what travels first: the hash and its negative */
};
static const double NCCL_SPIN = 200e-6;                 /* seconds of a wait without sleep */
static const double NCCL_LISTEN = 1e-3;                 /* between two polls for messages */
static const double NCCL_LOOK = COLL_VIGIL_MS / 1000.0; /* and between two looks at the others */

struct nccl_api {
    ncclResult_t (*get_version)(int *);
    ncclResult_t (*get_unique_id)(ncclUniqueId *);
    ncclResult_t (*init)(ncclComm_t *, int, ncclUniqueId, int, ncclConfig_t *);
    ncclResult_t (*finalize)(ncclComm_t);
    ncclResult_t (*destroy)(ncclComm_t);
    ncclResult_t (*abort)(ncclComm_t);
    ncclResult_t (*get_async_error)(ncclComm_t, ncclResult_t *);
    ncclResult_t (*all_reduce)(const void *, void *, size_t, ncclDataType_t, ncclRedOp_t,
                               ncclComm_t, cudaStream_t);
    const char *(*get_error_string)(ncclResult_t);
    const char *(*get_last_error)(ncclComm_t);
};

/** An asynchronous all-reduce: slot = ticket. */
struct nccl_slot {
    struct event *compared, *done;
    struct coll_call call;
    bool used;
};

struct coll_nccl {
    struct coll base;
    struct nccl_api api;
    struct coll *control; /* owned */
    struct device *dev;
    struct queue *queue;
    ncclComm_t comm;       /* NULL: aborted */
    struct event *ready;   /* the main queue's gradients */
    int64_t *shape, *most; /* pinned host: {hash, -hash} of each slot, the greatest of all ranks */
    int64_t *shape_dev;
    struct coll_call *calls; /* (size) of all ranks, when they differ */
    int64_t started;
    struct nccl_slot slots[COLL_MAX_PENDING];
    int next;
    bool broken, lost;
};

/* A failure on its way: the guilty rank and its sentence. */
struct nccl_news {
    int32_t guilty;
    int32_t lost; /* its wait for another rank was given up: nobody waits for that rank again */
    char msg[ERR_MSG_MAX];
};

/* ---- the library ------------------------------------------------------------------------------ */

static enum rc load(struct nccl_api *api, struct err *e)
{
    const struct {
        const char *name;
        void *at;
    } wanted[] = {{"ncclGetVersion", &api->get_version},
                  {"ncclGetUniqueId", &api->get_unique_id},
                  {"ncclCommInitRankConfig", &api->init},
                  {"ncclCommFinalize", &api->finalize},
                  {"ncclCommDestroy", &api->destroy},
                  {"ncclCommAbort", &api->abort},
                  {"ncclCommGetAsyncError", &api->get_async_error},
                  {"ncclAllReduce", &api->all_reduce},
                  {"ncclGetErrorString", &api->get_error_string},
                  {"ncclGetLastError", &api->get_last_error}};
    void *h = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL); /* stays loaded: it has threads */
    int version = 0;

    if (h == NULL) {
        return err_raise(e, RC_LIB, "NCCL is not on this machine: %s", dlerror());
    }
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *f = dlsym(h, wanted[i].name);

        if (f == NULL) {
            return err_raise(e, RC_LIB, "NCCL is too old: it has no %s", wanted[i].name);
        }
        memcpy(wanted[i].at, &f, sizeof f);
    }
    if (api->get_version(&version) != ncclSuccess || version < NCCL_OLDEST) {
        return err_raise(e, RC_LIB, "NCCL is of version %d, %d or later is needed", version,
                         NCCL_OLDEST);
    }
    return RC_OK;
}

enum rc coll_nccl_version(char *out, size_t size, struct err *e)
{
    struct nccl_api api;
    int v = 0;
    enum rc rc = load(&api, e);

    if (rc == RC_OK) {
        (void)api.get_version(&v);
        (void)snprintf(out, size, "NCCL %d.%d.%d", v / 10000, v / 100 % 100, v % 100);
    }
    return rc;
}

static enum rc raise_nccl(const struct coll_nccl *m, ncclResult_t r, const char *what,
                          struct err *e)
{
    const char *more = m->api.get_last_error(m->comm);

    return err_raise(e, RC_LIB, "NCCL on rank %d: %s: %s%s%s", m->base.rank, what,
                     m->api.get_error_string(r), more != NULL && more[0] != '\0' ? ": " : "",
                     more != NULL ? more : "");
}

/* ---- failures --------------------------------------------------------------------------------- */

/* To this rank's two children in the tree under the guilty one. A rank that cannot be told finds out by
 * the watchdog. */
static void pass_on(struct coll_nccl *m, const struct nccl_news *news)
{
    const int size = m->base.size, place = (m->base.rank - news->guilty + size) % size;
    struct err ignored = {0};

    for (int child = 2 * place + 1; child <= 2 * place + 2 && child < size; child++) {
        (void)!coll_send(m->control, (child + news->guilty) % size, NCCL_TAG, news, sizeof *news,
                         &ignored);
    }
}

static void give_up(struct coll_nccl *m)
{
    m->broken = true;
    if (m->comm != NULL) {
        (void)m->api.abort(m->comm); /* what is queued ends without a result */
        m->comm = NULL;
    }
}

/* This rank failed by itself: rc and e say how. */
static enum rc fail(struct coll_nccl *m, enum rc rc, const struct err *e)
{
    if (rc != RC_OK && !m->broken) {
        struct nccl_news news = {.guilty = m->base.rank, .lost = m->lost};

        (void)snprintf(news.msg, sizeof news.msg, "%s", e != NULL ? e->msg : err_name(rc));
        pass_on(m, &news);
        give_up(m);
    }
    return rc;
}

/* Whether another rank has failed. */
static enum rc listen(struct coll_nccl *m, struct err *e)
{
    struct nccl_news news;
    size_t bytes = 0;
    int from = -1;
    enum rc rc = coll_poll(m->control, NCCL_TAG, &news, sizeof news, &bytes, &from, e);

    if (rc != RC_OK || from < 0 || bytes != sizeof news || news.guilty < 0 ||
        news.guilty >= m->base.size) {
        return rc;
    }
    news.msg[sizeof news.msg - 1] = '\0';
    pass_on(m, &news);
    give_up(m);
    if (news.lost != 0) {
        m->control->ops->lose(m->control);
    }
    return err_raise(e, RC_PEER, "rank %d: %s", news.guilty, news.msg);
}

static enum rc refuse(struct err *e)
{
    return err_raise(e, RC_PEER, "NCCL has failed before: nothing can be reduced any more");
}

/* ---- waiting ---------------------------------------------------------------------------------- */

/* Whether it is over: an event, or (ev NULL) what NCCL itself still has to do. */
static enum rc over(struct coll_nccl *m, struct event *ev, bool *done, const char *what,
                    struct err *e)
{
    ncclResult_t state = ncclSuccess, r = m->api.get_async_error(m->comm, &state);
    enum rc rc = ev != NULL ? event_done(m->dev, ev, done, e) : RC_OK;

    if (rc != RC_OK) {
        return rc;
    }
    if (r != ncclSuccess || (state != ncclSuccess && state != ncclInProgress)) {
        return raise_nccl(m, r != ncclSuccess ? r : state, what, e);
    }
    *done = ev != NULL ? *done : state == ncclSuccess;
    return RC_OK;
}

static enum rc wait_until(struct coll_nccl *m, struct event *ev, const char *what, struct err *e)
{
    struct coll_wait wait = {0};
    const double start = clock_now();
    double listened = 0, looked = start;
    bool done = false;
    enum rc rc = over(m, ev, &done, what, e);

    while (rc == RC_OK && !done) {
        const double now = clock_now();

        if (now - start > NCCL_SPIN) {
            usleep(NCCL_SLEEP_US);
        }
        if (now - listened >= NCCL_LISTEN) {
            listened = now;
            rc = listen(m, e);
        }
        if (rc == RC_OK && now - looked >= NCCL_LOOK) {
            looked = now;
            rc = m->control->ops->look(m->control, &wait, e);
            m->lost = rc != RC_OK;
        }
        rc = rc != RC_OK ? rc : over(m, ev, &done, what, e);
    }
    coll_vigil_end(&wait);
    return fail(m, rc, e);
}

/* The answer of a call of NCCL, which may go on behind it. */
static enum rc settle(struct coll_nccl *m, ncclResult_t r, const char *what, struct err *e)
{
    if (r != ncclSuccess && r != ncclInProgress) {
        return fail(m, raise_nccl(m, r, what, e), e);
    }
    return r == ncclInProgress ? wait_until(m, NULL, what, e) : RC_OK;
}

/* ---- all-reduces ------------------------------------------------------------------------------ */

static enum rc reduce(struct coll_nccl *m, void *buf, size_t n, ncclDataType_t type, ncclRedOp_t op,
                      struct err *e)
{
    const cudaStream_t s = queue_stream(m->dev, m->queue);

    return settle(m, m->api.all_reduce(buf, buf, n, type, op, m->comm, s), "an all-reduce", e);
}

/* First which bucket all ranks reduce, then the bucket itself, behind what computes it. */
static enum rc queue_bucket(struct coll_nccl *m, int i, float *buf, struct err *e)
{
    struct nccl_slot *s = &m->slots[i];
    int64_t *mine = m->shape + (size_t)i * SHAPE, *dev = m->shape_dev + (size_t)i * SHAPE;
    const size_t bytes = SHAPE * sizeof *mine;
    enum rc rc = event_record(m->dev, m->ready, NULL, e);

    mine[0] = coll_calls_hash(&s->call);
    mine[1] = -mine[0];
    rc = rc != RC_OK ? rc : event_wait(m->dev, m->ready, m->queue, e);
    rc = rc != RC_OK ? rc : device_upload(m->dev, m->queue, dev, mine, bytes, e);
    rc = rc != RC_OK ? rc : reduce(m, dev, SHAPE, ncclInt64, ncclMax, e);
    rc = rc != RC_OK
             ? rc
             : device_download(m->dev, m->queue, m->most + (size_t)i * SHAPE, dev, bytes, e);
    rc = rc != RC_OK ? rc : event_record(m->dev, s->compared, m->queue, e);
    if (rc == RC_OK && s->call.n > 0) {
        rc = reduce(m, buf, (size_t)s->call.n, ncclFloat32, ncclSum, e);
    }
    return rc != RC_OK ? rc : event_record(m->dev, s->done, m->queue, e);
}

static enum rc nccl_start(struct coll *c, float *buf, size_t n, int64_t id, int *ticket,
                          struct err *e)
{
    struct coll_nccl *m = (struct coll_nccl *)c;
    struct nccl_slot *s = &m->slots[m->next];
    enum rc rc;

    if (m->broken) {
        return refuse(e);
    }
    if (s->used) {
        return err_raise(e, RC_INVAL, "more than %d asynchronous all-reduces are in flight",
                         (int)COLL_MAX_PENDING);
    }
    s->call = (struct coll_call){++m->started, id, (int64_t)n};
    rc = fail(m, queue_bucket(m, m->next, buf, e), e);
    if (rc == RC_OK) {
        s->used = true;
        *ticket = m->next;
        m->next = (m->next + 1) % COLL_MAX_PENDING;
    }
    return rc;
}

static enum rc check_calls(struct coll_nccl *m, int i, struct err *e)
{
    if (m->most[i * SHAPE] == -m->most[i * SHAPE + 1]) {
        return RC_OK;
    }
    give_up(m); /* every rank has seen it: all come here */
    return coll_calls_differ(m->control, &m->slots[i].call, m->calls, e);
}

static enum rc nccl_wait(struct coll *c, int ticket, struct err *e)
{
    struct coll_nccl *m = (struct coll_nccl *)c;
    struct nccl_slot *s = &m->slots[ticket];
    enum rc rc;

    s->used = false;
    if (m->broken) {
        return refuse(e);
    }
    rc = wait_until(m, s->compared, "the comparison before an all-reduce", e);
    rc = rc != RC_OK ? rc : check_calls(m, ticket, e);
    return rc != RC_OK ? rc : wait_until(m, s->done, "an all-reduce", e);
}

/* ---- what is done in host memory -------------------------------------------------------------- */

static struct coll *control_of(struct coll *c)
{
    return ((struct coll_nccl *)c)->control;
}

static enum rc nccl_dup(struct coll *c, struct coll **out, struct err *e)
{
    (void)c;
    (void)out;
    return err_raise(e, RC_UNSUPPORTED, "an NCCL instance is not duplicated");
}

static enum rc nccl_allreduce(struct coll *c, void *buf, size_t n, enum coll_type type,
                              enum coll_op op, struct err *e)
{
    return coll_allreduce(control_of(c), buf, n, type, op, e);
}

static enum rc nccl_broadcast(struct coll *c, void *buf, size_t bytes, int root, struct err *e)
{
    return coll_broadcast(control_of(c), buf, bytes, root, e);
}

static enum rc nccl_gather(struct coll *c, const void *mine, void *all, size_t bytes, int root,
                           struct err *e)
{
    return coll_gather(control_of(c), mine, all, bytes, root, e);
}

static enum rc nccl_barrier(struct coll *c, struct err *e)
{
    return coll_barrier(control_of(c), e);
}

static enum rc nccl_send(struct coll *c, int to, int tag, const void *msg, size_t bytes,
                         struct err *e)
{
    return coll_send(control_of(c), to, tag, msg, bytes, e);
}

static enum rc nccl_poll(struct coll *c, int tag, void *msg, size_t max, size_t *bytes, int *from,
                         struct err *e)
{
    return coll_poll(control_of(c), tag, msg, max, bytes, from, e);
}

static enum rc nccl_look(struct coll *c, struct coll_wait *w, struct err *e)
{
    struct coll *control = control_of(c);

    return control->ops->look(control, w, e);
}

static void nccl_lose(struct coll *c)
{
    struct coll *control = control_of(c);

    control->ops->lose(control);
}

static void nccl_patience(struct coll *c, double seconds)
{
    coll_set_patience(control_of(c), seconds);
}

static void nccl_abandon(struct coll *c)
{
    coll_abandon(control_of(c));
}

static void nccl_abort(struct coll *c, int code)
{
    give_up((struct coll_nccl *)c);
    coll_abort(control_of(c), code);
}

/* ---- making and ending ------------------------------------------------------------------------ */

static void nccl_destroy(struct coll *c)
{
    struct coll_nccl *m = (struct coll_nccl *)c;
    struct err ignored = {0};

    if (m->comm != NULL && !m->broken) {
        (void)!settle(m, m->api.finalize(m->comm), "its end", &ignored);
    }
    if (m->comm != NULL) {
        (void)m->api.destroy(m->comm);
    }
    queue_destroy(m->dev, m->queue);
    event_destroy(m->dev, m->ready);
    for (int i = 0; i < COLL_MAX_PENDING; i++) {
        event_destroy(m->dev, m->slots[i].compared);
        event_destroy(m->dev, m->slots[i].done);
    }
    device_free(m->dev, m->shape_dev);
    device_free_host(m->dev, m->shape);
    device_free_host(m->dev, m->most);
    mem_free(m->calls);
    coll_destroy(m->control);
    mem_free(m);
}

static const struct coll_ops nccl_ops = {
    .name = "nccl",
    .on_device = true,
    .dup = nccl_dup,
    .destroy = nccl_destroy,
    .allreduce = nccl_allreduce,
    .broadcast = nccl_broadcast,
    .gather = nccl_gather,
    .barrier = nccl_barrier,
    .allreduce_start = nccl_start,
    .allreduce_wait = nccl_wait,
    .send = nccl_send,
    .poll = nccl_poll,
    .look = nccl_look,
    .lose = nccl_lose,
    .patience = nccl_patience,
    .abandon = nccl_abandon,
    .abort = nccl_abort,
};

/* What is the GPU's: nothing collective. */
static enum rc prepare(struct coll_nccl *m, struct err *e)
{
    const size_t bytes = (size_t)COLL_MAX_PENDING * SHAPE * sizeof(int64_t);
    void *shape = NULL, *most = NULL, *dev = NULL;
    enum rc rc = queue_create(m->dev, &m->queue, e);

    m->calls = mem_calloc((size_t)m->base.size, sizeof *m->calls);
    if (rc == RC_OK && m->calls == NULL) {
        return mem_raise(e, "calls of all ranks", (size_t)m->base.size * sizeof *m->calls);
    }

    rc = rc != RC_OK ? rc : event_create(m->dev, &m->ready, e);
    for (int i = 0; i < COLL_MAX_PENDING && rc == RC_OK; i++) {
        rc = event_create(m->dev, &m->slots[i].compared, e);
        rc = rc != RC_OK ? rc : event_create(m->dev, &m->slots[i].done, e);
    }
    rc = rc != RC_OK ? rc : device_alloc_host(m->dev, bytes, &shape, e);
    m->shape = shape;
    rc = rc != RC_OK ? rc : device_alloc_host(m->dev, bytes, &most, e);
    m->most = most;
    rc = rc != RC_OK ? rc : device_alloc(m->dev, bytes, "which all-reduces", &dev, e);
    m->shape_dev = dev;
    return rc != RC_OK ? rc : load(&m->api, e);
}

/* The communicator of all ranks: rank 0's id goes round by the control instance. */
static enum rc join(struct coll_nccl *m, struct err *e)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId id;
    ncclResult_t r = ncclSuccess;
    enum rc rc = RC_OK;

    memset(&id, 0, sizeof id);
    if (m->base.rank == 0) {
        r = m->api.get_unique_id(&id);
        rc = r == ncclSuccess ? RC_OK : raise_nccl(m, r, "its unique id", e);
    }
    rc = coll_agree(m->control, rc, e);
    rc = rc != RC_OK ? rc : coll_broadcast(m->control, &id, sizeof id, 0, e);
    if (rc != RC_OK) {
        return rc;
    }
    config.blocking = 0;
    r = m->api.init(&m->comm, m->base.size, id, m->base.rank, &config);
    return settle(m, r, "its start", e);
}

enum rc coll_nccl_create(struct coll *control, struct device *dev, struct coll **out, struct err *e)
{
    struct coll_nccl *m = NULL;
    struct coll *own = NULL;
    enum rc rc = coll_dup(control, &own, e);

    if (rc != RC_OK) {
        return rc;
    }
    if (queue_stream(dev, NULL) == NULL) {
        rc = err_raise(e, RC_UNSUPPORTED, "NCCL needs ranks that compute on GPUs");
    } else if ((m = mem_calloc(1, sizeof *m)) == NULL) {
        rc = mem_raise(e, "an NCCL instance", sizeof *m);
    } else {
        m->base = *own;
        m->base.ops = &nccl_ops;
        m->control = own;
        m->dev = dev;
        rc = prepare(m, e);
    }
    rc = coll_agree(own, rc, e);
    rc = rc != RC_OK ? rc : coll_agree(own, join(m, e), e);
    if (rc == RC_OK) {
        *out = &m->base;
        return RC_OK;
    }
    if (m != NULL) {
        give_up(m);
        nccl_destroy(&m->base);
    } else {
        coll_destroy(own);
    }
    return rc;
}

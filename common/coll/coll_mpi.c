/*
 * MPI under the collective seam: host memory, MPI_THREAD_MULTIPLE.
 *
 * An instance has two communicators: one for blocking collectives and messages, one for the
 * asynchronous all-reduces. Open MPI makes no progress on those by itself while the caller computes,
 * so a thread tests them every 100 us (measured: 98 % overlap for a tenth of a core) and sleeps on a
 * condition when none is in flight.
 */
#include <assert.h>
#include <mpi.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/coll/coll_impl.h"

enum {
    SPLIT_DEFAULT = 1 << 30, /* elements in one MPI call: MPI counts are int */
    MAX_PARTS = 16,          /* MPI calls of one asynchronous all-reduce */
    OUTBOX = 64,             /* messages that the receivers have not taken yet */
    OUTBOX_EACH = 8,         /* of them to one rank: a dead one must not silence the others */
    PROGRESS_US = 100,
    WAIT_SPINS = 1000, /* some 0.2 ms */
    WAIT_SHORT_US = 50,
    WAIT_LONG_US = 500,
    FLUSH_US = 200,
    FLUSH_TRIES = 25000,    /* 5 s for the last messages to leave */
    FLUSH_TRIES_LOST = 500, /* 0.1 s when some rank will never take them */
};

/* One a process, shared by its instances. */
struct world {
    int instances;
    bool abandoned; /* a rank is dead: no more collectives, no MPI_Finalize */
};

struct pending { /* an asynchronous all-reduce: slot = ticket */
    enum { SLOT_FREE, SLOT_RUNNING, SLOT_DONE } state;
    MPI_Request part[MAX_PARTS];
    int parts;
    int failed; /* MPI's error code, or MPI_SUCCESS */
};

struct outgoing {
    MPI_Request request; /* MPI_REQUEST_NULL: free */
    int to;
    unsigned char data[COLL_MSG_MAX];
};

struct coll_mpi {
    struct coll base;
    struct world *world;
    MPI_Comm comm;  /* blocking collectives, messages */
    MPI_Comm async; /* all-reduces in flight */
    size_t split;

    pthread_mutex_t lock; /* of all below but the outbox */
    pthread_cond_t changed;
    pthread_t thread;
    bool thread_runs, quit;
    struct pending slots[COLL_MAX_PENDING];
    int next, running;

    pthread_mutex_t outbox_lock;
    struct outgoing outbox[OUTBOX];
};

static const struct coll_ops mpi_ops;

static struct coll_mpi *as_mpi(struct coll *c)
{
    assert(c->ops == &mpi_ops);
    return (struct coll_mpi *)c;
}

static enum rc mpi_raise(struct err *e, const struct coll_mpi *m, int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING + 1] = "";
    int length = 0;
    if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) {
        text[0] = '\0';
    }
    return err_raise(e, RC_LIB, "MPI on rank %d: %s failed: %s", m->base.rank, what, text);
}

static size_t part_size(const struct coll_mpi *m, size_t left)
{
    return left < m->split ? left : m->split;
}

static MPI_Datatype mpi_type(enum coll_type type)
{
    const MPI_Datatype types[] = {[COLL_I32] = MPI_INT32_T,
                                  [COLL_I64] = MPI_INT64_T,
                                  [COLL_F32] = MPI_FLOAT,
                                  [COLL_F64] = MPI_DOUBLE};
    return types[type];
}

static size_t type_size(enum coll_type type)
{
    return type == COLL_I32 || type == COLL_F32 ? 4 : 8;
}

static MPI_Op mpi_op(enum coll_op op)
{
    const MPI_Op ops[] = {[COLL_SUM] = MPI_SUM, [COLL_MIN] = MPI_MIN, [COLL_MAX] = MPI_MAX};
    return ops[op];
}

/* ---- blocking collectives -------------------------------------------------------------------- */

/* MPI's own waits spin: on a full machine a rank that waits takes the core of one that works. Here a
 * wait that is not over at once sleeps. code: of the call that started r. */
static int mpi_wait(int code, MPI_Request *r)
{
    int done = 0;
    for (long tests = 0; code == MPI_SUCCESS && !done; tests++) {
        if (tests > WAIT_SPINS) {
            usleep(tests > 2 * WAIT_SPINS ? WAIT_LONG_US : WAIT_SHORT_US);
        }
        code = MPI_Test(r, &done, MPI_STATUS_IGNORE);
    }
    return code;
}

static enum rc mpi_allreduce(struct coll *c, void *buf, size_t n, enum coll_type type,
                             enum coll_op op, struct err *e)
{
    struct coll_mpi *m = as_mpi(c);
    char *p = buf;
    while (n > 0) {
        MPI_Request r = MPI_REQUEST_NULL;
        const size_t part = part_size(m, n);
        const int code = mpi_wait(
            MPI_Iallreduce(MPI_IN_PLACE, p, (int)part, mpi_type(type), mpi_op(op), m->comm, &r),
            &r);
        if (code != MPI_SUCCESS) {
            return mpi_raise(e, m, code, "an all-reduce");
        }
        p += part * type_size(type);
        n -= part;
    }
    return RC_OK;
}

static enum rc mpi_broadcast(struct coll *c, void *buf, size_t bytes, int root, struct err *e)
{
    struct coll_mpi *m = as_mpi(c);
    char *p = buf;
    while (bytes > 0) {
        MPI_Request r = MPI_REQUEST_NULL;
        const size_t part = part_size(m, bytes);
        const int code = mpi_wait(MPI_Ibcast(p, (int)part, MPI_BYTE, root, m->comm, &r), &r);
        if (code != MPI_SUCCESS) {
            return mpi_raise(e, m, code, "a broadcast");
        }
        p += part;
        bytes -= part;
    }
    return RC_OK;
}

static enum rc mpi_gather(struct coll *c, const void *mine, void *all, size_t bytes, int root,
                          struct err *e)
{
    struct coll_mpi *m = as_mpi(c);
    MPI_Request r = MPI_REQUEST_NULL;
    const int code = mpi_wait(
        MPI_Igather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, root, m->comm, &r), &r);
    return code == MPI_SUCCESS ? RC_OK : mpi_raise(e, m, code, "a gather");
}

static enum rc mpi_barrier(struct coll *c, struct err *e)
{
    struct coll_mpi *m = as_mpi(c);
    MPI_Request r = MPI_REQUEST_NULL;
    const int code = mpi_wait(MPI_Ibarrier(m->comm, &r), &r);
    return code == MPI_SUCCESS ? RC_OK : mpi_raise(e, m, code, "a barrier");
}

/* ---- asynchronous all-reduce ----------------------------------------------------------------- */

/* Move one all-reduce on; true when it has ended. */
static bool pending_test(struct pending *p)
{
    bool all = true;
    for (int i = 0; i < p->parts; i++) {
        int done = 0;
        const int code = MPI_Test(&p->part[i], &done, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS) {
            p->failed = code;
            return true;
        }
        all = all && done;
    }
    return all;
}

static void *progress_main(void *arg)
{
    struct coll_mpi *m = arg;
    pthread_mutex_lock(&m->lock);
    while (!m->quit) {
        if (m->running == 0) {
            pthread_cond_wait(&m->changed, &m->lock);
            continue;
        }
        bool ended = false;
        for (int i = 0; i < COLL_MAX_PENDING; i++) {
            if (m->slots[i].state == SLOT_RUNNING && pending_test(&m->slots[i])) {
                m->slots[i].state = SLOT_DONE;
                m->running--;
                ended = true;
            }
        }
        if (ended) {
            pthread_cond_broadcast(&m->changed);
        }
        pthread_mutex_unlock(&m->lock);
        usleep(PROGRESS_US);
        pthread_mutex_lock(&m->lock);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static enum rc progress_start(struct coll_mpi *m, struct err *e)
{
    if (m->thread_runs) {
        return RC_OK;
    }
    const int code = pthread_create(&m->thread, NULL, progress_main, m);
    if (code != 0) {
        return err_raise(e, RC_LIB, "cannot start the thread of asynchronous all-reduces: %s",
                         strerror(code));
    }
    m->thread_runs = true;
    return RC_OK;
}

static void pending_post(struct coll_mpi *m, struct pending *p, float *buf, size_t n)
{
    *p = (struct pending){.state = SLOT_RUNNING, .failed = MPI_SUCCESS};
    while (n > 0 && p->failed == MPI_SUCCESS) {
        const size_t part = part_size(m, n);
        p->failed = MPI_Iallreduce(MPI_IN_PLACE, buf, (int)part, MPI_FLOAT, MPI_SUM, m->async,
                                   &p->part[p->parts]);
        if (p->failed == MPI_SUCCESS) {
            p->parts++;
        }
        buf += part;
        n -= part;
    }
}

static enum rc mpi_allreduce_start(struct coll *c, float *buf, size_t n, int *ticket, struct err *e)
{
    struct coll_mpi *m = as_mpi(c);
    if (n / m->split >= MAX_PARTS) {
        return err_raise(e, RC_INVAL, "asynchronous all-reduce of %zu elements: at most %zu fit", n,
                         m->split * MAX_PARTS);
    }
    enum rc rc = progress_start(m, e);
    if (rc != RC_OK) {
        return rc;
    }
    pthread_mutex_lock(&m->lock);
    struct pending *p = &m->slots[m->next];
    if (p->state != SLOT_FREE) {
        rc = err_raise(e, RC_INVAL, "more than %d asynchronous all-reduces are in flight",
                       (int)COLL_MAX_PENDING);
    } else {
        pending_post(m, p, buf, n);
        m->running++;
        *ticket = m->next;
        m->next = (m->next + 1) % COLL_MAX_PENDING;
        pthread_cond_broadcast(&m->changed);
    }
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static enum rc mpi_allreduce_wait(struct coll *c, int ticket, struct err *e)
{
    struct coll_mpi *m = as_mpi(c);
    pthread_mutex_lock(&m->lock);
    struct pending *p = &m->slots[ticket];
    assert(p->state != SLOT_FREE);
    while (p->state == SLOT_RUNNING) {
        pthread_cond_wait(&m->changed, &m->lock);
    }
    const int failed = p->failed;
    p->state = SLOT_FREE;
    pthread_mutex_unlock(&m->lock);
    return failed == MPI_SUCCESS ? RC_OK : mpi_raise(e, m, failed, "an asynchronous all-reduce");
}

/* ---- messages -------------------------------------------------------------------------------- */

/* A free place of the outbox for a message to a rank, or NULL: what was taken by its receiver frees
 * its place. */
static struct outgoing *outbox_place(struct coll_mpi *m, int to)
{
    struct outgoing *place = NULL;
    int waiting = 0;
    for (int i = 0; i < OUTBOX; i++) {
        int done = 1;
        if (m->outbox[i].request != MPI_REQUEST_NULL &&
            MPI_Test(&m->outbox[i].request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) {
            done = 0;
        }
        if (done && place == NULL) {
            place = &m->outbox[i];
        }
        waiting += !done && m->outbox[i].to == to;
    }
    return waiting < OUTBOX_EACH ? place : NULL;
}

static enum rc mpi_send(struct coll *c, int to, int tag, const void *msg, size_t bytes,
                        struct err *e)
{
    struct coll_mpi *m = as_mpi(c);
    enum rc rc = RC_OK;
    pthread_mutex_lock(&m->outbox_lock);
    struct outgoing *o = outbox_place(m, to);
    if (o == NULL) {
        rc = err_raise(e, RC_PEER, "rank %d takes no messages", to);
    } else {
        if (bytes > 0) {
            memcpy(o->data, msg, bytes);
        }
        o->to = to;
        const int code = MPI_Isend(o->data, (int)bytes, MPI_BYTE, to, tag, m->comm, &o->request);
        if (code != MPI_SUCCESS) {
            o->request = MPI_REQUEST_NULL;
            rc = mpi_raise(e, m, code, "sending a message");
        }
    }
    pthread_mutex_unlock(&m->outbox_lock);
    return rc;
}

static enum rc mpi_poll(struct coll *c, int tag, void *msg, size_t max, size_t *bytes, int *from,
                        struct err *e)
{
    struct coll_mpi *m = as_mpi(c);
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    unsigned char data[COLL_MSG_MAX];
    int there = 0, length = 0;

    int code = MPI_Improbe(MPI_ANY_SOURCE, tag, m->comm, &there, &message, &status);
    if (code == MPI_SUCCESS && !there) {
        *from = -1;
        return RC_OK;
    }
    if (code == MPI_SUCCESS) {
        code = MPI_Mrecv(data, sizeof data, MPI_BYTE, &message, &status);
    }
    if (code == MPI_SUCCESS) {
        code = MPI_Get_count(&status, MPI_BYTE, &length);
    }
    if (code != MPI_SUCCESS) {
        return mpi_raise(e, m, code, "receiving a message");
    }
    if ((size_t)length > max) {
        return err_raise(e, RC_CORRUPT, "message with tag %d from rank %d has %d bytes, not %zu",
                         tag, status.MPI_SOURCE, length, max);
    }
    if (length > 0) {
        memcpy(msg, data, (size_t)length);
    }
    *bytes = (size_t)length;
    *from = status.MPI_SOURCE;
    return RC_OK;
}

/* ---- making and ending ----------------------------------------------------------------------- */

/* Whether every message has left; gives the receivers some time. */
static bool outbox_flush(struct coll_mpi *m)
{
    const int patience = m->world->abandoned ? FLUSH_TRIES_LOST : FLUSH_TRIES;
    for (int tries = 0; tries < patience; tries++) {
        bool empty = true;
        (void)outbox_place(m, m->base.rank);
        for (int i = 0; i < OUTBOX; i++) {
            empty = empty && m->outbox[i].request == MPI_REQUEST_NULL;
        }
        if (empty) {
            return true;
        }
        usleep(FLUSH_US);
    }
    return false;
}

static void progress_stop(struct coll_mpi *m)
{
    if (!m->thread_runs) {
        return;
    }
    pthread_mutex_lock(&m->lock);
    m->quit = true;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
}

static void mpi_destroy(struct coll *c)
{
    struct coll_mpi *m = as_mpi(c);
    struct world *w = m->world;
    progress_stop(m);
    if (!outbox_flush(m) || m->running > 0) {
        w->abandoned = true; /* something will never complete, and MPI would wait for it */
    }
    if (!w->abandoned) {
        MPI_Comm_free(&m->comm);
        MPI_Comm_free(&m->async);
    }
    w->instances--;
    if (w->instances == 0) {
        if (!w->abandoned) {
            MPI_Finalize();
        }
        mem_free(w);
    }
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->outbox_lock);
    mem_free(m);
}

/* Communicators and places among the ranks; MPI's code. */
static int instance_join(struct coll_mpi *m, MPI_Comm parent)
{
    struct coll *b = &m->base;
    MPI_Comm host = MPI_COMM_NULL;
    int code = MPI_SUCCESS;

    if ((code = MPI_Comm_dup(parent, &m->comm)) != MPI_SUCCESS ||
        (code = MPI_Comm_dup(parent, &m->async)) != MPI_SUCCESS ||
        (code = MPI_Comm_rank(m->comm, &b->rank)) != MPI_SUCCESS ||
        (code = MPI_Comm_size(m->comm, &b->size)) != MPI_SUCCESS ||
        (code = MPI_Comm_split_type(m->comm, MPI_COMM_TYPE_SHARED, b->rank, MPI_INFO_NULL,
                                    &host)) != MPI_SUCCESS ||
        (code = MPI_Comm_rank(host, &b->local_rank)) != MPI_SUCCESS ||
        (code = MPI_Comm_size(host, &b->local_size)) != MPI_SUCCESS) {
        return code;
    }
    return MPI_Comm_free(&host);
}

/* An instance over a duplicate of parent. */
static enum rc instance_create(struct world *w, MPI_Comm parent, struct coll_mpi **out,
                               struct err *e)
{
    struct coll_mpi *m = mem_calloc(1, sizeof *m);
    if (m == NULL) {
        return mem_raise(e, "a collective instance", sizeof *m);
    }
    m->base.ops = &mpi_ops;
    m->world = w;
    m->split = SPLIT_DEFAULT;
    for (int i = 0; i < OUTBOX; i++) {
        m->outbox[i].request = MPI_REQUEST_NULL;
    }
    const int code = instance_join(m, parent);
    if (code != MPI_SUCCESS) {
        enum rc rc = mpi_raise(e, m, code, "making a communicator");
        mem_free(m);
        return rc;
    }
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->changed, NULL);
    pthread_mutex_init(&m->outbox_lock, NULL);
    w->instances++;
    *out = m;
    return RC_OK;
}

static enum rc mpi_dup(struct coll *c, struct coll **out, struct err *e)
{
    struct coll_mpi *m = as_mpi(c), *copy = NULL;
    enum rc rc = instance_create(m->world, m->comm, &copy, e);
    if (rc == RC_OK) {
        *out = &copy->base;
    }
    return rc;
}

static void mpi_abandon(struct coll *c)
{
    as_mpi(c)->world->abandoned = true;
}

static void mpi_abort(struct coll *c, int code)
{
    (void)c;
    MPI_Abort(MPI_COMM_WORLD, code);
}

void coll_mpi_set_split(struct coll *c, size_t elements)
{
    as_mpi(c)->split = elements;
}

static const struct coll_ops mpi_ops = {
    .name = "mpi",
    .dup = mpi_dup,
    .destroy = mpi_destroy,
    .allreduce = mpi_allreduce,
    .broadcast = mpi_broadcast,
    .gather = mpi_gather,
    .barrier = mpi_barrier,
    .allreduce_start = mpi_allreduce_start,
    .allreduce_wait = mpi_allreduce_wait,
    .send = mpi_send,
    .poll = mpi_poll,
    .abandon = mpi_abandon,
    .abort = mpi_abort,
};

enum rc coll_mpi_create(struct coll **out, struct err *e)
{
    struct world *w = mem_calloc(1, sizeof *w);
    struct coll_mpi *m = NULL;
    enum rc rc = RC_OK;
    int provided = MPI_THREAD_SINGLE;

    if (w == NULL) {
        return mem_raise(e, "the MPI world", sizeof *w);
    }
    /* The ring moves the least bytes; Open MPI's own choice for 3 ranks takes 3 times as long on a
     * slow link (measured). Whoever sets it outside is obeyed. */
    setenv("OMPI_MCA_coll_libnbc_iallreduce_algorithm", "1", 0);
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS) {
        rc = err_raise(e, RC_LIB, "MPI does not start: see its own message above");
        goto out;
    }
    if (provided < MPI_THREAD_MULTIPLE) {
        rc =
            err_raise(e, RC_LIB,
                      "this MPI gives thread level %d, and MPI_THREAD_MULTIPLE (%d) is needed: use "
                      "one that was built with it",
                      provided, MPI_THREAD_MULTIPLE);
        MPI_Finalize();
        goto out;
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN); /* duplicates inherit it */
    rc = instance_create(w, MPI_COMM_WORLD, &m, e);
    if (rc == RC_OK) {
        *out = &m->base;
        w = NULL;
    }
out:
    mem_free(w);
    return rc;
}

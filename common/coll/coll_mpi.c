/*
 * MPI under the collective seam: host memory, MPI_THREAD_MULTIPLE.
 *
 * An instance has two communicators: one for blocking collectives and messages (coll_mpi_mail.c), one
 * for the asynchronous all-reduces (coll_mpi_async.c).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/coll/coll_mpi_impl.h"

enum {
    SPLIT_DEFAULT = 1 << 30, /* elements in one MPI call: MPI counts are int */
    WAIT_SPINS = 1000,       /* some 0.2 ms */
    WAIT_SHORT_US = 50,
    WAIT_LONG_US = 500,
    START_SECONDS = 120,
    END_SECONDS = 60, /* all have agreed by then, and only leave */
};

enum rc coll_mpi_raise(struct err *e, const struct coll_mpi *m, int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING + 1] = "";
    int length = 0;
    if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) {
        text[0] = '\0';
    }
    return err_raise(e, RC_LIB, "MPI on rank %d: %s failed: %s", m->base.rank, what, text);
}

size_t coll_mpi_part(const struct coll_mpi *m, size_t left)
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
 * wait that is not over at once sleeps, and looks after the others. code: of the call that started r. */
static enum rc mpi_wait(struct coll_mpi *m, int code, MPI_Request *r, const char *what,
                        struct err *e)
{
    struct coll_wait wait = {0};
    enum rc rc = RC_OK;
    int done = 0;
    for (long tests = 0; code == MPI_SUCCESS && !done && rc == RC_OK; tests++) {
        if (tests == WAIT_SPINS) {
            wait.last = clock_now();
        } else if (tests > WAIT_SPINS) {
            usleep(tests > 2 * WAIT_SPINS ? WAIT_LONG_US : WAIT_SHORT_US);
            /* By the clock: on a full machine a short sleep takes a hundred times as long. */
            if (clock_now() - wait.last >= COLL_VIGIL_MS / 1e3) {
                rc = coll_vigil_look(&m->world->vigil, &wait, e);
            }
        }
        if (rc == RC_OK) {
            code = MPI_Test(r, &done, MPI_STATUS_IGNORE);
        }
    }
    coll_vigil_end(&wait);
    return rc != RC_OK || code == MPI_SUCCESS ? rc : coll_mpi_raise(e, m, code, what);
}

bool coll_mpi_lost(const struct coll_mpi *m)
{
    return atomic_load(&m->world->vigil.lost);
}

static const struct coll_ops mpi_ops;

static enum rc mpi_allreduce(struct coll *c, void *buf, size_t n, enum coll_type type,
                             enum coll_op op, struct err *e)
{
    struct coll_mpi *m = (struct coll_mpi *)c;
    char *p = buf;
    if (coll_mpi_lost(m)) {
        return coll_vigil_refuse(e);
    }
    while (n > 0) {
        MPI_Request r = MPI_REQUEST_NULL;
        const size_t part = coll_mpi_part(m, n);
        const int code =
            MPI_Iallreduce(MPI_IN_PLACE, p, (int)part, mpi_type(type), mpi_op(op), m->comm, &r);
        const enum rc rc = mpi_wait(m, code, &r, "an all-reduce", e);
        if (rc != RC_OK) {
            return rc;
        }
        p += part * type_size(type);
        n -= part;
    }
    return RC_OK;
}

static enum rc mpi_broadcast(struct coll *c, void *buf, size_t bytes, int root, struct err *e)
{
    struct coll_mpi *m = (struct coll_mpi *)c;
    char *p = buf;
    if (coll_mpi_lost(m)) {
        return coll_vigil_refuse(e);
    }
    while (bytes > 0) {
        MPI_Request r = MPI_REQUEST_NULL;
        const size_t part = coll_mpi_part(m, bytes);
        const int code = MPI_Ibcast(p, (int)part, MPI_BYTE, root, m->comm, &r);
        const enum rc rc = mpi_wait(m, code, &r, "a broadcast", e);
        if (rc != RC_OK) {
            return rc;
        }
        p += part;
        bytes -= part;
    }
    return RC_OK;
}

static enum rc mpi_gather(struct coll *c, const void *mine, void *all, size_t bytes, int root,
                          struct err *e)
{
    struct coll_mpi *m = (struct coll_mpi *)c;
    MPI_Request r = MPI_REQUEST_NULL;
    if (coll_mpi_lost(m)) {
        return coll_vigil_refuse(e);
    }
    const int code =
        MPI_Igather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, root, m->comm, &r);
    return mpi_wait(m, code, &r, "a gather", e);
}

static enum rc mpi_barrier(struct coll *c, struct err *e)
{
    struct coll_mpi *m = (struct coll_mpi *)c;
    MPI_Request r = MPI_REQUEST_NULL;
    if (coll_mpi_lost(m)) {
        return coll_vigil_refuse(e);
    }
    return mpi_wait(m, MPI_Ibarrier(m->comm, &r), &r, "a barrier", e);
}

/* ---- making and ending ----------------------------------------------------------------------- */

static void mpi_destroy(struct coll *c)
{
    struct coll_mpi *m = (struct coll_mpi *)c;
    struct coll_mpi_world *w = m->world;
    coll_mpi_async_stop(m);
    if (!coll_mpi_mail_flush(m) || m->running > 0) {
        w->abandoned = true; /* something will never complete, and MPI would wait for it */
    }
    if (!w->abandoned) {
        MPI_Comm_free(&m->comm);
        MPI_Comm_free(&m->async);
    }
    w->instances--;
    if (w->vigil.control == c) {
        w->vigil.control = NULL;
    }
    if (w->instances == 0) {
        if (!w->abandoned) {
            const double patience = w->vigil.patience;
            struct coll_guard *g =
                coll_guard_start(patience < END_SECONDS ? patience : END_SECONDS, "ended");
            MPI_Finalize();
            coll_guard_end(g);
        }
        mem_free(w->vigil.pids);
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
static enum rc instance_create(struct coll_mpi_world *w, MPI_Comm parent, struct coll_mpi **out,
                               struct err *e)
{
    struct coll_mpi *m = mem_calloc(1, sizeof *m);
    if (m == NULL) {
        return mem_raise(e, "a collective instance", sizeof *m);
    }
    m->base.ops = &mpi_ops;
    m->world = w;
    m->split = SPLIT_DEFAULT;
    for (int i = 0; i < COLL_MPI_OUTBOX; i++) {
        m->outbox[i].request = MPI_REQUEST_NULL;
    }
    const int code = instance_join(m, parent);
    if (code != MPI_SUCCESS) {
        enum rc rc = coll_mpi_raise(e, m, code, "making a communicator");
        mem_free(m);
        return rc;
    }
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&m->changed, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&m->outbox_lock, NULL);
    w->instances++;
    *out = m;
    return RC_OK;
}

static enum rc mpi_dup(struct coll *c, struct coll **out, struct err *e)
{
    struct coll_mpi *m = (struct coll_mpi *)c, *copy = NULL;
    enum rc rc = instance_create(m->world, m->comm, &copy, e);
    if (rc == RC_OK) {
        *out = &copy->base;
    }
    return rc;
}

static enum rc mpi_look(struct coll *c, struct coll_wait *w, struct err *e)
{
    return coll_vigil_look(&((struct coll_mpi *)c)->world->vigil, w, e);
}

static void mpi_lose(struct coll *c)
{
    struct coll_mpi_world *w = ((struct coll_mpi *)c)->world;

    atomic_store(&w->vigil.lost, true);
    w->abandoned = true;
}

static void mpi_patience(struct coll *c, double seconds)
{
    ((struct coll_mpi *)c)->world->vigil.patience = seconds;
}

static bool mpi_gone(const struct coll *c, int rank)
{
    return coll_vigil_gone(&((const struct coll_mpi *)c)->world->vigil, rank);
}

static void mpi_abandon(struct coll *c)
{
    ((struct coll_mpi *)c)->world->abandoned = true;
}

static void mpi_abort(struct coll *c, int code)
{
    (void)c;
    MPI_Abort(MPI_COMM_WORLD, code);
}

void coll_mpi_set_split(struct coll *c, size_t elements)
{
    ((struct coll_mpi *)c)->split = elements;
}

static const struct coll_ops mpi_ops = {
    .name = "mpi",
    .dup = mpi_dup,
    .destroy = mpi_destroy,
    .allreduce = mpi_allreduce,
    .broadcast = mpi_broadcast,
    .gather = mpi_gather,
    .barrier = mpi_barrier,
    .allreduce_start = coll_mpi_async_start,
    .allreduce_wait = coll_mpi_async_wait,
    .send = coll_mpi_mail_send,
    .poll = coll_mpi_mail_poll,
    .look = mpi_look,
    .lose = mpi_lose,
    .gone = mpi_gone,
    .patience = mpi_patience,
    .abandon = mpi_abandon,
    .abort = mpi_abort,
};

/* The processes of this host's ranks, which a wait looks after. */
static enum rc vigil_begin(struct coll_mpi_world *w, struct coll_mpi *m, struct err *e)
{
    int64_t mine[2] = {getpid(), 0};
    struct stat pids;
    char host[MPI_MAX_PROCESSOR_NAME] = "";
    int length = 0;
    int64_t *all = mem_calloc((size_t)m->base.size, sizeof mine);
    int64_t *here = mem_calloc((size_t)m->base.size, sizeof *here);
    enum rc rc = RC_OK;

    if (all == NULL || here == NULL) {
        rc = mem_raise(e, "a list of ranks", (size_t)m->base.size * sizeof mine);
        goto out;
    }
    /* Equal host names and process namespaces: the same processes. */
    mine[1] = stat("/proc/self/ns/pid", &pids) == 0 ? (int64_t)pids.st_ino : 0;
    MPI_Get_processor_name(host, &length);
    for (int i = 0; i < length; i++) {
        mine[1] = mine[1] * 31 + host[i];
    }
    const int code = MPI_Allgather(mine, 2, MPI_INT64_T, all, 2, MPI_INT64_T, m->comm);
    rc = code == MPI_SUCCESS ? RC_OK : coll_mpi_raise(e, m, code, "gathering processes");
    for (int r = 0; r < m->base.size && rc == RC_OK; r++) {
        here[r] = all[2 * r + 1] == mine[1] ? all[2 * r] : 0;
    }
out:
    mem_free(all);
    if (rc != RC_OK) {
        mem_free(here);
        return rc;
    }
    w->vigil.pids = here;
    w->vigil.control = &m->base;
    return RC_OK;
}

static enum rc mpi_begin(int *provided, struct err *e)
{
    /* The ring moves the least bytes; Open MPI's own choice for 3 ranks takes 3 times as long on a
     * slow link (measured). Whoever sets it outside is obeyed. */
    setenv("OMPI_MCA_coll_libnbc_iallreduce_algorithm", "1", 0);
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, provided) != MPI_SUCCESS) {
        return err_raise(e, RC_LIB, "MPI does not start: see its own message above");
    }
    if (*provided < MPI_THREAD_MULTIPLE) {
        MPI_Finalize();
        return err_raise(
            e, RC_LIB,
            "this MPI gives thread level %d, and MPI_THREAD_MULTIPLE (%d) is needed: use "
            "one that was built with it",
            *provided, MPI_THREAD_MULTIPLE);
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN); /* duplicates inherit it */
    return RC_OK;
}

enum rc coll_mpi_create(struct coll **out, struct err *e)
{
    const char *seconds = getenv("PRECEPTOR_START_SECONDS");
    struct coll_guard *guard = NULL;
    struct coll_mpi_world *w = mem_calloc(1, sizeof *w);
    struct coll_mpi *m = NULL;
    enum rc rc = RC_OK;
    int provided = MPI_THREAD_SINGLE;

    if (w == NULL) {
        return mem_raise(e, "the MPI world", sizeof *w);
    }
    guard = coll_guard_start(seconds != NULL ? strtod(seconds, NULL) : START_SECONDS, "started");
    rc = mpi_begin(&provided, e);
    if (rc == RC_OK) {
        rc = instance_create(w, MPI_COMM_WORLD, &m, e);
    }
    if (rc == RC_OK) {
        rc = vigil_begin(w, m, e);
    }
    coll_guard_end(guard);
    if (rc == RC_OK) {
        *out = &m->base;
        return RC_OK;
    }
    if (m != NULL) {
        mpi_destroy(&m->base); /* frees w too */
    } else {
        mem_free(w);
    }
    return rc;
}

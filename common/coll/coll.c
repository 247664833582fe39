#include "common/coll/coll.h"

#include <assert.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/coll/coll_impl.h"
#include "common/device/device.h"

/* Set by the launchers whose processes MPI_Init can join. */
static const char *const launcher_variables[] = {
    "OMPI_COMM_WORLD_SIZE", /* Open MPI's mpirun */
    "PMIX_RANK",            /* srun --mpi=pmix, prterun */
    "PMI_RANK",             /* MPICH's mpiexec, srun --mpi=pmi2 */
};

enum rc coll_create(struct coll **out, struct err *e)
{
    for (size_t i = 0; i < sizeof launcher_variables / sizeof launcher_variables[0]; i++) {
        if (getenv(launcher_variables[i]) != NULL) {
            return coll_mpi_create(out, e);
        }
    }
    return coll_self_create(out, e);
}

enum rc coll_dup(struct coll *c, struct coll **out, struct err *e)
{
    return c->ops->dup(c, out, e);
}

#if !HAVE_NCCL
enum rc coll_nccl_create(struct coll *control, struct device *dev, struct coll **out, struct err *e)
{
    (void)control;
    (void)dev;
    (void)out;
    return err_raise(e, RC_UNSUPPORTED, "this program was built without NCCL");
}

enum rc coll_nccl_version(char *out, size_t size, struct err *e)
{
    (void)out;
    (void)size;
    return err_raise(e, RC_UNSUPPORTED, "this program was built without NCCL");
}
#endif

enum rc coll_create_data(struct coll *control, struct device *dev, enum coll_data which,
                         struct coll **out, struct err *e)
{
    int32_t gpus = queue_stream(dev, NULL) != NULL;
    struct err why = {0};
    enum rc rc;

    if (which == COLL_DATA_NCCL) {
        return coll_nccl_create(control, dev, out, e);
    }
    rc = coll_allreduce(control, &gpus, 1, COLL_I32, COLL_MIN, e);
    if (rc != RC_OK) {
        return rc;
    }
    if (which == COLL_DATA_AUTO && gpus != 0 && control->size > 1) {
        if (coll_nccl_create(control, dev, out, &why) == RC_OK) {
            return RC_OK;
        }
        if (control->rank == 0) {
            log_warn("coll", "gradients go through host memory and MPI: %s", why.msg);
        }
    }
    return coll_dup(control, out, e);
}

void coll_destroy(struct coll *c)
{
    if (c != NULL) {
        c->ops->destroy(c);
    }
}

const char *coll_name(const struct coll *c)
{
    return c->ops->name;
}

bool coll_on_device(const struct coll *c)
{
    return c->ops->on_device;
}

int coll_rank(const struct coll *c)
{
    return c->rank;
}

int coll_size(const struct coll *c)
{
    return c->size;
}

int coll_local_rank(const struct coll *c)
{
    return c->local_rank;
}

int coll_local_size(const struct coll *c)
{
    return c->local_size;
}

int coll_threads(const struct coll *c, int asked)
{
    cpu_set_t set;
    int cores = 1;

    if (asked > 0) {
        return asked;
    }
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        cores = CPU_COUNT(&set);
    }
    cores /= coll_local_size(c);
    return cores > 0 ? cores : 1;
}

enum rc coll_allreduce(struct coll *c, void *buf, size_t n, enum coll_type type, enum coll_op op,
                       struct err *e)
{
    assert(buf != NULL || n == 0);
    return c->ops->allreduce(c, buf, n, type, op, e);
}

enum rc coll_broadcast(struct coll *c, void *buf, size_t bytes, int root, struct err *e)
{
    assert(root >= 0 && root < c->size);
    return c->ops->broadcast(c, buf, bytes, root, e);
}

enum rc coll_gather(struct coll *c, const void *mine, void *all, size_t bytes, int root,
                    struct err *e)
{
    assert(root >= 0 && root < c->size);
    assert(all != NULL || c->rank != root);
    if (bytes > COLL_GATHER_MAX) {
        return err_raise(e, RC_INVAL, "gather of %zu bytes a rank: at most %d fit", bytes,
                         (int)COLL_GATHER_MAX);
    }
    return c->ops->gather(c, mine, all, bytes, root, e);
}

enum rc coll_barrier(struct coll *c, struct err *e)
{
    return c->ops->barrier(c, e);
}

enum rc coll_allreduce_start(struct coll *c, float *buf, size_t n, int64_t id, int *ticket,
                             struct err *e)
{
    assert(buf != NULL || n == 0);
    return c->ops->allreduce_start(c, buf, n, id, ticket, e);
}

enum rc coll_allreduce_wait(struct coll *c, int ticket, struct err *e)
{
    assert(ticket >= 0 && ticket < COLL_MAX_PENDING);
    return c->ops->allreduce_wait(c, ticket, e);
}

/* What the guilty rank tells the others. */
struct verdict {
    int32_t rc;
    char msg[ERR_MSG_MAX];
};

static void verdict_fill(struct verdict *v, enum rc rc, const struct err *e)
{
    *v = (struct verdict){.rc = rc};
    const char *text = e != NULL && e->rc != RC_OK && e->msg[0] != '\0' ? e->msg : err_name(rc);
    snprintf(v->msg, sizeof v->msg, "%s", text);
}

enum rc coll_agree(struct coll *c, enum rc rc, struct err *e)
{
    const bool failed = rc != RC_OK && rc != RC_REQUEUE;
    int32_t lowest[2] = {failed ? c->rank : c->size, rc == RC_REQUEUE ? c->rank : c->size};
    struct err own = {.rc = RC_OK}; /* of the agreement itself */
    enum rc r = coll_allreduce(c, lowest, 2, COLL_I32, COLL_MIN, &own);
    if (r != RC_OK) {
        return rc != RC_OK ? rc : err_raise(e, r, "%s", own.msg);
    }
    const int guilty = lowest[0];
    if (guilty == c->size) {
        if (lowest[1] == c->size || rc == RC_REQUEUE) {
            return rc;
        }
        return err_raise(e, RC_REQUEUE, "stopped on request (rank %d was asked)", lowest[1]);
    }
    struct verdict v;
    verdict_fill(&v, rc, e);
    r = coll_broadcast(c, &v, sizeof v, guilty, &own);
    if (failed) {
        return rc;
    }
    if (r != RC_OK) {
        return err_raise(e, r, "rank %d failed, and its sentence did not come: %s", guilty,
                         own.msg);
    }
    v.msg[sizeof v.msg - 1] = '\0';
    if (e != NULL) {
        err_clear(e); /* a requested stop gives way to a failure */
    }
    return err_raise(e, RC_PEER, "rank %d: %s", guilty, v.msg);
}

enum rc coll_send(struct coll *c, int to, int tag, const void *msg, size_t bytes, struct err *e)
{
    assert(to >= 0 && to < c->size);
    assert(tag >= 0);
    if (bytes > COLL_MSG_MAX) {
        return err_raise(e, RC_INVAL, "message of %zu bytes to rank %d: at most %d fit", bytes, to,
                         (int)COLL_MSG_MAX);
    }
    return c->ops->send(c, to, tag, msg, bytes, e);
}

enum rc coll_poll(struct coll *c, int tag, void *msg, size_t max, size_t *bytes, int *from,
                  struct err *e)
{
    assert(tag >= 0);
    return c->ops->poll(c, tag, msg, max, bytes, from, e);
}

void coll_set_patience(struct coll *c, double seconds)
{
    assert(seconds >= 0);
    c->ops->patience(c, seconds);
}

bool coll_gone(const struct coll *c, int rank)
{
    return c->ops->gone != NULL && c->ops->gone(c, rank);
}

void coll_abandon(struct coll *c)
{
    c->ops->abandon(c);
}

void coll_abort(struct coll *c, int code)
{
    c->ops->abort(c, code);
    _exit(code);
}

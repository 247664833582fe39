/** An MPI instance, shared by the files coll_mpi*.c. */
#ifndef PRECEPTOR_COLL_MPI_IMPL_H
#define PRECEPTOR_COLL_MPI_IMPL_H

#include <mpi.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/coll/coll_impl.h"
#include "common/coll/coll_vigil_impl.h"

enum {
    COLL_MPI_MAX_PARTS = 16, /* MPI calls of one asynchronous all-reduce */
    COLL_MPI_OUTBOX = 64,    /* messages that the receivers have not taken yet */
};

/** One a process, shared by its instances. */
struct coll_mpi_world {
    int instances;
    atomic_bool abandoned; /* a rank is dead: no more collectives, no MPI_Finalize */
    struct coll_vigil vigil;
};

/** An asynchronous all-reduce: slot = ticket. */
struct coll_mpi_pending {
    enum { COLL_MPI_FREE, COLL_MPI_RUNNING, COLL_MPI_DONE } state;
    MPI_Request part[COLL_MPI_MAX_PARTS];
    int parts;
    int failed; /* MPI's error code, or MPI_SUCCESS */
};

struct coll_mpi_outgoing {
    MPI_Request request; /* MPI_REQUEST_NULL: free */
    int to;
    unsigned char data[COLL_MSG_MAX];
};

struct coll_mpi {
    struct coll base;
    struct coll_mpi_world *world;
    MPI_Comm comm;  /* blocking collectives, messages */
    MPI_Comm async; /* all-reduces in flight */
    size_t split;

    pthread_mutex_t lock; /* of all below but the outbox */
    pthread_cond_t changed;
    pthread_t thread;
    bool thread_runs, quit;
    struct coll_mpi_pending slots[COLL_MAX_PENDING];
    int next, running;

    pthread_mutex_t outbox_lock;
    struct coll_mpi_outgoing outbox[COLL_MPI_OUTBOX];
};

/** RC_LIB with MPI's own sentence. */
NODISCARD enum rc coll_mpi_raise(struct err *e, const struct coll_mpi *m, int code,
                                 const char *what);
/** Elements of the next MPI call when so many are left. */
size_t coll_mpi_part(const struct coll_mpi *m, size_t left);
/** A wait was given up before: collectives are refused. */
bool coll_mpi_lost(const struct coll_mpi *m);

/** Rows of coll_ops. */
enum rc coll_mpi_async_start(struct coll *c, float *buf, size_t n, int64_t id, int *ticket,
                             struct err *e);
enum rc coll_mpi_async_wait(struct coll *c, int ticket, struct err *e);
enum rc coll_mpi_mail_send(struct coll *c, int to, int tag, const void *msg, size_t bytes,
                           struct err *e);
enum rc coll_mpi_mail_poll(struct coll *c, int tag, void *msg, size_t max, size_t *bytes, int *from,
                           struct err *e);

/** End the thread of asynchronous all-reduces. */
void coll_mpi_async_stop(struct coll_mpi *m);
/** Whether every message has left; gives the receivers some time. */
bool coll_mpi_mail_flush(struct coll_mpi *m);

#endif

/* Messages of an MPI instance: sent from an outbox, so that nobody waits for a receiver. */
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/coll/coll_mpi_impl.h"

enum {
    OUTBOX_EACH = 8, /* places for messages to one rank: a dead one must not silence the others */
    FLUSH_US = 200,
    FLUSH_MS = 5000,     /* for the last messages to leave */
    FLUSH_MS_LOST = 100, /* when some rank will never take them */
};

/* A free place of the outbox for a message to a rank, or NULL: what was taken by its receiver frees
 * its place. */
static struct coll_mpi_outgoing *outbox_place(struct coll_mpi *m, int to)
{
    struct coll_mpi_outgoing *place = NULL;
    int waiting = 0;
    for (int i = 0; i < COLL_MPI_OUTBOX; i++) {
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

enum rc coll_mpi_mail_send(struct coll *c, int to, int tag, const void *msg, size_t bytes,
                           struct err *e)
{
    struct coll_mpi *m = (struct coll_mpi *)c;
    enum rc rc = RC_OK;
    pthread_mutex_lock(&m->outbox_lock);
    struct coll_mpi_outgoing *o = outbox_place(m, to);
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
            rc = coll_mpi_raise(e, m, code, "sending a message");
        }
    }
    pthread_mutex_unlock(&m->outbox_lock);
    return rc;
}

enum rc coll_mpi_mail_poll(struct coll *c, int tag, void *msg, size_t max, size_t *bytes, int *from,
                           struct err *e)
{
    struct coll_mpi *m = (struct coll_mpi *)c;
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
        return coll_mpi_raise(e, m, code, "receiving a message");
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

/* Whether every message has left; gives the receivers some time. */
bool coll_mpi_mail_flush(struct coll_mpi *m)
{
    const double patience = m->world->abandoned ? FLUSH_MS_LOST / 1e3 : FLUSH_MS / 1e3;
    const double start = clock_now();
    while (!coll_mpi_lost(m) && clock_now() - start < patience) {
        bool empty = true;
        (void)outbox_place(m, m->base.rank);
        for (int i = 0; i < COLL_MPI_OUTBOX; i++) {
            empty = empty && m->outbox[i].request == MPI_REQUEST_NULL;
        }
        if (empty) {
            return true;
        }
        usleep(FLUSH_US);
    }
    return false;
}

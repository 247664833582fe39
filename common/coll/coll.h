/**
 * The collective seam. Two instances live side by side: *control* (self or MPI, host memory) and
 * *data* (MPI or NCCL, the device's memory). `self` is one process and needs no library.
 *
 * The distributed rule: a rank that returns early leaves the others hanging in the next
 * collective. After any fallible step between two collectives call coll_agree.
 *
 * Threads: collectives from one thread at a time. An asynchronous all-reduce (start/wait) is
 * carried by a thread that makes MPI progress; point-to-point (work service) may run in another
 * thread beside collectives (MPI_THREAD_MULTIPLE).
 */
#ifndef PRECEPTOR_COLL_H
#define PRECEPTOR_COLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct coll;
struct device;

enum coll_type { COLL_I32, COLL_I64, COLL_F32, COLL_F64 };
enum coll_op { COLL_SUM, COLL_MIN, COLL_MAX };

/** One process. */
NODISCARD enum rc coll_self_create(struct coll **out, struct err *e);
/** MPI_COMM_WORLD, MPI_THREAD_MULTIPLE; call once a process, before threads. RC_LIB. */
NODISCARD enum rc coll_mpi_create(struct coll **out, struct err *e);
/** MPI when started by an MPI launcher (its environment says so), else self. */
NODISCARD enum rc coll_create(struct coll **out, struct err *e);
/** A second instance on the same ranks (own communicator): the data instance. Collective. */
NODISCARD enum rc coll_dup(struct coll *c, struct coll **out, struct err *e);
/** An instance whose asynchronous all-reduces are NCCL's, in the memory of the ranks' GPUs; all else
 * is a duplicate of control. One rank a GPU; dev is borrowed and outlives it. Collective.
 * RC_UNSUPPORTED: built without NCCL, or dev is no GPU; RC_LIB: NCCL cannot be loaded or does not
 * start. Where one rank fails all do, each with the guilty one's sentence (coll_agree). */
NODISCARD enum rc coll_nccl_create(struct coll *control, struct device *dev, struct coll **out,
                                   struct err *e);
/** "NCCL 2.28.9". RC_UNSUPPORTED, RC_LIB as above. */
NODISCARD enum rc coll_nccl_version(char *out, size_t size, struct err *e);
/** The data instance of ranks that compute on dev. AUTO: NCCL where every rank has a GPU and NCCL,
 * else MPI with a sentence in the log. Collective. */
enum coll_data { COLL_DATA_AUTO, COLL_DATA_MPI, COLL_DATA_NCCL };
NODISCARD enum rc coll_create_data(struct coll *control, struct device *dev, enum coll_data which,
                                   struct coll **out, struct err *e);
/** The last instance finalises MPI. NULL is fine. */
void coll_destroy(struct coll *c);

const char *coll_name(const struct coll *c); /* "self", "mpi", "nccl" */
/** Whether asynchronous all-reduces take the memory of the GPU that the instance was made for (and see
 * what its main queue wrote), instead of the host's. */
bool coll_on_device(const struct coll *c);
int coll_rank(const struct coll *c);
int coll_size(const struct coll *c);
int coll_local_rank(const struct coll *c); /* among the ranks of this host */
int coll_local_size(const struct coll *c);
/** Compute threads of this rank: asked if above 0, else the cores that it may use / the ranks of this
 * host. */
int coll_threads(const struct coll *c, int asked);

/** In place, equal count on all ranks; any size (split below INT_MAX inside). For a fixed number of
 * ranks equal inputs give equal bits. RC_LIB. */
NODISCARD enum rc coll_allreduce(struct coll *c, void *buf, size_t n, enum coll_type type,
                                 enum coll_op op, struct err *e);
/** root's bytes to all. */
NODISCARD enum rc coll_broadcast(struct coll *c, void *buf, size_t bytes, int root, struct err *e);
/** bytes (at most COLL_GATHER_MAX) from each rank to root's all (size * bytes), rank order; others
 * pass NULL. */
enum { COLL_GATHER_MAX = 1 << 30 };
NODISCARD enum rc coll_gather(struct coll *c, const void *mine, void *all, size_t bytes, int root,
                              struct err *e);
NODISCARD enum rc coll_barrier(struct coll *c, struct err *e);

/** An asynchronous in-place all-reduce (sum, f32): several may be in flight, started in the same
 * order on all ranks. buf must stay untouched until waited for. No allocation in a steady state.
 * id: which it is, equal on all ranks: where ranks differ in id or n, NCCL's instance names the rank
 * that does (RC_INVAL from wait, on all ranks).
 * A rank that fails between two starts still starts the rest (whatever they hold) before it calls
 * coll_agree: otherwise the others wait for ever. */
enum { COLL_MAX_PENDING = 64 };
NODISCARD enum rc coll_allreduce_start(struct coll *c, float *buf, size_t n, int64_t id,
                                       int *ticket, struct err *e);
NODISCARD enum rc coll_allreduce_wait(struct coll *c, int ticket, struct err *e);

/** Every rank takes the same branch: RC_OK only if rc is RC_OK on all. A failed rank keeps its rc and
 * message; the others get RC_PEER with the rank and sentence of the lowest failed one. When nobody
 * failed but some were asked to stop (RC_REQUEUE), all get RC_REQUEUE. */
NODISCARD enum rc coll_agree(struct coll *c, enum rc rc, struct err *e);

/** Point to point, small messages (<= COLL_MSG_MAX bytes), usable from a second thread. */
enum { COLL_MSG_MAX = 4096, COLL_ANY_RANK = -1 };
NODISCARD enum rc coll_send(struct coll *c, int to, int tag, const void *msg, size_t bytes,
                            struct err *e);
/** A message with this tag if one is there: *from is its rank, -1 when none. Never blocks.
 * RC_CORRUPT: it is longer than max (and is gone). */
NODISCARD enum rc coll_poll(struct coll *c, int tag, void *msg, size_t max, size_t *bytes,
                            int *from, struct err *e);

/** How long a collective of this process waits for a rank before it gives the job up (all instances; 0,
 * the default: for ever). Then the wait returns an error that names the late ranks, and so does every
 * later collective: the process must end. A rank of this host whose process is gone ends a wait within
 * seconds whatever this says. The start of MPI is given up after 120 s, or the environment's
 * PRECEPTOR_START_SECONDS, by the end of the process: MPI can be asked nothing then. */
void coll_set_patience(struct coll *c, double seconds);

/** Whether the rank was a process of this host that is no more; false for ranks of other hosts. */
bool coll_gone(const struct coll *c, int rank);

/** A rank is dead (its heartbeats ended): coll_destroy of this process then frees without any
 * collective and leaves MPI unfinalised, since a collective with a dead rank never returns. The
 * process must then end by _exit. */
void coll_abandon(struct coll *c);

/** End this process alone, at once and with nothing freed: for a watchdog whose main thread hangs. The
 * others find it lost. Does not return. */
_Noreturn void coll_leave(int code);

/** End every rank at once with this exit code (MPI_Abort). Does not return. */
_Noreturn void coll_abort(struct coll *c, int code);

#endif

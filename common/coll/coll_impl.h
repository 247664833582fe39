/** What an instance of the collective seam fills in. Private to common/coll. */
#ifndef PRECEPTOR_COLL_IMPL_H
#define PRECEPTOR_COLL_IMPL_H

#include "common/coll/coll.h"

struct coll_wait; /* coll_vigil_impl.h */

/** One row an instance; arguments were checked by coll.c. */
struct coll_ops {
    const char *name;
    bool on_device; /* asynchronous all-reduces take a GPU's memory */
    enum rc (*dup)(struct coll *c, struct coll **out, struct err *e);
    void (*destroy)(struct coll *c);
    enum rc (*allreduce)(struct coll *c, void *buf, size_t n, enum coll_type type, enum coll_op op,
                         struct err *e);
    enum rc (*broadcast)(struct coll *c, void *buf, size_t bytes, int root, struct err *e);
    enum rc (*gather)(struct coll *c, const void *mine, void *all, size_t bytes, int root,
                      struct err *e);
    enum rc (*barrier)(struct coll *c, struct err *e);
    enum rc (*allreduce_start)(struct coll *c, float *buf, size_t n, int64_t id, int *ticket,
                               struct err *e);
    enum rc (*allreduce_wait)(struct coll *c, int ticket, struct err *e);
    enum rc (*send)(struct coll *c, int to, int tag, const void *msg, size_t bytes, struct err *e);
    enum rc (*poll)(struct coll *c, int tag, void *msg, size_t max, size_t *bytes, int *from,
                    struct err *e);
    /* one look at the other ranks, during a wait that is not the instance's own */
    enum rc (*look)(struct coll *c, struct coll_wait *w, struct err *e);
    /* another rank's wait was given up: this one's collectives are refused from now on, too */
    void (*lose)(struct coll *c);
    bool (*gone)(const struct coll *c, int rank); /* NULL: never */
    void (*patience)(struct coll *c, double seconds);
    void (*abandon)(struct coll *c);
    void (*abort)(struct coll *c, int code);
};

/** The head of every instance's own struct. */
struct coll {
    const struct coll_ops *ops;
    int rank, size;
    int local_rank, local_size;
};

/** Tests: split a collective of the MPI instance after so many elements (default 2^30). */
void coll_mpi_set_split(struct coll *c, size_t elements);

#endif

/**
 * What a backend of the device seam provides: one table of functions and two structs to embed.
 * Callers see device.h alone. device.c checks operations and arguments before a backend sees them,
 * so a backend may rely on valid shapes (device_op_check) and on non-NULL required arguments.
 */
#ifndef PRECEPTOR_DEVICE_IMPL_H
#define PRECEPTOR_DEVICE_IMPL_H

#include "common/device/device.h"

enum { PLAN_DESCRIBE_MAX = 160 };

struct device_ops {
    const char *name;
    bool has_joins; /* OP_BN_POOL to OP_BN_POOL_BWD */
    /* local_rank: which of the machine's devices, where it has several */
    enum rc (*create)(int threads, int local_rank, struct device **out, struct err *e);
    void (*destroy)(struct device *d);
    void (*describe)(const struct device *d, struct device_info *out);
    int (*input_channels)(const struct device *d, int c, enum dtype type);

    enum rc (*alloc)(struct device *d, size_t bytes, const char *what, void **out, struct err *e);
    void (*free)(struct device *d, void *p);
    /* NULL: host memory; no engines to measure */
    enum rc (*memory)(struct device *d, size_t *free_bytes, size_t *total, struct err *e);
    void (*measure)(struct device *d, bool on);
    enum rc (*alloc_host)(struct device *d, size_t bytes, void **out, struct err *e);
    void (*free_host)(struct device *d, void *p);
    enum rc (*upload)(struct device *d, struct queue *q, void *dst, const void *src, size_t bytes,
                      struct err *e);
    enum rc (*download)(struct device *d, struct queue *q, void *dst, const void *src,
                        size_t bytes, struct err *e);
    enum rc (*zero)(struct device *d, struct queue *q, void *p, size_t bytes, struct err *e);
    enum rc (*sync)(struct device *d, struct queue *q, struct err *e);
    enum rc (*queue_create)(struct device *d, struct queue **out, struct err *e);
    void (*queue_destroy)(struct device *d, struct queue *q);
    enum rc (*event_create)(struct device *d, struct event **out, struct err *e);
    void (*event_destroy)(struct device *d, struct event *ev);
    enum rc (*event_record)(struct device *d, struct event *ev, struct queue *q, struct err *e);
    enum rc (*event_wait)(struct device *d, struct event *ev, struct queue *q, struct err *e);
    enum rc (*event_done)(struct device *d, struct event *ev, bool *done, struct err *e);
    void *(*queue_stream)(struct device *d, struct queue *q); /* NULL: it has none */

    enum rc (*plan_create)(struct device *d, const struct op_desc *op, struct plan **out,
                           struct err *e);
    void (*plan_destroy)(struct plan *p);
    enum rc (*plan_pack)(struct plan *p, const float *weights, const float *bias,
                         const float *scale, struct err *e);
    enum rc (*plan_run)(struct plan *p, void *const args[], struct err *e);
    /* false: the layouts differ; NULL: never */
    bool (*plan_share)(struct plan *p, const struct plan *owner);
};

/** First member of every backend's device. */
struct device {
    const struct device_ops *ops;
};

/** First member of every backend's plan; plan_create of device.c fills what is common. */
struct plan {
    struct device *device;
    struct op_desc op;
    size_t saved_bytes;  /* the backend's: BN_ACT */
    size_t packed_bytes; /* the backend's: convolutions */
    char impl[48];       /* the backend's: which of its ways runs, "" if it has one */
    char describe[PLAN_DESCRIBE_MAX];
    bool packed;
    const struct plan *owner; /* whose packed weights it runs with; NULL: its own */
};

/** The rows of device.c's registry; cuda only where it is built (HAVE_CUDA). */
extern const struct device_ops device_ref_ops, device_cpu_ops, device_cuda_ops;

/* ---- device_op.c: what can be said of an operation without a backend ------------------------ */

/** RC_INVAL with the operation's name and the numbers that cannot be. */
NODISCARD enum rc device_op_check(const struct op_desc *op, struct err *e);
const char *device_op_name(enum op_kind kind);
/** A convolution, its backward, or its 8-bit form: op_desc.u.conv. */
bool device_op_is_conv(enum op_kind kind);
/** Sentence for plan_describe: shape and type, the implementation in brackets when not "". */
void device_op_describe(const struct op_desc *op, const char *impl, char *out, size_t size);
double device_op_flops(const struct op_desc *op);
/** Bytes that one run has to move at least. */
double device_op_bytes(const struct op_desc *op);
int device_op_n_args(enum op_kind kind);
/** Whether argument i of this operation may be NULL. */
bool device_op_arg_optional(const struct op_desc *op, int i);
/** Type of its activations; DT_F32 where it has none. */
enum dtype device_op_type(const struct op_desc *op);
/** Type of a convolution's y. */
enum dtype device_op_conv_type(const struct op_conv *o);
/** Output height (or width) of a convolution for input height h. */
int device_op_conv_out(const struct op_conv *o, int h);

/* ---- device_quant.c: weights in 8 bits, the same on every backend ------------------------------ */

/** Masters (k, r, r, c_weights), times scale[k] if scale is given, to q (k, r, r, c) times step[k]:
 * step[k] = max|w| / 127 (1 where all are 0), q = the nearest integer, 0 from c_weights on. */
void device_quant_weights(const struct op_conv *o, const float *weights, const float *scale,
                          int8_t *q, float *step);

/* ---- device_host.c: memory, queues and events of the backends that compute on the host ------ */

NODISCARD enum rc device_host_alloc(struct device *d, size_t bytes, const char *what, void **out,
                                    struct err *e);
void device_host_free(struct device *d, void *p);
NODISCARD enum rc device_host_alloc_host(struct device *d, size_t bytes, void **out,
                                         struct err *e);
NODISCARD enum rc device_host_copy(struct device *d, struct queue *q, void *dst, const void *src,
                                   size_t bytes, struct err *e);
NODISCARD enum rc device_host_zero(struct device *d, struct queue *q, void *p, size_t bytes,
                                   struct err *e);
NODISCARD enum rc device_host_sync(struct device *d, struct queue *q, struct err *e);
NODISCARD enum rc device_host_queue_create(struct device *d, struct queue **out, struct err *e);
void device_host_queue_destroy(struct device *d, struct queue *q);
NODISCARD enum rc device_host_event_create(struct device *d, struct event **out, struct err *e);
void device_host_event_destroy(struct device *d, struct event *ev);
NODISCARD enum rc device_host_event_record(struct device *d, struct event *ev, struct queue *q,
                                           struct err *e);
NODISCARD enum rc device_host_event_wait(struct device *d, struct event *ev, struct queue *q,
                                         struct err *e);
NODISCARD enum rc device_host_event_done(struct device *d, struct event *ev, bool *done,
                                         struct err *e);

/** The memory rows of a host backend's table. */
#define DEVICE_HOST_MEMORY                                                                         \
    .alloc = device_host_alloc, .free = device_host_free, .alloc_host = device_host_alloc_host,    \
    .free_host = device_host_free, .upload = device_host_copy, .download = device_host_copy,       \
    .zero = device_host_zero, .sync = device_host_sync, .queue_create = device_host_queue_create,  \
    .queue_destroy = device_host_queue_destroy, .event_create = device_host_event_create,          \
    .event_destroy = device_host_event_destroy, .event_record = device_host_event_record,          \
    .event_wait = device_host_event_wait, .event_done = device_host_event_done

#endif

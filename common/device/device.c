#include <stdio.h>
#include <string.h>

#include "common/device/device_impl.h"
#if HAVE_CUDA
#include "common/device/cuda_impl.h"
#endif

/* Best first: "auto" takes the first that starts. */
static const struct device_ops *const backends[] = {
#if HAVE_CUDA
    &device_cuda_ops,
#endif
    &device_cpu_ops, &device_ref_ops};

enum { N_BACKENDS = sizeof backends / sizeof backends[0] };

size_t dtype_size(enum dtype t)
{
    static const size_t sizes[] = {
        [DT_F32] = 4, [DT_BF16] = 2, [DT_U8] = 1, [DT_S8] = 1, [DT_S32] = 4, [DT_F64] = 8};

    return sizes[t];
}

const char *dtype_name(enum dtype t)
{
    static const char *const names[] = {[DT_F32] = "f32", [DT_BF16] = "bf16", [DT_U8] = "u8",
                                        [DT_S8] = "s8",   [DT_S32] = "s32",   [DT_F64] = "f64"};

    return (unsigned)t < sizeof names / sizeof names[0] ? names[t] : "?";
}

uint16_t bf16_from_f32(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)(u >> 16 | 0x40u); /* a quiet NaN, never an infinity */
    }
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

float bf16_to_f32(uint16_t x)
{
    uint32_t u = (uint32_t)x << 16;
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

const char *device_backend_name(int i)
{
    return i >= 0 && i < N_BACKENDS ? backends[i]->name : NULL;
}

static enum rc raise_unknown(const char *name, struct err *e)
{
    char known[128] = "";
    size_t used = 0;

    for (int i = 0; i < N_BACKENDS && used < sizeof known; i++) {
        used += (size_t)snprintf(known + used, sizeof known - used, ", %s", backends[i]->name);
    }
    return err_raise(e, RC_INVAL, "unknown device '%s': expected auto%s", name, known);
}

enum rc device_create_local(const char *name, int threads, int local_rank, struct device **out,
                            struct err *e)
{
    bool any = strcmp(name, "auto") == 0;

    if (threads < 0) {
        return err_raise(e, RC_INVAL, "device '%s': %d threads cannot be", name, threads);
    }
    for (int i = 0; i < N_BACKENDS; i++) {
        enum rc rc;

        if (!any && strcmp(name, backends[i]->name) != 0) {
            continue;
        }
        rc = backends[i]->create(threads, local_rank, out, e);
        if (rc != RC_LIB || !any || i + 1 == N_BACKENDS) {
            return rc;
        }
        err_clear(e);
    }
    return raise_unknown(name, e);
}

enum rc device_create(const char *name, int threads, struct device **out, struct err *e)
{
    return device_create_local(name, threads, 0, out, e);
}

enum rc device_create_described(const char *description, device_plan_fn *on_plan, void *ctx,
                                struct device **out, struct err *e)
{
#if HAVE_CUDA
    return cuda_described_create(description, on_plan, ctx, out, e);
#else
    (void)description;
    (void)on_plan;
    (void)ctx;
    (void)out;
    return err_raise(
        e, RC_UNSUPPORTED,
        "this program was built without the cuda backend: a GPU cannot be planned for");
#endif
}

void device_destroy(struct device *d)
{
    if (d != NULL) {
        d->ops->destroy(d);
    }
}

void device_describe(const struct device *d, struct device_info *out)
{
    memset(out, 0, sizeof *out);
    out->backend = d->ops->name;
    d->ops->describe(d, out);
}

bool device_is_host(const struct device *d)
{
    return d->ops->upload == device_host_copy;
}

int device_input_channels(const struct device *d, int c, enum dtype type)
{
    return d->ops->input_channels(d, c, type);
}

enum rc device_alloc(struct device *d, size_t bytes, const char *what, void **out, struct err *e)
{
    return d->ops->alloc(d, bytes, what, out, e);
}

void device_free(struct device *d, void *p)
{
    d->ops->free(d, p);
}

enum rc device_memory(struct device *d, size_t *free_bytes, size_t *total, struct err *e)
{
    if (d->ops->memory == NULL) {
        return err_raise(e, RC_UNSUPPORTED, "device '%s' has no memory of its own", d->ops->name);
    }
    return d->ops->memory(d, free_bytes, total, e);
}

void device_measure(struct device *d, bool on)
{
    if (d->ops->measure != NULL) {
        d->ops->measure(d, on);
    }
}

enum rc device_alloc_host(struct device *d, size_t bytes, void **out, struct err *e)
{
    return d->ops->alloc_host(d, bytes, out, e);
}

void device_free_host(struct device *d, void *p)
{
    d->ops->free_host(d, p);
}

enum rc device_upload(struct device *d, struct queue *q, void *dst, const void *src, size_t bytes,
                      struct err *e)
{
    return d->ops->upload(d, q, dst, src, bytes, e);
}

enum rc device_download(struct device *d, struct queue *q, void *dst, const void *src, size_t bytes,
                        struct err *e)
{
    return d->ops->download(d, q, dst, src, bytes, e);
}

enum rc device_zero(struct device *d, struct queue *q, void *p, size_t bytes, struct err *e)
{
    return d->ops->zero(d, q, p, bytes, e);
}

enum rc device_sync(struct device *d, struct queue *q, struct err *e)
{
    return d->ops->sync(d, q, e);
}

enum rc queue_create(struct device *d, struct queue **out, struct err *e)
{
    return d->ops->queue_create(d, out, e);
}

void queue_destroy(struct device *d, struct queue *q)
{
    d->ops->queue_destroy(d, q);
}

enum rc event_create(struct device *d, struct event **out, struct err *e)
{
    return d->ops->event_create(d, out, e);
}

void event_destroy(struct device *d, struct event *ev)
{
    d->ops->event_destroy(d, ev);
}

enum rc event_record(struct device *d, struct event *ev, struct queue *q, struct err *e)
{
    return d->ops->event_record(d, ev, q, e);
}

enum rc event_wait(struct device *d, struct event *ev, struct queue *q, struct err *e)
{
    return d->ops->event_wait(d, ev, q, e);
}

enum rc event_done(struct device *d, struct event *ev, bool *done, struct err *e)
{
    return d->ops->event_done(d, ev, done, e);
}

void *queue_stream(struct device *d, struct queue *q)
{
    return d->ops->queue_stream != NULL ? d->ops->queue_stream(d, q) : NULL;
}

static bool has_int8(const struct device *d)
{
    struct device_info info;

    device_describe(d, &info);
    return info.has_int8;
}

enum rc plan_create(struct device *d, const struct op_desc *op, struct plan **out, struct err *e)
{
    struct op_desc full = *op;
    struct plan *p = NULL;
    enum rc rc = device_op_check(op, e);

    if (rc != RC_OK) {
        return rc;
    }
    if (device_op_type(op) == DT_F64 && d->ops != &device_ref_ops) {
        return err_raise(e, RC_UNSUPPORTED, "%s: f64 is computed by ref alone",
                         device_op_name(op->kind));
    }
    if (device_op_is_conv(op->kind) && op->u.conv.c_weights == 0) {
        full.u.conv.c_weights = op->u.conv.c;
    }
    if (op->kind >= OP_CONV_Q && op->kind <= OP_GATE_ADD_ACT_Q && !has_int8(d)) {
        return err_raise(e, RC_UNSUPPORTED, "%s: the %s backend does not compute in int8 here",
                         device_op_name(op->kind), d->ops->name);
    }
    if (op->kind >= OP_BN_POOL && !d->ops->has_joins) {
        return err_raise(e, RC_UNSUPPORTED, "%s: the %s backend does it in parts",
                         device_op_name(op->kind), d->ops->name);
    }
    rc = d->ops->plan_create(d, &full, &p, e);
    if (rc != RC_OK) {
        return rc;
    }
    p->device = d;
    p->op = full;
    device_op_describe(&p->op, p->impl, p->describe, sizeof p->describe);
    *out = p;
    return RC_OK;
}

void plan_destroy(struct plan *p)
{
    if (p != NULL) {
        p->device->ops->plan_destroy(p);
    }
}

static bool has_weights(enum op_kind kind)
{
    return kind == OP_CONV || kind == OP_CONV_BWD_DATA || kind == OP_CONV_Q;
}

enum rc plan_pack(struct plan *p, const float *weights, const float *bias, const float *scale,
                  struct err *e)
{
    enum rc rc;

    if (!has_weights(p->op.kind)) {
        return err_raise(e, RC_INVAL, "%s: has no weights to pack", p->describe);
    }
    if (p->op.kind != OP_CONV_BWD_DATA && (bias != NULL) != p->op.u.conv.with_bias) {
        return err_raise(e, RC_INVAL, "%s: packed %s a bias", p->describe,
                         bias != NULL ? "with" : "without");
    }
    rc = p->device->ops->plan_pack(p, weights, bias, scale, e);
    p->packed = rc == RC_OK;
    return rc;
}

enum rc plan_run(struct plan *p, void *const args[], struct err *e)
{
    for (int i = 0; i < device_op_n_args(p->op.kind); i++) {
        if (!device_op_arg_optional(&p->op, i) && args[i] == NULL) {
            return err_raise(e, RC_INVAL, "%s: argument %d is missing", p->describe, i);
        }
    }
    if (has_weights(p->op.kind) && !(p->owner != NULL ? p->owner : p)->packed) {
        return err_raise(e, RC_INVAL, "%s: run before its weights were packed", p->describe);
    }
    return p->device->ops->plan_run(p, args, e);
}

enum rc plan_share(struct plan *p, const struct plan *owner, struct err *e)
{
    const struct device_ops *ops = p->device->ops;

    if (!has_weights(p->op.kind) || owner->device->ops != ops || ops->plan_share == NULL ||
        !ops->plan_share(p, owner)) {
        return err_raise(e, RC_UNSUPPORTED, "%s: cannot share the weights of %s", p->describe,
                         owner->describe);
    }
    p->owner = owner;
    p->packed_bytes = 0;
    return RC_OK;
}

size_t plan_saved_bytes(const struct plan *p)
{
    return p->saved_bytes;
}

size_t plan_packed_bytes(const struct plan *p)
{
    return p->packed_bytes;
}

const char *plan_describe(const struct plan *p)
{
    return p->describe;
}

double plan_flops(const struct plan *p)
{
    return device_op_flops(&p->op);
}

double plan_bytes(const struct plan *p)
{
    return device_op_bytes(&p->op);
}

/* The cuda backend's table: memory, streams and plans of one GPU.
 * Every call names its stream; the default stream, which waits for all others, is never used. */
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/device/cuda_device_impl.h"

struct queue {
    cudaStream_t stream;
};

struct event {
    cudaEvent_t event;
};

struct cuda_plan {
    struct plan base;
    struct cuda_graph *graph; /* convolutions */
    void *weights;            /* device: (k, r, r, c) in the plan's type */
    float *bias;              /* device: (k) */
    size_t workspace;         /* where in the scratch what is not cuDNN's begins */
};

/* ---- the device ------------------------------------------------------------------------------- */

static const struct cuda_device *cuda_of(const struct device *d)
{
    return (const struct cuda_device *)d;
}

static cudaStream_t stream_of(struct device *d, struct queue *q)
{
    return q != NULL ? q->stream : cuda_of(d)->main;
}

/* A failed call also stays in CUDA's "last error", from where it would surface again. */
static enum rc check(const struct device *d, cudaError_t s, const char *what, struct err *e)
{
    if (s == cudaSuccess) {
        return RC_OK;
    }
    (void)cudaGetLastError();
    return err_raise(e, s == cudaErrorMemoryAllocation ? RC_NOMEM : RC_LIB, "GPU %d: %s: %s (%s)",
                     cuda_of(d)->ordinal, what, cudaGetErrorString(s), cudaGetErrorName(s));
}

static enum rc no_device(cudaError_t s, int n, struct err *e)
{
    int driver = 0, runtime = 0;

    (void)cudaGetLastError();
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    if (s == cudaErrorInsufficientDriver && driver == 0) {
        return err_raise(e, RC_LIB, "cuda: this machine has no NVIDIA driver; use --device cpu");
    }
    if (s == cudaErrorInsufficientDriver || s == cudaErrorSystemDriverMismatch) {
        return err_raise(e, RC_LIB,
                         "cuda: the NVIDIA driver is of CUDA %d.%d, this program needs %d.%d or "
                         "later: update the driver or use --device cpu",
                         driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    }
    if (s == cudaErrorNoDevice || (s == cudaSuccess && n == 0)) {
        return err_raise(e, RC_LIB,
                         "cuda: the NVIDIA driver shows no GPU (CUDA_VISIBLE_DEVICES?); use "
                         "--device cpu");
    }
    return err_raise(e, RC_LIB, "cuda: GPUs cannot be counted: %s (%s)", cudaGetErrorString(s),
                     cudaGetErrorName(s));
}

static void cuda_destroy(struct device *device)
{
    struct cuda_device *d = (struct cuda_device *)device;

    cuda_planner_destroy(d->planner);
    if (d->main != NULL) {
        (void)cudaStreamSynchronize(d->main);
        (void)cudaFree(d->scratch);
        (void)cudaStreamDestroy(d->main);
    }
    mem_free(d);
}

/* The thread that creates a device is the one that uses it (device.h). */
static enum rc start(struct cuda_device *d, struct err *e)
{
    struct device *base = &d->base;
    char name[sizeof d->props.name + 64];
    enum rc rc = check(base, cudaSetDevice(d->ordinal), "cannot be used", e);

    if (rc == RC_OK) {
        rc = check(base, cudaGetDeviceProperties(&d->props, d->ordinal), "has no properties", e);
    }
    if (rc == RC_OK && d->props.major < 8) {
        rc = err_raise(e, RC_LIB, "GPU %d: %s has compute capability %d.%d, 8.0 or later is needed",
                       d->ordinal, d->props.name, d->props.major, d->props.minor);
    }
    if (rc == RC_OK) {
        rc = check(base, cudaStreamCreateWithFlags(&d->main, cudaStreamNonBlocking),
                   "cannot make a stream", e);
    }
    (void)snprintf(name, sizeof name, "%s, sm_%d%d, %d multiprocessors", d->props.name,
                   d->props.major, d->props.minor, d->props.multiProcessorCount);
    return rc == RC_OK ? cuda_planner_create(d->main, name, NULL, &d->planner, e) : rc;
}

static enum rc cuda_create(int threads, int local_rank, struct device **out, struct err *e)
{
    struct cuda_device *d;
    int n = 0;
    cudaError_t s = cudaGetDeviceCount(&n);
    enum rc rc;

    (void)threads; /* the GPU's own */
    if (s != cudaSuccess || n == 0) {
        return no_device(s, n, e);
    }
    if (local_rank >= n) {
        return err_raise(e, RC_INVAL,
                         "cuda: rank %d of this host has no GPU, there %s %d: start one rank a GPU",
                         local_rank, n == 1 ? "is" : "are", n);
    }
    d = mem_calloc(1, sizeof *d);
    if (d == NULL) {
        return mem_raise(e, "cuda device", sizeof *d);
    }
    d->base.ops = &device_cuda_ops;
    d->ordinal = local_rank;
    rc = start(d, e);
    if (rc != RC_OK) {
        cuda_destroy(&d->base);
        return rc;
    }
    *out = &d->base;
    return RC_OK;
}

static void cuda_describe(const struct device *device, struct device_info *out)
{
    const struct cuda_device *d = cuda_of(device);
    char version[24];

    cuda_planner_version(version, sizeof version);
    (void)snprintf(out->isa, sizeof out->isa, "sm_%d%d", d->props.major, d->props.minor);
    (void)snprintf(out->library, sizeof out->library, "%.22s, %.38s", version, d->props.name);
    out->threads = d->props.multiProcessorCount;
    out->has_bf16 = true;
}

/* Tensor cores read bf16 by eights; cuDNN would copy the input to get there. */
static int cuda_input_channels(const struct device *d, int c, enum dtype type)
{
    (void)d;
    return type == DT_BF16 ? (c + 7) / 8 * 8 : c;
}

/* ---- memory ----------------------------------------------------------------------------------- */

static enum rc cuda_alloc(struct device *d, size_t bytes, const char *what, void **out,
                          struct err *e)
{
    size_t free_bytes = 0, total = 0;
    void *p = NULL;
    cudaError_t s = cudaMalloc(&p, bytes > 0 ? bytes : 1);
    enum rc rc;

    if (s == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        (void)cudaMemGetInfo(&free_bytes, &total);
        return err_raise(e, RC_NOMEM,
                         "GPU %d: out of memory: %zu MiB for %s, %zu of %zu MiB are free: take a "
                         "smaller batch",
                         cuda_of(d)->ordinal, (bytes + (1 << 20) - 1) >> 20, what, free_bytes >> 20,
                         total >> 20);
    }
    rc = check(d, s, what, e);
    if (rc != RC_OK) {
        return rc;
    }
    rc = check(d, cudaMemsetAsync(p, 0, bytes, cuda_of(d)->main), what, e);
    if (rc == RC_OK) { /* other queues may use it from now on */
        rc = check(d, cudaStreamSynchronize(cuda_of(d)->main), what, e);
    }
    if (rc != RC_OK) {
        (void)cudaFree(p);
        return rc;
    }
    *out = p;
    return RC_OK;
}

static void cuda_free(struct device *d, void *p)
{
    (void)d;
    (void)cudaFree(p); /* waits for what still uses it */
}

static enum rc cuda_memory(struct device *d, size_t *free_bytes, size_t *total, struct err *e)
{
    return check(d, cudaMemGetInfo(free_bytes, total), "its memory", e);
}

static enum rc cuda_alloc_host(struct device *d, size_t bytes, void **out, struct err *e)
{
    void *p = NULL;
    enum rc rc = check(d, cudaMallocHost(&p, bytes > 0 ? bytes : 1), "pinned host memory", e);

    if (rc == RC_OK) {
        memset(p, 0, bytes);
        *out = p;
    }
    return rc;
}

static void cuda_free_host(struct device *d, void *p)
{
    (void)d;
    if (p != NULL) {
        (void)cudaFreeHost(p);
    }
}

static enum rc cuda_upload(struct device *d, struct queue *q, void *dst, const void *src,
                           size_t bytes, struct err *e)
{
    return check(d, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyHostToDevice, stream_of(d, q)),
                 "copy to the GPU", e);
}

static enum rc cuda_download(struct device *d, struct queue *q, void *dst, const void *src,
                             size_t bytes, struct err *e)
{
    return check(d, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToHost, stream_of(d, q)),
                 "copy from the GPU", e);
}

static enum rc cuda_zero(struct device *d, struct queue *q, void *p, size_t bytes, struct err *e)
{
    return check(d, cudaMemsetAsync(p, 0, bytes, stream_of(d, q)), "zeros", e);
}

static enum rc cuda_sync(struct device *d, struct queue *q, struct err *e)
{
    return check(d, cudaStreamSynchronize(stream_of(d, q)), "queued work", e);
}

/* ---- queues and events ------------------------------------------------------------------------ */

static enum rc cuda_queue_create(struct device *d, struct queue **out, struct err *e)
{
    struct queue *q = mem_calloc(1, sizeof *q);
    enum rc rc;

    if (q == NULL) {
        return mem_raise(e, "queue", sizeof *q);
    }
    rc = check(d, cudaStreamCreateWithFlags(&q->stream, cudaStreamNonBlocking), "queue", e);
    if (rc != RC_OK) {
        mem_free(q);
        return rc;
    }
    *out = q;
    return RC_OK;
}

static void cuda_queue_destroy(struct device *d, struct queue *q)
{
    (void)d;
    if (q != NULL) {
        (void)cudaStreamSynchronize(q->stream);
        (void)cudaStreamDestroy(q->stream);
        mem_free(q);
    }
}

static enum rc cuda_event_create(struct device *d, struct event **out, struct err *e)
{
    struct event *ev = mem_calloc(1, sizeof *ev);
    enum rc rc;

    if (ev == NULL) {
        return mem_raise(e, "event", sizeof *ev);
    }
    rc = check(d, cudaEventCreateWithFlags(&ev->event, cudaEventDisableTiming), "event", e);
    if (rc != RC_OK) {
        mem_free(ev);
        return rc;
    }
    *out = ev;
    return RC_OK;
}

static void cuda_event_destroy(struct device *d, struct event *ev)
{
    (void)d;
    if (ev != NULL) {
        (void)cudaEventDestroy(ev->event);
        mem_free(ev);
    }
}

static enum rc cuda_event_record(struct device *d, struct event *ev, struct queue *q, struct err *e)
{
    return check(d, cudaEventRecord(ev->event, stream_of(d, q)), "record an event", e);
}

static enum rc cuda_event_wait(struct device *d, struct event *ev, struct queue *q, struct err *e)
{
    return check(d, cudaStreamWaitEvent(stream_of(d, q), ev->event, 0), "wait for an event", e);
}

static enum rc cuda_event_done(struct device *d, struct event *ev, bool *done, struct err *e)
{
    cudaError_t s = cudaEventQuery(ev->event);

    *done = s == cudaSuccess;
    if (s == cudaErrorNotReady) {
        (void)cudaGetLastError();
        return RC_OK;
    }
    return check(d, s, "queued work", e);
}

static void *cuda_queue_stream(struct device *d, struct queue *q)
{
    return stream_of(d, q);
}

/* ---- plans ------------------------------------------------------------------------------------ */

static void cuda_plan_destroy(struct plan *plan)
{
    struct cuda_plan *p = (struct cuda_plan *)plan;

    if (p != NULL) {
        cuda_graph_destroy(p->graph);
        (void)cudaFree(p->weights);
        (void)cudaFree(p->bias);
        mem_free(p);
    }
}

/* Plans that ran before may still use the old scratch: freeing it waits for them. */
static enum rc need_scratch(struct cuda_device *d, size_t bytes, struct err *e)
{
    void *p = NULL;
    enum rc rc;

    if (bytes <= d->scratch_bytes) {
        return RC_OK;
    }
    rc = cuda_alloc(&d->base, bytes, "scratch of plans", &p, e);
    if (rc == RC_OK) {
        (void)cudaFree(d->scratch);
        d->scratch = p;
        d->scratch_bytes = bytes;
    }
    return rc;
}

static size_t round_up(size_t n)
{
    return (n + 255) / 256 * 256;
}

static enum rc create_conv(struct cuda_device *d, struct cuda_plan *p, const struct op_desc *op,
                           struct err *e)
{
    const struct op_conv *o = &op->u.conv;
    size_t bytes = cuda_time_weights(o) * dtype_size(o->type), scratch;
    void *bias = NULL;
    const struct cuda_graph_info *info;
    enum rc rc = cuda_graph_create(d->planner, op, &p->graph, e);

    if (rc != RC_OK) {
        return rc;
    }
    info = cuda_graph_info(p->graph);
    (void)snprintf(p->base.impl, sizeof p->base.impl, "cuDNN engine %lld%s", info->engine,
                   info->tensor_core ? " tensor cores" : "");
    p->workspace = scratch = round_up(info->workspace);
    if (op->kind == OP_CONV_BWD_WEIGHTS) {
        scratch += round_up(cuda_time_weights(o) * sizeof(float));
        scratch += cuda_kernels_bias_scratch_bytes(o, cuda_time_rows(o));
        return need_scratch(d, scratch, e);
    }
    rc = cuda_alloc(&d->base, bytes, "weights of a convolution", &p->weights, e);
    p->base.packed_bytes = bytes;
    if (rc == RC_OK && op->kind == OP_CONV && o->with_bias) {
        rc = cuda_alloc(&d->base, (size_t)o->k * sizeof(float), "bias of a convolution", &bias, e);
        p->bias = bias;
        p->base.packed_bytes += (size_t)o->k * sizeof(float);
    }
    return rc == RC_OK ? need_scratch(d, scratch, e) : rc;
}

static void cuda_measure(struct device *device, bool on)
{
    struct cuda_device *d = (struct cuda_device *)device;

    cuda_planner_measure(d->planner, on ? cuda_time_graph : NULL, d);
}

static enum rc cuda_plan_create(struct device *device, const struct op_desc *op, struct plan **out,
                                struct err *e)
{
    struct cuda_device *d = (struct cuda_device *)device;
    struct cuda_plan *p = mem_calloc(1, sizeof *p);
    enum rc rc;

    if (p == NULL) {
        return mem_raise(e, "cuda plan", sizeof *p);
    }
    if (op->kind <= OP_CONV_BWD_WEIGHTS) {
        rc = create_conv(d, p, op, e);
    } else {
        p->base.saved_bytes = op->kind == OP_BN_ACT ? cuda_kernels_saved_bytes(&op->u.map) : 0;
        rc = need_scratch(d, cuda_kernels_scratch_bytes(op), e);
    }
    if (rc != RC_OK) {
        cuda_plan_destroy(&p->base);
        return rc;
    }
    *out = &p->base;
    return RC_OK;
}

static enum rc cuda_plan_pack(struct plan *plan, const float *weights, const float *bias,
                              const float *scale, struct err *e)
{
    struct cuda_plan *p = (struct cuda_plan *)plan;
    struct device *d = plan->device;
    const struct op_conv *o = &plan->op.u.conv;
    cudaStream_t s = cuda_of(d)->main;
    enum rc rc = check(d, (cudaError_t)cuda_kernels_pack(o, weights, scale, p->weights, s),
                       plan->describe, e);

    if (rc == RC_OK && bias != NULL) {
        rc = check(d,
                   cudaMemcpyAsync(p->bias, bias, (size_t)o->k * sizeof *bias,
                                   cudaMemcpyDeviceToDevice, s),
                   plan->describe, e);
    }
    return rc;
}

/* dw and db are added to, and dw may have fewer channels than x */
static enum rc run_weights(struct cuda_plan *p, void *const args[], struct err *e)
{
    struct device *device = p->base.device;
    const struct cuda_device *d = cuda_of(device);
    const struct op_conv *o = &p->base.op.u.conv;
    char *dw = (char *)d->scratch + p->workspace;
    char *sums = dw + round_up(cuda_time_weights(o) * sizeof(float));
    cudaError_t s;
    enum rc rc = cuda_graph_run(p->graph, args[0], args[1], NULL, dw, d->scratch, e);

    if (rc != RC_OK) {
        return rc;
    }
    s = (cudaError_t)cuda_kernels_add_weights(o, (const float *)dw, args[2], d->main);
    if (s == cudaSuccess && o->with_bias) {
        s = (cudaError_t)cuda_kernels_add_bias(o, cuda_time_rows(o), args[1], args[3], sums,
                                               d->main);
    }
    return check(device, s, p->base.describe, e);
}

static enum rc run_forward(struct cuda_plan *p, void *const args[], struct err *e)
{
    struct device *device = p->base.device;
    const struct cuda_device *d = cuda_of(device);
    const struct op_conv *o = &p->base.op.u.conv;
    enum rc rc = cuda_graph_run(p->graph, args[0], p->weights, p->bias, args[1], d->scratch, e);

    if (rc != RC_OK || cuda_graph_info(p->graph)->fused || !(o->with_bias || o->relu)) {
        return rc;
    }
    return check(
        device, (cudaError_t)cuda_kernels_bias_act(o, cuda_time_rows(o), p->bias, args[1], d->main),
        p->base.describe, e);
}

static enum rc cuda_plan_run(struct plan *plan, void *const args[], struct err *e)
{
    struct cuda_plan *p = (struct cuda_plan *)plan;
    const struct cuda_device *d = cuda_of(plan->device);

    if (plan->op.kind == OP_CONV) {
        return run_forward(p, args, e);
    }
    if (plan->op.kind == OP_CONV_BWD_DATA) {
        return cuda_graph_run(p->graph, args[0], p->weights, NULL, args[1], d->scratch, e);
    }
    if (plan->op.kind == OP_CONV_BWD_WEIGHTS) {
        return run_weights(p, args, e);
    }
    return check(plan->device, (cudaError_t)cuda_kernels_run(&plan->op, args, d->scratch, d->main),
                 plan->describe, e);
}

const struct device_ops device_cuda_ops = {
    .name = "cuda",
    .create = cuda_create,
    .destroy = cuda_destroy,
    .describe = cuda_describe,
    .input_channels = cuda_input_channels,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .memory = cuda_memory,
    .measure = cuda_measure,
    .alloc_host = cuda_alloc_host,
    .free_host = cuda_free_host,
    .upload = cuda_upload,
    .download = cuda_download,
    .zero = cuda_zero,
    .sync = cuda_sync,
    .queue_create = cuda_queue_create,
    .queue_destroy = cuda_queue_destroy,
    .event_create = cuda_event_create,
    .event_destroy = cuda_event_destroy,
    .event_record = cuda_event_record,
    .event_wait = cuda_event_wait,
    .event_done = cuda_event_done,
    .queue_stream = cuda_queue_stream,
    .plan_create = cuda_plan_create,
    .plan_destroy = cuda_plan_destroy,
    .plan_pack = cuda_plan_pack,
    .plan_run = cuda_plan_run,
};

/* What the fakes must not let pass, each done on purpose; for misdeeds.sh.
 * usage: misdeeds NAME     "none" does all of it well and ends with 0; the others end with 99 and a
 * sentence of the fake, or print what they saw and end with 1 where the fake can only make it show. */
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

#include <cudnn.h>
#if HAVE_NCCL
#include <nccl.h>
#endif

extern "C" {
#include "common/device/device.h"
}
#include "tests/fakes/cuda_host.hpp"

namespace {

enum : size_t { N = 1000 };

struct device *dev;
float *a, *b;
float host[N];

float *device_floats(size_t n)
{
    void *p = nullptr;
    struct err e = {};

    if (device_alloc(dev, n * sizeof(float), "floats", &p, &e) != RC_OK) {
        fprintf(stderr, "%s\n", e.msg);
        exit(2);
    }
    return static_cast<float *>(p);
}

int must(enum rc rc)
{
    if (rc != RC_OK) {
        fprintf(stderr, "a step that is no misdeed failed\n");
        exit(2);
    }
    return 0;
}

/* b = a + a on the main queue */
void add(struct queue *behind, bool ordered)
{
    static struct plan *p;
    struct op_desc op = {};
    void *args[] = {a, a, b};
    struct event *ev = nullptr;

    op.kind = OP_ADD;
    op.u.map.n = op.u.map.h = op.u.map.w = 1;
    op.u.map.c = (int)N;
    must(plan_create(dev, &op, &p, nullptr));
    must(event_create(dev, &ev, nullptr));
    if (behind != nullptr && ordered) {
        must(event_record(dev, ev, behind, nullptr));
        must(event_wait(dev, ev, nullptr, nullptr));
    }
    must(plan_run(p, args, nullptr));
    event_destroy(dev, ev);
    plan_destroy(p);
}

/* Upload on a queue, add on another, download; what was left out shows in the numbers. */
int add_up(bool ordered, bool synced)
{
    struct queue *q = nullptr;
    float out[N] = {};
    int right;

    for (size_t i = 0; i < N; i++) {
        host[i] = (float)i;
    }
    must(queue_create(dev, &q, nullptr));
    must(device_upload(dev, q, a, host, sizeof host, nullptr));
    add(q, ordered);
    must(device_download(dev, nullptr, out, b, sizeof out, nullptr));
    if (synced) {
        must(device_sync(dev, nullptr, nullptr));
    }
    right = out[N - 1] == (float)(2 * (N - 1));
    printf("the last sum is %g\n", (double)out[N - 1]);
    must(device_sync(dev, nullptr, nullptr));
    queue_destroy(dev, q);
    return right ? 0 : 1;
}

/* b = a + a on the main queue, then zeros to a on another: in order, or not. */
int clear_behind(bool ordered)
{
    struct queue *q = nullptr;
    struct event *ev = nullptr;
    float out[N] = {};

    for (size_t i = 0; i < N; i++) {
        host[i] = (float)i;
    }
    must(queue_create(dev, &q, nullptr));
    must(event_create(dev, &ev, nullptr));
    must(device_upload(dev, nullptr, a, host, sizeof host, nullptr));
    must(device_sync(dev, nullptr, nullptr));
    add(nullptr, false);
    if (ordered) {
        must(event_record(dev, ev, nullptr, nullptr));
        must(event_wait(dev, ev, q, nullptr));
    }
    must(device_zero(dev, q, a, sizeof host, nullptr));
    must(device_download(dev, nullptr, out, b, sizeof out, nullptr));
    must(device_sync(dev, nullptr, nullptr));
    printf("the last sum is %g\n", (double)out[N - 1]);
    queue_destroy(dev, q);
    event_destroy(dev, ev);
    return out[N - 1] == (float)(2 * (N - 1)) ? 0 : 1;
}

int leak()
{
    device_floats(N);
    return 0;
}

int free_twice()
{
    float *p = device_floats(N);

    device_free(dev, p);
    device_free(dev, p);
    return 0;
}

int use_after_free()
{
    float *p = device_floats(N);

    device_free(dev, p);
    must(device_upload(dev, nullptr, p, host, sizeof host, nullptr));
    must(device_sync(dev, nullptr, nullptr));
    return 0;
}

int touch_from_host()
{
    return *(volatile float *)a > 0 ? 3 : 4;
}

int write_behind_the_end()
{
    must(device_upload(dev, nullptr, a, host, sizeof host, nullptr));
    must(device_zero(dev, nullptr, (char *)a + sizeof host, 8, nullptr));
    return device_sync(dev, nullptr, nullptr);
}

int write_far_behind_the_end()
{
    must(device_zero(dev, nullptr, a, sizeof host + 5000, nullptr));
    return device_sync(dev, nullptr, nullptr);
}

int use_the_default_stream()
{
    return (int)cudaMemsetAsync(a, 0, 4, nullptr);
}

void some_threads_only(int)
{
    if (threadIdx.x < 3) {
        __syncthreads();
    }
}

int sync_in_a_branch()
{
    auto s = static_cast<cudaStream_t>(queue_stream(dev, nullptr));

    LAUNCH(some_threads_only, dim3(1), dim3(8), s, 0);
    return device_sync(dev, nullptr, nullptr);
}

int block_too_large()
{
    auto s = static_cast<cudaStream_t>(queue_stream(dev, nullptr));

    int rc = LAUNCH(some_threads_only, dim3(1), dim3(2048), s, 0);

    printf("%s\n", rc == cudaErrorInvalidConfiguration ? "refused" : "taken");
    return rc == cudaSuccess ? 0 : 1;
}

/* ---- cuDNN ------------------------------------------------------------------------------------ */

using desc = cudnnBackendDescriptor_t;

desc make(cudnnBackendDescriptorType_t type)
{
    desc d = nullptr;

    must(cudnnBackendCreateDescriptor(type, &d) == CUDNN_STATUS_SUCCESS ? RC_OK : RC_LIB);
    return d;
}

void set(desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
         const void *v)
{
    must(cudnnBackendSetAttribute(d, name, type, n, v) == CUDNN_STATUS_SUCCESS ? RC_OK : RC_LIB);
}

desc tensor(int64_t uid, int64_t c, int64_t hw, bool is_virtual)
{
    desc d = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    int64_t dims[] = {2, c, hw, hw}, strides[] = {hw * hw * c, 1, hw * c, c}, align = 16;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;

    set(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    set(d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    set(d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
    set(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    return d;
}

/* y = x + b of (2, 64, 4, 4) and (2, channels, hw, hw): does the fake finalise it? */
int add_shapes(int64_t channels, int64_t hw)
{
    desc what = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    desc op = make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    desc graph = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    desc x = tensor(1, 64, 4, false), y = tensor(2, 64, 4, false), z = tensor(3, channels, hw, false);
    cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    char why[256] = "";

    set(what, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(what, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &what);
    set(op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x);
    set(op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &z);
    set(op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y);
    set(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &op);
    bool refused = cudnnBackendFinalize(graph) != CUDNN_STATUS_SUCCESS;

    cudnnGetLastErrorString(why, sizeof why);
    printf("%s\n", refused ? why : "taken");
    for (desc d : {what, op, graph, x, y, z}) {
        cudnnBackendDestroyDescriptor(d);
    }
    return refused ? 1 : 0;
}

/* ---- NCCL ------------------------------------------------------------------------------------- */

#if HAVE_NCCL
ncclComm_t join()
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId id;
    ncclComm_t c = nullptr;
    ncclResult_t state = ncclInProgress;

    config.blocking = 0;
    must(ncclGetUniqueId(&id) == ncclSuccess ? RC_OK : RC_LIB);
    (void)ncclCommInitRankConfig(&c, 1, id, 0, &config);
    while (state == ncclInProgress) {
        (void)ncclCommGetAsyncError(c, &state);
    }
    return c;
}

int forget_to_ask()
{
    auto s = static_cast<cudaStream_t>(queue_stream(dev, nullptr));
    ncclComm_t c = join();

    (void)ncclAllReduce(a, a, 10, ncclFloat32, ncclSum, c, s);
    (void)ncclAllReduce(a, a, 10, ncclFloat32, ncclSum, c, s);
    return 0;
}

int reduce_behind_the_end()
{
    auto s = static_cast<cudaStream_t>(queue_stream(dev, nullptr));

    (void)ncclAllReduce(a, a, N + 100, ncclFloat32, ncclSum, join(), s);
    return 0;
}

int leave_a_communicator()
{
    (void)join();
    return 0;
}
#endif

struct misdeed {
    const char *name;
    int (*commit)();
};

const misdeed misdeeds[] = {
    {"none", [] { return add_up(true, true) + add_shapes(64, 4) + add_shapes(1, 1); }},
    {"no-sync", [] { return add_up(true, false); }},
    {"no-event", [] { return add_up(false, true); }},
    {"in-order", [] { return clear_behind(true); }},
    {"overtaken", [] { return clear_behind(false); }},
    {"leak", leak},
    {"free-twice", free_twice},
    {"use-after-free", use_after_free},
    {"touch-from-host", touch_from_host},
    {"behind-the-end", write_behind_the_end},
    {"far-behind-the-end", write_far_behind_the_end},
    {"default-stream", use_the_default_stream},
    {"sync-in-a-branch", sync_in_a_branch},
    {"block-too-large", block_too_large},
    {"wrong-channels", [] { return add_shapes(32, 1); }},
    {"wrong-pixels", [] { return add_shapes(64, 2); }},
#if HAVE_NCCL
    {"nccl-not-asked", forget_to_ask},
    {"nccl-behind-the-end", reduce_behind_the_end},
    {"nccl-leak", leave_a_communicator},
#endif
};

} // namespace

int main(int argc, char **argv)
{
    struct err e = {};
    int result = 2;

    if (device_create("cuda", 1, &dev, &e) != RC_OK) {
        fprintf(stderr, "%s\n", e.msg);
        return 2;
    }
    a = device_floats(N);
    b = device_floats(N);
    for (const misdeed &m : misdeeds) {
        if (argc > 1 && strcmp(argv[1], m.name) == 0) {
            result = m.commit();
        }
    }
    device_free(dev, a);
    device_free(dev, b);
    device_destroy(dev);
    return result;
}

/* How long a graph of cuDNN takes on a real device. */
#include "common/base/clock.h"
#include "common/device/cuda_device_impl.h"

enum { TIMED_RUNS = 5 };

size_t cuda_time_weights(const struct op_conv *o)
{
    return (size_t)o->k * (size_t)o->r * (size_t)o->r * (size_t)o->c;
}

size_t cuda_time_rows(const struct op_conv *o)
{
    return (size_t)o->n * (size_t)device_op_conv_out(o, o->h) * (size_t)device_op_conv_out(o, o->w);
}

static bool run_timed(struct cuda_graph *g, void *const at[5], const struct cuda_device *d,
                      int runs)
{
    for (int i = 0; i < runs; i++) {
        if (cuda_graph_run(g, at[0], at[1], at[4], at[2], at[3], NULL) != RC_OK) {
            return false;
        }
    }
    return cudaStreamSynchronize(d->main) == cudaSuccess;
}

/* A graph on zeros in memory of its own. */
bool cuda_time_graph(void *ctx, struct cuda_graph *g, const struct op_desc *op, double *seconds)
{
    struct cuda_device *d = ctx;
    const struct op_conv *o = &op->u.conv;
    const size_t x = (size_t)o->n * (size_t)o->h * (size_t)o->w * (size_t)o->c;
    const size_t y = cuda_time_rows(o) * (size_t)o->k, w = cuda_time_weights(o);
    const size_t counts[3] = {op->kind == OP_CONV_BWD_DATA ? y : x,
                              op->kind == OP_CONV_BWD_WEIGHTS ? y : w,
                              op->kind == OP_CONV            ? y
                              : op->kind == OP_CONV_BWD_DATA ? x
                                                             : w};
    const size_t bytes[5] = {counts[0] * sizeof(float), counts[1] * sizeof(float),
                             counts[2] * sizeof(float), cuda_graph_info(g)->workspace + 1,
                             (size_t)o->k * sizeof(float)};
    void *at[5] = {NULL}; /* inputs, output, workspace, bias */
    bool ok = true;

    for (int i = 0; i < 5 && ok; i++) {
        ok = cudaMalloc(&at[i], bytes[i]) == cudaSuccess &&
             cudaMemsetAsync(at[i], 0, bytes[i], d->main) == cudaSuccess;
    }
    ok = ok && run_timed(g, at, d, 1);
    *seconds = clock_now();
    ok = ok && run_timed(g, at, d, TIMED_RUNS);
    *seconds = (clock_now() - *seconds) / TIMED_RUNS;
    for (int i = 0; i < 5; i++) {
        (void)cudaFree(at[i]);
    }
    (void)cudaGetLastError();
    return ok;
}

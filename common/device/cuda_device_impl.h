/** A GPU of the cuda backend, for the files that call CUDA's runtime. */
#ifndef PRECEPTOR_CUDA_DEVICE_IMPL_H
#define PRECEPTOR_CUDA_DEVICE_IMPL_H

#include <cuda_runtime_api.h>

#include "common/device/cuda_impl.h"

struct cuda_device {
    struct device base;
    int ordinal;
    struct cudaDeviceProp props;
    cudaStream_t main;
    struct cuda_planner *planner;
    void *scratch; /* shared by the plans: cuDNN's workspace, sums, f32 gradients of weights */
    size_t scratch_bytes;
};

/** Elements of a convolution's weights, and pixels of its output. */
size_t cuda_time_weights(const struct op_conv *o);
size_t cuda_time_rows(const struct op_conv *o);
/** A cuda_time_fn; ctx: the cuda_device. The graph runs on zeros in memory of its own. */
bool cuda_time_graph(void *ctx, struct cuda_graph *g, const struct op_desc *op, double *seconds);

#endif

/* What cuda_kernels.cu needs to be compiled for the host by a C++ compiler: CUDA's words, NVIDIA's own
 * bf16 on the host, and launches that fake_cudart.cpp runs late, on a stream's thread. */
#ifndef PRECEPTOR_CUDA_HOST_HPP
#define PRECEPTOR_CUDA_HOST_HPP

#include <cmath>
#include <cstdint>
#include <functional>

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#undef __global__
#undef __device__
#undef __shared__
#define __global__
#define __device__
#define __shared__ static thread_local /* a block runs on one thread */

extern thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

void fake_syncthreads();
#define __syncthreads fake_syncthreads

/* Queue the kernel: its arguments are copied now, as a launch does. */
int fake_launch(dim3 grid, dim3 block, cudaStream_t stream, std::function<void()> thread);
#define LAUNCH(kernel, grid, block, stream, ...)                                                   \
    fake_launch(grid, block, stream, fake_bind(kernel, __VA_ARGS__))

template <class K, class... A> std::function<void()> fake_bind(K kernel, A... args)
{
    return [=]() { kernel(args...); };
}

/* Queue any other work; false: the stream has failed. Shared with fake_cudnn.cpp. */
bool fake_enqueue(cudaStream_t stream, std::function<void()> work);

/* Where in its piece of device memory an address lies; ends the process where it is in none. */
size_t fake_offset(const void *p);

#endif

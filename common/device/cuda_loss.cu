/* The two ends of a network: pixels come in, the loss and its gradient go out. */
#include "common/device/cuda_kernels.cuh"

namespace cuda_kernels {

/* A pixel: (u/255 - mean[c]) / std[c], then zeros up to c_out. */
template <typename T, int C> struct normalize {
    const uint8_t *u;
    T *y;
    int c_in, c_out; /* C: c_out where it is one store, else 0 */
    float mean[4], std[4];

    __device__ float value(size_t i, int c) const
    {
        return c < c_in && c < 4 ? ((float)u[i * (size_t)c_in + (size_t)c] / 255.0f - mean[c]) / std[c]
                        : 0.0f;
    }

    __device__ void apply(size_t i) const
    {
        if constexpr (C > 0) {
            float v[C];

            for (int c = 0; c < C; c++) {
                v[c] = value(i, c);
            }
            save<T, C>(y + i * C, v);
        } else {
            for (int c = 0; c < c_out; c++) {
                put(y + i * (size_t)c_out + (size_t)c, value(i, c));
            }
        }
    }
};

/* ---- the loss: a block a row ------------------------------------------------------------------ */

template <typename T> struct loss_args {
    const T *logits;
    const float *target, *weight;
    float *loss;
    T *dlogits;
    float *prob;
    size_t n, classes;
};

/* log of the sum of exponentials of a row; every thread gets it. Uses part before and after a sync. */
template <typename T>
__device__ inline float log_sum_exp(const T *row, size_t classes, float *part, float *part2)
{
    float most = -INFINITY, sum = 0;
    bool nan = false;

    for (size_t i = threadIdx.x; i < classes; i += blockDim.x) {
        float v = get(row + i);

        nan |= v != v;
        most = fmaxf(most, v);
    }
    part[threadIdx.x] = nan ? NAN : most;
    __syncthreads();
    for (unsigned q = 0; q < blockDim.x; q++) {
        nan |= part[q] != part[q];
        most = fmaxf(most, part[q]);
    }
    most = nan ? NAN : most;
    for (size_t i = threadIdx.x; i < classes; i += blockDim.x) {
        sum += expf(get(row + i) - most);
    }
    part2[threadIdx.x] = sum;
    __syncthreads();
    sum = 0;
    for (unsigned q = 0; q < blockDim.x; q++) {
        sum += part2[q];
    }
    return most + logf(sum);
}

template <typename T> __global__ void softmax_ce(loss_args<T> a)
{
    __shared__ float part[BLOCK], part2[BLOCK], mass[BLOCK], cost[BLOCK];

    for (size_t n = blockIdx.x; n < a.n; n += gridDim.x) {
        const T *row = a.logits + n * a.classes;
        const float *target = a.target + n * a.classes;
        float lse = log_sum_exp(row, a.classes, part, part2), m = 0, c = 0;

        for (size_t i = threadIdx.x; i < a.classes; i += blockDim.x) {
            float t = target[i];

            m += t;
            c -= t != 0 ? t * (get(row + i) - lse) : 0;
        }
        mass[threadIdx.x] = m;
        cost[threadIdx.x] = c;
        __syncthreads();
        m = 0;
        for (unsigned q = 0; q < blockDim.x; q++) {
            m += mass[q];
        }
        if (threadIdx.x == 0) {
            c = 0;
            for (unsigned q = 0; q < blockDim.x; q++) {
                c += cost[q];
            }
            a.loss[n] = a.weight[n] * c;
        }
        for (size_t i = threadIdx.x; i < a.classes; i += blockDim.x) {
            float p = expf(get(row + i) - lse);

            if (a.dlogits != nullptr) {
                put(a.dlogits + n * a.classes + i, a.weight[n] * (p * m - target[i]));
            }
            if (a.prob != nullptr) {
                a.prob[n * a.classes + i] = p;
            }
        }
        __syncthreads();
    }
}

template <typename T> static int run_loss_of(const run &r)
{
    const op_loss &o = r.op->u.loss;
    loss_args<T> a = {r.at<const T>(0), r.at<const float>(1), r.at<const float>(2), r.at<float>(3),
                      r.at<T>(4),       r.at<float>(5),       (size_t)o.n,          (size_t)o.classes};

    return LAUNCH(softmax_ce<T>, dim3(least(a.n, GRID_MAX)), dim3(BLOCK), r.stream, a);
}

int run_loss(const run &r)
{
    return r.op->u.loss.type == DT_BF16 ? run_loss_of<bf16>(r) : run_loss_of<float>(r);
}

template <typename T, int C> static int run_pixels_of(const run &r)
{
    const op_normalize &o = r.op->u.normalize;
    normalize<T, C> f = {r.at<const uint8_t>(0), r.at<T>(1), o.c_in, o.c_out, {}, {}};

    for (int c = 0; c < 4; c++) {
        f.mean[c] = o.mean[c];
        f.std[c] = o.std[c];
    }
    return run_each(f, (size_t)o.n * (size_t)o.h * (size_t)o.w, r.stream);
}

int run_pixels(const run &r, bool is_aligned)
{
    const op_normalize &o = r.op->u.normalize;

    if (o.type == DT_BF16) {
        return is_aligned && o.c_out == 8 ? run_pixels_of<bf16, 8>(r) : run_pixels_of<bf16, 0>(r);
    }
    return is_aligned && o.c_out == 4 ? run_pixels_of<float, 4>(r) : run_pixels_of<float, 0>(r);
}

} // namespace cuda_kernels

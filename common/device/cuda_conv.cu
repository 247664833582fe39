/* What goes with cuDNN's convolutions: packed weights, bias and ReLU apart, gradients that are added to. */
#include "common/device/cuda_kernels.cuh"

namespace cuda_kernels {

/* out[k, tap, c] = weights[k, tap, c] * scale[k], 0 for the channels beyond c_weights */
template <typename T> struct pack_weights {
    const float *weights, *scale;
    T *out;
    size_t c, c_weights, taps;

    __device__ void apply(size_t i) const
    {
        size_t at = i % c, row = i / c; /* row: k, tap */
        float v = at < c_weights ? weights[row * c_weights + at] : 0.0f;

        put(out + i, scale != nullptr ? v * scale[row / taps] : v);
    }
};

struct add_weights {
    const float *f;
    float *dw;
    size_t c, c_weights;

    __device__ void apply(size_t i) const
    {
        dw[i] += f[i / c_weights * c + i % c_weights];
    }
};

struct join_bias {
    const float *partial;
    float *db;
    size_t chunks, c;

    __device__ void apply(size_t i) const
    {
        double sum[1];

        total<1>(partial, 0, chunks, i, c, sum);
        db[i] += (float)sum[0];
    }
};

template <typename T, int W>
static int run_bias(const void *dy, float *db, table t, float *scratch, cudaStream_t s)
{
    int rc = run_sums(plain_sum<T, W>{static_cast<const T *>(dy)}, t, scratch, s);

    return rc != 0 ? rc : run_each(join_bias{scratch, db, cut_of(t, W).chunks, t.c}, t.c, s);
}

template <typename T> static int run_bias_typed(void *dy, float *db, table t, float *scratch,
                                                cudaStream_t s)
{
    enum { FULL = 16 / sizeof(T) };

    return all_aligned(&dy, 1) && t.c % FULL == 0 ? run_bias<T, FULL>(dy, db, t, scratch, s)
                                                  : run_bias<T, 1>(dy, db, t, scratch, s);
}

} // namespace cuda_kernels

using namespace cuda_kernels;

int cuda_kernels_pack(const struct op_conv *o, const float *weights, const float *scale, void *out,
                      struct CUstream_st *stream)
{
    size_t taps = (size_t)o->r * (size_t)o->r, c = (size_t)o->c, c_weights = (size_t)o->c_weights;
    size_t n = (size_t)o->k * taps * c;

    if (o->type == DT_BF16) {
        return run_each(
            pack_weights<bf16>{weights, scale, static_cast<bf16 *>(out), c, c_weights, taps}, n,
            stream);
    }
    return run_each(pack_weights<float>{weights, scale, static_cast<float *>(out), c, c_weights, taps},
                    n, stream);
}

int cuda_kernels_bias_act(const struct op_conv *o, size_t rows, const float *bias, void *y,
                          struct CUstream_st *stream)
{
    return run_affine(o->wide ? DT_F32 : o->type, y, nullptr, bias, y, o->relu,
                      table{1, rows, (size_t)o->k}, stream);
}

int cuda_kernels_add_weights(const struct op_conv *o, const float *f, float *dw,
                             struct CUstream_st *stream)
{
    size_t c = (size_t)o->c, c_weights = (size_t)o->c_weights;

    return run_each(add_weights{f, dw, c, c_weights},
                    (size_t)o->k * (size_t)o->r * (size_t)o->r * c_weights, stream);
}

int cuda_kernels_add_bias(const struct op_conv *o, size_t rows, const void *dy, float *db,
                          void *scratch, struct CUstream_st *stream)
{
    table t = {1, rows, (size_t)o->k};
    float *sums_of = static_cast<float *>(scratch);
    void *p = const_cast<void *>(dy);

    return o->type == DT_BF16 ? run_bias_typed<bf16>(p, db, t, sums_of, stream)
                              : run_bias_typed<float>(p, db, t, sums_of, stream);
}

size_t cuda_kernels_bias_scratch_bytes(const struct op_conv *o, size_t rows)
{
    return sums_bytes(table{1, rows, (size_t)o->k}, 1);
}

/* What the cuda backend's own kernels share.
 *
 * Four shapes of kernel carry them all. `each` walks elements; `rows` walks rows of channels, so
 * that a thread's channels stay the same and what belongs to them is loaded once; `sums` adds over
 * the rows of a segment (an image, or the whole tensor) in chunks; a join, an `each` over channels,
 * adds the chunks, in f64 and in order, so results repeat. A functor says what is done with an
 * element. How a segment is cut depends on its own shape alone, so an image gets the same bits in any
 * batch.
 *
 * Compiled by nvcc; the tests compile the same files for the host (tests/fakes/cuda_host.hpp). */
#ifndef PRECEPTOR_CUDA_KERNELS_CUH
#define PRECEPTOR_CUDA_KERNELS_CUH

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_runtime.h>

/* kernel<<<grid, block, 0, stream>>>(args...) and whether it could start */
#define LAUNCH(kernel, grid, block, stream, ...)                                                   \
    (kernel<<<grid, block, 0, stream>>>(__VA_ARGS__), (int)cudaGetLastError())
#else
#include "tests/fakes/cuda_host.hpp"
#endif

#include <stdint.h>

#include "common/device/cuda_impl.h"

namespace cuda_kernels {

using bf16 = __nv_bfloat16;

enum { BLOCK = 256, WARP = 32, GRID_MAX = 4096, CHUNKS_MAX = 512, IMAGE_CHUNKS_MAX = 16, SQUARES_BLOCKS = 512 };

__device__ inline float get(const float *p)
{
    return *p;
}

__device__ inline float get(const bf16 *p)
{
    return __bfloat162float(*p);
}

__device__ inline void put(float *p, float v)
{
    *p = v;
}

__device__ inline void put(bf16 *p, float v)
{
    *p = __float2bfloat16_rn(v);
}

/* W neighbours, loaded and stored in one go where W * sizeof(T) is 16. */
template <typename T, int W> struct alignas(sizeof(T) * W) pack {
    T v[W];
};

template <typename T, int W> __device__ inline void load(const T *p, float v[W])
{
    pack<T, W> q = *reinterpret_cast<const pack<T, W> *>(p);

    for (int j = 0; j < W; j++) {
        v[j] = get(&q.v[j]);
    }
}

template <typename T, int W> __device__ inline void save(T *p, const float v[W])
{
    pack<T, W> q;

    for (int j = 0; j < W; j++) {
        put(&q.v[j], v[j]);
    }
    *reinterpret_cast<pack<T, W> *>(p) = q;
}

/* m floats that may be wider than 16 bytes */
template <int W> __device__ inline void load_wide(const float *p, float v[W])
{
    for (int j = 0; j < W; j++) {
        v[j] = p[j];
    }
}

/* ---- each: elements ------------------------------------------------------------------------- */

template <class F> __global__ void each(F f, size_t n)
{
    size_t step = (size_t)gridDim.x * blockDim.x;

    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        f.apply(i);
    }
}

inline unsigned blocks_for(size_t threads, unsigned most)
{
    size_t n = (threads + BLOCK - 1) / BLOCK;

    return n > most ? most : n > 0 ? (unsigned)n : 1;
}

template <class F> int run_each(const F &f, size_t n, cudaStream_t s)
{
    return LAUNCH(each<F>, dim3(blocks_for(n, GRID_MAX)), dim3(BLOCK), s, f, n);
}

/* ---- rows: a thread's channels stay the same -------------------------------------------------- */

/* segments x rows x c values, c in vectors of W */
struct table {
    size_t segments, rows, c;
};

template <class F> __global__ void rows(F f, table t)
{
    size_t c = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * F::WIDTH;

    if (c >= t.c) {
        return;
    }
    for (size_t s = blockIdx.z; s < t.segments; s += gridDim.z) {
        typename F::channels k = f.begin(s, c);

        for (size_t r = (size_t)blockIdx.y * blockDim.y + threadIdx.y; r < t.rows;
             r += (size_t)gridDim.y * blockDim.y) {
            f.apply(k, s, r, (s * t.rows + r) * t.c + c);
        }
    }
}

/* As many lanes over the channels as they fill, the rest over rows. */
inline dim3 lanes(size_t vectors)
{
    unsigned x = 1;

    while (x < WARP && x < vectors) {
        x *= 2;
    }
    return dim3(x, BLOCK / x);
}

inline unsigned least(size_t a, size_t b)
{
    return (unsigned)(a < b ? a : b);
}

template <class F> int run_rows(const F &f, table t, cudaStream_t s)
{
    size_t vectors = t.c / F::WIDTH;
    dim3 block = lanes(vectors);
    unsigned x = (unsigned)((vectors + block.x - 1) / block.x), z = least(t.segments, 65535);
    size_t most = GRID_MAX / ((size_t)x * z) + 1;
    dim3 grid(x, least(most, (t.rows + block.y - 1) / block.y), z);

    return LAUNCH(rows<F>, grid, block, s, f, t);
}

struct nothing {};

template <int W> struct factors {
    float v[W];
};

/* ---- sums over the rows of a segment ---------------------------------------------------------- */

/* partial[segment, chunk, sum, c] */
template <class F> __global__ void sums(F f, table t, size_t chunk, float *partial)
{
    enum { N = F::SUMS, W = F::WIDTH };
    __shared__ float part[BLOCK][N * W];
    size_t c = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * W;
    unsigned self = threadIdx.y * blockDim.x + threadIdx.x;

    for (size_t s = blockIdx.z; s < t.segments; s += gridDim.z) {
        size_t from = blockIdx.y * chunk, to = from + chunk < t.rows ? from + chunk : t.rows;
        float sum[N * W] = {};

        if (c < t.c) {
            typename F::channels k = f.begin(s, c);

            for (size_t r = from + threadIdx.y; r < to; r += blockDim.y) {
                f.apply(k, (s * t.rows + r) * t.c + c, sum);
            }
        }
        for (int j = 0; j < N * W; j++) {
            part[self][j] = sum[j];
        }
        __syncthreads();
        for (unsigned q = self; c < t.c && threadIdx.y == 0 && q < BLOCK; q += blockDim.x) {
            for (int j = 0; j < N * W && q != self; j++) {
                sum[j] += part[q][j];
            }
        }
        for (int j = 0; j < N * W && c < t.c && threadIdx.y == 0; j++) {
            size_t row = (s * gridDim.y + blockIdx.y) * N + (size_t)(j / W);

            partial[row * t.c + c + (size_t)(j % W)] = sum[j];
        }
        __syncthreads();
    }
}

/* The chunks' sums of one segment and channel. */
template <int N>
__device__ inline void total(const float *partial, size_t segment, size_t chunks, size_t c,
                             size_t all, double sum[N])
{
    for (int j = 0; j < N; j++) {
        sum[j] = 0;
    }
    for (size_t i = 0; i < chunks; i++) {
        for (int j = 0; j < N; j++) {
            sum[j] += (double)partial[((segment * chunks + i) * N + (size_t)j) * all + c];
        }
    }
}

/* How a table is summed: rows a chunk, and chunks. */
struct cut {
    size_t chunk, chunks;
};

inline cut cut_of(table t, int width)
{
    size_t vectors = (t.c + (size_t)width - 1) / (size_t)width, chunks;
    dim3 block = lanes(vectors);
    size_t x = (vectors + block.x - 1) / block.x, enough = (t.rows + 8 * block.y - 1) / (8 * block.y);
    size_t most = t.segments == 1 ? CHUNKS_MAX / x + 1 : (size_t)IMAGE_CHUNKS_MAX;
    cut k;

    chunks = enough < most ? enough : most;
    k.chunk = (t.rows + chunks - 1) / chunks;
    k.chunks = (t.rows + k.chunk - 1) / k.chunk;
    return k;
}

template <class F> int run_sums(const F &f, table t, float *partial, cudaStream_t s)
{
    size_t vectors = t.c / F::WIDTH;
    dim3 block = lanes(vectors);
    cut k = cut_of(t, F::WIDTH);
    dim3 grid((unsigned)((vectors + block.x - 1) / block.x), (unsigned)k.chunks,
              least(t.segments, 65535));

    return LAUNCH(sums<F>, grid, block, s, f, t, k.chunk, partial);
}

template <typename T, int W> struct plain_sum {
    enum { WIDTH = W, SUMS = 1 };
    using channels = nothing;
    const T *x;

    __device__ channels begin(size_t, size_t) const
    {
        return {};
    }

    __device__ void apply(const channels &, size_t at, float *sum) const
    {
        float v[W];

        load<T, W>(x + at, v);
        for (int j = 0; j < W; j++) {
            sum[j] += v[j];
        }
    }
};

/* ---- operations ------------------------------------------------------------------------------- */

/* Where the arguments lie and in which pieces they can be read. */
struct run {
    const op_desc *op;
    void *const *args;
    float *scratch;
    cudaStream_t stream;

    template <typename T> T *at(int i) const
    {
        return static_cast<T *>(args[i]);
    }
};

inline table table_of(const op_map &o, bool by_image)
{
    size_t pixels = (size_t)o.h * (size_t)o.w, n = (size_t)o.n, c = (size_t)o.c;

    return by_image ? table{n, pixels, c} : table{1, n * pixels, c};
}

inline bool all_aligned(void *const args[], int n)
{
    uintptr_t bits = 0;

    for (int i = 0; i < n; i++) {
        bits |= reinterpret_cast<uintptr_t>(args[i]);
    }
    return bits % CUDA_ALIGN == 0;
}

/* Scratch of sums over t: the narrowest cut has the most chunks. */
inline size_t sums_bytes(table t, size_t n)
{
    size_t one = cut_of(t, 1).chunks, four = cut_of(t, 4).chunks, eight = cut_of(t, 8).chunks;
    size_t chunks = one > four ? one : four;

    chunks = chunks > eight ? chunks : eight;
    return (t.segments * chunks + 1) * n * t.c * sizeof(float);
}

/* F<T, W>::go for the type and the widest vectors that the addresses and `count` allow. */
template <template <typename, int> class F>
int by_width(const run &r, dtype type, bool is_aligned, size_t count)
{
    enum { WIDE = 16 / sizeof(float), NARROW = 16 / sizeof(bf16) };

    if (type == DT_BF16) {
        return is_aligned && count % NARROW == 0 ? F<bf16, NARROW>::go(r) : F<bf16, 1>::go(r);
    }
    return is_aligned && count % WIDE == 0 ? F<float, WIDE>::go(r) : F<float, 1>::go(r);
}

/* ---- the files -------------------------------------------------------------------------------- */

int run_elements(const run &r, bool is_aligned); /* cuda_map.cu: element by element, flat ranges */
int run_norm(const run &r, bool is_aligned);     /* cuda_norm.cu: batch norm */
int run_pool(const run &r, bool is_aligned);     /* cuda_pool.cu: pooling, gates */
int run_loss(const run &r);                      /* cuda_loss.cu */
int run_pixels(const run &r, bool is_aligned);   /* cuda_loss.cu: the two ends of a network */

/* y = act(scale[c] * x + shift[c]) over t; scale or shift NULL: 1 or 0 (cuda_norm.cu) */
int run_affine(dtype type, const void *x, const float *scale, const float *shift, void *y, bool relu,
               table t, cudaStream_t s);

} // namespace cuda_kernels

#endif

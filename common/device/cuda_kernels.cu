/* The cuda backend's own kernels: every operation but the convolutions.
 *
 * Four shapes of kernel carry them all. `each` walks elements; `rows` walks rows of channels, so
 * that a thread's channels stay the same and what belongs to them is loaded once; `sums` adds over
 * the rows of a segment (an image, or the whole tensor) in chunks; `join` adds the chunks, in f64
 * and in order, so results repeat. A functor says what is done with an element.
 * How a segment is cut depends on its own shape alone, so an image gets the same bits in any batch.
 *
 * Compiled by nvcc; the tests compile the same file for the host (tests/fakes/cuda_host.hpp). */
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

enum { BLOCK = 256, WARP = 32, GRID_MAX = 4096, CHUNKS_MAX = 512, IMAGE_CHUNKS_MAX = 16 };

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

static unsigned blocks_for(size_t threads, unsigned most)
{
    size_t n = (threads + BLOCK - 1) / BLOCK;

    return n > most ? most : n > 0 ? (unsigned)n : 1;
}

template <class F> static int run_each(const F &f, size_t n, cudaStream_t s)
{
    return LAUNCH(each<F>, dim3(blocks_for(n, GRID_MAX)), dim3(BLOCK), s, f, n);
}

template <typename T, int W> struct relu_bwd {
    const T *y, *dy;
    T *dx;

    __device__ void apply(size_t i) const
    {
        float a[W], g[W];

        load<T, W>(y + i * W, a);
        load<T, W>(dy + i * W, g);
        for (int j = 0; j < W; j++) {
            g[j] = a[j] > 0 ? g[j] : 0;
        }
        save<T, W>(dx + i * W, g);
    }
};

template <typename T, int W> struct sigmoid {
    const T *x;
    T *y;

    __device__ void apply(size_t i) const
    {
        float v[W];

        load<T, W>(x + i * W, v);
        for (int j = 0; j < W; j++) {
            v[j] = 1 / (1 + expf(-v[j]));
        }
        save<T, W>(y + i * W, v);
    }
};

template <typename T, int W> struct sigmoid_bwd {
    const T *y, *dy;
    T *dx;

    __device__ void apply(size_t i) const
    {
        float a[W], g[W];

        load<T, W>(y + i * W, a);
        load<T, W>(dy + i * W, g);
        for (int j = 0; j < W; j++) {
            g[j] *= a[j] * (1 - a[j]);
        }
        save<T, W>(dx + i * W, g);
    }
};

template <typename T, int W> struct mul_row {
    const T *x;
    const float *m;
    T *y;

    __device__ void apply(size_t i) const
    {
        float a[W], b[W];

        load<T, W>(x + i * W, a);
        load_wide<W>(m + i * W, b);
        for (int j = 0; j < W; j++) {
            a[j] *= b[j];
        }
        save<T, W>(y + i * W, a);
    }
};

template <typename T, int W> struct add {
    const T *a, *b;
    T *y;

    __device__ void apply(size_t i) const
    {
        float p[W], q[W];

        load<T, W>(a + i * W, p);
        load<T, W>(b + i * W, q);
        for (int j = 0; j < W; j++) {
            p[j] += q[j];
        }
        save<T, W>(y + i * W, p);
    }
};

/* g = grad*scale + wd*w; m = mu*m + g; w -= lr*(nesterov ? g + mu*m : m); ema += (1-decay)*(w-ema) */
template <int W> struct sgd {
    float *w;
    const float *grad;
    float *m, *ema;
    float lr, wd, scale, rest, mu; /* rest: 1 - decay */
    bool nesterov;

    __device__ void apply(size_t i) const
    {
        float a[W], g[W], v[W], e[W];

        load<float, W>(w + i * W, a);
        load<float, W>(grad + i * W, g);
        load<float, W>(m + i * W, v);
        for (int j = 0; j < W; j++) {
            g[j] = g[j] * scale + wd * a[j];
            v[j] = mu * v[j] + g[j];
            a[j] -= lr * (nesterov ? g[j] + mu * v[j] : v[j]);
        }
        save<float, W>(m + i * W, v);
        save<float, W>(w + i * W, a);
        if (ema != nullptr) {
            load<float, W>(ema + i * W, e);
            for (int j = 0; j < W; j++) {
                e[j] += rest * (a[j] - e[j]);
            }
            save<float, W>(ema + i * W, e);
        }
    }
};

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
static dim3 lanes(size_t vectors)
{
    unsigned x = 1;

    while (x < WARP && x < vectors) {
        x *= 2;
    }
    return dim3(x, BLOCK / x);
}

static unsigned least(size_t a, size_t b)
{
    return (unsigned)(a < b ? a : b);
}

template <class F> static int run_rows(const F &f, table t, cudaStream_t s)
{
    size_t vectors = t.c / F::WIDTH;
    dim3 block = lanes(vectors);
    unsigned x = (unsigned)((vectors + block.x - 1) / block.x), z = least(t.segments, 65535);
    size_t most = GRID_MAX / ((size_t)x * z) + 1;
    dim3 grid(x, least(most, (t.rows + block.y - 1) / block.y), z);

    return LAUNCH(rows<F>, grid, block, s, f, t);
}

struct nothing {};

/* y = act(scale[c] * x + shift[c]); scale or shift NULL: 1 or 0 */
template <typename T, int W> struct affine {
    enum { WIDTH = W };
    struct channels {
        float scale[W], shift[W];
    };
    const T *x;
    const float *scale, *shift;
    T *y;
    bool relu;

    __device__ channels begin(size_t, size_t c) const
    {
        channels k;

        for (int j = 0; j < W; j++) {
            k.scale[j] = scale != nullptr ? scale[c + j] : 1.0f;
            k.shift[j] = shift != nullptr ? shift[c + j] : 0.0f;
        }
        return k;
    }

    __device__ void apply(const channels &k, size_t, size_t, size_t at) const
    {
        float v[W];

        load<T, W>(x + at, v);
        for (int j = 0; j < W; j++) {
            v[j] = fmaf(k.scale[j], v[j], k.shift[j]);
            v[j] = relu && v[j] < 0 ? 0 : v[j];
        }
        save<T, W>(y + at, v);
    }
};

/* What OP_BN_ACT leaves: mean, rstd and beta, (c) floats each. */
struct bn_saved {
    const float *mean, *rstd, *beta;
};

static bn_saved saved_at(const void *p, int c)
{
    const float *f = static_cast<const float *>(p);

    return {f, f + c, f + 2 * (size_t)c};
}

template <int W> struct bn_channels {
    float mean[W], rstd[W], scale[W], beta[W];
};

template <int W>
__device__ inline bn_channels<W> bn_begin(const bn_saved &s, const float *gamma, size_t c)
{
    bn_channels<W> k;

    for (int j = 0; j < W; j++) {
        k.mean[j] = s.mean[c + j];
        k.rstd[j] = s.rstd[c + j];
        k.scale[j] = gamma[c + j] * k.rstd[j];
        k.beta[j] = s.beta[c + j];
    }
    return k;
}

/* y = act(scale * (x - mean) + beta) */
template <typename T, int W> struct bn_act {
    enum { WIDTH = W };
    using channels = bn_channels<W>;
    const T *x;
    const float *gamma;
    bn_saved saved;
    T *y;
    bool relu;

    __device__ channels begin(size_t, size_t c) const
    {
        return bn_begin<W>(saved, gamma, c);
    }

    __device__ void apply(const channels &k, size_t, size_t, size_t at) const
    {
        float v[W];

        load<T, W>(x + at, v);
        for (int j = 0; j < W; j++) {
            v[j] = fmaf(k.scale[j], v[j] - k.mean[j], k.beta[j]);
            v[j] = relu && v[j] < 0 ? 0 : v[j];
        }
        save<T, W>(y + at, v);
    }
};

/* x - mean and dy where the ReLU was open */
template <typename T, int W>
__device__ inline void bn_load(const bn_channels<W> &k, const T *x, const T *dy, size_t at,
                               bool relu, float d[W], float g[W])
{
    load<T, W>(x + at, d);
    load<T, W>(dy + at, g);
    for (int j = 0; j < W; j++) {
        d[j] -= k.mean[j];
        g[j] = relu && fmaf(k.scale[j], d[j], k.beta[j]) <= 0 ? 0 : g[j];
    }
}

/* dx = scale * (g - mean_g - xhat * mean_gx) */
template <typename T, int W> struct bn_act_bwd {
    enum { WIDTH = W };
    struct channels {
        bn_channels<W> bn;
        float mean_g[W], mean_gx[W];
    };
    const T *x, *dy;
    const float *gamma;
    bn_saved saved;
    const float *means; /* (c) of g, (c) of g * xhat */
    T *dx;
    size_t c;
    bool relu;

    __device__ channels begin(size_t, size_t at) const
    {
        channels k;

        k.bn = bn_begin<W>(saved, gamma, at);
        for (int j = 0; j < W; j++) {
            k.mean_g[j] = means[at + j];
            k.mean_gx[j] = means[c + at + j];
        }
        return k;
    }

    __device__ void apply(const channels &k, size_t, size_t, size_t at) const
    {
        float d[W], g[W];

        bn_load<T, W>(k.bn, x, dy, at, relu, d, g);
        for (int j = 0; j < W; j++) {
            g[j] = k.bn.scale[j] * (g[j] - k.mean_g[j] - d[j] * k.bn.rstd[j] * k.mean_gx[j]);
        }
        save<T, W>(dx + at, g);
    }
};

template <int W> struct factors {
    float v[W];
};

/* gate[n,c] * keep[n], 1 for what is not given */
template <typename T, int W>
__device__ inline factors<W> factors_of(const T *gate, const float *keep, size_t n, size_t c,
                                        size_t all)
{
    factors<W> k;
    float f = keep != nullptr ? keep[n] : 1.0f;

    for (int j = 0; j < W; j++) {
        k.v[j] = gate != nullptr ? get(gate + n * all + c + j) * f : f;
    }
    return k;
}

/* y = relu(gate * keep * x + shortcut); segments are images */
template <typename T, int W> struct gate_add_act {
    enum { WIDTH = W };
    using channels = factors<W>;
    const T *x, *shortcut, *gate;
    const float *keep;
    T *y;
    size_t c;

    __device__ channels begin(size_t n, size_t at) const
    {
        return factors_of<T, W>(gate, keep, n, at, c);
    }

    __device__ void apply(const channels &k, size_t, size_t, size_t at) const
    {
        float v[W], q[W];

        load<T, W>(x + at, v);
        load<T, W>(shortcut + at, q);
        for (int j = 0; j < W; j++) {
            v[j] = fmaf(k.v[j], v[j], q[j]);
            v[j] = v[j] < 0 ? 0 : v[j];
        }
        save<T, W>(y + at, v);
    }
};

/* dx[n,h,w,c] = dy[n,c] / pixels */
template <typename T, int W> struct global_pool_bwd {
    enum { WIDTH = W };
    using channels = factors<W>;
    const T *dy;
    T *dx;
    size_t c;
    float pixels;

    __device__ channels begin(size_t n, size_t at) const
    {
        channels k;

        for (int j = 0; j < W; j++) {
            k.v[j] = get(dy + n * c + at + j) / pixels;
        }
        return k;
    }

    __device__ void apply(const channels &k, size_t, size_t, size_t at) const
    {
        save<T, W>(dx + at, k.v);
    }
};

/* Pixels that output pixel (y, x) of a 2x2 pool over (h, w) averages. */
__device__ inline int window(int h, int w, int y, int x)
{
    return (2 * y + 1 < h ? 2 : 1) * (2 * x + 1 < w ? 2 : 1);
}

/* Rows are output pixels. */
template <typename T, int W> struct avg_pool2 {
    enum { WIDTH = W };
    struct channels {
        size_t c;
    };
    const T *x;
    T *y;
    int h, w;
    size_t c;

    __device__ channels begin(size_t, size_t at) const
    {
        return {at};
    }

    __device__ void apply(const channels &k, size_t n, size_t r, size_t at) const
    {
        int ow = (w + 1) / 2, oy = (int)(r / (size_t)ow), ox = (int)(r % (size_t)ow);
        float sum[W] = {}, v[W];

        for (int i = 2 * oy; i < 2 * oy + 2 && i < h; i++) {
            for (int j = 2 * ox; j < 2 * ox + 2 && j < w; j++) {
                load<T, W>(x + ((n * h + i) * w + j) * c + k.c, v);
                for (int q = 0; q < W; q++) {
                    sum[q] += v[q];
                }
            }
        }
        for (int q = 0; q < W; q++) {
            sum[q] /= (float)window(h, w, oy, ox);
        }
        save<T, W>(y + at, sum);
    }
};

/* Rows are input pixels. */
template <typename T, int W> struct avg_pool2_bwd {
    enum { WIDTH = W };
    struct channels {
        size_t c;
    };
    const T *dy;
    T *dx;
    int h, w;
    size_t c;

    __device__ channels begin(size_t, size_t at) const
    {
        return {at};
    }

    __device__ void apply(const channels &k, size_t n, size_t r, size_t at) const
    {
        int i = (int)(r / (size_t)w) / 2, j = (int)(r % (size_t)w) / 2;
        int oh = (h + 1) / 2, ow = (w + 1) / 2;
        float v[W];

        load<T, W>(dy + ((n * oh + i) * ow + j) * c + k.c, v);
        for (int q = 0; q < W; q++) {
            v[q] /= (float)window(h, w, i, j);
        }
        save<T, W>(dx + at, v);
    }
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

static cut cut_of(table t, int width)
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

template <class F> static int run_sums(const F &f, table t, float *partial, cudaStream_t s)
{
    size_t vectors = t.c / F::WIDTH;
    dim3 block = lanes(vectors);
    cut k = cut_of(t, F::WIDTH);
    dim3 grid((unsigned)((vectors + block.x - 1) / block.x), (unsigned)k.chunks,
              least(t.segments, 65535));

    return LAUNCH(sums<F>, grid, block, s, f, t, k.chunk, partial);
}

/* x - pivot and its square; the pivot, the first row, keeps the square's sum near the variance's */
template <typename T, int W> struct moments {
    enum { WIDTH = W, SUMS = 2 };
    using channels = factors<W>;
    const T *x;

    __device__ channels begin(size_t, size_t c) const
    {
        channels k;

        load<T, W>(x + c, k.v);
        return k;
    }

    __device__ void apply(const channels &k, size_t at, float *sum) const
    {
        float v[W];

        load<T, W>(x + at, v);
        for (int j = 0; j < W; j++) {
            float d = v[j] - k.v[j];

            sum[j] += d;
            sum[W + j] = fmaf(d, d, sum[W + j]);
        }
    }
};

/* g and g * xhat */
template <typename T, int W> struct bn_gradients {
    enum { WIDTH = W, SUMS = 2 };
    using channels = bn_channels<W>;
    const T *x, *dy;
    const float *gamma;
    bn_saved saved;
    bool relu;

    __device__ channels begin(size_t, size_t c) const
    {
        return bn_begin<W>(saved, gamma, c);
    }

    __device__ void apply(const channels &k, size_t at, float *sum) const
    {
        float d[W], g[W];

        bn_load<T, W>(k, x, dy, at, relu, d, g);
        for (int j = 0; j < W; j++) {
            sum[j] += g[j];
            sum[W + j] = fmaf(g[j], d[j] * k.rstd[j], sum[W + j]);
        }
    }
};

/* With g = dy * (y > 0): dx = gate * keep * g, dshortcut = g, and the sum of x * g. */
template <typename T, int W> struct gate_add_act_bwd {
    enum { WIDTH = W, SUMS = 1 };
    using channels = factors<W>;
    const T *x, *y, *dy, *gate;
    const float *keep;
    T *dx, *dshortcut;
    size_t c;

    __device__ channels begin(size_t n, size_t at) const
    {
        return factors_of<T, W>(gate, keep, n, at, c);
    }

    __device__ void apply(const channels &k, size_t at, float *sum) const
    {
        float v[W], a[W], g[W];

        load<T, W>(x + at, v);
        load<T, W>(y + at, a);
        load<T, W>(dy + at, g);
        for (int j = 0; j < W; j++) {
            g[j] = a[j] > 0 ? g[j] : 0;
            sum[j] = fmaf(v[j], g[j], sum[j]);
            v[j] = k.v[j] * g[j];
        }
        save<T, W>(dx + at, v);
        save<T, W>(dshortcut + at, g);
    }
};

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

/* ---- joins: what becomes of the sums ---------------------------------------------------------- */

/* i: a channel */
template <typename T> struct join_moments {
    const T *x; /* the pivots */
    const float *partial, *beta;
    float *mean, *var, *saved;
    size_t chunks, c;
    double rows, eps;

    __device__ void apply(size_t i) const
    {
        double sum[2], m, v;

        total<2>(partial, 0, chunks, i, c, sum);
        m = sum[0] / rows;
        v = sum[1] / rows - m * m;
        v = v > 0 ? v : v != v ? v : 0;
        m += (double)get(x + i);
        mean[i] = (float)m;
        var[i] = (float)v;
        saved[i] = (float)m;
        saved[c + i] = (float)(1 / sqrt(v + eps));
        saved[2 * c + i] = beta[i];
    }
};

struct join_gradients {
    const float *partial;
    float *dgamma, *dbeta, *means;
    size_t chunks, c;
    double rows;

    __device__ void apply(size_t i) const
    {
        double sum[2];

        total<2>(partial, 0, chunks, i, c, sum);
        dbeta[i] += (float)sum[0];
        dgamma[i] += (float)sum[1];
        means[i] = (float)(sum[0] / rows);
        means[c + i] = (float)(sum[1] / rows);
    }
};

/* i: an image and a channel; out = factor * keep[n] * sum */
template <typename T> struct join_images {
    const float *partial, *keep;
    T *out;
    size_t chunks, c;
    double divisor;

    __device__ void apply(size_t i) const
    {
        double sum[1];

        total<1>(partial, i / c, chunks, i % c, c, sum);
        put(out + i, (float)(sum[0] * (keep != nullptr ? (double)keep[i / c] : 1.0) / divisor));
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

static table table_of(const op_map &o, bool by_image)
{
    size_t pixels = (size_t)o.h * (size_t)o.w, n = (size_t)o.n, c = (size_t)o.c;

    return by_image ? table{n, pixels, c} : table{1, n * pixels, c};
}

template <typename T, int W> static int run_bn_act(const run &r)
{
    const op_map &o = r.op->u.map;
    table t = table_of(o, false);
    const T *x = r.at<const T>(0);
    int rc = run_sums(moments<T, W>{x}, t, r.scratch, r.stream);
    join_moments<T> join = {x,
                            r.scratch,
                            r.at<const float>(2),
                            r.at<float>(4),
                            r.at<float>(5),
                            r.at<float>(6),
                            cut_of(t, W).chunks,
                            t.c,
                            (double)t.rows,
                            (double)o.eps};

    rc = rc != 0 ? rc : run_each(join, t.c, r.stream);
    return rc != 0 ? rc
                   : run_rows(bn_act<T, W>{x, r.at<const float>(1), saved_at(r.args[6], o.c),
                                           r.at<T>(3), o.relu},
                              t, r.stream);
}

template <typename T, int W> static int run_bn_act_bwd(const run &r)
{
    const op_map &o = r.op->u.map;
    table t = table_of(o, false);
    const T *x = r.at<const T>(0), *dy = r.at<const T>(1);
    const float *gamma = r.at<const float>(2);
    bn_saved saved = saved_at(r.args[3], o.c);
    size_t chunks = cut_of(t, W).chunks;
    float *means = r.scratch + chunks * 2 * t.c;
    join_gradients join = {r.scratch, r.at<float>(5), r.at<float>(6), means, chunks,
                           t.c,       (double)t.rows};
    int rc = run_sums(bn_gradients<T, W>{x, dy, gamma, saved, o.relu}, t, r.scratch, r.stream);

    rc = rc != 0 ? rc : run_each(join, t.c, r.stream);
    return rc != 0 ? rc
                   : run_rows(bn_act_bwd<T, W>{x, dy, gamma, saved, means, r.at<T>(4), t.c, o.relu},
                              t, r.stream);
}

template <typename T, int W> static int run_gate_add_act_bwd(const run &r)
{
    const op_map &o = r.op->u.map;
    table t = table_of(o, true);
    const float *keep = o.with_keep ? r.at<const float>(4) : nullptr;
    gate_add_act_bwd<T, W> f = {r.at<const T>(0),
                                r.at<const T>(1),
                                r.at<const T>(2),
                                o.with_gate ? r.at<const T>(3) : nullptr,
                                keep,
                                r.at<T>(5),
                                r.at<T>(6),
                                t.c};
    join_images<T> join = {r.scratch, keep, r.at<T>(7), cut_of(t, W).chunks, t.c, 1};
    int rc = run_sums(f, t, r.scratch, r.stream);

    return rc != 0 || !o.with_gate ? rc : run_each(join, t.segments * t.c, r.stream);
}

template <typename T, int W> static int run_global_pool(const run &r)
{
    table t = table_of(r.op->u.map, true);
    join_images<T> join = {r.scratch, nullptr, r.at<T>(1), cut_of(t, W).chunks, t.c, (double)t.rows};
    int rc = run_sums(plain_sum<T, W>{r.at<const T>(0)}, t, r.scratch, r.stream);

    return rc != 0 ? rc : run_each(join, t.segments * t.c, r.stream);
}

/* By channels: W divides them. */
template <typename T, int W> static int run_channels(const run &r)
{
    const op_map &o = r.op->u.map;
    size_t c = (size_t)o.c;
    table half = {(size_t)o.n, (size_t)((o.h + 1) / 2) * (size_t)((o.w + 1) / 2), c};
    table image = table_of(o, true), all = table_of(o, false);

    switch (r.op->kind) {
    case OP_BN_ACT:
        return run_bn_act<T, W>(r);
    case OP_BN_ACT_BWD:
        return run_bn_act_bwd<T, W>(r);
    case OP_BN_INFER:
        return run_rows(affine<T, W>{r.at<const T>(0), r.at<const float>(1), r.at<const float>(2),
                                     r.at<T>(3), o.relu},
                        all, r.stream);
    case OP_GATE_ADD_ACT:
        return run_rows(gate_add_act<T, W>{r.at<const T>(0), r.at<const T>(1),
                                           o.with_gate ? r.at<const T>(2) : nullptr,
                                           o.with_keep ? r.at<const float>(3) : nullptr,
                                           r.at<T>(4), c},
                        image, r.stream);
    case OP_GATE_ADD_ACT_BWD:
        return run_gate_add_act_bwd<T, W>(r);
    case OP_AVG_POOL2:
        return run_rows(avg_pool2<T, W>{r.at<const T>(0), r.at<T>(1), o.h, o.w, c}, half, r.stream);
    case OP_AVG_POOL2_BWD:
        return run_rows(avg_pool2_bwd<T, W>{r.at<const T>(0), r.at<T>(1), o.h, o.w, c}, image,
                        r.stream);
    case OP_GLOBAL_POOL:
        return run_global_pool<T, W>(r);
    default: /* OP_GLOBAL_POOL_BWD */
        return run_rows(global_pool_bwd<T, W>{r.at<const T>(0), r.at<T>(1), c, (float)image.rows},
                        image, r.stream);
    }
}

/* By elements: W divides them. */
template <typename T, int W> static int run_elements(const run &r)
{
    table t = table_of(r.op->u.map, false);
    size_t n = t.rows * t.c / W;

    switch (r.op->kind) {
    case OP_RELU_BWD:
        return run_each(relu_bwd<T, W>{r.at<const T>(0), r.at<const T>(1), r.at<T>(2)}, n, r.stream);
    case OP_SIGMOID:
        return run_each(sigmoid<T, W>{r.at<const T>(0), r.at<T>(1)}, n, r.stream);
    case OP_SIGMOID_BWD:
        return run_each(sigmoid_bwd<T, W>{r.at<const T>(0), r.at<const T>(1), r.at<T>(2)}, n,
                        r.stream);
    case OP_MUL_ROW:
        return run_each(mul_row<T, W>{r.at<const T>(0), r.at<const float>(1), r.at<T>(2)}, n,
                        r.stream);
    default: /* OP_ADD */
        return run_each(add<T, W>{r.at<const T>(0), r.at<const T>(1), r.at<T>(2)}, n, r.stream);
    }
}

template <typename T> static int run_loss(const run &r)
{
    const op_loss &o = r.op->u.loss;
    loss_args<T> a = {r.at<const T>(0), r.at<const float>(1), r.at<const float>(2), r.at<float>(3),
                      r.at<T>(4),       r.at<float>(5),       (size_t)o.n,          (size_t)o.classes};

    return LAUNCH(softmax_ce<T>, dim3(least(a.n, GRID_MAX)), dim3(BLOCK), r.stream, a);
}

template <typename T, int C> static int run_pixels(const run &r)
{
    const op_normalize &o = r.op->u.normalize;
    normalize<T, C> f = {r.at<const uint8_t>(0), r.at<T>(1), o.c_in, o.c_out, {}, {}};

    for (int c = 0; c < 4; c++) {
        f.mean[c] = o.mean[c];
        f.std[c] = o.std[c];
    }
    return run_each(f, (size_t)o.n * (size_t)o.h * (size_t)o.w, r.stream);
}

template <typename T> static int run_typed(const run &r, bool aligned)
{
    enum { FULL = 16 / sizeof(T) };
    const op_map &o = r.op->u.map;
    bool by_channels = r.op->kind <= OP_GLOBAL_POOL_BWD;
    size_t count = by_channels ? (size_t)o.c : table_of(o, false).rows * (size_t)o.c;

    if (r.op->kind == OP_SOFTMAX_CE) {
        return run_loss<T>(r);
    }
    if (r.op->kind == OP_NORMALIZE) {
        return aligned && r.op->u.normalize.c_out == FULL ? run_pixels<T, FULL>(r)
                                                          : run_pixels<T, 0>(r);
    }
    if (aligned && count % FULL == 0) {
        return by_channels ? run_channels<T, FULL>(r) : run_elements<T, FULL>(r);
    }
    return by_channels ? run_channels<T, 1>(r) : run_elements<T, 1>(r);
}

template <int W> static int run_sgd(const run &r)
{
    const op_sgd &o = r.op->u.sgd;
    const float *k = r.at<const float>(4); /* on the host */
    sgd<W> f = {r.at<float>(0), r.at<const float>(1), r.at<float>(2), r.at<float>(3), k[0], k[1],
                k[2],           1 - k[3],             o.momentum,     o.nesterov};

    return run_each(f, o.n / W, r.stream);
}

static bool all_aligned(void *const args[], int n)
{
    uintptr_t bits = 0;

    for (int i = 0; i < n; i++) {
        bits |= reinterpret_cast<uintptr_t>(args[i]);
    }
    return bits % CUDA_ALIGN == 0;
}

static int dispatch(const run &r)
{
    static const int n_args[OP_KIND_N] = {2, 2, 4, 7, 7, 4, 5, 8, 2, 2, 2, 2, 3, 2, 3, 3, 3, 6, 2, 4};
    bool aligned = all_aligned(r.args, n_args[r.op->kind]);
    dtype type = r.op->kind == OP_SOFTMAX_CE  ? r.op->u.loss.type
                 : r.op->kind == OP_NORMALIZE ? r.op->u.normalize.type
                                              : r.op->u.map.type;

    if (r.op->kind == OP_SGD) {
        return aligned && r.op->u.sgd.n % 4 == 0 ? run_sgd<4>(r) : run_sgd<1>(r);
    }
    return type == DT_BF16 ? run_typed<bf16>(r, aligned) : run_typed<float>(r, aligned);
}

/* Scratch of sums over t: the narrowest cut has the most chunks. */
static size_t sums_bytes(table t, size_t n)
{
    size_t one = cut_of(t, 1).chunks, four = cut_of(t, 4).chunks, eight = cut_of(t, 8).chunks;
    size_t chunks = one > four ? one : four;

    chunks = chunks > eight ? chunks : eight;
    return (t.segments * chunks + 1) * n * t.c * sizeof(float);
}

template <typename T> static int run_bias_act(const op_conv *o, size_t n, const float *bias, void *y,
                                              cudaStream_t s)
{
    enum { FULL = 16 / sizeof(T) };
    T *p = static_cast<T *>(y);
    table t = {1, n, (size_t)o->k};

    if (all_aligned(&y, 1) && o->k % FULL == 0) {
        return run_rows(affine<T, FULL>{p, nullptr, bias, p, o->relu}, t, s);
    }
    return run_rows(affine<T, 1>{p, nullptr, bias, p, o->relu}, t, s);
}

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

int cuda_kernels_run(const struct op_desc *op, void *const args[], void *scratch,
                     struct CUstream_st *stream)
{
    return dispatch(run{op, args, static_cast<float *>(scratch), stream});
}

size_t cuda_kernels_scratch_bytes(const struct op_desc *op)
{
    switch (op->kind) {
    case OP_BN_ACT:
    case OP_BN_ACT_BWD:
        return sums_bytes(table_of(op->u.map, false), 2);
    case OP_GATE_ADD_ACT_BWD:
    case OP_GLOBAL_POOL:
        return sums_bytes(table_of(op->u.map, true), 1);
    default:
        return 0;
    }
}

size_t cuda_kernels_saved_bytes(const struct op_map *o)
{
    return 3 * (size_t)o->c * sizeof(float);
}

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
    return o->type == DT_BF16 && !o->wide ? run_bias_act<bf16>(o, rows, bias, y, stream)
                                          : run_bias_act<float>(o, rows, bias, y, stream);
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

/* Operations element by element, the optimizer's step, and the sum of squares. */
#include "common/device/cuda_kernels.cuh"

namespace cuda_kernels {

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

/* partial[block] = the squares of every gridDim-th block's pieces; in f64 nothing of f32 overflows */
template <int W> __global__ void squares(const float *x, size_t n, double *partial)
{
    __shared__ double part[BLOCK];
    size_t step = (size_t)gridDim.x * blockDim.x;
    double sum = 0;

    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        float v[W];

        load<float, W>(x + i * W, v);
        for (int j = 0; j < W; j++) {
            sum += (double)v[j] * (double)v[j];
        }
    }
    part[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (unsigned q = 1; q < blockDim.x; q++) {
            sum += part[q];
        }
        partial[blockIdx.x] = sum;
    }
}

/* for one thread: the blocks' sums, in order */
struct squares_of_blocks {
    const double *partial;
    unsigned blocks;
    double *y;

    __device__ void apply(size_t) const
    {
        double sum = 0;

        for (unsigned i = 0; i < blocks; i++) {
            sum += partial[i];
        }
        *y = sum;
    }
};

template <typename T, int W> struct elements {
    static int go(const run &r)
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
};

template <int W> static int run_sgd(const run &r)
{
    const op_sgd &o = r.op->u.sgd;
    const float *k = r.at<const float>(4); /* on the host */
    sgd<W> f = {r.at<float>(0), r.at<const float>(1), r.at<float>(2), r.at<float>(3), k[0], k[1],
                k[2],           1 - k[3],             o.momentum,     o.nesterov};

    return run_each(f, o.n / W, r.stream);
}

template <int W> static int run_squares(const run &r)
{
    size_t n = r.op->u.squares.n / W;
    double *partial = reinterpret_cast<double *>(r.scratch);
    unsigned blocks = blocks_for(n, SQUARES_BLOCKS);
    int status = LAUNCH(squares<W>, dim3(blocks), dim3(BLOCK), r.stream, r.at<const float>(0), n, partial);

    return status != 0 ? status
                       : run_each(squares_of_blocks{partial, blocks, r.at<double>(1)}, 1, r.stream);
}

int run_elements(const run &r, bool is_aligned)
{
    const op_map &o = r.op->u.map;

    if (r.op->kind == OP_SQUARES) {
        return is_aligned && r.op->u.squares.n % 4 == 0 ? run_squares<4>(r) : run_squares<1>(r);
    }
    if (r.op->kind == OP_SGD) {
        return is_aligned && r.op->u.sgd.n % 4 == 0 ? run_sgd<4>(r) : run_sgd<1>(r);
    }
    return by_width<elements>(r, o.type, is_aligned, table_of(o, false).rows * (size_t)o.c);
}

} // namespace cuda_kernels

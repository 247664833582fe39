/* Pooling, and the tail of a block: gate, stochastic depth, shortcut, ReLU. */
#include "common/device/cuda_kernels.cuh"

namespace cuda_kernels {

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

template <typename T, int W> struct pool {
    static int go(const run &r)
    {
        const op_map &o = r.op->u.map;
        size_t c = (size_t)o.c;
        table half = {(size_t)o.n, (size_t)((o.h + 1) / 2) * (size_t)((o.w + 1) / 2), c};
        table image = table_of(o, true);

        switch (r.op->kind) {
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
};

int run_pool(const run &r, bool is_aligned)
{
    return by_width<pool>(r, r.op->u.map.type, is_aligned, (size_t)r.op->u.map.c);
}

} // namespace cuda_kernels

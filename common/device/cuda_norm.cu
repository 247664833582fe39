/* Batch norm: with the statistics of the batch, forward and backward, and with those of the past. */
#include "common/device/cuda_kernels.cuh"

namespace cuda_kernels {

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

template <typename T, int W> struct norm {
    static int go(const run &r)
    {
        const op_map &o = r.op->u.map;

        switch (r.op->kind) {
        case OP_BN_ACT:
            return run_bn_act<T, W>(r);
        case OP_BN_ACT_BWD:
            return run_bn_act_bwd<T, W>(r);
        default: /* OP_BN_INFER */
            return run_rows(affine<T, W>{r.at<const T>(0), r.at<const float>(1),
                                         r.at<const float>(2), r.at<T>(3), o.relu},
                            table_of(o, false), r.stream);
        }
    }
};

int run_norm(const run &r, bool is_aligned)
{
    return by_width<norm>(r, r.op->u.map.type, is_aligned, (size_t)r.op->u.map.c);
}

template <typename T, int W>
static int run_affine_of(const void *x, const float *scale, const float *shift, void *y, bool relu,
                         table t, cudaStream_t s)
{
    return run_rows(
        affine<T, W>{static_cast<const T *>(x), scale, shift, static_cast<T *>(y), relu}, t, s);
}

int run_affine(dtype type, const void *x, const float *scale, const float *shift, void *y, bool relu,
               table t, cudaStream_t s)
{
    void *args[] = {y, const_cast<void *>(x)};
    bool wide = all_aligned(args, 2) && t.c % (type == DT_BF16 ? 8 : 4) == 0;

    if (type == DT_BF16) {
        return wide ? run_affine_of<bf16, 8>(x, scale, shift, y, relu, t, s)
                    : run_affine_of<bf16, 1>(x, scale, shift, y, relu, t, s);
    }
    return wide ? run_affine_of<float, 4>(x, scale, shift, y, relu, t, s)
                : run_affine_of<float, 1>(x, scale, shift, y, relu, t, s);
}

} // namespace cuda_kernels

/* Convolutions as operation graphs of cuDNN's backend API, and their plans on disk. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/device/cuda_graph_impl.h"

/* Names of a graph's tensors. */
enum { UID_IN0 = 1, UID_IN1, UID_BIAS, UID_OUT, UID_SUM, UID_BIASED };

enum { CACHE_FORMAT = 1, PLAN_KEY_MAX = 640 }; /* the format rises when plans are made otherwise */

/* ---- tensors and operations ------------------------------------------------------------------- */

static cudnnDataType_t cudnn_type(enum dtype t)
{
    return t == DT_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

/* (n, c, h, w) as cuDNN names the dimensions, with the channels innermost. */
static desc_ptr tensor(struct cuda_desc *b, int64_t uid, const int64_t dims[CUDA_RANK],
                       cudnnDataType_t type, bool real)
{
    desc_ptr d = cuda_desc_make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    int64_t c = dims[1], w = dims[3];
    int64_t strides[CUDA_RANK] = {dims[2] * w * c, 1, w * c, c}, align = CUDA_ALIGN;
    bool is_virtual = !real;

    cuda_desc_set(b, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    cuda_desc_set(b, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    cuda_desc_set(b, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, CUDA_RANK, dims);
    cuda_desc_set(b, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, CUDA_RANK, strides);
    cuda_desc_set(b, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
    cuda_desc_set(b, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    cuda_desc_finalize(b, d, "a tensor");
    return d;
}

static desc_ptr geometry(struct cuda_desc *b, const struct op_conv *o)
{
    desc_ptr d = cuda_desc_make(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    int64_t rank = 2, ones[2] = {1, 1}, pads[2] = {o->pad, o->pad};
    int64_t strides[2] = {o->stride, o->stride};

    cuda_desc_set(b, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    cuda_desc_set(b, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    cuda_desc_set(b, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &rank);
    cuda_desc_set(b, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
    cuda_desc_set(b, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    cuda_desc_set(b, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    cuda_desc_set(b, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    cuda_desc_finalize(b, d, "a convolution's geometry");
    return d;
}

/* The attributes of a convolution in one direction: what it is, two inputs and the output. */
struct direction {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t alpha, beta, conv, in0, in1, out;
};

/* clang-format off */
static const struct direction directions[] = {
    [OP_CONV] = {
        CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
    [OP_CONV_BWD_DATA] = {
        CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX},
    [OP_CONV_BWD_WEIGHTS] = {
        CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW},
};
/* clang-format on */

static void add_convolution(struct cuda_desc *b, const struct op_desc *op, desc_ptr in0,
                            desc_ptr in1, desc_ptr out)
{
    const struct direction *a = &directions[op->kind];
    desc_ptr conv = geometry(b, &op->u.conv), d = cuda_desc_make(b, a->type);
    float one = 1, zero = 0;

    cuda_desc_set(b, d, a->alpha, CUDNN_TYPE_FLOAT, 1, &one);
    cuda_desc_set(b, d, a->beta, CUDNN_TYPE_FLOAT, 1, &zero);
    cuda_desc_set_desc(b, d, a->conv, conv);
    cuda_desc_set_desc(b, d, a->in0, in0);
    cuda_desc_set_desc(b, d, a->in1, in1);
    cuda_desc_set_desc(b, d, a->out, out);
    cuda_desc_finalize(b, d, "a convolution");
    b->ops[b->n_ops++] = d;
}

/* out = mode(in, with), with NULL: of one input */
static void add_pointwise(struct cuda_desc *b, cudnnPointwiseMode_t mode, desc_ptr in,
                          desc_ptr with, desc_ptr out)
{
    desc_ptr what = cuda_desc_make(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), d;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;

    cuda_desc_set(b, what, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    cuda_desc_set(b, what, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
    cuda_desc_finalize(b, what, "a pointwise mode");
    d = cuda_desc_make(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    cuda_desc_set_desc(b, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what);
    cuda_desc_set_desc(b, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, in);
    if (with != NULL) {
        cuda_desc_set_desc(b, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, with);
    }
    cuda_desc_set_desc(b, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, out);
    cuda_desc_finalize(b, d, "a pointwise operation");
    b->ops[b->n_ops++] = d;
}

/* y = relu(conv(x, w) + bias), each step but the first where it is asked for; of bf16 a y in f32 is
 * the copy of a virtual one, as below */
static void describe_forward(struct cuda_desc *b, const struct op_desc *op, bool fused,
                             const int64_t x[CUDA_RANK], const int64_t w[CUDA_RANK],
                             const int64_t y[CUDA_RANK])
{
    const struct op_conv *o = &op->u.conv;
    const int64_t row[CUDA_RANK] = {1, o->k, 1, 1};
    cudnnDataType_t type = cudnn_type(o->type), wide = CUDNN_DATA_FLOAT;
    cudnnDataType_t given = o->wide ? wide : type;
    bool bias = fused && o->with_bias, relu = fused && o->relu,
         copy = !bias && !relu && given != type;
    desc_ptr in = tensor(b, UID_IN0, x, type, true), weights = tensor(b, UID_IN1, w, type, true);
    desc_ptr out = tensor(b, UID_OUT, y, given, true), sum = out, biased = out;

    if (bias || relu || copy) {
        sum = tensor(b, UID_SUM, y, wide, false);
    }
    if (bias && relu) {
        biased = tensor(b, UID_BIASED, y, wide, false);
    }
    add_convolution(b, op, in, weights, sum);
    if (bias) {
        add_pointwise(b, CUDNN_POINTWISE_ADD, sum, tensor(b, UID_BIAS, row, wide, true), biased);
    }
    if (relu) {
        add_pointwise(b, CUDNN_POINTWISE_RELU_FWD, bias ? biased : sum, NULL, out);
    }
    if (copy) {
        add_pointwise(b, CUDNN_POINTWISE_IDENTITY, sum, NULL, out);
    }
}

/* dw in f32 whatever the type: of bf16 only as the copy of a virtual f32 tensor */
static void describe_weights(struct cuda_desc *b, const struct op_desc *op,
                             const int64_t x[CUDA_RANK], const int64_t w[CUDA_RANK],
                             const int64_t y[CUDA_RANK])
{
    cudnnDataType_t type = cudnn_type(op->u.conv.type), wide = CUDNN_DATA_FLOAT;
    desc_ptr in = tensor(b, UID_IN0, x, type, true), dy = tensor(b, UID_IN1, y, type, true);
    desc_ptr dw = tensor(b, UID_OUT, w, wide, true), sum = dw;

    if (type != wide) {
        sum = tensor(b, UID_SUM, w, wide, false);
    }
    add_convolution(b, op, in, dy, sum);
    if (type != wide) {
        add_pointwise(b, CUDNN_POINTWISE_IDENTITY, sum, NULL, dw);
    }
}

static desc_ptr describe(struct cuda_desc *b, const struct op_desc *op, bool fused)
{
    const struct op_conv *o = &op->u.conv;
    const int64_t x[CUDA_RANK] = {o->n, o->c, o->h, o->w}, w[CUDA_RANK] = {o->k, o->c, o->r, o->r};
    const int64_t y[CUDA_RANK] = {o->n, o->k, device_op_conv_out(o, o->h),
                                  device_op_conv_out(o, o->w)};
    cudnnDataType_t type = cudnn_type(o->type);
    desc_ptr graph;

    if (op->kind == OP_CONV) {
        describe_forward(b, op, fused, x, w, y);
    } else if (op->kind == OP_CONV_BWD_DATA) {
        desc_ptr dy = tensor(b, UID_IN0, y, type, true),
                 weights = tensor(b, UID_IN1, w, type, true);

        add_convolution(b, op, dy, weights, tensor(b, UID_OUT, x, type, true));
    } else {
        describe_weights(b, op, x, w, y);
    }
    graph = cuda_desc_make(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (b->planner->handle != NULL) {
        cuda_desc_set(b, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1,
                      &b->planner->handle);
    }
    cuda_desc_set(b, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, b->n_ops,
                  b->ops);
    cuda_desc_finalize(b, graph, "an operation graph");
    return graph;
}

/* ---- the module ------------------------------------------------------------------------------- */

void cuda_planner_version(char *out, size_t size)
{
    size_t v = cudnnGetVersion();

    (void)snprintf(out, size, "cuDNN %zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
}

bool cuda_planner_fuses(const struct cuda_planner *p)
{
    void *h = p->handle == NULL ? dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) : NULL;
    bool there = p->handle != NULL || h != NULL;

    if (h != NULL) {
        (void)dlclose(h);
    }
    return there;
}

void cuda_planner_destroy(struct cuda_planner *p)
{
    if (p == NULL) {
        return;
    }
    if (p->props != NULL) {
        cudnnBackendDestroyDescriptor(p->props);
    }
    mem_free(p->device);
    mem_free(p->cache);
    if (p->handle != NULL) {
        (void)cudnnDestroy(p->handle);
    }
    mem_free(p);
}

static enum rc take_description(struct cuda_planner *p, const char *description, struct err *e)
{
    struct cuda_desc b = {.planner = p, .e = e};
    desc_ptr d = cuda_desc_make(&b, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);

    cuda_desc_set(&b, d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                  (int64_t)strlen(description) + 1, description);
    cuda_desc_finalize(&b, d, "a device's description");
    if (b.rc == RC_OK) {
        p->props = d;
        cuda_desc_keep(&b, d);
    }
    cuda_desc_release(&b);
    return b.rc;
}

/* What the key of a plan on disk begins with. */
static enum rc name_device(struct cuda_planner *p, const char *name, struct err *e)
{
    char version[40], text[PLAN_KEY_MAX];

    cuda_planner_version(version, sizeof version);
    (void)snprintf(text, sizeof text, "%d, %s, %s", CACHE_FORMAT, version, name);
    p->device = mem_strdup(text);
    p->cache = cuda_cache_folder();
    return p->device != NULL ? RC_OK : mem_raise(e, "a device's name", strlen(text));
}

enum rc cuda_planner_create(struct CUstream_st *stream, const char *name, const char *description,
                            struct cuda_planner **out, struct err *e)
{
    struct cuda_planner *p = mem_calloc(1, sizeof *p);
    cudnnStatus_t s = CUDNN_STATUS_SUCCESS;
    enum rc rc;

    if (p == NULL) {
        return mem_raise(e, "planner of convolutions", sizeof *p);
    }
    rc = name_device(p, name, e);
    if (rc == RC_OK && description != NULL) {
        rc = take_description(p, description, e);
    } else if (rc == RC_OK) {
        s = cudnnCreate(&p->handle);
        s = s != CUDNN_STATUS_SUCCESS ? s : cudnnSetStream(p->handle, stream);
    }
    if (s != CUDNN_STATUS_SUCCESS) {
        rc = cuda_desc_raise(s, "cannot start", e);
    }
    if (rc == RC_OK) {
        *out = p;
        p = NULL;
    }
    cuda_planner_destroy(p);
    return rc;
}

void cuda_planner_measure(struct cuda_planner *p, cuda_time_fn *time, void *ctx)
{
    p->time = time;
    p->time_ctx = ctx;
}

void cuda_graph_destroy(struct cuda_graph *g)
{
    if (g == NULL) {
        return;
    }
    if (g->pack != NULL) {
        cudnnBackendDestroyDescriptor(g->pack);
    }
    if (g->plan != NULL) {
        cudnnBackendDestroyDescriptor(g->plan);
    }
    mem_free(g);
}

static bool with_bias(const struct op_desc *op, bool fused)
{
    return op->kind == OP_CONV && fused && op->u.conv.with_bias;
}

static enum rc create(struct cuda_planner *p, const struct op_desc *op, bool fused,
                      struct cuda_graph **out, struct err *e)
{
    struct cuda_desc b = {.planner = p, .e = e};
    struct cuda_graph *g = mem_calloc(1, sizeof *g);
    desc_ptr graph;

    if (g == NULL) {
        return mem_raise(e, "graph of a convolution", sizeof *g);
    }
    graph = describe(&b, op, fused);
    g->handle = p->handle;
    g->info.fused = fused && b.n_ops > 1;
    g->with_bias = with_bias(op, fused);
    if (b.rc == RC_OK && !cuda_engine_choose(&b, graph, op, g) && b.rc == RC_OK) {
        char name[PLAN_DESCRIBE_MAX];

        device_op_describe(op, "", name, sizeof name);
        b.rc = err_raise(e, RC_UNSUPPORTED,
                         "%s: cuDNN has no engine for it within %zu MiB of workspace (%d tried)%s",
                         name, CUDA_WORKSPACE_MAX >> 20, g->info.configs,
                         g->info.configs > 0 || cuda_planner_fuses(p)
                             ? ""
                             : ": what is fused is compiled only where a libcuda.so.1 can be "
                               "loaded, and none is here");
    }
    cuda_desc_release(&b);
    if (b.rc == RC_OK) {
        *out = g;
        g = NULL;
    }
    cuda_graph_destroy(g);
    return b.rc;
}

/* Everything that the choice of an engine depends on. */
static void name_graph(const struct cuda_planner *p, const struct op_desc *op,
                       char key[PLAN_KEY_MAX])
{
    const struct op_conv *o = &op->u.conv;

    (void)snprintf(key, PLAN_KEY_MAX,
                   "%s: %s of %dx%dx%dx%d, %d kernels of %d, stride %d, padding %d, %s%s%s%s%s",
                   p->device, device_op_name(op->kind), o->n, o->h, o->w, o->c, o->k, o->r,
                   o->stride, o->pad, dtype_name(o->type), o->wide ? " to f32" : "",
                   o->with_bias ? ", bias" : "", o->relu ? ", ReLU" : "",
                   p->time != NULL ? ", measured" : "");
}

/* A plan that an earlier process found, or NULL. */
static struct cuda_graph *restore(struct cuda_planner *p, const struct op_desc *op, const char *key)
{
    struct cuda_graph *g = NULL;
    struct cuda_graph_info info = {0};
    char *text = NULL;

    if (p->cache != NULL && cuda_cache_read(p->cache, key, &info, &text)) {
        g = mem_calloc(1, sizeof *g);
    }
    if (g != NULL) {
        g->info = info;
        g->handle = p->handle;
        g->with_bias = with_bias(op, info.fused);
        if (!cuda_engine_restore(p, text, g)) {
            cuda_graph_destroy(g);
            g = NULL;
        }
    }
    mem_free(text);
    return g;
}

static void remember(const struct cuda_planner *p, const char *key, const struct cuda_graph *g)
{
    char *text = p->cache != NULL ? cuda_engine_save(g) : NULL;

    if (text != NULL) {
        cuda_cache_write(p->cache, key, &g->info, text);
    }
    mem_free(text);
}

static enum rc plan(struct cuda_planner *p, const struct op_desc *op, struct cuda_graph **out,
                    struct err *e)
{
    bool epilogue = op->kind == OP_CONV && (op->u.conv.with_bias || op->u.conv.relu);
    struct err refused = {0};
    enum rc rc = create(p, op, true, out, epilogue ? &refused : e);

    if (epilogue && rc == RC_UNSUPPORTED) {
        return create(p, op, false, out, e);
    }
    return epilogue && rc != RC_OK ? err_raise(e, rc, "%s", refused.msg) : rc;
}

enum rc cuda_graph_create(struct cuda_planner *p, const struct op_desc *op, struct cuda_graph **out,
                          struct err *e)
{
    char key[PLAN_KEY_MAX];
    enum rc rc = RC_OK;

    name_graph(p, op, key);
    *out = restore(p, op, key);
    if (*out == NULL) {
        rc = plan(p, op, out, e);
        if (rc == RC_OK) {
            remember(p, key, *out);
        }
    }
    return rc;
}

const struct cuda_graph_info *cuda_graph_info(const struct cuda_graph *g)
{
    return &g->info;
}

/* A variant pack of these pointers, kept until they change. */
static enum rc bind(struct cuda_graph *g, const void *const pointers[CUDA_RANK],
                    const void *workspace, struct err *e)
{
    struct cuda_desc b = {.e = e};
    const int64_t uids[CUDA_RANK] = {UID_IN0, UID_IN1, UID_OUT, UID_BIAS};
    desc_ptr d;

    if (g->pack != NULL && workspace == g->workspace &&
        memcmp(g->pointers, pointers, sizeof g->pointers) == 0) {
        return RC_OK;
    }
    d = cuda_desc_make(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    cuda_desc_set(&b, d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, g->with_bias ? 4 : 3,
                  uids);
    cuda_desc_set(&b, d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                  g->with_bias ? 4 : 3, pointers);
    cuda_desc_set(&b, d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    cuda_desc_finalize(&b, d, "a plan's pointers");
    if (b.rc == RC_OK) {
        if (g->pack != NULL) {
            cudnnBackendDestroyDescriptor(g->pack);
        }
        g->pack = d;
        cuda_desc_keep(&b, d);
        memcpy(g->pointers, pointers, sizeof g->pointers);
        g->workspace = workspace;
    }
    cuda_desc_release(&b);
    return b.rc;
}

enum rc cuda_graph_run(struct cuda_graph *g, const void *in0, const void *in1, const void *bias,
                       void *out, void *workspace, struct err *e)
{
    const void *const pointers[CUDA_RANK] = {in0, in1, out, bias};
    enum rc rc = bind(g, pointers, workspace, e);
    cudnnStatus_t s;

    if (rc != RC_OK) {
        return rc;
    }
    s = cudnnBackendExecute(g->handle, g->plan, g->pack);
    return s == CUDNN_STATUS_SUCCESS ? RC_OK : cuda_desc_raise(s, "a convolution", e);
}

/* Convolutions as operation graphs of cuDNN's backend API. */
#include <stdio.h>
#include <string.h>

#include <cudnn.h>

#include "common/base/mem.h"
#include "common/device/cuda_impl.h"

enum { OWNED_MAX = 24, CONFIGS_MAX = 24, RANK = 4, CUDNN_TEXT_MAX = 384 };

/* Names of a graph's tensors. */
enum { UID_IN0 = 1, UID_IN1, UID_BIAS, UID_OUT, UID_SUM, UID_BIASED };

typedef cudnnBackendDescriptor_t desc_ptr; /* cuDNN's own pointer type, shorter */

struct cuda_planner {
    cudnnHandle_t handle; /* NULL: the device is only described */
    desc_ptr props;       /* NULL: the handle's */
};

struct cuda_graph {
    struct cuda_graph_info info;
    cudnnHandle_t handle;
    desc_ptr plan, pack; /* pack: the pointers of the last run */
    const void *pointers[RANK];
    const void *workspace;
    bool with_bias;
};

/* A description being written; the first failure stays, and what follows does nothing. */
struct build {
    const struct cuda_planner *planner;
    desc_ptr owned[OWNED_MAX];
    int n_owned;
    desc_ptr ops[RANK];
    int n_ops;
    enum rc rc;
    struct err *e;
};

/* ---- descriptors ------------------------------------------------------------------------------ */

static enum rc raise_cudnn(cudnnStatus_t s, const char *what, struct err *e)
{
    char text[CUDNN_TEXT_MAX] = "";

    cudnnGetLastErrorString(text, sizeof text);
    return err_raise(e, s == CUDNN_STATUS_ALLOC_FAILED ? RC_NOMEM : RC_LIB, "cuDNN: %s: %s%s%s",
                     what, cudnnGetErrorString(s), text[0] != 0 ? ": " : "", text);
}

static bool failed(struct build *b, cudnnStatus_t s, const char *what)
{
    if (b->rc == RC_OK && s != CUDNN_STATUS_SUCCESS) {
        b->rc = raise_cudnn(s, what, b->e);
    }
    return b->rc != RC_OK;
}

static desc_ptr make(struct build *b, cudnnBackendDescriptorType_t type)
{
    desc_ptr d = NULL;

    if (b->rc != RC_OK) {
        return NULL;
    }
    if (b->n_owned == OWNED_MAX) {
        b->rc = err_raise(b->e, RC_LIB, "cuDNN: a graph of more than %d descriptors", OWNED_MAX);
        return NULL;
    }
    if (!failed(b, cudnnBackendCreateDescriptor(type, &d), "create a descriptor")) {
        b->owned[b->n_owned++] = d;
    }
    return d;
}

static void set(struct build *b, desc_ptr d, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *value)
{
    if (b->rc == RC_OK) {
        char what[48];

        (void)snprintf(what, sizeof what, "set attribute %d", (int)name);
        failed(b, cudnnBackendSetAttribute(d, name, type, count, value), what);
    }
}

static void set_desc(struct build *b, desc_ptr d, cudnnBackendAttributeName_t name, desc_ptr value)
{
    set(b, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void finalize(struct build *b, desc_ptr d, const char *what)
{
    if (b->rc == RC_OK) {
        failed(b, cudnnBackendFinalize(d), what);
    }
}

static void release(struct build *b)
{
    while (b->n_owned > 0) {
        cudnnBackendDestroyDescriptor(b->owned[--b->n_owned]);
    }
}

/* Take d out of what release destroys. */
static void keep(struct build *b, desc_ptr d)
{
    for (int i = 0; i < b->n_owned; i++) {
        if (b->owned[i] == d) {
            b->owned[i] = b->owned[--b->n_owned];
            return;
        }
    }
}

/* ---- tensors and operations ------------------------------------------------------------------- */

static cudnnDataType_t cudnn_type(enum dtype t)
{
    return t == DT_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

/* (n, c, h, w) as cuDNN names the dimensions, with the channels innermost. */
static desc_ptr tensor(struct build *b, int64_t uid, const int64_t dims[RANK], cudnnDataType_t type,
                       bool real)
{
    desc_ptr d = make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    int64_t c = dims[1], w = dims[3];
    int64_t strides[RANK] = {dims[2] * w * c, 1, w * c, c}, align = CUDA_ALIGN;
    bool is_virtual = !real;

    set(b, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    set(b, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(b, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, RANK, dims);
    set(b, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, RANK, strides);
    set(b, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
    set(b, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    finalize(b, d, "a tensor");
    return d;
}

static desc_ptr geometry(struct build *b, const struct op_conv *o)
{
    desc_ptr d = make(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    int64_t rank = 2, ones[2] = {1, 1}, pads[2] = {o->pad, o->pad};
    int64_t strides[2] = {o->stride, o->stride};

    set(b, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(b, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(b, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &rank);
    set(b, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
    set(b, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    set(b, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    set(b, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    finalize(b, d, "a convolution's geometry");
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

static void add_convolution(struct build *b, const struct op_desc *op, desc_ptr in0, desc_ptr in1,
                            desc_ptr out)
{
    const struct direction *a = &directions[op->kind];
    desc_ptr conv = geometry(b, &op->u.conv), d = make(b, a->type);
    float one = 1, zero = 0;

    set(b, d, a->alpha, CUDNN_TYPE_FLOAT, 1, &one);
    set(b, d, a->beta, CUDNN_TYPE_FLOAT, 1, &zero);
    set_desc(b, d, a->conv, conv);
    set_desc(b, d, a->in0, in0);
    set_desc(b, d, a->in1, in1);
    set_desc(b, d, a->out, out);
    finalize(b, d, "a convolution");
    b->ops[b->n_ops++] = d;
}

/* out = mode(in, with), with NULL: of one input */
static void add_pointwise(struct build *b, cudnnPointwiseMode_t mode, desc_ptr in, desc_ptr with,
                          desc_ptr out)
{
    desc_ptr what = make(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), d;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;

    set(b, what, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(b, what, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
    finalize(b, what, "a pointwise mode");
    d = make(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_desc(b, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what);
    set_desc(b, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, in);
    if (with != NULL) {
        set_desc(b, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, with);
    }
    set_desc(b, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, out);
    finalize(b, d, "a pointwise operation");
    b->ops[b->n_ops++] = d;
}

/* y = relu(conv(x, w) + bias), each step but the first where it is asked for; of bf16 a y in f32 is
 * the copy of a virtual one, as below */
static void describe_forward(struct build *b, const struct op_desc *op, bool fused,
                             const int64_t x[RANK], const int64_t w[RANK], const int64_t y[RANK])
{
    const struct op_conv *o = &op->u.conv;
    const int64_t row[RANK] = {1, o->k, 1, 1};
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
static void describe_weights(struct build *b, const struct op_desc *op, const int64_t x[RANK],
                             const int64_t w[RANK], const int64_t y[RANK])
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

static desc_ptr describe(struct build *b, const struct op_desc *op, bool fused)
{
    const struct op_conv *o = &op->u.conv;
    const int64_t x[RANK] = {o->n, o->c, o->h, o->w}, w[RANK] = {o->k, o->c, o->r, o->r};
    const int64_t y[RANK] = {o->n, o->k, device_op_conv_out(o, o->h), device_op_conv_out(o, o->w)};
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
    graph = make(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (b->planner->handle != NULL) {
        set(b, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &b->planner->handle);
    }
    set(b, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, b->n_ops, b->ops);
    finalize(b, graph, "an operation graph");
    return graph;
}

/* ---- engines ---------------------------------------------------------------------------------- */

static bool get(desc_ptr d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                int64_t max, int64_t *n, void *out)
{
    return cudnnBackendGetAttribute(d, name, type, max, n, out) == CUDNN_STATUS_SUCCESS;
}

/* What an engine configuration's engine is: its number and numerical notes. */
static bool look(struct build *b, desc_ptr config, struct cuda_graph_info *info, bool *exact)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    desc_ptr engine = make(b, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    int64_t n = 0, number = 0;

    if (b->rc != RC_OK ||
        !get(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &engine) ||
        !get(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n, &number) ||
        !get(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
             CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, notes)) {
        return false;
    }
    info->engine = number;
    info->tensor_core = false;
    *exact = true;
    for (int64_t i = 0; i < n; i++) {
        info->tensor_core |= notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
        *exact &= notes[i] != CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC &&
                  notes[i] != CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS &&
                  notes[i] != CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
    }
    return true;
}

/* Compile a configuration; false where it does not compile or wants too much workspace. */
static bool compile(struct build *b, desc_ptr config, struct cuda_graph *g)
{
    struct build trial = {.planner = b->planner};
    const struct cuda_planner *p = b->planner;
    desc_ptr plan = make(&trial, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    int64_t n = 0, bytes = 0;
    bool ok;

    if (p->handle != NULL) {
        set(&trial, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &p->handle);
    } else {
        set_desc(&trial, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, p->props);
    }
    set_desc(&trial, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    finalize(&trial, plan, "an execution plan");
    ok = trial.rc == RC_OK &&
         get(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n, &bytes) &&
         (size_t)bytes <= CUDA_WORKSPACE_MAX;
    if (ok) {
        g->plan = plan;
        g->info.workspace = (size_t)bytes;
        keep(&trial, plan);
    }
    release(&trial);
    return ok;
}

/* The first of the mode's configurations with (or without) tensor cores that compiles. */
static bool choose(struct build *b, desc_ptr graph, cudnnBackendHeurMode_t mode, bool tensor_core,
                   struct cuda_graph *g)
{
    desc_ptr heur = make(b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR), configs[CONFIGS_MAX];
    struct build list = {.planner = b->planner};
    int64_t n = 0;
    bool found = false;

    set(b, heur, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    set_desc(b, heur, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    if (b->planner->props != NULL) {
        set_desc(b, heur, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, b->planner->props);
    }
    if (b->rc != RC_OK || cudnnBackendFinalize(heur) != CUDNN_STATUS_SUCCESS) {
        return false; /* none of this mode */
    }
    for (int i = 0; i < CONFIGS_MAX; i++) {
        configs[i] = make(&list, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    }
    if (list.rc != RC_OK || !get(heur, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                 CONFIGS_MAX, &n, configs)) {
        n = 0;
    }
    n = n > CONFIGS_MAX ? CONFIGS_MAX : n;
    g->info.configs += (int)n;
    for (int64_t i = 0; i < n && !found; i++) {
        struct build one = {.planner = b->planner};
        bool exact = false;

        found = look(&one, configs[i], &g->info, &exact) && exact &&
                g->info.tensor_core == tensor_core && compile(b, configs[i], g);
        release(&one);
    }
    release(&list);
    return found;
}

/* bf16 on tensor cores where there is such an engine; f32 never, since they would round it to TF32. */
static bool choose_any(struct build *b, desc_ptr graph, const struct op_desc *op,
                       struct cuda_graph *g)
{
    bool wide = op->u.conv.type == DT_F32;

    return (!wide && choose(b, graph, CUDNN_HEUR_MODE_A, true, g)) ||
           choose(b, graph, CUDNN_HEUR_MODE_A, false, g) ||
           choose(b, graph, CUDNN_HEUR_MODE_FALLBACK, !wide, g) ||
           (!wide && choose(b, graph, CUDNN_HEUR_MODE_FALLBACK, false, g));
}

/* ---- the module ------------------------------------------------------------------------------- */

void cuda_planner_version(char *out, size_t size)
{
    size_t v = cudnnGetVersion();

    (void)snprintf(out, size, "cuDNN %zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
}

void cuda_planner_destroy(struct cuda_planner *p)
{
    if (p == NULL) {
        return;
    }
    if (p->props != NULL) {
        cudnnBackendDestroyDescriptor(p->props);
    }
    if (p->handle != NULL) {
        (void)cudnnDestroy(p->handle);
    }
    mem_free(p);
}

static enum rc take_description(struct cuda_planner *p, const char *description, struct err *e)
{
    struct build b = {.planner = p, .e = e};
    desc_ptr d = make(&b, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);

    set(&b, d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
        (int64_t)strlen(description) + 1, description);
    finalize(&b, d, "a device's description");
    if (b.rc == RC_OK) {
        p->props = d;
        keep(&b, d);
    }
    release(&b);
    return b.rc;
}

enum rc cuda_planner_create(struct CUstream_st *stream, const char *description,
                            struct cuda_planner **out, struct err *e)
{
    struct cuda_planner *p = mem_calloc(1, sizeof *p);
    cudnnStatus_t s;
    enum rc rc = RC_OK;

    if (p == NULL) {
        return mem_raise(e, "planner of convolutions", sizeof *p);
    }
    if (description != NULL) {
        rc = take_description(p, description, e);
        goto out;
    }
    s = cudnnCreate(&p->handle);
    if (s == CUDNN_STATUS_SUCCESS) {
        s = cudnnSetStream(p->handle, stream);
    }
    if (s != CUDNN_STATUS_SUCCESS) {
        rc = raise_cudnn(s, "cannot start", e);
    }
out:
    if (rc == RC_OK) {
        *out = p;
        p = NULL;
    }
    cuda_planner_destroy(p);
    return rc;
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

static enum rc create(struct cuda_planner *p, const struct op_desc *op, bool fused,
                      struct cuda_graph **out, struct err *e)
{
    struct build b = {.planner = p, .e = e};
    struct cuda_graph *g = mem_calloc(1, sizeof *g);
    desc_ptr graph;

    if (g == NULL) {
        return mem_raise(e, "graph of a convolution", sizeof *g);
    }
    graph = describe(&b, op, fused);
    g->handle = p->handle;
    g->info.fused = fused && b.n_ops > 1;
    g->with_bias = op->kind == OP_CONV && fused && op->u.conv.with_bias;
    if (b.rc == RC_OK && !choose_any(&b, graph, op, g) && b.rc == RC_OK) {
        char name[PLAN_DESCRIBE_MAX];

        device_op_describe(op, "", name, sizeof name);
        b.rc = err_raise(e, RC_UNSUPPORTED,
                         "%s: cuDNN has no engine for it within %zu MiB of workspace (%d tried)",
                         name, CUDA_WORKSPACE_MAX >> 20, g->info.configs);
    }
    release(&b);
    if (b.rc == RC_OK) {
        *out = g;
        g = NULL;
    }
    cuda_graph_destroy(g);
    return b.rc;
}

enum rc cuda_graph_create(struct cuda_planner *p, const struct op_desc *op, struct cuda_graph **out,
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

const struct cuda_graph_info *cuda_graph_info(const struct cuda_graph *g)
{
    return &g->info;
}

/* A variant pack of these pointers, kept until they change. */
static enum rc bind(struct cuda_graph *g, const void *const pointers[RANK], const void *workspace,
                    struct err *e)
{
    struct build b = {.e = e};
    const int64_t uids[RANK] = {UID_IN0, UID_IN1, UID_OUT, UID_BIAS};
    desc_ptr d;

    if (g->pack != NULL && workspace == g->workspace &&
        memcmp(g->pointers, pointers, sizeof g->pointers) == 0) {
        return RC_OK;
    }
    d = make(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    set(&b, d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, g->with_bias ? 4 : 3, uids);
    set(&b, d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, g->with_bias ? 4 : 3,
        pointers);
    set(&b, d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    finalize(&b, d, "a plan's pointers");
    if (b.rc == RC_OK) {
        if (g->pack != NULL) {
            cudnnBackendDestroyDescriptor(g->pack);
        }
        g->pack = d;
        keep(&b, d);
        memcpy(g->pointers, pointers, sizeof g->pointers);
        g->workspace = workspace;
    }
    release(&b);
    return b.rc;
}

enum rc cuda_graph_run(struct cuda_graph *g, const void *in0, const void *in1, const void *bias,
                       void *out, void *workspace, struct err *e)
{
    const void *const pointers[RANK] = {in0, in1, out, bias};
    enum rc rc = bind(g, pointers, workspace, e);
    cudnnStatus_t s;

    if (rc != RC_OK) {
        return rc;
    }
    s = cudnnBackendExecute(g->handle, g->plan, g->pack);
    return s == CUDNN_STATUS_SUCCESS ? RC_OK : raise_cudnn(s, "a convolution", e);
}

/* A cuDNN for tests: it records the descriptors that production writes, checks their shapes, and on
 * execution computes, on the stream's thread, what the recorded operation graph says: convolutions
 * in three directions and pointwise operations.
 *
 * FAKE_CUDNN_DEVICE=FILE   forward every descriptor to the real library too, for the GPU that the
 *                          file describes: engines are then those that it chooses, and what it does
 *                          not finalise is not run. Needs FAKE_CUDNN_LIBRARY, its libcudnn_graph. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <dlfcn.h>

#include <cudnn.h>

#include "tests/fakes/cuda_host.hpp"

struct cudnnContext {
    cudaStream_t stream;
};

namespace {

using i64 = int64_t;

struct tensor {
    i64 uid, dims[4], strides[4];
    cudnnDataType_t type;
    bool is_virtual;
    size_t count() const
    {
        return (size_t)(dims[0] * dims[1] * dims[2] * dims[3]);
    }
};

enum class what { forward, data, weights, pointwise };

struct operation {
    what kind;
    tensor in0, in1, out;
    bool has_in1;
    i64 pad, stride;
    cudnnPointwiseMode_t mode;
};

using program = std::vector<operation>;

struct descriptor {
    cudnnBackendDescriptorType_t type;
    cudnnBackendDescriptor_t real = nullptr;
    std::map<int, std::vector<char>> attributes;
    std::shared_ptr<program> code; /* graphs, and what comes of them */
};

std::string why;

/* ---- the real library ------------------------------------------------------------------------- */

struct real_library {
    decltype(&cudnnBackendCreateDescriptor) create = nullptr;
    decltype(&cudnnBackendDestroyDescriptor) destroy = nullptr;
    decltype(&cudnnBackendFinalize) finalize = nullptr;
    decltype(&cudnnBackendSetAttribute) set = nullptr;
    decltype(&cudnnBackendGetAttribute) get = nullptr;
    cudnnBackendDescriptor_t device = nullptr;

    real_library()
    {
        const char *file = getenv("FAKE_CUDNN_DEVICE"), *path = getenv("FAKE_CUDNN_LIBRARY");

        if (file == nullptr || path == nullptr) {
            return;
        }
        void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        std::ifstream in(file);
        std::stringstream text;

        if (h == nullptr || !in) {
            fprintf(stderr, "fake cudnn: cannot open %s or %s: %s\n", path, file, dlerror());
            abort();
        }
        text << in.rdbuf();
        *(void **)&create = dlsym(h, "cudnnBackendCreateDescriptor");
        *(void **)&destroy = dlsym(h, "cudnnBackendDestroyDescriptor");
        *(void **)&finalize = dlsym(h, "cudnnBackendFinalize");
        *(void **)&set = dlsym(h, "cudnnBackendSetAttribute");
        *(void **)&get = dlsym(h, "cudnnBackendGetAttribute");
        if (create(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &device) != CUDNN_STATUS_SUCCESS ||
            set(device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                (i64)text.str().size() + 1, text.str().c_str()) != CUDNN_STATUS_SUCCESS ||
            finalize(device) != CUDNN_STATUS_SUCCESS) {
            fprintf(stderr, "fake cudnn: the real library refuses %s\n", file);
            abort();
        }
    }
};

real_library &real()
{
    static real_library r;

    return r;
}

descriptor *of(cudnnBackendDescriptor_t d)
{
    return static_cast<descriptor *>(d);
}

/* ---- reading what was recorded ------------------------------------------------------------------ */

template <class T> T one(const descriptor *d, int name, T otherwise)
{
    auto at = d->attributes.find(name);
    T v = otherwise;

    if (at != d->attributes.end() && at->second.size() >= sizeof v) {
        memcpy(&v, at->second.data(), sizeof v);
    }
    return v;
}

template <class T> std::vector<T> all(const descriptor *d, int name)
{
    auto at = d->attributes.find(name);
    std::vector<T> v;

    if (at != d->attributes.end()) {
        v.resize(at->second.size() / sizeof(T));
        memcpy(v.data(), at->second.data(), v.size() * sizeof(T));
    }
    return v;
}

bool wrong(const std::string &text)
{
    why = text;
    return false;
}

bool read_tensor(const descriptor *from, int name, tensor *t)
{
    const descriptor *d = of(one<cudnnBackendDescriptor_t>(from, name, nullptr));

    if (d == nullptr) {
        return wrong("a tensor is missing");
    }
    std::vector<i64> dims = all<i64>(d, CUDNN_ATTR_TENSOR_DIMENSIONS);
    std::vector<i64> strides = all<i64>(d, CUDNN_ATTR_TENSOR_STRIDES);

    if (dims.size() != 4 || strides.size() != 4) {
        return wrong("a tensor has not four dimensions");
    }
    memcpy(t->dims, dims.data(), sizeof t->dims);
    memcpy(t->strides, strides.data(), sizeof t->strides);
    t->uid = one<i64>(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, -1);
    t->type = one(d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_INT8);
    t->is_virtual = one<bool>(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, false);
    if (one<i64>(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 0) != 16) {
        return wrong("a tensor's alignment is not 16");
    }
    i64 want[4] = {t->dims[1] * t->dims[2] * t->dims[3], 1, t->dims[1] * t->dims[3], t->dims[1]};

    return memcmp(want, t->strides, sizeof want) == 0 || wrong("a tensor is not dense NHWC");
}

/* x (n,c,h,w), w (k,c,r,r), y (n,k,oh,ow) of a convolution in whatever direction */
bool check_conv(const operation &o, const tensor &x, const tensor &w, const tensor &y)
{
    i64 oh = (x.dims[2] + 2 * o.pad - w.dims[2]) / o.stride + 1;
    i64 ow = (x.dims[3] + 2 * o.pad - w.dims[3]) / o.stride + 1;

    return (x.dims[0] == y.dims[0] && x.dims[1] == w.dims[1] && w.dims[0] == y.dims[1] &&
            y.dims[2] == oh && y.dims[3] == ow) ||
           wrong("a convolution's shapes do not fit");
}

bool read_conv(const descriptor *d, operation *o, int conv, int in0, int in1, int out)
{
    const descriptor *g = of(one<cudnnBackendDescriptor_t>(d, conv, nullptr));
    std::vector<i64> pre = all<i64>(g, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
    std::vector<i64> post = all<i64>(g, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
    std::vector<i64> strides = all<i64>(g, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);

    if (pre.size() != 2 || pre != post || pre[0] != pre[1] || strides.size() != 2 ||
        strides[0] != strides[1] ||
        all<i64>(g, CUDNN_ATTR_CONVOLUTION_DILATIONS) != std::vector<i64>{1, 1} ||
        one(g, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CONVOLUTION) != CUDNN_CROSS_CORRELATION ||
        one(g, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_HALF) != CUDNN_DATA_FLOAT) {
        return wrong("a convolution's geometry is not of this program");
    }
    o->pad = pre[0];
    o->stride = strides[0];
    o->has_in1 = true;
    return read_tensor(d, in0, &o->in0) && read_tensor(d, in1, &o->in1) &&
           read_tensor(d, out, &o->out);
}

bool read_pointwise(const descriptor *d, operation *o)
{
    const descriptor *p = of(
        one<cudnnBackendDescriptor_t>(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, nullptr));

    o->kind = what::pointwise;
    o->mode = one(p, CUDNN_ATTR_POINTWISE_MODE, CUDNN_POINTWISE_SUB);
    o->has_in1 = d->attributes.count(CUDNN_ATTR_OPERATION_POINTWISE_BDESC) != 0;
    if (!read_tensor(d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, &o->in0) ||
        !read_tensor(d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, &o->out) ||
        (o->has_in1 && !read_tensor(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, &o->in1))) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        if (o->in0.dims[i] != o->out.dims[i] ||
            (o->has_in1 && o->in1.dims[i] != 1 && o->in1.dims[i] != o->out.dims[i])) {
            return wrong("a pointwise operation's shapes do not fit"); /* the real one takes some */
        }
    }
    return (o->mode == CUDNN_POINTWISE_ADD) == o->has_in1 ||
           wrong("a pointwise operation has the wrong number of inputs");
}

bool read_operation(const descriptor *d, operation *o)
{
    switch (d->type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
        o->kind = what::forward;
        return read_conv(d, o, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y) &&
               check_conv(*o, o->in0, o->in1, o->out);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
        o->kind = what::data;
        return read_conv(d, o, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX) &&
               check_conv(*o, o->out, o->in1, o->in0);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
        o->kind = what::weights;
        return read_conv(d, o, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW) &&
               check_conv(*o, o->in0, o->out, o->in1);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
        return read_pointwise(d, o);
    default:
        return wrong("an operation that this fake does not know");
    }
}

/* Every virtual input was written before, and every name is one tensor. */
bool check_program(const program &code)
{
    std::map<i64, tensor> seen;

    for (const operation &o : code) {
        for (const tensor *t : {&o.in0, o.has_in1 ? &o.in1 : &o.in0, &o.out}) {
            auto at = seen.find(t->uid);

            if (t != &o.out && t->is_virtual && at == seen.end()) {
                return wrong("a virtual tensor that nothing writes is read");
            }
            if (at != seen.end() && memcmp(at->second.dims, t->dims, sizeof t->dims) != 0) {
                return wrong("two tensors of one name");
            }
            seen[t->uid] = *t;
        }
    }
    return !code.back().out.is_virtual || wrong("a graph that writes nothing");
}

bool read_graph(descriptor *d)
{
    auto code = std::make_shared<program>();

    for (cudnnBackendDescriptor_t op :
         all<cudnnBackendDescriptor_t>(d, CUDNN_ATTR_OPERATIONGRAPH_OPS)) {
        operation o = {};

        if (!read_operation(of(op), &o)) {
            return false;
        }
        code->push_back(o);
    }
    d->code = code;
    return (!code->empty() || wrong("an empty graph")) && check_program(*code);
}

/* ---- computing ---------------------------------------------------------------------------------- */

float round_to(cudnnDataType_t type, float v)
{
    return type == CUDNN_DATA_BFLOAT16 ? __bfloat162float(__float2bfloat16_rn(v)) : v;
}

size_t place(const tensor &t, i64 n, i64 c, i64 y, i64 x)
{
    return (size_t)(n * t.strides[0] + c * t.strides[1] + y * t.strides[2] + x * t.strides[3]);
}

struct machine {
    std::map<i64, void *> pointers;
    std::map<i64, std::vector<float>> values;

    std::vector<float> &load(const tensor &t)
    {
        auto at = values.find(t.uid);

        if (at != values.end()) {
            return at->second;
        }
        std::vector<float> v(t.count());
        const void *p = pointers[t.uid];

        for (size_t i = 0; i < v.size(); i++) {
            v[i] = t.type == CUDNN_DATA_FLOAT ? static_cast<const float *>(p)[i]
                                              : __bfloat162float(
                                                    static_cast<const __nv_bfloat16 *>(p)[i]);
        }
        return values[t.uid] = v;
    }

    void save(const tensor &t, const std::vector<double> &v)
    {
        std::vector<float> rounded(v.size());
        void *p = t.is_virtual ? nullptr : pointers[t.uid];

        for (size_t i = 0; i < v.size(); i++) {
            rounded[i] = round_to(t.type, (float)v[i]);
            if (p != nullptr && t.type == CUDNN_DATA_FLOAT) {
                static_cast<float *>(p)[i] = rounded[i];
            } else if (p != nullptr) {
                static_cast<__nv_bfloat16 *>(p)[i] = __float2bfloat16_rn(rounded[i]);
            }
        }
        values[t.uid] = rounded;
    }
};

/* The three directions are one walk: y[n,k,oy,ox] += x[n,c,iy,ix] * w[k,c,ky,kx], read for the one
 * that is the output. */
void convolve(machine &m, const operation &o)
{
    const tensor &x = o.kind == what::data ? o.out : o.in0;
    const tensor &w = o.kind == what::weights ? o.out : o.in1;
    const tensor &y = o.kind == what::forward ? o.out : o.kind == what::data ? o.in0 : o.in1;
    const std::vector<float> &a = m.load(o.in0), &b = m.load(o.in1);
    std::vector<double> sum(o.out.count());
    i64 channels = x.dims[1];

    for (i64 n = 0; n < y.dims[0]; n++) {
        for (i64 at = 0; at < y.dims[2] * y.dims[3] * w.dims[2] * w.dims[3]; at++) {
            i64 kx = at % w.dims[3], ky = at / w.dims[3] % w.dims[2];
            i64 pixel = at / w.dims[3] / w.dims[2], ox = pixel % y.dims[3], oy = pixel / y.dims[3];
            i64 iy = oy * o.stride + ky - o.pad, ix = ox * o.stride + kx - o.pad;

            if (iy < 0 || ix < 0 || iy >= x.dims[2] || ix >= x.dims[3]) {
                continue;
            }
            size_t px = place(x, n, 0, iy, ix), py = place(y, n, 0, oy, ox);

            for (i64 k = 0; k < y.dims[1]; k++) {
                size_t pw = place(w, k, 0, ky, kx);

                for (i64 c = 0; c < channels; c++) { /* channels are innermost in all three */
                    size_t qx = px + (size_t)c, qw = pw + (size_t)c, qy = py + (size_t)k;

                    if (o.kind == what::forward) {
                        sum[qy] += (double)a[qx] * (double)b[qw];
                    } else if (o.kind == what::data) {
                        sum[qx] += (double)a[qy] * (double)b[qw];
                    } else {
                        sum[qw] += (double)a[qx] * (double)b[qy];
                    }
                }
            }
        }
    }
    m.save(o.out, sum);
}

void pointwise(machine &m, const operation &o)
{
    const std::vector<float> &a = m.load(o.in0);
    std::vector<double> v(o.out.count());
    const std::vector<float> none, &b = o.has_in1 ? m.load(o.in1) : none;

    for (i64 i = 0; i < (i64)v.size(); i++) {
        i64 c = i % o.out.dims[1], x = i / o.out.dims[1] % o.out.dims[3];
        i64 y = i / o.out.dims[1] / o.out.dims[3] % o.out.dims[2];
        i64 n = i / o.out.dims[1] / o.out.dims[3] / o.out.dims[2];
        double p = (double)a[(size_t)i];

        if (o.mode == CUDNN_POINTWISE_ADD) {
            const i64 *d = o.in1.dims;

            v[(size_t)i] = p + (double)b[place(o.in1, d[0] == 1 ? 0 : n, d[1] == 1 ? 0 : c,
                                               d[2] == 1 ? 0 : y, d[3] == 1 ? 0 : x)];
        } else {
            v[(size_t)i] = o.mode == CUDNN_POINTWISE_RELU_FWD && p < 0 ? 0 : p;
        }
    }
    m.save(o.out, v);
}

enum : i64 { WORKSPACE = 4096 }; /* what a plan wants where no real library says */

void compute(const program &code, std::map<i64, void *> pointers, void *workspace, size_t bytes)
{
    machine m;

    m.pointers = std::move(pointers);
    memset(workspace, 0xff, bytes); /* a plan may use all of it */
    for (const operation &o : code) {
        if (o.kind == what::pointwise) {
            pointwise(m, o);
        } else {
            convolve(m, o);
        }
    }
}

size_t workspace_of(const descriptor *plan)
{
    i64 n = 0, bytes = WORKSPACE;

    if (plan->real != nullptr) {
        real().get(plan->real, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n,
                   &bytes);
    }
    return (size_t)bytes;
}

/* A recorded graph as text and back: what stands for a plan in another process. */
std::string text_of(const descriptor *plan)
{
    std::string text = "fake plan ";
    char two[3];

    for (const operation &o : *plan->code) {
        const auto *bytes = reinterpret_cast<const unsigned char *>(&o);

        for (size_t i = 0; i < sizeof o; i++) {
            snprintf(two, sizeof two, "%02x", bytes[i]);
            text += two;
        }
    }
    return text;
}

std::shared_ptr<program> code_of(const std::string &text)
{
    auto code = std::make_shared<program>();
    size_t at = strlen("fake plan "), each = 2 * sizeof(operation);

    if (text.compare(0, at, "fake plan ") != 0 || text.size() == at ||
        (text.size() - at) % each != 0) {
        return nullptr;
    }
    for (; at < text.size(); at += each) {
        operation o = {};
        auto *bytes = reinterpret_cast<unsigned char *>(&o);

        for (size_t i = 0; i < sizeof o; i++) {
            bytes[i] = (unsigned char)strtoul(text.substr(at + 2 * i, 2).c_str(), nullptr, 16);
        }
        code->push_back(o);
    }
    return code;
}

cudnnStatus_t refuse(const char *text)
{
    why = text;
    return CUDNN_STATUS_BAD_PARAM;
}

/* What the real library would answer, where there is none: two engines for every graph, alike. */
cudnnStatus_t answer(descriptor *d, cudnnBackendAttributeName_t name, i64 max, i64 *n, void *out)
{
    i64 number = 1, bytes = WORKSPACE;
    auto note = CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    bool narrow = d->code != nullptr && d->code->front().in0.type == CUDNN_DATA_BFLOAT16;

    *n = 1;
    switch ((int)name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        /* f32 is fused only by engines that round it, as in the real library */
        *n = !narrow && d->code->size() > 1 ? 0 : 2;
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION: {
        std::string text = text_of(d);

        *n = (i64)text.size() + 1;
        if (max >= *n) {
            memcpy(out, text.c_str(), (size_t)*n);
        }
        return CUDNN_STATUS_SUCCESS;
    }
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
        memcpy(out, &number, sizeof number);
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
        *n = narrow ? 1 : 0;
        if (max > 0 && narrow) {
            memcpy(out, &note, sizeof note);
        }
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        memcpy(out, &bytes, sizeof bytes);
        return CUDNN_STATUS_SUCCESS;
    default:
        return refuse("an attribute that this fake does not know");
    }
}

} // namespace

extern "C" {

size_t cudnnGetVersion(void)
{
    return CUDNN_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t s)
{
    return s == CUDNN_STATUS_SUCCESS ? "CUDNN_STATUS_SUCCESS" : "CUDNN_STATUS_FAKE";
}

void cudnnGetLastErrorString(char *out, size_t size)
{
    snprintf(out, size, "%s", why.c_str());
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *out)
{
    *out = new cudnnContext{nullptr};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t h)
{
    delete h;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t s)
{
    h->stream = s;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t *out)
{
    auto *d = new descriptor;

    d->type = type;
    if (real().create != nullptr && type != CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR &&
        real().create(type, &d->real) != CUDNN_STATUS_SUCCESS) {
        delete d;
        return refuse("the real library has no such descriptor");
    }
    *out = d;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t p)
{
    descriptor *d = of(p);

    if (d->real != nullptr) {
        real().destroy(d->real);
    }
    delete d;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t p, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n, const void *v)
{
    static const std::map<int, size_t> sizes = {
        {CUDNN_TYPE_HANDLE, sizeof(void *)},   {CUDNN_TYPE_DATA_TYPE, 4},
        {CUDNN_TYPE_BOOLEAN, sizeof(bool)},    {CUDNN_TYPE_INT64, 8},
        {CUDNN_TYPE_FLOAT, 4},                 {CUDNN_TYPE_CHAR, 1},
                       {CUDNN_TYPE_VOID_PTR, sizeof(void *)},
        {CUDNN_TYPE_CONVOLUTION_MODE, 4},      {CUDNN_TYPE_HEUR_MODE, 4},
        {CUDNN_TYPE_POINTWISE_MODE, 4},        {CUDNN_TYPE_BACKEND_DESCRIPTOR, sizeof(void *)}};
    auto size = sizes.find(type);
    descriptor *d = of(p);

    if (size == sizes.end()) {
        return refuse("an attribute's type that this fake does not know");
    }
    const char *bytes = static_cast<const char *>(v);

    d->attributes[name].assign(bytes, bytes + size->second * (size_t)n);
    if (d->real == nullptr || type == CUDNN_TYPE_HANDLE) {
        return CUDNN_STATUS_SUCCESS;
    }
    if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        return real().set(d->real, name, type, n, v);
    }
    std::vector<cudnnBackendDescriptor_t> inner;

    for (cudnnBackendDescriptor_t q : all<cudnnBackendDescriptor_t>(d, name)) {
        inner.push_back(of(q)->real);
    }
    return real().set(d->real, name, type, n, inner.data());
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t p)
{
    descriptor *d = of(p);
    int device = d->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR ? CUDNN_ATTR_ENGINEHEUR_DEVICEPROP
                 : d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR
                     ? CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP
                     : 0;

    if (d->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR && !read_graph(d)) {
        return CUDNN_STATUS_BAD_PARAM;
    }
    if (d->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) {
        d->code = of(one<cudnnBackendDescriptor_t>(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                                   nullptr))
                      ->code;
    }
    auto text = d->attributes.find(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION);

    if (text != d->attributes.end()) {
        d->code = code_of(std::string(text->second.data()));
        if (d->code == nullptr) {
            return refuse("a text that is no plan of this fake");
        }
    } else if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
        d->code = of(one<cudnnBackendDescriptor_t>(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                                   nullptr))
                      ->code;
    }
    if (d->real == nullptr) {
        return CUDNN_STATUS_SUCCESS;
    }
    if (device != 0) {
        real().set(d->real, (cudnnBackendAttributeName_t)device, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                   &real().device);
    }
    return real().finalize(d->real);
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const p,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t max, int64_t *n,
                                       void *out)
{
    descriptor *d = of(p);
    auto *found = static_cast<cudnnBackendDescriptor_t *>(out);
    std::vector<cudnnBackendDescriptor_t> inner;
    cudnnStatus_t s = CUDNN_STATUS_SUCCESS;

    if ((int)name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION && d->real != nullptr) {
        return refuse("this fake keeps no plan of the real library");
    }
    if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        return d->real != nullptr ? real().get(d->real, name, type, max, n, out)
                                  : answer(d, name, max, n, out);
    }
    if (d->real != nullptr) {
        for (i64 i = 0; i < max; i++) {
            inner.push_back(of(found[i])->real);
        }
        s = real().get(d->real, name, type, max, n, inner.data());
    } else {
        s = answer(d, name, max, n, out);
    }
    for (i64 i = 0; i < max && i < *n && s == CUDNN_STATUS_SUCCESS; i++) {
        of(found[i])->code = d->code;
    }
    return s;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t h, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack)
{
    descriptor *d = of(pack);
    std::vector<i64> uids = all<i64>(d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    std::vector<void *> data = all<void *>(d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    void *workspace = one<void *>(d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, nullptr);
    size_t bytes = workspace_of(of(plan));
    std::map<i64, void *> pointers;

    for (size_t i = 0; i < uids.size() && i < data.size(); i++) {
        if (data[i] == nullptr || (uintptr_t)data[i] % 16 != 0) {
            return refuse("a tensor's address is missing or not aligned");
        }
        pointers[uids[i]] = data[i];
    }
    if (bytes > 0 && workspace == nullptr) {
        return refuse("the workspace is missing");
    }
    for (const operation &o : *of(plan)->code) {
        for (const tensor *t : {&o.in0, o.has_in1 ? &o.in1 : &o.in0, &o.out}) {
            if (!t->is_virtual && pointers.count(t->uid) == 0) {
                return refuse("a tensor has no address");
            }
        }
    }
    std::shared_ptr<program> code = of(plan)->code;

    return fake_enqueue(h->stream, [=]() { compute(*code, pointers, workspace, bytes); })
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_EXECUTION_FAILED;
}

} // extern "C"

/**
 * The device seam: compiled plans of one (possibly fused) operation on fixed shapes.
 *
 * Plans are made once and run often; a network is an ordered list of plans over one memory plan.
 * Activations are NHWC, dense, in DT_F32 or DT_BF16; parameters reach a plan as f32 masters
 * (weights O,H,W,I) and each plan keeps its own packed copy in the layout it wants, refreshed by
 * plan_pack. `ref` is the definition of correct; every backend is tested against it.
 * A backend answers RC_UNSUPPORTED to a fused operation that it lacks; the network then uses parts.
 *
 * Threads: one thread at a time uses a device and its plans (design.md 7.8).
 *
 * Determinism, on one instruction set (device_info.isa): OP_CONV and the operations without
 * statistics give an image the same bits in any batch; nothing depends on the number of threads but
 * OP_CONV_BWD_WEIGHTS, which repeats for the same number.
 */
#ifndef PRECEPTOR_DEVICE_H
#define PRECEPTOR_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

/* DT_F64: ref alone, to hold gradients against a reference without rounding. */
enum dtype { DT_F32, DT_BF16, DT_U8, DT_S8, DT_S32, DT_F64 };

size_t dtype_size(enum dtype t);
const char *dtype_name(enum dtype t); /* "f32", "bf16", ... */

/** Round to nearest even, NaN stays NaN; and back (exact). */
uint16_t bf16_from_f32(float x);
float bf16_to_f32(uint16_t x);

struct device;
struct plan;
struct queue; /* ordered asynchronous work; NULL is the device's main queue */
struct event;

/* ---- operations ---------------------------------------------------------------------------- */

enum op_kind {
    OP_CONV,             /* y = act(conv(x, w) + bias) ; inference may fuse bias and ReLU          */
    OP_CONV_BWD_DATA,    /* dx = conv_transpose(dy, w)                                             */
    OP_CONV_BWD_WEIGHTS, /* dw += conv_grad(x, dy); db += sum(dy) if with_bias (f32, accumulated)  */
    OP_BN_ACT,           /* training: statistics over (n,h,w), y = act(gamma*(x-mean)*rstd + beta) */
    OP_BN_ACT_BWD,
    OP_BN_INFER,         /* y = act(scale[c]*x + shift[c]) (BN with running statistics, unfused)   */
    OP_GATE_ADD_ACT,     /* y = relu(gate[n,c] * keep[n] * x + shortcut)                           */
    OP_GATE_ADD_ACT_BWD,
    OP_AVG_POOL2,        /* 2x2 stride 2, ceil mode, padding not counted (ResNet-D's shortcut)     */
    OP_AVG_POOL2_BWD,
    OP_GLOBAL_POOL,      /* (n,h,w,c) -> (n,1,1,c) mean                                            */
    OP_GLOBAL_POOL_BWD,
    OP_RELU_BWD,         /* dx = dy * (y > 0), y the ReLU's output                                 */
    OP_SIGMOID,
    OP_SIGMOID_BWD,      /* dx = dy * y * (1 - y), y the sigmoid's output                          */
    OP_MUL_ROW,          /* y[n,i] = x[n,i] * m[n,i] (dropout: m in {0, 1/keep}); its own backward */
    OP_ADD,              /* y = a + b (gradients that meet)                                        */
    OP_SOFTMAX_CE,       /* loss and gradient of soft-label cross-entropy                          */
    OP_NORMALIZE,        /* u8 pixels -> (u/255 - mean[c]) / std[c], channels padded with 0        */
    OP_SGD,              /* one pass: L2, momentum, step, EMA over a flat range                    */
    OP_SQUARES,          /* y = sum x[i]^2 in f64, in an order of its own: NaN and infinity show   */
    OP_CONV_Q,           /* y = u8(relu(v)) or s8(v) of v = conv(x, w) + bias; x u8, w packed as s8 */
    OP_QUANTIZE,         /* y = u8(scale[c] * x)                                                   */
    OP_AVG_POOL2_Q,      /* OP_AVG_POOL2 from u8 to u8                                             */
    OP_GLOBAL_POOL_Q,    /* (n,h,w,c) u8 or s8 -> (n,1,1,c) f32: scale[c] * mean                   */
    OP_GATE_ADD_ACT_Q,   /* y = u8(a[c] * gate[n,c] * x + b[c] * shortcut), x s8                   */
    OP_BN_POOL,          /* pooled[n,c] = mean of z, z = OP_BN_ACT's y without ReLU, nowhere stored */
    OP_BN_JOIN,          /* y = relu(gate[n,c] * keep[n] * z + shortcut)                           */
    OP_BN_JOIN_BWD,
    OP_BN_POOL_BWD,
    OP_KIND_N
};

/* OP_BN_POOL to OP_BN_POOL_BWD are OP_BN_ACT, OP_GLOBAL_POOL and OP_GATE_ADD_ACT of one block's tail
 * and their backward, in half the passes over memory. Backends without them answer RC_UNSUPPORTED. */

/* The 8-bit operations (inference) take the numbers that they are given: a caller that lets q stand for
 * s * q puts s into weights, scales and biases. u8(v), s8(v): rounded to nearest, ties to even, and
 * clamped. OP_CONV_Q packs each output channel's weights as s8 times a step of its own, max|w| / 127,
 * and sums in s32, exactly. Backends without them answer RC_UNSUPPORTED. */

/** A 2-D convolution's geometry, square kernel, groups 1, dilation 1. Output h = (h + 2p - r)/s + 1. */
struct op_conv {
    int n, h, w, c; /* input; c counts the input's padded channels                                 */
    int k;          /* output channels                                                             */
    int r;          /* kernel: 1 or 3 (any odd on ref)                                             */
    int stride;     /* 1 or 2                                                                      */
    int pad;        /* on all four sides                                                           */
    int c_weights;  /* input channels of the master weights (<= c; the rest are zero): 0 means c   */
    bool with_bias; /* a bias (k) f32 is given                                                     */
    bool relu;      /* OP_CONV: ReLU after bias                                                    */
    enum dtype type; /* of x, y, dx, dy; weights and bias masters are f32. OP_CONV_Q: DT_U8, of x  */
    bool wide;       /* OP_CONV: y is f32 whatever type is (the head's logits)                     */
};

/** Element-wise and pooling operations over (n, h, w, c). */
struct op_map {
    int n, h, w, c;
    enum dtype type;
    bool relu;       /* OP_BN_ACT(_BWD), OP_BN_INFER: with ReLU                                    */
    bool with_gate;  /* OP_GATE_ADD_ACT(_BWD): gate (n,c) is given (SE), in .type                  */
    bool with_keep;  /* ... keep (n) f32 is given (stochastic depth: 0 or 1/(1-rate))              */
    float eps;       /* OP_BN_ACT, OP_BN_POOL: 1e-5                                                */
    enum dtype shortcut; /* OP_GATE_ADD_ACT_Q: DT_U8 or DT_S8                                      */
};

struct op_loss {
    int n;       /* rows                                                                           */
    int classes;
    enum dtype type; /* of logits and dlogits                                                      */
};

struct op_normalize {
    int n, h, w;
    int c_in;    /* channels of the pixels: 1 or 3                                                 */
    int c_out;   /* of the output, zero-padded: device_input_channels                              */
    float mean[4], std[4]; /* of pixel/255                                                         */
    enum dtype type;
};

/** A flat range of parameters: g' = g*scale + wd*w; m = mu*m + g'; w -= lr*(nesterov ? g' + mu*m : m);
 * ema += (1-decay)*(w - ema). lr, wd, scale and decay come at run time. */
struct op_sgd {
    size_t n;
    float momentum;
    bool nesterov;
};

struct op_squares {
    size_t n;
};

struct op_desc {
    enum op_kind kind;
    union {
        struct op_conv conv;
        struct op_map map;
        struct op_loss loss;
        struct op_normalize normalize;
        struct op_sgd sgd;
        struct op_squares squares;
    } u;
};

/**
 * Arguments of plan_run, by kind, as device pointers in this order (const where read only).
 * `saved` is plan_saved_bytes(forward plan) of the plan's own layout, written by the forward and
 * given to the backward plan of the same description.
 *
 * OP_CONV              x, y                      (weights and bias: plan_pack)
 * OP_CONV_BWD_DATA     dy, dx                    (weights: plan_pack)
 * OP_CONV_BWD_WEIGHTS  x, dy, dw(f32 k,r,r,c_weights), [db(f32 k)]      dw, db are added to
 * OP_BN_ACT            x, gamma, beta, y, mean, var, saved   mean, var (c) f32 out: batch statistics,
 *                      var biased (the caller makes it unbiased for running_var)
 * OP_BN_ACT_BWD        x, dy, gamma, saved, dx, dgamma, dbeta           dgamma, dbeta are added to
 * OP_BN_INFER          x, scale, shift, y
 * OP_GATE_ADD_ACT      x, shortcut, gate|NULL, keep|NULL, y
 * OP_GATE_ADD_ACT_BWD  x, y, dy, gate|NULL, keep|NULL, dx, dshortcut, dgate|NULL
 *                      dshortcut = dy*(y>0); dgate (n,c) in .type, overwritten, through keep
 * OP_AVG_POOL2         x, y          OP_AVG_POOL2_BWD    dy, dx       (h, w: the input's)
 * OP_GLOBAL_POOL       x, y          OP_GLOBAL_POOL_BWD  dy, dx
 * OP_RELU_BWD          y, dy, dx     (in place allowed)
 * OP_SIGMOID           x, y          OP_SIGMOID_BWD      y, dy, dx
 * OP_MUL_ROW           x, m(f32), y
 * OP_ADD               a, b, y       (y may be a or b)
 * OP_SOFTMAX_CE        logits, target(f32 n,classes), weight(f32 n), loss(f32 n), dlogits|NULL,
 *                      prob(f32 n,classes)|NULL:
 *                      loss[i] = weight[i] * -sum_k target[i,k]*log p[i,k]; dlogits = d sum(loss)
 * OP_NORMALIZE         pixels(u8 n,h,w,c_in), y
 * OP_SGD               w, g, momentum, ema, scalars(f32[4] on the host: lr, wd, grad_scale, decay)
 *                      all f32 of n elements; ema may be NULL
 * OP_SQUARES           x(f32 n), y(f64 1)
 * OP_CONV_Q            x, y                      (weights and bias: plan_pack)
 * OP_QUANTIZE          x, scale(f32 c), y        (.type: of x)
 * OP_AVG_POOL2_Q       x, y
 * OP_GLOBAL_POOL_Q     x, scale(f32 c), y(f32)
 * OP_GATE_ADD_ACT_Q    x, shortcut, gate(f32 n,c), a(f32 c), b(f32 c), y
 * OP_BN_POOL           x, gamma, beta, pooled, mean, var, saved         (as OP_BN_ACT's)
 * OP_BN_JOIN           x, saved, gamma, shortcut, gate, keep|NULL, y    (with_keep)
 * OP_BN_JOIN_BWD       x, y, dy, more|NULL, keep|NULL, gamma, saved, g, dgate
 *                      g = (dy + more)*(y>0), the shortcut's gradient (g may be dy); adds to saved
 * OP_BN_POOL_BWD       x, g, gate, keep|NULL, dpooled, gamma, saved, dx, dgamma, dbeta (added to)
 */
enum { PLAN_MAX_ARGS = 10 };

/* ---- devices ------------------------------------------------------------------------------- */

struct device_info {
    const char *backend;   /* "ref", "cpu", "cuda"                                                 */
    char isa[32];          /* what the bits depend on: "avx512_core_bf16", "ref", "sm_90"          */
    char library[64];      /* "oneDNN 2.6.3"                                                       */
    int threads;
    bool has_bf16;         /* bf16 is computed natively                                            */
    bool has_int8;         /* the 8-bit operations are there, exact (x86: VNNI)                    */
};

/** Backends by name; "auto" is the best that works here. threads: 0 lets the backend choose.
 * RC_INVAL unknown name (the known ones are listed); RC_LIB it cannot start here. */
NODISCARD enum rc device_create(const char *name, int threads, struct device **out, struct err *e);
/** The same for one of several ranks on a host, counted from 0: GPUs are given out in turn. RC_INVAL
 * also where a host has GPUs, but fewer than ranks. */
NODISCARD enum rc device_create_local(const char *name, int threads, int local_rank,
                                      struct device **out, struct err *e);
void device_destroy(struct device *d);

/** How a backend will run a plan. */
struct plan_choice {
    long long engine;  /* the library's number, -1: our own kernel */
    size_t workspace;  /* bytes that it shares with the device's other plans */
    bool tensor_core;
};
typedef void device_plan_fn(void *ctx, const struct plan *p, const struct plan_choice *c);

/** A GPU that is not there: its properties as cuDNN takes them (JSON, docs/GPU.md). Plans can be made,
 * which needs cuDNN and no driver, and a network's memory counted; nothing is allocated or run.
 * on_plan hears of each plan that was made. RC_UNSUPPORTED: built without the cuda backend. */
NODISCARD enum rc device_create_described(const char *description, device_plan_fn *on_plan,
                                          void *ctx, struct device **out, struct err *e);
void device_describe(const struct device *d, struct device_info *out);
/** The i-th backend's name built into this program, or NULL past the last. */
const char *device_backend_name(int i);

/** Whether device memory is host memory, so that the host may read and write it (after a sync). */
bool device_is_host(const struct device *d);

/** How many channels the first layer's input must have for c real ones (cuda: 8; cpu: c). */
int device_input_channels(const struct device *d, int c, enum dtype type);

/** Device memory, MEM_ALIGN aligned, zeroed. RC_NOMEM names what for. */
NODISCARD enum rc device_alloc(struct device *d, size_t bytes, const char *what, void **out,
                               struct err *e);
void device_free(struct device *d, void *p);
/** What a GPU has left, and in all. RC_UNSUPPORTED: its memory is the host's. */
NODISCARD enum rc device_memory(struct device *d, size_t *free_bytes, size_t *total, struct err *e);
/** Host memory that asynchronous copies can use (pinned). */
NODISCARD enum rc device_alloc_host(struct device *d, size_t bytes, void **out, struct err *e);
void device_free_host(struct device *d, void *p);
/** Copies ordered on a queue; the host buffer must stay until the queue is synced. */
NODISCARD enum rc device_upload(struct device *d, struct queue *q, void *dst, const void *src,
                                size_t bytes, struct err *e);
NODISCARD enum rc device_download(struct device *d, struct queue *q, void *dst, const void *src,
                                  size_t bytes, struct err *e);
NODISCARD enum rc device_zero(struct device *d, struct queue *q, void *p, size_t bytes,
                              struct err *e);
/** Wait for a queue's work (NULL: the main one); late failures of queued work surface here. */
NODISCARD enum rc device_sync(struct device *d, struct queue *q, struct err *e);

NODISCARD enum rc queue_create(struct device *d, struct queue **out, struct err *e);
void queue_destroy(struct device *d, struct queue *q);
NODISCARD enum rc event_create(struct device *d, struct event **out, struct err *e);
void event_destroy(struct device *d, struct event *ev);
/** Mark the point that q has reached; make another queue wait for it. */
NODISCARD enum rc event_record(struct device *d, struct event *ev, struct queue *q, struct err *e);
NODISCARD enum rc event_wait(struct device *d, struct event *ev, struct queue *q, struct err *e);
/** Whether all that was queued before the mark has ended; never waits. Late failures surface here. */
NODISCARD enum rc event_done(struct device *d, struct event *ev, bool *done, struct err *e);
/** The cudaStream_t behind a queue, for a library that queues work itself; NULL: no such thing. */
void *queue_stream(struct device *d, struct queue *q);

/* ---- plans --------------------------------------------------------------------------------- */

/** Compile an operation. RC_UNSUPPORTED: this backend has not got it (use parts); RC_INVAL: shapes
 * are wrong (a bug, named); RC_NOMEM; RC_LIB. Scratch is shared among a device's plans. */
NODISCARD enum rc plan_create(struct device *d, const struct op_desc *op, struct plan **out,
                              struct err *e);
void plan_destroy(struct plan *p);

/** Whether plans made from now on take the fastest engine, where there are several, instead of the
 * library's first. Then bits may differ between two GPUs of a kind, but not between two runs of one
 * whose plans are still on disk (docs/GPU.md). */
void device_measure(struct device *d, bool on);

/** Refresh the packed copy from f32 masters on the device: OP_CONV, OP_CONV_BWD_DATA, OP_CONV_Q.
 * weights (k, r, r, c_weights); bias (k) or NULL. scale (k) or NULL multiplies the weights of each
 * output channel (BN folding). No allocation. */
NODISCARD enum rc plan_pack(struct plan *p, const float *weights, const float *bias,
                            const float *scale, struct err *e);

/** p runs with owner's packed weights from now on and keeps none: two plans of equal layers, owner's
 * perhaps of another batch, which outlives p and is packed before p runs. RC_UNSUPPORTED: this
 * backend, or layouts that differ. */
NODISCARD enum rc plan_share(struct plan *p, const struct plan *owner, struct err *e);

/** Run on the main queue. args as listed above; no allocation in a steady state. */
NODISCARD enum rc plan_run(struct plan *p, void *const args[], struct err *e);

/** Bytes of `saved` that the forward leaves for the backward (0 for most). */
size_t plan_saved_bytes(const struct plan *p);
/** Bytes of the packed weights that it keeps: 0 where it shares another plan's. */
size_t plan_packed_bytes(const struct plan *p);
/** "conv 64x40x40x64 -> 256 r1 s1 bf16 (brgconv:avx512_core_bf16)": for --profile and messages. */
const char *plan_describe(const struct plan *p);
/** Multiply-adds x 2 of one run. */
double plan_flops(const struct plan *p);
/** Bytes that one run moves to and from memory at least. */
double plan_bytes(const struct plan *p);

#endif

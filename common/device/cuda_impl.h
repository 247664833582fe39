/**
 * The cuda backend from within: operation graphs of cuDNN (cuda_graph.c) for convolutions, own
 * kernels (cuda_kernels.cu) for the rest, and the device that runs both (device_cuda.c).
 *
 * A planner plans for a GPU that is there, or for one that is only described: so every plan can be
 * made, and looked at, on a machine without a GPU.
 * Nothing here needs a header of CUDA: streams are named by their struct alone.
 */
#ifndef PRECEPTOR_CUDA_IMPL_H
#define PRECEPTOR_CUDA_IMPL_H

#include "common/device/device_impl.h"

struct CUstream_st; /* what a cudaStream_t points to */

/* ---- cuda_graph.c ---------------------------------------------------------------------------- */

enum { CUDA_ALIGN = 16 };                           /* bytes: what is promised of every tensor */
static const size_t CUDA_WORKSPACE_MAX = 256 << 20; /* bytes: engines that want more are passed over */

struct cuda_planner;
struct cuda_graph;

struct cuda_graph_info {
    long long engine;  /* cuDNN's number of the engine */
    size_t workspace;  /* bytes */
    bool tensor_core;
    bool fused;        /* the graph is more than the convolution */
    int configs;       /* that the heuristics offered */
    double seconds;    /* of a run, where it was measured */
};

/** How long a run of g takes; false: it cannot be timed. */
typedef bool cuda_time_fn(void *ctx, struct cuda_graph *g, const struct op_desc *op,
                          double *seconds);

/** stream: of the current device, and description NULL; or NULL, and description what cuDNN takes as
 * a device's properties (JSON). name: what tells its plans from those of other devices. RC_LIB. */
NODISCARD enum rc cuda_planner_create(struct CUstream_st *stream, const char *name,
                                      const char *description, struct cuda_planner **out,
                                      struct err *e);
/** Whether graphs of more than a convolution can be compiled: a described GPU needs a libcuda, too. */
bool cuda_planner_fuses(const struct cuda_planner *p);
/** From now on the fastest of the heuristics' first engines is taken; NULL: the first. */
void cuda_planner_measure(struct cuda_planner *p, cuda_time_fn *time, void *ctx);
void cuda_planner_destroy(struct cuda_planner *p);
/** "cuDNN 9.19.0" */
void cuda_planner_version(char *out, size_t size);

/** Plan a convolution, or read the plan that an earlier process left: the heuristics' first engine (or
 * the fastest of the first, where it is measured) that fits the workspace and repeats its bits. Bias
 * and ReLU of OP_CONV are within where cuDNN can (f32 it fuses only by rounding to TF32: info.fused
 * is false, and a pass of our own follows); f32 gradients of bf16 always are.
 * RC_UNSUPPORTED: no engine; RC_LIB, RC_NOMEM. */
NODISCARD enum rc cuda_graph_create(struct cuda_planner *p, const struct op_desc *op,
                                    struct cuda_graph **out, struct err *e);
void cuda_graph_destroy(struct cuda_graph *g);
const struct cuda_graph_info *cuda_graph_info(const struct cuda_graph *g);
/** in: x and w (OP_CONV), dy and w (BWD_DATA), x and dy (BWD_WEIGHTS); bias of a fused OP_CONV. */
NODISCARD enum rc cuda_graph_run(struct cuda_graph *g, const void *in0, const void *in1,
                                 const void *bias, void *out, void *workspace, struct err *e);

/* ---- cuda_cache.c ------------------------------------------------------------------------------ */

/** Where plans are kept: PRECEPTOR_PLAN_CACHE (empty: nowhere), else preceptor/plans in the user's
 * cache. On the heap; NULL: nowhere. */
char *cuda_cache_folder(void);
/** A plan's text (mem_free) and what is known of it; false: there is none of this key. */
bool cuda_cache_read(const char *folder, const char *key, struct cuda_graph_info *info, char **text);
/** Keep it. Failures are nobody's concern. */
void cuda_cache_write(const char *folder, const char *key, const struct cuda_graph_info *info,
                      const char *text);

/* ---- cuda_described.c -------------------------------------------------------------------------- */

/** device_create_described without the registry. */
NODISCARD enum rc cuda_described_create(const char *description, device_plan_fn *on_plan, void *ctx,
                                        struct device **out, struct err *e);

/* ---- cuda_kernels.cu: each returns a cudaError_t ---------------------------------------------- */

#ifdef __cplusplus
extern "C" {
#endif

/** Every operation but the convolutions, args as in device.h. */
int cuda_kernels_run(const struct op_desc *op, void *const args[], void *scratch,
                     struct CUstream_st *stream);
size_t cuda_kernels_scratch_bytes(const struct op_desc *op);
/** What an OP_BN_ACT leaves for its backward. */
size_t cuda_kernels_saved_bytes(const struct op_map *o);

/** (k, r, r, c_weights) f32, scaled if scale is given, -> (k, r, r, c) of the plan's type. */
int cuda_kernels_pack(const struct op_conv *o, const float *weights, const float *scale, void *out,
                      struct CUstream_st *stream);
/** y = act(y + bias[k]) over (rows, k), in place; bias may be NULL. */
int cuda_kernels_bias_act(const struct op_conv *o, size_t rows, const float *bias, void *y,
                          struct CUstream_st *stream);
/** dw (k, r, r, c_weights) += f (k, r, r, c). */
int cuda_kernels_add_weights(const struct op_conv *o, const float *f, float *dw,
                             struct CUstream_st *stream);
/** db[k] += the sum over rows of dy. */
int cuda_kernels_add_bias(const struct op_conv *o, size_t rows, const void *dy, float *db,
                          void *scratch, struct CUstream_st *stream);
size_t cuda_kernels_bias_scratch_bytes(const struct op_conv *o, size_t rows);

#ifdef __cplusplus
}
#endif

#endif

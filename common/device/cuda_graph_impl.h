/**
 * cuDNN's descriptors, shared by the files that write them: cuda_graph.c describes convolutions,
 * cuda_engine.c finds the engine that computes them, cuda_desc.c holds the words for both.
 */
#ifndef PRECEPTOR_CUDA_GRAPH_IMPL_H
#define PRECEPTOR_CUDA_GRAPH_IMPL_H

#include <cudnn.h>

#include "common/device/cuda_impl.h"

enum { CUDA_OWNED_MAX = 24, CUDA_RANK = 4 };

typedef cudnnBackendDescriptor_t desc_ptr; /* cuDNN's own pointer type, shorter */

struct cuda_planner {
    cudnnHandle_t handle; /* NULL: the device is only described */
    desc_ptr props;       /* NULL: the handle's */
    char *device;         /* what plans depend on beside the graph: the device and cuDNN's version */
    char *cache;          /* folder of the plans on disk; NULL: none */
    cuda_time_fn *time;   /* NULL: the heuristics' first engine is taken */
    void *time_ctx;
};

struct cuda_graph {
    struct cuda_graph_info info;
    cudnnHandle_t handle;
    desc_ptr plan, pack; /* pack: the pointers of the last run */
    const void *pointers[CUDA_RANK];
    const void *workspace;
    bool with_bias;
};

/** A description being written; the first failure stays, and what follows does nothing. */
struct cuda_desc {
    const struct cuda_planner *planner;
    desc_ptr owned[CUDA_OWNED_MAX];
    int n_owned;
    desc_ptr ops[CUDA_RANK];
    int n_ops;
    enum rc rc;
    struct err *e;
};

/** RC_LIB or RC_NOMEM with cuDNN's own sentence. */
NODISCARD enum rc cuda_desc_raise(cudnnStatus_t s, const char *what, struct err *e);
/** Whether the description has failed, now or before. */
bool cuda_desc_failed(struct cuda_desc *b, cudnnStatus_t s, const char *what);
desc_ptr cuda_desc_make(struct cuda_desc *b, cudnnBackendDescriptorType_t type);
void cuda_desc_set(struct cuda_desc *b, desc_ptr d, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, int64_t count, const void *value);
void cuda_desc_set_desc(struct cuda_desc *b, desc_ptr d, cudnnBackendAttributeName_t name,
                        desc_ptr value);
void cuda_desc_finalize(struct cuda_desc *b, desc_ptr d, const char *what);
/** Destroy what was made. */
void cuda_desc_release(struct cuda_desc *b);
/** Take d out of what release destroys. */
void cuda_desc_keep(struct cuda_desc *b, desc_ptr d);

/** Find an engine for a finalised operation graph: g->plan and g->info. False: there is none, or b
 * has failed. */
bool cuda_engine_choose(struct cuda_desc *b, desc_ptr graph, const struct op_desc *op,
                        struct cuda_graph *g);
/** The plan as text that another process can read back, on the heap (mem_free); NULL: it has none. */
char *cuda_engine_save(const struct cuda_graph *g);
/** A plan from such a text: g->plan and the workspace. False: cuDNN does not take it (any more). */
bool cuda_engine_restore(const struct cuda_planner *p, const char *text, struct cuda_graph *g);

#endif

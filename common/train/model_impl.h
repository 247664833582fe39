/** What model files and trainer states share: flat buffers as tensors in timm's shapes. */
#ifndef PRECEPTOR_MODEL_IMPL_H
#define PRECEPTOR_MODEL_IMPL_H

#include "common/nn/params.h"
#include "common/train/safetensors.h"

/** Tensors over a flat buffer that is being written; names and permuted weights are owned. */
struct model_tensors {
    struct st_tensor *tensors;
    int n;
    char **names;
    float *permuted;
};

/** Add the views of buffer before offset `end` as `prefix`name in O,I,H,W. RC_NOMEM. */
NODISCARD enum rc model_tensors_create(const struct params *p, const float *buffer, size_t end,
                                       const char *prefix, struct model_tensors *out,
                                       struct err *e);
void model_tensors_release(struct model_tensors *t);

/** Read `prefix`name into a view's place of buffer, permuted back. path: for messages. RC_CORRUPT
 * missing; RC_INVAL another shape or type. */
NODISCARD enum rc model_read_view(const struct st_file *f, const char *path, const char *prefix,
                                  const struct param_view *v, float *buffer, struct err *e);

#endif

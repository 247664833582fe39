/**
 * Model files: safetensors with timm's names and shapes alone, so that a student loads in timm strictly
 * (num_batches_tracked of each BN included); what the file is stands in its metadata.
 */
#ifndef PRECEPTOR_MODEL_H
#define PRECEPTOR_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/nn/params.h"

enum { MODEL_MAX_CLASSES = 65536 };

/** What a model file says of itself, in its safetensors metadata. */
struct model_info {
    char family[64];
    int in_channels;
    int classes;
    char **class_names;     /* classes of them; NULL: unknown (foreign weights) */
    int train_size;         /* px; 0 unknown */
    double crop_pct;        /* evaluation crop; 0 unknown */
    float mean[3], std[3];  /* of pixel/255; of foreign weights ImageNet's */
    char note[256];         /* recipe, step */
};
void model_info_release(struct model_info *m);

/** Write a model file. buffer (n_total) in our layout. */
NODISCARD enum rc model_save(const char *path, const struct params *p, const float *buffer,
                             const struct model_info *info, struct err *e);

/** Only the metadata and shapes: which family it is (by metadata, else by shapes and names among the
 * family). RC_CORRUPT, RC_INVAL not a ResNet-RS. info: model_info_release. */
NODISCARD enum rc model_probe(const char *path, struct model_info *info, struct err *e);

/** Read weights into buffer by name. Extra or missing tensors: RC_INVAL listing them. Another class
 * count: RC_INVAL that says so and how to replace the head, unless replace_head, which leaves fc.* of
 * buffer as it is. F32, F16, BF16, F64 are read. */
NODISCARD enum rc model_load(const char *path, const struct params *p, bool replace_head,
                             float *buffer, struct err *e);

#endif

/**
 * Checkpoints: `model-*.safetensors` holds the EMA under timm's names and timm's shapes alone (loads
 * strictly in timm); `state-*.safetensors` holds raw weights, momentum, EMA and counters;
 * `checkpoint.json` binds the newest pair by digest and is replaced last, so a torn one is never
 * taken (design.md 7.6).
 */
#ifndef PRECEPTOR_CHECKPOINT_H
#define PRECEPTOR_CHECKPOINT_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/nn/params.h"
#include "common/train/trainer.h"

enum { CHECKPOINT_MAX_CLASSES = 65536 };

/** What a model file says of itself, in its safetensors metadata. */
struct model_info {
    char family[64];
    int in_channels;
    int classes;
    char **class_names;     /* classes of them; NULL: unknown (foreign weights) */
    int train_size;         /* px; 0 unknown */
    double crop_pct;        /* evaluation crop; 0 unknown */
    float mean[3], std[3];
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

/** Save trainer state and model into dir as step N; keeps the newest `keep` pairs; rank 0 alone. */
NODISCARD enum rc checkpoint_save(const char *dir, const struct trainer *t,
                                  const struct model_info *info, int keep, const char *run_digest,
                                  struct err *e);
/** Restore the newest whole checkpoint: *step = -1 when there is none. RC_INVAL when it belongs to
 * another run (run_digest differs). Every rank calls it and reads the same files. */
NODISCARD enum rc checkpoint_resume(const char *dir, struct trainer *t, const char *run_digest,
                                    int64_t *step, struct err *e);

#endif

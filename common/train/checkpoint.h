/**
 * Checkpoints: `model-*.safetensors` holds the EMA under timm's names and timm's shapes alone (loads
 * strictly in timm); `state-*.safetensors` holds raw weights, momentum and the step;
 * `checkpoint.json` binds the newest pairs by digest and is replaced last, so a torn one is never
 * taken (design.md 7.6).
 */
#ifndef PRECEPTOR_CHECKPOINT_H
#define PRECEPTOR_CHECKPOINT_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/train/model.h"
#include "common/train/trainer.h"

/** Save trainer state and model into dir as step N; keeps the newest `keep` pairs and the one with the
 * best top-1; rank 0 alone. top1: of an evaluation at this step, in percent; below 0: there was
 * none. */
NODISCARD enum rc checkpoint_save(const char *dir, const struct trainer *t,
                                  const struct model_info *info, int keep, double top1,
                                  const char *run_digest, struct err *e);
/** Restore the newest whole checkpoint (a damaged one is passed over with a warning): *step = -1 when
 * there is none. RC_INVAL it belongs to another run (run_digest differs); RC_CORRUPT all are damaged.
 * Every rank calls it and reads the same files. */
NODISCARD enum rc checkpoint_resume(const char *dir, struct trainer *t, const char *run_digest,
                                    int64_t *step, struct err *e);

#endif

/**
 * A training run from stores to a model file: supervised when there is no unlabeled corpus, else the
 * student of Noisy Student. Resumes from the newest checkpoint of the same run; a finished run is
 * recognised and left alone.
 *
 * RUN/recipe.yaml        the resolved options
 * RUN/metrics.jsonl      one object every log_every steps, and evaluations
 * RUN/model-*, state-*   checkpoints (common/train/checkpoint.h)
 * RUN/model.safetensors  the averaged weights, written at the end
 * RUN/result.json        what the run came to, written last
 */
#ifndef PRECEPTOR_TRAIN_RUN_H
#define PRECEPTOR_TRAIN_RUN_H

#include "common/base/json.h"
#include "common/base/verb.h"
#include "student/train_config.h"

/** Collective. result: what result.json holds, on rank 0 (json_decref), NULL elsewhere.
 * RC_REQUEUE after a checkpoint when call->stop is set; other errors name the store or option. */
NODISCARD enum rc train_run(const struct train_config *c, const struct verb_call *call,
                            json_t **result, struct err *e);

#endif

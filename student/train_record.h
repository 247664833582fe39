/**
 * What a run is made from, for lineage and for whoever asks whether evaluation images could have leaked
 * into it: RUN/stores.json, a manifest of kind "run" (docs/FORMAT.md, section 14).
 */
#ifndef PRECEPTOR_TRAIN_RECORD_H
#define PRECEPTOR_TRAIN_RECORD_H

#include "common/base/json.h"
#include "student/train_stores.h"

/** The stores with their digests, guards and counts of forgotten images. RC_NOMEM. */
NODISCARD enum rc train_record_make(const struct train_config *c, const struct train_stores *s,
                                    const char *run_digest, json_t **out, struct err *e);
/** Write it into the run's folder. RC_IO, RC_NOMEM. */
NODISCARD enum rc train_record_write(const struct train_config *c, const struct train_stores *s,
                                     const char *run_digest, struct err *e);
/** Which guards the images to train on have passed, an array with one object a corpus:
 *   {"store", "passed", "says": "a sentence"}
 * passed: against the evaluation set of the run, or any where it has none. RC_NOMEM. */
NODISCARD enum rc train_record_guards(const struct train_stores *s, json_t **out, struct err *e);

#endif

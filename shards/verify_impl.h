/** Inside verify: verify.c looks at stores, verify_twice.c for keys in two shards, verify_run.c at the
 * folder of a training run. */
#ifndef PRECEPTOR_VERIFY_IMPL_H
#define PRECEPTOR_VERIFY_IMPL_H

#include "common/base/progress.h"
#include "shards/corpus.h"
#include "shards/verify.h"

struct verify {
    const struct verify_config *config;
    struct verify_result *result;
    struct progress progress;
};

/** A damaged thing is a fault and verifying goes on; another error ends it. */
NODISCARD enum rc verify_fault(struct verify *v, enum rc rc, struct err *e);
/** Asked to stop? RC_REQUEUE. */
NODISCARD enum rc verify_step(struct verify *v, struct err *e);
/** Every bit of dir + name, a manifest. */
NODISCARD enum rc verify_manifest(struct verify *v, const char *dir, const char *name,
                                  const char *kind, struct err *e);

/** Whether a key stands in two shards of c, which are sound by themselves: each is a fault. Some
 * 32 MB for any number of images. */
NODISCARD enum rc verify_twice(struct verify *v, struct corpus *c, struct err *e);
/** The folder of a training run: its records, and by their digests the checkpoints and the model. */
NODISCARD enum rc verify_run(struct verify *v, struct err *e);

#endif

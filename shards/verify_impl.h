/** Inside verify: verify.c looks at corpora and selections, verify_labels.c at label stores,
 * verify_twice.c for keys in two shards, verify_run.c at the folder of a training run. */
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
/** A fault of record `at` of a store. */
NODISCARD enum rc verify_say(struct verify *v, const char *where, uint64_t at, const char *what,
                             struct err *e);
/** How many of n shards to look at, and which is the i-th of them. */
int verify_picks(const struct verify *v, int n);
int verify_pick(const struct verify *v, int i, int n);
/** dir's quarantine ledger. */
NODISCARD enum rc verify_ledger(struct verify *v, const char *path, struct err *e);
/** A label store. */
NODISCARD enum rc verify_labels(struct verify *v, struct err *e);
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

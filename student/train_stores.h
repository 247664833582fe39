/**
 * The stores that a run reads, opened and checked against each other: a student refuses to mix stores
 * whose class lists differ and says what differs (design.md 2.4).
 */
#ifndef PRECEPTOR_TRAIN_STORES_H
#define PRECEPTOR_TRAIN_STORES_H

#include "shards/corpus.h"
#include "shards/label_store.h"
#include "shards/selection.h"
#include "student/train_config.h"

struct train_stores {
    struct corpus *labeled, *unlabeled, *eval; /* the last two may be NULL */
    struct label_store *labels;
    struct selection *selection;
};

/** RC_USAGE a store is not given; RC_INVAL they do not fit together; RC_IO, RC_CORRUPT. */
NODISCARD enum rc train_stores_open(const struct train_config *c, struct train_stores *out,
                                    struct err *e);
void train_stores_close(struct train_stores *s);
/** Images of the corpora to train on that were forgotten and are left out. */
uint64_t train_stores_forgotten(const struct train_stores *s);

/** Digest of all that decides the weights: options (where-options apart), stores and initial weights,
 * as hex: two runs with the same one are the same run. */
NODISCARD enum rc train_stores_run_digest(const struct train_config *c,
                                          const struct train_stores *s, char hex[HASH_HEX_DIGEST],
                                          struct err *e);

#endif

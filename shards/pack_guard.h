/**
 * The leak guard of a packed corpus: images near those of evaluation sets are forgotten and listed, and
 * the corpus says which guards it has passed. Only shards that are new to a guard are looked at.
 */
#ifndef PRECEPTOR_PACK_GUARD_H
#define PRECEPTOR_PACK_GUARD_H

#include "shards/pack.h"

/** While the caller holds the corpus, after its manifest was written. Sets result->forbidden and
 * forbidden_now. Without config->forbid it warns where shards have not passed what earlier ones have.
 * RC_INVAL the corpus is its own evaluation set; RC_IO, RC_CORRUPT, RC_NOMEM, RC_REQUEUE. */
NODISCARD enum rc pack_guard(const struct pack_config *config, struct pack_result *result,
                             struct err *e);

#endif

/** The verbs of shards/. */
#ifndef PRECEPTOR_SHARDS_VERBS_H
#define PRECEPTOR_SHARDS_VERBS_H

#include "common/base/verb.h"

extern const struct verb verb_pack;
extern const struct verb verb_inspect;
extern const struct verb verb_verify;
extern const struct verb verb_export;
extern const struct verb verb_dedupe;
extern const struct verb verb_forget;
extern const struct verb verb_lineage;

#endif

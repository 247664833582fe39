/** What a stage's result depends on, as two digests. Private to mpi_launch. */
#ifndef PRECEPTOR_STAGE_DIGEST_H
#define PRECEPTOR_STAGE_DIGEST_H

#include "common/base/hash.h"
#include "mpi_launch/stage.h"

struct stage_digests {
    char options[HASH_HEX_DIGEST]; /* verb, options, identity, inputs */
    char sources[HASH_HEX_DIGEST]; /* what may grow */
};

/** RC_IO names a file that cannot be read. A source that is not there is an error (RC_IO). */
NODISCARD enum rc stage_digest(const struct stage *s, struct stage_digests *out, struct err *e);

#endif

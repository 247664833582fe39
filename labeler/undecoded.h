/** Why an image of a corpus cannot be decoded, for a quarantine ledger. */
#ifndef PRECEPTOR_UNDECODED_H
#define PRECEPTOR_UNDECODED_H

#include "common/image/image.h"
#include "shards/corpus.h"
#include "shards/quarantine.h"

/** The entry of the image at a position of a shard, whose digest was checked: its first source, and
 * what preprocessing it as eval says comes to. *text holds the entry's texts (mem_free).
 * RC_CORRUPT  it can be decoded, or the shard is damaged (named); RC_IO, RC_NOMEM */
NODISCARD enum rc undecoded_entry(struct corpus *c, int shard, uint32_t position,
                                  const struct image_eval *eval, struct quarantine_entry *out,
                                  char **text, struct err *e);

#endif

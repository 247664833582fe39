/**
 * A selection: which images of a corpus, by which label store, how many copies of each; laid out by
 * image shard so that training reads runs. It pins the digests of what it was made from.
 */
#ifndef PRECEPTOR_SELECTION_H
#define PRECEPTOR_SELECTION_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/json.h"

struct selection_entry { /* 8 bytes, position order within a shard */
    uint32_t position;
    uint16_t cls;    /* the class it was chosen for (top-1) */
    uint16_t copies; /* >= 1 */
} __attribute__((packed, aligned(2))); /* as it lies in the file (little-endian) */

struct selection_info {
    struct digest corpus;   /* over the image digests of the labeled shards, in order: corpus_digest
                             * when all shards are labeled */
    struct digest labels;   /* label_store_digest */
    struct digest classes;
    struct digest forgotten; /* corpus_forgotten_digest of what it left out; zeros: nothing */
    int n_classes;
    int shards;
    uint64_t images;        /* entries */
    uint64_t total;         /* with copies */
    char rule[512];         /* how it was chosen, in words and numbers */
    json_t *guards;         /* claims of guards (guard.h), borrowed; NULL: none */
};

struct selection_writer;
NODISCARD enum rc selection_writer_create(const char *path, struct selection_writer **out,
                                          struct err *e);
/** Shards in ascending order; n may be 0. */
NODISCARD enum rc selection_writer_put(struct selection_writer *w, int shard,
                                       const struct selection_entry *entries, uint64_t n,
                                       struct err *e);
/** Seal as path (x.lmdb) and write x.json beside it. info's counts are filled from what was put. */
NODISCARD enum rc selection_writer_seal(struct selection_writer *w, struct selection_info *info,
                                        struct err *e);
void selection_writer_close(struct selection_writer *w); /* unsealed: removed */

struct selection;
NODISCARD enum rc selection_open(const char *path, struct selection **out, struct err *e);
void selection_close(struct selection *s);
const struct selection_info *selection_info(const struct selection *s);
void selection_digest(const struct selection *s, struct digest *out); /* of the file */
/** Claims of guards; NULL: none. */
const json_t *selection_guards(const struct selection *s);
/** Copies in total of one image shard; 0 for a shard that the selection does not know. */
uint64_t selection_total(const struct selection *s, int shard);
/** Entries and total copies of one image shard; entries are borrowed from the map. */
NODISCARD enum rc selection_shard(struct selection *s, int shard,
                                  const struct selection_entry **entries, uint64_t *n,
                                  uint64_t *total, struct err *e);
/** After reading entries: RC_IO a page of the file could not be read since it was opened (named). */
NODISCARD enum rc selection_check(const struct selection *s, struct err *e);

#endif

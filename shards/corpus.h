/**
 * A corpus: sealed image shards with a manifest (corpus.json), a class list and a quarantine
 * ledger. docs/FORMAT.md is the specification. Readers see sealed shards alone.
 *
 * Inside a shard records stand in key order: position i is the i-th key. An image that came from
 * several sources is stored once with its occurrences. shard_reader.h reads the records.
 */
#ifndef PRECEPTOR_CORPUS_H
#define PRECEPTOR_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "shards/class_list.h"

enum { CORPUS_UNLABELED = -1, CORPUS_FORMAT = 1 };

#define CORPUS_KIND "corpus" /* of corpus.json, as a manifest */

struct corpus;

struct corpus_shard {
    char name[32];          /* "images-000000.lmdb" */
    uint64_t images;
    uint64_t occurrences;   /* those found after sealing included in a labeled corpus */
    uint64_t bytes;         /* of the file */
    struct digest digest;   /* SHA-256 of the file */
    bool header;            /* its images were packed by their headers alone: some may not decode */
};

/** Open for reading. RC_IO no such corpus; RC_CORRUPT a manifest that is not one (named);
 * RC_UNSUPPORTED written by a newer version. Verifies nothing of the shards yet. */
NODISCARD enum rc corpus_open(const char *path, struct corpus **out, struct err *e);
/** Close its readers first. NULL is fine. */
void corpus_close(struct corpus *c);

const char *corpus_path(const struct corpus *c);
int corpus_shards(const struct corpus *c);
const struct corpus_shard *corpus_shard(const struct corpus *c, int i);
uint64_t corpus_images(const struct corpus *c);
/** Of them, in shards that were packed by headers alone. */
uint64_t corpus_header_images(const struct corpus *c);
/** Sum over the shards. */
uint64_t corpus_occurrences(const struct corpus *c);
bool corpus_labeled(const struct corpus *c);
/** Class names in class order; 0 for an unlabeled corpus. */
int corpus_classes(const struct corpus *c);
const char *corpus_class(const struct corpus *c, int i);
/** Occurrences of each class, later ones included and forgotten images not: reads the shards that have
 * any. counts (corpus_classes). RC_CORRUPT, RC_IO, RC_NOMEM. */
NODISCARD enum rc corpus_class_counts(struct corpus *c, uint64_t *counts, struct err *e);
/** class_list_digest of the class names. */
void corpus_class_digest(const struct corpus *c, struct digest *out);
/** SHA-256 over the digests of the shards in order, then those of the files of later occurrences in
 * a labeled corpus: what a run pins. */
void corpus_digest(const struct corpus *c, struct digest *out);

/** Claims of the guards that it has passed (guard.h), an array; NULL: none. */
const json_t *corpus_guards(const struct corpus *c);

/* Images that were forgotten (forgotten.h) stay in their shards and keep their positions, and count in
 * `images`; they do not count in `occurrences`, and whoever goes over images leaves them out. */
uint64_t corpus_forgotten(const struct corpus *c);
uint64_t corpus_shard_forgotten(const struct corpus *c, int i);
bool corpus_is_forgotten(const struct corpus *c, int i, uint32_t position);
/** When and why, *bytes of text ("2026-11-24T10:00:00Z takedown 17"); NULL: it is not. */
const char *corpus_forgotten_why(const struct corpus *c, int i, uint32_t position, size_t *bytes);
/** Of the tombstones; zeros when there are none. */
void corpus_forgotten_digest(const struct corpus *c, struct digest *out);

#include "shards/shard_reader.h"

#endif

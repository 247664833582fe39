/**
 * A corpus: sealed image shards with a manifest (corpus.json), a class list and a quarantine
 * ledger. docs/FORMAT.md is the specification. Readers see sealed shards alone.
 *
 * Inside a shard records stand in key order: position i is the i-th key. An image that came from
 * several sources is stored once with its occurrences.
 */
#ifndef PRECEPTOR_CORPUS_H
#define PRECEPTOR_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"

enum { CORPUS_UNLABELED = -1, CORPUS_FORMAT = 1 };

struct corpus;

struct corpus_shard {
    char name[32];          /* "images-000000.lmdb" */
    uint64_t images;
    uint64_t occurrences;   /* >= images */
    uint64_t bytes;         /* of the file */
    struct digest digest;   /* SHA-256 of the file */
};

/** Open for reading. RC_IO no such corpus; RC_CORRUPT a manifest that is not one (named);
 * RC_UNSUPPORTED written by a newer version. Verifies nothing of the shards yet. */
NODISCARD enum rc corpus_open(const char *path, struct corpus **out, struct err *e);
void corpus_close(struct corpus *c);

const char *corpus_path(const struct corpus *c);
int corpus_shards(const struct corpus *c);
const struct corpus_shard *corpus_shard(const struct corpus *c, int i);
uint64_t corpus_images(const struct corpus *c);
uint64_t corpus_occurrences(const struct corpus *c);
bool corpus_labeled(const struct corpus *c);
/** Class names in class order; 0 for an unlabeled corpus. */
int corpus_classes(const struct corpus *c);
const char *corpus_class(const struct corpus *c, int i);
/** SHA-256 of the class names, each followed by '\n'. */
void corpus_class_digest(const struct corpus *c, struct digest *out);
/** SHA-256 over the shards' digests in order: what a run pins. */
void corpus_digest(const struct corpus *c, struct digest *out);

/** The same digest for any list of names. */
void class_list_digest(const char *const names[], int n, struct digest *out);

/* ---- reading a shard ----------------------------------------------------------------------- */

struct shard_reader;

struct shard_record {
    struct key128 key;
    const void *data; /* the file's bytes, borrowed until the reader closes */
    size_t bytes;
    int n_occurrences;
    /* Class of occurrence i: shard_record_class(); sources by shard_reader_source(). */
    const void *occurrences;
};

/** Index of a shard in memory order: 16-byte keys, first class, occurrences; borrowed. */
struct shard_index_entry {
    struct key128 key;
    int32_t cls;            /* of the first occurrence, or CORPUS_UNLABELED */
    uint32_t n_occurrences;
};

/** Open shard i of a corpus; size and digest are checked on the first open of a process unless
 * trust is true. RC_CORRUPT names the shard; RC_IO. Thread-safe to use after opening. */
NODISCARD enum rc shard_reader_open(struct corpus *c, int i, bool trust, struct shard_reader **out,
                                    struct err *e);
void shard_reader_close(struct shard_reader *r);
uint64_t shard_reader_count(const struct shard_reader *r);
/** The index: count entries in position order. */
const struct shard_index_entry *shard_reader_index(const struct shard_reader *r);
/** The record at a position; the key is re-hashed from the bytes (RC_CORRUPT names shard and key). */
NODISCARD enum rc shard_reader_get(struct shard_reader *r, uint64_t position,
                                   struct shard_record *out, struct err *e);
/** Binary search of a key: *found and *position. */
void shard_reader_find(const struct shard_reader *r, const struct key128 *key, bool *found,
                       uint64_t *position);
/** Class of occurrence i in [0, n_occurrences). */
int32_t shard_record_class(const struct shard_record *rec, int i);
/** Source text of occurrence i ("dump/a.tar!x/y.jpg"), not terminated: *bytes long. */
const char *shard_record_source(const struct shard_record *rec, int i, size_t *bytes);

#endif

/**
 * Images that wait to be sealed: their bytes in memory, or in an unnamed scratch file, which vanishes
 * with the process; keys, occurrences, sources and notes on their files in memory.
 */
#ifndef PRECEPTOR_PENDING_H
#define PRECEPTOR_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "shards/known.h"
#include "shards/shard_record.h"

struct pending;

struct pending_image {
    struct key128 key;
    void *block;     /* its bytes in memory; NULL: in the scratch file */
    uint64_t offset; /* there */
    uint64_t bytes;
    uint32_t first, last; /* occurrences: a list */
    uint32_t n_occurrences;
    size_t text_bytes; /* of their sources */
    bool hashed;
    uint64_t phash;
};

/** dir: where the scratch file lives; memory: bytes of images that are kept in memory instead. RC_IO,
 * RC_NOMEM. */
NODISCARD enum rc pending_create(const char *dir, uint64_t memory, struct pending **out,
                                 struct err *e);
void pending_destroy(struct pending *p);

uint32_t pending_count(const struct pending *p);
uint64_t pending_bytes(const struct pending *p);
/** Index of a key in *index, or false. */
bool pending_find(const struct pending *p, const struct key128 *key, uint32_t *index);
/** Add an image that is not there, without occurrences. *block: the heap block that begins with data;
 * it may be taken, and is NULL then (block NULL: there is none). RC_IO disk full; RC_NOMEM. */
NODISCARD enum rc pending_add(struct pending *p, const struct key128 *key, const void *data,
                              size_t bytes, void **block, uint32_t *index, struct err *e);
/** Its perceptual hash is known. */
void pending_set_hash(struct pending *p, uint32_t index, uint64_t phash);
/** Add an occurrence; *same: it was there. */
NODISCARD enum rc pending_occur(struct pending *p, uint32_t index, int32_t cls, const char *source,
                                size_t source_bytes, bool *same, struct err *e);
/** Class of the first occurrence that was added. */
int32_t pending_class(const struct pending *p, uint32_t index);

/** Put the images in key order (indices change; pending_find no longer holds). */
void pending_sort(struct pending *p);
const struct pending_image *pending_at(const struct pending *p, uint32_t index);
/** The occurrences of an image by (class, source), into out (n_occurrences). */
void pending_occurrences(const struct pending *p, uint32_t index, struct shard_occurrence *out);
/** Read so many of the file's bytes, from one on. RC_IO. */
NODISCARD enum rc pending_read(struct pending *p, uint32_t index, uint64_t from, size_t bytes,
                               void *out, struct err *e);

/** A file whose image is among these: it counts as packed when they are sealed. RC_NOMEM. */
NODISCARD enum rc pending_note(struct pending *p, const struct known_note *note, struct err *e);
const struct known_note *pending_notes(const struct pending *p, size_t *n);

/** Move all of from to p; no image is in both. RC_IO, RC_NOMEM. */
NODISCARD enum rc pending_merge(struct pending *p, struct pending *from, struct err *e);
/** Forget all images and notes. RC_IO. */
NODISCARD enum rc pending_reset(struct pending *p, struct err *e);

#endif

/**
 * Occurrences of an image that were met after its shard was sealed: sealed JSONL files
 * occurrences-000000.jsonl beside the shards, one line an occurrence:
 *   {"class":3,"key":"...","shard":0,"source":"dump2/a.jpg"}
 */
#ifndef PRECEPTOR_CORPUS_EXTRA_H
#define PRECEPTOR_CORPUS_EXTRA_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"

struct corpus_extra {
    uint32_t shard;
    int32_t cls;
    struct key128 key;
    char *source;
    uint32_t source_bytes;
    uint64_t order; /* of adding; set by corpus_extras_add */
};

struct corpus_extras {
    struct corpus_extra *all;
    size_t n, room;
};

struct corpus_extra_file {
    char name[32]; /* "occurrences-000000.jsonl" */
    uint64_t lines;
    uint64_t bytes;
    struct digest digest;
};

void corpus_extras_release(struct corpus_extras *x);
/** Copies source. */
NODISCARD enum rc corpus_extras_add(struct corpus_extras *x, const struct corpus_extra *extra,
                                    struct err *e);
/** Sort by (shard, key, order of adding). */
void corpus_extras_sort(struct corpus_extras *x);
/** The sorted ones of a shard: *first and the count. */
size_t corpus_extras_of(const struct corpus_extras *x, uint32_t shard,
                        const struct corpus_extra **first);

/** Write all as dir/f->name atomically; fills lines, bytes, digest. */
NODISCARD enum rc corpus_extra_write(const char *dir, const struct corpus_extras *x,
                                     struct corpus_extra_file *f, struct err *e);
/** Append the lines of a file, after checking its size and digest. RC_CORRUPT names the file. */
NODISCARD enum rc corpus_extra_read(const char *dir, const struct corpus_extra_file *f,
                                    struct corpus_extras *x, struct err *e);

#endif

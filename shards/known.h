/**
 * What a corpus knows, for pack alone: known.lmdb beside the shards. It is a cache that can be made
 * again from the sealed shards, so readers never open it and a killed pack costs nothing but time:
 *   images        key -> shard, class of the first occurrence
 *   occurrences   hash of (key, class, source)
 *   files         hash of a path -> size, mtime, digest, what became of it
 *   meta          how many shards and occurrence files the other tables cover
 */
#ifndef PRECEPTOR_KNOWN_H
#define PRECEPTOR_KNOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "shards/corpus.h"

struct known;

struct known_image {
    uint32_t shard;
    int32_t cls;
};

/** A file or archive that was packed to its end. */
struct known_file {
    uint64_t bytes;
    int64_t mtime_ns;
    struct digest digest; /* of an archive or IDX file; zeros for an image file */
};

/** A file and the hash of its path. */
struct known_note {
    struct key128 path;
    struct known_file file;
};
void known_note_of(const char *path, const struct known_file *file, struct known_note *out);

/** Open or make c's known.lmdb and bring it up to the shards that the manifest lists. Reads whole
 * shards where it has to start anew. RC_IO, RC_CORRUPT (a shard), RC_NOMEM. */
NODISCARD enum rc known_open(struct corpus *c, struct known **out, struct err *e);
/** What was not committed is forgotten; the digest of what was is written (known_sum.h). c must live.
 * NULL is fine. */
void known_close(struct known *k);

NODISCARD enum rc known_find_image(struct known *k, const struct key128 *key, bool *found,
                                   struct known_image *out, struct err *e);
NODISCARD enum rc known_find_occurrence(struct known *k, const struct key128 *key, int32_t cls,
                                        const char *source, size_t source_bytes, bool *found,
                                        struct err *e);
NODISCARD enum rc known_find_file(struct known *k, const char *path, bool *found,
                                  struct known_file *out, struct err *e);

/** Within the open transaction, which known_commit ends. */
NODISCARD enum rc known_put_image(struct known *k, const struct key128 *key,
                                  const struct known_image *image, struct err *e);
NODISCARD enum rc known_put_occurrence(struct known *k, const struct key128 *key, int32_t cls,
                                       const char *source, size_t source_bytes, struct err *e);
NODISCARD enum rc known_put_note(struct known *k, const struct known_note *note, struct err *e);
/** Commit as covering what the manifest lists now. */
NODISCARD enum rc known_commit(struct known *k, const struct corpus *c, struct err *e);

#endif

/**
 * Archives and compressed files, read as a stream: tar and zip; gzip, zstd, xz, bzip2, lz4. The one
 * home of libarchive.
 */
#ifndef PRECEPTOR_UNPACK_H
#define PRECEPTOR_UNPACK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

struct unpack;

struct unpack_member {
    const char *name; /* as stored, any bytes but 0; borrowed until the next call; NULL: unreadable */
    bool folder;
    bool regular;     /* a file with contents; neither this nor folder: a link or a special file */
};

/** RC_CORRUPT it is no archive; RC_IO, RC_NOMEM. */
NODISCARD enum rc unpack_open(const char *path, struct unpack **out, struct err *e);
/** One file, compressed or not: read it at once, without unpack_next. */
NODISCARD enum rc unpack_open_file(const char *path, struct unpack **out, struct err *e);
/** The archive that is the current member of parent; its first bytes were read already and are head
 * (borrowed until close). The parent goes on after close. */
NODISCARD enum rc unpack_open_nested(struct unpack *parent, const void *head, size_t head_bytes,
                                     struct unpack **out, struct err *e);
void unpack_close(struct unpack *u);

/** *more false at the end. RC_CORRUPT: nothing can be read after here. */
NODISCARD enum rc unpack_next(struct unpack *u, struct unpack_member *out, bool *more,
                              struct err *e);
/** Read up to bytes of the current member: *got is 0 at its end. RC_CORRUPT. */
NODISCARD enum rc unpack_read(struct unpack *u, void *buf, size_t bytes, size_t *got,
                              struct err *e);

#endif

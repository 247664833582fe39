/**
 * Where images come from: folders, tar and zip archives (compressed, nested, WebDataset), IDX files,
 * lists of paths, single files. A walk meets each candidate once, in an order that depends on the
 * source alone. What is not a folder, archive, IDX or list is a candidate image, whatever its name.
 *
 * Class of a candidate: the label of an IDX pair; the .cls (or "class", "label" in .json) beside it in
 * an archive; the column of a list; else the name of the folder that holds it (inside the source),
 * or of the nested archive. Files right in a source folder have none.
 */
#ifndef PRECEPTOR_SOURCE_H
#define PRECEPTOR_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/image/image.h"

enum {
    SOURCE_MAX_DEPTH = 3,     /* archives within archives */
    SOURCE_MAX_TEXT = 4096,   /* bytes of a source text */
    SOURCE_MAX_CLASS = 255,
    SOURCE_LOOK_DETAIL = 160
};

/** What the bytes of a file alone tell; source_visitor.look fills it. */
struct source_look {
    struct key128 key;
    enum image_reason why;
    enum rc rc; /* what stops all */
    char detail[SOURCE_LOOK_DETAIL];
};

/** A candidate; everything is borrowed for the call. */
struct source_image {
    const char *text;      /* "dir/x.jpg", "a.tar!x/y.jpg", "images.idx!17": any bytes but 0 */
    const char *inside;    /* the part of text within the source: "x.jpg", "x/y.jpg", "17" */
    const char *container; /* "dir", "a.tar", "images.idx": says nothing of the class */
    const char *cls;       /* its class as text; NULL: none */
    bool numeric;          /* the class is a number, counted from 0 */
    const void *data;      /* image(): the file's bytes; want(): at least the first 512, or NULL */
    size_t bytes;
    const char *path;      /* of a file of its own, with size and time; NULL inside archives */
    uint64_t file_bytes;
    int64_t mtime_ns;
    void **block;          /* image(): the heap block that begins with data; who takes it puts NULL
                            * there and frees it. NULL: none */
    const struct source_look *look; /* image(): what look() told of data; NULL: it was not asked */
};

enum source_known { SOURCE_UNKNOWN, SOURCE_KNOWN_IMAGE, SOURCE_KNOWN_ARCHIVE };

/** What the walk tells. Any error ends the walk. */
struct source_visitor {
    void *ctx;
    /* Whether a file of its own needs no look: it is not opened then. An image still meets want(),
     * without its data; an archive meets nothing. */
    enum rc (*known)(void *ctx, const struct source_image *image, enum source_known *known,
                     struct err *e);
    /* A candidate, in order, each once. want false: image() is not called. */
    enum rc (*want)(void *ctx, const struct source_image *image, bool *want, struct err *e);
    enum rc (*image)(void *ctx, const struct source_image *image, struct err *e);
    /* Something that cannot be read: not a regular file, larger than the limit, a broken archive. */
    enum rc (*bad)(void *ctx, const struct source_image *image, const char *reason,
                   const char *detail, struct err *e);
    /* Optional, with a number of threads that read files ahead: one of them, 0 to ahead - 1, has read a
     * file and fills what its bytes tell. Called beside everything else. */
    void (*look)(void *ctx, int thread, const void *data, size_t bytes, struct source_look *out);
    int ahead;
    /* An archive (or IDX file) was read to its end. */
    enum rc (*done)(void *ctx, const char *path, uint64_t bytes, int64_t mtime_ns, struct err *e);
};

/** Walk the sources in order. An IDX file of one dimension is the labels of the IDX images before it.
 * names_only: files are opened for their first bytes alone; only known() and want() are called.
 * RC_IO     a source is not there or a folder cannot be listed (named)
 * RC_INVAL  an IDX pair does not fit, a list is not understood
 * or what the visitor returned. e must not be NULL. */
NODISCARD enum rc source_walk(const char *const paths[], int n, bool names_only,
                              const struct source_visitor *v, struct err *e);
/** The same for files that a walk met: none of them is a list, whatever its name, and one that is gone
 * or no regular file is told to bad(). */
NODISCARD enum rc source_walk_files(const char *const paths[], int n,
                                    const struct source_visitor *v, struct err *e);

#endif

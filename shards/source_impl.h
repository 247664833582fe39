/** What the kinds of sources share. */
#ifndef PRECEPTOR_SOURCE_IMPL_H
#define PRECEPTOR_SOURCE_IMPL_H

#include <sys/stat.h>
#include <sys/types.h>

#include "shards/source.h"

struct source_ahead;
struct source_read;

struct source {
    const struct source_visitor *v;
    bool names_only;
    struct source_ahead *ahead; /* NULL: files are read when they are met */
};

enum source_kind { SOURCE_IMAGE, SOURCE_ARCHIVE, SOURCE_IDX_IMAGES, SOURCE_IDX_LABELS };

enum { SOURCE_HEAD = 512 }; /* bytes that source_sniff wants to see */

/** The kind by the first bytes. */
enum source_kind source_sniff(const void *head, size_t bytes);
int64_t source_mtime(const struct stat *st);
/** read() until so many bytes are there or the file ends; -1: errno says why. */
ssize_t source_read_some(int fd, void *buf, size_t bytes);

/** want() and, if wanted, image(). */
NODISCARD enum rc source_offer(const struct source *s, const struct source_image *image,
                               struct err *e);
/** bad(), but when only names are walked. */
NODISCARD enum rc source_bad(const struct source *s, const struct source_image *image,
                             const char *reason, const char *detail, struct err *e);
/** The same of a file that is not read, behind those that are read ahead. */
NODISCARD enum rc source_file_bad(const struct source *s, const struct source_image *image,
                                  const char *reason, const char *detail, struct err *e);
/** A file that is not a source of its own: an image, or an archive. image has text, inside,
 * container, cls; path. */
NODISCARD enum rc source_file(const struct source *s, const struct source_image *image,
                              struct err *e);

/** The same, known and read by now (source_ahead.h). */
NODISCARD enum rc source_file_met(const struct source *s, struct source_image *image,
                                  const struct stat *st, enum source_known known,
                                  const struct source_read *read, struct err *e);

NODISCARD enum rc source_dir_walk(const struct source *s, const char *path, struct err *e);
NODISCARD enum rc source_archive_walk(const struct source *s, const char *path,
                                      const struct stat *st, struct err *e);
/** labels: path of the labels, NULL without. */
NODISCARD enum rc source_idx_walk(const struct source *s, const char *path, const char *labels,
                                  struct err *e);
/** Whether the name ends as lists do (.csv .tsv .jsonl .ndjson .txt .lst .list). */
bool source_list_named(const char *path);
NODISCARD enum rc source_list_walk(const struct source *s, const char *path, struct err *e);

#endif

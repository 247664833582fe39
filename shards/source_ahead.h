/**
 * Files read ahead of the walk that meets them: threads open and read them, and tell what their bytes
 * alone tell (source_visitor.look), while the walk deals with earlier ones. It meets them in the order
 * in which they were added, so nothing that it decides depends on the threads.
 */
#ifndef PRECEPTOR_SOURCE_AHEAD_H
#define PRECEPTOR_SOURCE_AHEAD_H

#include <sys/stat.h>

#include "shards/source_impl.h"

struct source_ahead;

/** A file that was read. head: its first bytes, all of them when whole; fd: open behind them, or -1
 * with `failed` (errno). */
struct source_read {
    const unsigned char *head;
    size_t bytes;
    bool whole;
    int fd, failed;
};

/** Threads as v->ahead says. RC_NOMEM, RC_LIB. */
NODISCARD enum rc source_ahead_create(const struct source_visitor *v, struct source_ahead **out,
                                      struct err *e);
/** What was not met is forgotten. NULL is fine. */
void source_ahead_destroy(struct source_ahead *a);
/** Add a file of the walk, which is copied; known ones are met unread. Meets the oldest when there is
 * no room: what source_file_met returned. */
NODISCARD enum rc source_ahead_add(const struct source *s, const struct source_image *image,
                                   const struct stat *st, enum source_known known, struct err *e);
/** Meet all that are left. */
NODISCARD enum rc source_ahead_drain(const struct source *s, struct err *e);

#endif

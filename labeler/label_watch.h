/**
 * The watchdog of a labeling rank. Heartbeats say that a process lives; this says that its work goes
 * on: a batch or the opening of a shard that does not end (a device, a disk, a network file system
 * that does not answer) ends the rank with a sentence that names it, and its shard goes to another.
 */
#ifndef PRECEPTOR_LABEL_WATCH_H
#define PRECEPTOR_LABEL_WATCH_H

#include "common/base/err.h"

struct label_watch;

/** The threads that are watched. */
enum label_watched { LABEL_WATCH_LOOP, LABEL_WATCH_AHEAD, LABEL_WATCHED };

/** What happens when a piece of work does not end; called once, by the watchdog's thread.
 * what, name  as given to label_watch_begin */
typedef void label_watch_late(void *ctx, const char *what, const char *name, double seconds);

/** patience: seconds that a piece of work may take, without those in which this process itself was
 * stopped; 0: for ever, and *out is NULL. RC_NOMEM, RC_LIB. */
NODISCARD enum rc label_watch_create(double patience, label_watch_late *late, void *ctx,
                                     struct label_watch **out, struct err *e);
/** NULL is fine, here and below. */
void label_watch_destroy(struct label_watch *w);

/** A thread begins a piece of work: what (a literal, "labeling a batch of") and the name of the thing,
 * which is copied. Its time begins anew. */
void label_watch_begin(struct label_watch *w, enum label_watched who, const char *what,
                       const char *name);
/** It has ended; waiting for other ranks is not watched. */
void label_watch_end(struct label_watch *w, enum label_watched who);

#endif

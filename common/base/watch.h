/**
 * The watchdog of work that may never end: a disk, a network file system or a device that does not
 * answer. A thread says what it begins; what does not end within the patience is named once, and the
 * owner of the watchdog decides (it ends the process: a thread that hangs can be neither freed nor
 * joined). Heartbeats say that a process lives, this says that its work goes on.
 */
#ifndef PRECEPTOR_WATCH_H
#define PRECEPTOR_WATCH_H

#include "common/base/err.h"

struct watch;

enum { WATCH_SLOTS = 2 }; /* threads that one watchdog watches */

/** What happens when a piece of work does not end; called once, by the watchdog's thread.
 * what, name  as given to watch_begin or watch_at */
typedef void watch_late(void *ctx, const char *what, const char *name, double seconds);

/** patience: seconds that a piece of work may take, without those in which this process itself was
 * stopped; 0: for ever, and *out is NULL. After a minute, or half of the patience, a line in the log
 * says what is being waited for. RC_NOMEM, RC_LIB. */
NODISCARD enum rc watch_create(double patience, watch_late *late, void *ctx, struct watch **out,
                               struct err *e);
/** A watch_late for who cannot go on: a warning that names the work, and the end of this process with
 * code 1, with nothing freed. ctx: who hangs, a string ("rank 2"). Of several ranks the others find it
 * lost. */
watch_late watch_leave;

/** NULL is fine, here and below. Called by a thread that is not watched, or is watched by w. */
void watch_destroy(struct watch *w);

/** The calling thread begins a piece of work: what (a literal, "labeling a batch of") and the name of
 * the thing, which is copied. Its time begins anew. slot: below WATCH_SLOTS, one for each thread. */
void watch_begin(struct watch *w, int slot, const char *what, const char *name);
/** It has ended; waiting for other ranks is not watched. */
void watch_end(struct watch *w, int slot);

/* For code that does not know who watches it; nothing happens where the calling thread has not begun a
 * piece of work. */

/** The calling thread's piece of work is now this one, and its time begins anew. */
void watch_at(const char *what, const char *name);
/** The calling thread's piece of work goes on, for instance one more block was read. */
void watch_tick(void);

#endif

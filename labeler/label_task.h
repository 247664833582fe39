/** One image shard on its way to a label shard: opened, labeled batch by batch, sealed. */
#ifndef PRECEPTOR_LABEL_TASK_H
#define PRECEPTOR_LABEL_TASK_H

#include "labeler/label_run.h"

struct label_task;

/** Open image shard `shard` (its digest is checked), resume or begin its label shard, and set the
 * feed going over the images that have no committed label yet. A shard that is sealed by now has
 * nothing left to do. Errors as label_run. */
NODISCARD enum rc label_task_open(const struct label_job *job, int shard, uint32_t attempt,
                                  struct label_task **out, struct err *e);
/** What was not sealed stays as a partial, to be resumed. NULL is fine. */
void label_task_close(struct label_task *t);

int label_task_shard(const struct label_task *t);
/** Images found committed, and still to be labeled. */
int64_t label_task_resumed(const struct label_task *t);
int64_t label_task_left(const struct label_task *t);
/** Seconds without pixels so far. */
double label_task_waited(const struct label_task *t);

/** Label a batch and commit it; *n images, 0 when none is left; *bad of them cannot be decoded. */
NODISCARD enum rc label_task_step(struct label_task *t, int *n, int *bad, struct err *e);
/** Seal the label shard. *won: it was not sealed before. */
NODISCARD enum rc label_task_seal(struct label_task *t, bool *won, struct err *e);

#endif

/**
 * The audit of a label shard before it is sealed: a sample of its images, chosen by their keys alone,
 * is labeled in f32 too, and what differs is written into the shard (docs/FORMAT.md, section 9).
 */
#ifndef PRECEPTOR_AUDIT_H
#define PRECEPTOR_AUDIT_H

#include "labeler/label_run.h"

enum { AUDIT_MAX = 65536 };

/** Audit the labels that w has committed for an image shard: job->audit images, fewer if the shard has
 * not as many. RC_INVAL: they drift by more than job->max_drift (a sentence that says what to do);
 * RC_CORRUPT, RC_IO, RC_LIB, RC_NOMEM. */
NODISCARD enum rc audit_shard(const struct label_job *job, int shard, struct label_writer *w,
                              struct err *e);

#endif

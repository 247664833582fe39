/** A run's folder: one training run at a time writes there. */
#ifndef PRECEPTOR_TRAIN_FOLDER_H
#define PRECEPTOR_TRAIN_FOLDER_H

#include "common/base/err.h"
#include "student/train_config.h"

/** Make and hold c->out; rank 0 alone. The ranks of a killed job, which may still be ending, are waited
 * for some seconds. RC_INVAL: another run is at work there; RC_IO. */
NODISCARD enum rc train_folder_hold(const struct train_config *c, int *lock, struct err *e);
/** Remove what a killed run left half written, and write recipe.yaml; rank 0 alone. */
NODISCARD enum rc train_folder_begin(const struct train_config *c, struct err *e);
/** Lets the folder go; -1 is fine. */
void train_folder_close(int lock);

#endif

/** What a run would be, before it starts: `preceptor train --dry-run`. */
#ifndef PRECEPTOR_TRAIN_DRY_RUN_H
#define PRECEPTOR_TRAIN_DRY_RUN_H

#include "student/train_config.h"

/** Print the resolved recipe, the model's cost, steps, images and the learning-rate curve on stdout.
 * Without --data, ImageNet's image and class counts stand in (options dry_run_images, _classes). */
NODISCARD enum rc train_dry_run(const struct train_config *c, struct err *e);

#endif

/**
 * How fast a member of the family labels here, for `preceptor models --speed`.
 */
#ifndef PRECEPTOR_MODELS_SPEED_H
#define PRECEPTOR_MODELS_SPEED_H

#include "common/base/err.h"
#include "common/device/device.h"
#include "common/nn/family.h"

/** Images a second of inference alone, by the fastest of the passes of about a second (two at least);
 * random weights, pixels in memory. RC_NOMEM, RC_LIB, RC_INVAL, RC_UNSUPPORTED as net_create. */
NODISCARD enum rc models_speed(struct device *dev, const struct nn_model *m, int batch, int size,
                               enum dtype type, double *images_per_second, struct err *e);

#endif

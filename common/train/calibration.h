/**
 * Calibration: a temperature T by which logits are divided, fitted where probabilities softmax(z/T)
 * make the true classes of held-out images most likely, and judged on the other images.
 * Source: Guo 2017, section 4.2; softmax(z/T) is what Noisy Student's p^(1/T) is (label_to_target).
 */
#ifndef PRECEPTOR_CALIBRATION_H
#define PRECEPTOR_CALIBRATION_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/coll/coll.h"
#include "common/train/evaluate.h"

enum { CALIBRATION_EVERY = 5 }; /* of so many images one is held out */

struct calibration;

/** Keep the logits of this rank's images, of which the first is number `first` of the whole set: any
 * number of ranks holds out the same images. RC_NOMEM. */
NODISCARD enum rc calibration_create(int classes, uint64_t first, struct calibration **out,
                                     struct err *e);
void calibration_destroy(struct calibration *c);
/** The next image: logits (classes). RC_NOMEM names the size. */
NODISCARD enum rc calibration_add(struct calibration *c, const float *logits, int32_t cls,
                                  struct err *e);

/** T in [1/20, 20], to 1e-6 relative, of the held-out images of all ranks, and how many those are.
 * Collective; equal on every rank. RC_INVAL no image was held out. */
NODISCARD enum rc calibration_fit(const struct calibration *c, struct coll *coll,
                                  double *temperature, int64_t *held, struct err *e);

/** Evaluate the images that were not held out at a temperature. Collective. v: evaluation_release. */
NODISCARD enum rc calibration_evaluate(const struct calibration *c, double temperature,
                                       struct coll *coll, struct evaluation *v, struct err *e);

#endif

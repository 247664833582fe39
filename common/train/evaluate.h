/**
 * Evaluation: top-1, top-5, NLL, ECE (15 bins), per class; split by image over ranks so that each image
 * counts once (design.md 7.12). Sums in int64 and f64, so any number of ranks gives the same counts.
 */
#ifndef PRECEPTOR_EVALUATE_H
#define PRECEPTOR_EVALUATE_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/coll/coll.h"
#include "common/nn/net.h"

enum { EVALUATE_BINS = 15 };

struct calibration;

struct evaluation {
    int64_t images, top1, top5;
    double nll;              /* mean -ln p(true) */
    double ece;              /* expected calibration error */
    int classes;
    int64_t *per_class;      /* (classes) images */
    int64_t *per_class_top1; /* (classes) right ones */
    double bin_confidence[EVALUATE_BINS]; /* sums */
    int64_t bin_images[EVALUATE_BINS], bin_right[EVALUATE_BINS];
    struct calibration *kept; /* borrowed: keeps each image's logits too (calibration.h); or NULL */
};

NODISCARD enum rc evaluation_init(struct evaluation *v, int classes, struct err *e);
void evaluation_release(struct evaluation *v);
/** Add one image's probabilities. */
void evaluation_add(struct evaluation *v, const float *probs, int32_t cls);
/** Sum over ranks and finish the means. Collective. */
NODISCARD enum rc evaluation_finish(struct evaluation *v, struct coll *c, struct err *e);

#endif

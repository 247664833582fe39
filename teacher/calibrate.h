/**
 * Calibration of a teacher for int8: a seeded sample of images goes through its f32 network, and what
 * was seen becomes the ranges of common/nn/quant.h. Kept as a file (docs/FORMAT.md, "A calibration"),
 * so that labels of a corpus that has grown since are made with the ranges of the first.
 */
#ifndef PRECEPTOR_CALIBRATE_H
#define PRECEPTOR_CALIBRATE_H

#include "common/coll/coll.h"
#include "common/nn/quant.h"
#include "shards/corpus.h"
#include "teacher/teacher.h"

enum { CALIBRATE_IMAGES = 128, CALIBRATE_MAX = 65536, CALIBRATE_BATCH = 16 };

/** What a calibration is of, beside the corpus. */
struct calibrate_rule {
    int images; /* of the sample, at most the corpus's */
    uint64_t seed;
    struct image_eval eval;
};

/* ---- by hand: rows of pixels ------------------------------------------------------------------ */

struct calibrate;

/** The f32 network of the teacher on dev (which computes on the host), with a batch of
 * CALIBRATE_BATCH. */
NODISCARD enum rc calibrate_begin(const struct teacher *t, struct device *dev, int size,
                                  struct calibrate **out, struct err *e);
/** pixels (CALIBRATE_BATCH, size, size, channels), of which the first n are images. */
NODISCARD enum rc calibrate_add(struct calibrate *c, const uint8_t *pixels, int n, struct err *e);
/** The ranges of what was added, the caller's. */
void calibrate_end(struct calibrate *c, struct quant **out);
void calibrate_destroy(struct calibrate *c);

/* ---- of a corpus ------------------------------------------------------------------------------ */

/** Calibrate on a sample of the corpus: the same for any number of decoders and threads. RC_INVAL: it
 * holds no image; RC_UNSUPPORTED: dev is not the host. */
NODISCARD enum rc calibrate_corpus(const struct teacher *t, struct device *dev, struct corpus *corpus,
                                   const struct calibrate_rule *rule, int decoders,
                                   struct quant **out, struct err *e);

/**
 * The same on rank 0 for all ranks, by broadcast. Collective.
 * folder  NULL, or where calibrations are kept: the one of this teacher and rule is taken if it is
 *         there, whatever corpus it was made on, and else made and written.
 * digest  of the file's content, for a lineage; NULL without a folder
 */
NODISCARD enum rc calibrate_share(struct coll *coll, const char *folder, const struct teacher *t,
                                  struct device *dev, struct corpus *corpus,
                                  const struct calibrate_rule *rule, int decoders,
                                  struct quant **out, struct digest *digest, struct err *e);

#endif

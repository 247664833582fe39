/**
 * A trained network made ready to label: its file, class list and preprocessing.
 */
#ifndef PRECEPTOR_TEACHER_H
#define PRECEPTOR_TEACHER_H

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/device/device.h"
#include "common/image/image.h"
#include "common/nn/net.h"
#include "common/train/checkpoint.h"

struct teacher;

/** Load a model file. classes_path: a text file, a name a line, for foreign weights (NULL: the file's
 * own list). RC_INVAL, RC_CORRUPT, RC_IO name the file. */
NODISCARD enum rc teacher_open(const char *path, const char *classes_path, struct teacher **out,
                               struct err *e);
void teacher_close(struct teacher *t);

const struct model_info *teacher_info(const struct teacher *t);
const struct params *teacher_params(const struct teacher *t);
const float *teacher_weights(const struct teacher *t);
/** SHA-256 of the model file. */
void teacher_digest(const struct teacher *t, struct digest *out);
/** SHA-256 of its class list; RC_INVAL if it has none (say --classes). */
NODISCARD enum rc teacher_class_digest(const struct teacher *t, struct digest *out, struct err *e);
/** The preprocessing it wants: size 0 takes the family's test size or the file's train size; crop_pct 0
 * takes the file's or the family's. */
void teacher_eval(const struct teacher *t, int size, double crop_pct, struct image_eval *out);

/** A predictor: the teacher on a device with a fixed batch. */
struct predictor;
NODISCARD enum rc predictor_create(const struct teacher *t, struct device *dev, int batch, int size,
                                   enum dtype type, struct predictor **out, struct err *e);
/** In int8 by a calibration of this teacher (calibrate.h), borrowed until predictor_destroy.
 * RC_UNSUPPORTED: dev does not compute in int8. */
NODISCARD enum rc predictor_create_int8(const struct teacher *t, struct device *dev, int batch,
                                        int size, const struct quant *quant, struct predictor **out,
                                        struct err *e);
/** In f32 and without lanes (net.h), so that net_observe sees whole batches. */
NODISCARD enum rc predictor_create_whole(const struct teacher *t, struct device *dev, int batch,
                                         int size, struct predictor **out, struct err *e);
void predictor_destroy(struct predictor *p);
/** pixels (batch, size, size, channels) -> probs (batch, classes); logits likewise or NULL. */
NODISCARD enum rc predictor_run(struct predictor *p, const uint8_t *pixels, float *probs,
                                float *logits, struct err *e);
/** Its network, borrowed (for evaluate_net). */
struct net *predictor_net(struct predictor *p);

#endif

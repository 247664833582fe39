/**
 * A calibration as a file: FOLDER/calibration-<16 hex digits>.json, named by what it is of.
 */
#ifndef PRECEPTOR_CALIBRATE_IMPL_H
#define PRECEPTOR_CALIBRATE_IMPL_H

#include "teacher/calibrate.h"

/** Fill q (of the teacher's model) and digest from the file, if it is there. RC_CORRUPT and RC_IO
 * name it. */
NODISCARD enum rc calibrate_file_read(const char *folder, const struct teacher *t,
                                      const struct calibrate_rule *rule, struct quant *q,
                                      struct digest *digest, bool *found, struct err *e);
NODISCARD enum rc calibrate_file_write(const char *folder, const struct teacher *t,
                                       const struct calibrate_rule *rule, const struct quant *q,
                                       struct err *e);

#endif

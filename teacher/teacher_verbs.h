/** The verbs of teacher/. */
#ifndef PRECEPTOR_TEACHER_VERBS_H
#define PRECEPTOR_TEACHER_VERBS_H

#include "common/base/verb.h"

extern const struct verb verb_eval, verb_predict;

#endif

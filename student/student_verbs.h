/** The verbs of student/. */
#ifndef PRECEPTOR_STUDENT_VERBS_H
#define PRECEPTOR_STUDENT_VERBS_H

#include "common/base/verb.h"

extern const struct verb verb_train;

#endif

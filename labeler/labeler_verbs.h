/** The verbs of labeler/. */
#ifndef PRECEPTOR_LABELER_VERBS_H
#define PRECEPTOR_LABELER_VERBS_H

#include "common/base/verb.h"

extern const struct verb verb_label;
extern const struct verb verb_select;
extern const struct verb verb_report;

#endif

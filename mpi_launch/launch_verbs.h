/** The program's version, the verbs of this folder, and the table of them all that main.c holds. */
#ifndef PRECEPTOR_LAUNCH_VERBS_H
#define PRECEPTOR_LAUNCH_VERBS_H

#include "common/base/verb.h"

#define PRECEPTOR_VERSION "0.1.0"

extern const struct verb verb_run;
extern const struct verb verb_doctor;
extern const struct verb verb_models;
extern const struct verb verb_plan;

/** The verb with this name, or NULL. */
const struct verb *main_verb(const char *name);

#endif

/** The stages of a run: pack, teacher, and for each generation label, select, student; evaluations. */
#ifndef PRECEPTOR_RUN_PLAN_H
#define PRECEPTOR_RUN_PLAN_H

#include "common/base/verb.h"
#include "mpi_launch/run_config.h"
#include "mpi_launch/stage.h"

enum { RUN_MAX_STAGES = 5 + 4 * RECIPE_MAX_GENERATIONS };

struct run_plan {
    struct stage stages[RUN_MAX_STAGES];
    int n;
    int eval_teacher; /* index of the teacher's evaluation; -1: no eval corpus */
    int eval_student; /* of the last student's; -1: none */
    char *model;      /* the last model made */
    char *data_eval;  /* evaluation corpus; NULL: none */
};

/** In order of running; each stage needs only what those before it make. find: verbs by name.
 * RC_INVAL a section is missing that a stage needs (named). Release: run_plan_release. */
NODISCARD enum rc run_plan_make(const struct run_config *c, const struct recipe *r,
                                const struct verb *(*find)(const char *), struct run_plan *out,
                                struct err *e);
void run_plan_release(struct run_plan *p);

/** `mpirun ...` for the configured launcher; nothing for one local rank. */
NODISCARD enum rc run_plan_launcher(const struct run_config *c, struct args *out, struct err *e);

#endif

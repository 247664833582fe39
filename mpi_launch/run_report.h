/** What a run tells at its end: OUT/summary.json, the table, what to try next. */
#ifndef PRECEPTOR_RUN_REPORT_H
#define PRECEPTOR_RUN_REPORT_H

#include <stdio.h>

#include "common/base/json.h"
#include "mpi_launch/run_plan.h"

/** {name, teacher_top1, student_top1, difference (per cent and points; absent without an evaluation),
 * seconds, ranks, seed, model, stages: [{stage, images, seconds, images_per_second, skipped}]}.
 * RC_NOMEM. The caller's reference. */
NODISCARD enum rc run_report_summary(const struct run_config *c, const struct run_plan *p,
                                     json_t **out, struct err *e);

/** The table and the next commands, as text. program: how one calls it here. */
void run_report_print(FILE *out, const struct run_config *c, const struct run_plan *p,
                      const json_t *summary, const char *program);

#endif

/**
 * metrics.jsonl: one JSON object a line, for machines. Appended whole lines; a torn last line from
 * a killed run is cut off on opening.
 */
#ifndef PRECEPTOR_METRICS_H
#define PRECEPTOR_METRICS_H

#include <stdint.h>

#include "common/base/err.h"

struct metrics;

/** Open path for appending; after a resume from step, lines with "step" >= keep_below are dropped
 * (keep_below < 0 keeps all). RC_IO. */
NODISCARD enum rc metrics_open(const char *path, int64_t keep_below, struct metrics **out,
                               struct err *e);
/** Flushes; NULL is fine. */
void metrics_close(struct metrics *m);

/** Begin a line {"step": step}; then numbers and strings; then end (written and flushed). */
void metrics_begin(struct metrics *m, int64_t step);
void metrics_number(struct metrics *m, const char *name, double value);
void metrics_string(struct metrics *m, const char *name, const char *value);
/** RC_IO: disk full; the line is not there or whole. */
NODISCARD enum rc metrics_end(struct metrics *m, struct err *e);

#endif

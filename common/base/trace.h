/**
 * A trace of the first steps of long work, for chrome://tracing and Perfetto (the Trace Event
 * Format's complete events): one JSON object a span, written as it ends.
 *
 * A trace records a fixed number of steps and is then idle, so a long run pays for a few steps only.
 * One thread writes it.
 */
#ifndef PRECEPTOR_TRACE_H
#define PRECEPTOR_TRACE_H

#include <stdbool.h>

#include "common/base/err.h"

struct trace;

enum { TRACE_STEPS = 5 };

/** Make the file (an old one is replaced), for `steps` steps from now. RC_IO, RC_NOMEM. */
NODISCARD enum rc trace_open(const char *path, int steps, struct trace **out, struct err *e);
/** End the file and free. RC_IO: something could not be written. NULL is fine. */
NODISCARD enum rc trace_close(struct trace *t, struct err *e);

/** Whether spans are recorded: false for NULL and after the last step. */
bool trace_on(const struct trace *t);

/** A span from `start` (clock_now) to now. category: "convolution", "wait", ...: what colours and
 * sums go by. name and detail (or NULL) are copied. Nothing happens unless trace_on. */
void trace_span(struct trace *t, const char *category, const char *name, const char *detail,
                double start);
/** A step has ended, which began at `start`: a span around its own; one less to record. */
void trace_step(struct trace *t, const char *name, double start);

#endif

/**
 * A training run as one self-contained page of HTML: what came out, its curves, what it was made from,
 * which guards its images passed, what was forgotten, the recipe. Everything is in the file; nothing
 * is loaded from anywhere.
 */
#ifndef PRECEPTOR_REPORT_H
#define PRECEPTOR_REPORT_H

#include <stddef.h>

#include "common/base/err.h"
#include "common/base/json.h"

enum report_curve { REPORT_LOSS, REPORT_LR, REPORT_SPEED, REPORT_TOP1, REPORT_CURVES };

struct report_point {
    double step, value;
};

struct report_series {
    struct report_point *points; /* (n) in the order of the file */
    size_t n, room;
};

struct report_run {
    const char *path;
    json_t *result; /* NULL: the run is not finished */
    json_t *stores; /* NULL: made before there were records */
    char *recipe;   /* text, or NULL */
    struct report_series curves[REPORT_CURVES];
};

/** Read what is in the folder of a run. RC_INVAL it is none; RC_IO, RC_CORRUPT, RC_NOMEM. */
NODISCARD enum rc report_read(const char *path, struct report_run *out, struct err *e);
void report_release(struct report_run *r);
/** The page, on the heap (mem_free). RC_NOMEM. */
NODISCARD enum rc report_page(const struct report_run *r, char **out, size_t *bytes, struct err *e);

#endif

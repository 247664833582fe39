/**
 * Progress of long work: one rewritten line on a terminal, else a plain line every 30 s (and at
 * the end). Only rank 0 shows it; --quiet hides it.
 *   label | 41000/60000 images (68 %) | 5312 img/s | io wait 3 % | eta 2h10
 */
#ifndef PRECEPTOR_PROGRESS_H
#define PRECEPTOR_PROGRESS_H

#include <stdint.h>

struct progress {
    const char *what; /* "label", "student epoch 3/10"; caller's storage while in use */
    const char *unit; /* "images", "steps" */
    int64_t total;    /* 0: unknown, no per cent and no eta */
    int64_t first;    /* done before this process started (resumed work): not in the rate */
    int64_t done;
    double start, shown;
};

void progress_begin(struct progress *p, const char *what, const char *unit, int64_t total,
                    int64_t already_done);
/** done: so far, already_done included. detail: "loss 2.31 | lr 0.12" or NULL. Cheap: shows at most
 * 5 times a second. */
void progress_update(struct progress *p, int64_t done, const char *detail);
/** A last line with the total time and rate. */
void progress_end(struct progress *p, const char *detail);

#endif

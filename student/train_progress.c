#include "student/train_progress.h"

#include <math.h>
#include <stdio.h>

/* What the line ends with: nothing before the first step is done. */
static const char *detail_of(const struct train_progress *p)
{
    return p->detail[0] != '\0' ? p->detail : NULL;
}

void train_progress_begin(struct train_progress *p, const char *what, int64_t first)
{
    p->detail[0] = '\0';
    progress_begin(&p->line, what, "images", p->steps * p->images, first * p->images);
}

enum rc train_progress_next(void *ctx, int64_t step, int micro, struct trainer_batch *out,
                            struct err *e)
{
    struct train_progress *p = ctx;
    const int64_t at = (micro - p->first_micro) * p->images / p->n_micro;

    progress_update(&p->line, step * p->images + at, detail_of(p));
    return p->source(p->ctx, step, micro, out, e);
}

void train_progress_step(struct train_progress *p, int64_t steps, const struct trainer_stats *s,
                         double seconds)
{
    (void)snprintf(p->detail, sizeof p->detail,
                   "step %lld/%lld | loss %.3f | lr %.3g | io wait %.0f %%", (long long)steps,
                   (long long)p->steps, s->loss, s->lr,
                   100 * s->wait_input_s / fmax(seconds, 1e-9));
    progress_update(&p->line, steps * p->images, p->detail);
}

void train_progress_end(struct train_progress *p)
{
    progress_end(&p->line, detail_of(p));
}

#include "common/train/schedule.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

/* TF1 divides by 10 at 30, 60 and 80 of 90 epochs. */
static double step_factor(int64_t step, int64_t steps)
{
    double epoch = steps > 0 ? 90.0 * (double)step / (double)steps : 0.0;

    return epoch < 30.0 ? 1.0 : epoch < 60.0 ? 0.1 : epoch < 80.0 ? 0.01 : 0.001;
}

/* The rate without warm-up. */
static double decayed(const struct schedule *s, int64_t step)
{
    double done;

    switch (s->kind) {
    case SCHEDULE_STEP:
        return s->lr * step_factor(step, s->steps);
    case SCHEDULE_CONSTANT:
        return s->lr;
    case SCHEDULE_COSINE:
        done = s->steps > 0 ? (double)(step < s->steps ? step : s->steps) / (double)s->steps : 1.0;
        return 0.5 * s->lr * (1.0 + cos(acos(-1.0) * done));
    }
    assert(false && "a kind of schedule");
    return 0;
}

double schedule_lr(const struct schedule *s, int64_t step)
{
    if (step < s->warmup) {
        return (double)step / (double)s->warmup * decayed(s, s->warmup);
    }
    return decayed(s, step);
}

double schedule_ema_decay(double decay, int64_t t)
{
    double warm = (1.0 + (double)t) / (10.0 + (double)t);

    return warm < decay ? warm : decay;
}

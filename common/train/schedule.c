#include "common/train/schedule.h"

#include <math.h>

static double schedule_cosine(const struct schedule *s, double step)
{
    double t = fmin(step, (double)s->steps) / (double)s->steps;

    return 0.5 * s->lr * (1 + cos(3.14159265358979323846 * t));
}

/* TF1's resnet_main: a tenth at 30/90, 60/90 and 80/90 of the run. */
static double schedule_steps(const struct schedule *s, double step)
{
    double t = step / (double)s->steps * 90;

    return s->lr * (t < 30 ? 1 : t < 60 ? 0.1 : t < 80 ? 0.01 : 0.001);
}

static double schedule_base(const struct schedule *s, double step)
{
    switch (s->kind) {
    case SCHEDULE_COSINE:
        return schedule_cosine(s, step);
    case SCHEDULE_STEP:
        return schedule_steps(s, step);
    case SCHEDULE_CONSTANT:
        break;
    }
    return s->lr;
}

double schedule_lr(const struct schedule *s, int64_t step)
{
    if (step < s->warmup) {
        return (double)step / (double)s->warmup * schedule_base(s, (double)s->warmup);
    }
    return schedule_base(s, (double)step);
}

double schedule_ema_decay(double decay, int64_t t)
{
    return fmin(decay, (1 + (double)t) / (10 + (double)t));
}

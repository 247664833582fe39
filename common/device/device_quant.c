#include <math.h>

#include "common/device/device_impl.h"

static const float STEP_MIN = 1e-30F; /* below it a channel's weights are taken for zeros */

static float largest(const float *w, size_t n, float scale)
{
    float most = 0;

    for (size_t i = 0; i < n; i++) {
        most = fmaxf(most, fabsf(w[i] * scale));
    }
    return most;
}

void device_quant_weights(const struct op_conv *o, const float *weights, const float *scale,
                          int8_t *q, float *step)
{
    const size_t taps = (size_t)o->r * (size_t)o->r;
    const size_t cw = (size_t)o->c_weights;
    const size_t c = (size_t)o->c;

    for (size_t k = 0; k < (size_t)o->k; k++) {
        const float *w = weights + k * taps * cw;
        const float s = scale != NULL ? scale[k] : 1.0F;
        const float most = largest(w, taps * cw, s) / 127;

        step[k] = most > STEP_MIN ? most : 1.0F;
        for (size_t t = 0; t < taps; t++) {
            int8_t *to = q + (k * taps + t) * c;

            for (size_t i = 0; i < c; i++) {
                to[i] = i < cw ? (int8_t)lrintf(w[t * cw + i] * s / step[k]) : 0;
            }
        }
    }
}

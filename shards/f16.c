#include <string.h>

#include "shards/label_store.h"

uint16_t f16_from_f32(float x)
{
    uint32_t u = 0;
    uint16_t sign = 0;

    memcpy(&u, &x, sizeof u);
    sign = (uint16_t)(u >> 16 & 0x8000u);
    u &= 0x7FFFFFFFu;
    if (u > 0x7F800000u) {
        return sign | 0x7E00u; /* NaN */
    }
    if (u >= 0x477FF000u) {
        return sign | 0x7C00u; /* from 65520 on: infinity */
    }
    if (u < 0x33000000u) {
        return sign; /* below 2^-25 */
    }
    if (u < 0x38800000u) { /* below 2^-14: units of 2^-24 */
        uint32_t mantissa = (u & 0x7FFFFFu) | 0x800000u;
        uint32_t shift = 126 - (u >> 23);
        uint32_t h = mantissa >> shift;
        uint32_t rest = mantissa & ((1u << shift) - 1);
        uint32_t half = 1u << (shift - 1);

        h += rest > half || (rest == half && (h & 1));
        return (uint16_t)(sign | h);
    }
    u -= 0x38000000u; /* the exponent's bias: 127 - 15 */
    u += 0xFFFu + (u >> 13 & 1);
    return (uint16_t)(sign | u >> 13);
}

float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = h >> 10 & 31u;
    uint32_t mantissa = h & 1023u;
    uint32_t u = 0;
    float x = 0;

    if (exponent == 0) {
        x = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -x : x;
    }
    u = exponent == 31 ? 0x7F800000u | mantissa << 13 : (exponent + 112) << 23 | mantissa << 13;
    u |= sign;
    memcpy(&x, &u, sizeof x);
    return x;
}

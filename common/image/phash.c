#include "common/image/phash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PHASH_SIDE = 32,
    PHASH_WAVES = 11, /* frequencies along a side that the 64 lowest need */
    PHASH_ONE = 1 << 14,
    PHASH_SPREAD = 37
};

static const double PHASH_FLAT = 2; /* gray levels */

static void phash_gray(const uint8_t *rgb, int channels, int32_t gray[PHASH_SIDE * PHASH_SIDE])
{
    for (int i = 0; i < PHASH_SIDE * PHASH_SIDE; i++) {
        const uint8_t *p = rgb + (ptrdiff_t)i * channels;

        gray[i] = channels == 1 ? p[0] : (19595 * p[0] + 38470 * p[1] + 7471 * p[2] + 0x8000) >> 16;
    }
}

static void phash_basis(int32_t basis[PHASH_WAVES][PHASH_SIDE])
{
    const double step = acos(-1.0) / (2 * PHASH_SIDE);

    for (int u = 0; u < PHASH_WAVES; u++) {
        for (int x = 0; x < PHASH_SIDE; x++) {
            double wave = u == 0 ? sqrt(0.5) : cos(step * (2 * x + 1) * u);

            basis[u][x] = (int32_t)lround(PHASH_ONE * wave);
        }
    }
}

/* Coefficient [v][u] times PHASH_ONE^2 * PHASH_SIDE / 2. */
static void phash_dct(const int32_t gray[PHASH_SIDE * PHASH_SIDE],
                      int64_t out[PHASH_WAVES][PHASH_WAVES])
{
    int32_t basis[PHASH_WAVES][PHASH_SIDE];
    int64_t rows[PHASH_SIDE][PHASH_WAVES];

    phash_basis(basis);
    for (int y = 0; y < PHASH_SIDE; y++) {
        for (int u = 0; u < PHASH_WAVES; u++) {
            rows[y][u] = 0;
            for (int x = 0; x < PHASH_SIDE; x++) {
                rows[y][u] += basis[u][x] * gray[y * PHASH_SIDE + x];
            }
        }
    }
    for (int v = 0; v < PHASH_WAVES; v++) {
        for (int u = 0; u < PHASH_WAVES; u++) {
            out[v][u] = 0;
            for (int y = 0; y < PHASH_SIDE; y++) {
                out[v][u] += basis[v][y] * rows[y][u];
            }
        }
    }
}

static int phash_compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t phash_bits(int64_t dct[PHASH_WAVES][PHASH_WAVES])
{
    const double scale = (double)PHASH_ONE * PHASH_ONE * PHASH_SIDE / 2;
    int64_t lowest[PHASH_BITS];
    int64_t sorted[PHASH_BITS];
    double power = 0;
    uint64_t bits = 0;
    int n = 0;

    for (int sum = 1; n < PHASH_BITS; sum++) {
        for (int u = 0; u <= sum && n < PHASH_BITS; u++) {
            lowest[n] = dct[sum - u][u];
            power += ((double)lowest[n] / scale) * ((double)lowest[n] / scale);
            n++;
        }
    }
    if (power < PHASH_FLAT * PHASH_FLAT * PHASH_SIDE * PHASH_SIDE) {
        return 0;
    }
    memcpy(sorted, lowest, sizeof sorted);
    qsort(sorted, PHASH_BITS, sizeof *sorted, phash_compare);
    for (int i = 0; i < PHASH_BITS; i++) {
        uint64_t bit = lowest[i] > sorted[PHASH_BITS / 2 - 1];

        bits |= bit << (i * PHASH_SPREAD % PHASH_BITS);
    }
    return bits != 0 ? bits : 1; /* half of the coefficients are equal: no such photograph */
}

enum rc phash_image(struct codec *k, const struct image *image, uint64_t *out, struct err *e)
{
    const double box[4] = {0, 0, image->w, image->h};
    uint8_t small[PHASH_SIDE * PHASH_SIDE * 3];
    int32_t gray[PHASH_SIDE * PHASH_SIDE];
    int64_t dct[PHASH_WAVES][PHASH_WAVES];
    enum rc rc = image_resize(k, image, box, PHASH_SIDE, PHASH_SIDE, IMAGE_BILINEAR, small, e);

    if (rc != RC_OK) {
        return rc;
    }
    phash_gray(small, image->c, gray);
    phash_dct(gray, dct);
    *out = phash_bits(dct);
    return RC_OK;
}

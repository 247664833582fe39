/**
 * Weights, pixels, targets and masks by a formula that tests/golden/make_timm.py computes too, and the
 * projections by which tensors are compared with timm's.
 */
#ifndef FORMULA_H
#define FORMULA_H

#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/nn/params.h"

enum { FORMULA_PROJECTIONS = 8, FORMULA_NAME_MAX = 96 };

static inline uint64_t formula_start(const char *name, uint64_t seed)
{
    uint64_t h = 0xCBF29CE484222325u;

    for (const char *c = name; *c != '\0'; c++) {
        h = (h ^ (unsigned char)*c) * 0x100000001B3u;
    }
    return h + seed * 0x632BE59BD9B4E019u;
}

/* 64 bits of number i of a name's stream: splitmix64. */
static inline uint64_t formula_bits(uint64_t start, size_t i)
{
    uint64_t z = start + ((uint64_t)i + 1) * 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* The number, in [0, 1), 24 bits. */
static inline double formula_uniform(uint64_t start, size_t i)
{
    return (double)(formula_bits(start, i) >> 40) / 16777216.0;
}

/* Where each element of a view's O,H,W,I stands in timm's O,I,H,W: at = formula_first(), then
 * formula_next() for each (quick: tests walk hundreds of millions). Without a view: where it is. */
struct formula_place {
    size_t in, area, i, a, o, at;
};

static inline struct formula_place formula_first(const struct param_view *v)
{
    return v == NULL ? (struct formula_place){.in = 1, .area = 1}
                     : (struct formula_place){.in = (size_t)v->i,
                                              .area = (size_t)v->h * (size_t)v->w};
}

static inline void formula_next(struct formula_place *p)
{
    p->at += p->area;
    if (++p->i == p->in) {
        p->i = 0;
        if (++p->a == p->area) {
            p->a = 0;
            p->o++;
        }
        p->at = p->o * p->in * p->area + p->a;
    }
}

/* Block b of a stage adds 1/sqrt(1 + b) of what the first adds: with equal shares a deep member of
 * random weights multiplies every rounding by thousands, which trained ones do not. */
static inline double formula_share(const char *name)
{
    const char *block = strchr(name, '.'); /* "layer3.17.bn3.weight" */

    return 1.0 / sqrt(1.0 + (double)strtol(block + 1, NULL, 10));
}

static inline float formula_weight(const struct param_view *v, double x)
{
    double y = 2.0 * x - 1.0;

    switch (v->kind) {
    case PARAM_WEIGHT:
        return (float)(y * sqrt(6.0 / (double)(v->n / (size_t)v->o)));
    case PARAM_GAMMA:
        return (float)(strstr(v->name, ".bn3.") != NULL
                           ? (0.1 + 0.5 * x) * formula_share(v->name)
                           : 0.5 + x);
    case PARAM_VAR:
        return (float)(0.5 + x);
    case PARAM_BIAS:
    case PARAM_BETA:
    case PARAM_MEAN:
        break;
    }
    return (float)(0.2 * y);
}

static inline void formula_fill(const struct params *p, uint64_t seed, float *buffer)
{
    for (int n = 0; n < p->n_views; n++) {
        const struct param_view *v = &p->views[n];
        uint64_t start = formula_start(v->name, seed);
        struct formula_place at = formula_first(v);

        for (size_t j = 0; j < v->n; j++, formula_next(&at)) {
            buffer[v->offset + j] = formula_weight(v, formula_uniform(start, at.at));
        }
    }
}

static inline void formula_pixels(const char *tag, uint64_t seed, size_t n, uint8_t *out)
{
    char name[FORMULA_NAME_MAX];
    uint64_t start;

    snprintf(name, sizeof name, "pixels%s", tag);
    start = formula_start(name, seed);
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)(formula_uniform(start, i) * 256.0);
    }
}

/* timm's mean and std of ImageNet. */
static const float formula_mean[3] = {0.485f, 0.456f, 0.406f};
static const float formula_std[3] = {0.229f, 0.224f, 0.225f};

/* How far x (n values, in timm's order through v, or v NULL) is from the stored {norm, projections}:
 * an estimate of its relative L2 distance. */
static inline double formula_distance(const char *name, const struct param_view *v, const float *x,
                                      const float *minus, size_t n, const json_t *stored)
{
    static const double signs[2] = {-1, 1};
    double norm = json_number_value(json_array_get(stored, 0));
    double sum = 0;

    for (int j = 0; j < FORMULA_PROJECTIONS; j++) {
        char sign[FORMULA_NAME_MAX];
        struct formula_place at = formula_first(v);
        uint64_t start;
        double p = 0;

        snprintf(sign, sizeof sign, "sign%d.%s", j, name);
        start = formula_start(sign, 0);
        for (size_t i = 0; i < n; i++, formula_next(&at)) {
            double value = (double)x[i] - (minus != NULL ? (double)minus[i] : 0.0);

            p += signs[formula_bits(start, at.at) >> 63] * value; /* - where uniform is below 0.5 */
        }
        p -= json_number_value(json_array_get(stored, (size_t)j + 1));
        sum += p * p;
    }
    return sqrt(sum / FORMULA_PROJECTIONS) / (norm > 0 ? norm : 1.0);
}

#endif

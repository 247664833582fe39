/**
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011).
 * A stream is a pure function of (seed, purpose, epoch, image key, copy), never of rank, thread
 * or call order, so any number of ranks draws the same numbers for an image.
 */
#ifndef PRECEPTOR_RNG_H
#define PRECEPTOR_RNG_H

#include <stdint.h>

#include "common/base/hash.h"

enum rng_purpose { /* separate streams; values are part of a run's reproducibility: append only */
    RNG_INIT = 1,       /* weight initialisation: key = hash of the tensor's name */
    RNG_ORDER = 2,      /* order of an epoch */
    RNG_AUGMENT = 3,    /* crop, flip, RandAugment of one image */
    RNG_DROPOUT = 4,    /* mask of the head */
    RNG_DROP_PATH = 5,  /* stochastic depth of one image: one draw a block, in block order */
    RNG_SELECT = 6,     /* selection's Bernoulli copies */
    RNG_TEST = 7,
    RNG_CALIBRATE = 8,  /* which images int8 is calibrated on */
};

struct rng {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t out[4];
    int left; /* unused words of out */
};

/** A stream for one image (key), epoch (or step) and copy. Equal arguments give equal numbers. */
void rng_init(struct rng *r, uint64_t seed, enum rng_purpose purpose, uint64_t epoch,
              const struct key128 *key, uint32_t copy);

uint32_t rng_u32(struct rng *r);
/** Uniform in [0, 1), 24 bits. */
float rng_f32(struct rng *r);
/** Uniform in [0, 1), 53 bits. */
double rng_f64(struct rng *r);
/** Uniform in [0, n), unbiased; n > 0. */
uint32_t rng_below(struct rng *r, uint32_t n);
/** Standard normal (Box-Muller). */
double rng_normal(struct rng *r);

/** SplitMix64's finaliser: every bit of x changes about half of the bits. */
uint64_t rng_mix(uint64_t x);

/** A 64-bit hash of (seed, epoch, key, copy): the sort key of an epoch's order. */
uint64_t rng_hash64(uint64_t seed, uint64_t epoch, const struct key128 *key, uint32_t copy);

#endif

#include "common/base/rng.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static void rng_philox(const uint32_t key_in[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = key_in[0];
    uint32_t k1 = key_in[1];

    memcpy(out, counter, 16);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * out[0];
        uint64_t p1 = (uint64_t)0xCD9E8D57u * out[2];
        uint32_t c1 = out[1];
        uint32_t c3 = out[3];

        out[0] = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        out[1] = (uint32_t)p1;
        out[2] = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        out[3] = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

uint64_t rng_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9u;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static uint64_t rng_fold(uint64_t seed, uint64_t purpose, uint64_t epoch, uint64_t copy)
{
    uint64_t h = rng_mix(seed + 0x9E3779B97F4A7C15u);

    h = rng_mix(h ^ (purpose * 0xD1342543DE82EF95u));
    h = rng_mix(h + epoch);
    return rng_mix(h ^ (copy * 0xA24BAED4963EE407u));
}

static void rng_key_words(const struct key128 *key, uint64_t w[2])
{
    memcpy(w, key->b, 16);
}

void rng_init(struct rng *r, uint64_t seed, enum rng_purpose purpose, uint64_t epoch,
              const struct key128 *key, uint32_t copy)
{
    uint64_t w[2];
    uint64_t k = rng_fold(seed, (uint64_t)purpose, epoch, copy);

    rng_key_words(key, w);
    k = rng_mix(k ^ w[1]);
    memset(r, 0, sizeof *r);
    r->key[0] = (uint32_t)k;
    r->key[1] = (uint32_t)(k >> 32);
    r->counter[2] = (uint32_t)w[0];
    r->counter[3] = (uint32_t)(w[0] >> 32);
}

uint32_t rng_u32(struct rng *r)
{
    if (r->left == 0) {
        rng_philox(r->key, r->counter, r->out);
        r->left = 4;
        if (++r->counter[0] == 0) {
            r->counter[1]++;
        }
    }
    return r->out[--r->left];
}

float rng_f32(struct rng *r)
{
    return (float)(rng_u32(r) >> 8) * 0x1p-24f;
}

double rng_f64(struct rng *r)
{
    uint64_t hi = rng_u32(r) >> 5;
    uint64_t lo = rng_u32(r) >> 6;

    return (double)((hi << 26) | lo) * 0x1p-53;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
    uint64_t m = 0;
    uint32_t floor_bias = 0;

    assert(n > 0);
    floor_bias = (0u - n) % n;
    do {
        m = (uint64_t)rng_u32(r) * n;
    } while ((uint32_t)m < floor_bias);
    return (uint32_t)(m >> 32);
}

double rng_normal(struct rng *r)
{
    double u = 1.0 - rng_f64(r);
    double v = rng_f64(r);

    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

uint64_t rng_hash64(uint64_t seed, uint64_t epoch, const struct key128 *key, uint32_t copy)
{
    uint64_t w[2];

    rng_key_words(key, w);
    return rng_mix(rng_mix(rng_fold(seed, RNG_ORDER, epoch, copy) ^ w[0]) + w[1]);
}

#include "common/base/hash_pair.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

enum { PAIR_BLOCK = 64, PAIR_ROUNDS = 64 };

/* FIPS 180-4, 4.2.2. */
static const uint32_t pair_k[PAIR_ROUNDS] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

struct pair_stream {
    const unsigned char *at;
    size_t bytes; /* of the whole message */
    __m128i abef, cdgh;
};

#define PAIR_TARGET __attribute__((target("sha,sse4.1,ssse3")))

/* So many blocks of n streams, 1 or 2. */
PAIR_TARGET static inline __attribute__((always_inline)) void pair_blocks_of(struct pair_stream *s,
                                                                             const int n,
                                                                             size_t blocks)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i a[2] = {s[0].abef, s[n - 1].abef};
    __m128i c[2] = {s[0].cdgh, s[n - 1].cdgh};

    for (size_t b = 0; b < blocks; b++) {
        __m128i w[2][4];
        __m128i a0[2];
        __m128i c0[2];

        for (int i = 0; i < n; i++) {
            a0[i] = a[i];
            c0[i] = c[i];
            for (int k = 0; k < 4; k++) {
                w[i][k] = _mm_shuffle_epi8(
                    _mm_loadu_si128((const void *)(s[i].at + PAIR_BLOCK * b + 16 * (size_t)k)),
                    swap);
            }
        }
#pragma GCC unroll 16
        for (int g = 0; g < PAIR_ROUNDS / 4; g++) {
            const __m128i k = _mm_load_si128((const void *)(pair_k + 4 * g));

#pragma GCC unroll 2
            for (int i = 0; i < n; i++) {
                const __m128i m = _mm_add_epi32(w[i][g & 3], k);

                c[i] = _mm_sha256rnds2_epu32(c[i], a[i], m);
                a[i] = _mm_sha256rnds2_epu32(a[i], c[i], _mm_shuffle_epi32(m, 0x0e));
                if (g < PAIR_ROUNDS / 4 - 4) { /* the words of four groups on */
                    const __m128i t =
                        _mm_add_epi32(_mm_sha256msg1_epu32(w[i][g & 3], w[i][(g + 1) & 3]),
                                      _mm_alignr_epi8(w[i][(g + 3) & 3], w[i][(g + 2) & 3], 4));

                    w[i][g & 3] = _mm_sha256msg2_epu32(t, w[i][(g + 3) & 3]);
                }
            }
        }
        for (int i = 0; i < n; i++) {
            a[i] = _mm_add_epi32(a[i], a0[i]);
            c[i] = _mm_add_epi32(c[i], c0[i]);
        }
    }
    for (int i = 0; i < n; i++) {
        s[i].abef = a[i];
        s[i].cdgh = c[i];
        s[i].at += PAIR_BLOCK * blocks;
    }
}

PAIR_TARGET static void pair_blocks_two(struct pair_stream *s, size_t blocks)
{
    pair_blocks_of(s, 2, blocks);
}

PAIR_TARGET static void pair_blocks_one(struct pair_stream *s, size_t blocks)
{
    pair_blocks_of(s, 1, blocks);
}

static void pair_begin(struct pair_stream *s, const void *data, size_t bytes)
{
    s->at = data;
    s->bytes = bytes;
    s->abef = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
    s->cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
}

/* Whole blocks are done but for some: those, the rest, a one bit and the length. */
static void pair_end(struct pair_stream *s, size_t blocks_done, struct key128 *out)
{
    const size_t rest = s->bytes % PAIR_BLOCK;
    const size_t pad = rest < PAIR_BLOCK - 8 ? PAIR_BLOCK : 2 * (size_t)PAIR_BLOCK;
    unsigned char last[2 * PAIR_BLOCK] = {0};
    uint32_t words[8];

    pair_blocks_one(s, s->bytes / PAIR_BLOCK - blocks_done);
    if (rest > 0) {
        memcpy(last, s->at, rest);
    }
    last[rest] = 0x80;
    for (size_t i = 0; i < 8; i++) {
        last[pad - 1 - i] = (unsigned char)((uint64_t)s->bytes * 8 >> (8 * i));
    }
    s->at = last;
    pair_blocks_one(s, pad / PAIR_BLOCK);
    memcpy(words, &s->abef, 16);
    memcpy(words + 4, &s->cdgh, 16);
    for (size_t i = 0; i < 4;
         i++) { /* A and B, then C and D: each the upper half of its register */
        const uint32_t w = words[i / 2 * 4 + 3 - i % 2];

        for (size_t k = 0; k < 4; k++) {
            out->b[4 * i + k] = (uint8_t)(w >> (24 - 8 * k));
        }
    }
}

static bool pair_ask(void)
{
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    bool has = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSSE3) != 0 && (c & bit_SSE4_1) != 0;

    return has && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_SHA) != 0;
}

static bool pair_can(void)
{
    static atomic_int known; /* 1 no, 2 yes: asking is slow on virtual machines */
    int can = atomic_load(&known);

    if (can == 0) {
        can = pair_ask() ? 2 : 1;
        atomic_store(&known, can);
    }
    return can == 2;
}

void hash_pair_keys(const void *const data[2], const size_t bytes[2], struct key128 out[2])
{
    struct pair_stream s[2];
    const size_t both = (bytes[0] < bytes[1] ? bytes[0] : bytes[1]) / PAIR_BLOCK;

    if (!pair_can()) {
        hash_key(data[0], bytes[0], &out[0]);
        hash_key(data[1], bytes[1], &out[1]);
        return;
    }
    pair_begin(&s[0], data[0], bytes[0]);
    pair_begin(&s[1], data[1], bytes[1]);
    pair_blocks_two(s, both);
    pair_end(&s[0], both, &out[0]);
    pair_end(&s[1], both, &out[1]);
}

#else

void hash_pair_keys(const void *const data[2], const size_t bytes[2], struct key128 out[2])
{
    hash_key(data[0], bytes[0], &out[0]);
    hash_key(data[1], bytes[1], &out[1]);
}

#endif

/* The index of hashes against comparing each with each. */
#include "tests/shards/help.h"

#include "common/base/mem.h"
#include "shards/near_index.h"

enum { N = 3000 };

static uint64_t state64;

static uint64_t random64(void) /* splitmix64 */
{
    uint64_t z = state64 += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Random hashes; three of four are another one with up to 20 bits turned, some are 0. */
static void make(uint64_t seed, uint64_t hashes[N])
{
    state64 = seed;
    for (int i = 0; i < N; i++) {
        hashes[i] = random64();
        if (i > 0 && i % 4 != 0) {
            int turns = (int)(random64() % 21);

            hashes[i] = hashes[random64() % (uint64_t)i];
            for (int k = 0; k < turns; k++) {
                hashes[i] ^= (uint64_t)1 << random64() % 64;
            }
        }
        if (i % 101 == 0) {
            hashes[i] = 0;
        }
    }
}

struct seen {
    uint8_t times[N];
    const uint64_t *hashes;
    uint64_t hash;
    bool stop;
};

static enum rc see(void *ctx, uint32_t id, int distance, struct err *e)
{
    struct seen *s = ctx;

    assert_in_range(id, 0, N - 1);
    assert_int_equal(distance, __builtin_popcountll(s->hashes[id] ^ s->hash));
    s->times[id]++;
    return s->stop ? err_raise(e, RC_REQUEUE, "enough") : RC_OK;
}

static void a_search_finds_what_comparing_all_finds(void **state)
{
    static uint64_t hashes[N];

    (void)state;
    for (int radius = 0; radius <= NEAR_RADIUS_MAX; radius++) {
        struct near_index *x = NULL;
        struct err e = {0};

        make((uint64_t)radius, hashes);
        assert_ok(near_index_create(hashes, N, radius, &x, &e), e);
        for (int q = 0; q < 40; q++) {
            struct seen s = {.hashes = hashes, .hash = q % 2 ? random64() : hashes[random64() % N]};

            assert_ok(near_index_search(x, s.hash, see, &s, &e), e);
            for (int i = 0; i < N; i++) {
                bool near = s.hash != 0 && hashes[i] != 0 &&
                            __builtin_popcountll(hashes[i] ^ s.hash) <= radius;

                assert_int_equal(s.times[i], near);
            }
        }
        near_index_destroy(x);
    }
}

static int compare_pairs(const void *a, const void *b)
{
    return memcmp(a, b, 2 * sizeof(uint32_t));
}

static void pairs_are_those_that_comparing_all_finds(void **state)
{
    static uint64_t hashes[N];
    size_t most = 0;

    (void)state;
    for (int radius = 0; radius <= NEAR_RADIUS_MAX; radius += 3) {
        struct near_pair *pairs = NULL;
        struct err e = {0};
        size_t n = 0;
        size_t expected = 0;

        make(100 + (uint64_t)radius, hashes);
        assert_ok(near_index_pairs(hashes, N, radius, &pairs, &n, &e), e);
        for (size_t i = 0; i < n; i++) {
            assert_true(pairs[i].a < pairs[i].b);
            assert_int_equal(pairs[i].distance,
                             __builtin_popcountll(hashes[pairs[i].a] ^ hashes[pairs[i].b]));
            assert_in_range(pairs[i].distance, 0, (unsigned)radius);
        }
        for (int i = 0; i < N; i++) {
            for (int j = i + 1; j < N; j++) {
                expected += hashes[i] != 0 && hashes[j] != 0 &&
                            __builtin_popcountll(hashes[i] ^ hashes[j]) <= radius;
            }
        }
        assert_int_equal(n, expected);
        qsort(pairs, n, sizeof *pairs, compare_pairs);
        for (size_t i = 1; i < n; i++) {
            assert_true(memcmp(&pairs[i - 1], &pairs[i], 2 * sizeof(uint32_t)) != 0);
        }
        most = n > most ? n : most;
        mem_free(pairs);
    }
    assert_true(most > N);
}

static void few_and_no_hashes_are_fine(void **state)
{
    const uint64_t one = 5;
    struct near_index *x = NULL;
    struct near_pair *pairs = NULL;
    struct err e = {0};
    size_t n = 7;

    (void)state;
    assert_ok(near_index_create(&one, 0, 6, &x, &e), e);
    assert_ok(near_index_search(x, one, see, NULL, &e), e);
    near_index_destroy(x);
    assert_ok(near_index_pairs(&one, 1, 6, &pairs, &n, &e), e);
    assert_int_equal(n, 0);
    mem_free(pairs);
}

static void a_visitors_error_ends_the_search(void **state)
{
    static uint64_t hashes[N];
    struct near_index *x = NULL;
    struct err e = {0};

    (void)state;
    for (int i = 0; i < N; i++) {
        hashes[i] = 77;
    }
    struct seen s = {.hashes = hashes, .hash = 77, .stop = true};

    assert_ok(near_index_create(hashes, N, 3, &x, &e), e);
    assert_int_equal(near_index_search(x, 77, see, &s, &e), RC_REQUEUE);
    assert_says(e, "enough");
    near_index_destroy(x);
}

static void a_radius_out_of_range_is_refused(void **state)
{
    const uint64_t one = 5;
    struct near_index *x = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(near_index_create(&one, 1, 17, &x, &e), RC_INVAL);
    assert_says(e, "a radius of 17 bits: expected 0 to 16");
}

static void out_of_memory_is_an_error(void **state)
{
    static uint64_t hashes[N];
    enum rc rc = RC_NOMEM;

    (void)state;
    make(1, hashes);
    for (uint64_t at = 1; rc != RC_OK; at++) {
        struct near_index *x = NULL;
        struct err e = {0};

        assert_true(at < 200);
        mem_fail_at(at);
        rc = near_index_create(hashes, N, 6, &x, &e);
        mem_fail_at(0);
        assert_true(rc == RC_OK || rc == RC_NOMEM);
        near_index_destroy(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_search_finds_what_comparing_all_finds),
        cmocka_unit_test(pairs_are_those_that_comparing_all_finds),
        cmocka_unit_test(few_and_no_hashes_are_fine),
        cmocka_unit_test(a_visitors_error_ends_the_search),
        cmocka_unit_test(a_radius_out_of_range_is_refused),
        cmocka_unit_test(out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

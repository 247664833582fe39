#include <math.h>

#include "common/base/rng.h"
#include "tests/common/base/support.h"

/* Random123's kat_vectors for philox4x32-10; our words come last first. */
static void philox_gives_the_published_numbers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rng r = {0};

        memcpy(r.counter, cases[i].counter, sizeof r.counter);
        memcpy(r.key, cases[i].key, sizeof r.key);
        for (int w = 3; w >= 0; w--) {
            assert_int_equal(rng_u32(&r), cases[i].out[w]);
        }
        assert_int_equal(r.counter[0], (uint32_t)(cases[i].counter[0] + 1));
    }
}

static void the_counter_carries_into_its_second_word(void **state)
{
    struct rng r = {.counter = {0xffffffff, 5, 0, 0}};

    (void)state;
    (void)rng_u32(&r);
    assert_int_equal(r.counter[0], 0);
    assert_int_equal(r.counter[1], 6);
}

static struct rng stream(uint64_t seed, enum rng_purpose purpose, uint64_t epoch, int key,
                         uint32_t copy)
{
    struct key128 k = {{(uint8_t)key, (uint8_t)(key >> 8), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                        (uint8_t)(key >> 16)}};
    struct rng r;

    rng_init(&r, seed, purpose, epoch, &k, copy);
    return r;
}

static void equal_arguments_give_equal_numbers(void **state)
{
    struct rng a = stream(1, RNG_AUGMENT, 2, 3, 4);
    struct rng b = stream(1, RNG_AUGMENT, 2, 3, 4);

    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rng_u32(&a), rng_u32(&b));
    }
}

/* Runs rest on these numbers: a change here breaks every resume. */
static void the_numbers_of_a_stream_stay_as_they_are(void **state)
{
    struct rng r = stream(7, RNG_DROP_PATH, 3, 1000, 2);
    struct key128 key = {{1, 2, 3}};

    (void)state;
    assert_int_equal(rng_u32(&r), 0x0be34f2f);
    assert_int_equal(rng_u32(&r), 0x949f8c26);
    assert_true(rng_hash64(7, 3, &key, 2) == UINT64_C(0x777284da324c5b41));
}

static void any_other_argument_gives_other_numbers(void **state)
{
    struct rng streams[] = {stream(1, RNG_AUGMENT, 2, 3, 4),    stream(2, RNG_AUGMENT, 2, 3, 4),
                            stream(1, RNG_DROPOUT, 2, 3, 4),    stream(1, RNG_AUGMENT, 3, 3, 4),
                            stream(1, RNG_AUGMENT, 2, 4, 4),    stream(1, RNG_AUGMENT, 2, 3, 5),
                            stream(1, RNG_AUGMENT, 2, 65539, 4)};
    enum { N = sizeof streams / sizeof streams[0] };
    uint32_t first[N];

    (void)state;
    for (int i = 0; i < N; i++) {
        first[i] = rng_u32(&streams[i]);
        for (int j = 0; j < i; j++) {
            assert_int_not_equal(first[i], first[j]);
        }
    }
}

/* Chi-square over 16 bins: 37.7 is passed by chance once in 1000. */
static double chi_square(const int bins[16], int n)
{
    double sum = 0;

    for (int i = 0; i < 16; i++) {
        double d = bins[i] - n / 16.0;

        sum += d * d / (n / 16.0);
    }
    return sum;
}

static void one_stream_is_uniform(void **state)
{
    struct rng r = stream(11, RNG_TEST, 0, 0, 0);
    int f32[16] = {0};
    int f64[16] = {0};
    int below[16] = {0};

    (void)state;
    for (int i = 0; i < 100000; i++) {
        float a = rng_f32(&r);
        double b = rng_f64(&r);

        assert_true(a >= 0 && a < 1 && b >= 0 && b < 1);
        f32[(int)(a * 16)]++;
        f64[(int)(b * 16)]++;
        below[rng_below(&r, 16)]++;
    }
    assert_true(chi_square(f32, 100000) < 37.7);
    assert_true(chi_square(f64, 100000) < 37.7);
    assert_true(chi_square(below, 100000) < 37.7);
}

/* What training draws: the first number of each image's stream, over images, epochs and copies. */
static void the_first_numbers_of_many_streams_are_uniform(void **state)
{
    int keys[16] = {0};
    int epochs[16] = {0};
    int copies[16] = {0};
    int orders[16] = {0};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct rng a = stream(0, RNG_AUGMENT, 0, i, 0);
        struct rng b = stream(0, RNG_AUGMENT, (uint64_t)i, 0, 0);
        struct rng c = stream(0, RNG_AUGMENT, 0, 0, (uint32_t)i);
        struct key128 key = {{(uint8_t)i, (uint8_t)(i >> 8)}};

        keys[rng_u32(&a) >> 28]++;
        epochs[rng_u32(&b) >> 28]++;
        copies[rng_u32(&c) >> 28]++;
        orders[rng_hash64(0, 0, &key, 0) >> 60]++;
    }
    assert_true(chi_square(keys, 20000) < 37.7);
    assert_true(chi_square(epochs, 20000) < 37.7);
    assert_true(chi_square(copies, 20000) < 37.7);
    assert_true(chi_square(orders, 20000) < 37.7);
}

static void below_stays_below_and_reaches_every_number(void **state)
{
    struct rng r = stream(5, RNG_TEST, 0, 0, 0);

    (void)state;
    for (uint32_t n = 1; n < 40; n++) {
        uint64_t seen = 0;

        for (int i = 0; i < 2000; i++) {
            uint32_t v = rng_below(&r, n);

            assert_true(v < n);
            seen |= (uint64_t)1 << v;
        }
        assert_true(seen == ((uint64_t)1 << n) - 1);
    }
    assert_true(rng_below(&r, 0xffffffff) < 0xffffffff);
}

static void normals_have_mean_0_and_variance_1(void **state)
{
    enum { N = 100000 };
    struct rng r = stream(13, RNG_INIT, 0, 0, 0);
    double sum = 0;
    double squares = 0;
    double fourth = 0;
    int beyond = 0;

    (void)state;
    for (int i = 0; i < N; i++) {
        double x = rng_normal(&r);

        assert_true(isfinite(x));
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
        beyond += fabs(x) > 1.959964;
    }
    assert_true(fabs(sum / N) < 0.012);
    assert_true(fabs(squares / N - 1) < 0.018);
    assert_true(fabs(fourth / N - 3) < 0.15);
    assert_true(fabs((double)beyond / N - 0.05) < 0.003);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void sort_keys_of_an_epoch_are_distinct(void **state)
{
    enum { N = 100000 };
    uint64_t *h = mem_calloc(N, sizeof *h);

    (void)state;
    assert_non_null(h);
    for (int i = 0; i < N; i++) {
        struct key128 key = {{0}};

        memcpy(key.b + 8, &(int){i / 4}, sizeof(int));
        h[i] = rng_hash64(1, 2, &key, (uint32_t)(i % 4));
    }
    qsort(h, N, sizeof *h, compare_u64);
    for (int i = 1; i < N; i++) {
        assert_true(h[i] != h[i - 1]);
    }
    mem_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_numbers),
        cmocka_unit_test(the_counter_carries_into_its_second_word),
        cmocka_unit_test(equal_arguments_give_equal_numbers),
        cmocka_unit_test(the_numbers_of_a_stream_stay_as_they_are),
        cmocka_unit_test(any_other_argument_gives_other_numbers),
        cmocka_unit_test(one_stream_is_uniform),
        cmocka_unit_test(the_first_numbers_of_many_streams_are_uniform),
        cmocka_unit_test(below_stays_below_and_reaches_every_number),
        cmocka_unit_test(normals_have_mean_0_and_variance_1),
        cmocka_unit_test(sort_keys_of_an_epoch_are_distinct),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

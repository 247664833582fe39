#include "common/base/hash_pair.h"

#include <stdlib.h>

#include "tests/common/base/support.h"

enum { LENGTHS = 300, LONG = 1 << 20 };

static void expect_pair(const unsigned char *data, size_t a, size_t b)
{
    const void *const both[2] = {data, data + 3}; /* at any address */
    const size_t bytes[2] = {a, b};
    struct key128 got[2];
    struct key128 want[2];

    hash_pair_keys(both, bytes, got);
    hash_key(both[0], a, &want[0]);
    hash_key(both[1], b, &want[1]);
    assert_memory_equal(got, want, sizeof want);
}

static void both_keys_are_those_of_one_at_a_time(void **state)
{
    unsigned char *data = malloc(LONG + 64);

    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < LONG + 64; i++) {
        data[i] = (unsigned char)(i * 2654435761u >> 11);
    }
    for (size_t n = 0; n < LENGTHS; n++) { /* all ways to end, of equal and unequal lengths */
        expect_pair(data, n, n);
        expect_pair(data, n, LENGTHS - n);
        expect_pair(data, 64 * (n % 5), n);
    }
    expect_pair(data, LONG, LONG - 1);
    expect_pair(data, 0, LONG);
    expect_pair(data, LONG, 64);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_keys_are_those_of_one_at_a_time)};

    return cmocka_run_group_tests(tests, support_enter, support_leave);
}

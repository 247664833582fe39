#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/coll/coll_calls_impl.h"

static void expect(const struct coll_call *calls, int ranks, const char *sentence)
{
    char got[512];

    coll_calls_sentence(calls, ranks, got, sizeof got);
    assert_string_equal(got, sentence);
}

static void hash_depends_on_number_id_and_count(void **state)
{
    const struct coll_call a = {7, 4096, 1000};
    const struct coll_call others[] = {{8, 4096, 1000}, {7, 4097, 1000}, {7, 4096, 1001},
                                       {4096, 7, 1000}, {7, 1000, 4096}, {7, 0, 5096}};

    (void)state;
    assert_true(coll_calls_hash(&a) > 0);
    assert_int_equal(coll_calls_hash(&a), coll_calls_hash(&(struct coll_call){7, 4096, 1000}));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_not_equal(coll_calls_hash(&a), coll_calls_hash(&others[i]));
    }
}

static void of_two_ranks_that_differ_both_are_named(void **state)
{
    const struct coll_call calls[] = {{1, 0, 1000}, {1, 9, 1000}};

    (void)state;
    expect(calls, 2,
           "rank 1 reduces bucket 9 of 1000 numbers as its call 1, rank 0 bucket 0 of 1000 as call "
           "1: they do not train the same network");
}

static void the_rank_that_differs_from_most_is_named(void **state)
{
    const struct coll_call first[] = {{3, 0, 8}, {3, 0, 9}, {3, 0, 9}};
    const struct coll_call last[] = {{3, 0, 9}, {3, 0, 9}, {4, 0, 9}};

    (void)state;
    expect(first, 3,
           "rank 0 reduces bucket 0 of 8 numbers as its call 3, most ranks, as 1 bucket 0 of 9 as "
           "call 3: they do not train the same network");
    expect(last, 3,
           "rank 2 reduces bucket 0 of 9 numbers as its call 4, most ranks, as 0 bucket 0 of 9 as "
           "call 3: they do not train the same network");
}

static void of_several_ranks_that_differ_the_first_is_named_and_the_rest_counted(void **state)
{
    const struct coll_call calls[] = {{1, 5, 2}, {1, 5, 2}, {1, 6, 2}, {1, 5, 2}, {1, 7, 2}};

    (void)state;
    expect(calls, 5,
           "rank 2 reduces bucket 6 of 2 numbers as its call 1 (1 more differ), most ranks, as 0 "
           "bucket 5 of 2 as call 1: they do not train the same network");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_depends_on_number_id_and_count),
        cmocka_unit_test(of_two_ranks_that_differ_both_are_named),
        cmocka_unit_test(the_rank_that_differs_from_most_is_named),
        cmocka_unit_test(of_several_ranks_that_differ_the_first_is_named_and_the_rest_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

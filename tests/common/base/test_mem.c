#include "tests/common/base/support.h"

static bool all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

static void calloc_gives_zeroes_and_refuses_what_overflows(void **state)
{
    unsigned char *p = mem_calloc(1000, 3);

    (void)state;
    assert_non_null(p);
    assert_true(all_zero(p, 3000));
    mem_free(p);
    assert_null(mem_calloc(SIZE_MAX / 2, 3));
}

static void nothing_is_a_block_that_can_be_freed(void **state)
{
    void *a = mem_calloc(0, 8);
    void *b = mem_realloc(NULL, 0, 8);
    void *c = mem_aligned(0);

    (void)state;
    assert_true(a != NULL && b != NULL && c != NULL);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(NULL);
}

static void realloc_that_fails_leaves_the_block_as_it_was(void **state)
{
    char *p = mem_strdup("kept");
    char *grown = NULL;

    (void)state;
    assert_null(mem_realloc(p, SIZE_MAX / 2, 3));
    assert_string_equal(p, "kept");
    grown = mem_realloc(p, 100, 10);
    assert_string_equal(grown, "kept");
    mem_free(grown);
}

static void aligned_blocks_start_at_a_cache_line(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 300; bytes += 37) {
        void *p = mem_aligned(bytes);

        assert_int_equal((uintptr_t)p % MEM_ALIGN, 0);
        memset(p, 1, bytes);
        mem_free(p);
    }
    assert_null(mem_aligned(SIZE_MAX - 8));
}

static void strings_are_copied_and_formatted(void **state)
{
    char *a = mem_strdup("");
    char *b = mem_sprintf("%s-%04d", "shard", 7);

    (void)state;
    assert_string_equal(a, "");
    assert_string_equal(b, "shard-0007");
    mem_free(a);
    mem_free(b);
}

static void the_nth_allocation_fails_once(void **state)
{
    void *p[4];

    (void)state;
    mem_fail_at(3);
    p[0] = mem_calloc(1, 1);
    p[1] = mem_strdup("x");
    p[2] = mem_aligned(1);
    p[3] = mem_sprintf("y");
    assert_true(p[0] != NULL && p[1] != NULL && p[3] != NULL);
    assert_null(p[2]);
    for (int i = 0; i < 4; i++) {
        mem_free(p[i]);
    }
    mem_fail_at(1);
    mem_fail_at(0);
    p[0] = mem_realloc(NULL, 1, 1);
    assert_non_null(p[0]);
    mem_free(p[0]);
}

static void every_allocation_is_counted(void **state)
{
    uint64_t before = mem_count();
    void *p = mem_calloc(1, 1);

    (void)state;
    p = mem_realloc(p, 2, 1);
    mem_free(p);
    mem_free(mem_aligned(1));
    assert_int_equal(mem_count() - before, 3);
}

static void the_sentence_says_what_for_and_how_much(void **state)
{
    struct err e = {0};

    (void)state;
    support_expect(mem_raise(&e, "the epoch's order", 123), RC_NOMEM, &e,
                   "out of memory: the epoch's order needs 123 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calloc_gives_zeroes_and_refuses_what_overflows),
        cmocka_unit_test(nothing_is_a_block_that_can_be_freed),
        cmocka_unit_test(realloc_that_fails_leaves_the_block_as_it_was),
        cmocka_unit_test(aligned_blocks_start_at_a_cache_line),
        cmocka_unit_test(strings_are_copied_and_formatted),
        cmocka_unit_test(the_nth_allocation_fails_once),
        cmocka_unit_test(every_allocation_is_counted),
        cmocka_unit_test(the_sentence_says_what_for_and_how_much),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

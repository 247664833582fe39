#include "common/base/arena.h"
#include "tests/common/base/support.h"

static enum rc create_and_destroy(void *arg, struct err *e)
{
    struct arena *a = NULL;
    enum rc rc = arena_create(*(size_t *)arg, &a, e);

    arena_destroy(a);
    return rc;
}

static void create_without_memory_says_so(void **state)
{
    size_t bytes = 4096;

    (void)state;
    assert_int_equal(support_fail_each(create_and_destroy, &bytes), 2);
}

static void a_block_too_large_is_an_error(void **state)
{
    struct arena *a = NULL;
    struct err e = {0};

    (void)state;
    support_expect(arena_create(SIZE_MAX - 1, &a, &e), RC_NOMEM, &e, "an arena's block needs");
    assert_null(a);
}

static void pieces_are_aligned_and_apart(void **state)
{
    struct arena *a = NULL;
    struct err e = {0};
    unsigned char *last = NULL;

    (void)state;
    support_ok(arena_create(4096, &a, &e), &e);
    for (size_t bytes = 1; bytes < 200; bytes += 50) {
        unsigned char *p = arena_alloc(a, bytes);

        assert_non_null(p);
        assert_int_equal((uintptr_t)p % MEM_ALIGN, 0);
        assert_true(last == NULL || p >= last);
        last = p + bytes;
    }
    arena_destroy(a);
}

static void a_full_block_gives_null_and_keeps_what_it_gave(void **state)
{
    struct arena *a = NULL;
    struct err e = {0};
    unsigned char *p = NULL;

    (void)state;
    support_ok(arena_create(128, &a, &e), &e);
    p = arena_alloc(a, 128);
    assert_non_null(p);
    memset(p, 7, 128);
    assert_null(arena_alloc(a, 1));
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_int_equal(p[127], 7);
    arena_destroy(a);
}

static void reset_gives_the_same_bytes_again_and_keeps_the_peak(void **state)
{
    struct arena *a = NULL;
    struct err e = {0};
    void *first = NULL;

    (void)state;
    support_ok(arena_create(1024, &a, &e), &e);
    first = arena_alloc(a, 600);
    assert_int_equal(arena_peak(a), 600);
    arena_reset(a);
    assert_ptr_equal(arena_alloc(a, 100), first);
    assert_int_equal(arena_peak(a), 600);
    arena_destroy(a);
    arena_destroy(NULL);
}

static void a_step_allocates_nothing(void **state)
{
    struct arena *a = NULL;
    struct err e = {0};
    uint64_t before = 0;

    (void)state;
    support_ok(arena_create(1024, &a, &e), &e);
    before = mem_count();
    for (int step = 0; step < 10; step++) {
        assert_non_null(arena_alloc(a, 1000));
        arena_reset(a);
    }
    assert_int_equal(mem_count(), before);
    arena_destroy(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_without_memory_says_so),
        cmocka_unit_test(a_block_too_large_is_an_error),
        cmocka_unit_test(pieces_are_aligned_and_apart),
        cmocka_unit_test(a_full_block_gives_null_and_keeps_what_it_gave),
        cmocka_unit_test(reset_gives_the_same_bytes_again_and_keeps_the_peak),
        cmocka_unit_test(a_step_allocates_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

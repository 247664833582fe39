#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/mem.h"
#include "labeler/work_table.h"

static struct work_table *table(int n)
{
    int items[16] = {0};
    struct work_table *t = NULL;
    for (int i = 0; i < n; i++) {
        items[i] = 100 + i;
    }
    assert_int_equal(work_table_create(items, n, &t, NULL), RC_OK);
    return t;
}

static void takes(struct work_table *t, int rank, int want_item, uint32_t want_attempt)
{
    int item = -1;
    uint32_t attempt = 99;
    assert_true(work_table_take(t, rank, &item, &attempt));
    assert_int_equal(item, want_item);
    assert_int_equal(attempt, want_attempt);
}

static void takes_nothing(struct work_table *t, int rank)
{
    int item = -1;
    uint32_t attempt = 0;
    assert_false(work_table_take(t, rank, &item, &attempt));
    assert_int_equal(item, -1);
}

static void items_are_taken_in_order_and_once(void **state)
{
    (void)state;
    struct work_table *t = table(3);
    takes(t, 0, 100, 0);
    takes(t, 1, 101, 0);
    takes(t, 0, 102, 0);
    takes_nothing(t, 2);
    assert_int_equal(work_table_left(t), 3);
    work_table_destroy(t);
}

static void done_twice_counts_once(void **state)
{
    (void)state;
    struct work_table *t = table(2);
    takes(t, 0, 100, 0);
    work_table_done(t, 100);
    work_table_done(t, 100);
    work_table_done(t, 7); /* not ours */
    assert_int_equal(work_table_left(t), 1);
    work_table_done(t, 101); /* done by somebody before it was given out */
    assert_int_equal(work_table_left(t), 0);
    takes_nothing(t, 0);
    work_table_destroy(t);
}

static void what_a_lost_rank_did_comes_first_with_the_next_attempt(void **state)
{
    (void)state;
    struct work_table *t = table(5);
    takes(t, 1, 100, 0);
    takes(t, 2, 101, 0);
    takes(t, 1, 102, 0);
    work_table_done(t, 100);
    assert_int_equal(work_table_lose(t, 1), 1);
    takes(t, 2, 102, 1);
    assert_int_equal(work_table_lose(t, 2), 2);
    takes(t, 0, 101, 1);
    takes(t, 0, 102, 2);
    takes(t, 0, 103, 0);
    assert_int_equal(work_table_lose(t, 1), 0);
    work_table_destroy(t);
}

static void a_rank_that_wakes_late_may_finish_what_was_given_back(void **state)
{
    (void)state;
    struct work_table *t = table(2);
    takes(t, 1, 100, 0);
    assert_int_equal(work_table_lose(t, 1), 1);
    work_table_done(t, 100); /* before anybody took it again */
    takes(t, 0, 101, 0);
    takes_nothing(t, 0);
    work_table_done(t, 101);
    assert_int_equal(work_table_left(t), 0);
    work_table_destroy(t);
}

static void nothing_to_do_is_done(void **state)
{
    (void)state;
    struct work_table *t = table(0);
    assert_int_equal(work_table_left(t), 0);
    takes_nothing(t, 0);
    work_table_destroy(t);
    work_table_destroy(NULL);
}

static void without_memory_there_is_no_table(void **state)
{
    (void)state;
    const int items[] = {1};
    for (uint64_t n = 1; n <= 2; n++) {
        struct err e = {0};
        struct work_table *t = NULL;
        mem_fail_at(n);
        assert_int_equal(work_table_create(items, 1, &t, &e), RC_NOMEM);
        assert_null(t);
        assert_non_null(strstr(e.msg, "the table of work"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_taken_in_order_and_once),
        cmocka_unit_test(done_twice_counts_once),
        cmocka_unit_test(what_a_lost_rank_did_comes_first_with_the_next_attempt),
        cmocka_unit_test(a_rank_that_wakes_late_may_finish_what_was_given_back),
        cmocka_unit_test(nothing_to_do_is_done),
        cmocka_unit_test(without_memory_there_is_no_table),
    };
    return cmocka_run_group_tests_name("work_table", tests, NULL, NULL);
}

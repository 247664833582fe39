/* The watchdog of a labeling rank: what is late is named once, what goes on or waits is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/watch.h"

static atomic_int calls;
static char said[200];

static void late(void *ctx, const char *what, const char *name, double seconds)
{
    (void)snprintf(said, sizeof said, "%s %s %d %s", what, name, seconds >= 0.3, (char *)ctx);
    atomic_fetch_add(&calls, 1);
}

static struct watch *watch(double patience)
{
    static char ctx[] = "ctx";
    struct watch *w = NULL;
    struct err e = {0};

    atomic_store(&calls, 0);
    assert_int_equal(watch_create(patience, late, ctx, &w, &e), RC_OK);
    return w;
}

static void work_that_does_not_end_is_named_once(void **state)
{
    struct watch *w = watch(0.3);

    (void)state;
    watch_begin(w, 0, "labeling a batch of", "images-000003.lmdb");
    for (int i = 0; i < 1000 && atomic_load(&calls) == 0; i++) {
        usleep(10000);
    }
    usleep(500000);
    watch_destroy(w);
    assert_int_equal(atomic_load(&calls), 1);
    assert_string_equal(said, "labeling a batch of images-000003.lmdb 1 ctx");
}

static void the_other_thread_is_watched_as_well(void **state)
{
    struct watch *w = watch(0.3);

    (void)state;
    watch_begin(w, 1, "opening", "images-000004.lmdb");
    for (int i = 0; i < 100 && atomic_load(&calls) == 0; i++) {
        watch_begin(w, 0, "labeling a batch of", "images-000003.lmdb");
        usleep(50000);
    }
    watch_destroy(w);
    assert_int_equal(atomic_load(&calls), 1);
    assert_string_equal(said, "opening images-000004.lmdb 1 ctx");
}

/* Twice the patience in all, and each piece far below it even on a busy machine. */
static void work_that_goes_on_and_waiting_are_not_late(void **state)
{
    struct watch *w = watch(2);

    (void)state;
    for (int i = 0; i < 20; i++) {
        watch_begin(w, 0, "labeling a batch of", "images-000003.lmdb");
        usleep(100000);
    }
    watch_end(w, 0);
    usleep(2200000);
    watch_destroy(w);
    assert_int_equal(atomic_load(&calls), 0);
}

static void code_below_renames_the_work_and_says_that_it_goes_on(void **state)
{
    struct watch *w = watch(1);

    (void)state;
    watch_at("reading", "x"); /* by nobody who is watched */
    watch_tick();
    watch_begin(w, 0, "packing", "c");
    for (int i = 0; i < 15; i++) {
        watch_tick();
        usleep(100000);
    }
    assert_int_equal(atomic_load(&calls), 0);
    watch_at("reading", "a.jpg");
    for (int i = 0; i < 1000 && atomic_load(&calls) == 0; i++) {
        usleep(10000);
    }
    watch_destroy(w);
    assert_int_equal(atomic_load(&calls), 1);
    assert_string_equal(said, "reading a.jpg 1 ctx");
    watch_at("reading", "b.jpg"); /* after its end */
}

static void no_patience_is_no_watchdog(void **state)
{
    struct watch *w = watch(0);

    (void)state;
    assert_null(w);
    watch_begin(w, 0, "labeling a batch of", "x");
    watch_end(w, 0);
    watch_destroy(w);
}

static void without_memory_it_says_so(void **state)
{
    struct watch *w = NULL;
    struct err e = {0};

    (void)state;
    mem_fail_at(1);
    assert_int_equal(watch_create(1, late, NULL, &w, &e), RC_NOMEM);
    mem_fail_at(0);
    assert_null(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_that_does_not_end_is_named_once),
        cmocka_unit_test(the_other_thread_is_watched_as_well),
        cmocka_unit_test(work_that_goes_on_and_waiting_are_not_late),
        cmocka_unit_test(code_below_renames_the_work_and_says_that_it_goes_on),
        cmocka_unit_test(no_patience_is_no_watchdog),
        cmocka_unit_test(without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

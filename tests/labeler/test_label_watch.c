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
#include "labeler/label_watch.h"

static atomic_int calls;
static char said[200];

static void late(void *ctx, const char *what, const char *name, double seconds)
{
    (void)snprintf(said, sizeof said, "%s %s %d %s", what, name, seconds >= 0.3, (char *)ctx);
    atomic_fetch_add(&calls, 1);
}

static struct label_watch *watch(double patience)
{
    static char ctx[] = "ctx";
    struct label_watch *w = NULL;
    struct err e = {0};

    atomic_store(&calls, 0);
    assert_int_equal(label_watch_create(patience, late, ctx, &w, &e), RC_OK);
    return w;
}

static void work_that_does_not_end_is_named_once(void **state)
{
    struct label_watch *w = watch(0.3);

    (void)state;
    label_watch_begin(w, LABEL_WATCH_LOOP, "labeling a batch of", "images-000003.lmdb");
    for (int i = 0; i < 1000 && atomic_load(&calls) == 0; i++) {
        usleep(10000);
    }
    usleep(500000);
    label_watch_destroy(w);
    assert_int_equal(atomic_load(&calls), 1);
    assert_string_equal(said, "labeling a batch of images-000003.lmdb 1 ctx");
}

static void the_other_thread_is_watched_as_well(void **state)
{
    struct label_watch *w = watch(0.3);

    (void)state;
    label_watch_begin(w, LABEL_WATCH_AHEAD, "opening", "images-000004.lmdb");
    for (int i = 0; i < 100 && atomic_load(&calls) == 0; i++) {
        label_watch_begin(w, LABEL_WATCH_LOOP, "labeling a batch of", "images-000003.lmdb");
        usleep(50000);
    }
    label_watch_destroy(w);
    assert_int_equal(atomic_load(&calls), 1);
    assert_string_equal(said, "opening images-000004.lmdb 1 ctx");
}

/* Twice the patience in all, and each piece far below it even on a busy machine. */
static void work_that_goes_on_and_waiting_are_not_late(void **state)
{
    struct label_watch *w = watch(2);

    (void)state;
    for (int i = 0; i < 20; i++) {
        label_watch_begin(w, LABEL_WATCH_LOOP, "labeling a batch of", "images-000003.lmdb");
        usleep(100000);
    }
    label_watch_end(w, LABEL_WATCH_LOOP);
    usleep(2200000);
    label_watch_destroy(w);
    assert_int_equal(atomic_load(&calls), 0);
}

static void no_patience_is_no_watchdog(void **state)
{
    struct label_watch *w = watch(0);

    (void)state;
    assert_null(w);
    label_watch_begin(w, LABEL_WATCH_LOOP, "labeling a batch of", "x");
    label_watch_end(w, LABEL_WATCH_LOOP);
    label_watch_destroy(w);
}

static void without_memory_it_says_so(void **state)
{
    struct label_watch *w = NULL;
    struct err e = {0};

    (void)state;
    mem_fail_at(1);
    assert_int_equal(label_watch_create(1, late, NULL, &w, &e), RC_NOMEM);
    mem_fail_at(0);
    assert_null(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_that_does_not_end_is_named_once),
        cmocka_unit_test(the_other_thread_is_watched_as_well),
        cmocka_unit_test(work_that_goes_on_and_waiting_are_not_late),
        cmocka_unit_test(no_patience_is_no_watchdog),
        cmocka_unit_test(without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

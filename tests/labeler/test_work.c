/*
 * The work service on any number of ranks: alone it needs no messages, under mpirun (tests/mpi/coll.sh)
 * it pulls over them. How it outlives a dead rank is shown in tests/mpi/label_recovery.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "labeler/work.h"

enum { ITEMS = 40 };

static struct coll *control;
static int rank, size;

static void ok(enum rc rc, const struct err *e)
{
    if (rc != RC_OK) {
        fail_msg("%s", e->msg);
    }
}

static struct work *service(void)
{
    struct err e = {0};
    struct work *w = NULL;
    struct work_config c = {.control = control, .lost_after = 20};
    ok(work_create(&c, &w, &e), &e);
    return w;
}

/* A service on which everybody has entered, with ITEMS items 0, 1, ... */
static struct work *entered(void)
{
    struct err e = {0};
    struct work *w = service();
    int items[ITEMS] = {0};
    for (int i = 0; i < ITEMS; i++) {
        items[i] = i;
    }
    if (rank == 0) {
        ok(work_offer(w, items, ITEMS, &e), &e);
    }
    ok(work_agree(w, WORK_ENTER, RC_OK, NULL, &e), &e);
    return w;
}

/* Ends when all ranks have left, so that no message strays into the next case. */
static void left(struct work *w)
{
    work_destroy(w);
    assert_int_equal(coll_barrier(control, NULL), RC_OK);
}

static void every_item_is_done_by_exactly_one_rank(void **state)
{
    (void)state;
    struct err e = {0};
    struct work *w = entered();
    int32_t by[ITEMS] = {0};
    struct work_counts counts = {0};
    for (;;) {
        int item = -1;
        uint32_t attempt = 9;
        bool more = false;
        ok(work_next(w, &item, &attempt, &more, &e), &e);
        if (!more) {
            break;
        }
        assert_in_range(item, 0, ITEMS - 1);
        assert_int_equal(attempt, 0);
        by[item]++;
        counts.labeled += 10;
        counts.sealed++;
        work_report(w, &counts);
        usleep(1000);
        ok(work_done(w, item, &e), &e);
    }
    ok(work_agree(w, WORK_LEAVE, RC_OK, NULL, &e), &e);
    if (rank == 0) {
        int lost = -1;
        work_totals(w, &counts, &lost);
        assert_int_equal(counts.labeled, 10 * ITEMS); /* the votes carried the last counts */
        assert_int_equal(counts.sealed, ITEMS);
        assert_int_equal(lost, 0);
    }
    ok(coll_allreduce(control, by, ITEMS, COLL_I32, COLL_SUM, &e), &e);
    for (int i = 0; i < ITEMS; i++) {
        assert_int_equal(by[i], 1);
    }
    left(w);
}

static void a_slow_rank_does_less_and_the_others_more(void **state)
{
    (void)state;
    struct err e = {0};
    struct work *w = entered();
    int32_t mine = 0;
    for (;;) {
        int item = -1;
        uint32_t attempt = 0;
        bool more = false;
        ok(work_next(w, &item, &attempt, &more, &e), &e);
        if (!more) {
            break;
        }
        usleep(size > 1 && rank == size - 1 ? 50000 : 10000);
        mine++;
        ok(work_done(w, item, &e), &e);
    }
    ok(work_agree(w, WORK_LEAVE, RC_OK, NULL, &e), &e);
    int32_t all = mine;
    ok(coll_allreduce(control, &all, 1, COLL_I32, COLL_SUM, &e), &e);
    assert_int_equal(all, ITEMS);
    if (size > 1 && rank == size - 1) {
        assert_in_range(mine, 1, ITEMS / size - 1);
    }
    left(w);
}

static void entering_brings_the_failed_ranks_sentence_to_all(void **state)
{
    (void)state;
    struct err e = {0};
    struct work *w = service();
    enum rc rc = RC_OK;
    if (rank == size - 1) {
        rc = err_raise(&e, RC_IO, "cannot open 'm.safetensors'");
    }
    rc = work_agree(w, WORK_ENTER, rc, NULL, &e);
    if (rank == size - 1) {
        assert_int_equal(rc, RC_IO);
        assert_string_equal(e.msg, "cannot open 'm.safetensors'");
    } else {
        assert_int_equal(rc, RC_PEER);
        assert_memory_equal(e.msg, "rank ", 5);
        assert_string_equal(strchr(e.msg, ':'), ": cannot open 'm.safetensors'");
    }
    left(w);
}

static void ranks_that_see_another_corpus_are_named(void **state)
{
    (void)state;
    struct err e = {0};
    struct work *w = service();
    struct digest token = {{rank == 1 ? 2 : 1}};
    enum rc rc = work_agree(w, WORK_ENTER, RC_OK, &token, &e);
    if (size == 1) {
        assert_int_equal(rc, RC_OK);
    } else {
        assert_int_equal(rc, rank == 1 ? RC_INVAL : RC_PEER);
        assert_string_equal(e.msg,
                            "rank 1: its model, its options or its corpus are not those of rank 0");
    }
    left(w);
}

static void a_failed_rank_stops_the_others_and_is_named(void **state)
{
    (void)state;
    struct err e = {0};
    struct work *w = entered();
    const int guilty = size - 1;
    enum rc rc = RC_OK;
    int item = -1;
    uint32_t attempt = 0;
    bool more = true;
    ok(work_next(w, &item, &attempt, &more, &e), &e);
    if (rank == guilty) {
        rc = err_raise(&e, RC_CORRUPT, "shard 'images-000003.lmdb' is damaged");
    } else {
        const double start = clock_now();
        while (!work_stopping(w) && clock_now() - start < 10) {
            usleep(1000);
        }
        assert_true(work_stopping(w));
        ok(work_next(w, &item, &attempt, &more, &e), &e);
        assert_false(more); /* though items are left */
    }
    rc = work_agree(w, WORK_LEAVE, rc, NULL, &e);
    assert_int_equal(rc, rank == guilty ? RC_CORRUPT : RC_PEER);
    assert_non_null(strstr(e.msg, "shard 'images-000003.lmdb' is damaged"));
    left(w);
}

static void a_requested_stop_is_everybodys(void **state)
{
    (void)state;
    struct err e = {0};
    struct work *w = entered();
    enum rc rc = RC_OK;
    int item = -1;
    uint32_t attempt = 0;
    bool more = true;
    if (rank == 0) {
        work_stop(w);
        assert_true(work_stopping(w));
        rc = err_raise(&e, RC_REQUEUE, "stopped on request");
    } else {
        while (more) {
            ok(work_next(w, &item, &attempt, &more, &e), &e);
            usleep(20000);
        }
    }
    rc = work_agree(w, WORK_LEAVE, rc, NULL, &e);
    assert_int_equal(rc, RC_REQUEUE);
    assert_string_equal(e.msg, "stopped on request");
    left(w);
}

static void count_tick(void *ctx)
{
    int *ticks = ctx;
    (*ticks)++;
}

static void the_service_ticks_while_its_rank_computes(void **state)
{
    (void)state;
    struct err e = {0};
    int ticks = 0;
    struct work *w = entered();
    work_on_tick(w, count_tick, &ticks);
    const double start = clock_now();
    while (clock_now() - start < 0.8) { /* no call of the service */
    }
    work_on_tick(w, NULL, NULL);
    const int before = ticks;
    usleep(400000);
    assert_int_equal(ticks, before);
    if (size > 1) {
        assert_in_range(ticks, 2, 6);
    }
    work_stop(w);
    ok(work_agree(w, WORK_LEAVE, RC_OK, NULL, &e), &e);
    left(w);
}

static void without_memory_there_is_no_service(void **state)
{
    (void)state;
    struct err e = {0};
    struct work *w = NULL;
    struct work_config c = {.control = control, .lost_after = 1};
    mem_fail_at(1);
    assert_int_equal(work_create(&c, &w, &e), RC_NOMEM);
    assert_null(w);
    assert_non_null(strstr(e.msg, "the work service"));
    work_destroy(NULL);
}

int main(void)
{
    struct err e = {0};
    if (coll_create(&control, &e) != RC_OK) {
        print_error("%s\n", e.msg);
        return 1;
    }
    rank = coll_rank(control);
    size = coll_size(control);
    log_init(&(struct log_config){rank, size, LOG_INFO});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_done_by_exactly_one_rank),
        cmocka_unit_test(a_slow_rank_does_less_and_the_others_more),
        cmocka_unit_test(entering_brings_the_failed_ranks_sentence_to_all),
        cmocka_unit_test(ranks_that_see_another_corpus_are_named),
        cmocka_unit_test(a_failed_rank_stops_the_others_and_is_named),
        cmocka_unit_test(a_requested_stop_is_everybodys),
        cmocka_unit_test(the_service_ticks_while_its_rank_computes),
        cmocka_unit_test(without_memory_there_is_no_service),
    };
    int failed = cmocka_run_group_tests_name("work", tests, NULL, NULL);
    coll_destroy(control);
    return failed;
}

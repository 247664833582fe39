/*
 * The collective seam, on any number of ranks: alone it shows `self`, under mpirun (tests/mpi/coll.sh)
 * it shows `mpi`. Values are small integers, so sums are exact and equality is the assertion.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/coll/coll_impl.h"

static struct coll *world;
static int rank, size;

static int sum_of_ranks(void)
{
    return size * (size - 1) / 2;
}

static void ok(enum rc rc, const struct err *e)
{
    if (rc != RC_OK) {
        fail_msg("%s", e->msg);
    }
}

/* Every test leaves together, so that a slow rank's messages stay in its own test. */
static int meet(void **state)
{
    (void)state;
    return coll_barrier(world, NULL);
}

static void ranks_and_hosts_are_counted(void **state)
{
    (void)state;
    assert_true(rank >= 0 && rank < size);
    assert_int_equal(coll_local_size(world), size);
    assert_int_equal(coll_local_rank(world), rank);
    assert_string_equal(coll_name(world), getenv("OMPI_COMM_WORLD_SIZE") != NULL ? "mpi" : "self");
}

static void allreduce_sums_mins_and_maxes_every_type(void **state)
{
    (void)state;
    struct err e = {0};
    int32_t i32[3] = {rank, -rank, 7};
    int64_t i64[2] = {(int64_t)rank << 40, rank};
    float f32[2] = {(float)rank, 1};
    double f64[1] = {rank * 0.5};
    ok(coll_allreduce(world, i32, 3, COLL_I32, COLL_SUM, &e), &e);
    assert_int_equal(i32[0], sum_of_ranks());
    assert_int_equal(i32[1], -sum_of_ranks());
    assert_int_equal(i32[2], 7 * size);
    ok(coll_allreduce(world, i64, 2, COLL_I64, COLL_MAX, &e), &e);
    assert_true(i64[0] == (int64_t)(size - 1) << 40);
    ok(coll_allreduce(world, f32, 2, COLL_F32, COLL_SUM, &e), &e);
    assert_true(f32[0] == (float)sum_of_ranks() && f32[1] == (float)size);
    ok(coll_allreduce(world, f64, 1, COLL_F64, COLL_MIN, &e), &e);
    assert_true(f64[0] == 0);
    ok(coll_allreduce(world, NULL, 0, COLL_F32, COLL_SUM, &e), &e);
}

static void broadcast_reaches_all_from_any_root(void **state)
{
    (void)state;
    struct err e = {0};
    for (int root = 0; root < size; root++) {
        int buf[257];
        for (int i = 0; i < 257; i++) {
            buf[i] = rank == root ? root * 1000 + i : -1;
        }
        ok(coll_broadcast(world, buf, sizeof buf, root, &e), &e);
        assert_int_equal(buf[0], root * 1000);
        assert_int_equal(buf[256], root * 1000 + 256);
    }
}

static void gather_keeps_rank_order(void **state)
{
    (void)state;
    struct err e = {0};
    const int root = size - 1;
    int mine[2] = {rank, rank * rank};
    int *all = rank == root ? mem_calloc((size_t)size, sizeof mine) : NULL;
    ok(coll_gather(world, mine, all, sizeof mine, root, &e), &e);
    for (int r = 0; all != NULL && r < size; r++) {
        assert_int_equal(all[2 * r], r);
        assert_int_equal(all[2 * r + 1], r * r);
    }
    mem_free(all);
    assert_int_equal(coll_gather(world, mine, mine, (size_t)2 << 30, 0, &e), RC_INVAL);
    assert_string_equal(e.msg, "gather of 2147483648 bytes a rank: at most 1073741824 fit");
}

static void collectives_are_split_below_the_limit(void **state)
{
    (void)state;
    struct err e = {0};
    enum { N = 1000 };
    static float buf[N];
    struct coll *c = NULL;
    int ticket = -1;
    ok(coll_dup(world, &c, &e), &e);
    coll_mpi_set_split(c, 77);
    for (int i = 0; i < N; i++) {
        buf[i] = (float)(rank + i);
    }
    ok(coll_allreduce(c, buf, N, COLL_F32, COLL_SUM, &e), &e);
    ok(coll_allreduce_start(c, buf, N, 0, &ticket, &e), &e);
    ok(coll_allreduce_wait(c, ticket, &e), &e);
    for (int i = 0; i < N; i++) {
        assert_true(buf[i] == (float)((sum_of_ranks() + i * size) * size));
    }
    buf[N - 1] = rank == 0 ? 5 : 6;
    ok(coll_broadcast(c, buf, sizeof buf, 0, &e), &e);
    assert_true(buf[N - 1] == 5);
    assert_int_equal(coll_allreduce_start(c, buf, 77 * 16, 0, &ticket, &e), RC_INVAL);
    assert_string_equal(e.msg, "asynchronous all-reduce of 1232 elements: at most 1232 fit");
    coll_destroy(c);
}

static void asynchronous_allreduces_are_in_flight_together(void **state)
{
    (void)state;
    struct err e = {0};
    enum { BUCKETS = 12, N = 5000 };
    static float buf[BUCKETS][N];
    int ticket[BUCKETS];
    uint64_t allocations = 0;
    for (int round = 0; round < 20; round++) {
        allocations = round == 1 ? mem_count() : allocations;
        for (int b = 0; b < BUCKETS; b++) {
            for (int i = 0; i < N; i++) {
                buf[b][i] = (float)(rank + b + i % 10 + round);
            }
            ok(coll_allreduce_start(world, buf[b], N, b, &ticket[b], &e), &e);
        }
        for (int b = BUCKETS - 1; b >= 0; b--) { /* any order of waiting */
            ok(coll_allreduce_wait(world, ticket[b], &e), &e);
            for (int i = 0; i < N; i++) {
                assert_true(buf[b][i] == (float)(sum_of_ranks() + size * (b + i % 10 + round)));
            }
        }
    }
    assert_true(mem_count() == allocations); /* a steady step allocates nothing */
}

static void too_many_allreduces_in_flight_are_refused(void **state)
{
    (void)state;
    struct err e = {0};
    static float buf[COLL_MAX_PENDING + 1];
    int ticket[COLL_MAX_PENDING + 1];
    for (int i = 0; i < COLL_MAX_PENDING; i++) {
        buf[i] = 1;
        ok(coll_allreduce_start(world, &buf[i], 1, i, &ticket[i], &e), &e);
    }
    assert_int_equal(coll_allreduce_start(world, &buf[COLL_MAX_PENDING], 1, 0, &ticket[0], &e),
                     RC_INVAL);
    assert_string_equal(e.msg, "more than 64 asynchronous all-reduces are in flight");
    for (int i = 0; i < COLL_MAX_PENDING; i++) {
        ok(coll_allreduce_wait(world, ticket[i], &e), &e);
        assert_true(buf[i] == (float)size);
    }
}

static void an_allreduce_goes_on_while_the_caller_makes_no_calls(void **state)
{
    (void)state;
    struct err e = {0};
    enum { N = 4 << 20 };
    float *buf = mem_aligned(N * sizeof *buf);
    int ticket = -1;
    assert_non_null(buf);
    memset(buf, 0, N * sizeof *buf);
    double alone = clock_now();
    ok(coll_allreduce_start(world, buf, N, 0, &ticket, &e), &e);
    ok(coll_allreduce_wait(world, ticket, &e), &e);
    alone = clock_now() - alone;
    double best = 1e9; /* of several: other programs may hold the cores */
    for (int i = 0; i < 5; i++) {
        ok(coll_allreduce_start(world, buf, N, 0, &ticket, &e), &e);
        usleep((useconds_t)(3e6 * alone) + 100000);
        double wait = clock_now();
        ok(coll_allreduce_wait(world, ticket, &e), &e);
        wait = clock_now() - wait;
        best = wait < best ? wait : best;
    }
    if (size > 1) {
        assert_true(best < 0.5 * alone);
    }
    mem_free(buf);
}

static void agreement_brings_the_sentence_of_the_failed_rank(void **state)
{
    (void)state;
    struct err e = {0};
    ok(coll_agree(world, RC_OK, &e), &e);
    const int guilty = size - 1;
    char sentence[64];
    snprintf(sentence, sizeof sentence, "cannot open 'x.lmdb' (%d)", guilty);
    enum rc rc = rank == guilty ? err_raise(&e, RC_IO, "%s", sentence) : RC_OK;
    rc = coll_agree(world, rc, &e);
    if (rank == guilty) {
        assert_int_equal(rc, RC_IO);
        assert_string_equal(e.msg, sentence);
    } else {
        assert_int_equal(rc, RC_PEER);
        assert_int_equal(e.rc, RC_PEER);
        assert_memory_equal(e.msg, "rank ", 5);
        assert_string_equal(strchr(e.msg, ':') + 2, sentence);
    }
}

static void agreement_takes_the_lowest_failed_rank(void **state)
{
    (void)state;
    struct err e = {0};
    enum rc rc = rank >= 1 ? err_raise(&e, RC_CORRUPT, "shard of %d", rank) : RC_OK;
    rc = coll_agree(world, rc, &e);
    if (size == 1) {
        assert_int_equal(rc, RC_OK);
    } else if (rank == 0) {
        assert_int_equal(rc, RC_PEER);
        assert_string_equal(e.msg, "rank 1: shard of 1");
    } else {
        assert_int_equal(rc, RC_CORRUPT);
    }
}

static void a_requested_stop_is_everybodys_unless_one_failed(void **state)
{
    (void)state;
    struct err e = {0};
    enum rc rc = coll_agree(world, rank == 0 ? RC_REQUEUE : RC_OK, &e);
    assert_int_equal(rc, RC_REQUEUE);
    if (rank > 0) {
        assert_string_equal(e.msg, "stopped on request (rank 0 was asked)");
    }
    err_clear(&e);
    rc = rank == 0 ? err_raise(&e, RC_REQUEUE, "stopped") : RC_OK;
    if (rank == size - 1 && size > 1) {
        rc = err_raise(&e, RC_NOMEM, "no memory");
    }
    rc = coll_agree(world, rc, &e);
    assert_int_equal(rc, size == 1 ? RC_REQUEUE : rank == size - 1 ? RC_NOMEM : RC_PEER);
    if (size > 1 && rank == 0) {
        assert_true(strstr(e.msg, ": no memory") != NULL);
    }
}

enum { TAG_ASK = 5, TAG_ANSWER = 6, TAG_LONG = 7, ASKS = 200 };

static void *serve(void *arg)
{
    const char **complaint = arg;
    int left = ASKS * (size - 1);
    while (left > 0) {
        int question = 0, from = -1;
        size_t bytes = 0;
        if (coll_poll(world, TAG_ASK, &question, sizeof question, &bytes, &from, NULL) != RC_OK) {
            *complaint = "poll failed";
            return NULL;
        }
        if (from < 0) {
            usleep(50);
            continue;
        }
        question += from;
        if (coll_send(world, from, TAG_ANSWER, &question, sizeof question, NULL) != RC_OK) {
            *complaint = "send failed";
            return NULL;
        }
        left--;
    }
    return NULL;
}

static void *ask(void *arg)
{
    const char **complaint = arg;
    for (int i = 0; i < ASKS; i++) {
        int answer = i * 10, from = -1;
        size_t bytes = 0;
        if (coll_send(world, 0, TAG_ASK, &answer, sizeof answer, NULL) != RC_OK) {
            *complaint = "send failed";
            return NULL;
        }
        while (from < 0) {
            if (coll_poll(world, TAG_ANSWER, &answer, sizeof answer, &bytes, &from, NULL) !=
                RC_OK) {
                *complaint = "poll failed";
                return NULL;
            }
            usleep(20);
        }
        if (from != 0 || bytes != sizeof answer || answer != i * 10 + rank) {
            *complaint = "wrong answer";
            return NULL;
        }
    }
    return NULL;
}

static void messages_are_served_beside_collectives(void **state)
{
    (void)state;
    struct err e = {0};
    enum { N = 20000 };
    static float buf[N];
    pthread_t t;
    const char *complaint = NULL;
    int ticket = -1;
    assert_int_equal(pthread_create(&t, NULL, rank == 0 ? serve : ask, &complaint), 0);
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < N; i++) {
            buf[i] = (float)(rank + round);
        }
        ok(coll_allreduce_start(world, buf, N, 0, &ticket, &e), &e);
        int64_t one = 1;
        ok(coll_allreduce(world, &one, 1, COLL_I64, COLL_SUM, &e), &e);
        assert_int_equal(one, size);
        ok(coll_allreduce_wait(world, ticket, &e), &e);
        assert_true(buf[0] == (float)(sum_of_ranks() + round * size));
        assert_true(buf[N - 1] == buf[0]);
    }
    pthread_join(t, NULL);
    if (complaint != NULL) {
        fail_msg("%s", complaint);
    }
}

static void a_message_to_oneself_arrives_in_order(void **state)
{
    (void)state;
    struct err e = {0};
    unsigned char in[COLL_MSG_MAX] = {9}, out[COLL_MSG_MAX + 1] = {1, 2, 3};
    size_t bytes = 0;
    int from = 0;
    ok(coll_poll(world, TAG_LONG, in, sizeof in, &bytes, &from, &e), &e);
    assert_int_equal(from, -1);
    ok(coll_send(world, rank, TAG_LONG, out, 3, &e), &e);
    ok(coll_send(world, rank, TAG_LONG, out, COLL_MSG_MAX, &e), &e);
    ok(coll_send(world, rank, TAG_LONG, NULL, 0, &e), &e);
    const size_t want[] = {3, COLL_MSG_MAX, 0};
    for (int i = 0; i < 3; i++) {
        do {
            ok(coll_poll(world, TAG_LONG, in, sizeof in, &bytes, &from, &e), &e);
        } while (from < 0);
        assert_int_equal(from, rank);
        assert_int_equal(bytes, want[i]);
    }
    assert_memory_equal(in, out, COLL_MSG_MAX);
    assert_int_equal(coll_send(world, rank, TAG_LONG, out, sizeof out, &e), RC_INVAL);
    assert_true(strstr(e.msg, "at most 4096 fit") != NULL);
}

static void a_message_that_is_too_long_is_refused(void **state)
{
    (void)state;
    struct err e = {0};
    char msg[8];
    size_t bytes = 0;
    int from = -1;
    enum rc rc = RC_OK;
    ok(coll_send(world, rank, TAG_LONG, "0123456789", 10, &e), &e);
    while (rc == RC_OK && from < 0) {
        rc = coll_poll(world, TAG_LONG, msg, sizeof msg, &bytes, &from, &e);
    }
    assert_int_equal(rc, RC_CORRUPT);
    assert_true(strstr(e.msg, "has 10 bytes, not 8") != NULL);
    err_clear(&e);
    ok(coll_poll(world, TAG_LONG, msg, sizeof msg, &bytes, &from, &e), &e);
    assert_int_equal(from, -1);
}

static void a_receiver_that_takes_nothing_is_named(void **state)
{
    (void)state;
    struct err e = {0};
    static unsigned char msg[COLL_MSG_MAX];
    enum rc rc = RC_OK;
    int sent = 0;
    size_t bytes = 0;
    int from = -1;
    if (rank == 1) { /* nobody receives until the outbox is full, if messages of this size wait */
        while (sent < 100 && rc == RC_OK) {
            rc = coll_send(world, 0, TAG_LONG, msg, sizeof msg, &e);
            sent += rc == RC_OK;
        }
        assert_true(sent >= 8);
        assert_true(rc == RC_OK || strcmp(e.msg, "rank 0 takes no messages") == 0);
    }
    ok(coll_broadcast(world, &sent, sizeof sent, 1, NULL), &e);
    while (rank == 0 && sent > 0) {
        ok(coll_poll(world, TAG_LONG, msg, sizeof msg, &bytes, &from, &e), &e);
        sent -= from == 1;
    }
}

static void a_duplicate_is_its_own_world(void **state)
{
    (void)state;
    struct err e = {0};
    struct coll *a = NULL;
    ok(coll_dup(world, &a, &e), &e);
    assert_int_equal(coll_rank(a), rank);
    assert_int_equal(coll_size(a), size);
    int from = -1;
    char c = 'x';
    size_t bytes = 0;
    ok(coll_send(a, rank, TAG_LONG, &c, 1, &e), &e);
    usleep(1000);
    ok(coll_poll(world, TAG_LONG, &c, 1, &bytes, &from, &e), &e);
    assert_int_equal(from, -1);
    while (from < 0) {
        ok(coll_poll(a, TAG_LONG, &c, 1, &bytes, &from, &e), &e);
    }
    coll_destroy(a);
    coll_destroy(NULL);
}

static void without_memory_no_instance_is_made(void **state)
{
    (void)state;
    struct err e = {0};
    struct coll *a = NULL;
    mem_fail_at(1);
    assert_int_equal(coll_self_create(&a, &e), RC_NOMEM);
    assert_null(a);
    assert_true(strstr(e.msg, "a collective instance") != NULL);
}

int main(void)
{
    struct err e = {0};
    if (coll_create(&world, &e) != RC_OK) {
        print_error("%s\n", e.msg);
        return 1;
    }
    rank = coll_rank(world);
    size = coll_size(world);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(ranks_and_hosts_are_counted, meet),
        cmocka_unit_test_teardown(allreduce_sums_mins_and_maxes_every_type, meet),
        cmocka_unit_test_teardown(broadcast_reaches_all_from_any_root, meet),
        cmocka_unit_test_teardown(gather_keeps_rank_order, meet),
        cmocka_unit_test_teardown(asynchronous_allreduces_are_in_flight_together, meet),
        cmocka_unit_test_teardown(an_allreduce_goes_on_while_the_caller_makes_no_calls, meet),
        cmocka_unit_test_teardown(agreement_brings_the_sentence_of_the_failed_rank, meet),
        cmocka_unit_test_teardown(agreement_takes_the_lowest_failed_rank, meet),
        cmocka_unit_test_teardown(a_requested_stop_is_everybodys_unless_one_failed, meet),
        cmocka_unit_test_teardown(messages_are_served_beside_collectives, meet),
        cmocka_unit_test_teardown(a_message_to_oneself_arrives_in_order, meet),
        cmocka_unit_test_teardown(a_message_that_is_too_long_is_refused, meet),
        cmocka_unit_test_teardown(a_duplicate_is_its_own_world, meet),
        cmocka_unit_test_teardown(without_memory_no_instance_is_made, meet),
        /* on several ranks */
        cmocka_unit_test_teardown(collectives_are_split_below_the_limit, meet),
        cmocka_unit_test_teardown(too_many_allreduces_in_flight_are_refused, meet),
        cmocka_unit_test_teardown(a_receiver_that_takes_nothing_is_named, meet),
    };
    const size_t all = sizeof tests / sizeof tests[0];
    int failed = _cmocka_run_group_tests("coll", tests, size > 1 ? all : all - 3, NULL, NULL);
    coll_destroy(world);
    return failed;
}

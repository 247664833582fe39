#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/nn/graph_impl.h"

static int planned(struct graph *g, size_t bytes)
{
    return graph_add_value(g, &(struct graph_value){.home = GRAPH_PLANNED, .bytes = bytes});
}

static void node(struct graph *g, int a, int b)
{
    struct graph_node n = {.args = {a, b}, .n_args = 2};

    assert_non_null(graph_add_node(g, &n));
}

static void must_plan(struct graph *g)
{
    struct err e = {0};

    assert_int_equal(graph_plan_memory(g, &e), RC_OK);
}

static void a_chain_takes_turns_with_two_places(void **state)
{
    struct graph g = {0};
    int v[5];

    (void)state;
    for (int i = 0; i < 5; i++) {
        v[i] = planned(&g, 640);
    }
    for (int i = 0; i < 4; i++) {
        node(&g, v[i], v[i + 1]);
    }
    must_plan(&g);
    assert_int_equal(g.lower_bound, 2 * 640);
    assert_int_equal(g.planned_bytes, 2 * 640);
    graph_release(&g);
}

static void sizes_are_whole_cache_lines_and_unused_values_take_none(void **state)
{
    struct graph g = {0};
    int a = planned(&g, 1);
    int b = planned(&g, 65);

    (void)state;
    planned(&g, 1 << 20);
    node(&g, a, b);
    must_plan(&g);
    assert_int_equal(g.planned_bytes, 64 + 128);
    assert_int_equal(g.values[a].at % 64, 0);
    assert_int_equal(g.values[b].at % 64, 0);
    graph_release(&g);
}

static void values_alive_together_never_overlap(void **state)
{
    struct key128 key = {{0}};
    struct rng r;

    (void)state;
    for (uint32_t run = 0; run < 60; run++) {
        struct graph g = {0};
        int n = 40;

        rng_init(&r, 1, RNG_TEST, 0, &key, run);
        for (int i = 0; i < n; i++) {
            planned(&g, 1 + rng_below(&r, 4000));
        }
        for (int i = 0; i < 120; i++) {
            node(&g, (int)rng_below(&r, 40), rng_below(&r, 4) == 0 ? GRAPH_NONE : i % n);
        }
        must_plan(&g);
        assert_true(g.planned_bytes >= g.lower_bound);
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < i; j++) {
                const struct graph_value *x = &g.values[i];
                const struct graph_value *y = &g.values[j];

                assert_true(x->first > y->last || y->first > x->last || x->at + x->bytes <= y->at ||
                            y->at + y->bytes <= x->at);
            }
        }
        graph_release(&g);
    }
}

static void a_failed_allocation_sticks_until_it_is_asked_for(void **state)
{
    struct graph g = {0};
    struct err e = {0};

    (void)state;
    mem_fail_at(1);
    planned(&g, 64);
    assert_true(g.out_of_memory);
    g.out_of_memory = false;
    node(&g, planned(&g, 64), GRAPH_NONE);
    mem_fail_at(1);
    assert_int_equal(graph_plan_memory(&g, &e), RC_NOMEM);
    assert_non_null(strstr(e.msg, "memory plan"));
    mem_fail_at(0);
    graph_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_takes_turns_with_two_places),
        cmocka_unit_test(sizes_are_whole_cache_lines_and_unused_values_take_none),
        cmocka_unit_test(values_alive_together_never_overlap),
        cmocka_unit_test(a_failed_allocation_sticks_until_it_is_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

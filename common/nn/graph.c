#include "common/nn/graph_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

void graph_release(struct graph *g)
{
    for (int i = 0; i < g->n_nodes; i++) {
        plan_destroy(g->nodes[i].plan);
    }
    mem_free(g->nodes);
    mem_free(g->values);
    memset(g, 0, sizeof *g);
}

enum rc graph_value(struct graph *g, size_t bytes, int *out, struct err *e)
{
    if (g->n_values == g->cap_values) {
        int cap = g->cap_values == 0 ? 64 : 2 * g->cap_values;
        struct graph_value *p = mem_realloc(g->values, (size_t)cap, sizeof *p);

        if (p == NULL) {
            return mem_raise(e, "the graph's values", (size_t)cap * sizeof *p);
        }
        g->values = p;
        g->cap_values = cap;
    }
    bytes = (bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
    g->values[g->n_values] = (struct graph_value){.bytes = bytes, .first = -1, .last = -1};
    *out = g->n_values++;
    return RC_OK;
}

static void graph_touch(struct graph *g, int value, int node)
{
    struct graph_value *v = &g->values[value];

    if (v->first < 0) {
        v->first = node;
    }
    v->last = node;
}

enum rc graph_append(struct graph *g, struct device *dev, const struct op_desc *op,
                     const struct graph_arg *args, int n_args, struct graph_node **out,
                     struct err *e)
{
    struct graph_node node = {.op = *op,
                              .n_args = n_args,
                              .weights = GRAPH_NONE,
                              .bias = GRAPH_NONE,
                              .gamma = GRAPH_NONE,
                              .ready = (size_t)-1};
    enum rc rc = RC_OK;

    assert(n_args <= PLAN_MAX_ARGS);
    if (g->n_nodes == g->cap_nodes) {
        int cap = g->cap_nodes == 0 ? 64 : 2 * g->cap_nodes;
        struct graph_node *p = mem_realloc(g->nodes, (size_t)cap, sizeof *p);

        if (p == NULL) {
            return mem_raise(e, "the graph's nodes", (size_t)cap * sizeof *p);
        }
        g->nodes = p;
        g->cap_nodes = cap;
    }
    rc = plan_create(dev, op, &node.plan, e);
    if (rc != RC_OK) {
        return rc;
    }
    for (int i = 0; i < n_args; i++) {
        node.args[i] = args[i];
        if (args[i].kind == ARG_VALUE) {
            graph_touch(g, args[i].index, g->n_nodes);
        }
    }
    g->nodes[g->n_nodes] = node;
    *out = &g->nodes[g->n_nodes++];
    return RC_OK;
}

static int graph_by_size(const void *a, const void *b, void *ctx)
{
    const struct graph *g = ctx;
    const struct graph_value *x = &g->values[*(const int *)a];
    const struct graph_value *y = &g->values[*(const int *)b];

    if (x->bytes != y->bytes) {
        return x->bytes < y->bytes ? 1 : -1;
    }
    return *(const int *)a - *(const int *)b;
}

/* The lowest gap that holds value v among the placed values that live at the same time. placed is kept
 * in order of offset. */
static size_t graph_fit(const struct graph *g, const int *placed, int n, int v)
{
    const struct graph_value *x = &g->values[v];
    size_t at = 0;

    for (int i = 0; i < n; i++) {
        const struct graph_value *y = &g->values[placed[i]];

        if (y->last < x->first || y->first > x->last) {
            continue;
        }
        if (y->offset >= at + x->bytes) {
            break;
        }
        if (y->offset + y->bytes > at) {
            at = y->offset + y->bytes;
        }
    }
    return at;
}

static void graph_insert(const struct graph *g, int *placed, int n, int v)
{
    int i = n;

    while (i > 0 && g->values[placed[i - 1]].offset > g->values[v].offset) {
        placed[i] = placed[i - 1];
        i--;
    }
    placed[i] = v;
}

static void graph_bound(struct graph *g)
{
    for (int t = 0; t < g->n_nodes; t++) {
        size_t alive = 0;

        for (int v = 0; v < g->n_values; v++) {
            if (g->values[v].first >= 0 && g->values[v].first <= t && g->values[v].last >= t) {
                alive += g->values[v].bytes;
            }
        }
        if (alive > g->lower_bound) {
            g->lower_bound = alive;
        }
    }
}

enum rc graph_plan_memory(struct graph *g, struct err *e)
{
    size_t n = (size_t)g->n_values;
    int *order = mem_calloc(2 * n, sizeof *order);
    int *placed = NULL;
    int n_placed = 0;

    if (order == NULL) {
        return mem_raise(e, "a memory plan", 2 * n * sizeof *order);
    }
    placed = order + n;
    for (int i = 0; i < g->n_values; i++) {
        order[i] = i;
    }
    qsort_r(order, n, sizeof *order, graph_by_size, g);
    for (int i = 0; i < g->n_values; i++) {
        struct graph_value *v = &g->values[order[i]];

        if (v->first < 0) {
            continue;
        }
        v->offset = graph_fit(g, placed, n_placed, order[i]);
        graph_insert(g, placed, n_placed++, order[i]);
        if (v->offset + v->bytes > g->plan_bytes) {
            g->plan_bytes = v->offset + v->bytes;
        }
    }
    graph_bound(g);
    mem_free(order);
    return RC_OK;
}

void graph_resize(struct graph *g, int value, size_t bytes)
{
    g->values[value].bytes = (bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
}

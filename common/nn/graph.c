#include "common/nn/graph_impl.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/base/mem.h"

void graph_release(struct graph *g)
{
    mem_free(g->values);
    mem_free(g->nodes);
    g->values = NULL;
    g->nodes = NULL;
}

int graph_add_value(struct graph *g, const struct graph_value *v)
{
    if (g->n_values == g->max_values) {
        int max = g->max_values == 0 ? 256 : 2 * g->max_values;
        void *p = mem_realloc(g->values, (size_t)max, sizeof *g->values);

        if (p == NULL) {
            g->out_of_memory = true;
            return 0;
        }
        g->values = p;
        g->max_values = max;
    }
    g->values[g->n_values] = *v;
    return g->n_values++;
}

int graph_add_planned(struct graph *g, int n, int h, int w, int c, enum dtype type)
{
    size_t bytes = (size_t)n * (size_t)h * (size_t)w * (size_t)c * dtype_size(type);

    return graph_add_value(
        g, &(struct graph_value){.home = GRAPH_PLANNED, .bytes = bytes, .h = h, .w = w, .c = c});
}

int graph_add_at(struct graph *g, enum graph_home home, size_t at)
{
    return graph_add_value(g, &(struct graph_value){.home = home, .at = at, .constant = true});
}

struct graph_node *graph_add_node(struct graph *g, const struct graph_node *node)
{
    if (g->n_nodes == g->max_nodes) {
        int max = g->max_nodes == 0 ? 128 : 2 * g->max_nodes;
        void *p = mem_realloc(g->nodes, (size_t)max, sizeof *g->nodes);

        if (p == NULL) {
            g->out_of_memory = true;
            return NULL;
        }
        g->nodes = p;
        g->max_nodes = max;
    }
    g->nodes[g->n_nodes] = *node;
    return &g->nodes[g->n_nodes++];
}

/* ---- the memory plan -------------------------------------------------------------------------- */

static void find_uses(struct graph *g)
{
    for (int v = 0; v < g->n_values; v++) {
        g->values[v].first = g->n_nodes;
        g->values[v].last = -1;
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const struct graph_node *node = &g->nodes[i];

        for (int a = 0; a < node->n_args; a++) {
            if (node->args[a] != GRAPH_NONE) {
                struct graph_value *v = &g->values[node->args[a]];

                v->first = v->last < 0 ? i : v->first;
                v->last = i;
            }
        }
    }
}

/* A value that is planned and used takes whole cache lines. */
static size_t room(const struct graph_value *v)
{
    if (v->home != GRAPH_PLANNED || v->last < 0) {
        return 0;
    }
    return (v->bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
}

static size_t most_alive(const struct graph *g, int64_t *change)
{
    int64_t alive = 0;
    int64_t most = 0;

    for (int v = 0; v < g->n_values; v++) {
        const struct graph_value *value = &g->values[v];
        int64_t bytes = (int64_t)room(value);

        if (bytes > 0) {
            change[value->first] += bytes;
            change[value->last + 1] -= bytes;
        }
    }
    for (int i = 0; i < g->n_nodes; i++) {
        alive += change[i];
        most = alive > most ? alive : most;
    }
    return (size_t)most;
}

/* qsort has no context: what is compared stands in the record. */
struct rank {
    size_t bytes;
    int first, value;
};

static int larger_first(const void *a, const void *b)
{
    const struct rank *x = a;
    const struct rank *y = b;

    if (x->bytes != y->bytes) {
        return x->bytes < y->bytes ? 1 : -1;
    }
    return x->first != y->first ? (x->first > y->first ? 1 : -1) : x->value - y->value;
}

static bool overlap(const struct graph_value *a, const struct graph_value *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The smallest gap that v fits into between the values placed at its time; placed is kept in order
 * of place. Returns the place. */
static size_t best_fit(const struct graph *g, const struct graph_value *v, const int *placed,
                       int n_placed)
{
    size_t bytes = room(v);
    size_t best = SIZE_MAX;
    size_t best_gap = SIZE_MAX;
    size_t end = 0; /* of what is placed so far, at v's time */

    for (int i = 0; i < n_placed; i++) {
        const struct graph_value *other = &g->values[placed[i]];

        if (!overlap(v, other)) {
            continue;
        }
        if (other->at >= end && other->at - end >= bytes && other->at - end < best_gap) {
            best = end;
            best_gap = other->at - end;
        }
        if (other->at + room(other) > end) {
            end = other->at + room(other);
        }
    }
    return best != SIZE_MAX ? best : end;
}

static void insert_by_place(const struct graph *g, int *placed, int n_placed, int value)
{
    int i = n_placed;

    while (i > 0 && g->values[placed[i - 1]].at > g->values[value].at) {
        placed[i] = placed[i - 1];
        i--;
    }
    placed[i] = value;
}

static void place_all(struct graph *g, const struct rank *order, int n, int *placed)
{
    g->planned_bytes = 0;
    for (int i = 0; i < n; i++) {
        struct graph_value *v = &g->values[order[i].value];

        v->at = best_fit(g, v, placed, i);
        insert_by_place(g, placed, i, order[i].value);
        if (v->at + room(v) > g->planned_bytes) {
            g->planned_bytes = v->at + room(v);
        }
    }
}

enum rc graph_plan_memory(struct graph *g, struct err *e)
{
    size_t n_values = (size_t)g->n_values;
    struct rank *order = mem_calloc(n_values, sizeof *order);
    int *placed = mem_calloc(n_values, sizeof *placed);
    int64_t *change = mem_calloc((size_t)g->n_nodes + 1, sizeof *change);
    enum rc rc = RC_OK;
    int n = 0;

    if (order == NULL || placed == NULL || change == NULL) {
        rc = mem_raise(e, "memory plan", n_values * sizeof *order);
        goto out;
    }
    find_uses(g);
    g->lower_bound = most_alive(g, change);
    for (int v = 0; v < g->n_values; v++) {
        size_t bytes = room(&g->values[v]);

        if (bytes > 0) {
            order[n++] = (struct rank){bytes, g->values[v].first, v};
        }
    }
    qsort(order, (size_t)n, sizeof *order, larger_first);
    place_all(g, order, n, placed);
out:
    mem_free(order);
    mem_free(placed);
    mem_free(change);
    return rc;
}

#include "labeler/work_table.h"

#include <assert.h>

#include "common/base/mem.h"

enum { ITEM_WAITING, ITEM_RUNNING, ITEM_DONE };

struct table_item {
    int item;
    int state;
    int rank; /* of the last taker */
    uint32_t attempt;
};

struct work_table {
    struct table_item *items;
    int n;
    int next; /* the first that was never taken */
    int back; /* how many wait before next: they came back */
    int left;
};

enum rc work_table_create(const int *items, int n, struct work_table **out, struct err *e)
{
    struct work_table *t = mem_calloc(1, sizeof *t);

    assert(n >= 0);
    if (t == NULL) {
        return mem_raise(e, "the table of work", sizeof *t);
    }
    t->items = mem_calloc((size_t)n + 1, sizeof *t->items);
    if (t->items == NULL) {
        work_table_destroy(t);
        return mem_raise(e, "the table of work", ((size_t)n + 1) * sizeof *t->items);
    }
    for (int i = 0; i < n; i++) {
        t->items[i] = (struct table_item){.item = items[i], .state = ITEM_WAITING, .rank = -1};
    }
    t->n = n;
    t->left = n;
    *out = t;
    return RC_OK;
}

void work_table_destroy(struct work_table *t)
{
    if (t != NULL) {
        mem_free(t->items);
        mem_free(t);
    }
}

static struct table_item *table_first_back(struct work_table *t)
{
    for (int i = 0; t->back > 0 && i < t->next; i++) {
        if (t->items[i].state == ITEM_WAITING) {
            t->back--;
            return &t->items[i];
        }
    }
    return NULL;
}

bool work_table_take(struct work_table *t, int rank, int *item, uint32_t *attempt)
{
    struct table_item *it = table_first_back(t);

    while (it == NULL && t->next < t->n) {
        struct table_item *candidate = &t->items[t->next++];

        it = candidate->state == ITEM_WAITING ? candidate : NULL;
    }
    if (it == NULL) {
        return false;
    }
    it->state = ITEM_RUNNING;
    it->rank = rank;
    *item = it->item;
    *attempt = it->attempt;
    return true;
}

void work_table_done(struct work_table *t, int item)
{
    for (int i = 0; i < t->n; i++) {
        struct table_item *it = &t->items[i];

        if (it->item == item && it->state != ITEM_DONE) {
            t->back -= it->state == ITEM_WAITING && i < t->next;
            it->state = ITEM_DONE;
            t->left--;
        }
    }
}

int work_table_lose(struct work_table *t, int rank)
{
    int n = 0;

    for (int i = 0; i < t->next; i++) {
        struct table_item *it = &t->items[i];

        if (it->state == ITEM_RUNNING && it->rank == rank) {
            it->state = ITEM_WAITING;
            it->attempt++;
            n++;
        }
    }
    t->back += n;
    return n;
}

int work_table_left(const struct work_table *t)
{
    return t->left;
}

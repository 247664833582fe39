/**
 * Rank 0's table of what is to be done, who does it, and what came back from the dead. Arithmetic
 * alone: no messages, no clock, no threads.
 */
#ifndef PRECEPTOR_WORK_TABLE_H
#define PRECEPTOR_WORK_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

struct work_table;

/** A table of n items (any distinct numbers), taken in this order. RC_NOMEM. */
NODISCARD enum rc work_table_create(const int *items, int n, struct work_table **out,
                                    struct err *e);
/** NULL is fine. */
void work_table_destroy(struct work_table *t);

/** What came back goes first. False: nothing is waiting (others may still be working). */
bool work_table_take(struct work_table *t, int rank, int *item, uint32_t *attempt);

/** Done, by whoever; a second time is harmless, and so is an item that the table does not have. */
void work_table_done(struct work_table *t, int item);

/** The items that rank was doing wait again, with the next attempt's number; how many. */
int work_table_lose(struct work_table *t, int rank);

/** Items that are not done. */
int work_table_left(const struct work_table *t);

#endif

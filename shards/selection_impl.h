/**
 * A selection's file (docs/FORMAT.md), shared by its reader and its writer.
 */
#ifndef PRECEPTOR_SELECTION_IMPL_H
#define PRECEPTOR_SELECTION_IMPL_H

#include "shards/selection.h"

enum { SELECTION_FORMAT = 1, SELECTION_KEY = 4 };

#define SELECTION_KIND "selection" /* of the .json, as a manifest */

/* Tables: one value a shard under its number (u32 big-endian); the totals. */
enum { SELECTION_SHARDS, SELECTION_META, SELECTION_TABLES };
extern const char *const selection_tables[SELECTION_TABLES];
#define SELECTION_TOTALS "totals" /* struct selection_total, one a shard */

struct selection_total {
    uint64_t images;
    uint64_t copies;
} __attribute__((packed, aligned(2)));

void selection_key(int shard, uint8_t key[SELECTION_KEY]);

/** path without a final .lmdb or .json, with suffix instead (mem_free); NULL when out of memory. */
char *selection_path(const char *path, const char *suffix);

#endif

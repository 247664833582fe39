/**
 * A label store in memory: shared by label_store.c (opening), label_update.c (entering shards) and
 * label_reader.c.
 */
#ifndef PRECEPTOR_LABEL_STORE_IMPL_H
#define PRECEPTOR_LABEL_STORE_IMPL_H

#include "shards/label_record_impl.h"

#define LABEL_KIND "labels" /* of labels.json, as a manifest */

struct label_store {
    char *path;
    struct label_lineage lineage; /* without isa: each shard has its own */
    json_t *manifest;             /* labels.json; class names are borrowed from it */
    const json_t *classes;
    int n_shards;
    struct label_shard *shards;
};

#endif

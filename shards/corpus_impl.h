/** What corpus.c, shard_reader.c and corpus_writer.c share. */
#ifndef PRECEPTOR_CORPUS_IMPL_H
#define PRECEPTOR_CORPUS_IMPL_H

#include <stdatomic.h>

#include "common/base/json.h"
#include "shards/corpus.h"
#include "shards/corpus_extra.h"
#include "shards/forgotten.h"

enum { SHARD_TABLES = 2, SHARD_TABLE_RECORDS = 0, SHARD_TABLE_META = 1 };
extern const char *const shard_reader_tables[SHARD_TABLES]; /* "records", "meta" */

struct corpus {
    char *path;
    bool labeled;
    struct class_list classes;
    struct digest class_digest;
    struct digest digest; /* set by corpus_open */
    struct corpus_shard *shards;
    atomic_uchar *checked; /* of each shard: whether this process has checked its digest */
    int n_shards;
    uint64_t images;
    uint64_t occurrences;
    uint64_t *per_class; /* occurrences of each class, later ones included */
    struct corpus_extra_file *extra_files;
    int n_extra_files;
    struct corpus_extras extras; /* loaded for labeled corpora alone */
    json_t *sources;             /* array: what was packed, for people */
    json_t *guards;              /* array: evaluation sets it was guarded against (guard.h) */
    struct forgotten gone;       /* tombstones; loaded by corpus_open alone */
    uint64_t *gone_first;        /* (n_shards + 1) where those of a shard begin; NULL: none */
};

/** Load the tombstones and take them from the counts. Later occurrences must be loaded before. */
NODISCARD enum rc corpus_load_forgotten(struct corpus *c, struct err *e);

/** A corpus that is not on disk yet. classes are copied. */
NODISCARD enum rc corpus_create(const char *path, bool labeled, const struct class_list *classes,
                                struct corpus **out, struct err *e);
/** As corpus_open, but later occurrences are left on disk: shards' counts are as sealed. */
NODISCARD enum rc corpus_load(const char *path, struct corpus **out, struct err *e);
/** Append a sealed shard or a file of occurrences to the list in memory. */
NODISCARD enum rc corpus_append_shard(struct corpus *c, const struct corpus_shard *s, struct err *e);
NODISCARD enum rc corpus_append_extra_file(struct corpus *c, const struct corpus_extra_file *f,
                                           struct err *e);
/** Replace corpus.json by what is in memory. */
NODISCARD enum rc corpus_save(const struct corpus *c, struct err *e);

#endif

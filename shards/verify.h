/**
 * Whether every byte of a store is what was sealed: manifest, digests, records, and what they say of
 * each other.
 */
#ifndef PRECEPTOR_VERIFY_H
#define PRECEPTOR_VERIFY_H

#include <signal.h>
#include <stdint.h>

#include "common/base/err.h"

enum store_kind { STORE_CORPUS, STORE_LABELS, STORE_SELECTION, STORE_RUN };

/** What lies at path: a corpus, a label store (or a folder with one), a selection (.lmdb or .json, or
 * without either), the folder of a training run. RC_INVAL none of them. */
NODISCARD enum rc verify_kind(const char *path, enum store_kind *kind, struct err *e);

struct verify_config {
    const char *path;
    int64_t sample; /* shards, spread evenly; 0: all */
    /* Told each fault; verifying goes on with the next shard. */
    void (*fault)(void *ctx, const char *what);
    void *ctx;
    const volatile sig_atomic_t *stop;
};

struct verify_result {
    enum store_kind kind;
    int shards, verified; /* of the store; looked at */
    uint64_t records;     /* looked at */
    uint64_t bytes;
    uint64_t faults;
    uint64_t forgotten; /* images of a corpus that nothing may use any more */
    double seconds;
};

/** RC_OK also with faults: they are counted. RC_INVAL no store; RC_IO, RC_NOMEM, RC_REQUEUE stopped. */
NODISCARD enum rc verify_store(const struct verify_config *config, struct verify_result *result,
                               struct err *e);

#endif

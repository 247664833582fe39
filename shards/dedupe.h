/**
 * Near-duplicates: images whose perceptual hashes differ in few bits. Of those that look alike the
 * one that was packed first is kept (corpora in the order given, then shard, then position), so
 * that a grown corpus leaves earlier decisions as they were. An image goes if it is near one that
 * is kept; no chains: everything that goes is within the radius of what stays.
 */
#ifndef PRECEPTOR_DEDUPE_H
#define PRECEPTOR_DEDUPE_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct dedupe_config {
    const char *const *corpora; /* (n) */
    int n;
    int radius;
    const char *out; /* list of what should go, as `forget` takes it; NULL: only count */
    const volatile sig_atomic_t *stop;
};

struct dedupe_result {
    uint64_t images;
    uint64_t blank;   /* say nothing: they are never near anything */
    uint64_t groups;  /* images kept that others are near */
    uint64_t dropped; /* images that are near one of them */
    uint64_t same;    /* of those, with the very hash */
    double read_s, search_s;
};

/** Images forgotten already are left out. Memory: some 60 bytes an image.
 * The list has a line for each image that should go, in the order of corpora, shards and positions:
 *   {"corpus":"c","distance":2,"key":"...","near":"..."}
 * RC_INVAL radius, too many images; RC_CORRUPT a shard, named; RC_REQUEUE stopped; RC_IO, RC_NOMEM. */
NODISCARD enum rc dedupe_run(const struct dedupe_config *config, struct dedupe_result *result,
                             struct err *e);

#endif

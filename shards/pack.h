/**
 * Packing: sources -> a corpus of sealed shards. On a grown source only what is new is added; what
 * cannot be decoded goes to the quarantine ledger.
 */
#ifndef PRECEPTOR_PACK_H
#define PRECEPTOR_PACK_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

/** What makes sure that a file is an image. */
enum pack_check {
    PACK_CHECK_DECODE, /* all of it is decoded, and its perceptual hash kept */
    PACK_CHECK_HEADER  /* its header is read: label finds what does not decode (unlabeled alone) */
};

struct pack_config {
    const char *out;            /* the corpus */
    const char *const *sources; /* (n_sources) */
    int n_sources;
    const char *classes;     /* file with one class name a line; NULL: from the sources, sorted */
    const char *match;       /* shell pattern on the path inside a source; NULL: all */
    bool unlabeled;          /* drop classes, and source texts that name them */
    bool full_sources;       /* unlabeled: keep source texts as they are */
    int64_t skip, first;     /* in source order: leave out the first, then take so many (0: all) */
    int64_t skip_per_class;  /* of those, in source order, leave out so many of each class */
    int64_t limit_per_class; /* and then take so many of each (0: all) */
    bool draw;               /* the limits per class count in an order drawn by seed (pack_draw.h) */
    int64_t seed;
    int64_t shard_bytes;     /* 0: 1 GiB */
    bool retry;              /* try what the quarantine ledger lists, and that alone */
    enum pack_check check;
    const char *forbid;      /* evaluation sets, comma-separated, whose images are forgotten; or NULL */
    int forbid_radius;       /* bits of the hashes that may differ (guard.h) */
    int threads;             /* 0: the cores there are */
    double watchdog;         /* seconds that reading a file may take; 0: for ever (watch.h) */
    const volatile sig_atomic_t *stop; /* NULL: never */
};

struct pack_result {
    uint64_t seen;        /* candidates within skip, first and match */
    uint64_t left_out;    /* by the limits per class */
    uint64_t unchanged;   /* files that were packed before and not read again */
    uint64_t added;       /* images */
    uint64_t added_bytes;
    uint64_t duplicates;  /* further occurrences of images */
    uint64_t same;        /* read again, nothing new */
    uint64_t conflicts;   /* images with several classes */
    uint64_t quarantined; /* new lines in the ledger */
    uint64_t recovered;   /* retry: lines that left the ledger */
    uint64_t in_quarantine; /* lines in the ledger now */
    uint64_t forbidden;     /* images near those of evaluation sets, counted for each set */
    uint64_t forbidden_now; /* of them, forgotten by this run */
    int new_shards;
    uint64_t images, bytes; /* of the whole corpus */
    uint64_t header_images; /* of them, in shards that were packed by headers */
    int shards, classes;
    double seconds;
};

/** RC_USAGE    headers alone for a labeled corpus
 *  RC_INVAL    no images, images without a class, a class that the corpus lacks, unfit sources
 *  RC_IO       sources that are not there; the disk is full (what was sealed stays)
 *  RC_REQUEUE  stopped: what was read is sealed, the same command goes on */
NODISCARD enum rc pack_run(const struct pack_config *config, struct pack_result *result,
                           struct err *e);

#endif

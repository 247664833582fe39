/**
 * Inside selection: scanning a store, and cuts - the exact line below the r best labels of each class
 * (confidence descending, then key ascending), found without holding the labels.
 */
#ifndef PRECEPTOR_SELECT_IMPL_H
#define PRECEPTOR_SELECT_IMPL_H

#include <stdatomic.h>
#include <string.h>

#include "labeler/select.h"

enum {
    SELECT_BITS_LEAST = 1,        /* of the least confidence that says something */
    SELECT_BITS_ONE = 0x3F800000, /* of 1.0f: confidences compare as their bits do */
    SELECT_BINS_MAX = 512,        /* of a class: the counters of a thread stay in its cache */
    SELECT_THREADS = 16           /* at most: each has counters of its own */
};

/** What bounds memory; tests make it small. */
struct select_limits {
    size_t counters;   /* of all histograms together, 8 bytes each */
    size_t candidates; /* held in memory, 32 bytes each */
};
extern const struct select_limits select_limits_default;

struct select_scan {
    struct label_store *labels;
    const struct select_leave *leave; /* NULL: nothing */
    int threads;
    bool trusted;           /* summaries were checked by an earlier scan */
    atomic_uchar *checked;  /* (shards) files that were checked whole */
};

NODISCARD enum rc select_scan_init(struct select_scan *s, struct label_store *labels,
                                   const struct select_leave *leave, struct err *e);
void select_scan_release(struct select_scan *s);

/** A shard as a scan shows it: all its confidences are probabilities and its classes the store's. What
 * is left out has confidence 0, as a label that says nothing, and counts nowhere. */
struct select_shard {
    struct select_scan *scan;
    int i;      /* of the store */
    int thread; /* in [0, scan->threads) */
    uint64_t n;
    const struct label_summary *all; /* (n) by position */
    struct label_reader *reader;     /* opened when the first key is asked for */
    void *made;                      /* by visit, for in_order; freed with mem_free */
    uint64_t n_made;
};

static inline uint32_t select_bits(const struct label_summary *l)
{
    const float confidence = l->confidence;
    uint32_t bits;

    memcpy(&bits, &confidence, sizeof bits);
    return bits;
}

/** The key of a label. RC_CORRUPT */
NODISCARD enum rc select_scan_key(struct select_shard *s, uint64_t position, struct key128 *key,
                                  struct err *e);

struct select_visitor {
    enum rc (*visit)(void *ctx, struct select_shard *s, struct err *e);    /* on any thread */
    enum rc (*in_order)(void *ctx, struct select_shard *s, struct err *e); /* NULL: nothing */
    void *ctx;
};

/** Visit every shard, on all threads. The first error ends it. RC_CORRUPT also: a summary holds what is
 * no probability or no class. */
NODISCARD enum rc select_scan_all(struct select_scan *s, const struct select_visitor *v,
                                  struct err *e);

/** Add slices (threads, n) up into the first. */
void select_scan_sum(const struct select_scan *s, uint64_t *slices, size_t n);

/** The line in one class. rank: how many of the labels that are >= floor stand above it. */
struct select_cut {
    uint64_t rank;
    uint32_t bits;      /* a label with more is above, one with fewer below */
    bool split;         /* of those with just as many, the keys up to this are above; else all */
    struct key128 key;
};

/** Whether a label is above the line; its key is asked for only if the line splits its ties. */
static inline enum rc select_cut_above(const struct select_cut *cut, struct select_shard *s,
                                       uint64_t position, uint32_t bits, bool *above,
                                       struct err *e)
{
    struct key128 key;
    enum rc rc = RC_OK;

    *above = bits > cut->bits || (bits == cut->bits && !cut->split);
    if (bits == cut->bits && cut->split) {
        rc = select_scan_key(s, position, &key, e);
        *above = rc == RC_OK && memcmp(&key, &cut->key, sizeof key) <= 0;
    }
    return rc;
}

struct select_cuts;
/** First histogram of the labels with bits >= floor: fills labels and eligible of classes. */
NODISCARD enum rc select_cuts_create(struct select_scan *s, uint32_t floor,
                                     const struct select_limits *limits,
                                     struct select_class *classes, struct select_cuts **out,
                                     struct err *e);
/** Find the cuts (n_classes) for the ranks that they hold. */
NODISCARD enum rc select_cuts_find(struct select_cuts *c, struct select_cut *cuts, struct err *e);
void select_cuts_destroy(struct select_cuts *c);

#endif

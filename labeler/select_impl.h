/**
 * Inside selection: scanning a store, and cuts - the exact line below the r best labels of each class
 * (confidence descending, then key ascending), found without holding the labels.
 */
#ifndef PRECEPTOR_SELECT_IMPL_H
#define PRECEPTOR_SELECT_IMPL_H

#include "labeler/select.h"

enum {
    SELECT_BITS_LEAST = 1,        /* of the least confidence that says something */
    SELECT_BITS_ONE = 0x3F800000, /* of 1.0f: confidences compare as their bits do */
    SELECT_BINS_MAX = 4096
};

/** What bounds memory; tests make it small. */
struct select_limits {
    size_t counters;   /* of all histograms together, 8 bytes each */
    size_t candidates; /* held in memory, 32 bytes each */
};
extern const struct select_limits select_limits_default;

struct select_scan {
    struct label_store *labels;
    bool trusted; /* digests were checked by an earlier scan */
    const struct select_leave *leave; /* NULL: nothing */
};

/** Called for label shard i, by any thread. */
typedef enum rc select_visit(void *ctx, int i, struct label_reader *r, struct err *e);

/** Visit every shard, on all threads. The first error ends it. */
NODISCARD enum rc select_scan_all(struct select_scan *s, select_visit *visit, void *ctx,
                                  struct err *e);

/** The bits of the confidence of all[p] in label shard i; 0: it says nothing or is to be left out, and
 * counts nowhere. RC_CORRUPT: no probability, or no class of the store. */
NODISCARD enum rc select_scan_check(const struct select_scan *s, int i,
                                    const struct label_summary *all, uint64_t p, uint32_t *bits,
                                    struct err *e);

/** The line in one class. rank: how many of the labels that are >= floor stand above it. */
struct select_cut {
    uint64_t rank;
    uint32_t bits;      /* a label with more is above, one with fewer below */
    bool split;         /* of those with just as many, the keys up to this are above; else all */
    struct key128 key;
};

/** Whether a label is above; key is asked for (label_reader_at) only if the line splits its ties. */
NODISCARD enum rc select_cut_above(const struct select_cut *cut, struct label_reader *r,
                                   uint64_t position, uint32_t bits, bool *above, struct err *e);

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

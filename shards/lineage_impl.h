/** Inside lineage: stores are found (lineage_walk.c), then images and labels (lineage.c), then what
 * used them (lineage_use.c). */
#ifndef PRECEPTOR_LINEAGE_IMPL_H
#define PRECEPTOR_LINEAGE_IMPL_H

#include "shards/corpus_impl.h"
#include "shards/label_store.h"
#include "shards/lineage.h"
#include "shards/selection.h"

enum lineage_kind { LINEAGE_CORPUS, LINEAGE_LABELS, LINEAGE_SELECTION, LINEAGE_RUN };

struct lineage_store {
    enum lineage_kind kind;
    char *path;
};

struct lineage_stores {
    struct lineage_store *all; /* (n) in the order of roots, then names */
    size_t n, room;
};

/** The stores at and below root; links are not followed. RC_IO root is not there; RC_NOMEM. */
NODISCARD enum rc lineage_walk(const char *root, struct lineage_stores *out, struct err *e);
void lineage_walk_release(struct lineage_stores *s);

struct lineage_place { /* the image in a corpus */
    struct corpus *corpus; /* owned by struct lineage */
    int shard;
    uint32_t position;
};

struct lineage_label { /* its label in a store */
    struct label_store *store; /* owned by struct lineage */
    int index, shard;          /* of the label shard in the store; of the image shard */
    uint32_t position;
};

struct lineage_selected {
    char *path;
    struct digest digest;
    uint32_t copies; /* 0: it does not hold the image */
};

struct lineage {
    struct key128 key;
    struct lineage_stores stores;
    struct lineage_place *places;      /* (n_places) at most one a corpus */
    struct lineage_label *labels;      /* (n_labels) at most one a store */
    struct lineage_selected *selected; /* (n_selected) all selections that were read */
    size_t n_places, n_labels, n_selected;
    json_t *corpora, *quarantine, *by_teacher, *selections, *runs, *unreadable;
};

/** An entry for `unreadable`, and RC_OK; RC_NOMEM stays an error. */
NODISCARD enum rc lineage_unreadable(struct lineage *l, const char *path, enum rc rc,
                                     const struct err *why, struct err *e);
NODISCARD enum rc lineage_selection(struct lineage *l, const char *path, struct err *e);
NODISCARD enum rc lineage_run(struct lineage *l, const char *path, struct err *e);

#endif

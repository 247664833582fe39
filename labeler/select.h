/**
 * Select and balance: which images a student trains on, and how often.
 * Source: Xie 2020 (Noisy Student), section 3.2 and appendix: keep confidence >= 0.3, per class the
 * 130,000 most confident, classes with fewer duplicated to 130,000. The paper's code
 * (google-research/noisystudent, filter_unlabel.py) approximates "the most confident" by 1 % bins and
 * random draws; flavor exact does what the paper says, flavor noisystudent what the code does.
 *
 * Memory does not grow with the labels: at most some 150 MB for any number of them, and one shard's
 * summary and entries a thread. A shard of labels is opened only where ties need its keys.
 */
#ifndef PRECEPTOR_SELECT_H
#define PRECEPTOR_SELECT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "labeler/select_leave.h"
#include "shards/label_store.h"
#include "shards/selection.h"

enum select_flavor {
    SELECT_EXACT,       /* ties by key; copies spread evenly, one more for the best */
    SELECT_NOISYSTUDENT /* threshold at a whole per cent; copies N / total, the fraction drawn */
};

enum { SELECT_MAX_COPIES = 65535 };

struct select_rule {
    enum select_flavor flavor;
    double min_confidence; /* keep confidence >= this */
    uint64_t per_class;    /* N; 0: no cap and no duplication */
    bool duplicate;        /* classes with fewer than N */
    uint64_t seed;         /* of the draws of flavor noisystudent */
    const struct select_leave *leave; /* what is left out in any case; NULL: nothing */
};

/** One class before and after. */
struct select_class {
    uint64_t labels;   /* images whose best class this is */
    uint64_t eligible; /* of them, confident enough */
    uint64_t images;   /* chosen */
    uint64_t total;    /* with copies */
    float threshold;   /* the lowest confidence chosen (exact), or the threshold (noisystudent) */
};

/**
 * Choose from a store and write the selection.
 * path     of the selection; one of that name is replaced
 * classes  (n_classes of the store) filled
 * info     filled as it was sealed
 * The same store and rule give the same bytes on every machine, for any number of threads.
 * RC_INVAL    the rule: a threshold outside [0, 1], or not a whole per cent for noisystudent; no
 *             label is confident enough
 * RC_CORRUPT  a label shard, named
 * RC_NOMEM, RC_IO
 */
NODISCARD enum rc select_run(struct label_store *labels, const struct select_rule *rule,
                             const char *path, struct select_class *classes,
                             struct selection_info *info, struct err *e);

#endif

/**
 * Evaluation inside a training run: the averaged weights on a labeled corpus, over all ranks.
 */
#ifndef PRECEPTOR_TRAIN_EVAL_H
#define PRECEPTOR_TRAIN_EVAL_H

#include "common/coll/coll.h"
#include "common/nn/net.h"
#include "common/train/evaluate.h"
#include "shards/corpus.h"

struct train_eval;

struct train_eval_config { /* all borrowed */
    struct corpus *corpus;
    struct device *dev;
    struct coll *coll;
    struct net_config net; /* the training network's; batch, type and mode are set here */
    double crop_pct;
    int threads;           /* decoders; 0 chooses */
};

NODISCARD enum rc train_eval_create(const struct train_eval_config *c, struct train_eval **out,
                                    struct err *e);
void train_eval_destroy(struct train_eval *v);

/** Evaluate weights (n_total floats). Collective; errors are agreed on. */
NODISCARD enum rc train_eval_run(struct train_eval *v, const float *weights, struct err *e);

/** Of the last run: the sums, and top-1 in per cent. */
const struct evaluation *train_eval_result(const struct train_eval *v);
double train_eval_top1(const struct train_eval *v);

#endif

#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/train/evaluate.h"

enum { TOP = 5 };

static const double PROB_MIN = 1e-38; /* of the true class: keeps the sum of logarithms finite */

enum rc evaluation_init(struct evaluation *v, int classes, struct err *e)
{
    int64_t *counts = mem_calloc(2 * (size_t)classes, sizeof *counts);

    if (counts == NULL) {
        return mem_raise(e, "counts of classes", 2 * (size_t)classes * sizeof *counts);
    }
    *v = (struct evaluation){
        .classes = classes, .per_class = counts, .per_class_top1 = counts + classes};
    return RC_OK;
}

void evaluation_release(struct evaluation *v)
{
    mem_free(v->per_class);
    v->per_class = NULL;
    v->per_class_top1 = NULL;
}

void evaluation_add(struct evaluation *v, const float *probs, int32_t cls)
{
    int above = 0; /* classes ranked before the true one: higher, or equal with a lower number */
    int best = 0;
    int bin;
    double p = (double)probs[cls];

    assert(cls >= 0 && cls < v->classes);
    for (int k = 0; k < v->classes; k++) {
        above += probs[k] > probs[cls] || (probs[k] == probs[cls] && k < cls);
        best = probs[k] > probs[best] ? k : best;
    }
    bin = (int)ceil((double)probs[best] * EVALUATE_BINS) - 1; /* (b/15, (b+1)/15] */
    bin = bin < 0 ? 0 : bin >= EVALUATE_BINS ? EVALUATE_BINS - 1 : bin;
    v->images++;
    v->top1 += above == 0;
    v->top5 += above < TOP;
    v->nll -= log(p > PROB_MIN ? p : PROB_MIN);
    v->per_class[cls]++;
    v->per_class_top1[cls] += above == 0;
    v->bin_confidence[bin] += (double)probs[best];
    v->bin_images[bin]++;
    v->bin_right[bin] += above == 0;
}

static enum rc sum_all(struct evaluation *v, struct coll *c, struct err *e)
{
    int64_t counts[3] = {v->images, v->top1, v->top5};
    enum rc rc;

    rc = coll_allreduce(c, counts, 3, COLL_I64, COLL_SUM, e);
    rc = rc != RC_OK ? rc : coll_allreduce(c, &v->nll, 1, COLL_F64, COLL_SUM, e);
    rc = rc != RC_OK
             ? rc
             : coll_allreduce(c, v->per_class, 2 * (size_t)v->classes, COLL_I64, COLL_SUM, e);
    rc = rc != RC_OK ? rc
                     : coll_allreduce(c, v->bin_confidence, EVALUATE_BINS, COLL_F64, COLL_SUM, e);
    rc = rc != RC_OK ? rc : coll_allreduce(c, v->bin_images, EVALUATE_BINS, COLL_I64, COLL_SUM, e);
    rc = rc != RC_OK ? rc : coll_allreduce(c, v->bin_right, EVALUATE_BINS, COLL_I64, COLL_SUM, e);
    v->images = counts[0];
    v->top1 = counts[1];
    v->top5 = counts[2];
    return rc;
}

enum rc evaluation_finish(struct evaluation *v, struct coll *c, struct err *e)
{
    enum rc rc = sum_all(v, c, e);

    if (rc != RC_OK || v->images == 0) {
        return rc;
    }
    v->nll /= (double)v->images;
    v->ece = 0;
    for (int b = 0; b < EVALUATE_BINS; b++) {
        v->ece += fabs(v->bin_confidence[b] - (double)v->bin_right[b]) / (double)v->images;
    }
    return RC_OK;
}

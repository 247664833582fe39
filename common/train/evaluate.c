#include "common/train/evaluate.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/base/mem.h"

enum rc evaluation_init(struct evaluation *v, int classes, struct err *e)
{
    struct evaluation x = {.classes = classes};

    x.per_class = mem_calloc((size_t)classes, sizeof *x.per_class);
    x.per_class_top1 = mem_calloc((size_t)classes, sizeof *x.per_class_top1);
    if (x.per_class == NULL || x.per_class_top1 == NULL) {
        evaluation_release(&x);
        return mem_raise(e, "an evaluation", (size_t)classes * 2 * sizeof *x.per_class);
    }
    *v = x;
    return RC_OK;
}

void evaluation_release(struct evaluation *v)
{
    mem_free(v->per_class);
    mem_free(v->per_class_top1);
    v->per_class = NULL;
    v->per_class_top1 = NULL;
}

void evaluation_add(struct evaluation *v, const float *probs, int32_t cls)
{
    int better = 0; /* classes ranked before the true one; ties by class */
    float best = probs[0];
    int bin = 0;

    assert(cls >= 0 && cls < v->classes);
    for (int k = 0; k < v->classes; k++) {
        best = probs[k] > best ? probs[k] : best;
        better += probs[k] > probs[cls] || (probs[k] == probs[cls] && k < cls);
    }
    bin = (int)((double)best * EVALUATE_BINS);
    bin = bin < 0 ? 0 : bin >= EVALUATE_BINS ? EVALUATE_BINS - 1 : bin;
    v->images++;
    v->top1 += better == 0;
    v->top5 += better < 5;
    v->nll -= log(fmax((double)probs[cls], 1e-38));
    v->per_class[cls]++;
    v->per_class_top1[cls] += better == 0;
    v->bin_images[bin]++;
    v->bin_right[bin] += better == 0;
    v->bin_confidence[bin] += (double)best;
}

static enum rc evaluation_sum(struct evaluation *v, struct coll *c, struct err *e)
{
    int64_t counts[3 + 2 * EVALUATE_BINS] = {v->images, v->top1, v->top5};
    double sums[1 + EVALUATE_BINS] = {v->nll};
    enum rc rc = RC_OK;

    memcpy(counts + 3, v->bin_images, sizeof v->bin_images);
    memcpy(counts + 3 + EVALUATE_BINS, v->bin_right, sizeof v->bin_right);
    memcpy(sums + 1, v->bin_confidence, sizeof v->bin_confidence);
    rc = coll_allreduce(c, counts, sizeof counts / sizeof *counts, COLL_I64, COLL_SUM, e);
    if (rc == RC_OK) {
        rc = coll_allreduce(c, sums, sizeof sums / sizeof *sums, COLL_F64, COLL_SUM, e);
    }
    if (rc == RC_OK) {
        rc = coll_allreduce(c, v->per_class, (size_t)v->classes, COLL_I64, COLL_SUM, e);
    }
    if (rc == RC_OK) {
        rc = coll_allreduce(c, v->per_class_top1, (size_t)v->classes, COLL_I64, COLL_SUM, e);
    }
    v->images = counts[0];
    v->top1 = counts[1];
    v->top5 = counts[2];
    v->nll = sums[0];
    memcpy(v->bin_images, counts + 3, sizeof v->bin_images);
    memcpy(v->bin_right, counts + 3 + EVALUATE_BINS, sizeof v->bin_right);
    memcpy(v->bin_confidence, sums + 1, sizeof v->bin_confidence);
    return rc;
}

enum rc evaluation_finish(struct evaluation *v, struct coll *c, struct err *e)
{
    double n = 0;
    enum rc rc = evaluation_sum(v, c, e);

    if (rc != RC_OK || v->images == 0) {
        return rc;
    }
    n = (double)v->images;
    v->nll /= n;
    v->ece = 0;
    for (int b = 0; b < EVALUATE_BINS; b++) {
        v->ece += fabs(v->bin_confidence[b] - (double)v->bin_right[b]) / n;
    }
    return RC_OK;
}

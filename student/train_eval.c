#include "student/train_eval.h"

#include "common/base/mem.h"
#include "common/train/evaluate_loop.h"
#include "shards/eval_feed.h"

enum { TRAIN_EVAL_BATCH = 64 };

struct train_eval {
    struct train_eval_config c;
    struct net *net;
    struct evaluation result;
};

enum rc train_eval_create(const struct train_eval_config *c, struct train_eval **out, struct err *e)
{
    struct train_eval *v = mem_calloc(1, sizeof *v);
    enum rc rc = RC_OK;

    if (v == NULL) {
        return mem_raise(e, "an evaluation", sizeof *v);
    }
    v->c = *c;
    v->c.net.training = false;
    v->c.net.type = DT_F32;
    v->c.net.batch = TRAIN_EVAL_BATCH;
    rc = net_create(c->dev, &v->c.net, &v->net, e);
    if (rc != RC_OK) {
        train_eval_destroy(v);
        return rc;
    }
    *out = v;
    return RC_OK;
}

void train_eval_destroy(struct train_eval *v)
{
    if (v != NULL) {
        evaluation_release(&v->result);
        net_destroy(v->net);
        mem_free(v);
    }
}

static enum rc train_eval_source(void *ctx, const uint8_t **pixels, const int32_t **cls, int *n,
                                 struct err *e)
{
    return eval_feed_next(ctx, pixels, cls, n, e);
}

/* This rank's share of the corpus. */
static enum rc train_eval_feed(struct train_eval *v, const float *weights, struct eval_feed **feed,
                               uint64_t *mine, struct err *e)
{
    struct eval_feed_config fc = {.corpus = v->c.corpus,
                                  .eval = {.size = v->c.net.size,
                                           .channels = v->c.net.model.in_channels,
                                           .crop_pct = v->c.crop_pct,
                                           .filter = IMAGE_BICUBIC},
                                  .batch = TRAIN_EVAL_BATCH,
                                  .threads = v->c.threads};
    enum rc rc = net_load(v->net, weights, e);

    evaluate_split(corpus_occurrences(v->c.corpus), coll_rank(v->c.coll), coll_size(v->c.coll),
                   &fc.from, &fc.to);
    *mine = fc.to - fc.from;
    evaluation_release(&v->result);
    if (rc == RC_OK) {
        rc = evaluation_init(&v->result, v->c.net.model.classes, e);
    }
    return rc == RC_OK ? eval_feed_create(&fc, feed, e) : rc;
}

enum rc train_eval_run(struct train_eval *v, const float *weights, struct err *e)
{
    struct eval_feed *feed = NULL;
    uint64_t mine = 0;
    enum rc rc = coll_agree(v->c.coll, train_eval_feed(v, weights, &feed, &mine, e), e);

    if (rc == RC_OK) {
        net_ask_ahead(v->net, eval_feed_peek, feed);
        rc = evaluate_net(v->net, TRAIN_EVAL_BATCH, train_eval_source, feed, NULL, mine, v->c.coll,
                          &v->result, e);
    }
    eval_feed_destroy(feed);
    return rc;
}

const struct evaluation *train_eval_result(const struct train_eval *v)
{
    return &v->result;
}

double train_eval_top1(const struct train_eval *v)
{
    return v->result.images == 0 ? 0 : 100.0 * (double)v->result.top1 / (double)v->result.images;
}

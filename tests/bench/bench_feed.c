/*
 * The input pipeline alone: whole passes over a corpus with nothing but the feed at work. Prints
 * 'ours IMG/S', of the fastest pass.
 */
#include <string.h>

#include "shards/feed.h"
#include "tests/bench/bench.h"

static const char usage[] =
    "bench_feed CORPUS train|train-randaugment|eval|eval-reduced SIZE THREADS SECONDS";

enum { BATCH = 64, PASSES_MIN = 2 };

struct walk {
    struct corpus *corpus;
    bool noise;
    int shard;
    uint64_t position;
    uint64_t epoch;
};

/* Shard after shard, for ever. */
static enum rc source(void *ctx, struct feed_item *item, float *target, bool *more, struct err *e)
{
    struct walk *w = ctx;

    (void)target, (void)e;
    *more = true;
    *item = (struct feed_item){
        .shard = w->shard, .position = (uint32_t)w->position, .epoch = w->epoch, .noise = w->noise};
    if (++w->position == corpus_shard(w->corpus, w->shard)->images) {
        w->position = 0;
        if (++w->shard == corpus_shards(w->corpus)) {
            w->shard = 0;
            w->epoch++;
        }
    }
    return RC_OK;
}

static double passes(struct feed *f, int batches, double seconds)
{
    const double end = clock_now() + seconds;
    double least = 1e9;
    struct feed_batch b;
    struct err e = {0};
    bool more = true;

    for (int p = 0; p <= PASSES_MIN || clock_now() < end; p++) {
        const double start = clock_now();

        for (int i = 0; i < batches; i++) {
            bench_must(feed_next(f, &b, &more, &e), &e);
            feed_return(f, &b);
        }
        if (p > 0 && clock_now() - start < least) {
            least = clock_now() - start;
        }
    }
    return least;
}

int main(int argc, char **argv)
{
    struct walk w = {0};
    struct feed_config c = {.batch = BATCH, .trust = true, .source = source, .ctx = &w};
    struct feed *f = NULL;
    struct err e = {0};
    int batches;

    if (argc != 6) {
        bench_usage(usage);
    }
    bench_must(corpus_open(argv[1], &w.corpus, &e), &e);
    w.noise = strncmp(argv[2], "train", 5) == 0;
    c.corpora[0] = w.corpus;
    c.threads = bench_int(argv[4]);
    if (w.noise) {
        augment_default(&c.augment[0]);
        c.augment[0].size = bench_int(argv[3]);
        c.augment[0].channels = 3;
        c.augment[0].layers = strcmp(argv[2], "train-randaugment") == 0 ? 2 : 0;
    }
    c.eval = (struct image_eval){.size = bench_int(argv[3]),
                                 .channels = 3,
                                 .crop_pct = 0.91,
                                 .filter = IMAGE_BICUBIC,
                                 .reduced_dct = strcmp(argv[2], "eval-reduced") == 0};
    bench_must(feed_create(&c, &f, &e), &e);
    batches = (int)(corpus_images(w.corpus) / BATCH);
    batches = batches < 1 ? 1 : batches;
    printf("ours\t%.1f\n", (double)batches * BATCH / passes(f, batches, strtod(argv[5], NULL)));
    feed_destroy(f);
    corpus_close(w.corpus);
    return 0;
}

/** What the tests of labels share: a lineage, made-up labels, a store over a corpus. */
#ifndef PRECEPTOR_TESTS_SHARDS_LABEL_HELP_H
#define PRECEPTOR_TESTS_SHARDS_LABEL_HELP_H

#include "tests/shards/help.h"

#include "common/base/rng.h"
#include "shards/label_store.h"

enum { HELP_CLASSES = 8, HELP_K = 3 };

static const char *const help_class_names[HELP_CLASSES] = {"c0", "c1", "c2", "c3",
                                                           "c4", "c5", "c6", "c7"};

static inline struct label_lineage help_lineage(void)
{
    struct label_lineage l = {.model = "resnetrs50", .preprocessing = "test pixels",
                              .precision = "f32", .isa = "avx2", .n_classes = HELP_CLASSES,
                              .top_k = HELP_K};

    memset(&l.weights, 7, sizeof l.weights);
    class_list_digest(help_class_names, HELP_CLASSES, &l.classes);
    return l;
}

struct help_label {
    uint16_t cls[HELP_CLASSES], logp[HELP_CLASSES];
    struct label label;
};

/* The label of a key: a pure function of it. */
static inline void help_label(const struct key128 *key, struct help_label *out)
{
    float probs[HELP_CLASSES];
    float sum = 0;
    struct rng r;

    rng_init(&r, 1, RNG_TEST, 0, key, 0);
    for (int i = 0; i < HELP_CLASSES; i++) {
        probs[i] = rng_f32(&r) * rng_f32(&r) * rng_f32(&r) + 1e-4f;
        sum += probs[i];
    }
    for (int i = 0; i < HELP_CLASSES; i++) {
        probs[i] /= sum;
    }
    label_from_probs(probs, HELP_CLASSES, HELP_K, out->cls, out->logp, &out->label);
    out->label.key = *key;
}

/* Put labels of a shard's images [from, to) in steps of `batch`, in an order of their own. */
static inline void help_put(struct label_writer *w, struct shard_reader *r, uint64_t from,
                            uint64_t to, int batch)
{
    struct help_label made[16];
    struct label labels[16];
    struct err e = {0};

    assert_true(batch <= 16);
    while (from < to) {
        int n = 0;

        for (; n < batch && from < to; n++, from++) {
            uint64_t at = shard_reader_count(r) - 1 - from;

            help_label(&shard_reader_index(r)[at].key, &made[n]);
            labels[n] = made[n].label;
        }
        assert_ok(label_writer_put(w, labels, n, &e), e);
    }
}

/* Label one shard from beginning to end. */
static inline void help_label_shard(struct corpus *c, const char *dir, int shard, int batch)
{
    struct label_lineage l = help_lineage();
    struct label_writer *w = NULL;
    struct shard_reader *r = NULL;
    struct err e = {0};

    assert_ok(shard_reader_open(c, shard, false, &r, &e), e);
    assert_ok(label_writer_open(dir, &l, corpus_shard(c, shard), shard, "a", &w, &e), e);
    help_put(w, r, label_writer_count(w), shard_reader_count(r), batch);
    assert_ok(label_writer_seal(w, shard_reader_count(r), &e), e);
    label_writer_close(w);
    shard_reader_close(r);
}

/* A corpus in dir/corpus and its label store in dir/labels. */
static inline struct corpus *help_labeled(const char *dir, unsigned images, char labels[512])
{
    struct label_lineage l = help_lineage();
    struct corpus *c = NULL;
    char path[512];
    struct err e = {0};

    help_corpus(help_path(path, dir, "corpus"), images, 0, 2000);
    assert_ok(corpus_open(path, &c, &e), e);
    (void)help_path(labels, dir, "labels");
    for (int i = 0; i < corpus_shards(c); i++) {
        help_label_shard(c, labels, i, 5);
    }
    assert_ok(label_store_update(labels, &l, help_class_names, c, &e), e);
    return c;
}

#endif

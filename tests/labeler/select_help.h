/** Label stores of made-up labels, without images: what the tests of selection share. */
#ifndef PRECEPTOR_TESTS_LABELER_SELECT_HELP_H
#define PRECEPTOR_TESTS_LABELER_SELECT_HELP_H

#include "tests/shards/help.h"

#include "common/base/rng.h"
#include "shards/corpus_impl.h"
#include "shards/label_record_impl.h"
#include "shards/label_store.h"
#include "shards/lmdb_file.h"

struct made_label {
    struct key128 key;
    float confidence;
    uint16_t cls;
};

/* Label i of a store, i counted over all shards: fills all but the key. */
typedef void made_fill(uint64_t i, struct made_label *out);

struct made_store {
    int shards;
    uint64_t per_shard;
    int classes;
    made_fill *fill;
};

static inline int made_by_key(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct key128));
}

/* Labels of one shard in key order: keys are spread evenly and interleave between shards. */
static inline void made_shard(const struct made_store *m, int shard, struct made_label *out)
{
    for (uint64_t i = 0; i < m->per_shard; i++) {
        uint64_t n = (uint64_t)shard * m->per_shard + i;
        struct key128 id = {{0}};
        uint64_t words[2];

        memcpy(id.b, &n, sizeof n);
        words[0] = rng_hash64(1, 0, &id, 0);
        words[1] = n;
        memcpy(out[i].key.b, words, sizeof words);
        m->fill(n, &out[i]);
    }
    qsort(out, (size_t)m->per_shard, sizeof *out, made_by_key);
}

static inline struct label_lineage made_lineage(int classes)
{
    struct label_lineage l = {.model = "m",
                              .preprocessing = "p",
                              .precision = "f32",
                              .isa = "i",
                              .n_classes = classes,
                              .top_k = 1};

    memset(&l.weights, 7, sizeof l.weights);
    return l;
}

/* Seal a shard as label_writer does, without the partial that a resumable writer has first. */
static inline void made_seal(const struct made_store *m, const char *dir, int shard,
                             const struct corpus_shard *image, const struct made_label *labels)
{
    struct label_lineage l = made_lineage(m->classes);
    struct label_summary *summary = calloc((size_t)m->per_shard, sizeof *summary);
    struct lmdb_file *f = NULL;
    struct label_meta meta;
    struct digest d;
    char path[600];
    char tmp[620];
    char *text = NULL;
    size_t bytes = 0;
    uint64_t size = 0;
    struct err e = {0};

    assert_non_null(summary);
    (void)snprintf(path, sizeof path, "%s/labels-%06d.lmdb", dir, shard);
    (void)snprintf(tmp, sizeof tmp, "%s.made", path);
    assert_ok(lmdb_file_create(tmp, label_record_tables, LABEL_TABLES, &f, &e), e);
    for (uint64_t i = 0; i < m->per_shard; i++) {
        const uint16_t logp = 0x8000;
        struct label one = {labels[i].key, labels[i].confidence, 1, &labels[i].cls, &logp, 0xFC00};
        uint8_t record[16];

        label_record_write(&one, record);
        assert_ok(lmdb_file_put(f, LABEL_TABLE_LABELS, one.key.b, sizeof one.key.b, record,
                                label_record_bytes(1), true, &e),
                  e);
        summary[i] = (struct label_summary){labels[i].confidence, labels[i].cls};
    }
    label_record_meta(&l, image, shard, &meta);
    meta.labels = m->per_shard;
    assert_ok(label_record_meta_write(&meta, &text, &bytes, &e), e);
    assert_ok(lmdb_file_put(f, LABEL_TABLE_META, LABEL_META_SHARD, strlen(LABEL_META_SHARD), text,
                            bytes, false, &e),
              e);
    assert_ok(lmdb_file_put(f, LABEL_TABLE_META, LABEL_META_SUMMARY, strlen(LABEL_META_SUMMARY),
                            summary, (size_t)m->per_shard * sizeof *summary, false, &e),
              e);
    assert_ok(lmdb_file_seal(f, tmp, path, &d, &size, &e), e);
    free(text);
    free(summary);
}

/* Write the store to dir; its labels, shard after shard in key order, to all (NULL: not kept). */
static inline void made_write(const struct made_store *m, const char *dir, struct made_label *all)
{
    struct label_lineage l = made_lineage(m->classes);
    struct made_label *labels = calloc((size_t)m->per_shard, sizeof *labels);
    const char **names = calloc((size_t)m->classes, sizeof *names);
    struct corpus *c = NULL;
    struct err e = {0};

    assert_true(labels != NULL && names != NULL);
    assert_ok(fs_mkdirs(dir, &e), e);
    assert_ok(corpus_create(dir, false, NULL, &c, &e), e);
    for (int i = 0; i < m->shards; i++) {
        struct corpus_shard image = {.images = m->per_shard, .occurrences = m->per_shard};

        (void)snprintf(image.name, sizeof image.name, "images-%06d.lmdb", i);
        memset(&image.digest, i, sizeof image.digest);
        assert_ok(corpus_append_shard(c, &image, &e), e);
        made_shard(m, i, labels);
        made_seal(m, dir, i, &image, labels);
        if (all != NULL) {
            memcpy(all + (size_t)i * m->per_shard, labels, (size_t)m->per_shard * sizeof *labels);
        }
    }
    for (int i = 0; i < m->classes; i++) {
        names[i] = "class";
    }
    assert_ok(label_store_update(dir, &l, names, c, &e), e);
    corpus_close(c);
    free(names);
    free(labels);
}

#endif

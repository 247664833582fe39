/**
 * A labeling loop with a small predictor of our own, on any number of ranks: what its tests share.
 */
#ifndef PRECEPTOR_TESTS_LABELER_LABEL_RUN_HELP_H
#define PRECEPTOR_TESTS_LABELER_LABEL_RUN_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "labeler/label_run.h"
#include "shards/corpus_writer.h"

enum { SIDE = 12, CLASSES = 9, IMAGES = 90, FEW = 8, MANY = 900, MANY_SHARDS = 128 };

static struct coll *control;
static int rank, size;
static char root[512]; /* of this test, on every rank */
static volatile sig_atomic_t stop;
static int runs; /* fresh label folders */

static inline void ok(enum rc rc, const struct err *e)
{
    if (rc != RC_OK) {
        fail_msg("%s", e->msg);
    }
}

static inline void meet(void)
{
    assert_int_equal(coll_barrier(control, NULL), RC_OK);
}

/* ---- the predictor ----------------------------------------------------------------------------- */

struct fake {
    int calls;
    int fail_at; /* this call fails; 0: none */
    int stop_at; /* this call is interrupted by a request to stop; 0: none */
    int batch;
    useconds_t sleep; /* of a call, microseconds */
};

/* Integer weights of the classes from all pixels, so that any mistake of place shows. */
static inline void fake_row(const uint8_t *pixels, float *probs)
{
    uint32_t weight[CLASSES], sum = 0;
    for (uint32_t k = 0; k < CLASSES; k++) {
        uint32_t w = k;
        for (uint32_t i = 0; i < SIDE * SIDE; i++) {
            w = w * 31 + pixels[i];
        }
        weight[k] = 1 + w % 1000;
        sum += weight[k];
    }
    for (int k = 0; k < CLASSES; k++) {
        probs[k] = (float)weight[k] / (float)sum;
    }
}

static inline enum rc fake_run(void *ctx, const uint8_t *pixels, float *probs, struct err *e)
{
    struct fake *f = ctx;
    f->calls++;
    if (f->calls == f->fail_at) {
        return err_raise(e, RC_LIB, "the device fell off the bus");
    }
    if (f->calls == f->stop_at) {
        stop = 1;
    }
    for (int i = 0; i < f->batch; i++) {
        fake_row(pixels + (size_t)i * SIDE * SIDE, probs + (size_t)i * CLASSES);
    }
    usleep(f->sleep);
    return RC_OK;
}

/* ---- corpora and label stores ------------------------------------------------------------------ */

/* Image i as a PGM file; its bytes. */
static inline size_t pgm(int i, char *out)
{
    struct key128 key = {{(uint8_t)i, (uint8_t)(i >> 8)}};
    struct rng r;
    size_t n = (size_t)snprintf(out, 32, "P5 %d %d 255\n", SIDE, SIDE);
    rng_init(&r, 1, RNG_TEST, 0, &key, 0);
    for (int p = 0; p < SIDE * SIDE; p++) {
        out[n++] = (char)rng_below(&r, 256);
    }
    return n;
}

static inline void add(struct corpus_writer *w, const char *data, size_t bytes)
{
    struct err e = {0};
    enum corpus_added added;
    struct corpus_image image = {
        .data = data, .bytes = bytes, .cls = CORPUS_UNLABELED, .source = "made", .source_bytes = 4};
    hash_key(data, bytes, &image.key);
    ok(corpus_writer_add(w, &image, &added, &e), &e);
}

/* root/name: n images in shards of about 1500 bytes; extra (NULL: none) is one more record. */
static inline struct corpus *corpus_of(const char *name, int n, const char *extra)
{
    struct err e = {0};
    struct corpus *c = NULL;
    char *path = fs_join(root, name);
    if (rank == 0) {
        struct corpus_writer *w = NULL;
        ok(corpus_writer_open(&(struct corpus_writer_config){.path = path, .shard_bytes = 1500}, &w,
                              &e),
           &e);
        for (int i = 0; i < n; i++) {
            char data[SIDE * SIDE + 32];
            add(w, data, pgm(i, data));
        }
        if (extra != NULL) {
            add(w, extra, strlen(extra));
        }
        ok(corpus_writer_flush(w, &e), &e);
        corpus_writer_close(w);
    }
    meet();
    ok(corpus_open(path, &c, &e), &e);
    mem_free(path);
    return c;
}

static inline struct label_lineage lineage_of(int top_k)
{
    struct label_lineage l = {.model = "fake",
                              .preprocessing = "none",
                              .precision = "f32",
                              .isa = "ref",
                              .n_classes = CLASSES,
                              .top_k = top_k};
    return l;
}

/* A folder for labels that does not exist yet, the same on every rank. */
static inline char *fresh_dir(void)
{
    char name[32];
    snprintf(name, sizeof name, "labels-%d", runs++);
    return fs_join(root, name);
}

struct session {
    struct label_lineage lineage;
    struct fake fake;
    int threads;
    uint64_t fail_allocation; /* of label_run; 0: none */
    struct work_counts sum;   /* rank 0 */
};

/* One run of all ranks, as the verb does it. */
static inline enum rc label(struct corpus *c, const char *dir, struct session *s, struct err *e)
{
    struct work *w = NULL;
    struct work_counts mine;
    int items[MANY_SHARDS] = {0}, n = 0;
    int64_t images = 0;
    enum rc rc = RC_OK;
    stop = 0;
    ok(work_create(&(struct work_config){.control = control, .lost_after = 30}, &w, e), e);
    if (rank == 0) {
        ok(fs_mkdirs(dir, e), e);
        label_missing(c, dir, items, &n, &images);
        ok(work_offer(w, items, n, e), e);
    }
    ok(work_agree(w, WORK_ENTER, RC_OK, NULL, e), e);
    struct label_job job = {.work = w,
                            .control = control,
                            .corpus = c,
                            .lineage = &s->lineage,
                            .dir = dir,
                            .eval = {.size = SIDE, .channels = 1, .crop_pct = 1},
                            .predictor = {fake_run, &s->fake, s->fake.batch, NULL},
                            .decoders = s->threads,
                            .take_turns = s->threads > 1,
                            .stop = &stop};
    mem_fail_at(s->fail_allocation);
    rc = label_run(&job, images, &mine, e);
    rc = work_agree(w, WORK_LEAVE, rc, NULL, e);
    if (rank == 0) {
        work_totals(w, &s->sum, NULL);
    }
    work_destroy(w);
    meet();
    return rc;
}

static inline struct session session_of(int batch, int threads, int top_k)
{
    struct session s = {
        .lineage = lineage_of(top_k), .fake = {.batch = batch, .sleep = 2000}, .threads = threads};
    return s;
}

/* SHA-256 over all sealed label shards of dir. */
static inline void digest_of(const struct corpus *c, const char *dir, struct digest *out)
{
    struct err e = {0};
    struct hash *h = NULL;
    ok(hash_create(&h, &e), &e);
    for (int i = 0; i < corpus_shards(c); i++) {
        char path[700];
        struct digest d;
        snprintf(path, sizeof path, "%s/labels-%06d.lmdb", dir, i);
        ok(hash_file(path, &d, &e), &e);
        hash_update(h, &d, sizeof d);
    }
    hash_final(h, out);
    hash_destroy(h);
}

/* Labels of an undisturbed run of the large corpus. */
static inline void undisturbed(struct corpus *c, struct digest *out)
{
    struct err e = {0};
    char *dir = fresh_dir();
    struct session s = session_of(7, 1, 3);
    ok(label(c, dir, &s, &e), &e);
    digest_of(c, dir, out);
    mem_free(dir);
}

static inline int count_temporaries(const char *dir)
{
    char path[700];
    int n = 0;
    for (int i = 0; i < 64; i++) {
        for (int r = 0; r < size; r++) {
            for (int attempt = 0; attempt < 3; attempt++) {
                snprintf(path, sizeof path, "%s/labels-%06d.lmdb.tmp.r%d-%d-%ld", dir, i, r,
                         attempt, (long)getpid());
                n += fs_exists(path);
            }
        }
    }
    return n;
}
/* ---- the frame --------------------------------------------------------------------------------- */

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static inline int group_begin(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    if (rank == 0) {
        snprintf(root, sizeof root, "%s/label_run.XXXXXX", tmp != NULL ? tmp : "/tmp");
        if (mkdtemp(root) == NULL) {
            return -1;
        }
    }
    return coll_broadcast(control, root, sizeof root, 0, NULL);
}

static inline int group_end(void **state)
{
    (void)state;
    meet();
    return rank == 0 ? nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS) : 0;
}

/* All cases, on every rank of the instance. */
static inline int run_cases(const char *name, const struct CMUnitTest *tests, size_t n)
{
    int failed = _cmocka_run_group_tests(name, tests, n, group_begin, group_end);
    coll_destroy(control);
    return failed;
}

static inline bool begin(void)
{
    struct err e = {0};
    if (coll_create(&control, &e) != RC_OK) {
        print_error("%s\n", e.msg);
        return false;
    }
    rank = coll_rank(control);
    size = coll_size(control);
    log_init(&(struct log_config){rank, size, LOG_WARN});
    return true;
}

#endif

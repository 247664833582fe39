/*
 * The labeling loop with a small predictor of our own, on any number of ranks: alone, and under mpirun
 * (tests/mpi/coll.sh). The labels that it must give are computed here from the pixels.
 */
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

static void ok(enum rc rc, const struct err *e)
{
    if (rc != RC_OK) {
        fail_msg("%s", e->msg);
    }
}

static void meet(void)
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
static void fake_row(const uint8_t *pixels, float *probs)
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

static enum rc fake_run(void *ctx, const uint8_t *pixels, float *probs, struct err *e)
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
static size_t pgm(int i, char *out)
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

static void add(struct corpus_writer *w, const char *data, size_t bytes)
{
    struct err e = {0};
    enum corpus_added added;
    struct corpus_image image = {
        .data = data, .bytes = bytes, .cls = CORPUS_UNLABELED, .source = "made", .source_bytes = 4};
    hash_key(data, bytes, &image.key);
    ok(corpus_writer_add(w, &image, &added, &e), &e);
}

/* root/name: n images in shards of about 1500 bytes; extra (NULL: none) is one more record. */
static struct corpus *corpus_of(const char *name, int n, const char *extra)
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

static struct label_lineage lineage_of(int top_k)
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
static char *fresh_dir(void)
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
static enum rc label(struct corpus *c, const char *dir, struct session *s, struct err *e)
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
                            .predictor = {fake_run, &s->fake, s->fake.batch},
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

static struct session session_of(int batch, int threads, int top_k)
{
    struct session s = {
        .lineage = lineage_of(top_k), .fake = {.batch = batch, .sleep = 2000}, .threads = threads};
    return s;
}

/* SHA-256 over all sealed label shards of dir. */
static void digest_of(const struct corpus *c, const char *dir, struct digest *out)
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
static void undisturbed(struct corpus *c, struct digest *out)
{
    struct err e = {0};
    char *dir = fresh_dir();
    struct session s = session_of(7, 1, 3);
    ok(label(c, dir, &s, &e), &e);
    digest_of(c, dir, out);
    mem_free(dir);
}

static int count_temporaries(const char *dir)
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

/* ---- cases ------------------------------------------------------------------------------------- */

static void expect_label(const struct label *l, int image, int top_k)
{
    char data[SIDE * SIDE + 32];
    float probs[CLASSES];
    uint16_t cls[CLASSES], logp[CLASSES];
    struct label want;
    struct key128 key;
    const size_t bytes = pgm(image, data);
    hash_key(data, bytes, &key);
    fake_row((const uint8_t *)data + bytes - SIDE * SIDE, probs);
    label_from_probs(probs, CLASSES, top_k, cls, logp, &want);
    assert_memory_equal(&l->key, &key, sizeof key);
    assert_int_equal(l->k, top_k);
    assert_true(l->confidence == want.confidence);
    assert_memory_equal(l->cls, cls, (size_t)top_k * sizeof cls[0]);
    assert_memory_equal(l->logp, logp, (size_t)top_k * sizeof logp[0]);
}

static void every_image_gets_the_label_of_its_own_pixels(void **state)
{
    (void)state;
    struct err e = {0};
    static const char *const names[CLASSES] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    struct corpus *c = corpus_of("all", IMAGES, NULL);
    char *dir = fresh_dir();
    struct session s = session_of(7, 2, CLASSES);
    class_list_digest(names, CLASSES, &s.lineage.classes);
    assert_true(corpus_shards(c) >= 8);
    ok(label(c, dir, &s, &e), &e);
    if (rank == 0) {
        struct label_store *store = NULL;
        int found = 0;
        assert_int_equal(s.sum.labeled, IMAGES);
        assert_int_equal(s.sum.resumed, 0);
        assert_int_equal(s.sum.sealed, corpus_shards(c));
        ok(label_store_update(dir, &s.lineage, names, c, &e), &e);
        ok(label_store_open(dir, &store, &e), &e);
        assert_int_equal(label_store_shards(store), corpus_shards(c));
        for (int i = 0; i < IMAGES; i++) {
            char data[SIDE * SIDE + 32];
            struct key128 key;
            hash_key(data, pgm(i, data), &key);
            for (int shard = 0; shard < label_store_shards(store); shard++) {
                struct label_reader *r = NULL;
                struct label l;
                bool here = false;
                ok(label_reader_open(store, shard, true, &r, &e), &e);
                ok(label_reader_get(r, &key, &l, &here, &e), &e);
                if (here) {
                    expect_label(&l, i, CLASSES);
                    found++;
                }
                label_reader_close(r);
            }
        }
        assert_int_equal(found, IMAGES);
        label_store_close(store);
    }
    corpus_close(c);
    mem_free(dir);
}

static void labels_are_the_same_bytes_for_any_batch_and_threads(void **state)
{
    (void)state;
    struct err e = {0};
    struct corpus *c = corpus_of("all", IMAGES, NULL);
    struct digest want;
    undisturbed(c, &want);
    const int batches[] = {1, 7, 32};
    for (int i = 0; i < 6; i++) {
        char *dir = fresh_dir();
        struct session s = session_of(batches[i / 2], 1 + i % 2, 3);
        struct digest got;
        ok(label(c, dir, &s, &e), &e);
        digest_of(c, dir, &got);
        assert_memory_equal(&got, &want, sizeof got);
        mem_free(dir);
    }
    if (rank == 0) {
        char hex[HASH_HEX_DIGEST];
        hash_digest_hex(&want, hex);
        print_message("labels %s\n", hex); /* tests/mpi compares it between numbers of ranks */
    }
    corpus_close(c);
}

static void what_is_sealed_is_not_labeled_again(void **state)
{
    (void)state;
    struct err e = {0};
    struct corpus *c = corpus_of("few", FEW, NULL);
    char *dir = fresh_dir(), *path = fs_join(dir, "labels-000000.lmdb");
    struct session s = session_of(4, 1, 3);
    struct stat before, after;
    ok(label(c, dir, &s, &e), &e);
    assert_int_equal(stat(path, &before), 0);
    meet();
    s = session_of(4, 1, 3);
    ok(label(c, dir, &s, &e), &e);
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_int_equal(s.fake.calls, 0);
    if (rank == 0) {
        assert_int_equal(s.sum.labeled, 0);
        assert_int_equal(s.sum.sealed, 0);
    }
    corpus_close(c);
    mem_free(path);
    mem_free(dir);
}

static void a_stopped_run_goes_on_after_its_last_batch(void **state)
{
    (void)state;
    struct corpus *c = corpus_of("all", IMAGES, NULL);
    struct digest want, got;
    struct err e = {0};
    undisturbed(c, &want);
    char *dir = fresh_dir();
    struct session s = session_of(2, 2, 3);
    s.fake.stop_at = rank == 0 ? 3 : 0;
    assert_int_equal(label(c, dir, &s, &e), RC_REQUEUE);
    assert_non_null(strstr(e.msg, "stopped on request"));
    const int64_t first = s.sum.labeled;
    if (rank == 0) {
        assert_in_range(first, 2 * 3, IMAGES - 1);
    }
    err_clear(&e);
    s = session_of(2, 2, 3);
    ok(label(c, dir, &s, &e), &e);
    if (rank == 0) {
        assert_int_equal(s.sum.labeled, IMAGES - first); /* none twice */
        assert_int_equal(count_temporaries(dir), 0);
    }
    digest_of(c, dir, &got);
    assert_memory_equal(&got, &want, sizeof got);
    corpus_close(c);
    mem_free(dir);
}

static void a_failing_device_stops_all_ranks_and_loses_nothing(void **state)
{
    (void)state;
    struct corpus *c = corpus_of("all", IMAGES, NULL);
    struct digest want, got;
    struct err e = {0};
    undisturbed(c, &want);
    char *dir = fresh_dir();
    struct session s = session_of(2, 1, 3);
    s.fake.fail_at = rank == size - 1 ? 2 : 0;
    assert_int_equal(label(c, dir, &s, &e), rank == size - 1 ? RC_LIB : RC_PEER);
    assert_non_null(strstr(e.msg, "the device fell off the bus"));
    err_clear(&e);
    s = session_of(2, 1, 3);
    ok(label(c, dir, &s, &e), &e);
    digest_of(c, dir, &got);
    assert_memory_equal(&got, &want, sizeof got);
    corpus_close(c);
    mem_free(dir);
}

static void an_image_that_cannot_be_decoded_is_named(void **state)
{
    (void)state;
    struct err e = {0};
    static const char junk[] = "this is not an image";
    struct corpus *c = corpus_of("bad", 3, junk);
    char *dir = fresh_dir(), hex[HASH_HEX_KEY];
    struct key128 key;
    struct session s = session_of(4, 1, 3);
    hash_key(junk, strlen(junk), &key);
    hash_key_hex(&key, hex);
    const enum rc rc = label(c, dir, &s, &e);
    assert_true(rc == RC_CORRUPT || (size > 1 && rc == RC_PEER));
    assert_non_null(strstr(e.msg, hex));
    assert_non_null(strstr(e.msg, "cannot be decoded"));
    corpus_close(c);
    mem_free(dir);
}

static void a_damaged_shard_is_named(void **state)
{
    (void)state;
    struct err e = {0};
    struct corpus *c = corpus_of("damaged", FEW, NULL);
    char path[700];
    snprintf(path, sizeof path, "%s/damaged/%s", root, corpus_shard(c, 0)->name);
    if (rank == 0) {
        char byte = 0;
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, &byte, 1, 9000), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, 9000), 1);
        close(fd);
    }
    meet();
    char *dir = fresh_dir();
    struct session s = session_of(4, 1, 3);
    const enum rc rc = label(c, dir, &s, &e);
    assert_true(rc == RC_CORRUPT || (size > 1 && rc == RC_PEER));
    assert_non_null(strstr(e.msg, corpus_shard(c, 0)->name));
    corpus_close(c);
    mem_free(dir);
}

/* Seconds of a run in which the last rank is so many times slower than the others. */
static double timed(struct corpus *c, unsigned slower)
{
    struct err e = {0};
    char *dir = fresh_dir();
    struct session s = session_of(3, 1, 3);
    s.fake.sleep = 15000 * (rank == size - 1 ? slower : 1);
    double seconds = clock_now();
    ok(label(c, dir, &s, &e), &e);
    seconds = clock_now() - seconds;
    mem_free(dir);
    return seconds;
}

static void a_slow_rank_slows_nothing_but_itself(void **state)
{
    (void)state;
    struct corpus *c = corpus_of("many", MANY, NULL);
    assert_in_range(corpus_shards(c), 90, MANY_SHARDS);
    double took = 0, ideal = 0;
    int good = 0;
    for (int tries = 0; tries < 3 && !good; tries++) { /* other programs may take the cores */
        /* Work per second: one of each rank, but a fifth of one of the slow rank. */
        ideal = timed(c, 1) * size / (size - 1 + 0.2);
        took = timed(c, 5);
        good = took < 1.15 * ideal;
        assert_int_equal(coll_broadcast(control, &good, sizeof good, 0, NULL), RC_OK);
    }
    if (rank == 0) {
        print_message("one of %d ranks slowed 5 times: %.2f s, ideal %.2f s\n", size, took, ideal);
    }
    assert_true(good);
    corpus_close(c);
}

static void without_memory_nothing_is_lost(void **state)
{
    (void)state;
    struct corpus *c = corpus_of("few", FEW, NULL);
    char *dir = fresh_dir();
    enum rc rc = RC_NOMEM;
    uint64_t failed = 0;
    for (uint64_t n = 1; rc != RC_OK && n < 400; n += 3) {
        struct err e = {0};
        struct session s = session_of(4, 1, 3);
        s.fail_allocation = n;
        rc = label(c, dir, &s, &e);
        mem_fail_at(0);
        assert_true(rc == RC_OK || rc == RC_NOMEM);
        failed += rc == RC_NOMEM;
    }
    assert_int_equal(rc, RC_OK);
    assert_true(failed > 5);
    corpus_close(c);
    mem_free(dir);
}

/* ---- the frame --------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static int group_begin(void **state)
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

static int group_end(void **state)
{
    (void)state;
    meet();
    return rank == 0 ? nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS) : 0;
}

int main(void)
{
    struct err e = {0};
    if (coll_create(&control, &e) != RC_OK) {
        print_error("%s\n", e.msg);
        return 1;
    }
    rank = coll_rank(control);
    size = coll_size(control);
    log_init(&(struct log_config){rank, size, LOG_WARN});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_image_gets_the_label_of_its_own_pixels),
        cmocka_unit_test(labels_are_the_same_bytes_for_any_batch_and_threads),
        cmocka_unit_test(what_is_sealed_is_not_labeled_again),
        cmocka_unit_test(a_stopped_run_goes_on_after_its_last_batch),
        cmocka_unit_test(a_failing_device_stops_all_ranks_and_loses_nothing),
        cmocka_unit_test(an_image_that_cannot_be_decoded_is_named),
        cmocka_unit_test(a_damaged_shard_is_named),
        size > 1 ? (struct CMUnitTest)cmocka_unit_test(a_slow_rank_slows_nothing_but_itself)
                 : (struct CMUnitTest)cmocka_unit_test(without_memory_nothing_is_lost),
    };
    int failed = cmocka_run_group_tests_name("label_run", tests, group_begin, group_end);
    coll_destroy(control);
    return failed;
}

/*
 * The labeling loop with a small predictor of our own, on any number of ranks: alone, and under mpirun
 * (tests/mpi/coll.sh). The labels that it must give are computed here from the pixels.
 */
#include "tests/labeler/label_run_help.h"

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

int main(void)
{
    if (!begin()) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_image_gets_the_label_of_its_own_pixels),
        cmocka_unit_test(labels_are_the_same_bytes_for_any_batch_and_threads),
        cmocka_unit_test(what_is_sealed_is_not_labeled_again),
        cmocka_unit_test(a_stopped_run_goes_on_after_its_last_batch),
        cmocka_unit_test(a_failing_device_stops_all_ranks_and_loses_nothing),
        cmocka_unit_test(a_damaged_shard_is_named),
        size > 1 ? (struct CMUnitTest)cmocka_unit_test(a_slow_rank_slows_nothing_but_itself)
                 : (struct CMUnitTest)cmocka_unit_test(without_memory_nothing_is_lost),
    };
    return run_cases("label_run", tests, sizeof tests / sizeof tests[0]);
}

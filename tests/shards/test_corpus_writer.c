/* A shard is sealed by a thread of its own while the next one fills. */
#include "tests/shards/help.h"

#include <unistd.h>

#include "shards/corpus_writer.h"

enum { IMAGES = 40 };

static void an_image_whose_shard_is_being_sealed_is_known(void **state)
{
    struct corpus_writer *w = NULL;
    struct corpus_writer_stats stats;
    struct corpus *c = NULL;
    struct err e = {0};
    char path[512];
    uint64_t images = 0;

    w = help_writer(help_path(path, *state, "c"), 2, 300); /* three images a shard */
    for (unsigned n = 0; n < IMAGES; n++) {
        assert_int_equal(help_add(w, n, (int)(n % 2), "first"), CORPUS_NEW);
        for (unsigned again = 0; again <= n; again++) { /* those under way among them */
            char source[16];

            (void)snprintf(source, sizeof source, "again %u", n);
            assert_int_equal(help_add(w, again, (int)(again % 2), source), CORPUS_DUPLICATE);
            assert_int_equal(help_add(w, again, (int)(again % 2), source), CORPUS_SAME);
        }
    }
    assert_ok(corpus_writer_flush(w, &e), e);
    corpus_writer_stats(w, &stats);
    assert_int_equal(stats.images, IMAGES);
    corpus_writer_close(w);
    assert_ok(corpus_open(path, &c, &e), e);
    assert_true(corpus_shards(c) >= IMAGES / 4);
    assert_int_equal(stats.shards, corpus_shards(c));
    for (int i = 0; i < corpus_shards(c); i++) {
        images += corpus_shard(c, i)->images;
    }
    assert_int_equal(images, IMAGES); /* none is in two shards */
    assert_int_equal(corpus_occurrences(c), IMAGES + IMAGES * (IMAGES + 1) / 2);
    corpus_close(c);
}

static void a_shard_that_cannot_be_sealed_is_told(void **state)
{
    struct corpus_writer *w = NULL;
    struct err e = {0};
    char path[512];
    char name[64];
    char obstacle[600];
    enum rc rc = RC_OK;

    w = help_writer(help_path(path, *state, "c"), 2, 300);
    (void)snprintf(name, sizeof name, "c/images-000000.lmdb.tmp.%ld", (long)getpid());
    assert_ok(fs_mkdirs(help_path(obstacle, *state, name), &e), e);
    for (unsigned n = 0; n < IMAGES && rc == RC_OK; n++) {
        unsigned char data[128];
        struct corpus_image image = {
            .data = data, .bytes = help_pgm(n, data), .cls = 0, .source = "x", .source_bytes = 1};
        enum corpus_added added = CORPUS_SAME;

        hash_key(data, image.bytes, &image.key);
        rc = corpus_writer_add(w, &image, &added, &e);
    }
    assert_int_equal(rc, RC_IO);
    assert_non_null(strstr(e.msg, "images-000000.lmdb.tmp."));
    corpus_writer_close(w);
    assert_false(fs_exists(help_path(obstacle, *state, "c/corpus.json")));
}

static void a_writer_that_is_closed_meanwhile_leaves_nothing(void **state)
{
    struct corpus_writer *w = NULL;
    struct corpus *c = NULL;
    struct err e = {0};
    char path[512];

    for (unsigned count = 1; count < 12; count++) {
        w = help_writer(help_path(path, *state, "c"), 2, 300);
        for (unsigned n = 0; n < count; n++) {
            (void)help_add(w, n, 0, "x");
        }
        corpus_writer_close(w);
    }
    w = help_writer(path, 2, 300);
    for (unsigned n = 0; n < IMAGES; n++) {
        (void)help_add(w, n, 0, "x");
    }
    assert_ok(corpus_writer_flush(w, &e), e);
    corpus_writer_close(w);
    assert_ok(corpus_open(path, &c, &e), e);
    assert_int_equal(corpus_images(c), IMAGES);
    assert_int_equal(corpus_occurrences(c), IMAGES);
    corpus_close(c);
}

int main(void)
{
#define CASE(f_) cmocka_unit_test_setup_teardown(f_, help_setup, help_teardown)
    const struct CMUnitTest tests[] = {CASE(an_image_whose_shard_is_being_sealed_is_known),
                                       CASE(a_shard_that_cannot_be_sealed_is_told),
                                       CASE(a_writer_that_is_closed_meanwhile_leaves_nothing)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

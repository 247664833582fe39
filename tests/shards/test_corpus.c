#include "tests/shards/help.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/base/rng.h"
#include "shards/corpus.h"
#include "shards/known_sum.h"

static struct corpus *open_corpus(const char *path)
{
    struct corpus *c = NULL;
    struct err e = {0};

    assert_ok(corpus_open(path, &c, &e), e);
    return c;
}

static void every_image_comes_back_once_under_its_key(void **state)
{
    bool seen[200] = {false};
    struct corpus *c = NULL;
    struct err e = {0};

    help_corpus(*state, 200, 3, 2000);
    c = open_corpus(*state);
    assert_int_equal(corpus_images(c), 200);
    assert_int_equal(corpus_occurrences(c), 200);
    assert_int_equal(corpus_classes(c), 3);
    assert_string_equal(corpus_class(c, 2), "c2");
    assert_true(corpus_shards(c) > 5);
    for (int s = 0; s < corpus_shards(c); s++) {
        struct shard_reader *r = NULL;

        assert_ok(shard_reader_open(c, s, false, &r, &e), e);
        assert_int_equal(shard_reader_count(r), corpus_shard(c, s)->images);
        for (uint64_t p = 0; p < shard_reader_count(r); p++) {
            const struct shard_index_entry *entry = &shard_reader_index(r)[p];
            struct shard_record rec;
            unsigned char data[128];
            char source[32] = {0};
            size_t bytes = 0;
            const char *text = NULL;
            unsigned n = 0;
            uint64_t at = 0;
            bool found = false;

            assert_ok(shard_reader_get(r, p, &rec, &e), e);
            assert_memory_equal(&rec.key, &entry->key, sizeof rec.key);
            assert_int_equal(rec.n_occurrences, 1);
            text = shard_record_source(&rec, 0, &bytes);
            memcpy(source, text, bytes);
            assert_int_equal(sscanf(source, "s/%u", &n), 1);
            assert_false(seen[n]);
            seen[n] = true;
            assert_int_equal(entry->cls, (int)n % 3);
            assert_int_equal(shard_record_class(&rec, 0), (int)n % 3);
            assert_int_equal(rec.bytes, help_pgm(n, data));
            assert_memory_equal(rec.data, data, rec.bytes);
            shard_reader_find(r, &rec.key, &found, &at);
            assert_true(found && at == p);
            assert_true(p == 0 || memcmp(&entry[-1].key, &entry->key, sizeof entry->key) < 0);
        }
        shard_reader_close(r);
    }
    corpus_close(c);
}

static void sealed_bytes_do_not_depend_on_the_order_of_arrival(void **state)
{
    char a[512];
    char b[512];
    struct corpus *ca = NULL;
    struct corpus *cb = NULL;
    struct corpus_writer *w = NULL;
    struct err e = {0};

    help_corpus(help_path(a, *state, "a"), 100, 3, 0);
    w = help_writer(help_path(b, *state, "b"), 3, 0);
    for (unsigned i = 100; i-- > 0;) {
        char source[32];

        (void)snprintf(source, sizeof source, "s/%u", i);
        (void)help_add(w, i, (int)i % 3, source);
    }
    assert_ok(corpus_writer_flush(w, &e), e);
    corpus_writer_close(w);
    ca = open_corpus(a);
    cb = open_corpus(b);
    assert_int_equal(corpus_shards(ca), 1);
    assert_memory_equal(&corpus_shard(ca, 0)->digest, &corpus_shard(cb, 0)->digest,
                        sizeof(struct digest));
    corpus_close(ca);
    corpus_close(cb);
}

/* Images that come sorted by class leave the lanes mixed, and the rests fill shards together. */
static void lanes_mix_what_comes_sorted(void **state)
{
    struct class_list l;
    struct corpus_writer_config config = {
        .path = *state, .classes = &l, .shard_bytes = 4000, .lanes = 8};
    struct corpus_writer *w = NULL;
    struct corpus *c = NULL;
    struct err e = {0};

    help_classes(&l, 4);
    assert_ok(corpus_writer_open(&config, &w, &e), e);
    class_list_release(&l);
    for (unsigned i = 0; i < 400; i++) {
        assert_int_equal(help_add(w, i, (int)i / 100, "s"), CORPUS_NEW);
    }
    assert_int_equal(help_add(w, 7, 0, "again"), CORPUS_DUPLICATE);
    assert_ok(corpus_writer_flush(w, &e), e);
    assert_int_equal(help_add(w, 8, 0, "s"), CORPUS_SAME);
    corpus_writer_close(w);
    c = open_corpus(*state);
    assert_int_equal(corpus_images(c), 400);
    assert_int_equal(corpus_occurrences(c), 401);
    assert_true(corpus_shards(c) <= 10);
    for (int s = 0; s < corpus_shards(c); s++) {
        struct shard_reader *r = NULL;
        int of[4] = {0, 0, 0, 0};

        assert_ok(shard_reader_open(c, s, false, &r, &e), e);
        for (uint64_t p = 0; p < shard_reader_count(r); p++) {
            struct shard_record rec;

            assert_ok(shard_reader_get(r, p, &rec, &e), e);
            of[shard_reader_index(r)[p].cls]++;
        }
        for (int k = 0; k < 4 && shard_reader_count(r) > 40; k++) {
            assert_true(of[k] > 2);
        }
        shard_reader_close(r);
    }
    corpus_close(c);
}

static void a_duplicate_in_one_shard_is_stored_once_with_both_sources(void **state)
{
    struct corpus_writer *w = help_writer(*state, 2, 0);
    struct corpus_writer_stats stats;
    struct corpus *c = NULL;
    struct shard_reader *r = NULL;
    struct shard_record rec;
    struct err e = {0};
    size_t bytes = 0;

    assert_int_equal(help_add(w, 7, 1, "b"), CORPUS_NEW);
    assert_int_equal(help_add(w, 7, 0, "a"), CORPUS_DUPLICATE);
    assert_int_equal(help_add(w, 7, 0, "a"), CORPUS_SAME);
    assert_ok(corpus_writer_flush(w, &e), e);
    corpus_writer_stats(w, &stats);
    assert_int_equal(stats.images, 1);
    assert_int_equal(stats.duplicates, 1);
    assert_int_equal(stats.conflicts, 1);
    corpus_writer_close(w);
    c = open_corpus(*state);
    assert_int_equal(corpus_images(c), 1);
    assert_int_equal(corpus_occurrences(c), 2);
    assert_ok(shard_reader_open(c, 0, false, &r, &e), e);
    assert_ok(shard_reader_get(r, 0, &rec, &e), e);
    assert_int_equal(rec.n_occurrences, 2);
    assert_int_equal(shard_record_class(&rec, 0), 0);
    assert_int_equal(shard_record_class(&rec, 1), 1);
    assert_memory_equal(shard_record_source(&rec, 1, &bytes), "b", 1);
    assert_int_equal(bytes, 1);
    shard_reader_close(r);
    corpus_close(c);
}

/* Three writers one after the other, the shards of the first never touched. */
static void a_duplicate_of_a_sealed_image_joins_its_occurrences(void **state)
{
    struct corpus_writer *w = help_writer(*state, 2, 0);
    struct corpus *c = NULL;
    struct shard_reader *r = NULL;
    struct shard_record rec;
    struct digest was;
    struct err e = {0};
    uint64_t p = 0;
    bool found = false;

    (void)help_add(w, 1, 0, "a");
    (void)help_add(w, 2, 1, "b");
    assert_ok(corpus_writer_flush(w, &e), e);
    corpus_writer_close(w);
    c = open_corpus(*state);
    was = corpus_shard(c, 0)->digest;
    corpus_close(c);
    for (int turn = 0; turn < 2; turn++) {
        w = help_writer(*state, 2, 0);
        assert_int_equal(help_add(w, 1, 0, "a"), CORPUS_SAME);
        assert_int_equal(help_add(w, 1, 0, "later"), turn == 0 ? CORPUS_DUPLICATE : CORPUS_SAME);
        assert_int_equal(help_add(w, 3, 0, "c"), turn == 0 ? CORPUS_NEW : CORPUS_SAME);
        assert_ok(corpus_writer_flush(w, &e), e);
        corpus_writer_close(w);
    }
    c = open_corpus(*state);
    assert_int_equal(corpus_shards(c), 2);
    assert_int_equal(corpus_images(c), 3);
    assert_int_equal(corpus_occurrences(c), 4);
    assert_int_equal(corpus_shard(c, 0)->occurrences, 3);
    assert_memory_equal(&corpus_shard(c, 0)->digest, &was, sizeof was);
    assert_ok(shard_reader_open(c, 0, false, &r, &e), e);
    for (p = 0; !found; p++) {
        assert_true(p < 2);
        found = shard_reader_index(r)[p].n_occurrences == 2;
    }
    assert_ok(shard_reader_get(r, p - 1, &rec, &e), e);
    assert_int_equal(rec.n_occurrences, 2);
    assert_int_equal(shard_record_class(&rec, 1), 0);
    shard_reader_close(r);
    corpus_close(c);
}

static void a_lost_cache_is_made_again(void **state)
{
    char path[512];
    struct corpus_writer *w = NULL;
    struct corpus_writer_stats stats;
    struct err e = {0};

    help_corpus(*state, 50, 2, 1000);
    assert_int_equal(unlink(help_path(path, *state, "known.lmdb")), 0);
    w = help_writer(*state, 2, 1000);
    assert_int_equal(help_add(w, 3, 1, "s/3"), CORPUS_SAME);
    assert_int_equal(help_add(w, 3, 1, "elsewhere"), CORPUS_DUPLICATE);
    assert_int_equal(help_add(w, 50, 0, "s/50"), CORPUS_NEW);
    assert_ok(corpus_writer_flush(w, &e), e);
    corpus_writer_stats(w, &stats);
    assert_int_equal(stats.shards, 1);
    corpus_writer_close(w);
    help_write(*state, "known.lmdb", "rubbish", 7);
    w = help_writer(*state, 2, 1000);
    assert_int_equal(help_add(w, 3, 1, "elsewhere"), CORPUS_SAME);
    corpus_writer_close(w);
}

static void a_cache_with_a_flipped_bit_is_made_again(void **state)
{
    static const struct key128 key;
    char path[512];
    struct rng rng;
    struct stat st;
    struct err e = {0};

    help_corpus(*state, 50, 2, 1000);
    (void)help_path(path, *state, "known.lmdb");
    rng_init(&rng, 6, RNG_TEST, 0, &key, 0);
    for (int i = 0; i < 50; i++) {
        int fd = open(path, O_RDWR);
        off_t at = 0;
        struct corpus_writer *w = NULL;
        struct corpus_writer_stats stats;
        unsigned char byte = 0;

        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        at = (off_t)rng_below(&rng, (uint32_t)st.st_size);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= (unsigned char)(1u << rng_below(&rng, 8));
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        (void)close(fd);
        w = help_writer(*state, 2, 1000);
        for (unsigned k = 0; k < 50; k += 7) {
            assert_int_equal(help_add(w, k, (int)k % 2, "s/x"), CORPUS_DUPLICATE);
        }
        corpus_writer_stats(w, &stats);
        assert_int_equal(stats.images, 0);
        corpus_writer_close(w); /* nothing was flushed */
        assert_ok(known_sum_check(*state, &e), e);
    }
    help_write(*state, "known.sha256", "rubbish", 7);
    assert_int_equal(known_sum_check(*state, &e), RC_CORRUPT);
    assert_says(e, "/known.lmdb' is not what was written, by '");
}

static void what_was_not_flushed_is_not_there(void **state)
{
    struct corpus_writer *w = help_writer(*state, 2, 0);
    struct corpus *c = NULL;
    struct err e = {0};

    (void)help_add(w, 1, 0, "a");
    corpus_writer_close(w);
    assert_int_equal(corpus_open(*state, &c, &e), RC_IO);
    assert_says(e, "make one with pack");
}

static void another_class_list_is_refused_with_the_difference(void **state)
{
    struct class_list l;
    struct corpus_writer_config config = {.path = *state, .classes = &l};
    struct corpus_writer *w = NULL;
    struct err e = {0};

    help_corpus(*state, 4, 3, 0);
    help_classes(&l, 2);
    assert_int_equal(corpus_writer_open(&config, &w, &e), RC_INVAL);
    assert_says(e, "has 3 classes, the new class list has 2");
    err_clear(&e);
    assert_ok(class_list_add(&l, "zebra", 5, &e), e);
    assert_int_equal(corpus_writer_open(&config, &w, &e), RC_INVAL);
    assert_says(e, "class 2 of");
    assert_says(e, "'c2', in the new class list 'zebra'");
    err_clear(&e);
    config.classes = NULL;
    assert_int_equal(corpus_writer_open(&config, &w, &e), RC_INVAL);
    assert_says(e, "is a labeled corpus");
    class_list_release(&l);
}

static void a_second_writer_is_refused(void **state)
{
    struct corpus_writer *w = help_writer(*state, 0, 0);
    struct corpus_writer_config config = {.path = *state};
    struct corpus_writer *other = NULL;
    struct err e = {0};

    assert_int_equal(corpus_writer_open(&config, &other, &e), RC_INVAL);
    assert_says(e, "another pack is at work");
    corpus_writer_close(w);
}

/* Flip each bit of some bytes all over a file: it never opens as sound. */
static void flip_and_open(const char *dir, const char *name)
{
    char path[512];
    struct stat st;
    int fd = open(help_path(path, dir, name), O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    for (int i = 0; i < 60; i++) {
        off_t at = st.st_size * i / 60;
        unsigned char was = 0;
        unsigned char now = 0;
        struct corpus *c = NULL;
        struct shard_reader *r = NULL;
        struct err e = {0};
        enum rc rc = RC_OK;

        assert_int_equal(pread(fd, &was, 1, at), 1);
        now = (unsigned char)(was ^ 1u << i % 8);
        assert_int_equal(pwrite(fd, &now, 1, at), 1);
        rc = corpus_open(dir, &c, &e);
        if (rc == RC_OK) {
            rc = shard_reader_open(c, 0, false, &r, &e);
        }
        assert_true(rc == RC_CORRUPT || rc == RC_UNSUPPORTED);
        assert_says(e, name);
        corpus_close(c);
        assert_int_equal(pwrite(fd, &was, 1, at), 1);
    }
    (void)close(fd);
}

static void a_flipped_bit_is_found_and_the_file_named(void **state)
{
    help_corpus(*state, 30, 2, 0);
    flip_and_open(*state, "images-000000.lmdb");
    flip_and_open(*state, "corpus.json");
}

static void a_short_shard_is_named(void **state)
{
    char path[512];
    struct corpus *c = NULL;
    struct shard_reader *r = NULL;
    struct err e = {0};

    help_corpus(*state, 30, 2, 0);
    assert_int_equal(truncate(help_path(path, *state, "images-000000.lmdb"), 4096), 0);
    c = open_corpus(*state);
    assert_int_equal(shard_reader_open(c, 0, false, &r, &e), RC_CORRUPT);
    assert_says(e, "it has 4096 bytes");
    err_clear(&e);
    assert_int_equal(shard_reader_open(c, 1, false, &r, &e), RC_INVAL);
    assert_says(e, "has 1 shards: there is no shard 1");
    corpus_close(c);
}

/* What a disk error does to a map: pages that cannot be read. */
static void a_page_that_cannot_be_read_is_an_error_not_a_signal(void **state)
{
    char path[512];
    struct corpus *c = NULL;
    struct shard_reader *r = NULL;
    struct shard_record rec;
    struct err e = {0};
    enum rc rc = RC_OK;

    help_corpus(*state, 500, 2, 0);
    c = open_corpus(*state);
    assert_ok(shard_reader_open(c, 0, false, &r, &e), e);
    assert_ok(shard_reader_get(r, 0, &rec, &e), e);
    assert_true(shard_reader_sound(r));
    assert_int_equal(truncate(help_path(path, *state, "images-000000.lmdb"), 16384), 0);
    for (uint64_t p = 0; p < 500 && rc == RC_OK; p++) {
        rc = shard_reader_get(r, p, &rec, &e);
    }
    assert_int_equal(rc, RC_CORRUPT);
    assert_says(e, "images-000000.lmdb' is damaged: a part of it cannot be read");
    assert_false(shard_reader_sound(r));
    shard_reader_close(r);
    corpus_close(c);
}

static void a_missing_corpus_names_the_path(void **state)
{
    char path[512];
    struct corpus *c = NULL;
    struct err e = {0};

    assert_int_equal(corpus_open(help_path(path, *state, "none"), &c, &e), RC_IO);
    assert_says(e, "none'");
}

static void an_orphan_shard_is_replaced(void **state)
{
    struct corpus *c = NULL;

    help_write(*state, "images-000000.lmdb", "of a writer that died", 21);
    help_write(*state, "images-000000.lmdb.tmp.1", "of a writer that died", 21);
    help_corpus(*state, 5, 2, 0);
    c = open_corpus(*state);
    assert_int_equal(corpus_images(c), 5);
    corpus_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_image_comes_back_once_under_its_key, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(sealed_bytes_do_not_depend_on_the_order_of_arrival,
                                        help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(lanes_mix_what_comes_sorted, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_duplicate_in_one_shard_is_stored_once_with_both_sources,
                                        help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_duplicate_of_a_sealed_image_joins_its_occurrences,
                                        help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_lost_cache_is_made_again, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_cache_with_a_flipped_bit_is_made_again, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(what_was_not_flushed_is_not_there, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(another_class_list_is_refused_with_the_difference,
                                        help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_second_writer_is_refused, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_is_found_and_the_file_named, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(a_short_shard_is_named, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_page_that_cannot_be_read_is_an_error_not_a_signal,
                                        help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_missing_corpus_names_the_path, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(an_orphan_shard_is_replaced, help_setup, help_teardown)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

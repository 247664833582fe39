/* The feed: order, bounds, errors, shutdown, no allocation once running. */
#include "tests/shards/help.h"

#include <stdatomic.h>
#include <time.h>

#include "common/base/mem.h"
#include "shards/feed_impl.h"

enum { IMAGES = 200, SIZE = 8, PIXELS = SIZE * SIZE };

struct script {
    uint64_t next, end; /* rows */
    uint64_t fail_at;
    bool noise;
    uint32_t padding_every;
    struct corpus *corpus;
    atomic_int calls;
};

/* Row t: image t * 7 mod n, walked over the shards. */
static enum rc script_source(void *ctx, struct feed_item *item, float *target, bool *more,
                             struct err *e)
{
    struct script *s = ctx;
    uint64_t at = s->next * 7 % corpus_images(s->corpus);

    atomic_fetch_add(&s->calls, 1);
    if (s->next == s->fail_at) {
        return err_raise(e, RC_IO, "the source is out of order");
    }
    if (s->next == s->end) {
        *more = false;
        return RC_OK;
    }
    for (item->shard = 0; at >= corpus_shard(s->corpus, item->shard)->images; item->shard++) {
        at -= corpus_shard(s->corpus, item->shard)->images;
    }
    item->position = (uint32_t)at;
    item->noise = s->noise;
    item->epoch = s->next / 100;
    item->padding = s->padding_every > 0 && s->next % s->padding_every == 0;
    if (target != NULL) {
        target[0] = (float)s->next;
    }
    s->next++;
    return RC_OK;
}

static struct corpus *small_corpus(const char *dir, int classes)
{
    struct corpus *c = NULL;
    char path[512];
    struct err e = {0};

    help_corpus(help_path(path, dir, "corpus"), IMAGES, classes, 2000);
    assert_ok(corpus_open(path, &c, &e), e);
    return c;
}

static struct feed_config config_of(struct corpus *c, struct script *s, int threads)
{
    struct feed_config config = {.corpora = {c},
                                 .eval = {SIZE, 1, 1.0, IMAGE_BILINEAR, false},
                                 .seed = 4,
                                 .batch = 16,
                                 .threads = threads,
                                 .classes = 1,
                                 .source = script_source,
                                 .ctx = s};

    s->corpus = c;
    augment_default(&config.augment[0]);
    config.augment[0].size = SIZE;
    config.augment[0].channels = 1;
    return config;
}

/* All rows of a run: pixels (rows, PIXELS), keys. */
static void run_feed(const struct feed_config *config, uint64_t rows, uint8_t *pixels,
                     struct key128 *keys)
{
    struct feed *f = NULL;
    struct feed_batch b;
    struct err e = {0};
    uint64_t n = 0;
    uint64_t index = 0;
    bool more = true;

    assert_ok(feed_create(config, &f, &e), e);
    for (;;) {
        assert_ok(feed_next(f, &b, &more, &e), e);
        if (!more) {
            break;
        }
        assert_int_equal(b.index, index++);
        for (int i = 0; i < b.n; i++) {
            assert_true(n < rows);
            assert_true((uint64_t)b.target[i] == n);
            memcpy(pixels + n * PIXELS, b.pixels + (size_t)i * PIXELS, PIXELS);
            keys[n++] = b.items[i].key;
        }
        feed_return(f, &b);
    }
    assert_int_equal(n, rows);
    assert_true(feed_waited(f) >= 0);
    feed_destroy(f);
}

static void rows_come_in_order_with_their_own_pixels(void **state)
{
    struct corpus *c = small_corpus(*state, 4);
    struct script s = {.end = 3 * IMAGES + 5, .fail_at = UINT64_MAX};
    struct feed_config config = config_of(c, &s, 3);
    static uint8_t pixels[(3 * IMAGES + 5) * PIXELS];
    static struct key128 keys[3 * IMAGES + 5];
    struct feed *f = NULL;
    struct err e = {0};
    unsigned char file[128];

    run_feed(&config, s.end, pixels, keys);
    for (unsigned i = 0; i < s.end; i++) { /* find the image by its key: its pixels are its own */
        unsigned image = 0;
        struct key128 key;
        size_t bytes = 0;

        do {
            assert_true(image < IMAGES);
            bytes = help_pgm(image++, file);
            hash_key(file, bytes, &key);
        } while (memcmp(&key, &keys[i], sizeof key) != 0);
        assert_memory_equal(pixels + (size_t)i * PIXELS, file + bytes - PIXELS, PIXELS);
    }
    assert_memory_equal(&keys[0], &keys[IMAGES], sizeof keys[0]);
    assert_ok(feed_create(&config, &f, &e), e); /* an ended source: no batch at all */
    feed_destroy(f);
    corpus_close(c);
}

/* Beside a batch that is lent out the coming one can be looked at, and is the one that comes. */
static void the_coming_batch_can_be_peeked_at(void **state)
{
    struct corpus *c = small_corpus(*state, 4);
    struct script s = {.end = 100, .fail_at = UINT64_MAX};
    struct feed_config config = config_of(c, &s, 2);
    const struct timespec nap = {0, 1000000};
    const uint8_t *coming = NULL;
    struct feed *f = NULL;
    struct feed_batch b;
    struct err e = {0};
    bool more = true;
    int n = 0;

    assert_ok(feed_create(&config, &f, &e), e);
    assert_ok(feed_next(f, &b, &more, &e), e);
    while (more) {
        n++;
        for (int i = 0; i < 10000 && n < 7 && (coming = feed_peek(f)) == NULL; i++) {
            (void)nanosleep(&nap, NULL);
        }
        assert_true(n == 7 || (coming != NULL && coming != b.pixels));
        coming = n < 7 ? coming : feed_peek(f);
        feed_return(f, &b);
        assert_ok(feed_next(f, &b, &more, &e), e);
        assert_ptr_equal(coming, more ? b.pixels : NULL);
    }
    assert_int_equal(n, 7);
    assert_null(feed_peek(f));
    feed_destroy(f);
    corpus_close(c);
}

static void noise_does_not_depend_on_threads_batch_or_depth(void **state)
{
    struct corpus *c = small_corpus(*state, 4);
    static uint8_t first[IMAGES * PIXELS];
    static uint8_t again[IMAGES * PIXELS];
    static struct key128 keys[IMAGES];
    const int shapes[][3] = {{1, 16, 0}, {2, 5, 2}, {4, 64, 7}};

    for (int i = 0; i < 3; i++) {
        struct script s = {.end = IMAGES, .fail_at = UINT64_MAX, .noise = true};
        struct feed_config config = config_of(c, &s, shapes[i][0]);

        config.batch = shapes[i][1];
        config.depth = shapes[i][2];
        config.readers = 1; /* raised to what the threads need */
        run_feed(&config, IMAGES, i == 0 ? first : again, keys);
        if (i > 0) {
            assert_memory_equal(first, again, sizeof first);
        }
    }
    corpus_close(c);
}

static void classes_come_by_occurrence_and_padding_is_black(void **state)
{
    struct corpus *c = small_corpus(*state, 4);
    struct script s = {.end = 64, .fail_at = UINT64_MAX, .padding_every = 5};
    struct feed_config config = config_of(c, &s, 2);
    struct feed *f = NULL;
    struct feed_batch b;
    struct err e = {0};
    static const uint8_t black[PIXELS] = {0};
    bool more = true;
    int n = 0;

    config.classes = 0;
    assert_ok(feed_create(&config, &f, &e), e);
    while (feed_next(f, &b, &more, &e) == RC_OK && more) {
        assert_null(b.target);
        for (int i = 0; i < b.n; i++, n++) {
            if (n % 5 == 0) {
                assert_int_equal(b.items[i].cls, CORPUS_UNLABELED);
                assert_memory_equal(b.pixels + (size_t)i * PIXELS, black, PIXELS);
            } else {
                assert_true(b.items[i].cls >= 0 && b.items[i].cls < 4);
                assert_int_equal(b.items[i].why, IMAGE_OK);
            }
        }
        feed_return(f, &b);
    }
    assert_int_equal(n, 64);
    feed_destroy(f);
    corpus_close(c);
}

static struct corpus *corpus_with_a_bad_image(const char *dir)
{
    static const char text[] = "this is not an image";
    struct corpus_image image = {
        .data = text, .bytes = sizeof text, .cls = 0, .source = "bad", .source_bytes = 3};
    struct corpus_writer *w = NULL;
    struct corpus *c = NULL;
    enum corpus_added added = CORPUS_SAME;
    char path[512];
    struct err e = {0};

    w = help_writer(help_path(path, dir, "corpus"), 1, 2000);
    for (unsigned i = 0; i < 60; i++) {
        (void)help_add(w, i, 0, "s");
    }
    hash_key(text, sizeof text, &image.key);
    assert_ok(corpus_writer_add(w, &image, &added, &e), e);
    assert_ok(corpus_writer_flush(w, &e), e);
    corpus_writer_close(w);
    assert_ok(corpus_open(path, &c, &e), e);
    return c;
}

static void an_undecodable_image_is_named_or_skipped(void **state)
{
    struct corpus *c = corpus_with_a_bad_image(*state);
    struct script s = {.end = corpus_images(c), .fail_at = UINT64_MAX};
    struct feed_config config = config_of(c, &s, 2);
    struct feed *f = NULL;
    struct feed_batch b;
    struct err e = {0};
    enum rc rc = RC_OK;
    bool more = true;
    int bad = 0;

    assert_ok(feed_create(&config, &f, &e), e);
    while ((rc = feed_next(f, &b, &more, &e)) == RC_OK && more) {
        feed_return(f, &b);
    }
    assert_int_equal(rc, RC_INVAL);
    assert_says(e, "of shard 'images-0000");
    assert_says(e, "cannot be decoded (not-identified)");
    feed_destroy(f);

    s.next = 0;
    config.skip_bad = true;
    err_clear(&e);
    assert_ok(feed_create(&config, &f, &e), e);
    while (feed_next(f, &b, &more, &e) == RC_OK && more) {
        for (int i = 0; i < b.n; i++) {
            bad += b.items[i].why == IMAGE_NOT_IDENTIFIED;
        }
        feed_return(f, &b);
    }
    assert_int_equal(e.rc, RC_OK);
    assert_int_equal(bad, 1);
    feed_destroy(f);
    corpus_close(c);
}

static void a_source_error_comes_after_the_batches_before_it(void **state)
{
    struct corpus *c = small_corpus(*state, 4);
    struct script s = {.end = 1000, .fail_at = 32};
    struct feed_config config = config_of(c, &s, 2);
    struct feed *f = NULL;
    struct feed_batch b;
    struct err e = {0};
    bool more = true;

    assert_ok(feed_create(&config, &f, &e), e);
    for (int i = 0; i < 2; i++) {
        assert_ok(feed_next(f, &b, &more, &e), e);
        feed_return(f, &b);
    }
    for (int i = 0; i < 2; i++) { /* it stays */
        err_clear(&e);
        assert_int_equal(feed_next(f, &b, &more, &e), RC_IO);
        assert_says(e, "the source is out of order");
    }
    feed_destroy(f);
    corpus_close(c);
}

static void a_damaged_shard_is_named(void **state)
{
    struct corpus *c = small_corpus(*state, 4);
    struct script s = {.end = IMAGES, .fail_at = UINT64_MAX};
    struct feed_config config = config_of(c, &s, 2);
    struct feed *f = NULL;
    struct feed_batch b;
    struct err e = {0};
    char path[512];
    FILE *file = fopen(help_path(path, *state, "corpus/images-000001.lmdb"), "r+b");
    bool more = true;

    assert_non_null(file);
    assert_int_equal(fseek(file, 9000, SEEK_SET), 0);
    assert_int_equal(fputc('!', file), '!');
    assert_int_equal(fclose(file), 0);
    assert_ok(feed_create(&config, &f, &e), e);
    while (feed_next(f, &b, &more, &e) == RC_OK && more) {
        feed_return(f, &b);
    }
    assert_int_equal(e.rc, RC_CORRUPT);
    assert_says(e, "images-000001.lmdb' is damaged");
    feed_destroy(f);
    corpus_close(c);
}

static void it_stops_in_any_state(void **state)
{
    struct corpus *c = small_corpus(*state, 4);

    for (int taken = 0; taken < 8; taken++) {
        struct script s = {.end = 100000, .fail_at = UINT64_MAX, .noise = taken % 2 == 1};
        struct feed_config config = config_of(c, &s, 3);
        struct feed *f = NULL;
        struct feed_batch b;
        struct err e = {0};
        bool more = true;

        assert_ok(feed_create(&config, &f, &e), e);
        for (int i = 0; i < taken; i++) {
            assert_ok(feed_next(f, &b, &more, &e), e);
            if (i + 1 < taken) {
                feed_return(f, &b);
            }
        }
        feed_pause(f, taken % 3 == 0);
        feed_destroy(f);
    }
    corpus_close(c);
}

static void it_reads_no_further_ahead_than_its_depth(void **state)
{
    struct corpus *c = small_corpus(*state, 4);
    struct script s = {.end = 100000, .fail_at = UINT64_MAX};
    struct feed_config config = config_of(c, &s, 1);
    struct feed *f = NULL;
    struct feed_batch b;
    struct err e = {0};
    bool more = true;

    config.depth = 3;
    assert_ok(feed_create(&config, &f, &e), e);
    for (int i = 0; i < 10; i++) {
        assert_ok(feed_next(f, &b, &more, &e), e);
        assert_true(atomic_load(&s.calls) <= (i + 3) * 16);
        feed_return(f, &b);
    }
    feed_destroy(f);
    corpus_close(c);
}

/* Batches that are finished and not taken. */
static int finished(struct feed *f)
{
    int n = 0;

    (void)pthread_mutex_lock(&f->lock);
    for (uint64_t b = f->next; b < f->filled; b++) {
        n += feed_work_slot(f, b)->left == 0;
    }
    (void)pthread_mutex_unlock(&f->lock);
    return n;
}

static void a_paused_feed_works_only_while_it_is_waited_for(void **state)
{
    struct corpus *c = small_corpus(*state, 4);
    struct script s = {.end = 100000, .fail_at = UINT64_MAX};
    const struct timespec moment = {0, 30 * 1000 * 1000};
    struct feed_config config = config_of(c, &s, 2);
    struct feed *f = NULL;
    struct feed_batch b;
    struct err e = {0};
    bool more = true;

    assert_ok(feed_create(&config, &f, &e), e);
    feed_pause(f, true);
    for (int i = 0; i < 20; i++) {
        (void)nanosleep(&moment, NULL); /* compute: at most what was under way is finished */
        assert_true(i < f->config.depth || finished(f) <= 1);
        assert_ok(feed_next(f, &b, &more, &e), e);
        assert_int_equal(b.index, i);
        feed_return(f, &b);
    }
    feed_pause(f, false);
    for (int i = 0; i < 500 && finished(f) < f->config.depth; i++) {
        (void)nanosleep(&moment, NULL);
    }
    assert_int_equal(finished(f), f->config.depth);
    assert_ok(feed_next(f, &b, &more, &e), e);
    assert_int_equal(b.index, 20);
    feed_destroy(f);
    corpus_close(c);
}

static void a_steady_feed_allocates_nothing(void **state)
{
    struct corpus *c = small_corpus(*state, 4);
    struct script s = {.end = 100000, .fail_at = UINT64_MAX, .noise = true};
    struct feed_config config = config_of(c, &s, 2);
    struct feed *f = NULL;
    struct feed_batch b;
    struct err e = {0};
    bool more = true;
    uint64_t before = 0;

    config.readers = 64; /* all shards */
    assert_ok(feed_create(&config, &f, &e), e);
    for (int i = 0; i < 200; i++) {
        assert_ok(feed_next(f, &b, &more, &e), e);
        feed_return(f, &b);
        before = i == 99 ? mem_count() : before;
    }
    assert_int_equal(mem_count(), before);
    feed_destroy(f);
    corpus_close(c);
}

static void every_failed_allocation_is_reported(void **state)
{
    struct corpus *c = small_corpus(*state, 4);
    int failures = 0;

    for (uint64_t n = 1; n < 200; n++) {
        struct script s = {.end = 0, .fail_at = UINT64_MAX};
        struct feed_config config = config_of(c, &s, 2);
        struct feed *f = NULL;
        struct err e = {0};
        enum rc rc = RC_OK;

        mem_fail_at(n);
        rc = feed_create(&config, &f, &e);
        mem_fail_at(0);
        if (rc == RC_OK) {
            feed_destroy(f);
            break;
        }
        assert_int_equal(rc, RC_NOMEM);
        assert_null(f);
        failures++;
    }
    assert_true(failures > 10);
    corpus_close(c);
}

static void sizes_that_do_not_fit_a_batch_are_refused(void **state)
{
    struct corpus *c = small_corpus(*state, 4);
    struct script s = {.end = 1, .fail_at = UINT64_MAX};
    struct feed_config config = config_of(c, &s, 2);
    struct feed *f = NULL;
    struct err e = {0};

    config.augment[0].size = 16;
    assert_int_equal(feed_create(&config, &f, &e), RC_INVAL);
    assert_says(e, "8 px of 1 channels and 16 px of 1 do not fit a batch");
    corpus_close(c);
}

int main(void)
{
#define CASE(f_) cmocka_unit_test_setup_teardown(f_, help_setup, help_teardown)
    const struct CMUnitTest tests[] = {
        CASE(rows_come_in_order_with_their_own_pixels),
        CASE(the_coming_batch_can_be_peeked_at),
        CASE(noise_does_not_depend_on_threads_batch_or_depth),
        CASE(classes_come_by_occurrence_and_padding_is_black),
        CASE(an_undecodable_image_is_named_or_skipped),
        CASE(a_source_error_comes_after_the_batches_before_it),
        CASE(a_damaged_shard_is_named),
        CASE(it_stops_in_any_state),
        CASE(it_reads_no_further_ahead_than_its_depth),
        CASE(a_paused_feed_works_only_while_it_is_waited_for),
        CASE(a_steady_feed_allocates_nothing),
        CASE(every_failed_allocation_is_reported),
        CASE(sizes_that_do_not_fit_a_batch_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

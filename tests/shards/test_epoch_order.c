/* The order of an epoch: a permutation, the same for any way of asking, bounded in memory. */
#include "tests/shards/help.h"

#include "common/base/rng.h"
#include "shards/epoch_order.h"
#include "shards/selection.h"

static struct epoch_order *order_of(struct corpus *c, struct selection *s, uint64_t seed,
                                    int window)
{
    struct epoch_order_config config = {
        .corpus = c, .selection = s, .seed = seed, .window = window};
    struct epoch_order *o = NULL;
    struct err e = {0};

    assert_ok(epoch_order_create(&config, &o, &e), e);
    return o;
}

static struct epoch_item item_at(struct epoch_order *o, uint64_t t)
{
    struct epoch_item item;
    struct err e = {0};

    assert_ok(epoch_order_at(o, t, &item, &e), e);
    return item;
}

static struct corpus *corpus_of(const char *dir, unsigned n, int classes, uint64_t shard_bytes)
{
    struct corpus *c = NULL;
    char path[512];
    struct err e = {0};

    help_corpus(help_path(path, dir, "corpus"), n, classes, shard_bytes);
    assert_ok(corpus_open(path, &c, &e), e);
    return c;
}

/* Mark each item of an epoch; each (shard, position, copy) comes once. */
static void assert_permutation(struct epoch_order *o, struct corpus *c, uint64_t epoch)
{
    uint64_t n = epoch_order_length(o);
    unsigned char *seen = calloc((size_t)corpus_shards(c) * 4096 * 16, 1);
    uint64_t distinct = 0;

    assert_non_null(seen);
    for (uint64_t i = 0; i < n; i++) {
        struct epoch_item item = item_at(o, epoch * n + i);
        size_t at = ((size_t)item.shard * 4096 + item.position) * 16 + item.copy;

        assert_int_equal(item.epoch, epoch);
        assert_true(item.position < corpus_shard(c, item.shard)->images && item.copy < 16);
        distinct += seen[at] == 0;
        seen[at] = 1;
    }
    assert_int_equal(distinct, n);
    free(seen);
}

static void every_epoch_is_a_permutation_of_the_occurrences(void **state)
{
    struct corpus_writer *w = NULL;
    struct corpus *c = NULL;
    struct epoch_order *o = NULL;
    char path[512];
    struct err e = {0};

    w = help_writer(help_path(path, *state, "corpus"), 3, 2000);
    for (unsigned i = 0; i < 200; i++) {
        for (unsigned copy = 0; copy <= (i % 7 == 0 ? i % 4 : 0); copy++) {
            char source[32];

            (void)snprintf(source, sizeof source, "s/%u-%u", i, copy);
            (void)help_add(w, i, (int)(i % 3), source);
        }
    }
    assert_ok(corpus_writer_flush(w, &e), e);
    corpus_writer_close(w);
    assert_ok(corpus_open(path, &c, &e), e);
    assert_true(corpus_shards(c) > 5 && corpus_occurrences(c) > corpus_images(c));
    o = order_of(c, NULL, 7, 2);
    assert_int_equal(epoch_order_length(o), corpus_occurrences(c));
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
        assert_permutation(o, c, epoch);
    }
    epoch_order_destroy(o);
    corpus_close(c);
}

static void an_unlabeled_corpus_gives_each_image_once(void **state)
{
    struct corpus *c = corpus_of(*state, 60, 0, 1000);
    struct epoch_order *o = order_of(c, NULL, 1, 3);

    assert_int_equal(epoch_order_length(o), 60);
    assert_permutation(o, c, 0);
    epoch_order_destroy(o);
    corpus_close(c);
}

static void epochs_and_seeds_differ_and_equal_ones_agree(void **state)
{
    struct corpus *c = corpus_of(*state, 300, 2, 4000);
    struct epoch_order *a = order_of(c, NULL, 5, 4);
    struct epoch_order *b = order_of(c, NULL, 5, 4);
    struct epoch_order *other = order_of(c, NULL, 6, 4);
    uint64_t n = epoch_order_length(a);
    int same_epoch = 0;
    int same_seed = 0;

    for (uint64_t i = 0; i < n; i++) {
        struct epoch_item x = item_at(a, i);
        struct epoch_item y = item_at(b, i);

        assert_true(x.shard == y.shard && x.position == y.position && x.copy == y.copy);
        y = item_at(b, n + i);
        same_epoch += x.shard == y.shard && x.position == y.position;
        y = item_at(other, i);
        same_seed += x.shard == y.shard && x.position == y.position;
    }
    assert_true(same_epoch < (int)n / 10 && same_seed < (int)n / 10);
    epoch_order_destroy(a);
    epoch_order_destroy(b);
    epoch_order_destroy(other);
    corpus_close(c);
}

static void any_pattern_of_jumps_gives_the_same_items(void **state)
{
    struct corpus *c = corpus_of(*state, 250, 2, 3000);
    struct epoch_order *walk = order_of(c, NULL, 11, 3);
    struct epoch_order *jump = order_of(c, NULL, 11, 3);
    static const struct key128 key = {{1}};
    struct epoch_item all[750];
    struct rng r;

    for (uint64_t t = 0; t < 750; t++) {
        all[t] = item_at(walk, t);
    }
    rng_init(&r, 3, RNG_TEST, 0, &key, 0);
    for (int i = 0; i < 2000; i++) {
        uint32_t t = rng_below(&r, 750);
        struct epoch_item x = item_at(jump, t);

        assert_true(x.shard == all[t].shard && x.position == all[t].position &&
                    x.copy == all[t].copy && x.epoch == all[t].epoch);
    }
    epoch_order_destroy(walk);
    epoch_order_destroy(jump);
    corpus_close(c);
}

static void reads_stay_within_a_window_of_shards(void **state)
{
    struct corpus *c = corpus_of(*state, 250, 2, 2000);
    struct epoch_order *o = order_of(c, NULL, 2, 2);
    int changes = 0;
    int open[2] = {-1, -1};

    for (uint64_t t = 0; t < epoch_order_length(o); t++) {
        int shard = item_at(o, t).shard;

        if (shard != open[0] && shard != open[1]) {
            open[changes++ % 2] = shard;
        }
    }
    assert_int_equal(changes, corpus_shards(c)); /* each shard is opened once */
    epoch_order_destroy(o);
    corpus_close(c);
}

static struct selection *selection_of(const char *dir, const struct corpus *c, int past)
{
    struct selection_writer *w = NULL;
    struct selection *s = NULL;
    struct selection_info info = {.n_classes = 2};
    char path[512];
    struct err e = {0};

    assert_ok(selection_writer_create(help_path(path, dir, "sel/a.lmdb"), &w, &e), e);
    for (int i = 0; i < corpus_shards(c); i++) {
        struct selection_entry entries[64];
        uint64_t n = 0;

        for (uint64_t p = 0; p < corpus_shard(c, i)->images && i % 3 != 1; p += 1 + p % 2) {
            entries[n++] = (struct selection_entry){(uint32_t)(p + (uint64_t)past),
                                                    (uint16_t)(p % 2), (uint16_t)(1 + p % 3)};
        }
        assert_ok(selection_writer_put(w, i, entries, n, &e), e);
    }
    assert_ok(selection_writer_seal(w, &info, &e), e);
    selection_writer_close(w);
    assert_ok(selection_open(path, &s, &e), e);
    return s;
}

static void a_selection_gives_each_of_its_copies_once(void **state)
{
    struct corpus *c = corpus_of(*state, 120, 0, 1500);
    struct selection *s = selection_of(*state, c, 0);
    struct epoch_order *o = order_of(c, s, 9, 4);

    assert_int_equal(epoch_order_length(o), selection_info(s)->total);
    assert_true(selection_info(s)->total > selection_info(s)->images);
    assert_permutation(o, c, 0);
    assert_permutation(o, c, 5);
    epoch_order_destroy(o);
    selection_close(s);
    corpus_close(c);
}

static void a_selection_of_images_that_are_not_there_is_refused(void **state)
{
    struct corpus *c = corpus_of(*state, 40, 0, 1000);
    struct selection *s = selection_of(*state, c, 5000);
    struct epoch_order *o = order_of(c, s, 9, 4);
    struct epoch_item item;
    struct err e = {0};

    assert_int_equal(epoch_order_at(o, 0, &item, &e), RC_CORRUPT);
    assert_says(e, "the selection names image 5");
    assert_says(e, "of shard 'images-0000");
    epoch_order_destroy(o);
    selection_close(s);
    corpus_close(c);
}

static void an_empty_order_and_a_bad_window_are_refused(void **state)
{
    struct corpus *c = corpus_of(*state, 0, 2, 1000);
    struct epoch_order *o = order_of(c, NULL, 1, 0);
    struct epoch_order_config config = {.corpus = c, .window = 1000};
    struct epoch_item item;
    struct err e = {0};

    assert_int_equal(epoch_order_at(o, 0, &item, &e), RC_INVAL);
    assert_says(e, "there is nothing to read in '");
    epoch_order_destroy(o);
    err_clear(&e);
    assert_int_equal(epoch_order_create(&config, &o, &e), RC_INVAL);
    assert_says(e, "a window of 1000 shards: expected 1 to 256");
    corpus_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_epoch_is_a_permutation_of_the_occurrences, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(an_unlabeled_corpus_gives_each_image_once, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(epochs_and_seeds_differ_and_equal_ones_agree, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(any_pattern_of_jumps_gives_the_same_items, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(reads_stay_within_a_window_of_shards, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(a_selection_gives_each_of_its_copies_once, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(a_selection_of_images_that_are_not_there_is_refused,
                                        help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(an_empty_order_and_a_bad_window_are_refused, help_setup,
                                        help_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

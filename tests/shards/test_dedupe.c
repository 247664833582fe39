/* Near-duplicates and tombstones: what is found, what is kept, and that nobody uses what is forgotten. */
#include "tests/shards/help.h"

#include "common/base/mem.h"
#include "shards/dedupe.h"
#include "shards/epoch_order.h"
#include "shards/eval_feed.h"
#include "shards/forget.h"
#include "shards/near_hashes.h"
#include "shards/pack.h"
#include "shards/verify.h"

enum { SIDE = 64 };

/* A PGM of soft blobs that follow from n, `light` gray levels lighter: alike for any light. */
static void write_picture(const char *dir, const char *name, unsigned n, int light)
{
    unsigned char data[64 + SIDE * SIDE];
    int head = snprintf((char *)data, 64, "P5\n%d %d\n255\n", SIDE, SIDE);

    for (int i = 0; i < SIDE * SIDE; i++) {
        double v = 110;

        for (unsigned b = 1; b <= 20; b++) {
            unsigned s = (n * 7919 + b) * 2654435761u;
            double dx = i % SIDE / (double)SIDE - (s >> 8 & 255) / 255.0;
            double dy = i / SIDE / (double)SIDE - (s >> 16 & 255) / 255.0;

            v += (s & 1 ? 60 : -60) / (1 + 30 * b * (dx * dx + dy * dy));
        }
        v += light;
        data[head + i] = (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
    help_write(dir, name, data, (size_t)head + SIDE * SIDE);
}

static void pack_into(const char *corpus, const char *source, bool unlabeled, bool check,
                      int64_t shard_bytes)
{
    const struct pack_config config = {.out = corpus,
                                       .sources = &source,
                                       .n_sources = 1,
                                       .unlabeled = unlabeled,
                                       .check = check ? PACK_CHECK_DECODE : PACK_CHECK_HEADER,
                                       .shard_bytes = shard_bytes,
                                       .threads = 1};
    struct pack_result r;
    struct err e = {0};

    assert_ok(pack_run(&config, &r, &e), e);
}

/* Ten pictures of two classes, the last four look like the first four. */
static void write_ten(const char *root, char source[512])
{
    (void)help_path(source, root, "in");
    for (unsigned n = 0; n < 10; n++) {
        char name[64];

        (void)snprintf(name, sizeof name, "%s/%u.pgm", n % 2 ? "a" : "b", n);
        write_picture(source, name, n < 6 ? n : n - 6, n < 6 ? 0 : 9);
    }
}

static struct corpus *open_corpus(const char *path)
{
    struct corpus *c = NULL;
    struct err e = {0};

    assert_ok(corpus_open(path, &c, &e), e);
    return c;
}

static void dedupe_into(const char *corpus, const char *out, struct dedupe_result *r)
{
    const struct dedupe_config config = {.corpora = &corpus, .n = 1, .radius = 6, .out = out};
    struct err e = {0};

    assert_ok(dedupe_run(&config, r, &e), e);
}

static void forget_file(const char *corpus, const char *list, struct forget_result *r)
{
    struct err e = {0};

    assert_ok(forget_list(corpus, list, "a test", r, &e), e);
}

static void pictures_that_look_alike_are_listed_and_one_stays(void **state)
{
    char source[512];
    char corpus[512];
    char list[512];
    struct dedupe_result r;
    struct forget_result f;

    write_ten(*state, source);
    pack_into(help_path(corpus, *state, "c"), source, true, true, 0);
    dedupe_into(corpus, help_path(list, *state, "list"), &r);
    assert_int_equal(r.images, 10);
    assert_int_equal(r.groups, 4);
    assert_int_equal(r.dropped, 4);
    forget_file(corpus, list, &f);
    assert_int_equal(f.fresh, 4);
    forget_file(corpus, list, &f);
    assert_int_equal(f.fresh, 0);
    assert_int_equal(f.already, 4);
    assert_int_equal(f.all, 4);
    dedupe_into(corpus, NULL, &r);
    assert_int_equal(r.images, 6);
    assert_int_equal(r.dropped, 0);
}

static void hashes_made_later_are_those_of_pack(void **state)
{
    char source[512];
    char with[512];
    char without[512];
    char path[600];
    struct corpus *a = NULL;
    struct corpus *b = NULL;
    struct near_hashes x;
    struct near_hashes y;
    struct err e = {0};

    write_ten(*state, source);
    pack_into(help_path(with, *state, "with"), source, true, true, 0);
    pack_into(help_path(without, *state, "without"), source, true, false, 0);
    (void)snprintf(path, sizeof path, "%s/hashes-000000.bin", with);
    assert_true(fs_exists(path));
    (void)snprintf(path, sizeof path, "%s/hashes-000000.bin", without);
    assert_false(fs_exists(path));
    a = open_corpus(with);
    b = open_corpus(without);
    assert_ok(near_hashes_open(a, 0, &x, &e), e);
    assert_ok(near_hashes_open(b, 0, &y, &e), e);
    assert_true(fs_exists(path));
    assert_int_equal(x.n, 10);
    assert_memory_equal(x.entries, y.entries, 10 * sizeof *x.entries);
    near_hashes_close(&x);
    near_hashes_close(&y);
    help_write(*state, "without/hashes-000000.bin", "PRCHASH1 and nothing more", 25);
    assert_ok(near_hashes_open(b, 0, &y, &e), e); /* damaged: made again */
    assert_int_equal(y.n, 10);
    near_hashes_close(&y);
    corpus_close(a);
    corpus_close(b);
}

/* How many items of an epoch are of forgotten images, and how many there are. */
static uint64_t epoch_items(struct corpus *c, uint64_t *forgotten)
{
    const struct epoch_order_config config = {.corpus = c, .seed = 3, .window = 2};
    struct epoch_order *o = NULL;
    struct err e = {0};
    uint64_t n = 0;

    *forgotten = 0;
    assert_ok(epoch_order_create(&config, &o, &e), e);
    n = epoch_order_length(o);
    for (uint64_t t = 0; t < 2 * n; t++) {
        struct epoch_item item;

        assert_ok(epoch_order_at(o, t, &item, &e), e);
        *forgotten += corpus_is_forgotten(c, item.shard, item.position);
    }
    epoch_order_destroy(o);
    return n;
}

static int eval_rows(struct corpus *c, uint64_t from, uint64_t to)
{
    const struct eval_feed_config config = {
        .corpus = c,
        .eval = {.size = 8, .channels = 1, .crop_pct = 1, .filter = IMAGE_BICUBIC},
        .from = from,
        .to = to,
        .batch = 4,
        .threads = 1};
    struct eval_feed *f = NULL;
    struct err e = {0};
    const uint8_t *pixels = NULL;
    const int32_t *cls = NULL;
    int rows = 0;
    int n = 1;

    assert_ok(eval_feed_create(&config, &f, &e), e);
    while (n > 0) {
        assert_ok(eval_feed_next(f, &pixels, &cls, &n, &e), e);
        rows += n;
    }
    eval_feed_destroy(f);
    return rows;
}

static void fault(void *ctx, const char *what)
{
    (void)ctx;
    print_message("%s\n", what);
}

static void forgotten_images_are_in_no_epoch_and_no_evaluation(void **state)
{
    for (int labeled = 0; labeled < 2; labeled++) {
        char source[512];
        char corpus[512];
        char list[512];
        struct corpus *c = NULL;
        struct dedupe_result r;
        struct forget_result f;
        struct verify_config vc = {.fault = fault};
        struct verify_result v;
        struct err e = {0};
        uint64_t gone = 0;

        write_ten(*state, source);
        /* Two or three to a shard. */
        pack_into(help_path(corpus, *state, labeled ? "l" : "u"), source, !labeled, true,
                  3 * (SIDE * SIDE + 64));
        c = open_corpus(corpus);
        assert_true(corpus_shards(c) > 2);
        assert_int_equal(epoch_items(c, &gone), 10);
        assert_int_equal(eval_rows(c, 0, corpus_occurrences(c)), 10);
        corpus_close(c);
        dedupe_into(corpus, help_path(list, *state, "list"), &r);
        forget_file(corpus, list, &f);
        assert_int_equal(f.fresh, 4);
        c = open_corpus(corpus);
        assert_int_equal(corpus_images(c), 10);
        assert_int_equal(corpus_forgotten(c), 4);
        assert_int_equal(corpus_occurrences(c), 6);
        assert_int_equal(epoch_items(c, &gone), 6);
        assert_int_equal(gone, 0);
        for (uint64_t at = 0; at <= 6; at++) {
            assert_int_equal(eval_rows(c, 0, at), at);
            assert_int_equal(eval_rows(c, at, 6), 6 - at);
        }
        corpus_close(c);
        vc.path = corpus;
        assert_ok(verify_store(&vc, &v, &e), e);
        assert_int_equal(v.faults, 0);
    }
}

static void a_forgotten_image_that_comes_again_stays_forgotten(void **state)
{
    char source[512];
    char corpus[512];
    char list[512];
    struct corpus *c = NULL;
    struct dedupe_result r;
    struct forget_result f;
    uint64_t gone = 0;

    write_ten(*state, source);
    pack_into(help_path(corpus, *state, "c"), source, false, true, 0);
    dedupe_into(corpus, help_path(list, *state, "list"), &r);
    forget_file(corpus, list, &f);
    for (unsigned n = 0; n < 10; n++) { /* all once more, elsewhere, and one that is new */
        char name[64];

        (void)snprintf(name, sizeof name, "again/%s/%u.pgm", n % 2 ? "a" : "b", n);
        write_picture(*state, name, n < 6 ? n : n - 6, n < 6 ? 0 : 9);
    }
    write_picture(*state, "again/a/new.pgm", 77, 0);
    pack_into(corpus, help_path(source, *state, "again"), false, true, 0);
    c = open_corpus(corpus);
    assert_int_equal(corpus_images(c), 11);
    assert_int_equal(corpus_occurrences(c), 2 * 6 + 1);
    assert_int_equal(epoch_items(c, &gone), 13);
    assert_int_equal(gone, 0);
    assert_int_equal(eval_rows(c, 0, 13), 13);
    corpus_close(c);
}

static void lists_may_be_keys_or_sums_and_bad_lines_are_named(void **state)
{
    char source[512];
    char corpus[512];
    char list[512];
    char text[400];
    char hex[HASH_HEX_DIGEST];
    struct corpus *c = NULL;
    struct near_hashes h;
    struct digest d;
    struct forget_result f;
    struct err e = {0};

    write_ten(*state, source);
    pack_into(help_path(corpus, *state, "c"), source, true, true, 0);
    c = open_corpus(corpus);
    assert_ok(near_hashes_open(c, 0, &h, &e), e);
    hash_key_hex(&h.entries[4].key, hex);
    near_hashes_close(&h);
    corpus_close(c);
    (void)snprintf(text, sizeof text, "# taken down\n%s\n%s%032d  a file.jpg\n\n", hex, hex, 0);
    help_text(*state, "list", text);
    forget_file(corpus, help_path(list, *state, "list"), &f);
    assert_int_equal(f.named, 1);
    assert_int_equal(f.fresh, 1);
    hash_digest("x", 1, &d);
    hash_digest_hex(&d, hex);
    (void)snprintf(text, sizeof text, "{\"key\":\"%.32s\"}\n{\"key\":\"%.32s\",\"corpus\":\"/\"}\n",
                   hex, hex);
    help_text(*state, "list", text);
    forget_file(corpus, list, &f);
    assert_int_equal(f.named, 1);
    assert_int_equal(f.unknown, 1);
    help_text(*state, "list", "\ncats/1.jpg\n");
    assert_int_equal(forget_list(corpus, list, "", &f, &e), RC_INVAL);
    assert_says(e, "line 2 of '");
    assert_says(e, "'cats/1.jpg' is no key");
}

static void damaged_tombstones_are_named(void **state)
{
    char source[512];
    char corpus[512];
    char list[512];
    char path[600];
    char *bytes = NULL;
    size_t n = 0;
    struct dedupe_result r;
    struct forget_result f;
    struct err e = {0};

    write_ten(*state, source);
    pack_into(help_path(corpus, *state, "c"), source, true, true, 0);
    dedupe_into(corpus, help_path(list, *state, "list"), &r);
    forget_file(corpus, list, &f);
    (void)snprintf(path, sizeof path, "%s/forgotten.bin", corpus);
    assert_ok(fs_read(path, 1 << 20, &bytes, &n, &e), e);
    for (size_t i = 0; i < n; i++) {
        struct corpus *c = NULL;
        struct err why = {0};

        bytes[i] ^= 16;
        help_write(*state, "c/forgotten.bin", bytes, n);
        bytes[i] ^= 16;
        assert_int_equal(corpus_open(corpus, &c, &why), RC_CORRUPT);
        assert_says(why, "forgotten.bin");
    }
    mem_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pictures_that_look_alike_are_listed_and_one_stays,
                                        help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(hashes_made_later_are_those_of_pack, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(forgotten_images_are_in_no_epoch_and_no_evaluation,
                                        help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_forgotten_image_that_comes_again_stays_forgotten,
                                        help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(lists_may_be_keys_or_sums_and_bad_lines_are_named,
                                        help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(damaged_tombstones_are_named, help_setup, help_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Selections: what was put is read; replaced whole; damage is named. */
#include "tests/shards/help.h"

#include "shards/selection.h"

static void write_selection(const char *path, int shards, uint16_t copies,
                            struct selection_info *info)
{
    struct selection_writer *w = NULL;
    struct err e = {0};

    *info = (struct selection_info){.n_classes = 3, .rule = "a rule"};
    memset(&info->corpus, 1, sizeof info->corpus);
    memset(&info->labels, 2, sizeof info->labels);
    memset(&info->classes, 3, sizeof info->classes);
    assert_ok(selection_writer_create(path, &w, &e), e);
    for (int i = 0; i < shards; i += 2) { /* every other shard; one is empty */
        struct selection_entry entries[300];
        uint64_t n = i == 4 ? 0 : 1 + (uint64_t)i * 40 % 300;

        for (uint64_t p = 0; p < n; p++) {
            entries[p] = (struct selection_entry){(uint32_t)(3 * p), (uint16_t)(p % 3), copies};
        }
        assert_ok(selection_writer_put(w, i, entries, n, &e), e);
    }
    assert_ok(selection_writer_seal(w, info, &e), e);
    selection_writer_close(w);
}

static void what_was_put_is_read(void **state)
{
    struct selection_info info;
    struct selection *s = NULL;
    uint64_t images = 0;
    char path[512];
    struct err e = {0};

    write_selection(help_path(path, *state, "deep/er/s"), 9, 7, &info);
    assert_ok(selection_open(path, &s, &e), e);
    assert_string_equal(selection_info(s)->rule, "a rule");
    assert_memory_equal(&selection_info(s)->labels, &info.labels, sizeof info.labels);
    assert_int_equal(selection_info(s)->shards, 9);
    for (int i = 0; i < 12; i++) {
        const struct selection_entry *entries = NULL;
        uint64_t n = 0;
        uint64_t total = 0;

        assert_ok(selection_shard(s, i, &entries, &n, &total, &e), e);
        assert_int_equal(n, i % 2 == 1 || i == 4 || i > 8 ? 0 : 1 + i * 40 % 300);
        assert_int_equal(total, 7 * n);
        assert_int_equal(selection_total(s, i), total);
        for (uint64_t p = 0; p < n; p++) {
            assert_int_equal(entries[p].position, 3 * p);
            assert_int_equal(entries[p].cls, p % 3);
            assert_int_equal(entries[p].copies, 7);
        }
        images += n;
    }
    assert_int_equal(selection_info(s)->images, images);
    assert_int_equal(selection_info(s)->total, 7 * images);
    selection_close(s);
}

static void any_of_its_names_opens_it_and_a_new_one_replaces_it(void **state)
{
    struct selection_info info;
    struct selection *s = NULL;
    struct digest a;
    struct digest b;
    char path[512];
    struct err e = {0};

    write_selection(help_path(path, *state, "s.lmdb"), 5, 1, &info);
    assert_ok(selection_open(help_path(path, *state, "s.json"), &s, &e), e);
    selection_digest(s, &a);
    selection_close(s);
    write_selection(help_path(path, *state, "s.lmdb"), 5, 2, &info);
    assert_ok(selection_open(help_path(path, *state, "s"), &s, &e), e);
    selection_digest(s, &b);
    assert_memory_not_equal(&a, &b, sizeof a);
    selection_close(s);
    write_selection(help_path(path, *state, "s"), 5, 1, &info);
    assert_ok(selection_open(path, &s, &e), e);
    selection_digest(s, &b);
    assert_memory_equal(&a, &b, sizeof a); /* equal contents, equal bytes */
    selection_close(s);
}

static void an_unsealed_selection_leaves_nothing(void **state)
{
    struct selection_writer *w = NULL;
    struct selection *s = NULL;
    char path[512];
    struct err e = {0};

    assert_ok(selection_writer_create(help_path(path, *state, "s"), &w, &e), e);
    selection_writer_close(w);
    assert_int_equal(rmdir(*state), 0); /* it is empty */
    assert_int_equal(mkdir(*state, 0700), 0);
    assert_int_equal(selection_open(path, &s, &e), RC_IO);
    assert_says(e, "s.json'");
}

static void a_damaged_selection_is_named(void **state)
{
    struct selection_info info;
    struct selection *s = NULL;
    char path[512];
    FILE *f = NULL;
    struct err e = {0};

    write_selection(help_path(path, *state, "s.lmdb"), 9, 1, &info);
    f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, 4200, SEEK_SET), 0);
    assert_int_equal(fputc('!', f), '!');
    assert_int_equal(fclose(f), 0);
    assert_int_equal(selection_open(path, &s, &e), RC_CORRUPT);
    assert_says(e, "s.lmdb' is damaged");
}

int main(void)
{
#define CASE(f_) cmocka_unit_test_setup_teardown(f_, help_setup, help_teardown)
    const struct CMUnitTest tests[] = {
        CASE(what_was_put_is_read),
        CASE(any_of_its_names_opens_it_and_a_new_one_replaces_it),
        CASE(an_unsealed_selection_leaves_nothing),
        CASE(a_damaged_selection_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What LMDB reads of files that it did not write. */
#include "tests/shards/help.h"

#include <unistd.h>

#include "common/base/mem.h"
#include "shards/lmdb_bulk.h"
#include "shards/lmdb_check_impl.h"
#include "shards/lmdb_file.h"

static const char *const names[] = {"records", "meta"};

struct rows {
    uint32_t n, at;
    size_t (*bytes)(uint32_t i);
    uint32_t few; /* rows of the second table */
    enum rc fail;
};

static unsigned char row_byte(uint32_t row, size_t i)
{
    return (unsigned char)(row * 31 + i * 7 + (i >> 8));
}

static size_t none(uint32_t i)
{
    return i % 1;
}

static size_t eight(uint32_t i)
{
    return 8 + i % 1;
}

/* On leaves, at the bound of what they take, and on pages of their own, of exactly one and more. */
static size_t mixed(uint32_t i)
{
    static const size_t sizes[] = {5,    2025, 2026, 2027, 2028, 4079, 4080,
                                   4081, 8176, 8177, 0,    300,  1999, 70000};

    return sizes[i % (sizeof sizes / sizeof sizes[0])];
}

static size_t large(uint32_t i)
{
    return 3000000 + i;
}

static enum rc fill(void *ctx, struct lmdb_bulk *b, struct err *e)
{
    const struct rows *r = ctx;
    const size_t bytes = r->bytes(r->at);
    size_t done = 0;
    enum rc rc = RC_OK;

    while (rc == RC_OK && done < bytes) {
        void *out = NULL;
        size_t n = 0;

        rc = lmdb_bulk_room(b, bytes - done, &out, &n, e);
        for (size_t i = 0; rc == RC_OK && i < n; i++) {
            ((unsigned char *)out)[i] = row_byte(r->at, done + i);
        }
        done += n;
    }
    return rc;
}

static enum rc give_table(struct rows *r, struct lmdb_bulk *b, int t, struct err *e)
{
    const uint32_t n = t == 0 ? r->n : r->few;
    enum rc rc = lmdb_bulk_table(b, names[t], e);

    for (r->at = 0; r->at < n && rc == RC_OK; r->at++) {
        const unsigned char key[4] = {(unsigned char)(r->at >> 24), (unsigned char)(r->at >> 16),
                                      (unsigned char)(r->at >> 8), (unsigned char)r->at};

        rc = lmdb_bulk_put(b, key, sizeof key, r->bytes(r->at), fill, r, e);
    }
    return rc;
}

static enum rc give(void *ctx, struct lmdb_bulk *b, struct err *e)
{
    struct rows *r = ctx;
    enum rc rc = give_table(r, b, 0, e);

    if (rc == RC_OK && r->fail != RC_OK) {
        rc = err_raise(e, r->fail, "enough");
    }
    return rc == RC_OK ? give_table(r, b, 1, e) : rc;
}

static void expect_table(struct lmdb_file *f, int t, const struct rows *r)
{
    const uint32_t n = t == 0 ? r->n : r->few;
    struct lmdb_walk *w = NULL;
    struct lmdb_val key;
    struct lmdb_val val;
    uint64_t count = 0;
    bool more = true;
    struct err e = {0};

    assert_ok(lmdb_file_count(f, t, &count, &e), e);
    assert_int_equal(count, n);
    assert_ok(lmdb_walk_open(f, t, &w, &e), e);
    for (uint32_t i = 0; i < n; i++) {
        const unsigned char want[4] = {(unsigned char)(i >> 24), (unsigned char)(i >> 16),
                                       (unsigned char)(i >> 8), (unsigned char)i};
        struct lmdb_val found;
        bool there = false;

        assert_ok(lmdb_walk_next(w, &key, &val, &more, &e), e);
        assert_true(more && key.bytes == 4 && val.bytes == r->bytes(i));
        assert_memory_equal(key.data, want, 4);
        for (size_t k = 0; k < val.bytes; k++) {
            if (((const unsigned char *)val.data)[k] != row_byte(i, k)) {
                fail_msg("byte %zu of row %u", k, i);
            }
        }
        assert_ok(lmdb_file_get(f, t, want, sizeof want, &found, &there, &e), e);
        assert_true(there && found.data == val.data);
    }
    assert_ok(lmdb_walk_next(w, &key, &val, &more, &e), e);
    assert_false(more);
    lmdb_walk_close(w);
}

static void expect_file(const char *path, struct rows *r)
{
    struct lmdb_file *f = NULL;
    struct digest digest;
    uint64_t bytes = 0;
    struct err e = {0};

    assert_ok(lmdb_bulk_write(path, give, r, &digest, &bytes, &e), e);
    assert_ok(lmdb_check_pages(path, &e), e);
    assert_ok(lmdb_file_open(path, names, 2, bytes, &digest, &f, &e), e);
    expect_table(f, 0, r);
    expect_table(f, 1, r);
    lmdb_file_close(f);
}

static void what_was_given_comes_back(void **state)
{
    static size_t (*const kinds[])(uint32_t) = {none, eight, mixed};
    char path[512];

    (void)help_path(path, *state, "x.lmdb");
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (uint32_t n = 0; n < 40; n += 1 + n / 9) {
            expect_file(path, &(struct rows){.n = n, .few = n % 3, .bytes = kinds[k]});
        }
        expect_file(path, &(struct rows){.n = 1500, .few = 700, .bytes = kinds[k]});
    }
    expect_file(path, &(struct rows){.n = 3, .few = 1, .bytes = large});
}

/* 185 values of 8 bytes fill a leaf and 291 leaves a branch: the tree grows by a level, and no branch is
 * left with one child. */
static void trees_are_whole_where_a_level_begins(void **state)
{
    static const uint32_t turns[] = {185, 291 * 185, 292 * 185, 2 * 291 * 185};
    char path[512];

    (void)help_path(path, *state, "x.lmdb");
    for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
        for (uint32_t n = turns[i] - 2; n < turns[i] + 3; n++) {
            expect_file(path, &(struct rows){.n = n, .bytes = eight});
        }
        for (uint32_t n = turns[i] - 370; n < turns[i] + 371 && i > 0; n += 185) {
            expect_file(path, &(struct rows){.n = n, .bytes = eight});
        }
    }
}

static void equal_tables_give_equal_bytes(void **state)
{
    struct rows r = {.n = 100, .few = 2, .bytes = mixed};
    struct digest a;
    struct digest b;
    char path[512];
    uint64_t bytes = 0;
    struct err e = {0};

    (void)help_path(path, *state, "x.lmdb");
    assert_ok(lmdb_bulk_write(path, give, &r, &a, &bytes, &e), e);
    assert_ok(lmdb_bulk_write(path, give, &r, &b, &bytes, &e), e);
    assert_memory_equal(&a, &b, sizeof a);
    r.n = 99;
    assert_ok(lmdb_bulk_write(path, give, &r, &b, &bytes, &e), e);
    assert_memory_not_equal(&a, &b, sizeof a);
}

/* LMDB itself goes on with such a file. */
static void lmdb_can_write_on(void **state)
{
    struct rows r = {.n = 2000, .few = 2, .bytes = mixed};
    struct lmdb_file *f = NULL;
    struct digest digest;
    char path[512];
    uint64_t bytes = 0;
    struct err e = {0};

    (void)help_path(path, *state, "x.lmdb");
    assert_ok(lmdb_bulk_write(path, give, &r, &digest, &bytes, &e), e);
    for (int turn = 0; turn < 3; turn++) {
        assert_ok(lmdb_file_create(path, names, 2, &f, &e), e);
        for (uint32_t i = 0; i < 2000; i += 7) {
            const unsigned char key[4] = {0, 0, (unsigned char)(i >> 8), (unsigned char)i};

            assert_ok(lmdb_file_replace(f, 0, key, sizeof key, path, (size_t)(turn + 1) * 90, &e),
                      e);
        }
        assert_ok(lmdb_file_commit(f, &e), e);
        lmdb_file_close(f);
        assert_ok(lmdb_check_pages(path, &e), e);
    }
}

static void failures_are_told(void **state)
{
    struct rows r = {.n = 10, .few = 1, .bytes = mixed, .fail = RC_REQUEUE};
    struct digest digest;
    char path[512];
    uint64_t bytes = 0;
    struct err e = {0};
    uint64_t failed = 0;

    (void)help_path(path, *state, "x.lmdb");
    assert_int_equal(lmdb_bulk_write(path, give, &r, &digest, &bytes, &e), RC_REQUEUE);
    assert_string_equal(e.msg, "enough");
    r.fail = RC_OK;
    for (uint64_t n = 1;; n++) {
        enum rc rc = RC_OK;

        err_clear(&e);
        mem_fail_at(n);
        rc = lmdb_bulk_write(path, give, &r, &digest, &bytes, &e);
        mem_fail_at(0);
        if (rc == RC_OK) {
            break;
        }
        assert_int_equal(rc, RC_NOMEM);
        failed++;
    }
    assert_true(failed >= 4);
}

int main(void)
{
#define CASE(f_) cmocka_unit_test_setup_teardown(f_, help_setup, help_teardown)
    const struct CMUnitTest tests[] = {
        CASE(what_was_given_comes_back), CASE(trees_are_whole_where_a_level_begins),
        CASE(equal_tables_give_equal_bytes), CASE(lmdb_can_write_on), CASE(failures_are_told)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

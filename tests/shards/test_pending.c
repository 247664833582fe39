#include "tests/shards/help.h"

#include "common/base/mem.h"
#include "shards/pending.h"

enum { IMAGES = 40 };

/* Sizes that fill memory, straddle its end, and exceed it and the scratch file's buffer. */
static size_t size_of(unsigned i)
{
    return i == 17 ? (1 << 20) + 5 : i == 23 ? 0 : 100 + 37 * (size_t)i;
}

static void image_of(unsigned i, unsigned char *out, struct key128 *key)
{
    for (size_t k = 0; k < size_of(i); k++) {
        out[k] = (unsigned char)(i * 131 + k * 7 + (k >> 9));
    }
    hash_key(out, size_of(i), key);
    key->b[0] = (unsigned char)i; /* none is like another */
}

static void add_all(struct pending *p, unsigned from, unsigned to)
{
    static unsigned char data[2 << 20];

    for (unsigned i = from; i < to; i++) {
        struct key128 key;
        uint32_t index = 0;
        bool same = false;
        struct err e = {0};

        image_of(i, data, &key);
        assert_false(pending_find(p, &key, &index));
        if (i % 3 == 0) { /* a block of its own, which is taken or not */
            void *block = mem_aligned(size_of(i) + 1);

            assert_non_null(block);
            memcpy(block, data, size_of(i));
            assert_ok(pending_add(p, &key, block, size_of(i), &block, &index, &e), e);
            assert_true((block == NULL) == (pending_at(p, index)->block != NULL));
            mem_free(block);
        } else {
            assert_ok(pending_add(p, &key, data, size_of(i), NULL, &index, &e), e);
        }
        assert_ok(pending_occur(p, index, -1, "x", 1, &same, &e), e);
        assert_true(pending_find(p, &key, &index));
    }
}

/* All images, whole and in parts. */
static void expect_all(struct pending *p, unsigned n)
{
    static unsigned char want[2 << 20];
    static unsigned char got[2 << 20];
    uint64_t bytes = 0;

    assert_int_equal(pending_count(p), n);
    for (unsigned i = 0; i < n; i++) {
        struct key128 key;
        uint32_t index = 0;
        size_t half = size_of(i) / 2;
        struct err e = {0};

        image_of(i, want, &key);
        assert_true(pending_find(p, &key, &index));
        assert_int_equal(pending_at(p, index)->bytes, size_of(i));
        assert_ok(pending_read(p, index, 0, half, got, &e), e);
        assert_ok(pending_read(p, index, half, size_of(i) - half, got + half, &e), e);
        assert_memory_equal(got, want, size_of(i));
        bytes += size_of(i);
    }
    assert_int_equal(pending_bytes(p), bytes);
}

static void images_come_back_from_memory_and_from_disk(void **state)
{
    static const uint64_t memories[] = {0, 1, 4096, 12000, 1100000, (uint64_t)1 << 30};

    for (size_t i = 0; i < sizeof memories / sizeof memories[0]; i++) {
        struct pending *p = NULL;
        struct err e = {0};

        assert_ok(pending_create(*state, memories[i], &p, &e), e);
        for (int turn = 0; turn < 2; turn++) { /* and again after a reset */
            add_all(p, 0, IMAGES);
            expect_all(p, IMAGES);
            assert_ok(pending_reset(p, &e), e);
            assert_int_equal(pending_count(p) + pending_bytes(p), 0);
        }
        pending_destroy(p);
    }
}

static void what_is_merged_keeps_its_bytes(void **state)
{
    struct pending *p = NULL;
    struct pending *q = NULL;
    struct err e = {0};

    assert_ok(pending_create(*state, 3000, &p, &e), e);
    assert_ok(pending_create(*state, 12000, &q, &e), e);
    add_all(p, 0, 9);
    add_all(q, 9, IMAGES);
    assert_ok(pending_merge(p, q, &e), e);
    expect_all(p, IMAGES);
    assert_int_equal(pending_count(q), 0);
    pending_destroy(p);
    pending_destroy(q);
}

int main(void)
{
#define CASE(f_) cmocka_unit_test_setup_teardown(f_, help_setup, help_teardown)
    const struct CMUnitTest tests[] = {CASE(images_come_back_from_memory_and_from_disk),
                                       CASE(what_is_merged_keeps_its_bytes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Files whose digest nobody knows: what LMDB would follow to its ruin is refused, and whatever passes can
 * be read and written. */
#include "tests/shards/help.h"

#include <fcntl.h>
#include <unistd.h>

#include "shards/lmdb_check_impl.h"
#include "shards/lmdb_file.h"

static const char *const tables[] = {"a", "b"};
enum { ROWS = 900, FLIPS = 1000 };

/* As a killed rank leaves it: several transactions, long values, pages that were freed. */
static void partial(const char *path)
{
    static unsigned char value[20000];
    struct lmdb_file *f = NULL;
    struct err e = {0};

    assert_ok(lmdb_file_create(path, tables, 2, &f, &e), e);
    for (unsigned i = 0; i < ROWS; i++) {
        const unsigned char key[4] = {0, 0, (unsigned char)(i >> 8), (unsigned char)i};

        value[0] = (unsigned char)i;
        assert_ok(lmdb_file_put(f, 0, key, sizeof key, value, 60, true, &e), e);
        if (i % 100 == 99) {
            assert_ok(lmdb_file_replace(f, 1, key + 3, 1, value, sizeof value - i, &e), e);
            assert_ok(lmdb_file_commit(f, &e), e);
        }
    }
    lmdb_file_close(f);
}

/* Every value is read, a row is replaced and one added. */
static void use(const char *path)
{
    struct lmdb_file *f = NULL;
    struct err e = {0};
    unsigned long sum = 0;

    if (lmdb_file_create(path, tables, 2, &f, &e) != RC_OK) {
        assert_true(e.msg[0] != '\0');
        return;
    }
    for (int t = 0; t < 2; t++) {
        struct lmdb_walk *w = NULL;
        struct lmdb_val key, val;
        bool more = true;

        if (lmdb_walk_open(f, t, &w, &e) != RC_OK) {
            continue;
        }
        while (lmdb_walk_next(w, &key, &val, &more, &e) == RC_OK && more) {
            for (size_t i = 0; i < val.bytes; i++) {
                sum += ((const unsigned char *)val.data)[i];
            }
        }
        lmdb_walk_close(w);
    }
    (void)!lmdb_file_replace(f, 1, "c", 1, path, strlen(path), &e);
    (void)!lmdb_file_put(f, 0, "\377\377\377\377", 4, &sum, sizeof sum, true, &e);
    (void)!lmdb_file_commit(f, &e);
    lmdb_file_close(f);
}

static size_t load(const char *path, unsigned char *out, size_t max)
{
    const int fd = open(path, O_RDONLY);
    const ssize_t n = read(fd, out, max);

    assert_true(fd >= 0 && n > 0 && (size_t)n < max);
    (void)close(fd);
    return (size_t)n;
}

static void store(const char *path, const unsigned char *data, size_t bytes)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
    (void)close(fd);
}

static void what_lmdb_wrote_passes(void **state)
{
    char path[512];
    struct err e = {0};

    partial(help_path(path, *state, "p.lmdb"));
    assert_ok(lmdb_check_pages(path, &e), e);
    use(path);
    assert_ok(lmdb_check_pages(path, &e), e);
    store(path, NULL, 0);
    assert_ok(lmdb_check_pages(path, &e), e);
    use(path);
    assert_ok(lmdb_check_pages(path, &e), e);
}

/* Without the check a third of the flips in LMDB's own structures crash its readers. */
static void no_flipped_bit_harms(void **state)
{
    static unsigned char good[1 << 20], bad[1 << 20];
    char path[512];
    struct err e = {0};
    uint64_t h = 88172645463325252u;
    int refused = 0;
    size_t bytes = 0;

    partial(help_path(path, *state, "p.lmdb"));
    bytes = load(path, good, sizeof good);
    for (int i = 0; i < FLIPS; i++) {
        h ^= h << 13, h ^= h >> 7, h ^= h << 17;
        const size_t page = (size_t)(h >> 32) % (bytes / 4096);
        /* Two of three in the first bytes of a page: heads, and the places of nodes. */
        const size_t at = page * 4096 + (size_t)(h & 0xFFFF) % (i % 3 < 2 ? 160 : 4096);

        memcpy(bad, good, bytes);
        bad[at] ^= (unsigned char)(1u << (h >> 20) % 8);
        store(path, bad, bytes);
        err_clear(&e);
        if (lmdb_check_pages(path, &e) == RC_OK) {
            use(path);
        } else {
            assert_int_equal(e.rc, RC_CORRUPT);
            assert_says(e, "p.lmdb' is damaged or not an LMDB file: page ");
            refused++;
        }
    }
    assert_true(refused > FLIPS / 10 && refused < FLIPS);
}

static void a_file_that_was_cut_off_is_refused(void **state)
{
    static unsigned char good[1 << 20];
    char path[512];
    struct err e = {0};
    size_t bytes = 0;

    partial(help_path(path, *state, "p.lmdb"));
    bytes = load(path, good, sizeof good);
    for (size_t cut = 1; cut < bytes; cut += cut < 300 ? 37 : 4001) {
        store(path, good, cut);
        err_clear(&e);
        assert_int_equal(lmdb_check_pages(path, &e), RC_CORRUPT);
    }
}

static void a_partial_that_is_damaged_is_an_error_of_opening(void **state)
{
    static unsigned char data[1 << 20];
    char path[512];
    struct lmdb_file *f = NULL;
    struct err e = {0};
    size_t bytes = 0;

    partial(help_path(path, *state, "p.lmdb"));
    bytes = load(path, data, sizeof data);
    memset(data + 2 * 4096, 0xFF, bytes - 2 * 4096);
    store(path, data, bytes);
    assert_int_equal(lmdb_file_create(path, tables, 2, &f, &e), RC_CORRUPT);
    err_clear(&e);
    assert_int_equal(lmdb_file_open(path, tables, 2, 0, NULL, &f, &e), RC_CORRUPT);
    assert_says(e, "p.lmdb' is damaged");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_lmdb_wrote_passes, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(no_flipped_bit_harms, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_file_that_was_cut_off_is_refused, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(a_partial_that_is_damaged_is_an_error_of_opening,
                                        help_setup, help_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

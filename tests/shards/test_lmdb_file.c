#include "tests/shards/help.h"

#include <signal.h>
#include <sys/resource.h>

#include "shards/lmdb_file.h"
#include "tests/sanitized.h"

static const char *const tables[] = {"a", "b"};

static struct lmdb_file *create(const char *path)
{
    struct lmdb_file *f = NULL;
    struct err e = {0};

    assert_ok(lmdb_file_create(path, tables, 2, &f, &e), e);
    return f;
}

/* n values of the given size under ascending keys, in one table. */
static void put(struct lmdb_file *f, int t, unsigned n, size_t bytes)
{
    unsigned char *value = malloc(bytes);
    struct err e = {0};

    assert_non_null(value);
    for (unsigned i = 0; i < n; i++) {
        const unsigned char key[4] = {0, (unsigned char)(i >> 16), (unsigned char)(i >> 8),
                                      (unsigned char)i};

        memset(value, (int)i, bytes);
        assert_ok(lmdb_file_put(f, t, key, sizeof key, value, bytes, true, &e), e);
    }
    free(value);
}

static void seal(const char *dir, const char *name, struct digest *d, uint64_t *bytes)
{
    char tmp[512];
    char final[512];
    struct lmdb_file *f = NULL;
    struct err e = {0};

    (void)snprintf(tmp, sizeof tmp, "%s/%s.tmp.1", dir, name);
    f = create(tmp);
    put(f, 0, 100, 3000);
    put(f, 1, 7, 20);
    assert_ok(lmdb_file_seal(f, tmp, help_path(final, dir, name), d, bytes, &e), e);
    assert_false(fs_exists(tmp));
}

static void what_is_sealed_is_read_back_in_order(void **state)
{
    char path[512];
    struct lmdb_file *f = NULL;
    struct lmdb_walk *w = NULL;
    struct lmdb_val key;
    struct lmdb_val val;
    struct digest d;
    struct err e = {0};
    uint64_t bytes = 0;
    uint64_t n = 0;
    unsigned i = 0;
    bool more = true;
    bool found = true;

    seal(*state, "x.lmdb", &d, &bytes);
    assert_ok(lmdb_file_open(help_path(path, *state, "x.lmdb"), tables, 2, bytes, &d, &f, &e), e);
    assert_ok(lmdb_file_count(f, 0, &n, &e), e);
    assert_int_equal(n, 100);
    assert_ok(lmdb_walk_open(f, 0, &w, &e), e);
    for (;;) {
        assert_ok(lmdb_walk_next(w, &key, &val, &more, &e), e);
        if (!more) {
            break;
        }
        assert_int_equal(((const unsigned char *)key.data)[3], i);
        assert_int_equal(val.bytes, 3000);
        assert_int_equal(((const unsigned char *)val.data)[2999], i);
        i++;
    }
    assert_int_equal(i, 100);
    lmdb_walk_close(w);
    assert_ok(lmdb_file_get(f, 1, "none", 4, &val, &found, &e), e);
    assert_false(found);
    lmdb_file_close(f);
}

static void equal_contents_give_equal_bytes(void **state)
{
    struct digest a;
    struct digest b;
    uint64_t n = 0;
    uint64_t m = 0;

    seal(*state, "a.lmdb", &a, &n);
    seal(*state, "b.lmdb", &b, &m);
    assert_int_equal(n, m);
    assert_memory_equal(&a, &b, sizeof a);
}

/* The map that the file asks for is the file itself, so that any binding maps no more. */
static void a_sealed_file_asks_for_a_map_of_its_own_size(void **state)
{
    char path[512];
    struct digest d;
    uint64_t bytes = 0;
    uint64_t map = 0;
    FILE *f = NULL;

    seal(*state, "x.lmdb", &d, &bytes);
    f = fopen(help_path(path, *state, "x.lmdb"), "rb");
    assert_non_null(f);
    for (long page = 0; page < 2; page++) {
        assert_int_equal(fseek(f, page * sysconf(_SC_PAGESIZE) + 32, SEEK_SET), 0);
        assert_int_equal(fread(&map, sizeof map, 1, f), 1);
        assert_int_equal(map, bytes);
    }
    (void)fclose(f);
}

static void the_first_to_seal_a_name_wins(void **state)
{
    char tmp[512];
    char final[512];
    struct lmdb_file *f = NULL;
    struct digest first;
    struct digest second;
    struct err e = {0};
    uint64_t bytes = 0;

    seal(*state, "x.lmdb", &first, &bytes);
    f = create(help_path(tmp, *state, "x.lmdb.tmp.2"));
    put(f, 0, 3, 3);
    assert_ok(lmdb_file_seal(f, tmp, help_path(final, *state, "x.lmdb"), &second, &bytes, &e), e);
    assert_memory_equal(&first, &second, sizeof first);
    assert_false(fs_exists(tmp));
}

static void committed_puts_outlive_the_writer(void **state)
{
    char path[512];
    struct lmdb_file *f = create(help_path(path, *state, "x.lmdb.tmp.1"));
    struct lmdb_val v;
    struct err e = {0};
    bool found = false;

    assert_ok(lmdb_file_put(f, 0, "k", 1, "v", 1, false, &e), e);
    assert_ok(lmdb_file_commit(f, &e), e);
    assert_ok(lmdb_file_put(f, 0, "l", 1, "w", 1, false, &e), e);
    lmdb_file_close(f);
    f = create(path);
    assert_ok(lmdb_file_get(f, 0, "k", 1, &v, &found, &e), e);
    assert_true(found);
    assert_memory_equal(v.data, "v", 1);
    assert_ok(lmdb_file_get(f, 0, "l", 1, &v, &found, &e), e);
    assert_false(found);
    assert_int_equal(lmdb_file_put(f, 0, "k", 1, "x", 1, false, &e), RC_INVAL);
    assert_says(e, "the key is there already");
    err_clear(&e);
    assert_ok(lmdb_file_replace(f, 0, "k", 1, "x", 1, &e), e);
    lmdb_file_close(f);
}

/* A limit on the size of files stands in for a full disk: what was committed stays. */
static void a_full_disk_loses_nothing_committed(void **state)
{
    const struct rlimit small = {1 << 20, RLIM_INFINITY};
    const struct rlimit large = {RLIM_INFINITY, RLIM_INFINITY};
    char path[512];
    static char value[1 << 20];
    struct lmdb_file *f = create(help_path(path, *state, "x.lmdb.tmp.1"));
    struct lmdb_val v;
    struct err e = {0};
    bool found = false;
    enum rc rc = RC_OK;

    (void)signal(SIGXFSZ, SIG_IGN);
    put(f, 0, 10, 1000);
    assert_ok(lmdb_file_commit(f, &e), e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    rc = lmdb_file_put(f, 1, "big", 3, value, sizeof value, false, &e);
    if (rc == RC_OK) {
        rc = lmdb_file_commit(f, &e);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &large), 0);
    assert_int_equal(rc, RC_IO);
    assert_says(e, "x.lmdb.tmp.1'");
    lmdb_file_close(f);
    err_clear(&e);
    f = create(path);
    assert_ok(lmdb_file_get(f, 0, "\0\0\0\x9", 4, &v, &found, &e), e);
    assert_true(found);
    lmdb_file_close(f);
}

static void a_small_address_space_is_enough(void **state)
{
    const struct rlimit small = {(rlim_t)4 << 30, RLIM_INFINITY};
    const struct rlimit large = {RLIM_INFINITY, RLIM_INFINITY};
    struct digest d;
    uint64_t bytes = 0;

    if (sanitized) {
        print_message("skipped: sanitizers need the address space themselves\n");
        skip();
    }
    assert_int_equal(setrlimit(RLIMIT_AS, &small), 0);
    seal(*state, "x.lmdb", &d, &bytes);
    assert_int_equal(setrlimit(RLIMIT_AS, &large), 0);
    assert_true(bytes > 300000);
}

static void wrong_files_are_named(void **state)
{
    static const char *const others[] = {"c"};
    char path[512];
    struct lmdb_file *f = NULL;
    struct digest d;
    struct err e = {0};
    uint64_t bytes = 0;

    assert_int_equal(lmdb_file_open(help_path(path, *state, "none"), tables, 2, 0, NULL, &f, &e),
                     RC_IO);
    assert_says(e, "none'");
    err_clear(&e);
    help_write(*state, "text.lmdb", "this is not an LMDB file at all", 31);
    assert_int_equal(
        lmdb_file_open(help_path(path, *state, "text.lmdb"), tables, 2, 0, NULL, &f, &e),
        RC_CORRUPT);
    assert_says(e, "text.lmdb' is damaged or not an LMDB file: page 0");
    err_clear(&e);
    seal(*state, "x.lmdb", &d, &bytes);
    (void)help_path(path, *state, "x.lmdb");
    assert_int_equal(lmdb_file_open(path, others, 1, bytes, &d, &f, &e), RC_CORRUPT);
    assert_says(e, "has no table 'c'");
    err_clear(&e);
    d.b[5] ^= 1;
    assert_int_equal(lmdb_file_open(path, tables, 2, bytes, &d, &f, &e), RC_CORRUPT);
    assert_says(e, "its SHA-256 is");
    err_clear(&e);
    assert_int_equal(lmdb_file_open(path, tables, 2, bytes + 1, &d, &f, &e), RC_CORRUPT);
    assert_says(e, "were sealed");
    err_clear(&e);
    assert_int_equal(lmdb_file_create(help_path(path, *state, "no/such/folder"), tables, 2, &f, &e),
                     RC_IO);
    assert_says(e, "no/such/folder'");
}

static void a_store_opens_on_a_read_only_folder(void **state)
{
    char path[512];
    struct lmdb_file *f = NULL;
    struct digest d;
    struct err e = {0};
    uint64_t bytes = 0;

    seal(*state, "ro/x.lmdb", &d, &bytes);
    assert_int_equal(chmod(help_path(path, *state, "ro/x.lmdb"), 0400), 0);
    assert_int_equal(chmod(help_path(path, *state, "ro"), 0500), 0);
    assert_ok(lmdb_file_open(help_path(path, *state, "ro/x.lmdb"), tables, 2, bytes, &d, &f, &e),
              e);
    lmdb_file_close(f);
    assert_int_equal(chmod(help_path(path, *state, "ro"), 0700), 0);
}

static int setup_with_folder(void **state)
{
    char path[512];

    return help_setup(state) == 0 ? mkdir(help_path(path, *state, "ro"), 0700) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_sealed_is_read_back_in_order, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(equal_contents_give_equal_bytes, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_sealed_file_asks_for_a_map_of_its_own_size, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(the_first_to_seal_a_name_wins, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(committed_puts_outlive_the_writer, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_loses_nothing_committed, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(a_small_address_space_is_enough, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(wrong_files_are_named, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_store_opens_on_a_read_only_folder, setup_with_folder,
                                        help_teardown)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

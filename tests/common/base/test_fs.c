#include <dirent.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "tests/common/base/support.h"

static int count_entries(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;

    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    (void)closedir(d);
    return n - 2;
}

static char *folder(const char *name)
{
    static char path[512];
    struct err e = {0};

    (void)snprintf(path, sizeof path, "%s/%s", support_dir, name);
    support_ok(fs_mkdirs(path, &e), &e);
    return path;
}

static void folders_are_made_with_their_parents_and_may_be_there(void **state)
{
    struct err e = {0};

    (void)state;
    support_ok(fs_mkdirs(support_file("a/b//c/"), &e), &e);
    assert_true(fs_is_dir(support_file("a/b/c")));
    support_ok(fs_mkdirs(support_file("a/b/c"), &e), &e);
    support_ok(fs_mkdirs(".", &e), &e);
    support_ok(fs_mkdirs("/", &e), &e);
}

static void a_file_in_the_way_is_named(void **state)
{
    struct err e = {0};

    (void)state;
    support_write(support_file("way"), "", 0);
    support_expect(fs_mkdirs(support_file("way/b"), &e), RC_IO, &e, "/way': ");
    support_expect(fs_mkdirs("", &e), RC_IO, &e, "cannot make the folder ''");
}

static void a_file_is_replaced_whole(void **state)
{
    const char *dir = folder("whole");
    char path[600];
    struct err e = {0};

    (void)state;
    (void)snprintf(path, sizeof path, "%s/f", dir);
    support_ok(fs_write_atomic(path, "one", 3, &e), &e);
    support_ok(fs_write_atomic(path, "two and more", 12, &e), &e);
    assert_string_equal(support_read(path), "two and more");
    support_ok(fs_write_atomic(path, "", 0, &e), &e);
    assert_string_equal(support_read(path), "");
    assert_int_equal(count_entries(dir), 1);
}

static void a_full_disk_leaves_the_old_file_and_no_temporary(void **state)
{
    const char *dir = folder("full");
    char path[600];
    char *big = mem_calloc(1 << 20, 1);
    struct err e = {0};
    enum rc rc = RC_OK;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/f", dir);
    support_ok(fs_write_atomic(path, "old", 3, &e), &e);
    support_limit_files(4096);
    rc = fs_write_atomic(path, big, 1 << 20, &e);
    support_limit_files(0);
    support_expect(rc, RC_IO, &e, "/full/f': File too large");
    assert_string_equal(support_read(path), "old");
    assert_int_equal(count_entries(dir), 1);
    mem_free(big);
}

static void a_file_in_pieces_appears_at_its_commit(void **state)
{
    const char *dir = folder("pieces");
    char path[600];
    struct fs_file *f = NULL;
    struct err e = {0};

    (void)state;
    (void)snprintf(path, sizeof path, "%s/f", dir);
    support_ok(fs_file_create(path, &f, &e), &e);
    support_ok(fs_file_append(f, "one ", 4, &e), &e);
    assert_false(fs_exists(path));
    support_ok(fs_file_append(f, "two", 3, &e), &e);
    support_ok(fs_file_commit(f, &e), &e);
    assert_string_equal(support_read(path), "one two");
    assert_int_equal(count_entries(dir), 1);
}

static void a_discarded_file_leaves_nothing(void **state)
{
    const char *dir = folder("discarded");
    char path[600];
    struct fs_file *f = NULL;
    struct err e = {0};

    (void)state;
    (void)snprintf(path, sizeof path, "%s/f", dir);
    support_ok(fs_file_create(path, &f, &e), &e);
    support_ok(fs_file_append(f, "one", 3, &e), &e);
    fs_file_discard(f);
    fs_file_discard(NULL);
    assert_int_equal(count_entries(dir), 0);
}

static void a_missing_folder_is_an_error_that_names_the_file(void **state)
{
    struct err e = {0};

    (void)state;
    support_expect(fs_write_atomic(support_file("none/f"), "x", 1, &e), RC_IO, &e,
                   "none/f': No such file");
    support_expect(fs_sync_dir(support_file("none"), &e), RC_IO, &e, "none': No such file");
}

static void a_folder_cannot_be_replaced_by_a_file(void **state)
{
    const char *dir = folder("kept");
    struct err e = {0};

    (void)state;
    (void)folder("kept/inside");
    support_expect(fs_write_atomic(folder("kept"), "x", 1, &e), RC_IO, &e, "cannot replace '");
    assert_true(fs_is_dir(dir));
}

static void a_file_is_read_with_its_end(void **state)
{
    char *text = NULL;
    size_t bytes = 0;
    struct err e = {0};

    (void)state;
    support_write(support_file("r"), "a\0b", 3);
    support_ok(fs_read(support_file("r"), 3, &text, &bytes, &e), &e);
    assert_int_equal(bytes, 3);
    assert_memory_equal(text, "a\0b\0", 4);
    mem_free(text);
}

static void what_should_not_be_read_is_refused_at_once(void **state)
{
    char *text = NULL;
    size_t bytes = 0;
    struct err e = {0};

    (void)state;
    support_write(support_file("r"), "abcd", 4);
    support_expect(fs_read(support_file("r"), 3, &text, &bytes, &e), RC_INVAL, &e,
                   "has 4 bytes, more than the limit of 3");
    support_expect(fs_read(support_dir, 3, &text, &bytes, &e), RC_INVAL, &e,
                   "is not a regular file");
    support_expect(fs_read(support_file("absent"), 3, &text, &bytes, &e), RC_IO, &e,
                   "absent': No such file");
    assert_int_equal(mkfifo(support_file("fifo"), 0600), 0);
    support_expect(fs_read(support_file("fifo"), 3, &text, &bytes, &e), RC_INVAL, &e,
                   "is not a regular file");
    assert_null(text);
}

static void kinds_and_sizes_are_told(void **state)
{
    uint64_t bytes = 0;
    struct err e = {0};

    (void)state;
    support_write(support_file("five"), "12345", 5);
    assert_true(fs_exists(support_file("five")));
    assert_false(fs_is_dir(support_file("five")));
    assert_false(fs_exists(support_file("absent")));
    assert_int_equal(symlink("nowhere", support_file("dangling")), 0);
    assert_true(fs_exists(support_file("dangling")));
    support_ok(fs_size(support_file("five"), &bytes, &e), &e);
    assert_int_equal(bytes, 5);
    support_expect(fs_size(support_dir, &bytes, &e), RC_IO, &e, "no such regular file");
}

static void paths_are_joined_by_one_slash(void **state)
{
    char *a = fs_join("d", "n");
    char *b = fs_join("d/", "n");
    char *c = fs_join("", "n");

    (void)state;
    assert_string_equal(a, "d/n");
    assert_string_equal(b, "d/n");
    assert_string_equal(c, "n");
    mem_free(a);
    mem_free(b);
    mem_free(c);
}

static void a_sweep_takes_a_dead_writers_temporaries_alone(void **state)
{
    const char *dir = folder("sweep");

    (void)state;
    support_write(support_file("sweep/corpus.json"), "", 0);
    support_write(support_file("sweep/corpus.json.tmp.12"), "", 0);
    support_write(support_file("sweep/corpus.json.tmp.x.13"), "", 0);
    support_write(support_file("sweep/other.tmp.12"), "", 0);
    fs_sweep(dir, "corpus.json");
    assert_int_equal(count_entries(dir), 2);
    assert_true(fs_exists(support_file("sweep/corpus.json")));
    assert_true(fs_exists(support_file("sweep/other.tmp.12")));
    fs_sweep(support_file("absent"), "x");
}

static void temporaries_of_one_file_are_swept(void **state)
{
    const char *dir = folder("sweep-file");

    (void)state;
    support_write(support_file("sweep-file/s.json"), "", 0);
    support_write(support_file("sweep-file/s.json.tmp.12"), "", 0);
    support_write(support_file("sweep-file/s.json.more.tmp.12"), "", 0);
    fs_sweep_file(support_file("sweep-file/s.json"));
    assert_int_equal(count_entries(dir), 2);
    assert_true(fs_exists(support_file("sweep-file/s.json")));
    fs_sweep_file(support_file("absent/s.json"));
    fs_sweep_file("no-such-file-here");
}

static void a_held_folder_is_waited_for_and_then_refused(void **state)
{
    const char *dir = folder("held");
    struct err e = {0};
    int first = -1;
    int second = -1;
    double start = 0;

    (void)state;
    assert_int_equal(fs_lock_dir(dir, "train", 0, &first, &e), RC_OK);
    start = clock_now();
    assert_int_equal(fs_lock_dir(dir, "train", 0.2, &second, &e), RC_INVAL);
    assert_true(clock_now() - start >= 0.2);
    assert_non_null(strstr(e.msg, "another train is at work in '"));
    assert_int_equal(second, -1);
    assert_int_equal(close(first), 0);
    assert_int_equal(fs_lock_dir(dir, "train", 0, &second, &e), RC_OK);
    assert_int_equal(close(second), 0);
    err_clear(&e);
    assert_int_equal(fs_lock_dir(support_file("absent"), "train", 0, &first, &e), RC_IO);
}

static enum rc write_one(void *arg, struct err *e)
{
    return fs_write_atomic(arg, "x", 1, e);
}

static enum rc read_one(void *arg, struct err *e)
{
    char *text = NULL;
    size_t bytes = 0;
    enum rc rc = fs_read(arg, 100, &text, &bytes, e);

    mem_free(text);
    return rc;
}

static enum rc make_folder(void *arg, struct err *e)
{
    return fs_mkdirs(arg, e);
}

static void without_memory_it_says_so(void **state)
{
    char path[512];

    (void)state;
    (void)snprintf(path, sizeof path, "%s", support_file("m"));
    assert_true(support_fail_each(write_one, path) >= 2);
    assert_int_equal(support_fail_each(read_one, path), 1);
    assert_int_equal(support_fail_each(make_folder, support_dir), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_made_with_their_parents_and_may_be_there),
        cmocka_unit_test(a_file_in_the_way_is_named),
        cmocka_unit_test(a_file_is_replaced_whole),
        cmocka_unit_test(a_full_disk_leaves_the_old_file_and_no_temporary),
        cmocka_unit_test(a_file_in_pieces_appears_at_its_commit),
        cmocka_unit_test(a_discarded_file_leaves_nothing),
        cmocka_unit_test(a_missing_folder_is_an_error_that_names_the_file),
        cmocka_unit_test(a_folder_cannot_be_replaced_by_a_file),
        cmocka_unit_test(a_file_is_read_with_its_end),
        cmocka_unit_test(what_should_not_be_read_is_refused_at_once),
        cmocka_unit_test(kinds_and_sizes_are_told),
        cmocka_unit_test(paths_are_joined_by_one_slash),
        cmocka_unit_test(a_sweep_takes_a_dead_writers_temporaries_alone),
        cmocka_unit_test(temporaries_of_one_file_are_swept),
        cmocka_unit_test(a_held_folder_is_waited_for_and_then_refused),
        cmocka_unit_test(without_memory_it_says_so),
    };

    return cmocka_run_group_tests(tests, support_enter, support_leave);
}

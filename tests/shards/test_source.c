#include "tests/shards/help_archive.h"

#include "shards/source.h"

/* A walk as text: one line an event. */
struct story {
    char text[1 << 16];
    size_t n;
    size_t root; /* bytes of the folder's name that lines leave out */
    bool names_only;
    unsigned looked; /* images that were looked at ahead */
};

static void tell(struct story *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct story *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    s->n += (size_t)vsnprintf(s->text + s->n, sizeof s->text - s->n, fmt, ap);
    va_end(ap);
    assert_true(s->n < sizeof s->text);
}

static enum rc on_known(void *ctx, const struct source_image *image, enum source_known *known,
                        struct err *e)
{
    (void)ctx;
    (void)e;
    assert_non_null(image->path);
    *known = SOURCE_UNKNOWN;
    return RC_OK;
}

static enum rc on_want(void *ctx, const struct source_image *image, bool *want, struct err *e)
{
    struct story *s = ctx;

    (void)e;
    *want = true;
    if (s->names_only) {
        tell(s, "%s|%s\n", image->inside, image->cls != NULL ? image->cls : "-");
    }
    return RC_OK;
}

static enum rc on_image(void *ctx, const struct source_image *image, struct err *e)
{
    struct story *s = ctx;
    unsigned char pgm[128];
    unsigned n = 0;

    (void)e;
    if (image->look != NULL) {
        struct key128 key;

        hash_key(image->data, image->bytes, &key);
        assert_memory_equal(&image->look->key, &key, sizeof key);
        s->looked++;
    }
    while (n < 100 &&
           (help_pgm(n, pgm) != image->bytes || memcmp(pgm, image->data, image->bytes))) {
        n++;
    }
    tell(s, "%s|%s%s|%s|%d\n", image->inside, image->cls != NULL ? image->cls : "-",
         image->numeric ? "#" : "", image->container + s->root, n < 100 ? (int)n : -1);
    return RC_OK;
}

static enum rc on_bad(void *ctx, const struct source_image *image, const char *reason,
                      const char *detail, struct err *e)
{
    struct story *s = ctx;

    (void)e;
    assert_non_null(detail);
    tell(s, "bad %s: %s\n", image->inside, reason);
    return RC_OK;
}

static enum rc on_done(void *ctx, const char *path, uint64_t bytes, int64_t mtime_ns, struct err *e)
{
    struct story *s = ctx;

    (void)e;
    assert_true(bytes > 0 && mtime_ns > 0);
    tell(s, "done %s\n", path + s->root);
    return RC_OK;
}

static void on_look(void *ctx, int thread, const void *data, size_t bytes, struct source_look *out)
{
    (void)ctx;
    assert_true(thread >= 0 && thread < 3);
    hash_key(data, bytes, &out->key);
}

static enum rc walk_ahead(struct story *s, const char *root, const char *const names[], int n,
                          int ahead, struct err *e)
{
    const struct source_visitor v = {.ctx = s,
                                     .known = on_known,
                                     .want = on_want,
                                     .image = on_image,
                                     .bad = on_bad,
                                     .done = on_done,
                                     .look = on_look,
                                     .ahead = ahead};
    char paths[4][512];
    const char *list[4];

    for (int i = 0; i < n; i++) {
        list[i] = help_path(paths[i], root, names[i]);
    }
    s->n = 0;
    s->text[0] = '\0';
    s->root = strlen(root) + 1;
    return source_walk(list, n, s->names_only, &v, e);
}

/* Read when they are met, and ahead by one thread and by three: it is the same story. */
static enum rc walk(struct story *s, const char *root, const char *const names[], int n,
                    struct err *e)
{
    static struct story alone;
    enum rc rc = RC_OK;

    for (int ahead = 0; ahead <= 3; ahead += ahead + 1) {
        const struct story before = *s;

        err_clear(e);
        rc = walk_ahead(s, root, names, n, ahead, e);
        if (ahead > 0) {
            assert_string_equal(s->text, alone.text);
        }
        alone = *s;
        if (ahead < 3) {
            *s = before;
        }
    }
    return rc;
}

/* The whole story of one source. */
static void tells(void **state, const char *name, const char *expected)
{
    static struct story s;
    struct err e = {0};

    assert_ok(walk(&s, *state, &name, 1, &e), e);
    assert_string_equal(s.text, expected);
}

static void write_pgm(const char *dir, const char *name, unsigned n)
{
    unsigned char data[128];

    help_write(dir, name, data, help_pgm(n, data));
}

static void class_folders_are_visited_in_turn(void **state)
{
    write_pgm(*state, "d/cat/2.pgm", 2);
    write_pgm(*state, "d/cat/1.pgm", 1);
    write_pgm(*state, "d/cat/3.pgm", 3);
    write_pgm(*state, "d/ant/x.pgm", 4);
    write_pgm(*state, "d/ant/deep/y.pgm", 5);
    write_pgm(*state, "d/root.pgm", 6);
    write_pgm(*state, "d/.hidden/z.pgm", 7);
    write_pgm(*state, "d/cat/.DS_Store", 8);
    tells(state, "d",
          "root.pgm|-|d|6\nant/x.pgm|ant|d|4\nant/deep/y.pgm|deep|d|5\ncat/1.pgm|cat|d|1\n"
          "cat/2.pgm|cat|d|2\ncat/3.pgm|cat|d|3\n");
}

static void files_are_met_in_order_whoever_reads_them(void **state)
{
    static const char *const names[] = {"d"};
    static char big[3 << 19]; /* more than is read ahead */
    static struct story s;
    struct err e = {0};

    for (unsigned i = 0; i < 500; i++) {
        char name[32];
        char path[512];

        (void)snprintf(name, sizeof name, "d/%03u", i);
        if (i % 100 == 7) {
            help_write(*state, name, big, sizeof big);
        } else if (i % 50 != 9) {
            write_pgm(*state, name, i % 100);
        } else {
            assert_int_equal(symlink("nowhere", help_path(path, *state, name)), 0);
        }
    }
    assert_ok(walk(&s, *state, names, 1, &e), e); /* compares the stories */
    assert_int_equal(s.looked, 500 - 5 - 10);
    assert_non_null(strstr(s.text, "006|-|d|6\n007|-|d|-1\n008|-|d|8\nbad 009: unreadable\n010"));
}

static void links_and_special_files_do_no_harm(void **state)
{
    char path[512];

    write_pgm(*state, "d/a/1.pgm", 1);
    assert_int_equal(symlink("..", help_path(path, *state, "d/a/loop")), 0);
    assert_int_equal(symlink("1.pgm", help_path(path, *state, "d/a/2.pgm")), 0);
    assert_int_equal(symlink("nowhere", help_path(path, *state, "d/a/3.pgm")), 0);
    assert_int_equal(mkfifo(help_path(path, *state, "d/a/4.pgm"), 0600), 0);
    help_write(*state, "d/a/5.pgm", "", 0);
    help_write(*state, "d/a/\xff\xfe.pgm", "x", 1);
    tells(state, "d",
          "a/1.pgm|a|d|1\na/2.pgm|a|d|1\nbad a/3.pgm: unreadable\nbad a/4.pgm: not-a-file\n"
          "a/5.pgm|a|d|-1\na/\xff\xfe.pgm|a|d|-1\n");
}

static void archives_of_all_kinds_tell_the_same(void **state)
{
    static const struct {
        const char *name;
        int filter;
        bool zip;
    } kinds[] = {{"a.tar", ARCHIVE_FILTER_NONE, false},      {"a.tgz", ARCHIVE_FILTER_GZIP, false},
                 {"a.tzst", ARCHIVE_FILTER_ZSTD, false},     {"a.xz", ARCHIVE_FILTER_XZ, false},
                 {"named.jpg", ARCHIVE_FILTER_BZIP2, false}, {"a.zip", ARCHIVE_FILTER_NONE, true}};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char path[512];
        char expected[512];
        const char *name = kinds[i].name;
        struct archive *a =
            help_archive(help_path(path, *state, name), kinds[i].filter, kinds[i].zip);

        help_archive_pgm(a, "top.pgm", 1);
        help_archive_pgm(a, "x/cat/1.pgm", 2);
        help_archive_pgm(a, "x/cat/._1.pgm", 3);
        help_archive_pgm(a, "x/ant/1.pgm", 4);
        help_archive_add(a, "x/ant/0.pgm", "", 0, AE_IFREG);
        help_archive_end(a);
        (void)snprintf(expected, sizeof expected,
                       "top.pgm|-|%s|1\nx/cat/1.pgm|cat|%s|2\nx/ant/1.pgm|ant|%s|4\n"
                       "x/ant/0.pgm|ant|%s|-1\ndone %s\n",
                       name, name, name, name, name);
        tells(state, name, expected);
    }
}

static void a_webdataset_sample_has_its_class_beside_it(void **state)
{
    char path[512];
    struct archive *a = help_archive(help_path(path, *state, "w.tar"), ARCHIVE_FILTER_NONE, false);

    help_archive_add(a, "00/a.cls", "3\n", 2, AE_IFREG);
    help_archive_pgm(a, "00/a.jpg", 1);
    help_archive_add(a, "00/a.txt", "a caption", 9, AE_IFREG);
    help_archive_pgm(a, "00/b.jpg", 2);
    help_archive_add(a, "00/b.json", "{\"label\": 12, \"x\": 1}", 21, AE_IFREG);
    help_archive_pgm(a, "00/c.jpg", 3);
    help_archive_add(a, "00/c.json", "{\"class\": \"cat\"}", 16, AE_IFREG);
    help_archive_pgm(a, "00/d.left.png", 4);
    help_archive_pgm(a, "00/d.right.png", 5);
    help_archive_add(a, "00/d.cls", "dog", 3, AE_IFREG);
    help_archive_add(a, "00/e.json", "not JSON", 8, AE_IFREG);
    help_archive_pgm(a, "00/e.jpg", 6);
    help_archive_end(a);
    tells(
        state, "w.tar",
        "00/a.jpg|3#|w.tar|1\n00/b.jpg|12#|w.tar|2\n00/c.jpg|cat|w.tar|3\n"
        "00/d.left.png|dog|w.tar|4\n00/d.right.png|dog|w.tar|5\n00/e.jpg|00|w.tar|6\ndone w.tar\n");
}

/* An archive of class archives, as ImageNet comes, and one level too many. */
static void nested_archives_are_walked_to_a_depth(void **state)
{
    char path[512];
    char *inner = NULL;
    size_t bytes = 0;
    struct err e = {0};

    for (int level = 0; level < 4; level++) {
        char name[32];
        struct archive *a = NULL;

        (void)snprintf(name, sizeof name, "n%d.tar", level);
        a = help_archive(help_path(path, *state, name),
                         level == 1 ? ARCHIVE_FILTER_GZIP : ARCHIVE_FILTER_NONE, false);
        help_archive_pgm(a, "1.pgm", (unsigned)level);
        if (level > 0) {
            (void)snprintf(name, sizeof name, "cls%d.tar", level - 1);
            help_archive_add(a, name, inner, bytes, AE_IFREG);
            help_archive_pgm(a, "2.pgm", 10 + (unsigned)level);
        }
        help_archive_end(a);
        free(inner);
        assert_ok(fs_read(path, 1 << 20, &inner, &bytes, &e), e);
    }
    free(inner);
    tells(state, "n2.tar",
          "1.pgm|-|n2.tar|2\ncls1.tar!1.pgm|cls1|n2.tar|1\ncls1.tar!cls0.tar!1.pgm|cls0|n2.tar|0\n"
          "cls1.tar!2.pgm|cls1|n2.tar|11\n2.pgm|-|n2.tar|12\ndone n2.tar\n");
    tells(state, "n3.tar",
          "1.pgm|-|n3.tar|3\ncls2.tar!1.pgm|cls2|n3.tar|2\ncls2.tar!cls1.tar!1.pgm|cls1|n3.tar|1\n"
          "bad cls2.tar!cls1.tar!cls0.tar: nested-too-deep\n"
          "cls2.tar!cls1.tar!2.pgm|cls1|n3.tar|11\ncls2.tar!2.pgm|cls2|n3.tar|12\n"
          "2.pgm|-|n3.tar|13\ndone n3.tar\n");
}

static void names_in_any_encoding_come_through(void **state)
{
    char path[512];
    struct archive *a = help_archive(help_path(path, *state, "n.tar"), ARCHIVE_FILTER_NONE, false);

    help_archive_pgm(a, "caf\xe9/im\xff.pgm", 1);
    help_archive_pgm(a, "caf\xc3\xa9/2.pgm", 2);
    help_archive_end(a);
    tells(
        state, "n.tar",
        "caf\xe9/im\xff.pgm|caf\xe9|n.tar|1\ncaf\xc3\xa9/2.pgm|caf\xc3\xa9|n.tar|2\ndone n.tar\n");
}

static enum rc refuse(void *ctx, const struct source_image *image, bool *want, struct err *e)
{
    (void)ctx;
    (void)want;
    return err_raise(e, RC_INVAL, "no '%s' today", image->inside);
}

/* It is not taken for a fault of the member that is read when the one before is handed over. */
static void an_error_of_the_visitor_ends_the_walk(void **state)
{
    static struct story s;
    const struct source_visitor v = {.ctx = &s,
                                     .known = on_known,
                                     .want = refuse,
                                     .image = on_image,
                                     .bad = on_bad,
                                     .done = on_done};
    char path[512];
    const char *list[] = {path};
    struct archive *a = help_archive(help_path(path, *state, "a.tar"), ARCHIVE_FILTER_NONE, false);
    struct err e = {0};

    help_archive_pgm(a, "cat/1.pgm", 1);
    help_archive_pgm(a, "cat/2.pgm", 2);
    help_archive_end(a);
    s.n = 0;
    assert_int_equal(source_walk(list, 1, false, &v, &e), RC_INVAL);
    assert_string_equal(e.msg, "no 'cat/1.pgm' today");
    assert_int_equal(s.n, 0);
}

static void a_broken_archive_gives_what_stands_before(void **state)
{
    char path[512];
    struct archive *a = help_archive(help_path(path, *state, "b.tar"), ARCHIVE_FILTER_NONE, false);

    help_archive_pgm(a, "a/1.pgm", 1);
    help_archive_pgm(a, "a/2.pgm", 2);
    help_archive_add(a, "a/link", NULL, 0, AE_IFLNK);
    help_archive_pgm(a, "a/3.pgm", 3);
    help_archive_end(a);
    assert_int_equal(truncate(path, 2 * 1024 + 512 + 512 + 20), 0);
    tells(state, "b.tar",
          "a/1.pgm|a|b.tar|1\nbad a/link: not-a-file\nbad a/3.pgm: broken-archive\n"
          "bad : broken-archive\na/2.pgm|a|b.tar|2\ndone b.tar\n");
}

static void write_idx(const char *dir, const char *name, const unsigned char *head, size_t bytes,
                      size_t zeros)
{
    unsigned char data[256] = {0};

    assert_true(bytes + zeros <= sizeof data);
    memcpy(data, head, bytes);
    for (size_t i = 0; i < zeros; i++) {
        data[bytes + i] = (unsigned char)i;
    }
    help_write(dir, name, data, bytes + zeros);
}

static const unsigned char idx_images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4};
static const unsigned char idx_labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 7, 9};

static void an_idx_pair_gives_numbered_images_with_labels(void **state)
{
    static const char *const pair[] = {"images.idx", "labels.idx"};
    static struct story s;
    struct err e = {0};

    write_idx(*state, pair[0], idx_images, sizeof idx_images, 24);
    write_idx(*state, pair[1], idx_labels, sizeof idx_labels, 0);
    assert_ok(walk(&s, *state, pair, 2, &e), e);
    assert_string_equal(s.text, "0|7#|images.idx|-1\n1|9#|images.idx|-1\ndone images.idx\n");
    assert_ok(walk(&s, *state, pair, 1, &e), e);
    assert_string_equal(s.text, "0|-|images.idx|-1\n1|-|images.idx|-1\ndone images.idx\n");
}

static void unfit_idx_files_are_refused_with_a_sentence(void **state)
{
    static const char *const pair[] = {"images.idx", "labels.idx"};
    static struct story s;
    unsigned char head[sizeof idx_labels];
    struct err e = {0};

    write_idx(*state, pair[0], idx_images, sizeof idx_images, 23);
    assert_int_equal(walk(&s, *state, pair, 1, &e), RC_INVAL);
    assert_says(e, "images.idx' ends too early");
    err_clear(&e);
    write_idx(*state, pair[0], idx_images, sizeof idx_images, 24);
    memcpy(head, idx_labels, sizeof head);
    head[7] = 1;
    write_idx(*state, pair[1], head, sizeof head, 0);
    assert_int_equal(walk(&s, *state, pair, 2, &e), RC_INVAL);
    assert_says(e, "holds 2 images, but");
    assert_says(e, "holds 1 labels");
    err_clear(&e);
    assert_int_equal(walk(&s, *state, pair + 1, 1, &e), RC_INVAL);
    assert_says(e, "name it right after the IDX file of its images");
}

static void lists_name_files_and_classes(void **state)
{
    write_pgm(*state, "i/a, b.pgm", 1);
    write_pgm(*state, "i/c.pgm", 2);
    help_text(*state, "l.csv", "class,path,n\r\n3,\"i/a, b.pgm\",0\ncat,i/c.pgm,0\n");
    tells(state, "l.csv", "i/a, b.pgm|3#|l.csv|1\ni/c.pgm|cat|l.csv|2\n");
    help_text(*state, "l.jsonl",
              "{\"path\": \"i/c.pgm\", \"label\": 4}\n{\"file\": \"i/c.pgm\"}\n");
    tells(state, "l.jsonl", "i/c.pgm|4#|l.jsonl|2\ni/c.pgm|-|l.jsonl|2\n");
    help_text(*state, "l.txt", "# all\ni/c.pgm\tdog\n\ni/gone.pgm\n");
    tells(state, "l.txt", "i/c.pgm|dog|l.txt|2\nbad i/gone.pgm: unreadable\n");
}

static void lists_that_are_not_understood_name_the_line(void **state)
{
    static const struct {
        const char *name, *text, *says;
    } wrong[] = {
        {"l.csv", "name,class\nx,y\n", "line 1: expected a header with a column 'path'"},
        {"l.csv", "path,class\nx\n", "line 2: columns are missing"},
        {"l.csv", "path\n\"x\n", "line 2: a quote is not closed"},
        {"l.jsonl", "{\"path\": \"x\"\n", "line 1: expected a JSON object with a text 'path'"},
        {"l.jsonl", "{\"path\": \"x\", \"class\": 1.5}\n", "line 1: the class is neither"}};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        static struct story s;
        struct err e = {0};

        help_text(*state, wrong[i].name, wrong[i].text);
        assert_int_equal(walk(&s, *state, &wrong[i].name, 1, &e), RC_INVAL);
        assert_says(e, wrong[i].says);
    }
}

static void names_alone_are_walked_without_data(void **state)
{
    static const char *const names[] = {"d", "a.tar"};
    static struct story s = {.names_only = true};
    char path[512];
    struct archive *a = help_archive(help_path(path, *state, "a.tar"), ARCHIVE_FILTER_NONE, false);
    struct err e = {0};

    help_archive_pgm(a, "cat/1.pgm", 2);
    help_archive_end(a);
    write_pgm(*state, "d/ant/1.pgm", 1);
    assert_ok(walk(&s, *state, names, 2, &e), e);
    assert_string_equal(s.text, "ant/1.pgm|ant\ncat/1.pgm|cat\n");
}

static void a_missing_source_is_named(void **state)
{
    static const char *const none = "none";
    static struct story s;
    struct err e = {0};

    assert_int_equal(walk(&s, *state, &none, 1, &e), RC_IO);
    assert_says(e, "none': No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(class_folders_are_visited_in_turn, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(files_are_met_in_order_whoever_reads_them, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(links_and_special_files_do_no_harm, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(archives_of_all_kinds_tell_the_same, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(a_webdataset_sample_has_its_class_beside_it, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(nested_archives_are_walked_to_a_depth, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(names_in_any_encoding_come_through, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(an_error_of_the_visitor_ends_the_walk, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(a_broken_archive_gives_what_stands_before, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(an_idx_pair_gives_numbered_images_with_labels, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(unfit_idx_files_are_refused_with_a_sentence, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(lists_name_files_and_classes, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(lists_that_are_not_understood_name_the_line, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(names_alone_are_walked_without_data, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(a_missing_source_is_named, help_setup, help_teardown)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "common/base/json.h"
#include "tests/common/base/support.h"

static enum rc read_text(const char *text, size_t bytes, json_t **out, struct err *e)
{
    support_write(support_file("j.json"), text, bytes);
    return json_read(support_file("j.json"), out, e);
}

static void what_is_written_reads_back(void **state)
{
    json_t *root = json_pack("{s:i, s:f, s:s, s:[i, i]}", "b", 2, "a", 0.1, "c", "x\"y", "d", 1, 2);
    json_t *back = NULL;
    struct err e = {0};

    (void)state;
    support_ok(json_write(support_file("w.json"), root, &e), &e);
    support_ok(json_read(support_file("w.json"), &back, &e), &e);
    assert_true(json_equal(root, back));
    json_decref(root);
    json_decref(back);
}

static void files_are_sorted_indented_and_end_in_a_newline(void **state)
{
    json_t *root = json_pack("{s:i, s:i}", "b", 2, "a", 1);
    struct err e = {0};

    (void)state;
    support_ok(json_write(support_file("w.json"), root, &e), &e);
    assert_string_equal(support_read(support_file("w.json")), "{\n  \"a\": 1,\n  \"b\": 2\n}\n");
    json_decref(root);
}

static void a_full_disk_leaves_the_old_file(void **state)
{
    json_t *root = json_object();
    struct err e = {0};
    enum rc rc = RC_OK;

    (void)state;
    support_ok(json_write(support_file("w.json"), root, &e), &e);
    for (int i = 0; i < 1000; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "k%d", i);
        assert_int_equal(json_object_set_new(root, name, json_integer(i)), 0);
    }
    support_limit_files(1024);
    rc = json_write(support_file("w.json"), root, &e);
    support_limit_files(0);
    support_expect(rc, RC_IO, &e, "/w.json': ");
    assert_string_equal(support_read(support_file("w.json")), "{}\n");
    json_decref(root);
}

static void what_is_not_json_names_file_line_and_reason(void **state)
{
    json_t *root = NULL;
    struct err e = {0};

    (void)state;
    support_expect(read_text("{\n\"a\": }", 8, &root, &e), RC_CORRUPT, &e,
                   "/j.json' line 2: not JSON: ");
    support_expect(read_text("", 0, &root, &e), RC_CORRUPT, &e, "not JSON");
    support_expect(read_text("{} x", 4, &root, &e), RC_CORRUPT, &e,
                   "not JSON: end of file expected");
    support_expect(read_text("{\"a\":1,\"a\":2}", 13, &root, &e), RC_CORRUPT, &e, "duplicate");
    support_expect(read_text("\"\xff\"", 3, &root, &e), RC_CORRUPT, &e, "not JSON");
    support_expect(json_read(support_file("absent"), &root, &e), RC_IO, &e,
                   "absent': No such file");
    assert_null(root);
}

static void endless_nesting_is_refused(void **state)
{
    enum { N = 1000000 };
    char *text = mem_calloc(N, 1);
    json_t *root = NULL;
    struct err e = {0};

    (void)state;
    memset(text, '[', N);
    support_expect(read_text(text, N, &root, &e), RC_CORRUPT, &e,
                   "not JSON: maximum parsing depth");
    mem_free(text);
}

static void members_have_their_types(void **state)
{
    static const char hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    json_t *root = json_pack("{s:s, s:I, s:f, s:s}", "s", "text", "i", (json_int_t)1 << 40, "f",
                             0.5, "d", hex);
    const char *s = NULL;
    int64_t i = 0;
    double f = 0;
    struct digest d;
    struct err e = {0};

    (void)state;
    support_ok(json_get_string(root, "p", "s", &s, &e), &e);
    assert_string_equal(s, "text");
    support_ok(json_get_int(root, "p", "i", &i, &e), &e);
    assert_true(i == (int64_t)1 << 40);
    support_ok(json_get_number(root, "p", "f", &f, &e), &e);
    assert_true(f > 0.4 && f < 0.6);
    support_ok(json_get_number(root, "p", "i", &f, &e), &e);
    assert_true(f > 1e12);
    support_ok(json_get_digest(root, "p", "d", &d, &e), &e);
    assert_int_equal(d.b[31], 0xad);
    json_decref(root);
}

static void a_missing_or_wrong_member_is_named(void **state)
{
    json_t *root = json_pack("{s:s, s:f, s:s#}", "s", "text", "f", 0.5, "z", "a\0b", 3);
    const char *s = "kept";
    int64_t i = 7;
    double f = 7;
    struct digest d;
    struct err e = {0};

    (void)state;
    support_expect(json_get_int(root, "p.json", "n", &i, &e), RC_CORRUPT, &e,
                   "'p.json': the member 'n' is missing: expected a whole number");
    support_expect(json_get_int(root, "p.json", "f", &i, &e), RC_CORRUPT, &e,
                   "'p.json': the member 'f' is not a whole number");
    support_expect(json_get_string(root, "p", "f", &s, &e), RC_CORRUPT, &e, "'f' is not a text");
    support_expect(json_get_string(root, "p", "z", &s, &e), RC_CORRUPT, &e, "'z' is not a text");
    support_expect(json_get_number(root, "p", "s", &f, &e), RC_CORRUPT, &e, "'s' is not a number");
    support_expect(json_get_digest(root, "p", "s", &d, &e), RC_CORRUPT, &e,
                   "'s' is not a digest of 64 hex digits");
    support_expect(json_get_string(NULL, "p", "s", &s, &e), RC_CORRUPT, &e, "'s' is missing");
    assert_string_equal(s, "kept");
    assert_int_equal(i, 7);
    json_decref(root);
}

static enum rc write_one(void *arg, struct err *e)
{
    json_t *root = json_object();
    enum rc rc = json_write(arg, root, e);

    json_decref(root);
    return rc;
}

static void without_memory_it_says_so(void **state)
{
    char path[512];

    (void)state;
    (void)snprintf(path, sizeof path, "%s", support_file("m.json"));
    assert_true(support_fail_each(write_one, path) >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(files_are_sorted_indented_and_end_in_a_newline),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(what_is_not_json_names_file_line_and_reason),
        cmocka_unit_test(endless_nesting_is_refused),
        cmocka_unit_test(members_have_their_types),
        cmocka_unit_test(a_missing_or_wrong_member_is_named),
        cmocka_unit_test(without_memory_it_says_so),
    };

    return cmocka_run_group_tests(tests, support_enter, support_leave);
}

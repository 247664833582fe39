#include <math.h>

#include "common/base/json.h"
#include "common/base/metrics.h"
#include "tests/common/base/support.h"

static struct metrics *m;
static struct err e;

static const char *path(void)
{
    return support_file("metrics.jsonl");
}

static int enter(void **state)
{
    (void)state;
    m = NULL;
    err_clear(&e);
    (void)unlink(path());
    return 0;
}

static int leave(void **state)
{
    (void)state;
    metrics_close(m);
    return 0;
}

static void reopen(int64_t keep_below)
{
    metrics_close(m);
    m = NULL;
    support_ok(metrics_open(path(), keep_below, &m, &e), &e);
}

static void line(int64_t step, double loss)
{
    metrics_begin(m, step);
    metrics_number(m, "loss", loss);
    support_ok(metrics_end(m, &e), &e);
}

static void a_line_is_one_json_object(void **state)
{
    json_t *root = NULL;
    double third = 0;
    const char *s = NULL;

    (void)state;
    reopen(-1);
    metrics_begin(m, 12);
    metrics_number(m, "third", 1.0 / 3);
    metrics_number(m, "images", 130000000);
    metrics_number(m, "nan", (double)NAN);
    metrics_string(m, "text", "a \"b\" \\ \n\x01 \xc3\xa9");
    metrics_string(m, "bytes", "\xff");
    support_ok(metrics_end(m, &e), &e);
    support_ok(json_read(path(), &root, &e), &e);
    support_ok(json_get_number(root, "p", "third", &third, &e), &e);
    assert_true(third >= 1.0 / 3 && third <= 1.0 / 3);
    support_ok(json_get_string(root, "p", "text", &s, &e), &e);
    assert_string_equal(s, "a \"b\" \\ \n\x01 \xc3\xa9");
    support_ok(json_get_string(root, "p", "bytes", &s, &e), &e);
    assert_string_equal(s, "\xc3\xbf");
    assert_true(json_is_null(json_object_get(root, "nan")));
    json_decref(root);
    assert_non_null(strstr(support_read(path()), "{\"step\": 12, \"third\": 0.33333333333333331, "
                                                 "\"images\": 130000000, \"nan\": null, "));
}

static void lines_are_there_as_soon_as_they_end(void **state)
{
    (void)state;
    reopen(-1);
    line(1, 0.5);
    line(2, 0.25);
    assert_string_equal(support_read(path()),
                        "{\"step\": 1, \"loss\": 0.5}\n{\"step\": 2, \"loss\": 0.25}\n");
}

static void a_second_run_appends(void **state)
{
    (void)state;
    reopen(-1);
    line(1, 1);
    reopen(-1);
    line(2, 2);
    assert_string_equal(support_read(path()),
                        "{\"step\": 1, \"loss\": 1}\n{\"step\": 2, \"loss\": 2}\n");
}

static void a_torn_last_line_is_cut_off(void **state)
{
    static const char torn[] = "{\"step\": 1, \"loss\": 1}\n{\"step\": 2, \"lo";

    (void)state;
    support_write(path(), torn, sizeof torn - 1);
    reopen(-1);
    line(2, 2);
    assert_string_equal(support_read(path()),
                        "{\"step\": 1, \"loss\": 1}\n{\"step\": 2, \"loss\": 2}\n");
    support_write(path(), torn, 5);
    reopen(-1);
    assert_string_equal(support_read(path()), "");
}

static void a_resume_drops_the_steps_that_will_be_done_again(void **state)
{
    (void)state;
    reopen(-1);
    line(8, 1);
    line(9, 1);
    line(10, 1);
    line(100, 1);
    line(9, 2);
    reopen(10);
    line(10, 3);
    assert_string_equal(support_read(path()),
                        "{\"step\": 8, \"loss\": 1}\n{\"step\": 9, \"loss\": 1}\n"
                        "{\"step\": 9, \"loss\": 2}\n{\"step\": 10, \"loss\": 3}\n");
    reopen(0);
    assert_string_equal(support_read(path()), "");
}

static void a_line_too_long_is_refused_and_the_next_is_fine(void **state)
{
    char *text = mem_calloc(20000, 1);

    (void)state;
    memset(text, 'x', 19999);
    reopen(-1);
    metrics_begin(m, 3);
    metrics_string(m, "text", text);
    support_expect(metrics_end(m, &e), RC_INVAL, &e,
                   "the line of step 3 is longer than 16384 bytes");
    line(4, 1);
    assert_string_equal(support_read(path()), "{\"step\": 4, \"loss\": 1}\n");
    mem_free(text);
}

static void a_full_disk_leaves_whole_lines(void **state)
{
    char text[200];
    enum rc rc = RC_OK;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    reopen(-1);
    line(1, 1);
    metrics_begin(m, 2);
    metrics_string(m, "text", text);
    support_limit_files(100);
    rc = metrics_end(m, &e);
    support_limit_files(0);
    support_expect(rc, RC_IO, &e, "cannot write '");
    assert_string_equal(support_read(path()), "{\"step\": 1, \"loss\": 1}\n");
    line(3, 1);
    assert_string_equal(support_read(path()),
                        "{\"step\": 1, \"loss\": 1}\n{\"step\": 3, \"loss\": 1}\n");
}

static void a_file_that_cannot_be_opened_is_named(void **state)
{
    (void)state;
    support_expect(metrics_open(support_file("none/m.jsonl"), -1, &m, &e), RC_IO, &e,
                   "none/m.jsonl': No such file");
    support_expect(metrics_open(support_dir, -1, &m, &e), RC_INVAL, &e, "not a regular file");
    assert_null(m);
}

static void a_step_allocates_nothing(void **state)
{
    uint64_t before = 0;

    (void)state;
    reopen(-1);
    before = mem_count();
    for (int i = 0; i < 100; i++) {
        line(i, 0.1 * i);
    }
    assert_int_equal(mem_count(), before);
}

static enum rc open_and_close(void *arg, struct err *why)
{
    struct metrics *other = NULL;
    enum rc rc = RC_OK;

    support_write(arg, "{\"step\": 1}\n{\"st", 16);
    rc = metrics_open(arg, -1, &other, why);
    metrics_close(other);
    return rc;
}

static void without_memory_it_says_so(void **state)
{
    char other[512];

    (void)state;
    (void)snprintf(other, sizeof other, "%s", support_file("m.jsonl"));
    assert_true(support_fail_each(open_and_close, other) >= 5);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_line_is_one_json_object),
        CASE(lines_are_there_as_soon_as_they_end),
        CASE(a_second_run_appends),
        CASE(a_torn_last_line_is_cut_off),
        CASE(a_resume_drops_the_steps_that_will_be_done_again),
        CASE(a_line_too_long_is_refused_and_the_next_is_fine),
        CASE(a_full_disk_leaves_whole_lines),
        CASE(a_file_that_cannot_be_opened_is_named),
        CASE(a_step_allocates_nothing),
        CASE(without_memory_it_says_so),
    };

    return cmocka_run_group_tests(tests, support_enter, support_leave);
}

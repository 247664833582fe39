#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/trace.h"
#include "tests/common/base/support.h"

static const char *path(void)
{
    return support_file("trace.json");
}

/* The events of the finished trace. */
static json_t *events(json_t **root)
{
    struct err e = {0};

    support_ok(json_read(path(), root, &e), &e);
    return json_object_get(*root, "traceEvents");
}

static const char *text(const json_t *event, const char *name)
{
    return json_string_value(json_object_get(event, name));
}

static void spans_are_complete_events_with_their_times(void **state)
{
    struct trace *t = NULL;
    json_t *root = NULL;
    const json_t *list = NULL;
    const json_t *one = NULL;
    struct err e = {0};
    double start = 0;

    (void)state;
    support_ok(trace_open(path(), 2, &t, &e), &e);
    start = clock_now();
    while (clock_now() - start < 0.002) {
    }
    trace_span(t, "wait", "input", NULL, start);
    trace_span(t, "convolution", "a \"conv\"", "conv 3x3", start);
    support_ok(trace_close(t, &e), &e);
    list = events(&root);
    assert_int_equal(json_array_size(list), 2);
    one = json_array_get(list, 0);
    assert_string_equal(text(one, "ph"), "X");
    assert_string_equal(text(one, "cat"), "wait");
    assert_string_equal(text(one, "name"), "input");
    assert_true(json_number_value(json_object_get(one, "ts")) >= 0);
    assert_true(json_number_value(json_object_get(one, "dur")) >= 2000);
    assert_null(json_object_get(one, "args"));
    one = json_array_get(list, 1);
    assert_string_equal(text(one, "name"), "a \"conv\"");
    assert_string_equal(text(json_object_get(one, "args"), "detail"), "conv 3x3");
    json_decref(root);
}

static void only_the_first_steps_are_recorded(void **state)
{
    struct trace *t = NULL;
    json_t *root = NULL;
    struct err e = {0};

    (void)state;
    support_ok(trace_open(path(), 2, &t, &e), &e);
    for (int i = 0; i < 5; i++) {
        const double start = clock_now();

        assert_int_equal(trace_on(t), i < 2);
        trace_span(t, "wait", "input", NULL, start);
        trace_step(t, "step", start);
    }
    support_ok(trace_close(t, &e), &e);
    assert_int_equal(json_array_size(events(&root)), 4);
    json_decref(root);
}

static void no_trace_records_nothing(void **state)
{
    struct err e = {0};

    (void)state;
    assert_false(trace_on(NULL));
    trace_span(NULL, "wait", "input", NULL, 0);
    trace_step(NULL, "step", 0);
    support_ok(trace_close(NULL, &e), &e);
}

static void open_in_a_missing_folder_names_the_path(void **state)
{
    struct trace *t = NULL;
    struct err e = {0};

    (void)state;
    support_expect(trace_open(support_file("none/trace.json"), 1, &t, &e), RC_IO, &e,
                   "none/trace.json");
    assert_null(t);
}

static void a_full_disk_is_said_when_it_is_closed(void **state)
{
    struct trace *t = NULL;
    struct err e = {0};

    (void)state;
    support_ok(trace_open(path(), 1000, &t, &e), &e);
    support_limit_files(4096);
    for (int i = 0; i < 200; i++) {
        trace_span(t, "wait", "input", "a detail that fills the file", clock_now());
    }
    support_expect(trace_close(t, &e), RC_IO, &e, "trace.json");
    support_limit_files(0);
}

static enum rc open_and_close(void *arg, struct err *e)
{
    struct trace *t = NULL;
    enum rc rc = trace_open(arg, 1, &t, e);

    return rc == RC_OK ? trace_close(t, e) : rc;
}

static void open_without_memory_says_so(void **state)
{
    char where[512];

    (void)state;
    (void)snprintf(where, sizeof where, "%s", path());
    assert_int_equal(support_fail_each(open_and_close, where), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_complete_events_with_their_times),
        cmocka_unit_test(only_the_first_steps_are_recorded),
        cmocka_unit_test(no_trace_records_nothing),
        cmocka_unit_test(open_in_a_missing_folder_names_the_path),
        cmocka_unit_test(a_full_disk_is_said_when_it_is_closed),
        cmocka_unit_test(open_without_memory_says_so),
    };

    return cmocka_run_group_tests(tests, support_enter, support_leave);
}

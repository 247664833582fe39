/* Exports: the text and the arrays are as promised; files are whole or absent. */
#include "tests/shards/help.h"

#include <math.h>

#include "common/base/mem.h"
#include "shards/exporter.h"

static const struct export_table table = {.columns = {{"key", EXPORT_KEY, 0},
                                                      {"n", EXPORT_I32, 0},
                                                      {"big", EXPORT_U64, 0},
                                                      {"cls", EXPORT_U16, 2},
                                                      {"logp", EXPORT_F16, 2},
                                                      {"p", EXPORT_F32, 0},
                                                      {"source", EXPORT_TEXT, 0}},
                                          .n_columns = 7,
                                          .rows = 2};

static void export_rows(struct exporter *x, int rows)
{
    struct key128 key = {{0xAB, 1}};
    const int32_t n[] = {-5, 7};
    const uint64_t big = UINT64_MAX;
    const uint16_t cls[] = {3, 65535};
    const uint16_t logp[] = {0xB800, 0xFC00}; /* -0.5, -inf */
    const float p = 0.1f;
    const char *const sources[] = {"a \"b\",c", "\xFFz"};
    struct err e = {0};

    for (int i = 0; i < rows; i++) {
        const struct export_cell cells[] = {{&key, 0},
                                            {&n[i], 0},
                                            {&big, 0},
                                            {cls, 0},
                                            {logp, 0},
                                            {&p, 0},
                                            {sources[i], strlen(sources[i])}};

        assert_ok(exporter_row(x, cells, &e), e);
    }
}

static void assert_file(const char *dir, const char *name, const char *expected, size_t n)
{
    char path[512];
    char *text = NULL;
    size_t bytes = 0;
    struct err e = {0};

    assert_ok(fs_read(help_path(path, dir, name), 1 << 16, &text, &bytes, &e), e);
    assert_int_equal(bytes, n);
    assert_memory_equal(text, expected, n);
    mem_free(text);
}

static struct exporter *exporter_of(enum export_format format, const char *path)
{
    struct exporter *x = NULL;
    struct err e = {0};

    assert_ok(exporter_create(&table, format, path, stdout, &x, &e), e);
    return x;
}

static void json_lines_are_json(void **state)
{
    static const char text[] =
        "{\"key\":\"ab010000000000000000000000000000\",\"n\":-5,\"big\":18446744073709551615,"
        "\"cls\":[3,65535],\"logp\":[-0.5,null],\"p\":0.100000001,\"source\":\"a \\\"b\\\",c\"}\n"
        "{\"key\":\"ab010000000000000000000000000000\",\"n\":7,\"big\":18446744073709551615,"
        "\"cls\":[3,65535],\"logp\":[-0.5,null],\"p\":0.100000001,\"source_hex\":\"ff7a\"}\n";
    char path[512];
    struct exporter *x = exporter_of(EXPORT_JSONL, help_path(path, *state, "a.jsonl"));
    struct err e = {0};

    export_rows(x, 2);
    assert_ok(exporter_finish(x, &e), e);
    exporter_destroy(x);
    assert_file(*state, "a.jsonl", text, sizeof text - 1);
}

static void csv_has_a_header_and_quotes_texts(void **state)
{
    static const char text[] =
        "key,n,big,cls_0,cls_1,logp_0,logp_1,p,source\n"
        "ab010000000000000000000000000000,-5,18446744073709551615,3,65535,-0.5,-inf,0.100000001,"
        "\"a \"\"b\"\",c\"\n"
        "ab010000000000000000000000000000,7,18446744073709551615,3,65535,-0.5,-inf,0.100000001,"
        "\"\xFFz\"\n";
    char path[512];
    struct exporter *x = exporter_of(EXPORT_CSV, help_path(path, *state, "a.csv"));
    struct err e = {0};

    export_rows(x, 2);
    assert_ok(exporter_finish(x, &e), e);
    exporter_destroy(x);
    assert_file(*state, "a.csv", text, sizeof text - 1);
}

static void numpy_arrays_have_shape_and_type(void **state)
{
    static const char head[] = "\x93NUMPY\x01\x00\x76\x00"
                               "{'descr': '<u2', 'fortran_order': False, 'shape': (2, 2), }";
    static const unsigned char values[8] = {3, 0, 255, 255, 3, 0, 255, 255};
    char path[512];
    char *text = NULL;
    size_t bytes = 0;
    struct exporter *x = exporter_of(EXPORT_NPY, help_path(path, *state, "arrays"));
    struct err e = {0};

    export_rows(x, 2);
    assert_ok(exporter_finish(x, &e), e);
    exporter_destroy(x);
    assert_ok(fs_read(help_path(path, *state, "arrays/cls.npy"), 1 << 16, &text, &bytes, &e), e);
    assert_int_equal(bytes, 128 + 8);
    assert_memory_equal(text, head, sizeof head - 1);
    assert_int_equal(text[127], '\n');
    assert_memory_equal(text + 128, values, 8);
    mem_free(text);
    assert_true(fs_exists(help_path(path, *state, "arrays/key.npy")));
    assert_false(fs_exists(help_path(path, *state, "arrays/source.npy")));
}

static void too_few_rows_leave_no_file(void **state)
{
    char path[512];
    struct exporter *x = exporter_of(EXPORT_CSV, help_path(path, *state, "a.csv"));
    struct err e = {0};

    export_rows(x, 1);
    assert_int_equal(exporter_finish(x, &e), RC_CORRUPT);
    assert_says(e, "the store has 1 rows where its manifest says 2");
    exporter_destroy(x);
    assert_int_equal(rmdir(*state), 0); /* it is empty */
    assert_int_equal(mkdir(*state, 0700), 0);
}

static void a_full_disk_is_an_error(void **state)
{
    FILE *full = fopen("/dev/full", "wb");
    struct exporter *x = NULL;
    struct err e = {0};

    (void)state;
    assert_non_null(full);
    assert_ok(exporter_create(&table, EXPORT_JSONL, NULL, full, &x, &e), e);
    export_rows(x, 2);
    assert_int_equal(exporter_finish(x, &e), RC_IO);
    assert_says(e, "cannot write 'standard output': No space left on device");
    exporter_destroy(x);
    (void)fclose(full);
}

int main(void)
{
#define CASE(f_) cmocka_unit_test_setup_teardown(f_, help_setup, help_teardown)
    const struct CMUnitTest tests[] = {
        CASE(json_lines_are_json),
        CASE(csv_has_a_header_and_quotes_texts),
        CASE(numpy_arrays_have_shape_and_type),
        CASE(too_few_rows_leave_no_file),
        CASE(a_full_disk_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

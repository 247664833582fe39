/* Reading and writing safetensors: st_read.c, st_write.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/train/safetensors.h"

static char dir[256];

static int make_dir(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(dir, sizeof dir, "%s/st-XXXXXX", tmp != NULL ? tmp : "/tmp");
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

static void path_of(const char *name, char out[320])
{
    snprintf(out, 320, "%s/%s", dir, name);
}

static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* The file's bytes from hex into a file; the reader's verdict. */
static enum rc open_hex(const char *hex, struct err *e)
{
    size_t n = strlen(hex) / 2;
    char *bytes = mem_calloc(n + 1, 1);
    char path[320];
    struct st_file *f = NULL;
    enum rc rc;

    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (char)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    }
    path_of("case", path);
    assert_int_equal(fs_write_atomic(path, bytes, n, e), RC_OK);
    rc = st_open(path, &f, e);
    st_close(f);
    unlink(path);
    mem_free(bytes);
    return rc;
}

static void every_crafted_file_is_taken_or_refused_as_by_the_reference(void **state)
{
    char *text = NULL;
    char *save = NULL;
    size_t bytes = 0;
    struct err e = {0};
    int cases = 0;

    (void)state;
    assert_int_equal(fs_read("tests/golden/train/safetensors.tsv", 1 << 20, &text, &bytes, &e),
                     RC_OK);
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *name = strchr(line, '\t');
        char *hex = name != NULL ? strchr(name + 1, '\t') : NULL;
        bool wanted = strncmp(line, "ok\t", 3) == 0;
        enum rc rc;

        if (line[0] == '#') {
            continue;
        }
        assert_non_null(hex);
        *hex++ = '\0';
        e = (struct err){0};
        rc = open_hex(hex, &e);
        if ((rc == RC_OK) != wanted) {
            fail_msg("'%s' is %s: %s", name + 1, wanted ? "refused" : "taken", e.msg);
        }
        if (!wanted) {
            assert_int_equal(rc, RC_CORRUPT);
            assert_non_null(strstr(e.msg, "/case'"));
        }
        cases++;
    }
    assert_true(cases > 80);
    mem_free(text);
}

static void a_missing_file_is_named(void **state)
{
    struct st_file *f = NULL;
    struct err e = {0};
    char path[320];

    (void)state;
    path_of("none", path);
    assert_int_equal(st_open(path, &f, &e), RC_IO);
    assert_non_null(strstr(e.msg, path));
}

static void what_is_written_is_read(void **state)
{
    const float a[3] = {1.5f, -2, 3};
    const uint16_t half[4] = {0x3c00, 0xc100, 0x0001, 0x7c00};
    const uint16_t brain[2] = {0x3f80, 0xc020};
    const double wide[1] = {0.1};
    const int64_t count[1] = {7};
    const struct st_tensor tensors[] = {{"zeta", ST_F16, 1, {4}, half, sizeof half},
                                        {"a/b \"q\"", ST_F32, 2, {3, 1}, a, sizeof a},
                                        {"brain", ST_BF16, 1, {2}, brain, sizeof brain},
                                        {"wide", ST_F64, 0, {0}, wide, 8},
                                        {"count", ST_I64, 0, {0}, count, 8}};
    const char *const meta[] = {"who", "us", "list", "[\"\u00e9\"]", NULL};
    struct st_file *f = NULL;
    struct err e = {0};
    char path[320];
    float x[4];

    (void)state;
    path_of("round.safetensors", path);
    assert_int_equal(st_write(path, tensors, 5, meta, &e), RC_OK);
    assert_int_equal(st_open(path, &f, &e), RC_OK);
    assert_int_equal(st_count(f), 5);
    /* The reference writer's order: larger types first, then names. */
    assert_string_equal(st_at(f, 0)->name, "count");
    assert_string_equal(st_at(f, 1)->name, "wide");
    assert_string_equal(st_at(f, 2)->name, "a/b \"q\"");
    assert_string_equal(st_at(f, 3)->name, "brain");
    assert_string_equal(st_at(f, 4)->name, "zeta");
    assert_string_equal(st_metadata(f, "list"), "[\"\u00e9\"]");
    assert_null(st_metadata(f, "none"));
    assert_int_equal(st_to_f32(st_find(f, "a/b \"q\""), x, &e), RC_OK);
    assert_memory_equal(x, a, sizeof a);
    assert_int_equal(st_to_f32(st_find(f, "zeta"), x, &e), RC_OK);
    assert_true(x[0] == 1 && x[1] == -2.5f && x[2] == 0x1p-24f && isinf(x[3]));
    assert_int_equal(st_to_f32(st_find(f, "brain"), x, &e), RC_OK);
    assert_true(x[0] == 1 && x[1] == -2.5f);
    assert_int_equal(st_to_f32(st_find(f, "wide"), x, &e), RC_OK);
    assert_true(x[0] == 0.1f);
    assert_int_equal(st_to_f32(st_find(f, "count"), x, &e), RC_INVAL);
    assert_string_equal(e.msg, "tensor 'count' is I64: F32, F16, BF16 or F64 expected");
    st_close(f);
    unlink(path);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    struct err e = {0};
    char path[320];

    (void)state;
    path_of("none/x.safetensors", path);
    assert_int_equal(st_write(path, NULL, 0, NULL, &e), RC_IO);
    assert_non_null(strstr(e.msg, "none/x.safetensors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_crafted_file_is_taken_or_refused_as_by_the_reference),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_folder_that_is_not_there_is_an_error),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

#include "tests/common/base/support.h"

static void the_first_raiser_names_the_cause(void **state)
{
    struct err e = {0};

    (void)state;
    assert_int_equal(err_raise(&e, RC_IO, "cannot open '%s'", "a"), RC_IO);
    assert_int_equal(err_raise(&e, RC_NOMEM, "a later one"), RC_NOMEM);
    assert_int_equal(e.rc, RC_IO);
    assert_string_equal(e.msg, "cannot open 'a'");
    assert_non_null(strstr(e.file, "test_err.c"));
    assert_true(e.line > 0);
}

static void a_cleared_error_can_be_raised_again(void **state)
{
    struct err e = {0};

    (void)state;
    (void)err_raise(&e, RC_IO, "one");
    err_clear(&e);
    assert_int_equal(e.rc, RC_OK);
    assert_string_equal(e.msg, "");
    (void)err_raise(&e, RC_INVAL, "two");
    assert_string_equal(e.msg, "two");
}

static void nobody_needs_to_listen(void **state)
{
    (void)state;
    assert_int_equal(err_raise(NULL, RC_LIB, "%d", 1), RC_LIB);
}

static void a_long_sentence_is_cut_and_ended(void **state)
{
    struct err e = {0};
    char text[2 * ERR_MSG_MAX];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)err_raise(&e, RC_INVAL, "%s", text);
    assert_int_equal(strlen(e.msg), ERR_MSG_MAX - 1);
}

static void every_code_has_a_name_and_an_exit_code(void **state)
{
    (void)state;
    for (int rc = RC_REQUEUE; rc <= RC_OK; rc++) {
        int expected = rc == RC_OK ? 0 : rc == RC_USAGE ? 2 : rc == RC_REQUEUE ? 75 : 1;

        assert_string_not_equal(err_name((enum rc)rc), "unknown error");
        assert_int_equal(err_exit_code((enum rc)rc), expected);
    }
    assert_string_equal(err_name(RC_NOMEM), "out of memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_raiser_names_the_cause),
        cmocka_unit_test(a_cleared_error_can_be_raised_again),
        cmocka_unit_test(nobody_needs_to_listen),
        cmocka_unit_test(a_long_sentence_is_cut_and_ended),
        cmocka_unit_test(every_code_has_a_name_and_an_exit_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

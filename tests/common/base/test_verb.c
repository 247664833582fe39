/* A verb's command line: options and words reach its work, help and mistakes do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/base/verb.h"

#define WORD(text) ((char[]){text})

struct options {
    char *out;
    int64_t n;
};

static const struct opt table[] = {
    {"out", OPT_STR, offsetof(struct options, out), NULL, 0, 0, NULL, "DIR", "where to"},
    {"n", OPT_INT, offsetof(struct options, n), "3", 0, 10, NULL, "N", "how many"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
static const struct opt_usage usage = {
    .verb = "try", .summary = "a verb", .synopsis = "[options]", .description = "", .examples = ""};
static const struct verb verb = {"try", "a verb", NULL, false, table, sizeof(struct options)};

static int calls;

static enum rc work(const void *options, const char *const words[], int n,
                    const struct verb_call *call, struct err *e)
{
    const struct options *o = options;

    calls++;
    assert_int_equal(call->argc, 3);
    assert_string_equal(o->out, "x");
    assert_int_equal(o->n, 3);
    assert_int_equal(n, 2);
    assert_string_equal(words[0], "a");
    assert_string_equal(words[1], "b");
    return err_raise(e, RC_IO, "as it went");
}

static enum rc plain(const void *options, const char *const words[], int n,
                     const struct verb_call *call, struct err *e)
{
    (void)options, (void)call, (void)e;
    calls++;
    assert_null(words);
    assert_int_equal(n, 0);
    return RC_OK;
}

static void options_and_words_reach_the_work_and_its_error_comes_back(void **state)
{
    char *argv[] = {WORD("a"), WORD("--out=x"), WORD("b")};
    const struct verb_call call = {.argc = 3, .argv = argv};
    const struct verb_line line = {&verb, &usage, work, true};
    struct err e = {0};

    (void)state;
    calls = 0;
    assert_int_equal(verb_do(&call, &line, &e), RC_IO);
    assert_string_equal(e.msg, "as it went");
    assert_int_equal(calls, 1);
}

static void a_verb_without_words_refuses_them(void **state)
{
    char *argv[] = {WORD("--n"), WORD("4"), WORD("b")};
    const struct verb_line line = {&verb, &usage, plain, false};
    struct err e = {0};

    (void)state;
    calls = 0;
    assert_int_equal(verb_do(&(struct verb_call){.argc = 3, .argv = argv}, &line, &e), RC_USAGE);
    assert_non_null(strstr(e.msg, "'b'"));
    assert_non_null(strstr(e.msg, "preceptor try --help"));
    assert_int_equal(calls, 0);
    assert_int_equal(verb_do(&(struct verb_call){.argc = 2, .argv = argv}, &line, &e), RC_OK);
    assert_int_equal(calls, 1);
}

static void help_is_not_work(void **state)
{
    char *argv[] = {WORD("a"), WORD("--help")};
    const struct verb_line line = {&verb, &usage, work, true};
    struct err e = {0};

    (void)state;
    calls = 0;
    assert_int_equal(verb_do(&(struct verb_call){.argc = 2, .argv = argv}, &line, &e), RC_OK);
    assert_int_equal(calls, 0);
}

static void without_memory_it_says_so(void **state)
{
    char *argv[] = {WORD("a")};
    const struct verb_line line = {&verb, &usage, work, true};

    (void)state;
    calls = 0;
    for (unsigned i = 1; i <= 2; i++) {
        struct err e = {0};

        mem_fail_at(i);
        assert_int_equal(verb_do(&(struct verb_call){.argc = 1, .argv = argv}, &line, &e),
                         RC_NOMEM);
        mem_fail_at(0);
    }
    assert_int_equal(calls, 0);
}

static void a_result_that_could_not_be_made_is_an_error(void **state)
{
    struct err e = {0};

    (void)state;
    assert_int_equal(verb_print_json(NULL, &e), RC_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_words_reach_the_work_and_its_error_comes_back),
        cmocka_unit_test(a_verb_without_words_refuses_them),
        cmocka_unit_test(help_is_not_work),
        cmocka_unit_test(without_memory_it_says_so),
        cmocka_unit_test(a_result_that_could_not_be_made_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

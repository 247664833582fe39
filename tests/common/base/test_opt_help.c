#include "common/base/opt.h"
#include "tests/common/base/support.h"

static const struct opt table[] = {
    {"out", OPT_STR, 0, NULL, 0, 0, NULL, "DIR", "where the run goes"},
    {"train.lr", OPT_F32, 0, "0.1", 0, 100, NULL, "RATE",
     "base learning rate for a batch of 256, scaled linearly with the batch size (Goyal 2017)"},
    {"precision", OPT_ENUM, 0, "f32", 0, 0, "f32,bf16,int8", NULL, "numbers of the network"},
    {"label.top_k", OPT_INT, 0, "10", 1, 1e19, NULL, "K", "classes kept of each label"},
    {"train.a_name_that_is_wider_than_its_column", OPT_SIZE, 0, "1G", 0, 0, NULL, "SIZE", "bytes"},
    {"duplicate", OPT_BOOL, 0, "true", 0, 0, NULL, NULL, "copy scarce classes"},
    {"train.nesterov", OPT_BOOL, 0, "false", 0, 0, NULL, NULL, "Nesterov's momentum"},
    {0}};

static const struct opt_usage usage = {
    "train", "supervised or mixed training", "--recipe R.yaml --out RUN [options]",
    "A paragraph that is long enough to be wrapped, since no line of the help may be wider than "
    "eighty columns where it does not go to a terminal.\n\nAnother paragraph.",
    "preceptor train --out runs/a\n# a comment\n"};

static const char *shown(const struct opt_usage *what)
{
    int file = open(support_file("help"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    int saved = support_catch(STDOUT_FILENO, file);

    opts_help(what, table);
    support_uncatch(STDOUT_FILENO, saved);
    (void)close(file);
    return support_read(support_file("help"));
}

/* Whether text holds these words, however it breaks its lines. */
static bool says(const char *text, const char *words)
{
    char flat[8192];
    size_t n = 0;

    for (; *text != '\0' && n < sizeof flat - 1; text++) {
        char c = *text == '\n' ? ' ' : *text;

        if (c != ' ' || (n > 0 && flat[n - 1] != ' ')) {
            flat[n++] = c;
        }
    }
    flat[n] = '\0';
    return strstr(flat, words) != NULL;
}

static void sections_come_in_a_man_pages_order(void **state)
{
    static const char *const parts[] = {
        "NAME\n    preceptor train - supervised or mixed training\n\n",
        "SYNOPSIS\n    preceptor train --recipe R.yaml --out RUN [options]\n\n",
        "DESCRIPTION\n    A paragraph that",
        "\n\n    Another paragraph.\n\n",
        "OPTIONS\n",
        "EXAMPLES\n    preceptor train --out runs/a\n    # a comment\n"};
    const char *at = shown(&usage);

    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        at = strstr(at, parts[i]);
        assert_non_null(at);
    }
    assert_int_equal(at[strlen(parts[5])], '\0');
}

static void options_say_range_choices_and_default(void **state)
{
    const char *text = shown(&usage);

    (void)state;
    assert_non_null(strstr(text, "\n    --out DIR                   where the run goes\n"));
    assert_true(says(text, "numbers of the network; one of f32, bf16, int8 [f32]"));
    assert_true(says(text, "classes kept of each label; a whole number of at least 1 [10]"));
    assert_true(says(text, "(Goyal 2017); a number from 0 to 100 [0.1]"));
    assert_non_null(strstr(text, "\n    --[no-]duplicate            copy scarce classes [true]\n"));
    assert_non_null(strstr(text, "\n    --train.nesterov            Nesterov's momentum\n"));
    assert_non_null(strstr(text, "\n    --help, -h                  this text\n"));
}

static void a_wide_name_gets_its_own_line(void **state)
{
    (void)state;
    assert_non_null(strstr(shown(&usage),
                           "\n    --train.a-name-that-is-wider-than-its-column SIZE\n"
                           "                                bytes [1G]\n"));
}

static void options_are_grouped_by_prefix(void **state)
{
    const char *text = shown(&usage);
    const char *plain = strstr(text, "--precision");
    const char *train = strstr(text, "\n\n  train\n    --train.lr");
    const char *label = strstr(text, "\n\n  label\n    --label.top-k K");

    (void)state;
    assert_true(plain != NULL && train != NULL && label != NULL);
    assert_true(plain < train && train < label);
    assert_true(strstr(text, "--train.nesterov") < label);
    assert_null(strstr(train + 3, "\n  train\n"));
}

static void no_line_is_wider_than_80_columns_or_ends_in_blanks(void **state)
{
    const char *text = shown(&usage);

    (void)state;
    for (size_t n = 0; *text != '\0'; text += n + 1) {
        n = strcspn(text, "\n");
        assert_true(n <= 80);
        assert_true(n == 0 || text[n - 1] != ' ');
    }
}

static void a_verb_without_description_has_no_empty_section(void **state)
{
    const struct opt_usage bare = {"x", "does x", "[options]", NULL, NULL};
    const char *text = shown(&bare);

    (void)state;
    assert_null(strstr(text, "DESCRIPTION"));
    assert_null(strstr(text, "EXAMPLES"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_come_in_a_man_pages_order),
        cmocka_unit_test(options_say_range_choices_and_default),
        cmocka_unit_test(a_wide_name_gets_its_own_line),
        cmocka_unit_test(options_are_grouped_by_prefix),
        cmocka_unit_test(no_line_is_wider_than_80_columns_or_ends_in_blanks),
        cmocka_unit_test(a_verb_without_description_has_no_empty_section),
    };

    return cmocka_run_group_tests(tests, support_enter, support_leave);
}

#include <math.h>

#include "common/base/opt.h"
#include "tests/common/base/support.h"

struct config {
    float lr;
    double momentum;
    int64_t steps;
    int64_t shard_bytes;
    bool nesterov;
    bool duplicate;
    char *out;
    char *name;
    int precision;
};

#define AT(field) offsetof(struct config, field)

static const struct opt table[] = {
    {"out", OPT_STR, AT(out), NULL, 0, 0, NULL, "DIR", "where the run goes"},
    {"name", OPT_STR, AT(name), "demo", 0, 0, NULL, "NAME", "what it is called"},
    {"precision", OPT_ENUM, AT(precision), "f32", 0, 0, "f32,bf16,int8", NULL, "of the network"},
    {"shard_bytes", OPT_SIZE, AT(shard_bytes), "1G", 1, 0x1p50, NULL, "SIZE", "of a shard"},
    {"duplicate", OPT_BOOL, AT(duplicate), "true", 0, 0, NULL, NULL, "copy scarce classes"},
    {"train.lr", OPT_F32, AT(lr), "0.1", 0, 100, NULL, "RATE", "base learning rate"},
    {"train.momentum", OPT_F64, AT(momentum), "0.9", 0, 0, NULL, "M", "of the optimizer"},
    {"train.steps", OPT_INT, AT(steps), "100", 1, 1e18, NULL, "N", "how many"},
    {"train.nesterov", OPT_BOOL, AT(nesterov), NULL, 0, 0, NULL, NULL, "momentum's form"},
    {0}};

static struct config config;

static int enter(void **state)
{
    struct err e = {0};

    (void)state;
    return opts_init(table, &config, &e) == RC_OK ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    opts_release(table, &config);
    return 0;
}

static const char *positionals[64];
static int n_positionals;
static bool help;

/* Arguments end with NULL. */
static enum rc parse(struct err *e, ...)
{
    char *argv[16];
    int argc = 0;
    va_list ap;

    va_start(ap, e);
    while ((argv[argc] = va_arg(ap, char *)) != NULL) {
        argc++;
    }
    va_end(ap);
    return opts_parse(table, &config, argc, argv, positionals, &n_positionals, &help, e);
}

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-12;
}

static void defaults_fill_every_field(void **state)
{
    (void)state;
    assert_true(near((double)config.lr, (double)0.1f) && near(config.momentum, 0.9));
    assert_int_equal(config.steps, 100);
    assert_int_equal(config.shard_bytes, 1 << 30);
    assert_true(config.duplicate && !config.nesterov);
    assert_null(config.out);
    assert_string_equal(config.name, "demo");
    assert_int_equal(config.precision, 0);
}

static void every_form_of_an_option_is_read(void **state)
{
    struct err e = {0};

    (void)state;
    support_ok(parse(&e, "--train.lr", "0.5", "--out=a=b", "--no-duplicate", "--train.nesterov",
                     "--shard-bytes", "64K", "--set", "train.steps=7", "--set=precision=int8",
                     NULL),
               &e);
    assert_true(near((double)config.lr, 0.5));
    assert_string_equal(config.out, "a=b");
    assert_true(!config.duplicate && config.nesterov);
    assert_int_equal(config.shard_bytes, 65536);
    assert_int_equal(config.steps, 7);
    assert_int_equal(config.precision, 2);
    assert_int_equal(n_positionals, 0);
    assert_false(help);
}

static void the_last_of_several_counts(void **state)
{
    struct err e = {0};

    (void)state;
    support_ok(parse(&e, "--out", "a", "--out", "b", "--duplicate=no", "--duplicate", NULL), &e);
    assert_string_equal(config.out, "b");
    assert_true(config.duplicate);
}

static void words_are_positionals_wherever_they_stand(void **state)
{
    struct err e = {0};

    (void)state;
    support_ok(parse(&e, "a", "--out", "x", "-", "--", "--name", "-h", NULL), &e);
    assert_int_equal(n_positionals, 4);
    assert_string_equal(positionals[0], "a");
    assert_string_equal(positionals[1], "-");
    assert_string_equal(positionals[2], "--name");
    assert_string_equal(positionals[3], "-h");
    assert_string_equal(config.name, "demo");
}

static void help_stops_parsing_as_a_success(void **state)
{
    struct err e = {0};

    (void)state;
    support_ok(parse(&e, "--out", "x", "--help", "--nonsense", NULL), &e);
    assert_true(help);
    support_ok(parse(&e, "-h", NULL), &e);
    assert_true(help);
}

static void an_unknown_option_names_the_nearest(void **state)
{
    struct err e = {0};

    (void)state;
    support_expect(parse(&e, "--trian.steps", "1", NULL), RC_USAGE, &e,
                   "unknown option '--trian.steps'; did you mean '--train.steps'?");
    support_expect(parse(&e, "--lr=1", NULL), RC_USAGE, &e, "did you mean '--train.lr'?");
    support_expect(parse(&e, "--no-duplicat", NULL), RC_USAGE, &e, "did you mean '--duplicate'?");
    support_expect(parse(&e, "--quite-other", NULL), RC_USAGE, &e,
                   "unknown option '--quite-other'; --help lists the known ones");
    support_expect(parse(&e, "-q", NULL), RC_USAGE, &e, "unknown option '-q'");
    support_expect(parse(&e, "--set", "nam=x", NULL), RC_USAGE, &e,
                   "--set: unknown option 'nam'; did you mean 'name'?");
}

static void an_endless_name_is_refused(void **state)
{
    char name[5000];
    struct err e = {0};

    (void)state;
    memset(name, '-', 2);
    memset(name + 2, 'x', sizeof name - 3);
    name[sizeof name - 1] = '\0';
    support_expect(parse(&e, name, "1", NULL), RC_USAGE, &e, "unknown option '--xxx");
    name[1000] = '=';
    support_expect(parse(&e, "--set", name + 2, NULL), RC_USAGE, &e, "--set needs name=value");
}

static void a_missing_value_says_what_is_wanted(void **state)
{
    struct err e = {0};

    (void)state;
    support_expect(parse(&e, "--out", NULL), RC_USAGE, &e, "--out needs a value: DIR");
    support_expect(parse(&e, "--out", "--train.lr", NULL), RC_USAGE, &e,
                   "--out needs a value: DIR");
    support_expect(parse(&e, "--set", NULL), RC_USAGE, &e, "--set needs name=value, got ''");
    support_expect(parse(&e, "--set", "x", NULL), RC_USAGE, &e, "--set needs name=value, got 'x'");
    assert_null(config.out);
}

static void only_flags_can_be_switched_off(void **state)
{
    struct err e = {0};

    (void)state;
    support_expect(parse(&e, "--no-out", NULL), RC_USAGE, &e,
                   "--no-out: only a flag can be switched off, and 'out' is none");
    support_expect(parse(&e, "--no-duplicate=yes", NULL), RC_USAGE, &e, "takes no value then");
    assert_true(config.duplicate);
}

static void a_wrong_value_says_what_was_expected_and_changes_nothing(void **state)
{
    static const struct {
        const char *name, *value, *part;
    } cases[] = {
        {"train.lr", "101",
         "here: '101' is not a value of 'train.lr': expected a number from 0 to 100"},
        {"train.lr", "-0.1", "from 0 to 100"},
        {"train.lr", "nan", "expected a number"},
        {"train.lr", "0x1", "expected a number"},
        {"train.lr", "1e", "expected a number"},
        {"train.lr", "", "expected a number"},
        {"train.momentum", "inf", "expected a number"},
        {"train.momentum", "1e999", "expected a number"},
        {"train.steps", "0", "expected a whole number from 1 to 1000000000000000000"},
        {"train.steps", "1.5", "expected a whole number"},
        {"train.steps", " 1", "expected a whole number"},
        {"train.steps", "7x", "expected a whole number"},
        {"train.steps", "7K", "expected a whole number"},
        {"train.steps", "99999999999999999999", "expected a whole number"},
        {"shard_bytes", "1Q", "a size (a whole number, K, M, G or T may follow) from 1 to 1024T"},
        {"shard_bytes", "1KB", "a size"},
        {"shard_bytes", "9223372036854775807T", "a size"},
        {"train.nesterov", "maybe", "expected true or false"},
        {"precision", "f16", "expected one of f32, bf16, int8"},
        {"precision", "f3", "expected one of f32, bf16, int8"},
        {"precision", "", "expected one of f32, bf16, int8"},
    };
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        support_expect(opts_set(table, &config, cases[i].name, cases[i].value, "here", &e),
                       RC_USAGE, &e, cases[i].part);
    }
    defaults_fill_every_field(state);
}

static void right_values_at_their_limits_are_taken(void **state)
{
    static const char *const pairs[][2] = {{"train.lr", "100"},       {"train.lr", "0"},
                                           {"train.lr", "1e-3"},      {"train.momentum", "-5"},
                                           {"train.steps", "1"},      {"shard_bytes", "512t"},
                                           {"train.nesterov", "YES"}, {"train.nesterov", "0"},
                                           {"precision", "bf16"},     {"train_steps", "5"}};
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < 9; i++) {
        support_ok(opts_set(table, &config, pairs[i][0], pairs[i][1], "here", &e), &e);
    }
    assert_int_equal(config.shard_bytes, (int64_t)512 << 40);
    assert_int_equal(config.precision, 1);
    support_expect(opts_set(table, &config, pairs[9][0], pairs[9][1], "r.yaml:3", &e), RC_USAGE, &e,
                   "r.yaml:3: unknown option 'train_steps'; did you mean 'train.steps'?");
}

static enum rc load(const char *text, struct err *e)
{
    support_write(support_file("r.yaml"), text, strlen(text));
    return opts_load_yaml(table, &config, support_file("r.yaml"), e);
}

static void a_recipe_sets_nested_and_dotted_keys(void **state)
{
    struct err e = {0};

    (void)state;
    support_ok(
        load("# recipe\ntrain: {lr: 0.25, steps: 9}\ntrain.nesterov: yes\nout: \"a b\"\n", &e), &e);
    assert_true(near((double)config.lr, 0.25) && config.nesterov);
    assert_int_equal(config.steps, 9);
    assert_string_equal(config.out, "a b");
}

static void a_wrong_recipe_names_file_and_line(void **state)
{
    struct err e = {0};

    (void)state;
    support_expect(load("train:\n  lrr: 1\n", &e), RC_INVAL, &e,
                   "r.yaml:2: unknown option 'train.lrr'; did you mean 'train.lr'?");
    support_expect(
        load("\n\ntrain.lr: 1000\n", &e), RC_INVAL, &e,
        "r.yaml:3: '1000' is not a value of 'train.lr': expected a number from 0 to 100");
    support_expect(load("train:\n  lr: [1, 2]\n", &e), RC_INVAL, &e,
                   "r.yaml:2: 'train.lr' takes one value, not a list or a mapping");
    support_expect(load("out: [a\n", &e), RC_CORRUPT, &e, "r.yaml:2: not YAML: ");
    support_expect(opts_load_yaml(table, &config, support_file("absent"), &e), RC_IO, &e,
                   "absent': No such file");
}

static void the_dump_reads_back_as_the_same_options(void **state)
{
    struct config before = {0};
    struct err e = {0};
    char *text = NULL;
    char *again = NULL;

    (void)state;
    support_ok(parse(&e, "--train.lr", "0.3", "--train.momentum", "0.1234567890123456789", "--out",
                     "a \"quoted\" \\ path: # \t\n\x01 \xc3\xa9", "--precision", "bf16", NULL),
               &e);
    support_ok(opts_dump_yaml(table, &config, &text, &e), &e);
    assert_non_null(strstr(text, "train.lr: 0.3  # base learning rate\n"));
    assert_non_null(strstr(text, "precision: bf16  # of the network\n"));
    before = config;
    before.out = mem_strdup(config.out);
    opts_release(table, &config);
    support_ok(opts_init(table, &config, &e), &e);
    support_ok(load(text, &e), &e);
    assert_string_equal(config.out, before.out);
    assert_memory_equal(&config.lr, &before.lr, sizeof config.lr);
    assert_memory_equal(&config.momentum, &before.momentum, sizeof config.momentum);
    support_ok(opts_dump_yaml(table, &config, &again, &e), &e);
    assert_string_equal(again, text);
    mem_free(again);
    mem_free(text);
    mem_free(before.out);
}

static void what_is_not_set_stays_so_in_the_dump(void **state)
{
    struct err e = {0};
    char *text = NULL;

    (void)state;
    support_ok(opts_dump_yaml(table, &config, &text, &e), &e);
    assert_non_null(strstr(text, "# out: not set  # where the run goes\n"));
    support_ok(load(text, &e), &e);
    assert_null(config.out);
    mem_free(text);
}

static void a_verb_without_positionals_names_one(void **state)
{
    char *argv[] = {(char[]){"--train.lr"}, (char[]){"1"}, (char[]){"stray"}};
    struct err e = {0};

    (void)state;
    support_ok(opts_parse_only(table, &config, 2, argv, "train", &help, &e), &e);
    support_expect(opts_parse_only(table, &config, 3, argv, "train", &help, &e), RC_USAGE, &e,
                   "train takes options alone, but got 'stray': see preceptor train --help");
}

static enum rc init(void *arg, struct err *e)
{
    struct config c;
    enum rc rc = opts_init(table, &c, e);

    (void)arg;
    if (rc == RC_OK) {
        opts_release(table, &c);
    }
    return rc;
}

static enum rc set(void *arg, struct err *e)
{
    return opts_set(table, &config, "out", arg, "here", e);
}

static enum rc dump(void *arg, struct err *e)
{
    char *text = NULL;
    enum rc rc = opts_dump_yaml(table, &config, &text, e);

    (void)arg;
    mem_free(text);
    return rc;
}

static enum rc reload(void *arg, struct err *e)
{
    return opts_load_yaml(table, &config, arg, e);
}

static void without_memory_it_says_so(void **state)
{
    char text[] = "a";
    char path[512];
    struct err e = {0};

    (void)state;
    (void)snprintf(path, sizeof path, "%s", support_file("r.yaml"));
    support_ok(load("out: x\nname: y\n", &e), &e);
    assert_int_equal(support_fail_each(init, NULL), 1);
    assert_int_equal(support_fail_each(set, text), 1);
    assert_true(support_fail_each(dump, NULL) > 9);
    assert_true(support_fail_each(reload, path) > 9);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(defaults_fill_every_field),
        CASE(every_form_of_an_option_is_read),
        CASE(the_last_of_several_counts),
        CASE(words_are_positionals_wherever_they_stand),
        CASE(help_stops_parsing_as_a_success),
        CASE(an_unknown_option_names_the_nearest),
        CASE(an_endless_name_is_refused),
        CASE(a_missing_value_says_what_is_wanted),
        CASE(only_flags_can_be_switched_off),
        CASE(a_wrong_value_says_what_was_expected_and_changes_nothing),
        CASE(right_values_at_their_limits_are_taken),
        CASE(a_recipe_sets_nested_and_dotted_keys),
        CASE(a_wrong_recipe_names_file_and_line),
        CASE(the_dump_reads_back_as_the_same_options),
        CASE(what_is_not_set_stays_so_in_the_dump),
        CASE(a_verb_without_positionals_names_one),
        CASE(without_memory_it_says_so),
    };

    return cmocka_run_group_tests(tests, support_enter, support_leave);
}

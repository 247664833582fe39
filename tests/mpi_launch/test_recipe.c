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
#include "mpi_launch/launch_verbs.h"
#include "mpi_launch/recipe.h"

struct fake {
    int64_t steps;
    char *model;
};

static const struct opt fake_opts[] = {
    {"steps", OPT_INT, offsetof(struct fake, steps), "1", 1, 100, NULL, "N", "steps"},
    {"model", OPT_STR, offsetof(struct fake, model), NULL, 0, 0, NULL, "NAME", "model"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};

static const struct verb fake_train = {
    .name = "train", .options = fake_opts, .options_bytes = sizeof(struct fake)};

/* The program's table, as a test has it. */
const struct verb *main_verb(const char *name)
{
    return strcmp(name, "train") == 0 ? &fake_train : NULL;
}

static char dir[256];

static int make_dir(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    (void)snprintf(dir, sizeof dir, "%s/recipe-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    char *path = fs_join(dir, "r.yaml");

    (void)state;
    (void)remove(path);
    mem_free(path);
    return remove(dir);
}

static enum rc load(const char *text, const struct args *sets, struct recipe *r, struct err *e)
{
    char *path = fs_join(dir, "r.yaml");
    enum rc rc = fs_write_atomic(path, text, strlen(text), e);

    if (rc == RC_OK) {
        rc = recipe_load(path, sets, r, e);
    }
    mem_free(path);
    return rc;
}

static void options_of_a_section_become_arguments(void **state)
{
    struct args none = {0};
    struct args out = {0};
    struct recipe r = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(
        load("name: x\nteacher: {steps: 5, model: a}\nstudent: {steps: 6}\n", &none, &r, &e),
        RC_OK);
    assert_int_equal(recipe_check(&r, main_verb, &e), RC_OK);
    assert_int_equal(recipe_options(&r, "teacher", 0, &out, &e), RC_OK);
    assert_int_equal(out.n, 2);
    assert_string_equal(out.v[0], "--steps=5");
    assert_string_equal(out.v[1], "--model=a");
    assert_true(recipe_has(&r, "student"));
    assert_false(recipe_has(&r, "eval"));
    args_release(&out);
    recipe_release(&r);
}

static void a_later_generation_overrides_single_keys(void **state)
{
    struct args none = {0};
    struct args out = {0};
    struct recipe r = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(load("student: {steps: 5, model: a}\nstudent2: {steps: 9}\n", &none, &r, &e),
                     RC_OK);
    assert_int_equal(recipe_options(&r, "student", 1, &out, &e), RC_OK);
    assert_string_equal(out.v[0], "--steps=5");
    args_release(&out);
    assert_int_equal(recipe_options(&r, "student", 2, &out, &e), RC_OK);
    assert_int_equal(out.n, 2);
    assert_string_equal(out.v[0], "--model=a");
    assert_string_equal(out.v[1], "--steps=9");
    args_release(&out);
    assert_int_equal(recipe_options(&r, "student", 3, &out, &e), RC_OK);
    assert_string_equal(out.v[0], "--steps=5");
    args_release(&out);
    recipe_release(&r);
}

static void a_set_replaces_a_key_and_a_list(void **state)
{
    struct args sets = {0};
    struct args out = {0};
    struct recipe r = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(args_add(&sets, &e, "pack.labeled.source=one"), RC_OK);
    assert_int_equal(args_add(&sets, &e, "teacher.steps=7"), RC_OK);
    assert_int_equal(
        load("pack: {labeled: {source: [a, b]}}\nteacher: {steps: 5}\n", &sets, &r, &e), RC_OK);
    assert_int_equal(recipe_values(&r, "pack.labeled", "source", &out, &e), RC_OK);
    assert_int_equal(out.n, 1);
    assert_string_equal(out.v[0], "one");
    args_release(&out);
    assert_int_equal(recipe_options(&r, "teacher", 0, &out, &e), RC_OK);
    assert_int_equal(out.n, 1);
    assert_string_equal(out.v[0], "--steps=7");
    args_release(&out);
    args_release(&sets);
    recipe_release(&r);
}

static void a_list_gives_its_values_in_order(void **state)
{
    struct args none = {0};
    struct args out = {0};
    struct recipe r = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(load("pack: {eval: {source: [a, b], first: 3}}\n", &none, &r, &e), RC_OK);
    assert_int_equal(recipe_values(&r, "pack.eval", "source", &out, &e), RC_OK);
    assert_int_equal(out.n, 2);
    assert_string_equal(out.v[1], "b");
    args_release(&out);
    assert_int_equal(recipe_options(&r, "pack.eval", 0, &out, &e), RC_OK);
    assert_int_equal(out.n, 1);
    assert_string_equal(out.v[0], "--first=3");
    args_release(&out);
    recipe_release(&r);
}

/* Loading or checking text fails with rc and a sentence that holds `sentence`. */
static void refused(const char *text, enum rc expected, const char *sentence)
{
    struct args none = {0};
    struct recipe r = {0};
    struct err e = {0};
    enum rc rc = load(text, &none, &r, &e);

    if (rc == RC_OK) {
        rc = recipe_check(&r, main_verb, &e);
    }
    assert_int_equal(rc, expected);
    if (strstr(e.msg, sentence) == NULL) {
        fail_msg("'%s' does not say '%s'", e.msg, sentence);
    }
    recipe_release(&r);
}

static void what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    refused("name: x\nteacher:\n  stps: 5\n", RC_USAGE,
            "r.yaml:3: unknown option 'stps'; did you mean 'steps'?");
    refused("teacher: {steps: 101}\n", RC_USAGE, "r.yaml:1: '101' is not a value of 'steps'");
    refused("student3: {steps: 0}\n", RC_USAGE, "r.yaml:1: '0' is not a value of 'steps'");
    refused("teachers: {steps: 1}\n", RC_USAGE,
            "r.yaml:1: unknown section 'teachers'; did you mean 'teacher'?");
    refused("teacher: {data: x}\n", RC_USAGE, "'teacher.data' is set by `run` itself");
    refused("names: x\n", RC_USAGE, "r.yaml:1: unknown key 'names'; did you mean 'name'?");
    refused("pack: {labelled: {first: 1}}\n", RC_USAGE, "did you mean 'pack.labeled'?");
}

static void loading_survives_every_failed_allocation(void **state)
{
    struct args none = {0};
    enum rc rc = RC_NOMEM;

    (void)state;
    for (uint64_t n = 1; rc == RC_NOMEM && n < 1000; n++) {
        struct recipe r = {0};
        struct err e = {0};
        char *path = fs_join(dir, "r.yaml");

        mem_fail_at(n);
        rc = recipe_load(path, &none, &r, &e);
        mem_fail_at(0);
        assert_true(rc == RC_OK || rc == RC_NOMEM);
        assert_true((rc == RC_OK) == (r.path != NULL));
        recipe_release(&r);
        mem_free(path);
    }
    assert_int_equal(rc, RC_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_of_a_section_become_arguments),
        cmocka_unit_test(a_later_generation_overrides_single_keys),
        cmocka_unit_test(a_set_replaces_a_key_and_a_list),
        cmocka_unit_test(a_list_gives_its_values_in_order),
        cmocka_unit_test(loading_survives_every_failed_allocation),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

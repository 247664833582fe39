/* The option table of a training run: defaults, precedence, derived numbers, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "student/train_config.h"

static enum rc parse(struct train_config *c, struct err *e, int argc, ...)
{
    char *argv[16];
    bool help = false;
    va_list ap;

    va_start(ap, argc);
    for (int i = 0; i < argc; i++) {
        argv[i] = va_arg(ap, char *);
    }
    va_end(ap);
    err_clear(e);
    return train_config_parse(argc, argv, c, &help, e);
}

/* A recipe file in TMPDIR; the caller unlinks it. */
static void write_recipe(char *path, size_t size, const char *text)
{
    const char *dir = getenv("TMPDIR");
    int fd = -1;

    (void)snprintf(path, size, "%s/recipe-XXXXXX", dir != NULL ? dir : "/tmp");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

static void defaults_are_the_papers(void **state)
{
    struct train_config c;
    struct err e = {0};

    (void)state;
    assert_int_equal(parse(&c, &e, 0), RC_OK);
    assert_int_equal(c.batch, 4096);
    assert_float_equal(c.lr, 0.1, 0);
    assert_float_equal(c.epochs, 350, 0);
    assert_float_equal(c.weight_decay, 4e-5, 1e-12);
    assert_float_equal(c.label_smoothing, 0.1, 1e-12);
    assert_float_equal(c.ema_decay, 0.9999, 1e-12);
    assert_float_equal(c.dropout, 0.25, 0);
    train_config_release(&c);
}

static void the_command_line_beats_the_recipe(void **state)
{
    char path[256];
    struct train_config c;
    struct err e = {0};

    (void)state;
    write_recipe(path, sizeof path, "student:\n  batch: 32\n  lr: 0.5\nteacher:\n  batch: 64\n");
    assert_int_equal(parse(&c, &e, 6, "--recipe", path, "--section", "student", "--set", "lr=0.25"),
                     RC_OK);
    assert_int_equal(c.batch, 32);
    assert_float_equal(c.lr, 0.25, 0);
    train_config_release(&c);
    (void)unlink(path);
}

static void an_unknown_key_names_file_and_line(void **state)
{
    char path[256];
    char where[300];
    struct train_config c;
    struct err e = {0};

    (void)state;
    write_recipe(path, sizeof path, "train:\n  batch: 32\n  learning: 1\n");
    assert_int_not_equal(parse(&c, &e, 2, "--recipe", path), RC_OK);
    (void)snprintf(where, sizeof where, "%s:3", path);
    assert_non_null(strstr(e.msg, where));
    assert_non_null(strstr(e.msg, "learning"));
    (void)unlink(path);
}

static void a_missing_section_is_named(void **state)
{
    char path[256];
    struct train_config c;
    struct err e = {0};

    (void)state;
    write_recipe(path, sizeof path, "teacher:\n  batch: 32\n");
    assert_int_equal(parse(&c, &e, 2, "--recipe", path), RC_INVAL);
    assert_non_null(strstr(e.msg, "section 'train'"));
    (void)unlink(path);
}

static void a_micro_batch_divides_both_streams_alike(void **state)
{
    struct train_config c;
    struct train_rows rows;
    struct err e = {0};

    (void)state;
    assert_int_equal(parse(&c, &e, 8, "--batch", "32", "--unlabeled_ratio", "3", "--unlabeled", "u",
                           "--micro_batch", "64"),
                     RC_OK);
    assert_int_equal(train_config_rows(&c, &rows, &e), RC_OK);
    assert_int_equal(rows.labeled, 32);
    assert_int_equal(rows.unlabeled, 96);
    assert_int_equal(rows.micro_batches, 2);
    assert_int_equal(rows.micro_labeled, 16);
    assert_int_equal(rows.micro_unlabeled, 48);
    c.micro_batch = 48;
    assert_int_equal(train_config_rows(&c, &rows, &e), RC_INVAL);
    assert_non_null(strstr(e.msg, "micro_batch 48"));
    train_config_release(&c);
}

static void the_rate_scales_with_the_rows_of_a_step(void **state)
{
    struct train_config c;
    struct trainer_config tc;
    struct nn_model model;
    struct err e = {0};

    (void)state;
    assert_int_equal(parse(&c, &e, 2, "--batch", "4096"), RC_OK);
    assert_int_equal(train_config_model(&c, 1000, &model, &e), RC_OK);
    assert_int_equal(train_config_trainer(&c, &model, 1281167, &tc, &e), RC_OK);
    assert_float_equal(tc.schedule.lr, 1.6, 1e-12);
    assert_int_equal(tc.schedule.steps,
                     109475); /* 350 epochs of 1,281,167 by 4096: the TF1 configs' */
    assert_int_equal(tc.schedule.warmup, 1564);
    train_config_release(&c);
}

static void the_labeled_norm_scales_with_labeled_rows_alone(void **state)
{
    struct train_config c;
    struct trainer_config tc;
    struct nn_model model;
    struct err e = {0};

    (void)state;
    assert_int_equal(parse(&c, &e, 10, "--batch", "256", "--unlabeled_ratio", "3", "--unlabeled",
                           "u", "--loss_norm", "labeled", "--steps", "100"),
                     RC_OK);
    assert_int_equal(train_config_model(&c, 10, &model, &e), RC_OK);
    assert_int_equal(train_config_trainer(&c, &model, 1000, &tc, &e), RC_OK);
    assert_float_equal(tc.schedule.lr, 0.1, 1e-12);
    train_config_release(&c);
}

static void bad_channel_statistics_are_refused(void **state)
{
    struct train_config c;
    struct trainer_config tc;
    struct nn_model model;
    struct err e = {0};

    (void)state;
    assert_int_equal(parse(&c, &e, 4, "--mean", "0.5,0.5", "--steps", "10"), RC_OK);
    assert_int_equal(train_config_model(&c, 10, &model, &e), RC_OK);
    assert_int_equal(train_config_trainer(&c, &model, 100, &tc, &e), RC_INVAL);
    assert_non_null(strstr(e.msg, "mean '0.5,0.5': expected 3 numbers"));
    train_config_release(&c);
}

static void an_unknown_model_points_to_the_list(void **state)
{
    struct train_config c;
    struct nn_model model;
    struct err e = {0};

    (void)state;
    assert_int_equal(parse(&c, &e, 2, "--model", "resnet18"), RC_OK);
    assert_int_equal(train_config_model(&c, 10, &model, &e), RC_INVAL);
    assert_non_null(strstr(e.msg, "'resnet18'"));
    assert_non_null(strstr(e.msg, "preceptor models"));
    train_config_release(&c);
}

static void values_out_of_range_are_usage_errors(void **state)
{
    struct train_config c;
    struct err e = {0};

    (void)state;
    assert_int_equal(parse(&c, &e, 2, "--momentum", "1.5"), RC_USAGE);
    assert_non_null(strstr(e.msg, "momentum"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_papers),
        cmocka_unit_test(the_command_line_beats_the_recipe),
        cmocka_unit_test(an_unknown_key_names_file_and_line),
        cmocka_unit_test(a_missing_section_is_named),
        cmocka_unit_test(a_micro_batch_divides_both_streams_alike),
        cmocka_unit_test(the_rate_scales_with_the_rows_of_a_step),
        cmocka_unit_test(the_labeled_norm_scales_with_labeled_rows_alone),
        cmocka_unit_test(bad_channel_statistics_are_refused),
        cmocka_unit_test(an_unknown_model_points_to_the_list),
        cmocka_unit_test(values_out_of_range_are_usage_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "mpi_launch/args.h"
#include "mpi_launch/child.h"
#include "mpi_launch/launch_verbs.h"

const struct verb *main_verb(const char *name)
{
    (void)name;
    return NULL;
}

static const volatile sig_atomic_t go = 0;
static const volatile sig_atomic_t stop = 1;

static enum rc shell(const char *script, const volatile sig_atomic_t *flag,
                     struct child_result *out, struct err *e)
{
    struct args argv = {0};
    enum rc rc = args_add_words(&argv, "sh -c", e);

    if (rc == RC_OK) {
        rc = args_add(&argv, e, "%s", script);
    }
    if (rc == RC_OK) {
        rc = child_run(argv.v, flag, 0, out, e);
    }
    args_release(&argv);
    return rc;
}

static void output_and_exit_code_come_back(void **state)
{
    struct child_result r = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(shell("echo facts; exit 7", &go, &r, &e), RC_OK);
    assert_int_equal(r.exit_code, 7);
    assert_string_equal(r.output, "facts\n");
    assert_int_equal(r.bytes, 6);
    mem_free(r.output);
}

static void who_has_said_all_and_does_not_end_is_killed(void **state)
{
    char sh[] = "sh";
    char c[] = "-c";
    char talks[] = "echo facts; sleep 0.2; echo more; exec sleep 30";
    char *const argv[] = {sh, c, talks, NULL};
    struct child_result r = {0};
    struct err e = {0};
    double start = clock_now();

    (void)state;
    assert_int_equal(child_run(argv, &go, 1, &r, &e), RC_OK);
    assert_true(clock_now() - start >= 1.2 && clock_now() - start < 20);
    assert_int_equal(r.exit_code, 0);
    assert_string_equal(r.output, "facts\nmore\n");
    mem_free(r.output);
}

static void long_output_comes_back_whole(void **state)
{
    struct child_result r = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(shell("yes 1234567 | head -n 100000", &go, &r, &e), RC_OK);
    assert_int_equal(r.bytes, 800000);
    assert_memory_equal(r.output + 799992, "1234567\n", 8);
    mem_free(r.output);
}

static void a_signal_that_ended_it_is_told(void **state)
{
    struct child_result r = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(shell("kill -9 $$", &go, &r, &e), RC_OK);
    assert_int_equal(r.exit_code, 128 + SIGKILL);
    mem_free(r.output);
}

static void a_program_that_is_not_there_is_named(void **state)
{
    struct child_result r = {0};
    struct args argv = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(args_add(&argv, &e, "no-such-launcher"), RC_OK);
    assert_int_equal(child_run(argv.v, &go, 0, &r, &e), RC_IO);
    assert_string_equal(e.msg, "cannot start 'no-such-launcher': No such file or directory (is it "
                               "installed and in PATH?)");
    assert_null(r.output);
    args_release(&argv);
}

static void obey(int number)
{
    (void)number;
    _exit(75);
}

/* What the next case starts: this program again, slow to put its handler up. */
_Noreturn static void be_a_slow_child(void)
{
    const struct timespec nap = {0, 300 * 1000 * 1000};

    (void)nanosleep(&nap, NULL);
    (void)signal(SIGUSR1, obey);
    for (;;) {
        (void)pause();
    }
}

static void a_stop_reaches_it_even_before_its_handler_stands(void **state)
{
    char program[] = "/proc/self/exe";
    char slow[] = "slow";
    char *argv[] = {program, slow, NULL};
    struct child_result r = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(child_run(argv, &stop, 0, &r, &e), RC_OK);
    assert_int_equal(r.exit_code, 75);
    mem_free(r.output);
}

static void it_reads_nothing_from_the_terminal(void **state)
{
    struct child_result r = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(shell("cat; echo end", &go, &r, &e), RC_OK);
    assert_string_equal(r.output, "end\n");
    mem_free(r.output);
}

static void a_line_quotes_what_a_shell_would_split(void **state)
{
    struct args a = {0};
    struct err e = {0};
    char *line = NULL;

    (void)state;
    assert_int_equal(args_add_words(&a, "  run  r.yaml ", &e), RC_OK);
    assert_int_equal(args_add(&a, &e, "--match=*/train/*"), RC_OK);
    assert_int_equal(args_add(&a, &e, "it's"), RC_OK);
    assert_int_equal(a.n, 4);
    assert_null(a.v[4]);
    line = args_line(&a);
    assert_string_equal(line, "run r.yaml '--match=*/train/*' 'it'\\''s'");
    mem_free(line);
    args_release(&a);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_exit_code_come_back),
        cmocka_unit_test(who_has_said_all_and_does_not_end_is_killed),
        cmocka_unit_test(long_output_comes_back_whole),
        cmocka_unit_test(a_signal_that_ended_it_is_told),
        cmocka_unit_test(a_program_that_is_not_there_is_named),
        cmocka_unit_test(a_stop_reaches_it_even_before_its_handler_stands),
        cmocka_unit_test(it_reads_nothing_from_the_terminal),
        cmocka_unit_test(a_line_quotes_what_a_shell_would_split),
    };

    if (argc == 2 && strcmp(argv[1], "slow") == 0) {
        be_a_slow_child();
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <pty.h>

#include "common/base/log.h"
#include "common/base/progress.h"
#include "tests/common/base/support.h"

static int caught = -1;

static void as_rank(int rank, enum log_level level)
{
    const struct log_config config = {.rank = rank, .size = 2, .level = level};

    log_init(&config);
}

static void catch_in_file(void)
{
    int file = open(support_file("stderr"), O_RDWR | O_CREAT | O_TRUNC, 0600);

    caught = support_catch(STDERR_FILENO, file);
    (void)close(file);
}

static const char *shown(void)
{
    support_uncatch(STDERR_FILENO, caught);
    return support_read(support_file("stderr"));
}

/* As if it had begun so long ago and shown nothing since. */
static void backdate(struct progress *p, double seconds)
{
    p->start -= seconds;
    p->shown -= seconds;
}

static void a_file_gets_a_plain_line_every_30_seconds(void **state)
{
    struct progress p;

    (void)state;
    as_rank(0, LOG_INFO);
    catch_in_file();
    progress_begin(&p, "label", "images", 60000, 0);
    progress_update(&p, 100, NULL);
    backdate(&p, 29);
    progress_update(&p, 20000, NULL);
    backdate(&p, 11);
    progress_update(&p, 40000, "io wait 3 %");
    progress_update(&p, 41000, NULL);
    assert_string_equal(shown(),
                        "label | 40000/60000 images (66 %) | 1000 img/s | io wait 3 % | eta 20s\n");
}

static void unknown_totals_have_no_share_and_no_eta(void **state)
{
    struct progress p;

    (void)state;
    as_rank(0, LOG_INFO);
    catch_in_file();
    progress_begin(&p, "pack", "files", 0, 0);
    backdate(&p, 100);
    progress_update(&p, 500, NULL);
    assert_string_equal(shown(), "pack | 500 files | 5.00 files/s\n");
}

static void resumed_work_is_not_in_the_rate(void **state)
{
    struct progress p;

    (void)state;
    as_rank(0, LOG_INFO);
    catch_in_file();
    progress_begin(&p, "label", "images", 2000, 1000);
    backdate(&p, 100);
    progress_update(&p, 1500, NULL);
    backdate(&p, 100);
    progress_update(&p, 1500, NULL);
    progress_end(&p, "done");
    assert_string_equal(shown(), "label | 1500/2000 images (75 %) | 5.00 img/s | eta 1m40s\n"
                                 "label | 1500/2000 images (75 %) | 2.50 img/s | eta 3m20s\n"
                                 "label | 1500 images in 3m20s | 2.50 img/s | done\n");
}

static void nothing_done_yet_divides_by_nothing(void **state)
{
    struct progress p;

    (void)state;
    as_rank(0, LOG_INFO);
    catch_in_file();
    progress_begin(&p, "label", "images", 10, 0);
    backdate(&p, 31);
    progress_update(&p, 0, NULL);
    progress_begin(&p, "label", "images", 0, 0);
    p.start += 1000;
    progress_end(&p, NULL);
    assert_string_equal(shown(), "label | 0/10 images (0 %) | 0.00 img/s\n"
                                 "label | 0 images in 0s | 0.00 img/s\n");
}

static void quiet_runs_and_other_ranks_show_nothing(void **state)
{
    struct progress p;

    (void)state;
    catch_in_file();
    for (int i = 0; i < 2; i++) {
        as_rank(i, i == 0 ? LOG_WARN : LOG_INFO);
        progress_begin(&p, "label", "images", 10, 0);
        backdate(&p, 100);
        progress_update(&p, 5, NULL);
        progress_end(&p, NULL);
    }
    assert_string_equal(shown(), "");
}

static void a_terminal_gets_one_line_that_is_rewritten_and_cut_to_its_width(void **state)
{
    struct winsize size = {.ws_row = 24, .ws_col = 40};
    struct progress p;
    char text[1024];
    size_t got = 0;
    ssize_t n = 0;
    int master = -1;
    int slave = -1;

    (void)state;
    if (openpty(&master, &slave, NULL, NULL, &size) != 0) {
        print_message("skipped: no pseudo-terminal can be had here\n");
        skip();
    }
    as_rank(0, LOG_INFO);
    caught = support_catch(STDERR_FILENO, slave);
    progress_begin(&p, "label", "images", 60000, 0);
    progress_update(&p, 1, NULL);
    backdate(&p, 10);
    progress_update(&p, 30000, "a detail that is wider than the terminal");
    log_warn("test", "a line between");
    progress_end(&p, NULL);
    support_uncatch(STDERR_FILENO, caught);
    (void)close(slave);
    while ((n = read(master, text + got, sizeof text - 1 - got)) > 0) {
        got += (size_t)n;
    }
    text[got] = '\0';
    (void)close(master);
    assert_int_equal(strncmp(text, "\r\033[Klabel | 30000/60000 images (50 %) | 300\r\033[K", 47),
                     0);
    assert_non_null(strstr(text, " r0 W test: a line between\r\n"));
    assert_non_null(strstr(text, "\r\033[Klabel | 30000 images in 10s | 3000 img/s\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_gets_a_plain_line_every_30_seconds),
        cmocka_unit_test(unknown_totals_have_no_share_and_no_eta),
        cmocka_unit_test(resumed_work_is_not_in_the_rate),
        cmocka_unit_test(nothing_done_yet_divides_by_nothing),
        cmocka_unit_test(quiet_runs_and_other_ranks_show_nothing),
        cmocka_unit_test(a_terminal_gets_one_line_that_is_rewritten_and_cut_to_its_width),
    };

    return cmocka_run_group_tests(tests, support_enter, support_leave);
}

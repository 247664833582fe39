#include <regex.h>

#include "common/base/log.h"
#include "tests/common/base/support.h"

static int caught = -1;

static void begin(int rank, int size, enum log_level level)
{
    const struct log_config config = {rank, size, level};
    int file = open(support_file("stderr"), O_RDWR | O_CREAT | O_TRUNC, 0600);

    caught = support_catch(STDERR_FILENO, file);
    (void)close(file);
    log_init(&config);
}

static void expect(const char *pattern)
{
    regex_t re;
    const char *text = NULL;

    support_uncatch(STDERR_FILENO, caught);
    text = support_read(support_file("stderr"));
    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&re, text, 0, NULL, 0) != 0) {
        regfree(&re);
        fail_msg("'%s' is not like '%s'", text, pattern);
    }
    regfree(&re);
}

static void a_line_has_time_level_area_and_sentence(void **state)
{
    (void)state;
    begin(0, 1, LOG_INFO);
    log_info("shards", "packed %d images", 7);
    expect("^[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9] I shards: packed 7 images\n$");
}

static void several_ranks_are_told_apart(void **state)
{
    (void)state;
    begin(3, 4, LOG_INFO);
    log_info("shards", "info of another rank than 0 is dropped");
    log_warn("shards", "skipped");
    expect("^[0-9:.]+ r3 W shards: skipped\n$");
    assert_int_equal(log_rank(), 3);
}

static void levels_below_the_threshold_are_dropped(void **state)
{
    (void)state;
    begin(0, 1, LOG_WARN);
    log_debug("a", "x");
    log_info("a", "x");
    log_warn("a", "kept");
    expect("^[^\n]* W a: kept\n$");
    assert_int_equal(log_threshold(), LOG_WARN);
    begin(0, 1, LOG_DEBUG);
    log_debug("a", "kept too");
    expect("^[^\n]* D a: kept too\n$");
}

static void a_shown_status_is_wiped_once(void **state)
{
    (void)state;
    begin(0, 1, LOG_INFO);
    log_set_status_shown(true);
    log_info("a", "one");
    log_info("a", "two");
    expect("^\r\033\\[K[^\r\n]* one\n[^\r\n]* two\n$");
}

static void an_endless_sentence_is_cut(void **state)
{
    char text[5000];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    begin(0, 1, LOG_INFO);
    log_info("a", "%s", text);
    expect("^[^\n]* I a: x+\n$");
    assert_true(strlen(support_read(support_file("stderr"))) < 1100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_area_and_sentence),
        cmocka_unit_test(several_ranks_are_told_apart),
        cmocka_unit_test(levels_below_the_threshold_are_dropped),
        cmocka_unit_test(a_shown_status_is_wiped_once),
        cmocka_unit_test(an_endless_sentence_is_cut),
    };

    return cmocka_run_group_tests(tests, support_enter, support_leave);
}

#include "common/base/clock.h"
#include "tests/common/base/support.h"

static void the_clock_never_goes_back(void **state)
{
    double last = clock_now();

    (void)state;
    for (int i = 0; i < 1000; i++) {
        double now = clock_now();

        assert_true(now >= last);
        last = now;
    }
}

static void durations_read_well(void **state)
{
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{-3, "0s"},      {0.4, "0s"},    {42, "42s"},
                 {59.6, "1m00s"}, {185, "3m05s"}, {3599, "59m59s"},
                 {3600, "1h00"},  {7800, "2h10"}, {360000, "100h00"}};
    char buf[32];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clock_format(cases[i].seconds, buf, sizeof buf);
        assert_string_equal(buf, cases[i].text);
    }
}

static void a_stamp_is_utc_in_iso_form(void **state)
{
    char buf[CLOCK_STAMP_MAX];
    int year = 0;
    int n = 0;

    (void)state;
    clock_stamp(buf, sizeof buf);
    assert_int_equal(strlen(buf), 20);
    assert_int_equal(sscanf(buf, "%4d-%*2d-%*2dT%*2d:%*2d:%*2dZ%n", &year, &n), 1);
    assert_int_equal(n, 20);
    assert_true(year >= 2024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clock_never_goes_back),
        cmocka_unit_test(durations_read_well),
        cmocka_unit_test(a_stamp_is_utc_in_iso_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

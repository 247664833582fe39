#include "common/base/nearest.h"
#include "tests/common/base/support.h"

static void the_nearest_name_is_found_and_a_far_one_is_not(void **state)
{
    const char *const names[] = {"train", "label", "eval", NULL};

    (void)state;
    assert_string_equal(nearest_name(names, "lable"), "label");
    assert_string_equal(nearest_name(names, "trains"), "train");
    assert_null(nearest_name(names, "quarantine"));
}

static void a_distance_counts_edits(void **state)
{
    (void)state;
    assert_int_equal(nearest_distance("", ""), 0);
    assert_int_equal(nearest_distance("abc", ""), 3);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
    assert_int_equal(nearest_distance("min-confidence", "min_confidence"), 0);
}

static void a_long_text_is_far_from_everything(void **state)
{
    const char *const names[] = {"train", NULL};
    char text[NEAREST_MAX + 2];

    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(nearest_distance("train", text), NEAREST_MAX);
    assert_string_equal(nearest_name(names, "train"), "train");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_name_is_found_and_a_far_one_is_not),
        cmocka_unit_test(a_distance_counts_edits),
        cmocka_unit_test(a_long_text_is_far_from_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

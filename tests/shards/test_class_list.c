#include "tests/shards/help.h"

static void a_file_gives_its_names_in_order(void **state)
{
    char path[512];
    struct class_list l;
    struct err e = {0};
    int index = 0;

    class_list_init(&l);
    help_text(*state, "c.txt", "zebra\tan animal\r\n\nape\ncar");
    assert_ok(class_list_load(&l, help_path(path, *state, "c.txt"), &e), e);
    assert_int_equal(l.n, 3);
    assert_string_equal(l.names[0], "zebra");
    assert_string_equal(l.names[2], "car");
    assert_ok(class_list_find(&l, "ape", 3, &index, &e), e);
    assert_int_equal(index, 1);
    assert_ok(class_list_find(&l, "apes", 4, &index, &e), e);
    assert_int_equal(index, -1);
    class_list_release(&l);
}

static void wrong_files_are_refused_with_a_sentence(void **state)
{
    static const struct {
        const char *text;
        size_t bytes;
        const char *says;
    } wrong[] = {{"", 0, "is empty: expected one name a line"},
                 {"a\nb\na\n", 6, "names 'a' twice"},
                 {"a\0b\n", 4, "holds a zero byte"},
                 {"\xff\xfe\n", 3, "is not one line of UTF-8"}};
    char path[512];

    (void)help_path(path, *state, "c.txt");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct class_list l;
        struct err e = {0};

        class_list_init(&l);
        help_write(*state, "c.txt", wrong[i].text, wrong[i].bytes);
        assert_int_equal(class_list_load(&l, path, &e), RC_INVAL);
        assert_says(e, wrong[i].says);
        class_list_release(&l);
    }
}

static void names_are_sorted_bytewise_and_kept_once(void **state)
{
    static const char *const names[] = {"b", "a", "B", "b", "10", "2", "a"};
    static const char *const sorted[] = {"10", "2", "B", "a", "b"};
    struct class_list l;
    struct err e = {0};

    (void)state;
    class_list_init(&l);
    for (int i = 0; i < 7; i++) {
        assert_ok(class_list_add(&l, names[i], strlen(names[i]), &e), e);
    }
    class_list_sort(&l);
    assert_int_equal(l.n, 5);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(l.names[i], sorted[i]);
    }
    class_list_release(&l);
}

static void interning_gives_each_name_one_index(void **state)
{
    struct class_list l;
    struct err e = {0};

    (void)state;
    class_list_init(&l);
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 500; i++) {
            char name[16];
            int index = -1;

            (void)snprintf(name, sizeof name, "%d", i * 7919 % 500);
            assert_ok(class_list_intern(&l, name, strlen(name), &index, &e), e);
            assert_int_equal(index, i);
        }
    }
    assert_int_equal(l.n, 500);
    class_list_release(&l);
}

/* The value is the one that sha256sum gives: printf 'a\nb\n' | sha256sum. */
static void the_digest_is_that_of_the_lines(void **state)
{
    static const char *const names[] = {"a", "b"};
    struct digest d;
    struct digest expected;

    (void)state;
    class_list_digest(names, 2, &d);
    hash_digest("a\nb\n", 4, &expected);
    assert_memory_equal(&d, &expected, sizeof d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_gives_its_names_in_order, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(wrong_files_are_refused_with_a_sentence, help_setup,
                                        help_teardown),
        cmocka_unit_test(names_are_sorted_bytewise_and_kept_once),
        cmocka_unit_test(interning_gives_each_name_one_index),
        cmocka_unit_test(the_digest_is_that_of_the_lines)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

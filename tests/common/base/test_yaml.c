#include "common/base/clock.h"
#include "common/base/yaml.h"
#include "tests/common/base/support.h"

static struct yaml_doc doc;
static struct err e;

static enum rc parse(const char *text)
{
    return yaml_parse(text, strlen(text), "r.yaml", &doc, &e);
}

static void expect(const char *key, const char *value, int line)
{
    const struct yaml_entry *entry = yaml_find(&doc, key);

    if (entry == NULL) {
        fail_msg("no key '%s'", key);
    }
    assert_string_equal(entry->value, value);
    assert_int_equal(entry->line, line);
}

static void refuse(const char *text, const char *part)
{
    support_expect(parse(text), RC_CORRUPT, &e, part);
    assert_null(doc.entries);
}

static void nested_keys_and_lists_become_dotted_paths(void **state)
{
    (void)state;
    support_ok(parse("a: {b: [1, 2]}\nc:\n  - d: x\n  - e:\n      f: 'it''s'\ng.h: \"q\\n\"\n"),
               &e);
    assert_int_equal(doc.n, 5);
    expect("a.b.0", "1", 1);
    expect("a.b.1", "2", 1);
    expect("c.0.d", "x", 3);
    expect("c.1.e.f", "it's", 5);
    expect("g.h", "q\n", 6);
    assert_string_equal(doc.path, "r.yaml");
    assert_null(yaml_find(&doc, "a"));
    assert_null(yaml_find(&doc, "a.b"));
    yaml_release(&doc);
}

static void entries_stay_in_the_order_of_the_file(void **state)
{
    (void)state;
    support_ok(parse("z: 1\na: 2\nm: 3\n"), &e);
    assert_string_equal(doc.entries[0].key, "z");
    assert_string_equal(doc.entries[1].key, "a");
    assert_string_equal(doc.entries[2].key, "m");
    yaml_release(&doc);
}

static void empty_texts_and_values_are_fine(void **state)
{
    static const char *const empty[] = {"",      "\n\n", "# only a comment\n",
                                        "---\n", "{}",   "a: {}\nb: []"};

    (void)state;
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        support_ok(parse(empty[i]), &e);
        assert_int_equal(doc.n, 0);
        yaml_release(&doc);
    }
    support_ok(parse("a:\nb: ''\n"), &e);
    expect("a", "", 1);
    expect("b", "", 2);
    yaml_release(&doc);
}

static void a_mapping_may_be_given_in_both_forms_together(void **state)
{
    (void)state;
    support_ok(parse("a: {b: 1}\na.c: 2\n"), &e);
    expect("a.b", "1", 1);
    expect("a.c", "2", 2);
    yaml_release(&doc);
}

static void a_key_given_twice_is_refused_with_both_lines(void **state)
{
    (void)state;
    refuse("a: 1\nb: 2\na: 3\n", "r.yaml:3: the key 'a' was given before, in line 1");
    refuse("a: {b: 1}\n\na.b: 2\n", "r.yaml:3: the key 'a.b' was given before, in line 1");
    refuse("a.b: 2\na:\n  b: 1\n", "r.yaml:3: the key 'a.b' was given before, in line 1");
    refuse("a: {b: 1}\na: {c: 1}\n", "r.yaml:2: the key 'a' was given before, in line 1");
    refuse("a: {b: 1}\na: 1\n", "r.yaml:2: the key 'a' was given before, in line 1");
}

static void anchors_aliases_tags_and_more_documents_are_refused(void **state)
{
    (void)state;
    refuse("a: &x 1\n", "r.yaml:1: anchors (&) and tags (!) are not allowed here");
    refuse("a: &x {b: 1}\n", "anchors (&)");
    refuse("a: &x [1]\n", "anchors (&)");
    refuse("\nb: *x\n", "r.yaml:2: aliases (*) are not allowed here");
    refuse("a: !!str 1\n", "tags (!)");
    refuse("a: !x {b: 1}\n", "tags (!)");
    refuse("a: 1\n---\nb: 2\n", "r.yaml:2: a second document: expected one");
}

static void a_billion_laughs_are_refused_at_the_first(void **state)
{
    (void)state;
    refuse("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", "r.yaml:1: anchors (&)");
}

static void what_is_not_key_and_value_is_refused(void **state)
{
    (void)state;
    refuse("just a text\n", "r.yaml:1: expected 'key: value' lines");
    refuse("- a\n- b\n", "r.yaml:1: expected 'key: value' lines");
    refuse("? [a]\n: b\n", "r.yaml:1: a key must be a plain text");
    refuse("? {a: 1}\n: b\n", "a key must be a plain text");
    refuse("'': b\n", "r.yaml:1: an empty key");
    refuse("a: [1, 2\nb: 3\n", "r.yaml:2: not YAML: ");
    refuse("a: 'x\n", "not YAML: ");
    refuse("\ta: 1\n", "r.yaml:1: not YAML: ");
    refuse("a: \"\\0\"\n", "r.yaml:1: a zero byte in a text");
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    static const char zeroes[64];
    (void)state;
    refuse("a: \xff\xfe\n", "r.yaml:");
    refuse("a: \xc3\n", "r.yaml:");
    support_expect(yaml_parse(zeroes, sizeof zeroes, "r.yaml", &doc, &e), RC_CORRUPT, &e,
                   "r.yaml:");
}

static void deep_nesting_is_refused_at_its_bound(void **state)
{
    char text[200];
    size_t n = 0;

    (void)state;
    n = (size_t)snprintf(text, sizeof text, "a: ");
    for (int i = 1; i < YAML_MAX_DEPTH; i++) {
        text[n++] = '[';
    }
    (void)snprintf(text + n, sizeof text - n, "1]]]]]]]]]]]]]]]\n");
    support_ok(parse(text), &e);
    assert_int_equal(doc.n, 1);
    yaml_release(&doc);
    (void)snprintf(text + n, sizeof text - n, "[1]]]]]]]]]]]]]]]]\n");
    refuse(text, "r.yaml:1: nested too deep");
}

static void huge_inputs_end_soon(void **state)
{
    static const char *const units[] = {"[", "{a: ", "- ", "? ", "'", "a: 1\n", "&a ", "\n", "!"};
    char *text = mem_calloc(YAML_MAX_BYTES + 2, 1);
    double start = clock_now();

    (void)state;
    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        size_t length = strlen(units[u]);

        for (size_t i = 0; i < YAML_MAX_BYTES; i++) {
            text[i] = units[u][i % length];
        }
        if (yaml_parse(text, YAML_MAX_BYTES, "r.yaml", &doc, &e) == RC_OK) {
            assert_int_equal(doc.n, 0);
            yaml_release(&doc);
        } else {
            support_expect(RC_CORRUPT, RC_CORRUPT, &e, "r.yaml:");
        }
    }
    assert_true(clock_now() - start < 30);
    support_expect(yaml_parse(text, YAML_MAX_BYTES + 1, "r.yaml", &doc, &e), RC_CORRUPT, &e,
                   "1048577 bytes are more than a recipe may have");
    mem_free(text);
}

static void too_many_or_too_long_keys_are_refused(void **state)
{
    char *text = mem_calloc((size_t)(YAML_MAX_ENTRIES + 2) * 10, 1);
    size_t n = 0;

    (void)state;
    for (int i = 0; i <= YAML_MAX_ENTRIES; i++) {
        n += (size_t)snprintf(text + n, 11, "k%d: 1\n", i);
        if (i == YAML_MAX_ENTRIES - 1) {
            support_ok(parse(text), &e);
            assert_int_equal(doc.n, YAML_MAX_ENTRIES);
            yaml_release(&doc);
        }
    }
    refuse(text, "r.yaml:10001: more keys than a recipe may have");
    memset(text, 'k', 600);
    (void)snprintf(text + 600, 10, ": 1\n");
    refuse(text, "r.yaml:1: a key is too long");
    mem_free(text);
}

static void a_file_is_loaded_and_named(void **state)
{
    (void)state;
    support_write(support_file("r.yaml"), "a: 1\nb: *x\n", 11);
    support_expect(yaml_load(support_file("r.yaml"), &doc, &e), RC_CORRUPT, &e,
                   "/r.yaml:2: aliases");
    support_expect(yaml_load(support_file("absent"), &doc, &e), RC_IO, &e, "absent': No such file");
    support_write(support_file("r.yaml"), "a: 1\n", 5);
    support_ok(yaml_load(support_file("r.yaml"), &doc, &e), &e);
    expect("a", "1", 1);
    yaml_release(&doc);
    yaml_release(&doc);
}

static enum rc parse_once(void *arg, struct err *why)
{
    struct yaml_doc d = {0};
    enum rc rc = yaml_parse(arg, strlen(arg), "r.yaml", &d, why);

    yaml_release(&d);
    return rc;
}

static void without_memory_it_says_so(void **state)
{
    char text[] = "a: {b: [1, 2]}\nc: d\n";

    (void)state;
    assert_true(support_fail_each(parse_once, text) >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested_keys_and_lists_become_dotted_paths),
        cmocka_unit_test(entries_stay_in_the_order_of_the_file),
        cmocka_unit_test(empty_texts_and_values_are_fine),
        cmocka_unit_test(a_mapping_may_be_given_in_both_forms_together),
        cmocka_unit_test(a_key_given_twice_is_refused_with_both_lines),
        cmocka_unit_test(anchors_aliases_tags_and_more_documents_are_refused),
        cmocka_unit_test(a_billion_laughs_are_refused_at_the_first),
        cmocka_unit_test(what_is_not_key_and_value_is_refused),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(deep_nesting_is_refused_at_its_bound),
        cmocka_unit_test(huge_inputs_end_soon),
        cmocka_unit_test(too_many_or_too_long_keys_are_refused),
        cmocka_unit_test(a_file_is_loaded_and_named),
        cmocka_unit_test(without_memory_it_says_so),
    };

    return cmocka_run_group_tests(tests, support_enter, support_leave);
}

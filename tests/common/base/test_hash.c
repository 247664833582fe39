#include "common/base/hash.h"
#include "tests/common/base/support.h"

static const char EMPTY[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char ABC[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char MILLION[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void expect_digest(const struct digest *d, const char *hex)
{
    char text[HASH_HEX_DIGEST];

    hash_digest_hex(d, text);
    assert_string_equal(text, hex);
}

static void sha256_gives_the_published_digests(void **state)
{
    struct digest d;

    (void)state;
    hash_digest("", 0, &d);
    expect_digest(&d, EMPTY);
    hash_digest("abc", 3, &d);
    expect_digest(&d, ABC);
}

static void a_running_hash_equals_the_whole_and_starts_anew(void **state)
{
    struct hash *h = NULL;
    struct digest d;
    struct err e = {0};

    (void)state;
    support_ok(hash_create(&h, &e), &e);
    for (int i = 0; i < 1000000 / 8; i++) {
        hash_update(h, "aaaaaaaa", 8);
    }
    hash_final(h, &d);
    expect_digest(&d, MILLION);
    hash_update(h, "ab", 2);
    hash_update(h, "c", 1);
    hash_final(h, &d);
    expect_digest(&d, ABC);
    hash_final(h, &d);
    expect_digest(&d, EMPTY);
    hash_destroy(h);
    hash_destroy(NULL);
}

static void a_file_hashes_as_its_bytes(void **state)
{
    enum { N = 3000001 };
    unsigned char *bytes = mem_calloc(N, 1);
    struct digest whole;
    struct digest file;
    struct err e = {0};

    (void)state;
    for (int i = 0; i < N; i++) {
        bytes[i] = (unsigned char)(i * 31);
    }
    support_write(support_file("big"), bytes, N);
    hash_digest(bytes, N, &whole);
    support_ok(hash_file(support_file("big"), &file, &e), &e);
    assert_memory_equal(&whole, &file, sizeof whole);
    mem_free(bytes);
}

static void a_missing_file_is_named(void **state)
{
    struct digest d;
    struct err e = {0};

    (void)state;
    support_expect(hash_file(support_file("absent"), &d, &e), RC_IO, &e, "absent': No such file");
    support_expect(hash_file(support_dir, &d, &e), RC_IO, &e, "Is a directory");
}

static void a_key_is_the_first_half_of_the_digest(void **state)
{
    struct key128 key;
    char text[HASH_HEX_KEY];

    (void)state;
    hash_key("abc", 3, &key);
    hash_key_hex(&key, text);
    assert_int_equal(strlen(text), 32);
    assert_memory_equal(text, ABC, 32);
}

static void hex_is_read_back_in_both_cases(void **state)
{
    struct digest d;
    struct key128 key;
    char upper[HASH_HEX_DIGEST];
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof upper; i++) {
        upper[i] = ABC[i] >= 'a' ? (char)(ABC[i] - 32) : ABC[i];
    }
    support_ok(hash_digest_parse(upper, &d, &e), &e);
    expect_digest(&d, ABC);
    upper[32] = '\0';
    support_ok(hash_key_parse(upper, &key, &e), &e);
    assert_memory_equal(key.b, d.b, 16);
}

static void hex_that_is_none_is_quoted_and_leaves_the_output(void **state)
{
    static const char *const bad[] = {"", "12", "g0000000000000000000000000000000",
                                      "0000000000000000000000000000000 ",
                                      "000000000000000000000000000000000"};
    struct key128 key = {{42}};
    struct digest d = {{43}};
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        support_expect(hash_key_parse(bad[i], &key, &e), RC_INVAL, &e, bad[i]);
        support_expect(hash_digest_parse(bad[i], &d, &e), RC_INVAL, &e, "expected 64 hex digits");
    }
    assert_int_equal(key.b[0], 42);
    assert_int_equal(d.b[0], 43);
}

static void crc32_is_that_of_zlib_and_goes_on(void **state)
{
    (void)state;
    assert_int_equal(hash_crc32(0, "123456789", 9), 0xCBF43926);
    assert_int_equal(hash_crc32(hash_crc32(0, "1234", 4), "56789", 5), 0xCBF43926);
    assert_int_equal(hash_crc32(0, "", 0), 0);
}

static enum rc create(void *arg, struct err *e)
{
    struct hash *h = NULL;
    enum rc rc = hash_create(&h, e);

    (void)arg;
    hash_destroy(h);
    return rc;
}

static enum rc hash_a_file(void *arg, struct err *e)
{
    struct digest d;

    return hash_file(arg, &d, e);
}

static void without_memory_it_says_so(void **state)
{
    char path[512];

    (void)state;
    (void)snprintf(path, sizeof path, "%s", support_file("small"));
    support_write(path, "x", 1);
    assert_int_equal(support_fail_each(create, NULL), 1);
    assert_int_equal(support_fail_each(hash_a_file, path), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_published_digests),
        cmocka_unit_test(a_running_hash_equals_the_whole_and_starts_anew),
        cmocka_unit_test(a_file_hashes_as_its_bytes),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(a_key_is_the_first_half_of_the_digest),
        cmocka_unit_test(hex_is_read_back_in_both_cases),
        cmocka_unit_test(hex_that_is_none_is_quoted_and_leaves_the_output),
        cmocka_unit_test(crc32_is_that_of_zlib_and_goes_on),
        cmocka_unit_test(without_memory_it_says_so),
    };

    return cmocka_run_group_tests(tests, support_enter, support_leave);
}

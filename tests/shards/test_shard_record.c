#include "tests/shards/help.h"

#include "shards/shard_record.h"

static const struct shard_occurrence occurrences[] = {
    {.cls = 2, .source_bytes = 5, .source = "a.jpg"},
    {.cls = 2, .source_bytes = 0, .source = ""},
    {.cls = 7, .source_bytes = 9, .source = "b/\xff\xfe.jpg"}};

static struct shard_occurrence next_occurrence(void *ctx, uint32_t i)
{
    (void)ctx;
    return occurrences[i];
}

/* A record of three occurrences and a file of 13 bytes; *bytes long, the caller's to free. */
static unsigned char *make(size_t *bytes)
{
    struct key128 key;
    unsigned char *value = NULL;

    hash_key("thirteen byte", 13, &key);
    *bytes = shard_record_size(13, 3, 14);
    value = malloc(*bytes);
    assert_non_null(value);
    memset(value, 0x5a, *bytes);
    memcpy(shard_record_write(value, &key, 13, 3, 14, next_occurrence, NULL), "thirteen byte", 13);
    return value;
}

static void a_record_comes_back_as_it_was_written(void **state)
{
    size_t bytes = 0;
    unsigned char *value = make(&bytes);
    struct shard_record rec;
    struct key128 key;
    struct err e = {0};
    size_t n = 0;

    (void)state;
    assert_ok(shard_record_parse(value, bytes, "x", 0, &rec, &e), e);
    hash_key("thirteen byte", 13, &key);
    assert_memory_equal(&rec.key, &key, sizeof key);
    assert_int_equal(rec.bytes, 13);
    assert_memory_equal(rec.data, "thirteen byte", 13);
    assert_int_equal(((const unsigned char *)rec.data - value) % 8, 0);
    assert_int_equal(rec.n_occurrences, 3);
    for (int i = 0; i < 3; i++) {
        const char *source = shard_record_source(&rec, i, &n);

        assert_int_equal(shard_record_class(&rec, i), occurrences[i].cls);
        assert_int_equal(n, occurrences[i].source_bytes);
        assert_memory_equal(source, occurrences[i].source, n);
    }
    free(value);
}

/* The file's own bytes are guarded by the key; all before them by the checksum. */
static void every_flipped_bit_before_the_file_is_found(void **state)
{
    size_t bytes = 0;
    unsigned char *value = make(&bytes);

    (void)state;
    for (size_t bit = 0; bit < 8 * (bytes - 13); bit++) {
        struct shard_record rec;
        struct err e = {0};
        enum rc rc = RC_OK;

        value[bit / 8] ^= (unsigned char)(1u << bit % 8);
        rc = shard_record_parse(value, bytes, "shard-x", 5, &rec, &e);
        assert_true(rc == RC_CORRUPT);
        assert_says(e, "'shard-x' is damaged: record 5");
        value[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    free(value);
}

static void a_record_cut_anywhere_is_found(void **state)
{
    size_t bytes = 0;
    unsigned char *value = make(&bytes);

    (void)state;
    for (size_t n = 0; n < bytes; n++) {
        unsigned char *cut = malloc(n + 1); /* exact, so that a sanitizer sees a byte too far */
        struct shard_record rec;
        struct err e = {0};

        assert_non_null(cut);
        memcpy(cut, value, n);
        assert_int_equal(shard_record_parse(cut, n, "x", 0, &rec, &e), RC_CORRUPT);
        free(cut);
    }
    free(value);
}

/* A correct checksum over wrong contents: the parser does not trust what is only well summed. */
static void counts_that_cannot_be_are_refused(void **state)
{
    static const struct {
        size_t at;
        uint32_t value;
    } wrong[] = {{24, 14}, {28, 1},  {32, 0}, {32, UINT32_MAX}, {36, UINT32_MAX},
                 {36, 15}, {44, 15}, {52, 4}, {60, 13}};
    size_t bytes = 0;
    unsigned char *value = make(&bytes);

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct shard_record rec;
        struct err e = {0};
        unsigned char was[4];
        uint32_t crc = 0;

        memcpy(was, value + wrong[i].at, 4);
        memcpy(value + wrong[i].at, &wrong[i].value, 4);
        crc = hash_crc32(0, value + 4, bytes - 13 - 4);
        memcpy(value, &crc, 4);
        assert_int_equal(shard_record_parse(value, bytes, "x", 0, &rec, &e), RC_CORRUPT);
        memcpy(value + wrong[i].at, was, 4);
    }
    free(value);
}

static void a_newer_format_is_told_from_damage(void **state)
{
    size_t bytes = 0;
    unsigned char *value = make(&bytes);
    struct shard_record rec;
    struct err e = {0};
    uint32_t crc = 0;

    (void)state;
    value[4] = 2;
    crc = hash_crc32(0, value + 4, bytes - 13 - 4);
    memcpy(value, &crc, 4);
    assert_int_equal(shard_record_parse(value, bytes, "x", 0, &rec, &e), RC_UNSUPPORTED);
    assert_says(e, "has format 2, expected 1");
    free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_record_comes_back_as_it_was_written),
                                       cmocka_unit_test(every_flipped_bit_before_the_file_is_found),
                                       cmocka_unit_test(a_record_cut_anywhere_is_found),
                                       cmocka_unit_test(counts_that_cannot_be_are_refused),
                                       cmocka_unit_test(a_newer_format_is_told_from_damage)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

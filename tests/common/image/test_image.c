#include "tests/common/image/golden.h"

#define BAD "tests/data/bad/"

static const char *const golden_good[] = {
    "gray.jpg",      "420.jpg",     "440.jpg",   "progressive.jpg", "cmyk.jpg",
    "rgb.png",       "palette.png", "rgb16.png", "interlaced.png",  "lossy.webp",
    "lossless.webp", "moving.webp", "plain.gif", "interlaced.gif",  "rgb.bmp",
    "palette.bmp",   "565.bmp",     "rgb.ppm",   "gray.pgm",
};

enum { GOOD_N = sizeof golden_good / sizeof golden_good[0] };

static enum rc decode(const void *data, size_t bytes, int channels, struct image *img,
                      enum image_reason *why, struct err *e)
{
    return image_decode(golden_codec, data, bytes, channels, img, why, e);
}

/* ---- golden pixels ------------------------------------------------------------------------ */

static void check_decode(char **col, int n)
{
    struct golden_file f = golden_read(GOLDEN, col[0]);
    enum image_reason why = IMAGE_REASON_N;
    struct image img = {0};
    struct err e = {0};
    int channels = golden_int(col[1]);
    enum rc rc = decode(f.data, f.bytes, channels == 0 ? 3 : channels, &img, &why, &e);

    if (channels == 0) {
        if (rc != RC_INVAL || strcmp(image_reason_name(why), col[2]) != 0 || e.msg[0] == '\0') {
            fail_msg("%s: rc %d, '%s' (%s), expected to be refused as %s", col[0], (int)rc,
                     image_reason_name(why), e.msg, col[2]);
        }
        assert_null(img.pixels);
    } else {
        assert_int_equal(n, 5);
        if (rc != RC_OK) {
            fail_msg("%s: %s", col[0], e.msg);
        }
        assert_int_equal(why, IMAGE_OK);
        assert_int_equal(img.w, golden_int(col[2]));
        assert_int_equal(img.h, golden_int(col[3]));
        assert_int_equal(img.c, channels);
        golden_expect(img.pixels, golden_bytes(&img), col[4], col[0]);
    }
    mem_free(f.data);
}

static void every_format_decodes_to_pillows_pixels(void **state)
{
    (void)state;
    assert_in_range(golden_each("decode.tsv", check_decode), 100, 1000);
}

static void the_header_alone_gives_the_size(void **state)
{
    (void)state;
    for (int i = 0; i < GOOD_N; i++) {
        struct golden_file f = golden_read(GOLDEN, golden_good[i]);
        enum image_reason why = IMAGE_REASON_N;
        struct image img = {0};
        int w = 0;
        int h = 0;

        assert_int_equal(image_probe(golden_codec, f.data, f.bytes, &w, &h, &why, NULL), RC_OK);
        assert_int_equal(decode(f.data, f.bytes, 3, &img, &why, NULL), RC_OK);
        assert_int_equal(w, img.w);
        assert_int_equal(h, img.h);
        mem_free(f.data);
    }
}

/* ---- what a file is ----------------------------------------------------------------------- */

static void the_content_names_the_format(void **state)
{
    static const struct {
        const char *name;
        enum image_format format;
    } kinds[] = {
        {"420.jpg", IMAGE_JPEG},  {"rgb.png", IMAGE_PNG}, {"lossy.webp", IMAGE_WEBP},
        {"plain.gif", IMAGE_GIF}, {"rgb.bmp", IMAGE_BMP}, {"rgb.ppm", IMAGE_PNM},
        {"gray.pgm", IMAGE_PNM},
    };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct golden_file f = golden_read(GOLDEN, kinds[i].name);

        assert_int_equal(image_sniff(f.data, f.bytes), kinds[i].format);
        assert_int_equal(image_sniff(f.data, 1), IMAGE_UNKNOWN);
        mem_free(f.data);
    }
    assert_int_equal(image_sniff("RIFF0000WAVE", 12), IMAGE_UNKNOWN);
    assert_string_equal(image_format_name(IMAGE_WEBP), "WebP");
}

static void expect_bad(const char *folder, const char *name, const char *reason, const char *part)
{
    struct golden_file f = golden_read(folder, name);
    enum image_reason why = IMAGE_OK;
    struct image img = {0};
    struct err e = {0};

    assert_int_equal(decode(f.data, f.bytes, 3, &img, &why, &e), RC_INVAL);
    assert_string_equal(image_reason_name(why), reason);
    if (strstr(e.msg, part) == NULL) {
        fail_msg("%s: '%s' does not hold '%s'", name, e.msg, part);
    }
    mem_free(f.data);
}

static void a_bad_file_says_why(void **state)
{
    (void)state;
    expect_bad(BAD, "empty.jpg", "empty", "the file is empty");
    expect_bad(BAD, "text.jpg", "not-identified", "not an image: expected JPEG, PNG");
    expect_bad(BAD, "truncated.jpg", "truncated", "JPEG: the file ends before its last row");
    expect_bad(GOLDEN, "bomb.jpg", "too-large", "65280 x 65280 pixels");
    expect_bad(GOLDEN, "deep.jpg", "unsupported-kind", "12 bits a sample");
    expect_bad(GOLDEN, "two-frames.jpg", "broken", "two SOF markers");
}

static void a_png_named_jpg_is_a_png(void **state)
{
    struct golden_file f = golden_read(BAD, "png-named.jpg");
    enum image_reason why = IMAGE_OK;
    struct image img = {0};

    (void)state;
    assert_int_equal(decode(f.data, f.bytes, 3, &img, &why, NULL), RC_OK);
    assert_int_equal(img.w, 40);
    assert_int_equal(img.h, 30);
    mem_free(f.data);
}

static void a_file_over_the_byte_limit_is_not_looked_at(void **state)
{
    enum image_reason why = IMAGE_OK;
    struct image img = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(decode("", (size_t)IMAGE_MAX_BYTES + 1, 3, &img, &why, &e), RC_INVAL);
    assert_int_equal(why, IMAGE_TOO_LARGE);
    assert_string_equal(e.msg, "the file has 268435457 bytes, at most 268435456 are read");
}

static void expect_size(const char *header, size_t bytes, enum image_reason expected)
{
    enum image_reason why = IMAGE_OK;
    int w = 0;
    int h = 0;

    assert_int_equal(image_probe(golden_codec, header, bytes, &w, &h, &why, NULL), RC_INVAL);
    assert_int_equal(why, expected);
}

static void sizes_are_limited_before_memory_is_asked_for(void **state)
{
    static const char png[] = "\x89PNG\r\n\x1A\n\0\0\0\rIHDR\x7F\xFF\xFF\xFF\x7F\xFF\xFF\xFF"
                              "\x08\2\0\0\0\0\0\0\0";
    static const char gif[] = "GIF89a\xFF\xFF\xFF\xFF\0\0\0,\0\0\0\0\1\0\1\0\0\2\0";

    (void)state;
    expect_size(png, sizeof png - 1, IMAGE_TOO_LARGE);
    expect_size(gif, sizeof gif - 1, IMAGE_TOO_LARGE);
    expect_size("P5 70000 2 255\n ", 16, IMAGE_TOO_LARGE);
    expect_size("P5 65535 65535 255\n ", 20, IMAGE_TOO_LARGE);
    expect_size("P5 0 5 255\n ", 12, IMAGE_BROKEN);
    expect_size("P6 2 2 65535\n ", 14, IMAGE_UNSUPPORTED_KIND);
}

/* ---- damage ------------------------------------------------------------------------------- */

/* A prefix, in a block of its own size so that a sanitizer sees a read past its end. */
static enum rc decode_prefix(const struct golden_file *f, size_t n, enum image_reason *why)
{
    struct image img = {0};
    struct err e = {0};
    char *exact = mem_calloc(n, 1);
    enum rc rc = RC_OK;

    assert_non_null(exact);
    memcpy(exact, f->data, n);
    rc = decode(exact, n, 3, &img, why, &e);
    assert_true(rc == RC_OK || (rc == RC_INVAL && *why != IMAGE_OK && e.msg[0] != '\0'));
    mem_free(exact);
    return rc;
}

static void a_file_cut_anywhere_is_refused_or_whole(void **state)
{
    (void)state;
    for (int i = 0; i < GOOD_N; i++) {
        struct golden_file f = golden_read(GOLDEN, golden_good[i]);
        enum image_reason why = IMAGE_OK;

        for (size_t n = 0; n < f.bytes * 3 / 4; n += 1 + n / 40) {
            if (decode_prefix(&f, n, &why) == RC_OK) {
                fail_msg("%s: %zu of %zu bytes decode", golden_good[i], n, f.bytes);
            }
        }
        assert_int_equal(decode_prefix(&f, f.bytes, &why), RC_OK);
        mem_free(f.data);
    }
}

static void flipped_bytes_harm_nothing_but_their_file(void **state)
{
    uint32_t seed = 1;

    (void)state;
    for (int i = 0; i < GOOD_N; i++) {
        struct golden_file f = golden_read(GOLDEN, golden_good[i]);
        enum image_reason why = IMAGE_OK;

        for (int k = 0; k < 60; k++) {
            uint32_t at = 0;
            char was = 0;

            seed = seed * 1664525 + 1013904223;
            at = (seed >> 8) % (uint32_t)f.bytes;
            was = f.data[at];
            f.data[at] = (char)(seed >> 3);
            (void)decode_prefix(&f, f.bytes, &why);
            f.data[at] = was;
        }
        assert_int_equal(decode_prefix(&f, f.bytes, &why), RC_OK);
        mem_free(f.data);
    }
}

/* ---- memory ------------------------------------------------------------------------------- */

static void a_warm_codec_allocates_nothing(void **state)
{
    uint64_t before = 0;

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < GOOD_N; i++) {
            struct golden_file f = golden_read(GOLDEN, golden_good[i]);
            enum image_reason why = IMAGE_OK;
            struct image img = {0};

            before = mem_count();
            assert_int_equal(decode(f.data, f.bytes, 3, &img, &why, NULL), RC_OK);
            assert_int_equal(decode(f.data, f.bytes, 1, &img, &why, NULL), RC_OK);
            if (round == 2) {
                assert_int_equal(mem_count(), before);
            }
            mem_free(f.data);
        }
    }
}

static void without_memory_a_decode_says_so_and_goes_on_later(void **state)
{
    struct golden_file f = golden_read(GOLDEN, "420.jpg");
    enum rc rc = RC_NOMEM;

    (void)state;
    for (uint64_t n = 1; rc != RC_OK; n++) {
        enum image_reason why = IMAGE_OK;
        struct codec *k = NULL;
        struct image img = {0};
        struct err e = {0};

        assert_in_range(n, 1, 100);
        mem_fail_at(n);
        rc = codec_create(&k, &e);
        if (rc == RC_OK) {
            rc = image_decode(k, f.data, f.bytes, 1, &img, &why, &e);
        }
        mem_fail_at(0);
        if (rc != RC_OK) {
            assert_int_equal(rc, RC_NOMEM);
            assert_non_null(strstr(e.msg, "out of memory: "));
        }
        if (k != NULL) {
            assert_int_equal(image_decode(k, f.data, f.bytes, 1, &img, &why, NULL), RC_OK);
        }
        codec_destroy(k);
    }
    mem_free(f.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_decodes_to_pillows_pixels),
        cmocka_unit_test(the_header_alone_gives_the_size),
        cmocka_unit_test(the_content_names_the_format),
        cmocka_unit_test(a_bad_file_says_why),
        cmocka_unit_test(a_png_named_jpg_is_a_png),
        cmocka_unit_test(a_file_over_the_byte_limit_is_not_looked_at),
        cmocka_unit_test(sizes_are_limited_before_memory_is_asked_for),
        cmocka_unit_test(a_file_cut_anywhere_is_refused_or_whole),
        cmocka_unit_test(flipped_bytes_harm_nothing_but_their_file),
        cmocka_unit_test(a_warm_codec_allocates_nothing),
        cmocka_unit_test(without_memory_a_decode_says_so_and_goes_on_later),
    };

    return cmocka_run_group_tests(tests, golden_enter, golden_leave);
}

#include "tests/common/image/golden.h"

static struct raster decode_part(const struct golden_file *f, const struct jpeg_want *want)
{
    struct input in = {(const uint8_t *)f->data, f->bytes};
    enum image_reason why = IMAGE_OK;
    struct raster r = {0};
    struct err e = {0};

    if (jpeg_decode(golden_codec, in, want, &r, &why, &e) != RC_OK) {
        fail_msg("%s", e.msg);
    }
    return r;
}

/* Random boxes of one file at one scale against the whole decode at that scale. */
static void check_regions(const struct golden_file *f, int denom, uint32_t seed)
{
    struct input in = {(const uint8_t *)f->data, f->bytes};
    struct jpeg_want want = {.denom = denom, .to_end = true};
    enum image_reason why = IMAGE_OK;
    struct raster whole;
    uint8_t *copy = NULL;

    assert_int_equal(jpeg_probe(in, &want.w, &want.h, &why, NULL), RC_OK);
    whole = decode_part(f, &want);
    copy = mem_calloc((size_t)whole.w * (size_t)whole.h, (size_t)whole.c);
    assert_non_null(copy);
    memcpy(copy, whole.pixels, (size_t)whole.w * (size_t)whole.h * (size_t)whole.c);
    for (int i = 0; i < 40; i++) {
        struct raster r;

        seed = seed * 1664525 + 1013904223;
        want.x0 = (int)((seed >> 4) % (uint32_t)whole.w);
        want.y0 = (int)((seed >> 13) % (uint32_t)whole.h);
        want.x1 = want.x0 + 1 + (int)((seed >> 7) % (uint32_t)(whole.w - want.x0));
        want.y1 = want.y0 + 1 + (int)((seed >> 17) % (uint32_t)(whole.h - want.y0));
        want.to_end = i % 2 == 0;
        r = decode_part(f, &want);
        assert_true(r.x <= want.x0 && r.x + r.w >= want.x1);
        assert_true(r.y <= want.y0 && r.y + r.h >= want.y1);
        assert_int_equal(r.full_w, whole.w);
        assert_int_equal(r.full_h, whole.h);
        for (int y = want.y0; y < want.y1; y++) {
            size_t from = ((size_t)(y - r.y) * (size_t)r.w + (size_t)(want.x0 - r.x));
            size_t to = (size_t)y * (size_t)whole.w + (size_t)want.x0;

            assert_memory_equal(r.pixels + from * (size_t)r.c, copy + to * (size_t)r.c,
                                (size_t)((want.x1 - want.x0) * r.c));
        }
    }
    mem_free(copy);
}

static void a_region_is_a_part_of_the_whole_decode(void **state)
{
    static const char *const names[] = {
        "discs/00.jpg",
        "stripes/04.jpg",
        "tiles/11.jpg",
    };
    static const char *const golden[] = {
        "444.jpg",     "422.jpg",  "420.jpg",  "440.jpg", "gray.jpg", "progressive.jpg",
        "restart.jpg", "cmyk.jpg", "ycck.jpg", "rgb.jpg", "tall.jpg", "odd-17x33.jpg",
    };

    (void)state;
    for (int denom = 1; denom <= 8; denom *= 2) {
        for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
            struct golden_file f = golden_read(GOLDEN, golden[i]);

            check_regions(&f, denom, (uint32_t)(i + 1) * 77);
            mem_free(f.data);
        }
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            struct golden_file f = golden_read("tests/data/photos/", names[i]);

            check_regions(&f, denom, (uint32_t)(i + 1) * 99);
            mem_free(f.data);
        }
    }
}

static void a_region_does_not_need_what_lies_below_it(void **state)
{
    struct golden_file f = golden_read(GOLDEN, "tall.jpg");
    struct jpeg_want want = {24, 97, 1, 0, 0, 24, 10, false};
    struct input in = {(const uint8_t *)f.data, f.bytes * 4 / 5};
    enum image_reason why = IMAGE_OK;
    struct raster r = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(jpeg_decode(golden_codec, in, &want, &r, &why, &e), RC_OK);
    assert_int_equal(r.h, 10);
    want.to_end = true;
    assert_int_equal(jpeg_decode(golden_codec, in, &want, &r, &why, &e), RC_INVAL);
    assert_int_equal(why, IMAGE_TRUNCATED);
    mem_free(f.data);
}

static enum image_reason probe(const char *bytes, size_t n, char *msg)
{
    struct input in = {(const uint8_t *)bytes, n};
    enum image_reason why = IMAGE_OK;
    struct err e = {0};
    int w = 0;
    int h = 0;

    if (jpeg_probe(in, &w, &h, &why, &e) == RC_OK) {
        return IMAGE_OK;
    }
    (void)snprintf(msg, ERR_MSG_MAX, "%s", e.msg);
    return why;
}

static void the_header_walk_says_what_is_wrong(void **state)
{
    static const char frame[] = "\xFF\xD8\xFF\xC0\0\x0B\x08\0\x10\0\x10\1\1\x11\0\xFF\xDA\0\2..";
    char copy[sizeof frame];
    char msg[ERR_MSG_MAX] = "";
    size_t n = sizeof frame - 1;

    (void)state;
    assert_int_equal(probe(frame, n, msg), IMAGE_OK);
    assert_int_equal(probe(frame, n - 4, msg), IMAGE_TRUNCATED);
    assert_int_equal(probe(frame, 10, msg), IMAGE_TRUNCATED);
    assert_string_equal(msg, "JPEG: marker segment 0xC0 ends behind the file");
    memcpy(copy, frame, sizeof frame);
    copy[3] = '\xC3';
    assert_int_equal(probe(copy, n, msg), IMAGE_UNSUPPORTED_KIND);
    assert_string_equal(msg, "JPEG: lossless or hierarchical (SOF3)");
    copy[3] = 1;
    assert_int_equal(probe(copy, n, msg), IMAGE_BROKEN);
    assert_string_equal(msg, "JPEG: no marker after 0xFF at byte 3");
    copy[3] = '\xC0';
    copy[8] = copy[7] = 0;
    assert_int_equal(probe(copy, n, msg), IMAGE_BROKEN);
    assert_string_equal(msg, "JPEG: a size of 16 x 0 pixels");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_region_is_a_part_of_the_whole_decode),
        cmocka_unit_test(a_region_does_not_need_what_lies_below_it),
        cmocka_unit_test(the_header_walk_says_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, golden_enter, golden_leave);
}

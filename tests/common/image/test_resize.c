#include "tests/common/image/golden.h"

static void check_resize(char **col, int n)
{
    struct image src = golden_decode(GOLDEN, col[0], golden_int(col[1]));
    double box[4];
    int w = golden_int(col[6]);
    int h = golden_int(col[7]);
    size_t bytes = (size_t)w * (size_t)h * (size_t)src.c;
    uint8_t *out = mem_calloc(bytes, 1);
    struct err e = {0};

    assert_int_equal(n, 10);
    assert_non_null(out);
    for (int i = 0; i < 4; i++) {
        box[i] = strtod(col[2 + i], NULL);
    }
    if (image_resize(golden_codec, &src, box, w, h, golden_filter(col[8]), out, &e) != RC_OK) {
        fail_msg("%s: %s", col[0], e.msg);
    }
    golden_expect(out, bytes, col[9], col[0]);
    mem_free(out);
    mem_free(src.pixels);
}

static void a_resize_gives_pillows_pixels(void **state)
{
    (void)state;
    assert_in_range(golden_each("resize.tsv", check_resize), 90, 1000);
}

static void a_resize_to_its_own_size_is_a_copy(void **state)
{
    struct image src = golden_decode(GOLDEN, "420.jpg", 3);
    const double box[4] = {0, 0, src.w, src.h};
    uint8_t *out = mem_calloc(golden_bytes(&src), 1);

    (void)state;
    assert_non_null(out);
    assert_int_equal(image_resize(golden_codec, &src, box, src.w, src.h, IMAGE_BICUBIC, out, NULL),
                     RC_OK);
    assert_memory_equal(out, src.pixels, golden_bytes(&src));
    mem_free(out);
    mem_free(src.pixels);
}

/* Any window of a resize, from only the source pixels that it says it needs, is that part of the
 * whole: what the evaluation crop rests on. */
static void check_window(const struct image *src, struct resize_window win, const uint8_t *whole)
{
    struct raster part = {.c = src->c, .full_w = src->w, .full_h = src->h};
    size_t c = (size_t)src->c;
    size_t row = (size_t)win.w * c;
    uint8_t *out = mem_calloc(row * (size_t)win.h, 1);
    int need[4];

    assert_non_null(out);
    assert_int_equal(resize_needs(golden_codec, src->w, src->h, &win, need, NULL), RC_OK);
    part.x = need[0];
    part.y = need[1];
    part.w = need[2] - need[0];
    part.h = need[3] - need[1];
    part.pixels = mem_aligned((size_t)part.w * (size_t)part.h * c);
    assert_non_null(part.pixels);
    for (int y = 0; y < part.h; y++) {
        memcpy(part.pixels + (size_t)y * (size_t)part.w * c,
               src->pixels + ((size_t)(part.y + y) * (size_t)src->w + (size_t)part.x) * c,
               (size_t)part.w * c);
    }
    assert_int_equal(resize_raster(golden_codec, &part, &win, out, row, NULL), RC_OK);
    for (int y = 0; y < win.h; y++) {
        assert_memory_equal(out + (size_t)y * row,
                            whole + ((size_t)(win.y + y) * (size_t)win.out_w + (size_t)win.x) * c,
                            row);
    }
    mem_free(part.pixels);
    mem_free(out);
}

static void a_window_is_a_part_of_the_whole(void **state)
{
    static const int sizes[][2] = {{20, 30}, {61, 9}, {30, 47}, {90, 70}, {7, 60}, {200, 3}};

    (void)state;
    for (int c = 1; c <= 3; c += 2) {
        struct image src = golden_decode(GOLDEN, "420.jpg", c);

        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            int w = sizes[i][0];
            int h = sizes[i][1];
            struct resize_window win = {.box = {0, 0, src.w, src.h},
                                        .out_w = w,
                                        .out_h = h,
                                        .filter = i % 2 == 0 ? IMAGE_BICUBIC : IMAGE_BILINEAR};
            uint8_t *whole = mem_calloc((size_t)w * (size_t)h * (size_t)c, 1);

            assert_non_null(whole);
            assert_int_equal(
                image_resize(golden_codec, &src, win.box, w, h, win.filter, whole, NULL), RC_OK);
            for (int k = 0; k < 4; k++) {
                win.x = w * k / 5;
                win.y = h * k / 7;
                win.w = (w - win.x + k) / (k + 1);
                win.h = (h - win.y + k) / (k + 1);
                check_window(&src, win, whole);
            }
            mem_free(whole);
        }
        mem_free(src.pixels);
    }
}

static void a_constant_stays_constant(void **state)
{
    uint8_t line[3 * 4096];
    struct image src = {line, 4096, 1, 3};
    uint8_t out[3 * 7 * 5];

    (void)state;
    memset(line, 201, sizeof line);
    for (int f = IMAGE_BILINEAR; f <= IMAGE_BICUBIC; f++) {
        const double box[4] = {0, 0, 4096, 1};

        assert_int_equal(
            image_resize(golden_codec, &src, box, 7, 5, (enum image_filter)f, out, NULL), RC_OK);
        for (size_t i = 0; i < sizeof out; i++) {
            assert_int_equal(out[i], 201);
        }
    }
}

static void a_box_outside_the_image_is_refused(void **state)
{
    static const double boxes[][4] = {{-1, 0, 5, 5}, {0, 0, 62, 5}, {5, 0, 5, 5}, {0, 9, 5, 3}};
    struct image src = golden_decode(GOLDEN, "420.jpg", 3);
    uint8_t out[12];

    (void)state;
    for (size_t i = 0; i < sizeof boxes / sizeof boxes[0]; i++) {
        struct err e = {0};

        assert_int_equal(image_resize(golden_codec, &src, boxes[i], 2, 2, IMAGE_BICUBIC, out, &e),
                         RC_INVAL);
        assert_non_null(strstr(e.msg, "of a 61 x 47 image to 2 x 2"));
    }
    mem_free(src.pixels);
}

static void more_shapes_than_tables_still_resize_alike(void **state)
{
    struct image src = golden_decode(GOLDEN, "420.jpg", 1);
    const double box[4] = {0, 0, src.w, src.h};
    uint8_t first[64 * 64];
    uint8_t again[64 * 64];

    (void)state;
    assert_int_equal(image_resize(golden_codec, &src, box, 9, 9, IMAGE_BICUBIC, first, NULL),
                     RC_OK);
    for (int i = 1; i < 2 * IMAGE_TABLES; i++) {
        assert_int_equal(
            image_resize(golden_codec, &src, box, i, i + 1, IMAGE_BICUBIC, again, NULL), RC_OK);
    }
    assert_int_equal(image_resize(golden_codec, &src, box, 9, 9, IMAGE_BICUBIC, again, NULL),
                     RC_OK);
    assert_memory_equal(first, again, 81);
    mem_free(src.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_resize_gives_pillows_pixels),
        cmocka_unit_test(a_resize_to_its_own_size_is_a_copy),
        cmocka_unit_test(a_window_is_a_part_of_the_whole),
        cmocka_unit_test(a_constant_stays_constant),
        cmocka_unit_test(a_box_outside_the_image_is_refused),
        cmocka_unit_test(more_shapes_than_tables_still_resize_alike),
    };

    return cmocka_run_group_tests(tests, golden_enter, golden_leave);
}

/* The members of the family: the paper's table and its blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/nn/family.h"

static void a_member_is_found_by_its_name_alone(void **state)
{
    (void)state;
    assert_string_equal(nn_family_find("resnetrs270")->name, "resnetrs270");
    assert_ptr_equal(nn_family_find("resnetrs50"), nn_family_at(0));
    assert_null(nn_family_find("resnetrs51"));
    assert_null(nn_family_find(""));
    assert_null(nn_family_at(-1));
    assert_null(nn_family_at(1000));
}

/* ResNet-RS, table of block counts; timm's default configurations. */
static void the_seven_depths_are_the_papers(void **state)
{
    /* clang-format off */
    static const struct {
        const char *name;
        int blocks[4], train_size, test_size;
        double crop_pct;
    } table[] = {
        {"resnetrs50", {3, 4, 6, 3}, 160, 224, 0.91},
        {"resnetrs101", {3, 4, 23, 3}, 192, 288, 0.94},
        {"resnetrs152", {3, 8, 36, 3}, 256, 320, 1.0},
        {"resnetrs200", {3, 24, 36, 3}, 256, 320, 1.0},
        {"resnetrs270", {4, 29, 53, 4}, 256, 352, 1.0},
        {"resnetrs350", {4, 36, 72, 4}, 288, 384, 1.0},
        {"resnetrs420", {4, 44, 87, 4}, 320, 416, 1.0}};
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct nn_family *f = nn_family_find(table[i].name);

        assert_non_null(f);
        assert_int_equal(f->stem, NN_STEM_RS);
        assert_int_equal(f->width, 64);
        assert_memory_equal(f->blocks, table[i].blocks, sizeof table[i].blocks);
        assert_int_equal(f->train_size, table[i].train_size);
        assert_int_equal(f->test_size, table[i].test_size);
        assert_true(f->crop_pct == table[i].crop_pct);
    }
}

static void stage_1_keeps_its_size_and_the_others_halve_it(void **state)
{
    const struct nn_family *f = nn_family_find("resnetrs50");
    struct nn_block b;

    (void)state;
    assert_int_equal(nn_family_blocks(f), 16);
    assert_int_equal(nn_family_features(f), 2048);
    nn_family_block(f, 0, &b);
    assert_string_equal(b.name, "layer1.0");
    assert_int_equal(b.in, 64);
    assert_int_equal(b.mid, 64);
    assert_int_equal(b.out, 256);
    assert_int_equal(b.stride, 1);
    assert_true(b.projection);
    nn_family_block(f, 3, &b);
    assert_string_equal(b.name, "layer2.0");
    assert_int_equal(b.in, 256);
    assert_int_equal(b.mid, 128);
    assert_int_equal(b.out, 512);
    assert_int_equal(b.stride, 2);
    assert_true(b.projection);
    nn_family_block(f, 15, &b);
    assert_string_equal(b.name, "layer4.2");
    assert_int_equal(b.in, 2048);
    assert_int_equal(b.stride, 1);
    assert_false(b.projection);
}

/* SE's reduction: a quarter of the expanded width, a multiple of 8 (timm's make_divisible). */
static void the_gate_has_a_quarter_of_the_channels(void **state)
{
    const struct nn_family *f = nn_family_find("resnetrs50");
    struct nn_family narrow = {.name = "narrow", .stages = 4, .blocks = {1, 1, 1, 1}, .width = 8};
    struct nn_block b;

    (void)state;
    for (int i = 0; i < nn_family_blocks(f); i++) {
        nn_family_block(f, i, &b);
        assert_int_equal(b.hidden, b.out / 4);
    }
    nn_family_block(&narrow, 0, &b);
    assert_int_equal(b.hidden, 8);
    narrow.width = 24; /* 96 / 4 = 24 */
    nn_family_block(&narrow, 0, &b);
    assert_int_equal(b.hidden, 24);
}

static void the_deep_stem_has_four_convolutions_and_stride_4(void **state)
{
    struct nn_model m = {nn_family_find("resnetrs50"), 3, 1000};
    struct nn_stem_conv stem[NN_STEM_MAX];
    static const struct nn_stem_conv wanted[] = {{"conv1.0", "conv1.1", 3, 32, 2},
                                                 {"conv1.3", "conv1.4", 32, 32, 1},
                                                 {"conv1.6", "bn1", 32, 64, 1},
                                                 {"maxpool.0", "maxpool.1", 64, 64, 2}};

    (void)state;
    assert_int_equal(nn_family_stem(&m, stem), 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(stem[i].conv, wanted[i].conv);
        assert_string_equal(stem[i].bn, wanted[i].bn);
        assert_int_equal(stem[i].in, wanted[i].in);
        assert_int_equal(stem[i].out, wanted[i].out);
        assert_int_equal(stem[i].stride, wanted[i].stride);
    }
    m = (struct nn_model){nn_family_find("resnetrs11_w16"), 1, 10};
    assert_int_equal(nn_family_stem(&m, stem), 2);
    assert_int_equal(stem[0].in, 1);
    assert_int_equal(stem[0].stride * stem[1].stride, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_is_found_by_its_name_alone),
        cmocka_unit_test(the_seven_depths_are_the_papers),
        cmocka_unit_test(stage_1_keeps_its_size_and_the_others_halve_it),
        cmocka_unit_test(the_gate_has_a_quarter_of_the_channels),
        cmocka_unit_test(the_deep_stem_has_four_convolutions_and_stride_4),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

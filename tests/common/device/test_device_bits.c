/* Equal bits: an image's result does not depend on the batch it fell in nor on threads, and no
 * operation but the weights' gradient depends on threads at all (design.md 7). */
#include "common/base/hash.h"
#include "tests/common/device/op_harness.h"

enum { IMAGES = 32 };

static const int batches[] = {1, 7, IMAGES};

static int *batch_of(struct op_desc *op)
{
    return op->kind == OP_CONV ? &op->u.conv.n : &op->u.map.n;
}

/* Values that belong to one image, or 0 for an argument that all images share. */
static size_t per_image(const struct harness *whole, int i)
{
    bool shared = whole->op.kind == OP_BN_INFER && (i == 1 || i == 2);

    return shared ? 0 : whole->arg[i].n / IMAGES;
}

/* Run images [from, from + n) of `whole` as a batch of n on d and compare with whole's outputs. */
static void check_part(const struct harness *whole, struct device *d, int n, int from)
{
    struct op_desc op = whole->op;
    struct harness t;

    *batch_of(&op) = n;
    assert_true(harness_open(&t, d, &op, 5));
    for (int i = 0; i < t.n_args; i++) {
        size_t one = per_image(whole, i);

        if (t.arg[i].dir == IN) {
            memcpy(t.host[i], whole->host[i] + (size_t)from * one, t.arg[i].n * sizeof(float));
        }
    }
    harness_run(&t);
    for (int i = 0; i < t.n_args; i++) {
        const float *want = whole->host[i] + (size_t)from * per_image(whole, i);

        if (t.arg[i].dir == OUT && memcmp(t.host[i], want, t.arg[i].n * sizeof(float)) != 0) {
            fail_msg("%s: other bits than in a batch of %d", plan_describe(t.plan), IMAGES);
        }
    }
    harness_close(&t);
}

static void check_batches(const struct op_desc *op)
{
    for (int i = 0; harness_backend(i) != NULL; i++) {
        struct device *one, *two;
        struct op_desc whole_op = *op;
        struct harness whole;

        if (strcmp(harness_backend(i), "ref") == 0) {
            continue; /* plain loops over one thread */
        }
        must(device_create(harness_backend(i), 1, &one, &must_err));
        must(device_create(harness_backend(i), 2, &two, &must_err));
        *batch_of(&whole_op) = IMAGES;
        if (harness_open(&whole, one, &whole_op, 5)) {
            harness_run(&whole);
            for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++) {
                int last = IMAGES - batches[b], step = last > 0 ? last / 2 + 1 : 1;

                for (int from = 0; from <= last; from += step) {
                    check_part(&whole, one, batches[b], from);
                    check_part(&whole, two, batches[b], from);
                }
            }
            harness_close(&whole);
        }
        device_destroy(one);
        device_destroy(two);
    }
}

/* clang-format off */
static const int convs[][7] = {
    /* h, w, c, k, r, stride, pad: the demo's network, its SE and head, RS-50's at a small size */
    {28, 28, 1, 16, 3, 1, 1},  {28, 28, 16, 16, 3, 1, 1}, {28, 28, 16, 16, 1, 1, 0}, {28, 28, 16, 64, 1, 1, 0},
    {28, 28, 64, 16, 1, 1, 0}, {28, 28, 64, 32, 1, 1, 0}, {28, 28, 32, 32, 3, 2, 1}, {14, 14, 32, 128, 1, 1, 0},
    {14, 14, 64, 64, 3, 2, 1}, {7, 7, 64, 256, 1, 1, 0},  {7, 7, 128, 128, 3, 1, 1}, {7, 7, 24, 40, 3, 1, 1},
    {1, 1, 64, 16, 1, 1, 0},   {1, 1, 16, 64, 1, 1, 0},   {1, 1, 64, 4, 1, 1, 0},    {1, 1, 4, 64, 1, 1, 0},
    {1, 1, 256, 10, 1, 1, 0},  {1, 1, 64, 1, 1, 1, 0},    {1, 1, 1, 16, 1, 1, 0},    {1, 1, 16, 16, 1, 1, 0},
    {1, 1, 128, 100, 1, 1, 0}, {1, 1, 512, 1000, 1, 1, 0}, {1, 1, 256, 64, 1, 1, 0}, {1, 1, 2048, 10, 1, 1, 0},
    {32, 32, 3, 32, 3, 2, 1},  {10, 10, 256, 128, 1, 1, 0}, {5, 5, 512, 256, 1, 1, 0}, {5, 5, 256, 256, 3, 1, 1},
    {3, 3, 1024, 256, 1, 1, 0}, {2, 2, 512, 512, 3, 1, 1}, {5, 5, 1, 1, 1, 1, 0},    {9, 7, 5, 7, 3, 1, 1},
};
static const int maps[][3] = {{1, 1, 10}, {7, 7, 16}, {28, 28, 16}, {5, 6, 3}, {3, 3, 512}, {9, 9, 100}};
/* clang-format on */

static void check_convs(enum dtype type)
{
    for (size_t i = 0; i < sizeof convs / sizeof convs[0]; i++) {
        const int *s = convs[i];
        struct op_desc op = {.kind = OP_CONV,
                             .u.conv = {0, s[0], s[1], s[2], s[3], s[4], s[5], s[6], 0, i % 2 == 0,
                                        i % 3 != 0, type, s[0] == 1 && i % 2 == 1}};

        check_batches(&op);
    }
}

static void f32_convolution_of_an_image_is_the_same_in_any_batch_and_threads(void **state)
{
    (void)state;
    check_convs(DT_F32);
}

static void bf16_convolution_of_an_image_is_the_same_in_any_batch_and_threads(void **state)
{
    (void)state;
    check_convs(DT_BF16);
}

static void maps_of_an_image_are_the_same_in_any_batch_and_threads(void **state)
{
    static const enum op_kind kinds[] = {OP_BN_INFER, OP_GATE_ADD_ACT, OP_AVG_POOL2, OP_GLOBAL_POOL,
                                         OP_SIGMOID};

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (size_t i = 0; i < 2 * sizeof maps / sizeof maps[0]; i++) {
            const int *s = maps[i / 2];
            struct op_desc op = {.kind = kinds[k],
                                 .u.map = {.h = s[0],
                                           .w = s[1],
                                           .c = s[2],
                                           .type = i % 2 == 0 ? DT_F32 : DT_BF16,
                                           .relu = true,
                                           .with_gate = true}};

            check_batches(&op);
        }
    }
}

/* The same operation and data on two devices: every output has the same bits. */
static void check_equal(struct device *a, struct device *b, const struct op_desc *op)
{
    struct harness x, y;

    if (!harness_open(&x, a, op, 9)) {
        return;
    }
    assert_true(harness_open(&y, b, op, 9));
    if (op->kind == OP_BN_ACT_BWD) {
        harness_bn_saved(&x, 10);
        harness_bn_saved(&y, 10);
    }
    harness_run(&x);
    harness_run(&y);
    for (int i = 0; i < x.n_args; i++) {
        if ((x.arg[i].dir == OUT || x.arg[i].dir == ADDED) &&
            memcmp(x.host[i], y.host[i], x.arg[i].n * sizeof(float)) != 0) {
            fail_msg("%s: argument %d has other bits", plan_describe(x.plan), i);
        }
    }
    harness_close(&x);
    harness_close(&y);
}

static void check_all_equal(struct device *a, struct device *b)
{
    for (int i = 0; i < 2; i++) {
        enum dtype type = i == 0 ? DT_F32 : DT_BF16;
        struct op_desc loss = {.kind = OP_SOFTMAX_CE, .u.loss = {64, 100, type}};
        struct op_desc sgd = {.kind = OP_SGD, .u.sgd = {100001, 0.9f, true}};
        struct op_desc squares = {.kind = OP_SQUARES, .u.squares = {300001}};

        for (size_t j = 0; j < sizeof convs / sizeof convs[0]; j++) {
            const int *s = convs[j];
            struct op_conv o = {6,    s[0], s[1],  s[2],  s[3], s[4], s[5],
                                s[6], 0,    false, false, type, false};
            struct op_desc back = {.kind = OP_CONV_BWD_DATA, .u.conv = o};

            check_equal(a, b, &back);
        }
        check_equal(a, b, &loss);
        check_equal(a, b, &sgd);
        check_equal(a, b, &squares);
        for (int kind = OP_BN_ACT; kind <= OP_ADD; kind++) {
            struct op_desc op = {.kind = (enum op_kind)kind,
                                 .u.map = {6, 19, 21, 24, type, true, true, true, 1e-5f, DT_F32}};

            check_equal(a, b, &op);
        }
    }
}

static void nothing_but_weight_gradients_depends_on_threads(void **state)
{
    (void)state;
    for (int i = 0; harness_backend(i) != NULL; i++) {
        struct device *a, *b;

        if (strcmp(harness_backend(i), "ref") == 0) {
            continue;
        }
        must(device_create(harness_backend(i), 1, &a, &must_err));
        must(device_create(harness_backend(i), 2, &b, &must_err));
        check_all_equal(a, b);
        device_destroy(a);
        device_destroy(b);
    }
}

static void weight_gradients_repeat_from_run_to_run(void **state)
{
    (void)state;
    for (int i = 0; harness_backend(i) != NULL; i++) {
        struct device *a;

        must(device_create(harness_backend(i), 2, &a, &must_err));
        for (int t = 0; t < 2; t++) {
            struct op_desc op = {.kind = OP_CONV_BWD_WEIGHTS,
                                 .u.conv = {6, 14, 14, 16, 32, 3, 1, 1, 0, true, false,
                                            t == 0 ? DT_F32 : DT_BF16, false}};

            check_equal(a, a, &op);
        }
        device_destroy(a);
    }
}

/* CRC-32 of what the cpu backend's own kernels gave when this table was made: equal for every
 * compiler, vector width and optimisation, else labels and resumed runs would differ between
 * builds. Only a change of a formula may change a row. */
struct known {
    enum op_kind kind;
    uint32_t f32, bf16;
};

/* clang-format off */
static const struct known knowns[] = {
    {OP_BN_ACT, 0xfb74ed3e, 0x0b7e9de5},
    {OP_BN_ACT_BWD, 0xc1532944, 0xad29c95e},
    {OP_BN_INFER, 0x2dfcb5a4, 0xc1b4641d},
    {OP_GATE_ADD_ACT, 0xbbc90260, 0x5125c4f5},
    {OP_GATE_ADD_ACT_BWD, 0x9a24126f, 0xfe09bf98},
    {OP_AVG_POOL2, 0xd0cf214c, 0x953ec58b},
    {OP_AVG_POOL2_BWD, 0x5d51dca2, 0xd7223c3f},
    {OP_GLOBAL_POOL, 0xd2e2ddba, 0xacac5365},
    {OP_GLOBAL_POOL_BWD, 0xaaf232f0, 0x0182b46f},
    {OP_RELU_BWD, 0xd7a0cd61, 0x71d4b0e7},
    {OP_SIGMOID, 0xcee5883b, 0x1988729c},
    {OP_SIGMOID_BWD, 0x7948906e, 0xa5d1db8e},
    {OP_MUL_ROW, 0xd1c01d1d, 0xc3e230f0},
    {OP_ADD, 0xc1fbb7bc, 0x64f3f43f},
};
/* clang-format on */

static uint32_t crc_of(struct device *d, enum op_kind kind, enum dtype type)
{
    struct op_desc op = {.kind = kind,
                         .u.map = {3, 11, 9, 24, type, true, true, true, 1e-5f, DT_F32}};
    struct harness t;
    uint32_t crc = 0;

    assert_true(harness_open(&t, d, &op, 77));
    if (kind == OP_BN_ACT_BWD) {
        harness_bn_saved(&t, 78);
    }
    harness_run(&t);
    for (int i = 0; i < t.n_args; i++) {
        if (t.arg[i].dir == OUT || t.arg[i].dir == ADDED) {
            crc = hash_crc32(crc, t.host[i], t.arg[i].n * sizeof(float));
        }
    }
    harness_close(&t);
    return crc;
}

static void own_kernels_give_the_same_bits_in_every_build(void **state)
{
    struct device *d;

    (void)state;
    must(device_create("cpu", 2, &d, &must_err));
    for (size_t i = 0; i < sizeof knowns / sizeof knowns[0]; i++) {
        uint32_t f32 = crc_of(d, knowns[i].kind, DT_F32), bf16 = crc_of(d, knowns[i].kind, DT_BF16);

        if (f32 != knowns[i].f32 || bf16 != knowns[i].bf16) {
            fail_msg("operation %d: CRC 0x%08x 0x%08x", (int)knowns[i].kind, f32, bf16);
        }
    }
    device_destroy(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_convolution_of_an_image_is_the_same_in_any_batch_and_threads),
        cmocka_unit_test(bf16_convolution_of_an_image_is_the_same_in_any_batch_and_threads),
        cmocka_unit_test(maps_of_an_image_are_the_same_in_any_batch_and_threads),
        cmocka_unit_test(nothing_but_weight_gradients_depends_on_threads),
        cmocka_unit_test(weight_gradients_repeat_from_run_to_run),
        cmocka_unit_test(own_kernels_give_the_same_bits_in_every_build),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

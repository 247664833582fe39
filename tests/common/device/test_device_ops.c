/* Every backend x operation x shape against ref. --bench prints times instead. */
#include <stdlib.h>
#include <time.h>

#include "tests/common/device/op_harness.h"

/* Tolerances, relative to |ref| + rms of the tensor. f32: both accumulate at most a few thousand
 * products in single precision. bf16: one rounding of the result may fall to the other side. */
static const double TOLERANCE_F32 = 1e-5, TOLERANCE_BF16 = 1.0 / 128;

static void compare(const struct harness *ref, const struct harness *t, int arg)
{
    const struct harness_arg *a = &t->arg[arg];
    double tolerance = a->type == DT_BF16 ? TOLERANCE_BF16 : TOLERANCE_F32, square = 0, rms;

    for (size_t i = 0; i < a->n; i++) {
        square += (double)ref->host[arg][i] * (double)ref->host[arg][i];
    }
    rms = sqrt(square / (double)a->n);
    for (size_t i = 0; i < a->n; i++) {
        double want = (double)ref->host[arg][i], got = (double)t->host[arg][i];

        if (!(fabs(got - want) <= tolerance * (fabs(want) + rms) + 1e-30)) {
            fail_msg("%s: argument %d, element %zu is %.9g, ref says %.9g", plan_describe(t->plan),
                     arg, i, got, want);
        }
    }
}

static void run_both(struct device *ref_device, struct device *d, const struct op_desc *op,
                     uint64_t seed)
{
    struct harness ref, t;

    if (!harness_open(&t, d, op, seed)) {
        struct device_info info;

        device_describe(d, &info);
        assert_false(info.has_bf16); /* then nothing of f32 and bf16 may be missing */
        return;
    }
    assert_true(harness_open(&ref, ref_device, op, seed));
    if (op->kind == OP_BN_ACT_BWD) {
        harness_bn_saved(&ref, seed + 1);
        harness_bn_saved(&t, seed + 1);
    }
    for (int twice = 0; twice < 2; twice++) { /* a second run finds what the first left */
        harness_run(&ref);
        harness_run(&t);
    }
    for (int i = 0; i < t.n_args; i++) {
        if (t.arg[i].dir == OUT || t.arg[i].dir == ADDED) {
            compare(&ref, &t, i);
        }
    }
    harness_close(&ref);
    harness_close(&t);
}

/* Run f for every backend but ref, in both types. */
static void each_backend(void (*f)(struct device *ref, struct device *d, enum dtype type))
{
    struct device *ref;

    must(device_create("ref", 0, &ref, &must_err));
    for (int i = 0; harness_backend(i) != NULL; i++) {
        struct device *d;

        must(device_create(harness_backend(i), 2, &d, &must_err));
        f(ref, d, DT_F32);
        f(ref, d, DT_BF16);
        device_destroy(d);
    }
    device_destroy(ref);
}

/* clang-format off */
static const int convs[][9] = {
    /* n, h, w, c, k, r, stride, pad, c_weights */
    {2, 28, 28, 1, 16, 3, 1, 1, 0}, {1, 14, 14, 16, 16, 3, 1, 1, 0}, {2, 14, 14, 16, 64, 1, 1, 0, 0},
    {2, 15, 13, 3, 32, 3, 2, 1, 0}, {1, 9, 11, 32, 32, 3, 1, 1, 0},  {2, 7, 5, 64, 48, 3, 2, 1, 0},
    {2, 8, 8, 32, 64, 1, 2, 0, 0},  {7, 1, 1, 64, 10, 1, 1, 0, 0},   {5, 1, 1, 16, 4, 1, 1, 0, 0},
    {5, 1, 1, 4, 16, 1, 1, 0, 0},   {1, 1, 1, 64, 1000, 1, 1, 0, 0}, {2, 6, 5, 5, 7, 3, 1, 1, 0},
    {2, 6, 5, 24, 40, 3, 1, 1, 0},  {1, 4, 5, 128, 128, 3, 1, 1, 0}, {2, 12, 9, 8, 32, 3, 2, 1, 3},
    {1, 7, 7, 16, 16, 3, 1, 0, 0},  {2, 5, 5, 1, 1, 1, 1, 0, 0},     {1, 5, 5, 256, 64, 1, 1, 0, 0},
    {1, 9, 9, 6, 12, 5, 1, 2, 0},   {4, 1, 1, 1, 1, 1, 1, 0, 0},
};

static const int maps[][4] = {{1, 1, 1, 1},  {2, 5, 7, 3},   {3, 8, 8, 16},  {2, 9, 6, 64}, {2, 28, 28, 16},
                              {1, 4, 4, 100}, {2, 3, 3, 130}, {5, 1, 1, 10}, {2, 17, 15, 48}, {33, 2, 2, 512}};
/* clang-format on */

static void all_convs(struct device *ref, struct device *d, enum dtype type)
{
    for (size_t i = 0; i < sizeof convs / sizeof convs[0]; i++) {
        for (int kind = OP_CONV; kind <= OP_CONV_BWD_WEIGHTS; kind++) {
            const int *s = convs[i];
            struct op_conv o = {s[0],
                                s[1],
                                s[2],
                                s[3],
                                s[4],
                                s[5],
                                s[6],
                                s[7],
                                s[8],
                                i % 2 == 0,
                                i % 3 == 0,
                                type,
                                kind == OP_CONV && i % 5 < 2};
            struct op_desc op = {.kind = (enum op_kind)kind, .u.conv = o};

            run_both(ref, d, &op, 10 + i);
        }
    }
}

static void convolutions_agree_with_ref(void **state)
{
    (void)state;
    each_backend(all_convs);
}

/* The first tap of a 3x3 kernel alone: at stride 2 the first output sees the padding, the next the
 * pixel before its centre. TensorFlow's "same" has no padding before an even side. */
static void a_kernel_of_three_at_stride_2_pads_one_before_the_first_pixel(void **state)
{
    static const float wanted[4] = {0, 0, 0, 6};
    const struct op_desc op = {.kind = OP_CONV,
                               .u.conv = {1, 4, 4, 1, 1, 3, 2, 1, 0, .type = DT_F32}};

    (void)state;
    for (int i = 0; harness_backend(i) != NULL; i++) {
        struct device *d;
        struct harness t;

        must(device_create(harness_backend(i), 1, &d, &must_err));
        assert_true(harness_open(&t, d, &op, 1));
        for (int k = 0; k < 16; k++) {
            t.host[0][k] = (float)(k + 1);
        }
        memset(t.weights, 0, 9 * sizeof *t.weights);
        t.weights[0] = 1;
        harness_pack(&t, NULL);
        harness_run(&t);
        assert_memory_equal(t.host[1], wanted, sizeof wanted);
        harness_close(&t);
        device_destroy(d);
    }
}

static void random_convs(struct device *ref, struct device *d, enum dtype type)
{
    static const int most[9] = {2, 9, 9, 36, 36, 2, 2, 2, 2}; /* n h w c k r stride pad relu */

    for (int i = 0; i < 24; i++) {
        struct op_desc op = {.kind = (enum op_kind)(i % 3)};
        int s[9];

        for (int j = 0; j < 9; j++) {
            s[j] = (int)(harness_bits((uint64_t)(9 * i + j)) >> 33) % most[j];
        }
        op.u.conv = (struct op_conv){1 + s[0],     3 + s[1], 3 + s[2],    1 + s[3], 1 + s[4],
                                     1 + 2 * s[5], 1 + s[6], s[5] * s[7], 0,        i % 2 == 0,
                                     s[8] == 1,    type,     false};
        run_both(ref, d, &op, 100 + (uint64_t)i);
    }
}

static void convolutions_of_random_shapes_agree_with_ref(void **state)
{
    (void)state;
    each_backend(random_convs);
}

static void all_maps(struct device *ref, struct device *d, enum dtype type)
{
    for (int kind = OP_BN_ACT; kind <= OP_ADD; kind++) {
        for (unsigned i = 0; i < sizeof maps / sizeof maps[0] * 4; i++) {
            const int *s = maps[i / 4];
            struct op_map o = {
                .n = s[0], .h = s[1], .w = s[2], .c = s[3], .type = type, .eps = 1e-5f};
            struct op_desc op = {.kind = (enum op_kind)kind, .u.map = o};
            bool bn = kind == OP_BN_ACT || kind == OP_BN_ACT_BWD;

            op.u.map.relu = (i & 1) != 0;
            op.u.map.with_gate = (i & 1) != 0;
            op.u.map.with_keep = (i & 2) != 0;
            if (!(bn && s[0] * s[1] * s[2] == 1)) { /* a variance of one value is 0 */
                run_both(ref, d, &op, 1000 + i);
            }
        }
    }
}

static void maps_and_pools_agree_with_ref(void **state)
{
    (void)state;
    each_backend(all_maps);
}

static void all_others(struct device *ref, struct device *d, enum dtype type)
{
    static const int rows[][2] = {{1, 1}, {3, 10}, {32, 1000}, {7, 33}};
    static const int images[][5] = {{2, 28, 28, 1, 1}, {3, 9, 7, 3, 3}, {1, 5, 5, 3, 8}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct op_desc op = {.kind = OP_SOFTMAX_CE, .u.loss = {rows[i][0], rows[i][1], type}};

        run_both(ref, d, &op, i);
    }
    for (size_t i = 0; i < sizeof images / sizeof images[0]; i++) {
        const int *s = images[i];
        struct op_normalize o = {
            s[0], s[1], s[2], s[3], s[4], {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}, type};
        struct op_desc op = {.kind = OP_NORMALIZE, .u.normalize = o};

        run_both(ref, d, &op, i);
    }
    for (int i = 0; i < 4; i++) {
        struct op_desc op = {.kind = OP_SGD, .u.sgd = {i < 2 ? 1003 : 40001, 0.9f, i % 2 == 0}};

        run_both(ref, d, &op, (uint64_t)i);
    }
    for (size_t n = 1; n < 200000; n = 5 * n + 3) {
        struct op_desc op = {.kind = OP_SQUARES, .u.squares = {n}};

        run_both(ref, d, &op, n);
    }
}

static void loss_pixels_and_step_agree_with_ref(void **state)
{
    (void)state;
    each_backend(all_others);
}

/* The sum on d of n values, the i-th 2^(i % 16 - 8), one of them `odd` at `at`. */
static double squares_on(struct device *d, size_t n, size_t at, float odd)
{
    const struct op_desc op = {.kind = OP_SQUARES, .u.squares = {n}};
    float *x = mem_calloc(n, sizeof *x);
    void *args[PLAN_MAX_ARGS] = {0};
    struct plan *p = NULL;
    double y = -1;

    assert_non_null(x);
    for (size_t i = 0; i < n; i++) {
        x[i] = ldexpf(1.0f, (int)(i % 16) - 8);
    }
    x[at] = odd;
    must(plan_create(d, &op, &p, &must_err));
    must(device_alloc(d, n * sizeof *x, "x", &args[0], &must_err));
    must(device_alloc(d, sizeof y, "y", &args[1], &must_err));
    must(device_upload(d, NULL, args[0], x, n * sizeof *x, &must_err));
    must(plan_run(p, args, &must_err));
    must(device_download(d, NULL, &y, args[1], sizeof y, &must_err));
    must(device_sync(d, NULL, &must_err));
    plan_destroy(p);
    device_free(d, args[0]);
    device_free(d, args[1]);
    mem_free(x);
    return y;
}

/* Squares of powers of two: every order of adding them in f64 is exact. */
static double squares_by_hand(size_t n, size_t at, double odd)
{
    double y = 0;

    for (size_t i = 0; i < n; i++) {
        y += i == at ? odd * odd : ldexp(1.0, 2 * ((int)(i % 16) - 8));
    }
    return y;
}

static void squares_are_summed_in_f64_and_show_what_is_not_finite(void **state)
{
    static const size_t counts[] = {1, 7, 1003, 4096, 65537, 600000};

    (void)state;
    for (int b = 0; harness_backend(b) != NULL; b++) {
        struct device *d;

        must(device_create(harness_backend(b), 2, &d, &must_err));
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            const size_t n = counts[i], ends[2] = {0, n - 1};

            for (int k = 0; k < 2; k++) {
                assert_true(squares_on(d, n, ends[k], 3.0f) == squares_by_hand(n, ends[k], 3.0));
                assert_true(isnan(squares_on(d, n, ends[k], NAN)));
                assert_true(isinf(squares_on(d, n, ends[k], -INFINITY)));
                assert_true(isfinite(squares_on(d, n, ends[k], 3e38f)));
            }
        }
        device_destroy(d);
    }
}

/* ---- --bench --------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The best of several runs, without the copies of harness_run. */
static double best_seconds(struct harness *t)
{
    void *args[PLAN_MAX_ARGS] = {0};
    double best = 1e9, begin;

    for (int i = 0; i < t->n_args; i++) {
        args[i] = t->arg[i].dir == SCALARS ? (void *)t->host[i] : t->dev[i];
        args[i] = t->arg[i].dir == ABSENT ? NULL : args[i];
    }
    begin = seconds();
    for (int run = 0; run < 200 && (run < 3 || seconds() - begin < 0.1); run++) {
        double start = seconds(), took;

        must(plan_run(t->plan, args, &must_err));
        must(device_sync(t->device, NULL, &must_err));
        took = seconds() - start;
        best = took < best ? took : best;
    }
    return best;
}

static const char *bench_filter = ""; /* only plans whose description has this in it */

static bool wanted(struct device *d, const struct op_desc *op)
{
    struct err e = {0};
    struct plan *p = NULL;
    bool yes = plan_create(d, op, &p, &e) == RC_OK && strstr(plan_describe(p), bench_filter);

    plan_destroy(p);
    return yes;
}

static void bench_op(struct device *d, const struct op_desc *op)
{
    struct harness t;
    double took, bytes = 0;

    if (!wanted(d, op) || !harness_open(&t, d, op, 1)) {
        return;
    }
    if (op->kind == OP_BN_ACT_BWD) {
        harness_bn_saved(&t, 1);
    }
    for (int i = 0; i < t.n_args; i++) {
        double each = (double)(t.arg[i].n * dtype_size(t.arg[i].type));

        bytes += t.arg[i].dir == ABSENT ? 0 : t.arg[i].dir == ADDED ? 2 * each : each;
    }
    took = best_seconds(&t);
    printf("%9.3f ms %8.1f GFLOP/s %7.1f GB/s  %s\n", took * 1e3, plan_flops(t.plan) / took * 1e-9,
           bytes / took * 1e-9, plan_describe(t.plan));
    harness_close(&t);
}

/* clang-format off */
static const int bench_convs[][8] = {
    /* n, h, w, c, k, r, stride, pad: resnetrs50 at 160 px, then the demo's network */
    {16, 160, 160, 3, 32, 3, 2, 1}, {16, 80, 80, 32, 64, 3, 1, 1}, {16, 40, 40, 64, 64, 3, 1, 1},
    {16, 40, 40, 64, 256, 1, 1, 0}, {16, 40, 40, 128, 128, 3, 2, 1}, {16, 20, 20, 512, 128, 1, 1, 0},
    {16, 10, 10, 256, 256, 3, 1, 1}, {16, 5, 5, 2048, 512, 1, 1, 0}, {16, 1, 1, 256, 64, 1, 1, 0},
    {16, 1, 1, 2048, 1000, 1, 1, 0},
    {128, 28, 28, 1, 16, 3, 1, 1}, {128, 28, 28, 16, 16, 3, 2, 1}, {128, 14, 14, 16, 64, 1, 1, 0},
    {128, 14, 14, 16, 16, 3, 1, 1}, {128, 7, 7, 32, 128, 1, 1, 0}, {128, 4, 4, 64, 64, 3, 1, 1},
    {128, 1, 1, 64, 16, 1, 1, 0}, {128, 1, 1, 256, 10, 1, 1, 0},
};
static const int bench_maps[][4] = {{16, 80, 80, 64}, {16, 40, 40, 256}, {16, 10, 10, 1024}, {128, 28, 28, 16},
                                    {128, 14, 14, 64}, {128, 4, 4, 256}};
/* clang-format on */

static void bench_type(struct device *d, enum dtype type)
{
    struct op_desc loss = {.kind = OP_SOFTMAX_CE, .u.loss = {128, 1000, type}};
    struct op_desc pixels = {.kind = OP_NORMALIZE,
                             .u.normalize = {16, 160, 160, 3, 3, {0}, {1, 1, 1, 1}, type}};

    for (size_t i = 0; i < sizeof bench_convs / sizeof bench_convs[0]; i++) {
        for (int kind = OP_CONV; kind <= OP_CONV_BWD_WEIGHTS; kind++) {
            const int *s = bench_convs[i];
            struct op_conv o = {
                s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], 0, kind == OP_CONV, kind == OP_CONV,
                type, false};
            struct op_desc op = {.kind = (enum op_kind)kind, .u.conv = o};

            bench_op(d, &op);
        }
    }
    for (int kind = OP_BN_ACT; kind <= OP_ADD; kind++) {
        for (size_t i = 0; i < sizeof bench_maps / sizeof bench_maps[0]; i++) {
            const int *s = bench_maps[i];
            struct op_map o = {s[0], s[1], s[2], s[3], type, true, true, true, 1e-5f, DT_F32};
            struct op_desc op = {.kind = (enum op_kind)kind, .u.map = o};

            bench_op(d, &op);
        }
    }
    bench_op(d, &loss);
    bench_op(d, &pixels);
}

static int bench(const char *backend, int threads)
{
    struct device *d;
    struct device_info info;
    struct op_desc sgd = {.kind = OP_SGD, .u.sgd = {8 << 20, 0.9f, true}};
    struct op_desc squares = {.kind = OP_SQUARES, .u.squares = {8 << 20}};

    must(device_create(backend, threads, &d, &must_err));
    device_describe(d, &info);
    printf("%s: %s, %s, %d threads\n", info.backend, info.library, info.isa, info.threads);
    bench_type(d, DT_F32);
    bench_type(d, DT_BF16);
    bench_op(d, &sgd);
    bench_op(d, &squares);
    device_destroy(d);
    return 0;
}

/* usage: test_device_ops [--bench [BACKEND [THREADS [TEXT]]]], TEXT: part of plans' descriptions */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_agree_with_ref),
        cmocka_unit_test(convolutions_of_random_shapes_agree_with_ref),
        cmocka_unit_test(a_kernel_of_three_at_stride_2_pads_one_before_the_first_pixel),
        cmocka_unit_test(maps_and_pools_agree_with_ref),
        cmocka_unit_test(loss_pixels_and_step_agree_with_ref),
        cmocka_unit_test(squares_are_summed_in_f64_and_show_what_is_not_finite),
    };

    bench_filter = argc > 4 ? argv[4] : "";
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        return bench(argc > 2 ? argv[2] : "auto", argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

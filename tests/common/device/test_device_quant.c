/* The 8-bit operations: every backend that has them against ref, ref against f32 and by hand. */
#include <stdlib.h>

#include "tests/common/device/op_harness.h"

enum { SEED = 40 };

/* An operation's arguments as bytes on the host; arguments of floats hold their floats. */
struct quant_case {
    struct op_desc op;
    size_t bytes[PLAN_MAX_ARGS];
    void *arg[PLAN_MAX_ARGS];
    int n_args, out;
    float *weights, *bias, *scale;
};

static void *bytes_of(size_t n, uint64_t seed)
{
    uint8_t *p = mem_aligned(n);

    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)(harness_bits(seed << 40 | i) >> 33);
    }
    return p;
}

static float *floats_of(size_t n, float around, float spread, uint64_t seed)
{
    float *p = mem_aligned(n * sizeof *p);

    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        float u = (float)(harness_bits(seed << 40 | i) >> 40) / (float)(1 << 24);

        p[i] = around + spread * (2 * u - 1);
    }
    return p;
}

static void add_arg(struct quant_case *t, void *p, size_t bytes)
{
    t->arg[t->n_args] = p;
    t->bytes[t->n_args++] = bytes;
}

static void open_conv(struct quant_case *t, const int *s, bool relu)
{
    struct op_conv *o = &t->op.u.conv;
    size_t nx = 0, ny = 0, nw = 0;

    *t = (struct quant_case){.op.kind = OP_CONV_Q, .out = 1};
    *o = (struct op_conv){s[0], s[1], s[2], s[3], s[4],  s[5], s[6],
                          s[7], s[8], true, relu, DT_U8, false};
    nx = (size_t)(s[0] * s[1] * s[2] * s[3]);
    ny = (size_t)(s[0] * s[4]) * harness_out(o, s[1]) * harness_out(o, s[2]);
    nw = (size_t)(s[4] * s[5] * s[5]) * (size_t)(s[8] > 0 ? s[8] : s[3]);
    add_arg(t, bytes_of(nx, SEED), nx);
    add_arg(t, bytes_of(ny, SEED + 1), ny);
    t->weights = floats_of(nw, 0.1f, 1, SEED + 2);
    t->bias = floats_of((size_t)s[4], 5, 20, SEED + 3);
    t->scale = floats_of((size_t)s[4], 0.02f, 0.015f, SEED + 4);
}

static void open_map(struct quant_case *t, enum op_kind kind, const int *s, enum dtype type,
                     enum dtype shortcut)
{
    struct op_map o = {.n = s[0], .h = s[1], .w = s[2], .c = s[3], .type = type};
    size_t c = (size_t)s[3], rows = (size_t)s[0] * c, n = rows * (size_t)(s[1] * s[2]);
    size_t half = rows * (size_t)((s[1] + 1) / 2 * ((s[2] + 1) / 2));

    o.shortcut = shortcut;
    *t = (struct quant_case){.op.kind = kind, .op.u.map = o, .out = 2};
    if (kind == OP_QUANTIZE) {
        add_arg(t, floats_of(n, 1, 2, SEED), n * sizeof(float));
        add_arg(t, floats_of(c, 80, 60, SEED + 1), c * sizeof(float));
        add_arg(t, bytes_of(n, SEED + 2), n);
    } else if (kind == OP_AVG_POOL2_Q) {
        add_arg(t, bytes_of(n, SEED), n);
        add_arg(t, bytes_of(half, SEED + 1), half);
        t->out = 1;
    } else if (kind == OP_GLOBAL_POOL_Q) {
        add_arg(t, bytes_of(n, SEED), n);
        add_arg(t, floats_of(c, 0, 1, SEED + 1), c * sizeof(float));
        add_arg(t, bytes_of(rows * sizeof(float), SEED + 2), rows * sizeof(float));
    } else {
        add_arg(t, bytes_of(n, SEED), n);
        add_arg(t, bytes_of(n, SEED + 1), n);
        add_arg(t, floats_of(rows, 0.5f, 0.4f, SEED + 2), rows * sizeof(float));
        add_arg(t, floats_of(c, 1, 0.5f, SEED + 3), c * sizeof(float));
        add_arg(t, floats_of(c, 1, 0.5f, SEED + 4), c * sizeof(float));
        add_arg(t, bytes_of(n, SEED + 5), n);
        t->out = 5;
    }
}

static void close_case(struct quant_case *t)
{
    for (int i = 0; i < t->n_args; i++) {
        mem_free(t->arg[i]);
    }
    mem_free(t->weights);
    mem_free(t->bias);
    mem_free(t->scale);
}

/* Run on d; what comes out is the caller's. */
static uint8_t *run_case(const struct quant_case *t, struct device *d)
{
    void *args[PLAN_MAX_ARGS] = {0};
    uint8_t *out = mem_aligned(t->bytes[t->out]);
    struct plan *p = NULL;
    uint64_t count = 0;

    assert_non_null(out);
    must(plan_create(d, &t->op, &p, &must_err));
    if (t->weights != NULL) {
        must(plan_pack(p, t->weights, t->bias, t->scale, &must_err));
    }
    memcpy(args, t->arg, sizeof t->arg);
    args[t->out] = out;
    must(plan_run(p, args, &must_err));
    count = mem_count();
    must(plan_run(p, args, &must_err));
    assert_int_equal(mem_count(), count); /* a steady run allocates nothing */
    must(device_sync(d, NULL, &must_err));
    plan_destroy(p);
    return out;
}

static bool computes_int8(const struct device *d)
{
    struct device_info info;

    device_describe(d, &info);
    return info.has_int8;
}

/* Equal integers, but where f32 and f64 round a tie apart: then neighbours, and seldom. */
static void check_equal(const struct quant_case *t, const uint8_t *want, const uint8_t *got,
                        const char *who)
{
    const bool is_signed = t->op.kind == OP_CONV_Q && !t->op.u.conv.relu;
    size_t apart = 0;

    for (size_t i = 0; i < t->bytes[t->out]; i++) {
        int a = is_signed ? (int8_t)want[i] : want[i], b = is_signed ? (int8_t)got[i] : got[i];

        apart += a != b;
        if (abs(a - b) > 1) {
            fail_msg("%s: %s, value %zu is %d, ref says %d", who, "8 bits", i, b, a);
        }
    }
    if (apart > 1 + t->bytes[t->out] / 1000) {
        fail_msg("%s: kind %d, %zu of %zu values differ by one", who, (int)t->op.kind, apart,
                 t->bytes[t->out]);
    }
}

static void check_floats(const struct quant_case *t, const uint8_t *want, const uint8_t *got)
{
    for (size_t i = 0; i < t->bytes[t->out]; i += sizeof(float)) {
        float a = 0, b = 0;

        memcpy(&a, want + i, sizeof a);
        memcpy(&b, got + i, sizeof b);
        assert_true(fabsf(a - b) <= 1e-6f * (1 + fabsf(a)));
    }
}

/* Every backend with one thread and two against ref; both threads' bits are the same. */
static void check_case(const struct quant_case *t)
{
    struct device *ref = NULL;
    uint8_t *want = NULL;

    must(device_create("ref", 0, &ref, &must_err));
    want = run_case(t, ref);
    for (int i = 0; harness_backend(i) != NULL; i++) {
        struct device *one = NULL, *two = NULL;

        must(device_create(harness_backend(i), 1, &one, &must_err));
        must(device_create(harness_backend(i), 2, &two, &must_err));
        if (computes_int8(one)) {
            uint8_t *a = run_case(t, one), *b = run_case(t, two);

            if (t->op.kind == OP_GLOBAL_POOL_Q) {
                check_floats(t, want, a);
            } else {
                check_equal(t, want, a, harness_backend(i));
            }
            assert_memory_equal(a, b, t->bytes[t->out]);
            mem_free(a);
            mem_free(b);
        }
        device_destroy(one);
        device_destroy(two);
    }
    mem_free(want);
    device_destroy(ref);
}

/* clang-format off */
static const int convs[][9] = {
    /* n, h, w, c, k, r, stride, pad, c_weights */
    {2, 14, 14, 16, 16, 3, 1, 1, 0}, {2, 14, 14, 16, 64, 1, 1, 0, 0}, {1, 9, 11, 32, 32, 3, 1, 1, 0},
    {2, 7, 5, 64, 48, 3, 2, 1, 0},   {2, 8, 8, 32, 64, 1, 2, 0, 0},   {1, 4, 5, 128, 128, 3, 1, 1, 0},
    {2, 6, 5, 5, 7, 3, 1, 1, 0},     {2, 6, 5, 24, 40, 3, 1, 1, 0},   {2, 12, 9, 8, 32, 3, 2, 1, 3},
    {2, 5, 5, 1, 1, 1, 1, 0, 0},     {1, 5, 5, 512, 128, 1, 1, 0, 0}, {2, 15, 13, 3, 32, 3, 2, 1, 0},
};

static const int maps[][4] = {{1, 1, 1, 1},   {2, 5, 7, 3},   {3, 8, 8, 16},  {2, 9, 6, 64},
                              {2, 28, 28, 16}, {1, 4, 4, 100}, {2, 17, 15, 48}, {9, 5, 5, 512}};
/* clang-format on */

static void convolutions_agree_with_ref(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof convs / sizeof convs[0]; i++) {
        for (int relu = 0; relu < 2; relu++) {
            struct quant_case t;

            open_conv(&t, convs[i], relu == 1);
            check_case(&t);
            close_case(&t);
        }
    }
}

static void what_stands_between_them_agrees_with_ref(void **state)
{
    static const struct {
        enum op_kind kind;
        enum dtype type, shortcut;
    } kinds[] = {{OP_QUANTIZE, DT_F32, DT_F32},     {OP_AVG_POOL2_Q, DT_U8, DT_F32},
                 {OP_GLOBAL_POOL_Q, DT_U8, DT_F32}, {OP_GLOBAL_POOL_Q, DT_S8, DT_F32},
                 {OP_GATE_ADD_ACT_Q, DT_S8, DT_U8}, {OP_GATE_ADD_ACT_Q, DT_S8, DT_S8}};

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
            struct quant_case t;

            open_map(&t, kinds[k].kind, maps[i], kinds[k].type, kinds[k].shortcut);
            check_case(&t);
            close_case(&t);
        }
    }
}

/* y within half a unit and what the weights' own rounding, half a step each, can add up to */
static void ref_is_the_f32_convolution_but_for_the_rounding(void **state)
{
    struct device *ref = NULL;

    (void)state;
    must(device_create("ref", 0, &ref, &must_err));
    for (size_t i = 0; i < sizeof convs / sizeof convs[0]; i++) {
        struct quant_case t, f;
        uint8_t *got = NULL;
        float *want = NULL, *x = NULL;

        open_conv(&t, convs[i], true);
        got = run_case(&t, ref);
        f = t;
        f.op.kind = OP_CONV;
        f.op.u.conv.type = DT_F32;
        f.bytes[1] = t.bytes[1] * sizeof(float);
        x = mem_aligned(t.bytes[0] * sizeof *x);
        assert_non_null(x);
        for (size_t j = 0; j < t.bytes[0]; j++) {
            x[j] = ((uint8_t *)t.arg[0])[j];
        }
        f.arg[0] = x;
        want = (float *)(void *)run_case(&f, ref);
        for (size_t j = 0; j < t.bytes[1]; j++) {
            const int *s = convs[i];
            float most = 1.1f * 0.035f / 127, terms = (float)(s[5] * s[5] * s[3]);
            float clamped = fminf(want[j], 255);

            assert_true(fabsf((float)got[j] - clamped) <= 0.5f + most / 2 * 255 * terms);
        }
        mem_free(x);
        mem_free(want);
        mem_free(got);
        close_case(&t);
    }
    device_destroy(ref);
}

static void ties_go_to_even_and_values_are_clamped(void **state)
{
    const int s[4] = {1, 2, 2, 2};
    const float x[8] = {0.5f, 1.5f, 2.5f, -3, 254.5f, 255.5f, 300, 1e9f}, one[2] = {1, 1};
    const uint8_t want[8] = {0, 2, 2, 0, 254, 255, 255, 255};
    const uint8_t pool[8] = {1, 2, 2, 2, 2, 2, 1, 4}; /* means 1.5 and 2.5 */

    (void)state;
    for (int i = 0; harness_backend(i) != NULL; i++) {
        struct device *d = NULL;
        struct quant_case t;
        uint8_t *got = NULL;

        must(device_create(harness_backend(i), 1, &d, &must_err));
        if (computes_int8(d)) {
            open_map(&t, OP_QUANTIZE, s, DT_F32, DT_F32);
            memcpy(t.arg[0], x, sizeof x);
            memcpy(t.arg[1], one, sizeof one);
            got = run_case(&t, d);
            assert_memory_equal(got, want, sizeof want);
            mem_free(got);
            close_case(&t);
            open_map(&t, OP_AVG_POOL2_Q, s, DT_U8, DT_F32);
            memcpy(t.arg[0], pool, sizeof pool);
            got = run_case(&t, d);
            assert_int_equal(got[0], 2);
            assert_int_equal(got[1], 2);
            mem_free(got);
            close_case(&t);
        }
        device_destroy(d);
    }
}

static void what_cannot_be_is_refused(void **state)
{
    struct op_desc op = {.kind = OP_CONV_Q,
                         .u.conv = {1, 4, 4, 8, 8, 1, 1, 0, 0, false, true, DT_F32, false}};
    struct device *ref = NULL;
    struct plan *p = NULL;
    struct err e = {0};

    (void)state;
    must(device_create("ref", 0, &ref, &must_err));
    assert_int_equal(plan_create(ref, &op, &p, &e), RC_INVAL);
    assert_string_equal(e.msg, "conv_q: type f32 where u8 is needed");
    op.u.conv.type = DT_U8;
    op.u.conv.c = 70000;
    e = (struct err){0};
    assert_int_equal(plan_create(ref, &op, &p, &e), RC_INVAL);
    assert_non_null(strstr(e.msg, "may not fit 32 bits"));
    op = (struct op_desc){.kind = OP_GATE_ADD_ACT_Q,
                          .u.map = {.n = 1, .h = 1, .w = 1, .c = 1, .type = DT_S8}};
    e = (struct err){0};
    assert_int_equal(plan_create(ref, &op, &p, &e), RC_INVAL);
    assert_non_null(strstr(e.msg, "shortcut of type f32"));
    device_destroy(ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_agree_with_ref),
        cmocka_unit_test(what_stands_between_them_agrees_with_ref),
        cmocka_unit_test(ref_is_the_f32_convolution_but_for_the_rounding),
        cmocka_unit_test(ties_go_to_even_and_values_are_clamped),
        cmocka_unit_test(what_cannot_be_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

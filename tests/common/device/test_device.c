#include <malloc.h>

#include "tests/common/device/op_harness.h"

static void assert_says(enum rc rc, enum rc want, const struct err *e, const char *sentence)
{
    assert_int_equal(rc, want);
    assert_string_equal(e->msg, sentence);
}

static float float_of(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

static bool is_nan16(uint16_t x)
{
    return (x & 0x7fff) > 0x7f80;
}

static void every_bf16_survives_a_round_trip(void **state)
{
    (void)state;
    for (uint32_t x = 0; x < 65536; x++) {
        uint16_t back = bf16_from_f32(bf16_to_f32((uint16_t)x));

        assert_int_equal(back, is_nan16((uint16_t)x) ? x | 0x40 : x);
    }
}

/* The bf16 that (x << 16 | low) rounds to, for a finite x: to nearest, ties to even. */
static uint16_t rounded(uint16_t x, uint32_t low)
{
    bool up = low > 0x8000 || (low == 0x8000 && (x & 1) != 0);

    return (uint16_t)(up ? x + 1 : x);
}

static const uint32_t lows[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
enum { N_LOWS = sizeof lows / sizeof lows[0] };

static void f32_rounds_to_the_nearest_bf16_ties_to_even(void **state)
{
    (void)state;
    for (uint32_t x = 0; x < 65536; x++) {
        for (int i = 0; i < N_LOWS; i++) {
            uint16_t got = bf16_from_f32(float_of(x << 16 | lows[i]));

            if ((x & 0x7f80) == 0x7f80) { /* infinity, or NaN which must stay one */
                bool nan = is_nan16((uint16_t)x) || lows[i] != 0;

                assert_int_equal(is_nan16(got), nan);
                assert_true(nan || got == x);
            } else {
                assert_int_equal(got, rounded((uint16_t)x, lows[i]));
            }
        }
    }
}

/* 1 (bf16) * m (f32) rounds every m as bf16_from_f32 does. */
static void every_backend_rounds_alike(void **state)
{
    (void)state;
    for (int b = 0; harness_backend(b) != NULL; b++) {
        struct op_desc op = {.kind = OP_MUL_ROW, .u.map = {1, 256, 256, 1, .type = DT_BF16}};
        struct device *d;
        struct harness t;

        must(device_create(harness_backend(b), 2, &d, &must_err));
        assert_true(harness_open(&t, d, &op, 1));
        for (int i = 0; i < N_LOWS; i++) {
            for (uint32_t x = 0; x < 65536; x++) {
                t.host[0][x] = 1.0f;
                t.host[1][x] = float_of(x << 16 | lows[i]);
            }
            harness_run(&t);
            for (uint32_t x = 0; x < 65536; x++) {
                uint16_t want = bf16_from_f32(t.host[1][x]), got = bf16_from_f32(t.host[2][x]);

                assert_true(is_nan16(want) ? is_nan16(got) : want == got);
            }
        }
        harness_close(&t);
        device_destroy(d);
    }
}

static void types_have_sizes_and_names(void **state)
{
    (void)state;
    assert_int_equal(dtype_size(DT_F32), 4);
    assert_int_equal(dtype_size(DT_BF16), 2);
    assert_int_equal(dtype_size(DT_U8), 1);
    assert_int_equal(dtype_size(DT_S8), 1);
    assert_int_equal(dtype_size(DT_S32), 4);
    assert_string_equal(dtype_name(DT_BF16), "bf16");
    assert_string_equal(dtype_name((enum dtype)77), "?");
}

static void unknown_device_lists_the_known(void **state)
{
    struct device *d = NULL;
    struct err e = {0};
    enum rc rc = device_create("gpu9", 0, &d, &e);
    char known[128] = "unknown device 'gpu9': expected auto";

    (void)state;
    for (int i = 0; device_backend_name(i) != NULL; i++) {
        size_t used = strlen(known);

        (void)snprintf(known + used, sizeof known - used, ", %s", device_backend_name(i));
    }
    assert_says(rc, RC_INVAL, &e, known);
    assert_null(d);
    err_clear(&e);
    rc = device_create("ref", -1, &d, &e);
    assert_says(rc, RC_INVAL, &e, "device 'ref': -1 threads cannot be");
}

static void auto_is_the_first_backend_and_describes_itself(void **state)
{
    struct device *d;
    struct device_info info;

    (void)state;
    must(device_create("auto", 0, &d, &must_err));
    device_describe(d, &info);
    assert_string_equal(info.backend, harness_backend(0));
    assert_true(info.threads >= 1);
    assert_true(strlen(info.isa) > 0);
    assert_non_null(strstr(info.library, strcmp(info.backend, "cuda") == 0 ? "cuDNN " : "oneDNN "));
    assert_int_equal(device_input_channels(d, 3, DT_F32), 3);
    device_destroy(d);
    device_destroy(NULL);
    must(device_create("cpu", 2, &d, &must_err));
    device_describe(d, &info);
    assert_int_equal(info.threads, 2);
    device_destroy(d);
}

static void wrong_shapes_are_named_with_their_numbers(void **state)
{
    /* clang-format off */
    static const struct {
        struct op_desc op;
        const char *says;
    } wrong[] = {
        {{OP_CONV, {.conv = {1, 8, 8, 0, 16, 3, 1, 1, .type = DT_F32}}},
         "conv: shape 1x8x8x0 -> 16 channels cannot be"},
        {{OP_CONV, {.conv = {1, 8, 8, 4, 16, 2, 1, 1, .type = DT_F32}}},
         "conv: kernel 2, stride 1, pad 1 do not fit 8x8 pixels"},
        {{OP_CONV_BWD_DATA, {.conv = {1, 2, 8, 4, 16, 3, 1, 0, .type = DT_F32}}},
         "conv_bwd_data: kernel 3, stride 1, pad 0 do not fit 2x8 pixels"},
        {{OP_CONV_BWD_WEIGHTS, {.conv = {1, 8, 8, 4, 16, 3, 1, 1, .c_weights = 5, .type = DT_F32}}},
         "conv_bwd_weights: weights of 5 input channels for an input of 4"},
        {{OP_CONV_BWD_DATA, {.conv = {1, 8, 8, 4, 16, 3, 1, 1, .type = DT_BF16, .wide = true}}},
         "conv_bwd_data: only conv has a wide output"},
        {{OP_CONV, {.conv = {1 << 20, 1 << 10, 1 << 10, 4, 16, 3, 1, 1, .type = DT_F32}}},
         "conv: shape 1048576x1024x1024x4 -> 16 channels cannot be"},
        {{OP_BN_ACT, {.map = {2, 3, 4, 5, DT_U8, .eps = 1e-5f}}},
         "bn_act: type u8 where f32 or bf16 is needed"},
        {{OP_BN_ACT, {.map = {2, 3, 4, 5, DT_F32, .eps = 0}}}, "bn_act: eps 0 must be above 0"},
        {{OP_ADD, {.map = {2, -3, 4, 5, DT_F32, .eps = 0}}}, "add: shape 2x-3x4x5 cannot be"},
        {{OP_SOFTMAX_CE, {.loss = {0, 10, DT_F32}}}, "softmax_ce: 0 rows of 10 classes cannot be"},
        {{OP_NORMALIZE, {.normalize = {1, 2, 2, 3, 1, {0}, {1, 1, 1, 1}, DT_F32}}},
         "normalize: shape 1x2x2x3 -> 1 channels cannot be"},
        {{OP_NORMALIZE, {.normalize = {1, 2, 2, 1, 1, {0}, {0}, DT_F32}}},
         "normalize: std[0] = 0 must be above 0"},
        {{OP_SGD, {.sgd = {0, 0.9f, true}}}, "sgd: 0 elements with momentum 0.9 cannot be"},
        {{OP_SQUARES, {.squares = {0}}}, "squares: 0 elements cannot be"},
        {{(enum op_kind)99, {.sgd = {0}}}, "operation 99 is unknown"},
    };
    /* clang-format on */
    struct device *d;

    (void)state;
    must(device_create("ref", 0, &d, &must_err));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct plan *p = NULL;
        struct err e = {0};
        enum rc rc = plan_create(d, &wrong[i].op, &p, &e);

        assert_says(rc, RC_INVAL, &e, wrong[i].says);
        assert_null(p);
    }
    device_destroy(d);
}

static const struct op_desc small_conv = {
    OP_CONV, {.conv = {2, 6, 6, 4, 8, 3, 1, 1, .with_bias = true, .type = DT_F32}}};

static void wrong_use_of_a_plan_is_a_sentence(void **state)
{
    struct op_desc add_op = {OP_ADD, {.map = {2, 3, 4, 5, DT_F32, .eps = 0}}};
    float weights[8 * 9 * 4] = {0};

    (void)state;
    for (int i = 0; harness_backend(i) != NULL; i++) {
        void *args[2] = {weights, weights};
        struct device *d;
        struct plan *p, *add;
        struct err e = {0};
        char say[256];
        enum rc rc;

        must(device_create(harness_backend(i), 1, &d, &must_err));
        must(plan_create(d, &small_conv, &p, &must_err));
        must(plan_create(d, &add_op, &add, &must_err));
        rc = plan_run(p, args, &e);
        (void)snprintf(say, sizeof say, "%s: run before its weights were packed", plan_describe(p));
        assert_says(rc, RC_INVAL, &e, say);
        err_clear(&e);
        rc = plan_pack(p, weights, NULL, NULL, &e);
        (void)snprintf(say, sizeof say, "%s: packed without a bias", plan_describe(p));
        assert_says(rc, RC_INVAL, &e, say);
        err_clear(&e);
        args[1] = NULL;
        rc = plan_run(p, args, &e);
        (void)snprintf(say, sizeof say, "%s: argument 1 is missing", plan_describe(p));
        assert_says(rc, RC_INVAL, &e, say);
        err_clear(&e);
        rc = plan_pack(add, weights, NULL, NULL, &e);
        assert_says(rc, RC_INVAL, &e, "add 2x3x4x5 f32: has no weights to pack");
        plan_destroy(p);
        plan_destroy(add);
        plan_destroy(NULL);
        device_destroy(d);
    }
}

static void plans_tell_their_size_and_work(void **state)
{
    struct op_desc bn = {OP_BN_ACT, {.map = {2, 3, 4, 5, DT_F32, .relu = true, .eps = 1e-5f}}};
    struct device *d;
    struct plan *p;

    (void)state;
    must(device_create("cpu", 1, &d, &must_err));
    must(plan_create(d, &small_conv, &p, &must_err));
    assert_true(plan_flops(p) == 2.0 * 2 * 6 * 6 * 8 * 9 * 4);
    assert_true(plan_packed_bytes(p) >= 8 * 9 * 4 * sizeof(float));
    assert_int_equal(plan_saved_bytes(p), 0);
    assert_ptr_equal(strstr(plan_describe(p), "conv 2x6x6x4 -> 8 r3 s1 bias f32 ("),
                     plan_describe(p));
    plan_destroy(p);
    must(plan_create(d, &bn, &p, &must_err));
    assert_string_equal(plan_describe(p), "bn_act 2x3x4x5 relu f32");
    assert_true(plan_saved_bytes(p) >= 2 * 5 * sizeof(float));
    plan_destroy(p);
    device_destroy(d);
}

/* Scale multiplies each output channel's weights: the same as masters multiplied beforehand. */
static void packing_with_a_scale_folds_it_into_the_weights(void **state)
{
    static const float scale[8] = {1, 2, 0.5f, -1, 4, 0.25f, -2, 0};

    (void)state;
    for (int i = 0; harness_backend(i) != NULL; i++) {
        struct device *d;
        struct harness a, b;

        must(device_create(harness_backend(i), 1, &d, &must_err));
        assert_true(harness_open(&a, d, &small_conv, 3));
        assert_true(harness_open(&b, d, &small_conv, 3));
        harness_pack(&a, scale);
        for (size_t j = 0; j < b.n_weights; j++) {
            b.weights[j] *= scale[j / (b.n_weights / 8)];
        }
        harness_pack(&b, NULL);
        harness_run(&a);
        harness_run(&b);
        assert_memory_equal(a.host[1], b.host[1], a.arg[1].n * sizeof(float));
        harness_close(&a);
        harness_close(&b);
        device_destroy(d);
    }
}

static void queues_events_and_copies_work(void **state)
{
    static const char text[] = "sixteen bytes...";

    (void)state;
    for (int i = 0; harness_backend(i) != NULL; i++) {
        struct device *d;
        struct queue *q;
        struct event *ev;
        char back[sizeof text] = "";
        void *p, *host;

        must(device_create(harness_backend(i), 1, &d, &must_err));
        must(queue_create(d, &q, &must_err));
        must(event_create(d, &ev, &must_err));
        must(device_alloc(d, sizeof text, "text", &p, &must_err));
        must(device_alloc_host(d, sizeof text, &host, &must_err));
        memcpy(host, text, sizeof text);
        must(device_upload(d, q, p, host, sizeof text, &must_err));
        must(event_record(d, ev, q, &must_err));
        must(event_wait(d, ev, NULL, &must_err));
        must(device_download(d, NULL, back, p, sizeof text, &must_err));
        must(device_sync(d, NULL, &must_err));
        assert_string_equal(back, text);
        must(device_zero(d, q, p, sizeof text, &must_err));
        must(device_sync(d, q, &must_err));
        must(device_download(d, NULL, back, p, sizeof text, &must_err));
        must(device_sync(d, NULL, &must_err));
        assert_string_equal(back, "");
        device_free(d, p);
        device_free_host(d, host);
        event_destroy(d, ev);
        queue_destroy(d, q);
        device_destroy(d);
    }
}

/* One plan of every operation but the 8-bit ones, f32 and bf16, on shapes large enough to wake the pool. */
static struct op_desc some_op(int kind, enum dtype type)
{
    struct op_desc op = {.kind = (enum op_kind)kind};

    if (kind <= OP_CONV_BWD_WEIGHTS) {
        op.u.conv = (struct op_conv){8, 14, 14, 16, 32, 3, 1, 1, 0, true, false, type, false};
    } else if (kind == OP_SOFTMAX_CE) {
        op.u.loss = (struct op_loss){64, 100, type};
    } else if (kind == OP_NORMALIZE) {
        op.u.normalize =
            (struct op_normalize){4, 64, 64, 3, 3, {0.5f, 0.5f, 0.5f}, {1, 1, 1, 1}, type};
    } else if (kind == OP_SGD) {
        op.u.sgd = (struct op_sgd){40000, 0.9f, true};
    } else if (kind == OP_SQUARES) {
        op.u.squares = (struct op_squares){200000};
    } else {
        op.u.map = (struct op_map){4, 28, 28, 32, type, true, true, true, 1e-5f, DT_F32};
    }
    return op;
}

static void check_run_allocates_nothing(struct harness *t)
{
    void *args[PLAN_MAX_ARGS] = {0};
    uint64_t count;
    size_t in_use;

    for (int i = 0; i < t->n_args; i++) {
        args[i] = t->arg[i].dir == SCALARS ? (void *)t->host[i] : t->dev[i];
    }
    must(plan_run(t->plan, args, &must_err)); /* the pool starts */
    must(plan_run(t->plan, args, &must_err));
    count = mem_count();
    in_use = mallinfo2().uordblks;
    for (int i = 0; i < 5; i++) {
        must(plan_run(t->plan, args, &must_err));
    }
    if (t->op.kind == OP_CONV) {
        must(plan_pack(t->plan, t->weights, t->bias, NULL, &must_err));
    }
    /* oneDNN may keep a few words a thread; nothing of a tensor's size. A GPU's driver has a queue. */
    if (mem_count() != count ||
        (device_is_host(t->device) && mallinfo2().uordblks > in_use + 2048)) {
        fail_msg("%s: a run allocated memory", plan_describe(t->plan));
    }
}

static void a_steady_run_allocates_nothing(void **state)
{
    (void)state;
    for (int b = 0; harness_backend(b) != NULL; b++) {
        struct device *d;

        must(device_create(harness_backend(b), 2, &d, &must_err));
        for (int i = 0; i < 2 * OP_CONV_Q; i++) {
            struct op_desc op = some_op(i / 2, i % 2 == 0 ? DT_F32 : DT_BF16);
            struct harness t;

            if (harness_open(&t, d, &op, 1)) {
                if (op.kind == OP_BN_ACT_BWD) {
                    harness_bn_saved(&t, 1);
                }
                check_run_allocates_nothing(&t);
                harness_close(&t);
            }
        }
        device_destroy(d);
    }
}

static enum rc create_everything(const char *backend, struct err *e)
{
    static const enum op_kind kinds[] = {OP_CONV, OP_CONV_BWD_WEIGHTS, OP_NORMALIZE, OP_BN_ACT};
    struct device *d = NULL;
    struct plan *plans[4] = {0};
    enum rc rc = device_create(backend, 1, &d, e);

    for (int i = 0; i < 4 && rc == RC_OK; i++) {
        struct op_desc op = some_op((int)kinds[i], DT_F32);

        rc = plan_create(d, &op, &plans[i], e);
    }
    for (int i = 0; i < 4; i++) {
        plan_destroy(plans[i]);
    }
    device_destroy(d);
    return rc;
}

static void memory_that_runs_out_is_an_error_that_leaks_nothing(void **state)
{
    (void)state;
    for (int b = 0; harness_backend(b) != NULL; b++) {
        const char *backend = harness_backend(b);
        enum rc rc = RC_NOMEM;
        uint64_t n = 0;

        while (rc != RC_OK) {
            struct err e = {0};

            mem_fail_at(++n);
            rc = create_everything(backend, &e);
            mem_fail_at(0);
            assert_true(rc == RC_OK || rc == RC_NOMEM);
            assert_true(rc == RC_OK || strlen(e.msg) > 0);
            assert_true(n < 100);
        }
        assert_true(n > 4); /* it did fail on the way */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bf16_survives_a_round_trip),
        cmocka_unit_test(f32_rounds_to_the_nearest_bf16_ties_to_even),
        cmocka_unit_test(every_backend_rounds_alike),
        cmocka_unit_test(types_have_sizes_and_names),
        cmocka_unit_test(unknown_device_lists_the_known),
        cmocka_unit_test(auto_is_the_first_backend_and_describes_itself),
        cmocka_unit_test(wrong_shapes_are_named_with_their_numbers),
        cmocka_unit_test(wrong_use_of_a_plan_is_a_sentence),
        cmocka_unit_test(plans_tell_their_size_and_work),
        cmocka_unit_test(packing_with_a_scale_folds_it_into_the_weights),
        cmocka_unit_test(queues_events_and_copies_work),
        cmocka_unit_test(a_steady_run_allocates_nothing),
        cmocka_unit_test(memory_that_runs_out_is_an_error_that_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

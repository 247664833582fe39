/* Gradients of every operation on every backend, against central differences of its forward. */
#include "tests/common/device/op_harness.h"

enum { DY = -1, NONE = -2, WEIGHTS = 100, BIAS = 101, SAMPLES = 40 };

/* A forward and backward pair: which arguments of the backward come from where in the forward. */
struct pair {
    enum op_kind forward, backward;
    int y;                   /* the forward's output */
    int from[PLAN_MAX_ARGS]; /* backward argument i: forward argument, DY, or NONE */
    int wrt[3], grad[3];     /* forward inputs and where the backward puts their gradients */
    double step;             /* of the difference */
};

/* clang-format off */
static const struct pair pairs[] = {
    {OP_CONV, OP_CONV_BWD_DATA, 1, {DY, NONE}, {0, NONE}, {1}, 0.25},
    {OP_CONV, OP_CONV_BWD_WEIGHTS, 1, {0, DY, NONE, NONE}, {WEIGHTS, BIAS, NONE}, {2, 3}, 0.25},
    {OP_BN_ACT, OP_BN_ACT_BWD, 3, {0, DY, 1, 6, NONE, NONE, NONE}, {0, 1, 2}, {4, 5, 6}, 5e-4},
    {OP_GATE_ADD_ACT, OP_GATE_ADD_ACT_BWD, 4, {0, 4, DY, 2, 3, NONE, NONE, NONE}, {0, 1, 2}, {5, 6, 7}, 1e-3},
    {OP_AVG_POOL2, OP_AVG_POOL2_BWD, 1, {DY, NONE}, {0, NONE}, {1}, 0.25},
    {OP_GLOBAL_POOL, OP_GLOBAL_POOL_BWD, 1, {DY, NONE}, {0, NONE}, {1}, 0.25},
    {OP_BN_INFER, OP_RELU_BWD, 3, {3, DY, NONE}, {0, NONE}, {2}, 1e-3},
    {OP_SIGMOID, OP_SIGMOID_BWD, 1, {1, DY, NONE}, {0, NONE}, {2}, 1e-2},
    {OP_MUL_ROW, OP_MUL_ROW, 2, {DY, 1, NONE}, {0, NONE}, {2}, 0.25},
};
/* clang-format on */

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

static float *input_of(struct harness *f, int wrt, size_t *n)
{
    *n = wrt == WEIGHTS ? f->n_weights : wrt == BIAS ? (size_t)f->op.u.conv.k : f->arg[wrt].n;
    return wrt == WEIGHTS ? f->weights : wrt == BIAS ? f->bias : f->host[wrt];
}

/* d (sum dy*y) / d input[i] by a central difference */
static double difference(struct harness *f, const struct pair *p, float *input, size_t i,
                         const float *dy)
{
    float was = input[i], up = was + (float)p->step, down = was - (float)p->step;
    double sum[2];

    for (int side = 0; side < 2; side++) {
        input[i] = side == 0 ? up : down;
        if (p->forward == OP_CONV) {
            harness_pack(f, NULL);
        }
        harness_run(f);
        sum[side] = dot(f->host[p->y], dy, f->arg[p->y].n);
    }
    input[i] = was;
    return (sum[0] - sum[1]) / ((double)up - (double)down);
}

static void check_input(struct harness *f, struct harness *b, const struct pair *p, int which,
                        const float *dy)
{
    size_t n, every;
    float *input = input_of(f, p->wrt[which], &n);
    const float *grad = b->host[p->grad[which]];
    double rms = sqrt(dot(grad, grad, n) / (double)n);

    every = n > SAMPLES ? n / SAMPLES : 1;
    for (size_t i = 0; i < n; i += every) {
        double want = difference(f, p, input, i, dy), got = (double)grad[i];

        if (!(fabs(got - want) <= 0.01 * (fabs(want) + rms))) {
            fail_msg("%s: gradient %d[%zu] is %.6g, the difference says %.6g",
                     plan_describe(b->plan), which, i, got, want);
        }
    }
}

/* Fill the backward's arguments from the forward that has just run, and run it. */
static void run_backward(const struct harness *f, struct harness *b, const struct pair *p,
                         const float *dy)
{
    void *own_saved = NULL;

    for (int i = 0; i < b->n_args; i++) {
        if (b->arg[i].dir == SAVED) {
            own_saved = b->dev[i];
            b->dev[i] = f->dev[p->from[i]];
        } else if (b->arg[i].dir == ADDED) {
            memset(b->host[i], 0, b->arg[i].n * sizeof(float));
        } else if (b->arg[i].dir == IN) {
            assert_int_not_equal(p->from[i], NONE);
            memcpy(b->host[i], p->from[i] == DY ? dy : f->host[p->from[i]],
                   b->arg[i].n * sizeof(float));
        }
    }
    harness_run(b);
    for (int i = 0; i < b->n_args; i++) {
        if (b->arg[i].dir == SAVED) {
            b->dev[i] = own_saved;
        }
    }
}

static void check_pair(struct device *d, const struct pair *p, const struct op_desc *desc)
{
    struct op_desc fwd = *desc, bwd = *desc;
    struct harness f, b;
    struct harness_arg y;
    float *dy;

    fwd.kind = p->forward;
    bwd.kind = p->backward;
    assert_true(harness_open(&f, d, &fwd, 21));
    assert_true(harness_open(&b, d, &bwd, 22));
    y = f.arg[p->y];
    dy = harness_random(&y, 23, 0);
    if (p->backward == OP_RELU_BWD) { /* the forward is BN_INFER with scale 1, shift 0 */
        for (size_t c = 0; c < f.arg[1].n; c++) {
            f.host[1][c] = 1;
            f.host[2][c] = 0;
        }
    }
    if (p->backward == OP_CONV_BWD_DATA) {
        memcpy(b.weights, f.weights, f.n_weights * sizeof(float));
        harness_pack(&b, NULL);
    }
    harness_run(&f);
    run_backward(&f, &b, p, dy);
    for (int i = 0; i < 3 && p->wrt[i] != NONE; i++) {
        if (p->wrt[i] == BIAS ? f.op.u.conv.with_bias : b.arg[p->grad[i]].dir != ABSENT) {
            check_input(&f, &b, p, i, dy);
        }
    }
    mem_free(dy);
    harness_close(&f);
    harness_close(&b);
}

static void check_convs(struct device *d, const struct pair *p)
{
    static const int shapes[][7] = {{2, 5, 6, 3, 5, 3, 1},   {2, 7, 5, 16, 8, 3, 2},
                                    {3, 4, 4, 7, 16, 1, 1},  {2, 6, 5, 8, 4, 1, 2},
                                    {4, 1, 1, 12, 10, 1, 1}, {2, 8, 8, 1, 16, 3, 1}};

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int *s = shapes[i];
        struct op_conv o = {s[0],     s[1], s[2],       s[3],  s[4],   s[5], s[6],
                            s[5] / 2, 0,    i % 2 == 0, false, DT_F32, false};
        struct op_desc op = {.u.conv = o};

        check_pair(d, p, &op);
    }
}

static void check_maps(struct device *d, const struct pair *p)
{
    static const int shapes[][4] = {{3, 4, 5, 3}, {2, 5, 3, 16}, {4, 2, 2, 70}};

    for (size_t i = 0; i < 4 * sizeof shapes / sizeof shapes[0]; i++) {
        const int *s = shapes[i / 4];
        struct op_desc op = {.u.map = {s[0], s[1], s[2], s[3], DT_F32, (i & 1) != 0, (i & 1) != 0,
                                       (i & 2) != 0, 1e-5f, DT_F32}};

        op.u.map.relu = op.u.map.relu || p->backward == OP_RELU_BWD;
        check_pair(d, p, &op);
    }
}

static void each_backend(void (*f)(struct device *d))
{
    for (int i = 0; harness_backend(i) != NULL; i++) {
        struct device *d;

        must(device_create(harness_backend(i), 2, &d, &must_err));
        f(d);
        device_destroy(d);
    }
}

static void check_all_pairs(struct device *d)
{
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (pairs[i].forward == OP_CONV) {
            check_convs(d, &pairs[i]);
        } else {
            check_maps(d, &pairs[i]);
        }
    }
}

static void gradients_of_every_operation_equal_finite_differences(void **state)
{
    (void)state;
    each_backend(check_all_pairs);
}

/* dlogits is the derivative of the sum of losses */
static void check_loss(struct device *d)
{
    struct op_desc op = {.kind = OP_SOFTMAX_CE, .u.loss = {5, 11, DT_F32}};
    const float step = 4e-3f;
    float ones[5] = {1, 1, 1, 1, 1};
    struct harness t;

    assert_true(harness_open(&t, d, &op, 31));
    for (size_t i = 0; i < t.arg[0].n; i++) {
        double sum[2], got, want;

        for (int side = 0; side < 2; side++) {
            float was = t.host[0][i];

            t.host[0][i] = side == 0 ? was + step : was - step;
            harness_run(&t);
            sum[side] = dot(t.host[3], ones, 5);
            t.host[0][i] = was;
        }
        harness_run(&t);
        got = (double)t.host[4][i];
        want = (sum[0] - sum[1]) / (2 * (double)step);
        assert_true(fabs(got - want) <= 1e-3 + 0.01 * fabs(want));
    }
    harness_close(&t);
}

static void gradient_of_the_loss_equals_finite_differences(void **state)
{
    (void)state;
    each_backend(check_loss);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_every_operation_equal_finite_differences),
        cmocka_unit_test(gradient_of_the_loss_equals_finite_differences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

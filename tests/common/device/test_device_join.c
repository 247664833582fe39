/* The tail of a block in joins against ref's parts in f64: batch norm, pool, gate + shortcut + ReLU and
 * their gradients; and that the number of threads changes no bit. */
#include "tests/common/device/op_harness.h"

enum { THREADS_MAX = 3 };

/* What goes in, rounded to the type, and what comes out, as floats. */
enum value { X, SHORTCUT, DY, MORE, GATE, DPOOLED, KEEP_ROWS, GAMMA, BETA, N_IN };
enum result { POOLED, MEAN, VAR, Y, G, DGATE, DX, DGAMMA, DBETA, N_OUT };

struct tail {
    struct op_map o;
    size_t n, rows, c; /* values; of (n, c); channels */
    bool with_more;
    float *in[N_IN], *out[N_OUT];
};

static size_t in_size(const struct tail *t, int i)
{
    return i <= MORE ? t->n : i <= DPOOLED ? t->rows : i == KEEP_ROWS ? (size_t)t->o.n : t->c;
}

static size_t out_size(const struct tail *t, int i)
{
    return i == Y || i == G || i == DX ? t->n : i == POOLED || i == DGATE ? t->rows : t->c;
}

static enum dtype in_type(int i, enum dtype type)
{
    return i >= KEEP_ROWS ? DT_F32 : type;
}

static enum dtype out_type(int i, enum dtype type)
{
    return i == MEAN || i == VAR || i == DGAMMA || i == DBETA ? DT_F32 : type;
}

static void tail_open(struct tail *t, const int shape[4], enum dtype type, bool keep, bool more)
{
    static const enum harness_fill fills[N_IN] = {
        [GATE] = UNIT, [KEEP_ROWS] = KEEP, [GAMMA] = UNIT};

    *t = (struct tail){.o = {.n = shape[0],
                             .h = shape[1],
                             .w = shape[2],
                             .c = shape[3],
                             .type = type,
                             .relu = true,
                             .with_gate = true,
                             .with_keep = keep,
                             .eps = 1e-5f},
                       .with_more = more};
    t->c = (size_t)shape[3];
    t->rows = (size_t)shape[0] * t->c;
    t->n = t->rows * (size_t)(shape[1] * shape[2]);
    for (int i = 0; i < N_IN; i++) {
        struct harness_arg a = {in_size(t, i), in_type(i, type), IN, fills[i]};

        t->in[i] = harness_random(&a, 7, (uint32_t)i);
    }
    for (size_t i = 0; i < t->n; i++) {
        t->in[X][i] += i % t->c % 3 == 0 ? 2.0f : 0.0f; /* channels away from 0 */
        t->in[X][i] = type == DT_BF16 ? bf16_to_f32(bf16_from_f32(t->in[X][i])) : t->in[X][i];
    }
    for (int i = 0; i < N_OUT; i++) {
        t->out[i] = mem_calloc(out_size(t, i), sizeof(float));
        assert_non_null(t->out[i]);
    }
}

static void tail_close(struct tail *t)
{
    for (int i = 0; i < N_IN; i++) {
        mem_free(t->in[i]);
    }
    for (int i = 0; i < N_OUT; i++) {
        mem_free(t->out[i]);
    }
}

/* Host devices alone: their memory is read and written here. */
static void *placed(struct device *d, const float *v, size_t n, enum dtype type)
{
    void *p = NULL;

    must(device_alloc(d, (n + 1) * dtype_size(type), "test", &p, &must_err));
    for (size_t i = 0; i < n && v != NULL; i++) {
        if (type == DT_F64) {
            ((double *)p)[i] = (double)v[i];
        } else if (type == DT_F32) {
            ((float *)p)[i] = v[i];
        } else {
            ((uint16_t *)p)[i] = bf16_from_f32(v[i]);
        }
    }
    return p;
}

static void fetch(const void *p, float *v, size_t n, enum dtype type)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = type == DT_F64   ? (float)((const double *)p)[i]
               : type == DT_F32 ? ((const float *)p)[i]
                                : bf16_to_f32(((const uint16_t *)p)[i]);
    }
}

static void run(struct device *d, enum op_kind kind, const struct op_map *o, void *const args[])
{
    struct op_desc op = {.kind = kind, .u.map = *o};
    struct plan *p = NULL;

    must(plan_create(d, &op, &p, &must_err));
    must(plan_run(p, args, &must_err));
    plan_destroy(p);
}

static size_t saved_bytes(struct device *d, enum op_kind kind, const struct op_map *o)
{
    struct op_desc op = {.kind = kind, .u.map = *o};
    struct plan *p = NULL;
    size_t bytes;

    must(plan_create(d, &op, &p, &must_err));
    bytes = plan_saved_bytes(p);
    plan_destroy(p);
    return bytes;
}

/* All of it on d; a: what goes in, b: what comes out. */
typedef void tail_fn(struct device *d, const struct tail *t, const struct op_map *o,
                     void *const a[], void *const b[]);

/* g takes dy's place, as in a network. */
static void in_joins(struct device *d, const struct tail *t, const struct op_map *o,
                     void *const a[], void *const b[])
{
    void *saved = NULL;
    void *keep = o->with_keep ? a[KEEP_ROWS] : NULL;

    must(device_alloc(d, saved_bytes(d, OP_BN_POOL, o), "test", &saved, &must_err));
    run(d, OP_BN_POOL, o,
        (void *[PLAN_MAX_ARGS]){a[X], a[GAMMA], a[BETA], b[POOLED], b[MEAN], b[VAR], saved});
    run(d, OP_BN_JOIN, o,
        (void *[PLAN_MAX_ARGS]){a[X], saved, a[GAMMA], a[SHORTCUT], a[GATE], keep, b[Y]});
    memcpy(b[G], a[DY], t->n * dtype_size(o->type));
    run(d, OP_BN_JOIN_BWD, o,
        (void *[PLAN_MAX_ARGS]){a[X], b[Y], b[G], t->with_more ? a[MORE] : NULL, keep, a[GAMMA],
                                saved, b[G], b[DGATE]});
    run(d, OP_BN_POOL_BWD, o,
        (void *[PLAN_MAX_ARGS]){a[X], b[G], a[GATE], keep, a[DPOOLED], a[GAMMA], saved, b[DX],
                                b[DGAMMA], b[DBETA]});
    device_free(d, saved);
}

/* y comes as the joins have rounded it, so that both have the same ReLUs open; it is not checked here. */
static void in_parts(struct device *d, const struct tail *t, const struct op_map *o,
                     void *const a[], void *const b[])
{
    struct op_map plain = *o;
    void *z = placed(d, NULL, t->n, o->type);
    void *dz = placed(d, NULL, t->n, o->type);
    void *spread = placed(d, NULL, t->n, o->type);
    void *y = placed(d, NULL, t->n, o->type);
    void *keep = o->with_keep ? a[KEEP_ROWS] : NULL;
    void *saved = NULL;

    plain.relu = false;
    must(device_alloc(d, saved_bytes(d, OP_BN_ACT, o), "test", &saved, &must_err));
    run(d, OP_BN_ACT, &plain,
        (void *[PLAN_MAX_ARGS]){a[X], a[GAMMA], a[BETA], z, b[MEAN], b[VAR], saved});
    run(d, OP_GLOBAL_POOL, &plain, (void *[PLAN_MAX_ARGS]){z, b[POOLED]});
    run(d, OP_GATE_ADD_ACT, o, (void *[PLAN_MAX_ARGS]){z, a[SHORTCUT], a[GATE], keep, y});
    if (t->with_more) {
        run(d, OP_ADD, &plain, (void *[PLAN_MAX_ARGS]){a[DY], a[MORE], a[DY]});
    }
    run(d, OP_GATE_ADD_ACT_BWD, o,
        (void *[PLAN_MAX_ARGS]){z, b[Y], a[DY], a[GATE], keep, dz, b[G], b[DGATE]});
    run(d, OP_GLOBAL_POOL_BWD, &plain, (void *[PLAN_MAX_ARGS]){a[DPOOLED], spread});
    run(d, OP_ADD, &plain, (void *[PLAN_MAX_ARGS]){dz, spread, dz});
    run(d, OP_BN_ACT_BWD, &plain,
        (void *[PLAN_MAX_ARGS]){a[X], dz, a[GAMMA], saved, b[DX], b[DGAMMA], b[DBETA]});
    memcpy(b[Y], y, t->n * dtype_size(o->type));
    device_free(d, z);
    device_free(d, dz);
    device_free(d, spread);
    device_free(d, y);
    device_free(d, saved);
}

/* Run f on d in a type; out[Y] goes in as well, for the parts. */
static void tail_run(struct tail *t, struct device *d, enum dtype type, tail_fn *f)
{
    struct op_map o = t->o;
    void *a[N_IN], *b[N_OUT];

    o.type = type;
    for (int i = 0; i < N_IN; i++) {
        a[i] = placed(d, t->in[i], in_size(t, i), in_type(i, type));
    }
    for (int i = 0; i < N_OUT; i++) {
        b[i] = placed(d, i == Y ? t->out[Y] : NULL, out_size(t, i), out_type(i, type));
    }
    f(d, t, &o, a, b);
    for (int i = 0; i < N_IN; i++) {
        device_free(d, a[i]);
    }
    for (int i = 0; i < N_OUT; i++) {
        fetch(b[i], t->out[i], out_size(t, i), out_type(i, type));
        device_free(d, b[i]);
    }
}

static void compare(const struct tail *want, const struct tail *got)
{
    static const char *const names[N_OUT] = {"pooled", "mean", "var",    "y",    "g",
                                             "dgate",  "dx",   "dgamma", "dbeta"};
    const double tolerance = got->o.type == DT_BF16 ? 1.0 / 128 : 2e-5;

    for (int i = 0; i < N_OUT; i++) {
        size_t n = out_size(got, i);
        double square = 0;

        for (size_t j = 0; j < n; j++) {
            square += (double)want->out[i][j] * (double)want->out[i][j];
        }
        for (size_t j = 0; j < n; j++) {
            double w = (double)want->out[i][j], g = (double)got->out[i][j];

            if (!(fabs(g - w) <= tolerance * (fabs(w) + sqrt(square / (double)n)) + 1e-30)) {
                fail_msg("%dx%dx%dx%d %s: %s[%zu] is %.9g, the parts say %.9g", got->o.n, got->o.h,
                         got->o.w, got->o.c, dtype_name(got->o.type), names[i], j, g, w);
            }
        }
    }
}

/* clang-format off */
static const int shapes[][4] = {{7, 1, 1, 3}, {2, 5, 7, 3}, {3, 8, 8, 16}, {2, 9, 6, 64}, {1, 4, 4, 100},
                                {2, 3, 3, 130}, {3, 23, 21, 48}, {33, 2, 2, 512}, {5, 40, 37, 24}, {2, 9, 9, 1024}};
/* clang-format on */

static void joins_are_the_sum_of_their_parts(void **state)
{
    struct device *ref, *cpu;

    (void)state;
    must(device_create("ref", 0, &ref, &must_err));
    must(device_create("cpu", 2, &cpu, &must_err));
    for (unsigned i = 0; i < sizeof shapes / sizeof shapes[0] * 8; i++) {
        struct tail want, got;

        tail_open(&want, shapes[i / 8], i & 1 ? DT_BF16 : DT_F32, i & 2, i & 4);
        tail_open(&got, shapes[i / 8], i & 1 ? DT_BF16 : DT_F32, i & 2, i & 4);
        tail_run(&got, cpu, got.o.type, in_joins);
        memcpy(want.out[Y], got.out[Y], got.n * sizeof(float));
        tail_run(&want, ref, DT_F64, in_parts);
        compare(&want, &got);
        tail_close(&want);
        tail_close(&got);
    }
    device_destroy(ref);
    device_destroy(cpu);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof shapes / sizeof shapes[0] * 2; i++) {
        struct tail of[THREADS_MAX];

        for (int threads = 1; threads <= THREADS_MAX; threads++) {
            struct tail *t = &of[threads - 1];
            struct device *cpu;

            must(device_create("cpu", threads, &cpu, &must_err));
            tail_open(t, shapes[i / 2], i & 1 ? DT_BF16 : DT_F32, true, true);
            tail_run(t, cpu, t->o.type, in_joins);
            for (int k = 0; k < N_OUT; k++) {
                assert_memory_equal(t->out[k], of[0].out[k], out_size(t, k) * sizeof(float));
            }
            device_destroy(cpu);
        }
        for (int k = 0; k < THREADS_MAX; k++) {
            tail_close(&of[k]);
        }
    }
}

static void a_backend_without_joins_says_so(void **state)
{
    const struct op_desc op = {.kind = OP_BN_JOIN_BWD, .u.map = {2, 3, 3, 4, DT_F32, .eps = 1e-5f}};
    struct device *ref;
    struct plan *p = NULL;
    struct err e = {0};

    (void)state;
    must(device_create("ref", 0, &ref, &must_err));
    assert_int_equal(plan_create(ref, &op, &p, &e), RC_UNSUPPORTED);
    assert_string_equal(e.msg, "bn_join_bwd: the ref backend does it in parts");
    device_destroy(ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins_are_the_sum_of_their_parts),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(a_backend_without_joins_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <stdio.h>

#include "common/device/device_impl.h"

/* Which member of op_desc.u an operation uses. */
enum form { FORM_CONV, FORM_MAP, FORM_LOSS, FORM_NORMALIZE, FORM_SGD, FORM_SQUARES };

struct op_info {
    const char *name;
    enum form form;
    int n_args;
    unsigned optional; /* bit i: argument i may be NULL */
    unsigned if_gate;  /* bit i: argument i is needed only with a gate */
    unsigned if_keep;  /* ... with keep */
    unsigned if_bias;  /* ... with a bias */
};

#define ARG(i) (1u << (i))

/* clang-format off */
static const struct op_info infos[OP_KIND_N] = {
    /*                       name                form          args optional         if_gate          if_keep if_bias */
    [OP_CONV]             = {"conv",             FORM_CONV,      2, 0,               0,               0,      0},
    [OP_CONV_BWD_DATA]    = {"conv_bwd_data",    FORM_CONV,      2, 0,               0,               0,      0},
    [OP_CONV_BWD_WEIGHTS] = {"conv_bwd_weights", FORM_CONV,      4, 0,               0,               0,      ARG(3)},
    [OP_BN_ACT]           = {"bn_act",           FORM_MAP,       7, 0,               0,               0,      0},
    [OP_BN_ACT_BWD]       = {"bn_act_bwd",       FORM_MAP,       7, 0,               0,               0,      0},
    [OP_BN_INFER]         = {"bn_infer",         FORM_MAP,       4, 0,               0,               0,      0},
    [OP_GATE_ADD_ACT]     = {"gate_add_act",     FORM_MAP,       5, 0,               ARG(2),          ARG(3), 0},
    [OP_GATE_ADD_ACT_BWD] = {"gate_add_act_bwd", FORM_MAP,       8, 0,               ARG(3) | ARG(7), ARG(4), 0},
    [OP_AVG_POOL2]        = {"avg_pool2",        FORM_MAP,       2, 0,               0,               0,      0},
    [OP_AVG_POOL2_BWD]    = {"avg_pool2_bwd",    FORM_MAP,       2, 0,               0,               0,      0},
    [OP_GLOBAL_POOL]      = {"global_pool",      FORM_MAP,       2, 0,               0,               0,      0},
    [OP_GLOBAL_POOL_BWD]  = {"global_pool_bwd",  FORM_MAP,       2, 0,               0,               0,      0},
    [OP_RELU_BWD]         = {"relu_bwd",         FORM_MAP,       3, 0,               0,               0,      0},
    [OP_SIGMOID]          = {"sigmoid",          FORM_MAP,       2, 0,               0,               0,      0},
    [OP_SIGMOID_BWD]      = {"sigmoid_bwd",      FORM_MAP,       3, 0,               0,               0,      0},
    [OP_MUL_ROW]          = {"mul_row",          FORM_MAP,       3, 0,               0,               0,      0},
    [OP_ADD]              = {"add",              FORM_MAP,       3, 0,               0,               0,      0},
    [OP_SOFTMAX_CE]       = {"softmax_ce",       FORM_LOSS,      6, ARG(4) | ARG(5), 0,               0,      0},
    [OP_NORMALIZE]        = {"normalize",        FORM_NORMALIZE, 2, 0,               0,               0,      0},
    [OP_SGD]              = {"sgd",              FORM_SGD,       5, ARG(3),          0,               0,      0},
    [OP_SQUARES]          = {"squares",          FORM_SQUARES,   2, 0,               0,               0,      0},
    [OP_CONV_Q]           = {"conv_q",           FORM_CONV,      2, 0,               0,               0,      0},
    [OP_QUANTIZE]         = {"quantize",         FORM_MAP,       3, 0,               0,               0,      0},
    [OP_AVG_POOL2_Q]      = {"avg_pool2_q",      FORM_MAP,       2, 0,               0,               0,      0},
    [OP_GLOBAL_POOL_Q]    = {"global_pool_q",    FORM_MAP,       3, 0,               0,               0,      0},
    [OP_GATE_ADD_ACT_Q]   = {"gate_add_act_q",   FORM_MAP,       6, 0,               0,               0,      0},
    [OP_BN_POOL]          = {"bn_pool",          FORM_MAP,       7, 0,               0,               0,      0},
    [OP_BN_JOIN]          = {"bn_join",          FORM_MAP,       7, 0,               0,               ARG(5), 0},
    [OP_BN_JOIN_BWD]      = {"bn_join_bwd",      FORM_MAP,       9, ARG(3),          0,               ARG(4), 0},
    [OP_BN_POOL_BWD]      = {"bn_pool_bwd",      FORM_MAP,      10, 0,               0,               ARG(3), 0},
};
/* clang-format on */

enum { DIM_MAX = 1 << 24 };
static const double ELEMENTS_MAX = 1e12; /* of one tensor: keeps every index in size_t */
static const double SUM_MAX = 2147483647.0 / (255 * 127); /* 8-bit products that s32 holds */

const char *device_op_name(enum op_kind kind)
{
    return (unsigned)kind < OP_KIND_N ? infos[kind].name : "?";
}

bool device_op_is_conv(enum op_kind kind)
{
    return infos[kind].form == FORM_CONV;
}

int device_op_n_args(enum op_kind kind)
{
    return infos[kind].n_args;
}

bool device_op_arg_optional(const struct op_desc *op, int i)
{
    const struct op_info *info = &infos[op->kind];
    unsigned optional = info->optional;

    if (info->form == FORM_MAP) {
        optional |= op->u.map.with_gate ? 0 : info->if_gate;
        optional |= op->u.map.with_keep ? 0 : info->if_keep;
    }
    if (info->form == FORM_CONV) {
        optional |= op->u.conv.with_bias ? 0 : info->if_bias;
    }
    return (optional & ARG(i)) != 0;
}

enum dtype device_op_type(const struct op_desc *op)
{
    switch (infos[op->kind].form) {
    case FORM_CONV:
        return op->u.conv.type;
    case FORM_MAP:
        return op->u.map.type;
    case FORM_NORMALIZE:
        return op->u.normalize.type;
    case FORM_LOSS:
        return op->u.loss.type;
    case FORM_SGD:
    case FORM_SQUARES:
        break;
    }
    return DT_F32;
}

enum dtype device_op_conv_type(const struct op_conv *o)
{
    return o->wide ? DT_F32 : o->type;
}

int device_op_conv_out(const struct op_conv *o, int h)
{
    return (h + 2 * o->pad - o->r) / o->stride + 1;
}

static bool dims_ok(int n, int h, int w, int c)
{
    const int d[4] = {n, h, w, c};
    double elements = 1;

    for (int i = 0; i < 4; i++) {
        if (d[i] < 1 || d[i] > DIM_MAX) {
            return false;
        }
        elements *= d[i];
    }
    return elements <= ELEMENTS_MAX;
}

static bool real(enum dtype t)
{
    return t == DT_F32 || t == DT_BF16 || t == DT_F64;
}

/* The types that x of an 8-bit operation may have. */
static bool eight_bits(enum op_kind kind, enum dtype t)
{
    return (t == DT_U8 && kind != OP_GATE_ADD_ACT_Q) ||
           (t == DT_S8 && (kind == OP_GATE_ADD_ACT_Q || kind == OP_GLOBAL_POOL_Q));
}

static enum rc check_eight(enum op_kind kind, enum dtype t, struct err *e)
{
    if (!eight_bits(kind, t)) {
        return err_raise(e, RC_INVAL, "%s: type %s where %s is needed", device_op_name(kind),
                         dtype_name(t), kind == OP_GATE_ADD_ACT_Q ? "s8" : "u8");
    }
    return RC_OK;
}

static enum rc check_type(const char *name, enum dtype t, struct err *e)
{
    if (!real(t)) {
        return err_raise(e, RC_INVAL, "%s: type %s where f32 or bf16 is needed", name,
                         dtype_name(t));
    }
    return RC_OK;
}

static enum rc check_conv(enum op_kind kind, const struct op_conv *o, struct err *e)
{
    const char *name = device_op_name(kind);

    if (!dims_ok(o->n, o->h, o->w, o->c) || o->k < 1 || o->k > DIM_MAX) {
        return err_raise(e, RC_INVAL, "%s: shape %dx%dx%dx%d -> %d channels cannot be", name, o->n,
                         o->h, o->w, o->c, o->k);
    }
    if (o->r < 1 || o->r % 2 == 0 || o->r > 15 || o->stride < 1 || o->stride > 15 || o->pad < 0 ||
        o->pad >= o->r || o->h + 2 * o->pad < o->r || o->w + 2 * o->pad < o->r) {
        return err_raise(e, RC_INVAL, "%s: kernel %d, stride %d, pad %d do not fit %dx%d pixels",
                         name, o->r, o->stride, o->pad, o->h, o->w);
    }
    if (o->c_weights < 0 || o->c_weights > o->c) {
        return err_raise(e, RC_INVAL, "%s: weights of %d input channels for an input of %d", name,
                         o->c_weights, o->c);
    }
    if (!dims_ok(o->n, device_op_conv_out(o, o->h), device_op_conv_out(o, o->w), o->k) ||
        !dims_ok(o->k, o->r, o->r, o->c)) {
        return err_raise(e, RC_INVAL, "%s: output or weights of %dx%dx%dx%d -> %d are too large",
                         name, o->n, o->h, o->w, o->c, o->k);
    }
    if (kind == OP_CONV_Q) {
        if ((double)o->r * o->r * o->c > SUM_MAX) {
            return err_raise(e, RC_INVAL, "%s: %d x %d x %d products may not fit 32 bits", name,
                             o->r, o->r, o->c);
        }
        return check_eight(kind, o->type, e);
    }
    return check_type(name, o->type, e);
}

static enum rc check_map(enum op_kind kind, const struct op_map *o, struct err *e)
{
    const char *name = device_op_name(kind);

    if (!dims_ok(o->n, o->h, o->w, o->c)) {
        return err_raise(e, RC_INVAL, "%s: shape %dx%dx%dx%d cannot be", name, o->n, o->h, o->w,
                         o->c);
    }
    if ((kind == OP_BN_ACT || kind == OP_BN_POOL) && !(o->eps > 0)) {
        return err_raise(e, RC_INVAL, "%s: eps %g must be above 0", name, (double)o->eps);
    }
    if (kind == OP_GATE_ADD_ACT_Q && o->shortcut != DT_U8 && o->shortcut != DT_S8) {
        return err_raise(e, RC_INVAL, "%s: shortcut of type %s where u8 or s8 is needed", name,
                         dtype_name(o->shortcut));
    }
    if (kind == OP_GLOBAL_POOL_Q && (double)o->h * o->w > SUM_MAX) {
        return err_raise(e, RC_INVAL, "%s: the sum of %dx%d values may not fit 32 bits", name, o->h,
                         o->w);
    }
    if (kind > OP_QUANTIZE && kind <= OP_GATE_ADD_ACT_Q) {
        return check_eight(kind, o->type, e);
    }
    return check_type(name, o->type, e);
}

static enum rc check_normalize(const struct op_normalize *o, struct err *e)
{
    if (!dims_ok(o->n, o->h, o->w, o->c_out) || o->c_in < 1 || o->c_in > 4 || o->c_out < o->c_in) {
        return err_raise(e, RC_INVAL, "normalize: shape %dx%dx%dx%d -> %d channels cannot be", o->n,
                         o->h, o->w, o->c_in, o->c_out);
    }
    for (int c = 0; c < o->c_in; c++) {
        if (!(o->std[c] > 0)) {
            return err_raise(e, RC_INVAL, "normalize: std[%d] = %g must be above 0", c,
                             (double)o->std[c]);
        }
    }
    return check_type("normalize", o->type, e);
}

enum rc device_op_check(const struct op_desc *op, struct err *e)
{
    if ((unsigned)op->kind >= OP_KIND_N) {
        return err_raise(e, RC_INVAL, "operation %d is unknown", (int)op->kind);
    }
    switch (infos[op->kind].form) {
    case FORM_CONV:
        if (op->u.conv.wide && op->kind != OP_CONV) {
            return err_raise(e, RC_INVAL, "%s: only conv has a wide output", infos[op->kind].name);
        }
        return check_conv(op->kind, &op->u.conv, e);
    case FORM_MAP:
        return check_map(op->kind, &op->u.map, e);
    case FORM_NORMALIZE:
        return check_normalize(&op->u.normalize, e);
    case FORM_LOSS:
        if (!dims_ok(op->u.loss.n, 1, 1, op->u.loss.classes)) {
            return err_raise(e, RC_INVAL, "softmax_ce: %d rows of %d classes cannot be",
                             op->u.loss.n, op->u.loss.classes);
        }
        return check_type("softmax_ce", op->u.loss.type, e);
    case FORM_SGD:
        if (op->u.sgd.n == 0 || !(op->u.sgd.momentum >= 0 && op->u.sgd.momentum <= 1)) {
            return err_raise(e, RC_INVAL, "sgd: %zu elements with momentum %g cannot be",
                             op->u.sgd.n, (double)op->u.sgd.momentum);
        }
        return RC_OK;
    case FORM_SQUARES:
        if (op->u.squares.n == 0) {
            return err_raise(e, RC_INVAL, "squares: 0 elements cannot be");
        }
        return RC_OK;
    }
    return RC_OK;
}

void device_op_describe(const struct op_desc *op, const char *impl, char *out, size_t size)
{
    const struct op_info *info = &infos[op->kind];
    const struct op_conv *v = &op->u.conv;
    const struct op_map *m = &op->u.map;
    const struct op_normalize *z = &op->u.normalize;
    char shape[PLAN_DESCRIBE_MAX];

    switch (info->form) {
    case FORM_CONV:
        (void)snprintf(shape, sizeof shape, "%dx%dx%dx%d -> %d r%d s%d%s%s %s%s", v->n, v->h, v->w,
                       v->c, v->k, v->r, v->stride, v->with_bias ? " bias" : "",
                       v->relu && op->kind == OP_CONV ? " relu" : "", dtype_name(v->type),
                       v->wide ? " to f32" : "");
        break;
    case FORM_MAP:
        (void)snprintf(shape, sizeof shape, "%dx%dx%dx%d%s%s%s %s", m->n, m->h, m->w, m->c,
                       m->relu ? " relu" : "", m->with_gate ? " gate" : "",
                       m->with_keep ? " keep" : "", dtype_name(m->type));
        break;
    case FORM_NORMALIZE:
        (void)snprintf(shape, sizeof shape, "%dx%dx%dx%d -> %d %s", z->n, z->h, z->w, z->c_in,
                       z->c_out, dtype_name(z->type));
        break;
    case FORM_LOSS:
        (void)snprintf(shape, sizeof shape, "%dx%d %s", op->u.loss.n, op->u.loss.classes,
                       dtype_name(op->u.loss.type));
        break;
    case FORM_SGD:
        (void)snprintf(shape, sizeof shape, "%zu f32", op->u.sgd.n);
        break;
    case FORM_SQUARES:
        (void)snprintf(shape, sizeof shape, "%zu f32", op->u.squares.n);
        break;
    }
    (void)snprintf(out, size, impl[0] != 0 ? "%s %s (%s)" : "%s %s%s", info->name, shape, impl);
}

/* Multiply-adds count twice; of the rest one an element and operation of its formula. */
double device_op_flops(const struct op_desc *op)
{
    static const double per_element[OP_KIND_N] = {
        [OP_BN_ACT] = 8,
        [OP_BN_ACT_BWD] = 12,
        [OP_BN_INFER] = 2,
        [OP_GATE_ADD_ACT] = 2,
        [OP_GATE_ADD_ACT_BWD] = 4,
        [OP_AVG_POOL2] = 1,
        [OP_AVG_POOL2_BWD] = 1,
        [OP_GLOBAL_POOL] = 1,
        [OP_GLOBAL_POOL_BWD] = 1,
        [OP_RELU_BWD] = 1,
        [OP_SIGMOID] = 10,
        [OP_SIGMOID_BWD] = 3,
        [OP_MUL_ROW] = 1,
        [OP_ADD] = 1,
        [OP_SOFTMAX_CE] = 20,
        [OP_NORMALIZE] = 3,
        [OP_SGD] = 9,
        [OP_SQUARES] = 2,
        [OP_QUANTIZE] = 1,
        [OP_AVG_POOL2_Q] = 1,
        [OP_GLOBAL_POOL_Q] = 1,
        [OP_GATE_ADD_ACT_Q] = 3,
        [OP_BN_POOL] = 5,
        [OP_BN_JOIN] = 4,
        [OP_BN_JOIN_BWD] = 6,
        [OP_BN_POOL_BWD] = 5,
    };
    const struct op_conv *v = &op->u.conv;
    const struct op_map *m = &op->u.map;
    const struct op_normalize *z = &op->u.normalize;
    double count = 0;

    switch (infos[op->kind].form) {
    case FORM_CONV:
        return 2.0 * v->n * device_op_conv_out(v, v->h) * device_op_conv_out(v, v->w) *
               (double)v->k * v->r * v->r * (v->c_weights > 0 ? v->c_weights : v->c);
    case FORM_MAP:
        count = (double)m->n * m->h * m->w * m->c;
        break;
    case FORM_NORMALIZE:
        count = (double)z->n * z->h * z->w * z->c_in;
        break;
    case FORM_LOSS:
        count = (double)op->u.loss.n * op->u.loss.classes;
        break;
    case FORM_SGD:
        count = (double)op->u.sgd.n;
        break;
    case FORM_SQUARES:
        count = (double)op->u.squares.n;
        break;
    }
    return per_element[op->kind] * count;
}

/* Tensors of an operation's size that a map reads and writes. */
static double map_passes(const struct op_desc *op)
{
    switch ((int)op->kind) {
    case OP_BN_ACT: /* statistics, then the output */
    case OP_GATE_ADD_ACT:
    case OP_BN_JOIN:
    case OP_BN_POOL_BWD:
    case OP_RELU_BWD:
    case OP_SIGMOID_BWD:
    case OP_ADD:
    case OP_GATE_ADD_ACT_Q:
        return 3;
    case OP_BN_ACT_BWD:
    case OP_GATE_ADD_ACT_BWD:
    case OP_BN_JOIN_BWD:
        return 5;
    case OP_AVG_POOL2:
    case OP_AVG_POOL2_BWD:
    case OP_AVG_POOL2_Q:
    case OP_QUANTIZE: /* f32 to u8 */
        return 1.25;
    case OP_GLOBAL_POOL:
    case OP_GLOBAL_POOL_BWD:
    case OP_GLOBAL_POOL_Q:
    case OP_BN_POOL:
        return 1;
    default:
        return 2;
    }
}

double device_op_bytes(const struct op_desc *op)
{
    const struct op_conv *v = &op->u.conv;
    const struct op_map *m = &op->u.map;
    const struct op_normalize *z = &op->u.normalize;
    double weights;

    switch (infos[op->kind].form) {
    case FORM_CONV:
        weights = (double)v->k * v->r * v->r * v->c;
        return (double)v->n * v->h * v->w * v->c * (double)dtype_size(v->type) +
               (double)v->n * device_op_conv_out(v, v->h) * device_op_conv_out(v, v->w) * v->k *
                   (double)dtype_size(device_op_conv_type(v)) +
               weights * (double)(op->kind == OP_CONV_BWD_WEIGHTS ? 16 : dtype_size(v->type));
    case FORM_MAP:
        return map_passes(op) * m->n * m->h * m->w * m->c * (double)dtype_size(m->type);
    case FORM_NORMALIZE:
        return (double)z->n * z->h * z->w * (z->c_in + z->c_out * (double)dtype_size(z->type));
    case FORM_LOSS:
        return (double)op->u.loss.n * op->u.loss.classes * 12;
    case FORM_SGD:
        return (double)op->u.sgd.n * 28;
    case FORM_SQUARES:
        return (double)op->u.squares.n * 4;
    }
    return 0;
}

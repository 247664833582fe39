#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/device/cpu_impl.h"

struct cpu_dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

/* A memory descriptor: a value in oneDNN 2.x, an object in 3.x. */
struct layout {
    dnnl_memory_desc_t md;
};

/* The geometry of a convolution in oneDNN's terms. */
struct shape {
    struct layout src, weights, gradient, bias, dst; /* gradient: of the weights, in f32 */
    struct layout step;                              /* OP_CONV_Q: (1, k, 1, 1) */
    dnnl_dims_t stride, pad;
    bool with_bias;
    dnnl_prop_kind_t prop; /* of the forward */
};

static bool forward(enum op_kind kind)
{
    return kind == OP_CONV || kind == OP_CONV_Q;
}

/* Labels must not depend on the batch: gemm-based forwards split their sums by it. The gradients of
 * a training step may come from anything that repeats. */
static bool welcome(const_dnnl_primitive_desc_t pd, enum op_kind kind)
{
    const char *name = "";

    (void)dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    return !forward(kind) || (strncmp(name, "gemm", 4) != 0 && strstr(name, ":gemm") == NULL);
}

/* ---- the two APIs: everything that differs between oneDNN 2.x and 3.x ----------------------- */

#if DNNL_VERSION_MAJOR >= 3
#define MD_IN const_dnnl_memory_desc_t
#define MD(layout) ((layout)->md)

static dnnl_status_t layout_init(struct layout *l, int n, const dnnl_dims_t dims,
                                 dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(&l->md, n, dims, type, tag);
}

static void layout_release(struct layout *l)
{
    (void)dnnl_memory_desc_destroy(l->md);
}

static dnnl_status_t append_relu(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0f, 0.0f);
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
}

/* The first implementation that is welcome, of those that there are. */
static dnnl_status_t describe_conv(dnnl_primitive_desc_t *out, enum op_kind kind,
                                   const struct shape *s, dnnl_engine_t engine,
                                   dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint)
{
    const dnnl_dims_t dilate = {0, 0};
    const_dnnl_memory_desc_t bias = s->with_bias ? s->bias.md : NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t st;

    if (forward(kind)) {
        st = dnnl_convolution_forward_primitive_desc_create(
            &pd, engine, s->prop, dnnl_convolution_direct, s->src.md, s->weights.md, bias,
            s->dst.md, s->stride, dilate, s->pad, s->pad, attr);
    } else if (kind == OP_CONV_BWD_DATA) {
        st = dnnl_convolution_backward_data_primitive_desc_create(
            &pd, engine, dnnl_convolution_direct, s->src.md, s->weights.md, s->dst.md, s->stride,
            dilate, s->pad, s->pad, hint, attr);
    } else {
        st = dnnl_convolution_backward_weights_primitive_desc_create(
            &pd, engine, dnnl_convolution_direct, s->src.md, s->gradient.md, bias, s->dst.md,
            s->stride, dilate, s->pad, s->pad, hint, attr);
    }
    while (st == dnnl_success && !welcome(pd, kind)) {
        st = dnnl_primitive_desc_next_impl(pd);
    }
    if (st != dnnl_success) {
        (void)dnnl_primitive_desc_destroy(pd);
        return st == dnnl_last_impl_reached ? dnnl_unimplemented : st;
    }
    *out = pd;
    return st;
}
#else
#define MD_IN const dnnl_memory_desc_t *
#define MD(layout) (&(layout)->md)

static dnnl_status_t layout_init(struct layout *l, int n, const dnnl_dims_t dims,
                                 dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(&l->md, n, dims, type, tag);
}

static void layout_release(struct layout *l)
{
    (void)l;
}

static dnnl_status_t append_relu(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f);
}

/* The first implementation that is welcome, of those that there are. */
static dnnl_status_t describe_conv(dnnl_primitive_desc_t *out, enum op_kind kind,
                                   const struct shape *s, dnnl_engine_t engine,
                                   dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint)
{
    const dnnl_memory_desc_t *bias = s->with_bias ? &s->bias.md : NULL;
    dnnl_primitive_desc_iterator_t it = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_convolution_desc_t cd;
    dnnl_status_t st;

    if (forward(kind)) {
        st = dnnl_convolution_forward_desc_init(&cd, s->prop, dnnl_convolution_direct, &s->src.md,
                                                &s->weights.md, bias, &s->dst.md, s->stride, s->pad,
                                                s->pad);
    } else if (kind == OP_CONV_BWD_DATA) {
        st = dnnl_convolution_backward_data_desc_init(&cd, dnnl_convolution_direct, &s->src.md,
                                                      &s->weights.md, &s->dst.md, s->stride, s->pad,
                                                      s->pad);
    } else {
        st = dnnl_convolution_backward_weights_desc_init(&cd, dnnl_convolution_direct, &s->src.md,
                                                         &s->gradient.md, bias, &s->dst.md,
                                                         s->stride, s->pad, s->pad);
    }
    if (st == dnnl_success) {
        st = dnnl_primitive_desc_iterator_create(&it, &cd, attr, engine, hint);
    }
    while (st == dnnl_success) {
        pd = dnnl_primitive_desc_iterator_fetch(it);
        if (welcome(pd, kind)) {
            *out = pd;
            break;
        }
        (void)dnnl_primitive_desc_destroy(pd);
        st = dnnl_primitive_desc_iterator_next(it);
    }
    (void)dnnl_primitive_desc_iterator_destroy(it);
    return st == dnnl_iterator_ends ? dnnl_unimplemented : st;
}
#endif

/* ---- engine --------------------------------------------------------------------------------- */

enum rc cpu_dnnl_create(struct cpu_dnnl **out, struct err *e)
{
    struct cpu_dnnl *d = mem_calloc(1, sizeof *d);

    if (d == NULL) {
        return mem_raise(e, "oneDNN engine", sizeof *d);
    }
    if (dnnl_engine_create(&d->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags) != dnnl_success) {
        cpu_dnnl_destroy(d);
        return err_raise(e, RC_LIB, "oneDNN cannot start its CPU engine");
    }
    *out = d;
    return RC_OK;
}

void cpu_dnnl_destroy(struct cpu_dnnl *d)
{
    if (d != NULL) {
        (void)dnnl_stream_destroy(d->stream);
        (void)dnnl_engine_destroy(d->engine);
        mem_free(d);
    }
}

static const char *isa_name(dnnl_cpu_isa_t isa)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } names[] = {
        {dnnl_cpu_isa_sse41, "sse41"},
        {dnnl_cpu_isa_avx, "avx"},
        {dnnl_cpu_isa_avx2, "avx2"},
        {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
        {dnnl_cpu_isa_avx512_core, "avx512_core"},
        {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
        {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
        {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
#if DNNL_VERSION_MAJOR >= 3
        {dnnl_cpu_isa_avx2_vnni_2, "avx2_vnni_2"},
        {dnnl_cpu_isa_avx512_core_fp16, "avx512_core_fp16"},
        {dnnl_cpu_isa_avx512_core_amx_fp16, "avx512_core_amx_fp16"},
#endif
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].isa == isa) {
            return names[i].name;
        }
    }
    return "unnamed";
}

void cpu_dnnl_describe(struct device_info *out)
{
    const dnnl_version_t *v = dnnl_version();
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();

    (void)snprintf(out->isa, sizeof out->isa, "%s", isa_name(isa));
    (void)snprintf(out->library, sizeof out->library, "oneDNN %d.%d.%d", v->major, v->minor,
                   v->patch);
    /* The sets are bit masks: those that include bf16's; those whose 8-bit products do not saturate. */
    out->has_int8 = ((unsigned)isa & (unsigned)dnnl_cpu_isa_avx512_core_vnni) ==
                        dnnl_cpu_isa_avx512_core_vnni ||
                    ((unsigned)isa & (unsigned)dnnl_cpu_isa_avx2_vnni) == dnnl_cpu_isa_avx2_vnni;
    out->has_bf16 =
        ((unsigned)isa & (unsigned)dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

/* ---- convolution ---------------------------------------------------------------------------- */

enum { ARG_MAX = 6, ARG_STEP = DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1 };

/* A primitive and its arguments; handles of those that change are set before each run. */
struct step {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[ARG_MAX];
    int n_args;
};

struct cpu_dnnl_conv {
    struct cpu_dnnl *dnnl;
    enum op_kind kind;
    struct op_conv op;
    struct step conv, reorder;
    struct cpu_dnnl_facts facts;
};

static void step_release(struct step *s)
{
    for (int i = 0; i < s->n_args; i++) {
        (void)dnnl_memory_destroy(s->args[i].memory);
    }
    (void)dnnl_primitive_destroy(s->primitive);
}

/* Only a handle that changes is set: oneDNN may pad the memory with zeros each time. */
static void step_set(const struct step *s, int arg, const void *p)
{
    for (int i = 0; i < s->n_args; i++) {
        void *old = NULL;

        if (s->args[i].arg == arg) {
            (void)dnnl_memory_get_data_handle(s->args[i].memory, &old);
            if (old != p) {
                (void)dnnl_memory_set_data_handle(s->args[i].memory, (void *)(uintptr_t)p);
            }
        }
    }
}

static dnnl_status_t step_add(struct step *s, const struct cpu_dnnl_conv *c, int arg, MD_IN md)
{
    dnnl_status_t st =
        dnnl_memory_create(&s->args[s->n_args].memory, md, c->dnnl->engine, DNNL_MEMORY_NONE);

    if (st == dnnl_success) {
        s->args[s->n_args++].arg = arg;
    }
    return st;
}

/* Give the primitive described by pd its memory objects: what is queried, for each argument. */
static dnnl_status_t step_init(struct step *s, struct cpu_dnnl_conv *c,
                               const_dnnl_primitive_desc_t pd)
{
    static const struct {
        dnnl_query_t query;
        int index, arg;
    } wanted[] = {
        {dnnl_query_src_md, 0, DNNL_ARG_SRC},
        {dnnl_query_weights_md, 0, DNNL_ARG_WEIGHTS},
        {dnnl_query_weights_md, 1, DNNL_ARG_BIAS},
        {dnnl_query_dst_md, 0, DNNL_ARG_DST},
        {dnnl_query_diff_src_md, 0, DNNL_ARG_DIFF_SRC},
        {dnnl_query_diff_weights_md, 0, DNNL_ARG_DIFF_WEIGHTS},
        {dnnl_query_diff_weights_md, 1, DNNL_ARG_DIFF_BIAS},
        {dnnl_query_diff_dst_md, 0, DNNL_ARG_DIFF_DST},
        {dnnl_query_scratchpad_md, 0, DNNL_ARG_SCRATCHPAD},
    };
    dnnl_status_t st = dnnl_primitive_create(&s->primitive, pd);

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0] && st == dnnl_success; i++) {
        MD_IN md = dnnl_primitive_desc_query_md(pd, wanted[i].query, wanted[i].index);
        size_t bytes = md != NULL ? dnnl_memory_desc_get_size(md) : 0;

        if (bytes == 0 || s->n_args == ARG_MAX) {
            continue;
        }
        if (wanted[i].arg == DNNL_ARG_SCRATCHPAD && bytes > c->facts.scratchpad_bytes) {
            c->facts.scratchpad_bytes = bytes;
        }
        st = step_add(s, c, wanted[i].arg, md);
    }
    return st;
}

static enum rc step_run(const struct step *s, const struct cpu_dnnl_conv *c, struct err *e)
{
    dnnl_status_t st = dnnl_primitive_execute(s->primitive, c->dnnl->stream, s->n_args, s->args);

    if (st != dnnl_success) {
        return err_raise(e, RC_LIB, "oneDNN failed in %s (%s), status %d", device_op_name(c->kind),
                         c->facts.impl, (int)st);
    }
    return RC_OK;
}

static void shape_release(struct shape *s)
{
    layout_release(&s->step);
    layout_release(&s->src);
    layout_release(&s->weights);
    layout_release(&s->gradient);
    layout_release(&s->bias);
    layout_release(&s->dst);
}

/* Types of x, weights and y. */
static void shape_types(enum op_kind kind, const struct op_conv *o, dnnl_data_type_t out[3])
{
    dnnl_data_type_t t = o->type == DT_BF16 ? dnnl_bf16 : dnnl_f32;

    if (kind == OP_CONV_Q) {
        out[0] = dnnl_u8;
        out[1] = dnnl_s8;
        out[2] = o->relu ? dnnl_u8 : dnnl_s8;
    } else {
        out[0] = out[1] = t;
        out[2] = o->wide ? dnnl_f32 : t;
    }
}

/* What oneDNN is told of a convolution's extent. */
struct extent {
    int n, h, w;
};

/* A 1x1 convolution is a product of rows, whose memory is the same however they are cut into images.
 * Layers without an extent (SE, the head) are given as one image of n x 1: it reads the weights once
 * for many rows rather than for each. The gradient of weights is given as one image of n x (h w): it
 * sums over more rows at a time (5x5 px: 1.4 times as fast; nothing is slower). */
static struct extent extent_of(enum op_kind kind, const struct op_conv *o)
{
    const bool product = o->r == 1 && o->stride == 1 && o->pad == 0;
    const bool one_image = (o->h == 1 && o->w == 1) || kind == OP_CONV_BWD_WEIGHTS;

    return product && one_image ? (struct extent){1, o->n, o->h * o->w}
                                : (struct extent){o->n, o->h, o->w};
}

static dnnl_status_t shape_init(struct shape *s, enum op_kind kind, const struct op_conv *o)
{
    const struct extent x = extent_of(kind, o);
    const dnnl_dims_t src = {x.n, o->c, x.h, x.w}, bias = {o->k}, step = {1, o->k, 1, 1};
    const dnnl_dims_t weights = {o->k, o->c, o->r, o->r};
    const dnnl_dims_t dst = {x.n, o->k, device_op_conv_out(o, x.h), device_op_conv_out(o, x.w)};
    dnnl_data_type_t t[3];
    dnnl_status_t st;

    shape_types(kind, o, t);
    st = layout_init(&s->src, 4, src, t[0], dnnl_nhwc);
    s->stride[0] = s->stride[1] = o->stride;
    s->pad[0] = s->pad[1] = o->pad;
    s->with_bias = o->with_bias && kind != OP_CONV_BWD_DATA;
    s->prop = forward(kind) ? dnnl_forward_inference : dnnl_forward_training;
    st = st != dnnl_success ? st : layout_init(&s->weights, 4, weights, t[1], dnnl_format_tag_any);
    st = st != dnnl_success ? st
                            : layout_init(&s->gradient, 4, weights, dnnl_f32, dnnl_format_tag_any);
    st = st != dnnl_success ? st : layout_init(&s->bias, 1, bias, dnnl_f32, dnnl_a);
    st = st != dnnl_success ? st : layout_init(&s->step, 4, step, dnnl_f32, dnnl_nchw);
    return st != dnnl_success ? st : layout_init(&s->dst, 4, dst, t[2], dnnl_nhwc);
}

/* What follows a primitive's sum, in this order; step: (1, k, 1, 1), to be multiplied by. */
struct after {
    const struct layout *step;
    bool relu, sum;
};

/* Scratchpads are ours, so that plans share one; what follows is fused. */
static dnnl_status_t attr_init(dnnl_primitive_attr_t *attr, struct after after)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t st = dnnl_primitive_attr_create(attr);

    st = st != dnnl_success
             ? st
             : dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    st = st != dnnl_success ? st : dnnl_post_ops_create(&ops);
    if (st == dnnl_success && after.step != NULL) {
        st = dnnl_post_ops_append_binary(ops, dnnl_binary_mul, MD(after.step));
    }
    if (st == dnnl_success && after.relu) {
        st = append_relu(ops);
    }
    if (st == dnnl_success && after.sum) {
        st = append_sum(ops);
    }
    st = st != dnnl_success ? st : dnnl_primitive_attr_set_post_ops(*attr, ops);
    (void)dnnl_post_ops_destroy(ops);
    return st;
}

/* The reorder between masters (k, r, r, c), f32 or s8, and the layout that the convolution chose. */
static dnnl_status_t reorder_init(struct cpu_dnnl_conv *c, MD_IN chosen)
{
    const struct op_conv *o = &c->op;
    const dnnl_dims_t dims = {o->k, o->c, o->r, o->r};
    bool back = c->kind == OP_CONV_BWD_WEIGHTS;
    dnnl_engine_t engine = c->dnnl->engine;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    struct layout master = {0};
    dnnl_status_t st =
        layout_init(&master, 4, dims, c->kind == OP_CONV_Q ? dnnl_s8 : dnnl_f32, dnnl_ohwi);

    st = st != dnnl_success ? st
                            : attr_init(&attr, (struct after){.sum = back && o->c == o->c_weights});
    if (st == dnnl_success) {
        MD_IN m = MD(&master);

        st = dnnl_reorder_primitive_desc_create(&pd, back ? chosen : m, engine, back ? m : chosen,
                                                engine, attr);
    }
    st = st != dnnl_success ? st : step_init(&c->reorder, c, pd);
    (void)dnnl_primitive_desc_destroy(pd);
    (void)dnnl_primitive_attr_destroy(attr);
    layout_release(&master);
    return st;
}

static dnnl_status_t conv_init(struct cpu_dnnl_conv *c, const struct shape *s)
{
    dnnl_engine_t engine = c->dnnl->engine;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t hint = NULL, pd = NULL;
    const struct layout *step = c->kind == OP_CONV_Q ? &s->step : NULL;
    dnnl_status_t st =
        attr_init(&attr, (struct after){.step = step, .relu = forward(c->kind) && c->op.relu});
    const char *impl = "";

    if (st == dnnl_success && !forward(c->kind)) {
        st = describe_conv(&hint, OP_CONV, s, engine, NULL, NULL);
    }
    st = st != dnnl_success ? st : describe_conv(&pd, c->kind, s, engine, attr, hint);
    st = st != dnnl_success ? st : step_init(&c->conv, c, pd);
    if (st == dnnl_success && step != NULL) {
        st = step_add(&c->conv, c, ARG_STEP, MD(step));
    }
    if (st == dnnl_success) {
        bool back = c->kind == OP_CONV_BWD_WEIGHTS;
        MD_IN chosen = dnnl_primitive_desc_query_md(
            pd, back ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);

        (void)dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &impl);
        (void)snprintf(c->facts.impl, sizeof c->facts.impl, "%s", impl);
        c->facts.packed_bytes = dnnl_memory_desc_get_size(chosen);
        st = reorder_init(c, chosen);
    }
    (void)dnnl_primitive_desc_destroy(pd);
    (void)dnnl_primitive_desc_destroy(hint);
    (void)dnnl_primitive_attr_destroy(attr);
    return st;
}

void cpu_dnnl_conv_destroy(struct cpu_dnnl_conv *c)
{
    if (c != NULL) {
        step_release(&c->conv);
        step_release(&c->reorder);
        mem_free(c);
    }
}

static enum rc raise(dnnl_status_t st, const struct op_desc *op, struct err *e)
{
    char what[PLAN_DESCRIBE_MAX];

    device_op_describe(op, "", what, sizeof what);
    if (st == dnnl_unimplemented) {
        struct device_info info;

        cpu_dnnl_describe(&info);
        return err_raise(e, RC_UNSUPPORTED, "%s: %s has no way to do it on %s", what, info.library,
                         info.isa);
    }
    if (st == dnnl_out_of_memory) {
        return mem_raise(e, what, 0);
    }
    return err_raise(e, RC_LIB, "%s: oneDNN refused it, status %d", what, (int)st);
}

enum rc cpu_dnnl_conv_create(struct cpu_dnnl *d, const struct op_desc *op,
                             struct cpu_dnnl_conv **out, struct err *e)
{
    struct cpu_dnnl_conv *c = mem_calloc(1, sizeof *c);
    struct shape shape;
    dnnl_status_t st;

    if (c == NULL) {
        return mem_raise(e, "convolution", sizeof *c);
    }
    memset(&shape, 0, sizeof shape);
    c->dnnl = d;
    c->kind = op->kind;
    c->op = op->u.conv;
    st = shape_init(&shape, op->kind, &c->op);
    st = st != dnnl_success ? st : conv_init(c, &shape);
    shape_release(&shape);
    if (st != dnnl_success) {
        cpu_dnnl_conv_destroy(c);
        return raise(st, op, e);
    }
    *out = c;
    return RC_OK;
}

const struct cpu_dnnl_facts *cpu_dnnl_conv_facts(const struct cpu_dnnl_conv *c)
{
    return &c->facts;
}

static MD_IN weights_layout(const struct cpu_dnnl_conv *c)
{
    MD_IN md = NULL;

    for (int i = 0; i < c->conv.n_args; i++) {
        if (c->conv.args[i].arg == DNNL_ARG_WEIGHTS) {
            (void)dnnl_memory_get_memory_desc(c->conv.args[i].memory, &md);
        }
    }
    return md;
}

bool cpu_dnnl_same_layout(const struct cpu_dnnl_conv *a, const struct cpu_dnnl_conv *b)
{
    MD_IN one = weights_layout(a);
    MD_IN other = weights_layout(b);

    return one != NULL && other != NULL && dnnl_memory_desc_equal(one, other) != 0;
}

enum rc cpu_dnnl_reorder(struct cpu_dnnl_conv *c, const void *from, void *to, void *scratchpad,
                         struct err *e)
{
    step_set(&c->reorder, DNNL_ARG_SRC, from);
    step_set(&c->reorder, DNNL_ARG_DST, to);
    step_set(&c->reorder, DNNL_ARG_SCRATCHPAD, scratchpad);
    return step_run(&c->reorder, c, e);
}

enum rc cpu_dnnl_run(struct cpu_dnnl_conv *c, const struct cpu_dnnl_args *args, struct err *e)
{
    bool data = c->kind == OP_CONV_BWD_DATA, weights = c->kind == OP_CONV_BWD_WEIGHTS;

    step_set(&c->conv, data ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, args->src);
    step_set(&c->conv, weights ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, args->weights);
    step_set(&c->conv, weights ? DNNL_ARG_DIFF_BIAS : DNNL_ARG_BIAS, args->bias);
    step_set(&c->conv, data || weights ? DNNL_ARG_DIFF_DST : DNNL_ARG_DST, args->dst);
    step_set(&c->conv, DNNL_ARG_SCRATCHPAD, args->scratchpad);
    step_set(&c->conv, ARG_STEP, args->step);
    return step_run(&c->conv, c, e);
}

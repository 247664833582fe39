/**
 * Which ReLUs of a training pass are open: noted, or dictated.
 *
 * Two or three of millions of ReLU inputs lie so near to 0 that f32 sees another sign than f64, and
 * each changes the gradients before it by more than all rounding. With the reference's signs
 * dictated, f32 gradients can be held to what rounding leaves. A program that includes this is
 * linked with -Wl,--wrap=plan_run: the network and the backends know nothing of it.
 */
#ifndef RELU_MASKS_H
#define RELU_MASKS_H

#include "common/device/device_impl.h"
#include "tests/golden/golden.h"

enum { RELU_BNS_MAX = 1024 };

struct relu_masks {
    bool dictated; /* else noted */
    uint8_t *open; /* of every ReLU in forward order: (n, h, w, c) of 0 or 1 */
    size_t n, at;  /* how many there are; how many of them this pass has met */
    int n_bns;
    struct {
        const void *saved; /* what names a BN in both directions */
        size_t from;
    } bns[RELU_BNS_MAX];
};

/* Of the pass that runs; NULL: nothing is done. */
static struct relu_masks *relu_masks_now;

enum rc __real_plan_run(struct plan *p, void *const args[], struct err *e);
enum rc __wrap_plan_run(struct plan *p, void *const args[], struct err *e);

/* Set the tensor's values where f says so: f(value, open). */
static inline void relu_change(struct plan *p, void *tensor, size_t n, const uint8_t *open,
                               float (*f)(float v, bool open))
{
    enum dtype type = device_op_type(&p->op);
    float *v = mem_calloc(n, sizeof *v);
    struct err e = {0};

    golden_must(v != NULL && type == DT_F32, "masks are dictated in f32");
    golden_ok(device_download(p->device, NULL, v, tensor, n * sizeof *v, &e), &e);
    golden_ok(device_sync(p->device, NULL, &e), &e);
    for (size_t i = 0; i < n; i++) {
        v[i] = f(v[i], open[i] != 0);
    }
    golden_ok(device_upload(p->device, NULL, tensor, v, n * sizeof *v, &e), &e);
    golden_ok(device_sync(p->device, NULL, &e), &e);
    mem_free(v);
}

/* A linear value, or its gradient, behind the ReLU. */
static inline float relu_linear(float v, bool open)
{
    return open ? v : 0;
}

/* What a ReLU gave, so that its backward, which asks for y > 0, finds it open or closed. */
static inline float relu_output(float v, bool open)
{
    return open ? (v > 0 ? v : 1e-30F) : 0;
}

/* How many values the operation's ReLU has; 0: it has none. *y: which argument they are. */
static inline size_t relu_values(const struct op_desc *op, int *y)
{
    const struct op_map *m = &op->u.map;
    const struct op_conv *c = &op->u.conv;
    bool map = op->kind == OP_BN_ACT || op->kind == OP_BN_ACT_BWD || op->kind == OP_BN_INFER ||
               op->kind == OP_GATE_ADD_ACT || op->kind == OP_BN_JOIN;

    if (map && m->relu) {
        *y = op->kind == OP_BN_JOIN        ? 6
             : op->kind == OP_GATE_ADD_ACT ? 4
             : op->kind == OP_BN_ACT_BWD   ? 1
                                           : 3;
        return (size_t)m->n * (size_t)m->h * (size_t)m->w * (size_t)m->c;
    }
    if (op->kind == OP_CONV && c->relu) {
        *y = 1;
        return (size_t)c->n * (size_t)device_op_conv_out(c, c->h) *
               (size_t)device_op_conv_out(c, c->w) * (size_t)c->k;
    }
    return 0;
}

static inline void relu_note(struct relu_masks *r, struct plan *p, const void *y, size_t n)
{
    size_t width = dtype_size(device_op_type(&p->op));
    uint8_t *grown = mem_calloc(r->n + n, 1);
    char *v = mem_calloc(n, width);
    struct err e = {0};

    golden_must(grown != NULL && v != NULL && width >= sizeof(float),
                "masks are noted in f32, f64");
    if (r->n > 0) {
        memcpy(grown, r->open, r->n);
    }
    golden_ok(device_download(p->device, NULL, v, y, n * width, &e), &e);
    golden_ok(device_sync(p->device, NULL, &e), &e);
    for (size_t i = 0; i < n; i++) {
        grown[r->n + i] = width == sizeof(double) ? ((const double *)(const void *)v)[i] > 0
                                                  : ((const float *)(const void *)v)[i] > 0;
    }
    mem_free(v);
    mem_free(r->open);
    r->open = grown;
    r->n += n;
}

/* A batch norm without its ReLU, which is dictated: behind it, or before its backward. */
static inline enum rc relu_batch_norm(struct relu_masks *r, struct plan *p, void *const args[],
                                      size_t n, struct err *e)
{
    bool back = p->op.kind == OP_BN_ACT_BWD;
    const void *saved = args[back ? 3 : 6];
    struct op_desc op = p->op;
    struct plan *linear = NULL;
    size_t from = r->at;
    enum rc rc;

    for (int i = 0; i < r->n_bns && back; i++) {
        from = r->bns[i].saved == saved ? r->bns[i].from : from;
    }
    if (back) {
        golden_must(from < r->at, "a batch norm's backward without its forward");
        relu_change(p, args[1], n, r->open + from, relu_linear);
    } else {
        golden_must(r->n_bns < RELU_BNS_MAX, "too many batch norms");
        r->bns[r->n_bns].saved = saved;
        r->bns[r->n_bns++].from = from;
    }
    op.u.map.relu = false;
    rc = plan_create(p->device, &op, &linear, e);
    rc = rc == RC_OK ? __real_plan_run(linear, args, e) : rc;
    rc = rc == RC_OK ? device_sync(p->device, NULL, e) : rc;
    plan_destroy(linear);
    if (rc == RC_OK && !back) {
        relu_change(p, args[3], n, r->open + from, relu_linear);
        r->at += n;
    }
    return rc;
}

enum rc __wrap_plan_run(struct plan *p, void *const args[], struct err *e)
{
    struct relu_masks *r = relu_masks_now;
    int y = 0;
    size_t n = r != NULL ? relu_values(&p->op, &y) : 0;
    bool back = p->op.kind == OP_BN_ACT_BWD;
    enum rc rc;

    if (n == 0 || (back && !r->dictated)) {
        return __real_plan_run(p, args, e);
    }
    golden_must(!r->dictated || back || r->at + n <= r->n, "more ReLUs than masks");
    if (r->dictated && (back || p->op.kind == OP_BN_ACT)) {
        return relu_batch_norm(r, p, args, n, e);
    }
    rc = __real_plan_run(p, args, e);
    if (rc == RC_OK && r->dictated) {
        relu_change(p, args[y], n, r->open + r->at, relu_output);
        r->at += n;
    } else if (rc == RC_OK) {
        relu_note(r, p, args[y], n);
    }
    return rc;
}

static inline void relu_masks_release(struct relu_masks *r)
{
    mem_free(r->open);
    *r = (struct relu_masks){0};
}

#endif

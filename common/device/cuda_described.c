/* A GPU that is only described: its plans are those that the GPU would get, its memory is counted by
 * nobody, and it runs nothing. */
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/device/cuda_impl.h"

/* Planning takes seconds where cuDNN compiles a kernel, and a network repeats its shapes. */
struct known {
    struct op_desc op;
    struct plan_choice choice;
};

struct described {
    struct device base;
    struct cuda_planner *planner;
    device_plan_fn *on_plan;
    void *ctx;
    struct known *known;
    size_t n_known;
};

/* What stands for every address: never read or written. */
static char nowhere;

static void described_destroy(struct device *device)
{
    struct described *d = (struct described *)device;

    cuda_planner_destroy(d->planner);
    mem_free(d->known);
    mem_free(d);
}

static void described_describe(const struct device *device, struct device_info *out)
{
    const struct described *d = (const struct described *)device;
    char version[40];

    cuda_planner_version(version, sizeof version);
    (void)snprintf(out->library, sizeof out->library, "%.20s%s", version,
                   cuda_planner_fuses(d->planner) ? "" : ", no libcuda: nothing fused");
    (void)snprintf(out->isa, sizeof out->isa, "described");
    out->has_bf16 = true;
}

static int described_input_channels(const struct device *d, int c, enum dtype type)
{
    return device_cuda_ops.input_channels(d, c, type);
}

static enum rc described_alloc(struct device *d, size_t bytes, const char *what, void **out,
                               struct err *e)
{
    (void)d;
    (void)bytes;
    (void)what;
    (void)e;
    *out = &nowhere;
    return RC_OK;
}

static void described_free(struct device *d, void *p)
{
    (void)d;
    (void)p;
}

static enum rc described_copy(struct device *d, struct queue *q, void *dst, const void *src,
                              size_t bytes, struct err *e)
{
    (void)d;
    (void)q;
    (void)dst;
    (void)src;
    (void)bytes;
    (void)e;
    return RC_OK;
}

static enum rc cannot_run(struct err *e)
{
    return err_raise(e, RC_UNSUPPORTED, "a GPU that is only described runs nothing");
}

static enum rc described_download(struct device *d, struct queue *q, void *dst, const void *src,
                                  size_t bytes, struct err *e)
{
    (void)d;
    (void)q;
    (void)dst;
    (void)src;
    (void)bytes;
    return cannot_run(e);
}

static enum rc described_zero(struct device *d, struct queue *q, void *p, size_t bytes,
                              struct err *e)
{
    return described_copy(d, q, p, NULL, bytes, e);
}

static enum rc described_sync(struct device *d, struct queue *q, struct err *e)
{
    return described_copy(d, q, NULL, NULL, 0, e);
}

/* ---- plans ------------------------------------------------------------------------------------ */

static const struct known *find(const struct described *d, const struct op_desc *op)
{
    for (size_t i = 0; i < d->n_known; i++) {
        if (memcmp(&d->known[i].op, op, sizeof *op) == 0) {
            return &d->known[i];
        }
    }
    return NULL;
}

static enum rc learn(struct described *d, const struct op_desc *op, const struct known **out,
                     struct err *e)
{
    const struct cuda_graph_info *info;
    struct cuda_graph *g = NULL;
    struct known *grown = mem_realloc(d->known, d->n_known + 1, sizeof *grown);
    enum rc rc;

    if (grown == NULL) {
        return mem_raise(e, "known plans", (d->n_known + 1) * sizeof *grown);
    }
    d->known = grown;
    rc = cuda_graph_create(d->planner, op, &g, e);
    if (rc != RC_OK) {
        return rc;
    }
    info = cuda_graph_info(g);
    grown += d->n_known++;
    grown->op = *op;
    grown->choice = (struct plan_choice){info->engine, info->workspace, info->tensor_core};
    cuda_graph_destroy(g);
    *out = grown;
    return RC_OK;
}

static void described_plan_destroy(struct plan *p)
{
    mem_free(p);
}

static size_t conv_bytes(const struct op_conv *o)
{
    size_t weights = (size_t)o->k * (size_t)o->r * (size_t)o->r * (size_t)o->c;

    return weights * dtype_size(o->type) + (o->with_bias ? (size_t)o->k * sizeof(float) : 0);
}

static enum rc described_plan_create(struct device *device, const struct op_desc *op,
                                     struct plan **out, struct err *e)
{
    struct described *d = (struct described *)device;
    struct plan_choice choice = {.engine = -1};
    struct plan *p;
    enum rc rc = RC_OK;

    if (op->kind <= OP_CONV_BWD_WEIGHTS) {
        const struct known *k = find(d, op);

        rc = k == NULL ? learn(d, op, &k, e) : RC_OK;
        if (rc != RC_OK) {
            return rc;
        }
        choice = k->choice;
    }
    p = mem_calloc(1, sizeof *p);
    if (p == NULL) {
        return mem_raise(e, "described plan", sizeof *p);
    }
    p->device = device;
    p->op = *op;
    p->saved_bytes = op->kind == OP_BN_ACT ? cuda_kernels_saved_bytes(&op->u.map) : 0;
    p->packed_bytes = op->kind <= OP_CONV_BWD_DATA ? conv_bytes(&op->u.conv) : 0;
    device_op_describe(op, "", p->describe, sizeof p->describe);
    if (d->on_plan != NULL) {
        d->on_plan(d->ctx, p, &choice);
    }
    *out = p;
    return RC_OK;
}

static enum rc described_plan_pack(struct plan *p, const float *weights, const float *bias,
                                   const float *scale, struct err *e)
{
    (void)p;
    (void)weights;
    (void)bias;
    (void)scale;
    (void)e;
    return RC_OK;
}

static enum rc described_plan_run(struct plan *p, void *const args[], struct err *e)
{
    (void)p;
    (void)args;
    return cannot_run(e);
}

static const struct device_ops described_ops = {
    .name = "described",
    .destroy = described_destroy,
    .describe = described_describe,
    .input_channels = described_input_channels,
    .alloc = described_alloc,
    .free = described_free,
    .upload = described_copy,
    .download = described_download,
    .zero = described_zero,
    .sync = described_sync,
    .plan_create = described_plan_create,
    .plan_destroy = described_plan_destroy,
    .plan_pack = described_plan_pack,
    .plan_run = described_plan_run,
};

enum rc cuda_described_create(const char *description, device_plan_fn *on_plan, void *ctx,
                              struct device **out, struct err *e)
{
    struct described *d = mem_calloc(1, sizeof *d);
    struct digest digest;
    char name[HASH_HEX_DIGEST];
    enum rc rc;

    if (d == NULL) {
        return mem_raise(e, "described device", sizeof *d);
    }
    d->base.ops = &described_ops;
    d->on_plan = on_plan;
    d->ctx = ctx;
    hash_digest(description, strlen(description), &digest);
    hash_digest_hex(&digest, name);
    rc = cuda_planner_create(NULL, name, description, &d->planner, e);
    if (rc != RC_OK) {
        described_destroy(&d->base);
        return rc;
    }
    *out = &d->base;
    return RC_OK;
}

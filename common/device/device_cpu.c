#include <omp.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/device/cpu_impl.h"

/* clang-format off */
static const struct cpu_kernel *const kernels[OP_KIND_N] = {
    [OP_BN_ACT]           = &cpu_norm_bn_act,
    [OP_BN_ACT_BWD]       = &cpu_norm_bn_act_bwd,
    [OP_BN_INFER]         = &cpu_norm_bn_infer,
    [OP_GATE_ADD_ACT]     = &cpu_gate_add_act,
    [OP_GATE_ADD_ACT_BWD] = &cpu_gate_add_act_bwd,
    [OP_AVG_POOL2]        = &cpu_pool_avg2,
    [OP_AVG_POOL2_BWD]    = &cpu_pool_avg2_bwd,
    [OP_GLOBAL_POOL]      = &cpu_pool_global,
    [OP_GLOBAL_POOL_BWD]  = &cpu_pool_global_bwd,
    [OP_RELU_BWD]         = &cpu_map_relu_bwd,
    [OP_SIGMOID]          = &cpu_map_sigmoid,
    [OP_SIGMOID_BWD]      = &cpu_map_sigmoid_bwd,
    [OP_MUL_ROW]          = &cpu_map_mul_row,
    [OP_ADD]              = &cpu_map_add,
    [OP_SOFTMAX_CE]       = &cpu_loss_softmax_ce,
    [OP_NORMALIZE]        = &cpu_loss_normalize,
    [OP_SGD]              = &cpu_map_sgd,
    [OP_SQUARES]          = &cpu_map_squares,
    [OP_QUANTIZE]         = &cpu_quant_quantize,
    [OP_AVG_POOL2_Q]      = &cpu_quant_avg2,
    [OP_GLOBAL_POOL_Q]    = &cpu_quant_global,
    [OP_GATE_ADD_ACT_Q]   = &cpu_quant_gate_add,
    [OP_BN_POOL]          = &cpu_join_pool,
    [OP_BN_JOIN]          = &cpu_join_forward,
    [OP_BN_JOIN_BWD]      = &cpu_join_bwd,
    [OP_BN_POOL_BWD]      = &cpu_join_pool_bwd,
};
/* clang-format on */

static void cpu_destroy(struct device *device)
{
    struct cpu_device *d = (struct cpu_device *)device;

    cpu_dnnl_destroy(d->dnnl);
    mem_free(d->scratch);
    mem_free(d);
}

/* OpenMP's setting is the calling thread's, and oneDNN reads it when it compiles and runs. */
static void use_threads(const struct cpu_device *d)
{
    if (omp_get_max_threads() != d->threads) {
        omp_set_num_threads(d->threads);
    }
}

static enum rc cpu_create(int threads, int local_rank, struct device **out, struct err *e)
{
    struct cpu_device *d = mem_calloc(1, sizeof *d);
    enum rc rc;

    (void)local_rank;
    if (d == NULL) {
        return mem_raise(e, "cpu device", sizeof *d);
    }
    d->base.ops = &device_cpu_ops;
    d->threads = threads > 0 ? threads : omp_get_num_procs();
    rc = cpu_dnnl_create(&d->dnnl, e);
    if (rc != RC_OK) {
        mem_free(d);
        return rc;
    }
    *out = &d->base;
    return RC_OK;
}

static void cpu_describe(const struct device *d, struct device_info *out)
{
    cpu_dnnl_describe(out);
    out->threads = ((const struct cpu_device *)d)->threads;
}

static int cpu_input_channels(const struct device *d, int c, enum dtype type)
{
    (void)d;
    (void)type;
    return c;
}

static void cpu_plan_destroy(struct plan *plan)
{
    struct cpu_plan *p = (struct cpu_plan *)plan;

    if (p != NULL) {
        cpu_conv_destroy(p->conv);
        mem_free(p->table);
        mem_free(p);
    }
}

/* No plan runs while another is made, so the old scratch can go. */
static enum rc need_scratch(struct cpu_device *d, size_t bytes, struct err *e)
{
    void *p;

    if (bytes <= d->scratch_bytes) {
        return RC_OK;
    }
    p = mem_aligned(bytes);
    if (p == NULL) {
        return mem_raise(e, "scratch of a plan", bytes);
    }
    mem_free(d->scratch);
    d->scratch = p;
    d->scratch_bytes = bytes;
    return RC_OK;
}

static enum rc create_conv(struct cpu_device *d, struct cpu_plan *p, const struct op_desc *op,
                           struct err *e)
{
    enum rc rc = cpu_conv_create(d->dnnl, op, &p->conv, e);

    if (rc == RC_OK) {
        p->base.packed_bytes = cpu_conv_packed_bytes(p->conv);
        memcpy(p->base.impl, cpu_conv_impl(p->conv), sizeof p->base.impl);
        rc = need_scratch(d, cpu_conv_scratch_bytes(p->conv), e);
    }
    return rc;
}

static enum rc create_own(struct cpu_device *d, struct cpu_plan *p, const struct op_desc *op,
                          struct err *e)
{
    const struct cpu_kernel *kernel = kernels[op->kind];

    if (op->kind == OP_BN_ACT) {
        p->base.saved_bytes = cpu_norm_saved_bytes(&op->u.map);
    }
    if (op->kind == OP_BN_POOL) {
        p->base.saved_bytes = cpu_join_saved_bytes(&op->u.map);
    }
    if (op->kind == OP_NORMALIZE) {
        enum rc rc = cpu_loss_normalize_table(&op->u.normalize, &p->table, e);

        if (rc != RC_OK) {
            return rc;
        }
    }
    return kernel->scratch != NULL ? need_scratch(d, kernel->scratch(op), e) : RC_OK;
}

static enum rc cpu_plan_create(struct device *device, const struct op_desc *op, struct plan **out,
                               struct err *e)
{
    struct cpu_device *d = (struct cpu_device *)device;
    struct cpu_plan *p = mem_calloc(1, sizeof *p);
    enum rc rc;

    if (p == NULL) {
        return mem_raise(e, "cpu plan", sizeof *p);
    }
    use_threads(d);
    rc = kernels[op->kind] == NULL ? create_conv(d, p, op, e) : create_own(d, p, op, e);
    if (rc == RC_OK) {
        *out = &p->base;
        p = NULL;
    }
    cpu_plan_destroy((struct plan *)p);
    return rc;
}

static enum rc cpu_plan_pack(struct plan *plan, const float *weights, const float *bias,
                             const float *scale, struct err *e)
{
    struct cpu_device *d = (struct cpu_device *)plan->device;

    use_threads(d);
    return cpu_conv_pack(((struct cpu_plan *)plan)->conv, weights, bias, scale, d->scratch, e);
}

static enum rc cpu_plan_run(struct plan *plan, void *const args[], struct err *e)
{
    struct cpu_device *d = (struct cpu_device *)plan->device;
    const struct cpu_plan *p = (const struct cpu_plan *)plan;

    use_threads(d);
    if (p->conv != NULL) {
        return cpu_conv_run(p->conv, args, d->scratch, e);
    }
    kernels[plan->op.kind]->run(p, d->scratch, args);
    return RC_OK;
}

static bool cpu_plan_share(struct plan *plan, const struct plan *owner)
{
    return cpu_conv_share(((struct cpu_plan *)plan)->conv, ((const struct cpu_plan *)owner)->conv);
}

const struct device_ops device_cpu_ops = {
    .name = "cpu",
    .has_joins = true,
    .create = cpu_create,
    .destroy = cpu_destroy,
    .describe = cpu_describe,
    .input_channels = cpu_input_channels,
    DEVICE_HOST_MEMORY,
    .plan_create = cpu_plan_create,
    .plan_destroy = cpu_plan_destroy,
    .plan_pack = cpu_plan_pack,
    .plan_run = cpu_plan_run,
    .plan_share = cpu_plan_share,
};

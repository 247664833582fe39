/* Which file runs an operation, and what it needs. */
#include "common/device/cuda_kernels.cuh"

using namespace cuda_kernels;

int cuda_kernels_run(const struct op_desc *op, void *const args[], void *scratch,
                     struct CUstream_st *stream)
{
    static const int n_args[OP_KIND_N] = {2, 2, 4, 7, 7, 4, 5, 8, 2, 2, 2, 2, 3, 2, 3, 3, 3, 6, 2, 4, 1};
    const run r = {op, args, static_cast<float *>(scratch), stream};
    bool is_aligned = all_aligned(args, n_args[op->kind]);

    switch (op->kind) {
    case OP_BN_ACT:
    case OP_BN_ACT_BWD:
    case OP_BN_INFER:
        return run_norm(r, is_aligned);
    case OP_SOFTMAX_CE:
        return run_loss(r);
    case OP_NORMALIZE:
        return run_pixels(r, is_aligned);
    default:
        return op->kind <= OP_GLOBAL_POOL_BWD ? run_pool(r, is_aligned)
                                              : run_elements(r, is_aligned);
    }
}

size_t cuda_kernels_scratch_bytes(const struct op_desc *op)
{
    switch (op->kind) {
    case OP_BN_ACT:
    case OP_BN_ACT_BWD:
        return sums_bytes(table_of(op->u.map, false), 2);
    case OP_GATE_ADD_ACT_BWD:
    case OP_GLOBAL_POOL:
        return sums_bytes(table_of(op->u.map, true), 1);
    case OP_SQUARES:
        return SQUARES_BLOCKS * sizeof(double);
    default:
        return 0;
    }
}

size_t cuda_kernels_saved_bytes(const struct op_map *o)
{
    return 3 * (size_t)o->c * sizeof(float);
}

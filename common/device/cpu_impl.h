/**
 * The cpu backend: convolutions by oneDNN (cpu_conv.c, alone in seeing dnnl.h), the rest by our own
 * kernels on the same OpenMP pool.
 *
 * A kernel is a function of one chunk, compiled for several vector widths (CPU_CLONES); its driver
 * cuts the work into chunks whose size depends on the shape alone and never on the number of
 * threads, so results do not either. No contraction and no reassociation: every clone and chunking
 * gives equal bits.
 */
#ifndef PRECEPTOR_CPU_IMPL_H
#define PRECEPTOR_CPU_IMPL_H

#include <string.h>

#include "common/device/device_impl.h"

/* One body, several instruction sets, chosen when the program is loaded. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__) &&    \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CPU_CLONES                                                                                 \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), noinline))
#else
#define CPU_CLONES __attribute__((noinline))
#endif
#define CPU_INLINE static inline __attribute__((always_inline))

enum { CPU_CHUNK = 1 << 14 }; /* elements that a thread takes at a time */

/* Below so many elements waking the pool costs more than it gives. ThreadSanitizer cannot see
 * libgomp's barriers and would report every region: under it our kernels stay on one thread. */
#if defined(__SANITIZE_THREAD__)
#define CPU_SERIAL SIZE_MAX
#else
#define CPU_SERIAL ((size_t)1 << 14)
#endif

struct cpu_dnnl; /* oneDNN's engine and stream */
struct cpu_conv; /* a compiled convolution */

struct cpu_device {
    struct device base;
    struct cpu_dnnl *dnnl;
    int threads;
    void *scratch; /* shared by the plans: one runs at a time */
    size_t scratch_bytes;
};

struct cpu_plan {
    struct plan base;
    struct cpu_conv *conv; /* convolutions */
    void *table;           /* constants of the plan: OP_NORMALIZE */
};

/** An operation of ours: bytes of scratch it wants, and its run. */
struct cpu_kernel {
    size_t (*scratch)(const struct op_desc *op); /* NULL: none */
    void (*run)(const struct cpu_plan *p, void *scratch, void *const args[]);
};

/* ---- cpu_dnnl.c, alone in seeing dnnl.h ----------------------------------------------------- */

struct cpu_dnnl_conv; /* one convolution primitive and the reorder of its weights */

struct cpu_dnnl_args { /* of a run, forward or backward: dst is y or dy, weights w or dw, ... */
    void *src, *weights, *bias, *dst, *scratchpad;
    void *step; /* OP_CONV_Q: (k) f32, y = act((sum + bias) * step) */
};

struct cpu_dnnl_facts {
    size_t packed_bytes; /* weights (BWD_WEIGHTS: their gradient) in the layout that oneDNN chose */
    size_t scratchpad_bytes;
    char impl[48]; /* oneDNN's name for what runs */
};

NODISCARD enum rc cpu_dnnl_create(struct cpu_dnnl **out, struct err *e);
void cpu_dnnl_destroy(struct cpu_dnnl *d);
void cpu_dnnl_describe(struct device_info *out);

/** RC_UNSUPPORTED: oneDNN has nothing for this type on this processor. */
NODISCARD enum rc cpu_dnnl_conv_create(struct cpu_dnnl *d, const struct op_desc *op,
                                       struct cpu_dnnl_conv **out, struct err *e);
void cpu_dnnl_conv_destroy(struct cpu_dnnl_conv *c);
const struct cpu_dnnl_facts *cpu_dnnl_conv_facts(const struct cpu_dnnl_conv *c);
/** Whether two convolutions chose one layout for their weights. */
bool cpu_dnnl_same_layout(const struct cpu_dnnl_conv *a, const struct cpu_dnnl_conv *b);
/** Masters f32 (k, r, r, c) to the chosen layout; BWD_WEIGHTS: the chosen layout to masters, added
 * to what is there if c == c_weights and else overwriting it. */
NODISCARD enum rc cpu_dnnl_reorder(struct cpu_dnnl_conv *c, const void *from, void *to,
                                   void *scratchpad, struct err *e);
NODISCARD enum rc cpu_dnnl_run(struct cpu_dnnl_conv *c, const struct cpu_dnnl_args *args,
                               struct err *e);

/* ---- cpu_conv.c ---------------------------------------------------------------------------- */

/** RC_UNSUPPORTED as above. */
NODISCARD enum rc cpu_conv_create(struct cpu_dnnl *d, const struct op_desc *op,
                                  struct cpu_conv **out, struct err *e);
void cpu_conv_destroy(struct cpu_conv *c);
size_t cpu_conv_scratch_bytes(const struct cpu_conv *c);
size_t cpu_conv_packed_bytes(const struct cpu_conv *c);
const char *cpu_conv_impl(const struct cpu_conv *c);
NODISCARD enum rc cpu_conv_pack(struct cpu_conv *c, const float *weights, const float *bias,
                                const float *scale, void *scratch, struct err *e);
/** Run with owner's packed weights; false: its layout is another. */
bool cpu_conv_share(struct cpu_conv *c, const struct cpu_conv *owner);
NODISCARD enum rc cpu_conv_run(struct cpu_conv *c, void *const args[], void *scratch,
                               struct err *e);

/* ---- our own, by file ---------------------------------------------------------------------- */

extern const struct cpu_kernel cpu_norm_bn_act, cpu_norm_bn_act_bwd, cpu_norm_bn_infer;
extern const struct cpu_kernel cpu_gate_add_act, cpu_gate_add_act_bwd;
extern const struct cpu_kernel cpu_join_pool, cpu_join_forward, cpu_join_bwd, cpu_join_pool_bwd;
extern const struct cpu_kernel cpu_pool_avg2, cpu_pool_avg2_bwd, cpu_pool_global,
    cpu_pool_global_bwd;
extern const struct cpu_kernel cpu_map_relu_bwd, cpu_map_sigmoid, cpu_map_sigmoid_bwd,
    cpu_map_mul_row, cpu_map_add, cpu_map_sgd, cpu_map_squares;
extern const struct cpu_kernel cpu_quant_quantize, cpu_quant_avg2, cpu_quant_global,
    cpu_quant_gate_add;
extern const struct cpu_kernel cpu_loss_softmax_ce, cpu_loss_normalize;

size_t cpu_norm_saved_bytes(const struct op_map *o);
size_t cpu_join_saved_bytes(const struct op_map *o);
/** Mean and sum of squared deviations of n values, whole rows: width each, the first c count. */
void cpu_norm_moments(const struct op_map *o, const void *x, size_t n, float *mean, float *m2);
NODISCARD enum rc cpu_loss_normalize_table(const struct op_normalize *o, void **out,
                                           struct err *e);

/* ---- element access ------------------------------------------------------------------------ */

CPU_INLINE float cpu_bf16_up(uint16_t x)
{
    uint32_t u = (uint32_t)x << 16;
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

CPU_INLINE uint16_t cpu_bf16_down(float x)
{
    uint32_t u, even, nan;

    memcpy(&u, &x, sizeof u);
    even = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
    nan = u >> 16 | 0x40u;
    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? nan : even);
}

/** Element i of a row of f32 or bf16; bf16 is a constant where this is inlined. */
CPU_INLINE float cpu_get(const void *p, size_t i, bool bf16)
{
    return bf16 ? cpu_bf16_up(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

CPU_INLINE void cpu_put(void *p, size_t i, bool bf16, float v)
{
    if (bf16) {
        ((uint16_t *)p)[i] = cpu_bf16_down(v);
    } else {
        ((float *)p)[i] = v;
    }
}

/** Address of element i. */
static inline void *cpu_at(void *p, enum dtype t, size_t i)
{
    return (char *)p + i * dtype_size(t);
}

static inline size_t cpu_count(const struct op_map *o)
{
    return (size_t)o->n * (size_t)o->h * (size_t)o->w * (size_t)o->c;
}

/** Channels are the inner dimension and may be few: kernels run over rows of `width` values, a
 * multiple of c that fills vectors, with per-channel constants repeated to that width. */
static inline size_t cpu_width(int c)
{
    size_t wide = 64, one = (size_t)c;

    return one >= wide ? one : one * ((wide + one - 1) / one);
}

/** Repeat the first c values of a row up to width. */
static inline void cpu_repeat(float *row, size_t c, size_t width)
{
    for (size_t i = c; i < width; i++) {
        row[i] = row[i - c];
    }
}

/** The smaller of a chunk and what is left after `from`. */
static inline size_t cpu_chunk_len(size_t total, size_t from, size_t chunk)
{
    return total - from < chunk ? total - from : chunk;
}

static inline size_t cpu_round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

#endif

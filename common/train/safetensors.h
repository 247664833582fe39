/**
 * safetensors: reading hostile files as strictly as the reference reader, and writing like it.
 * Source: parity-facts section 7.
 */
#ifndef PRECEPTOR_SAFETENSORS_H
#define PRECEPTOR_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum st_type { ST_F64, ST_F32, ST_F16, ST_BF16, ST_I64, ST_I32, ST_I16, ST_I8, ST_U8, ST_BOOL,
               ST_U16, ST_U32, ST_U64, ST_TYPE_N };
enum { ST_MAX_DIMS = 8 };

struct st_tensor {
    const char *name;
    enum st_type type;
    int dims;
    int64_t shape[ST_MAX_DIMS];
    const void *data; /* may be unaligned */
    size_t bytes;
};

struct st_file;

/** RC_IO; RC_CORRUPT with path and reason. The file is read, not mapped. */
NODISCARD enum rc st_open(const char *path, struct st_file **out, struct err *e);
void st_close(struct st_file *f);
int st_count(const struct st_file *f);
const struct st_tensor *st_at(const struct st_file *f, int i);
const struct st_tensor *st_find(const struct st_file *f, const char *name);
/** __metadata__ value or NULL. */
const char *st_metadata(const struct st_file *f, const char *name);
/** Element i of the tensor as f32 (F32, F16, BF16, F64): copies n = product of the shape floats. */
NODISCARD enum rc st_to_f32(const struct st_tensor *t, float *out, struct err *e);

/** Write atomically. meta: pairs key, value, ..., NULL. Tensors sorted as the reference writer does. */
NODISCARD enum rc st_write(const char *path, const struct st_tensor *tensors, int n,
                           const char *const meta[], struct err *e);

#endif

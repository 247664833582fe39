#include "common/train/safetensors.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/device/device.h"

enum { ST_MAX_HEADER = 100000000 };

/* In the order of enum st_type. rank: the reference writer's order of types. */
static const struct {
    const char *name;
    size_t size;
    int rank;
} st_types[ST_TYPE_N] = {
    [ST_U64] = {"U64", 8, 0},    [ST_I64] = {"I64", 8, 1}, [ST_F64] = {"F64", 8, 2},
    [ST_F32] = {"F32", 4, 3},    [ST_U32] = {"U32", 4, 4}, [ST_I32] = {"I32", 4, 5},
    [ST_BF16] = {"BF16", 2, 6},  [ST_F16] = {"F16", 2, 7}, [ST_U16] = {"U16", 2, 8},
    [ST_I16] = {"I16", 2, 9},    [ST_I8] = {"I8", 1, 10},  [ST_U8] = {"U8", 1, 11},
    [ST_BOOL] = {"BOOL", 1, 12},
};

struct st_file {
    char *bytes; /* the whole file */
    json_t *header;
    struct st_tensor *tensors;
    int n;
};

/* ---- reading -------------------------------------------------------------------------------- */

static enum rc st_bad(const char *path, const char *why, struct err *e)
{
    return err_raise(e, RC_CORRUPT, "'%s' is not a whole safetensors file: %s", path, why);
}

static bool st_type_of(const char *name, enum st_type *out)
{
    for (int i = 0; i < ST_TYPE_N; i++) {
        if (strcmp(st_types[i].name, name) == 0) {
            *out = (enum st_type)i;
            return true;
        }
    }
    return false;
}

/* A JSON integer in [0, 2^63). */
static bool st_unsigned(const json_t *j, uint64_t *out)
{
    if (!json_is_integer(j) || json_integer_value(j) < 0) {
        return false;
    }
    *out = (uint64_t)json_integer_value(j);
    return true;
}

static const char *st_shape(const json_t *shape, struct st_tensor *t)
{
    size_t bytes = st_types[t->type].size;

    if (!json_is_array(shape) || json_array_size(shape) > ST_MAX_DIMS) {
        return "a shape is not a list of at most 8 sizes";
    }
    t->dims = (int)json_array_size(shape);
    for (int i = 0; i < t->dims; i++) {
        uint64_t d = 0;

        if (!st_unsigned(json_array_get(shape, (size_t)i), &d)) {
            return "a size is not a whole number of 0 or more";
        }
        if (__builtin_mul_overflow(bytes, d, &bytes)) {
            return "a shape is larger than any memory";
        }
        t->shape[i] = (int64_t)d;
    }
    t->bytes = bytes;
    return NULL;
}

/* One entry of the header; NULL or what is wrong. data has n bytes. */
static const char *st_entry(const char *name, const json_t *value, const char *data, size_t n,
                            struct st_tensor *t)
{
    const json_t *offsets = json_object_get(value, "data_offsets");
    const char *type = json_string_value(json_object_get(value, "dtype"));
    const char *why = NULL;
    uint64_t from = 0;
    uint64_t to = 0;

    t->name = name;
    if (!json_is_object(value) || type == NULL || !st_type_of(type, &t->type)) {
        return "a tensor has no known dtype";
    }
    why = st_shape(json_object_get(value, "shape"), t);
    if (why != NULL) {
        return why;
    }
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !st_unsigned(json_array_get(offsets, 0), &from) ||
        !st_unsigned(json_array_get(offsets, 1), &to)) {
        return "data_offsets are not two whole numbers";
    }
    if (from > to || to > n) {
        return "data_offsets point outside the file";
    }
    if (to - from != t->bytes) {
        return "data_offsets and shape disagree";
    }
    t->data = data + from;
    return NULL;
}

static const char *st_metadata_ok(const json_t *meta)
{
    const char *key = NULL;
    json_t *value = NULL;

    if (json_is_null(meta)) {
        return NULL;
    }
    if (!json_is_object(meta)) {
        return "__metadata__ is not an object";
    }
    json_object_foreach((json_t *)(uintptr_t)meta, key, value)
    {
        if (!json_is_string(value)) {
            return "a value of __metadata__ is not a string";
        }
    }
    return NULL;
}

static int st_by_place(const void *a, const void *b)
{
    const struct st_tensor *x = a;
    const struct st_tensor *y = b;

    if (x->data != y->data) {
        return (const char *)x->data < (const char *)y->data ? -1 : 1;
    }
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* The tensors must cover the data without holes or overlap. Leaves them in order of place. */
static const char *st_covered(struct st_file *f, const char *data, size_t n)
{
    const char *at = data;

    if (f->n > 0) {
        qsort(f->tensors, (size_t)f->n, sizeof *f->tensors, st_by_place);
    }
    for (int i = 0; i < f->n; i++) {
        if ((const char *)f->tensors[i].data != at) {
            return "tensors overlap or leave a hole";
        }
        at += f->tensors[i].bytes;
    }
    return at == data + n ? NULL : "bytes follow the last tensor";
}

static enum rc st_parse(struct st_file *f, const char *path, size_t bytes, struct err *e)
{
    uint64_t header = 0;
    const char *why = NULL;
    const char *name = NULL;
    const char *data = NULL;
    json_t *value = NULL;
    json_error_t je;

    if (bytes < 8) {
        return st_bad(path, "it has fewer than 8 bytes", e);
    }
    for (int i = 7; i >= 0; i--) {
        header = header << 8 | (unsigned char)f->bytes[i];
    }
    if (header > ST_MAX_HEADER || header > bytes - 8) {
        return st_bad(path, "its header is longer than the file or than 100 MB", e);
    }
    f->header = json_loadb(f->bytes + 8, header, JSON_REJECT_DUPLICATES, &je);
    if (f->header == NULL || !json_is_object(f->header)) {
        return st_bad(path, f->header == NULL ? je.text : "its header is not an object", e);
    }
    data = f->bytes + 8 + header;
    f->tensors = mem_calloc(json_object_size(f->header), sizeof *f->tensors);
    if (f->tensors == NULL) {
        return mem_raise(e, path, json_object_size(f->header) * sizeof *f->tensors);
    }
    json_object_foreach(f->header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0) {
            why = st_metadata_ok(value);
        } else {
            why = st_entry(name, value, data, bytes - 8 - header, &f->tensors[f->n++]);
        }
        if (why != NULL) {
            return st_bad(path, why, e);
        }
    }
    why = st_covered(f, data, bytes - 8 - header);
    return why != NULL ? st_bad(path, why, e) : RC_OK;
}

enum rc st_open(const char *path, struct st_file **out, struct err *e)
{
    struct st_file *f = mem_calloc(1, sizeof *f);
    size_t bytes = 0;
    enum rc rc = RC_OK;

    if (f == NULL) {
        return mem_raise(e, path, sizeof *f);
    }
    rc = fs_read(path, SIZE_MAX / 2, &f->bytes, &bytes, e);
    if (rc == RC_OK) {
        rc = st_parse(f, path, bytes, e);
    }
    if (rc != RC_OK) {
        st_close(f);
        return rc;
    }
    *out = f;
    return RC_OK;
}

void st_close(struct st_file *f)
{
    if (f != NULL) {
        json_decref(f->header);
        mem_free(f->tensors);
        mem_free(f->bytes);
        mem_free(f);
    }
}

int st_count(const struct st_file *f)
{
    return f->n;
}

const struct st_tensor *st_at(const struct st_file *f, int i)
{
    return &f->tensors[i];
}

const struct st_tensor *st_find(const struct st_file *f, const char *name)
{
    for (int i = 0; i < f->n; i++) {
        if (strcmp(f->tensors[i].name, name) == 0) {
            return &f->tensors[i];
        }
    }
    return NULL;
}

const char *st_metadata(const struct st_file *f, const char *name)
{
    return json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), name));
}

/* IEEE half to single, exact. */
static float st_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h >> 15) << 31;
    uint32_t exponent = (h >> 10) & 31;
    uint32_t fraction = h & 1023;
    uint32_t bits = 0;
    float x = 0;

    if (exponent == 0) { /* zero and subnormal: fraction * 2^-24 */
        x = (float)fraction * 0x1p-24f;
        return sign != 0 ? -x : x;
    }
    bits = sign | (exponent == 31 ? 255u << 23 : (exponent + 112) << 23) | fraction << 13;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float st_element(const struct st_tensor *t, size_t i)
{
    const char *p = (const char *)t->data + i * st_types[t->type].size;
    uint16_t half = 0;
    double wide = 0;

    if (t->type == ST_F64) {
        memcpy(&wide, p, sizeof wide);
        return (float)wide;
    }
    memcpy(&half, p, sizeof half);
    return t->type == ST_BF16 ? bf16_to_f32(half) : st_half(half);
}

enum rc st_to_f32(const struct st_tensor *t, float *out, struct err *e)
{
    size_t n = t->bytes / st_types[t->type].size;

    if (t->type == ST_F32) {
        memcpy(out, t->data, t->bytes);
        return RC_OK;
    }
    if (t->type != ST_F16 && t->type != ST_BF16 && t->type != ST_F64) {
        return err_raise(e, RC_INVAL, "tensor '%s' is %s: expected F32, F16, BF16 or F64", t->name,
                         st_types[t->type].name);
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = st_element(t, i);
    }
    return RC_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

static int st_by_rank(const void *a, const void *b)
{
    const struct st_tensor *x = *(const struct st_tensor *const *)a;
    const struct st_tensor *y = *(const struct st_tensor *const *)b;
    int d = st_types[x->type].rank - st_types[y->type].rank;

    return d != 0 ? d : strcmp(x->name, y->name);
}

/* The header's text, padded with spaces to a multiple of 8 (free); NULL when out of memory. */
static char *st_header(const struct st_tensor *const *order, int n, const char *const meta[])
{
    json_t *root = json_object();
    json_t *m = json_object();
    size_t at = 0;
    char *text = NULL;
    int failed = meta[0] != NULL ? json_object_set(root, "__metadata__", m) : 0;

    for (int i = 0; meta[i] != NULL && !failed; i += 2) {
        failed = json_object_set_new(m, meta[i], json_string(meta[i + 1]));
    }
    for (int i = 0; i < n && !failed; i++) {
        const struct st_tensor *t = order[i];
        json_t *shape = json_array();

        for (int d = 0; d < t->dims; d++) {
            failed |= json_array_append_new(shape, json_integer(t->shape[d]));
        }
        failed |= json_object_set_new(
            root, t->name,
            json_pack("{s:s,s:o,s:[I,I]}", "dtype", st_types[t->type].name, "shape", shape,
                      "data_offsets", (json_int_t)at, (json_int_t)(at + t->bytes)));
        at += t->bytes;
    }
    if (!failed) {
        text = json_dumps(root, JSON_COMPACT);
    }
    json_decref(m);
    json_decref(root);
    return text;
}

static enum rc st_write_header(struct fs_file *f, const char *text, struct err *e)
{
    static const char spaces[] = "        ";
    size_t len = strlen(text);
    size_t padded = (len + 7) / 8 * 8;
    unsigned char n[8];
    enum rc rc = RC_OK;

    for (int i = 0; i < 8; i++) {
        n[i] = (unsigned char)(padded >> (8 * i));
    }
    rc = fs_file_append(f, n, sizeof n, e);
    if (rc == RC_OK) {
        rc = fs_file_append(f, text, len, e);
    }
    return rc == RC_OK ? fs_file_append(f, spaces, padded - len, e) : rc;
}

enum rc st_write(const char *path, const struct st_tensor *tensors, int n, const char *const meta[],
                 struct err *e)
{
    const struct st_tensor **order = mem_calloc((size_t)n, sizeof *order);
    struct fs_file *f = NULL;
    char *text = NULL;
    enum rc rc = RC_OK;

    if (order == NULL) {
        return mem_raise(e, path, (size_t)n * sizeof *order);
    }
    for (int i = 0; i < n; i++) {
        order[i] = &tensors[i];
    }
    qsort(order, (size_t)n, sizeof *order, st_by_rank);
    text = st_header(order, n, meta);
    if (text == NULL) {
        rc = mem_raise(e, path, (size_t)n);
        goto out;
    }
    rc = fs_file_create(path, &f, e);
    if (rc == RC_OK) {
        rc = st_write_header(f, text, e);
    }
    for (int i = 0; i < n && rc == RC_OK; i++) {
        rc = fs_file_append(f, order[i]->data, order[i]->bytes, e);
    }
    if (rc != RC_OK) {
        fs_file_discard(f);
        goto out;
    }
    rc = fs_file_commit(f, e);
out:
    free(text);
    mem_free(order);
    return rc;
}

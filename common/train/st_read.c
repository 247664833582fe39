#include "common/base/json.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/device/device.h"
#include "common/train/st_impl.h"

/* clang-format off */
const char *const st_type_names[ST_TYPE_N] = {
    [ST_F64] = "F64", [ST_F32] = "F32", [ST_F16] = "F16", [ST_BF16] = "BF16", [ST_I64] = "I64",
    [ST_I32] = "I32", [ST_I16] = "I16", [ST_I8] = "I8", [ST_U8] = "U8", [ST_BOOL] = "BOOL",
    [ST_U16] = "U16", [ST_U32] = "U32", [ST_U64] = "U64"};
const unsigned char st_type_sizes[ST_TYPE_N] = {
    [ST_F64] = 8, [ST_F32] = 4, [ST_F16] = 2, [ST_BF16] = 2, [ST_I64] = 8, [ST_I32] = 4,
    [ST_I16] = 2, [ST_I8] = 1, [ST_U8] = 1, [ST_BOOL] = 1, [ST_U16] = 2, [ST_U32] = 4,
    [ST_U64] = 8};
/* clang-format on */

struct st_file {
    char *bytes;
    json_t *header; /* owns the names */
    struct st_tensor *tensors;
    int n;
};

struct reader {
    const char *path;
    struct st_file *f;
    const char *data;
    size_t data_bytes;
};

static const char METADATA[] = "__metadata__";

static enum rc parse_type(const struct reader *r, const char *name, const json_t *v,
                          enum st_type *out, struct err *e)
{
    const char *text = json_string_value(v);

    if (text == NULL) {
        return err_raise(e, RC_CORRUPT, "'%s': tensor '%s' has no dtype", r->path, name);
    }
    for (int i = 0; i < ST_TYPE_N; i++) {
        if (strcmp(text, st_type_names[i]) == 0) {
            *out = (enum st_type)i;
            return RC_OK;
        }
    }
    return err_raise(e, RC_CORRUPT, "'%s': tensor '%s' has dtype '%.20s', which is not known here",
                     r->path, name, text);
}

/* shape -> dims and the tensor's size in bytes. */
static enum rc parse_shape(const struct reader *r, const json_t *v, struct st_tensor *t,
                           struct err *e)
{
    uint64_t bytes = st_type_sizes[t->type];

    if (!json_is_array(v)) {
        return err_raise(e, RC_CORRUPT, "'%s': tensor '%s' has no shape", r->path, t->name);
    }
    if (json_array_size(v) > ST_MAX_DIMS) {
        return err_raise(e, RC_CORRUPT, "'%s': tensor '%s' has more than %d dimensions", r->path,
                         t->name, ST_MAX_DIMS);
    }
    t->dims = (int)json_array_size(v);
    for (int i = 0; i < t->dims; i++) {
        const json_t *d = json_array_get(v, (size_t)i);

        t->shape[i] = json_integer_value(d);
        if (!json_is_integer(d) || t->shape[i] < 0) {
            return err_raise(e, RC_CORRUPT, "'%s': tensor '%s' has a dimension that is not a count",
                             r->path, t->name);
        }
        if (__builtin_mul_overflow(bytes, (uint64_t)t->shape[i], &bytes)) {
            return err_raise(e, RC_CORRUPT, "'%s': tensor '%s' has a shape too large to be",
                             r->path, t->name);
        }
    }
    t->bytes = (size_t)bytes;
    return RC_OK;
}

static enum rc parse_offsets(const struct reader *r, const json_t *v, struct st_tensor *t,
                             struct err *e)
{
    const json_t *a = json_array_get(v, 0);
    const json_t *b = json_array_get(v, 1);
    int64_t begin = json_integer_value(a);
    int64_t end = json_integer_value(b);

    if (json_array_size(v) != 2 || !json_is_integer(a) || !json_is_integer(b) || begin < 0 ||
        end < begin) {
        return err_raise(e, RC_CORRUPT, "'%s': tensor '%s' has no data_offsets [begin, end]",
                         r->path, t->name);
    }
    if ((uint64_t)end > r->data_bytes) {
        return err_raise(e, RC_CORRUPT, "'%s': tensor '%s' ends at byte %lld of %zu", r->path,
                         t->name, (long long)end, r->data_bytes);
    }
    if ((uint64_t)(end - begin) != t->bytes) {
        return err_raise(e, RC_CORRUPT, "'%s': tensor '%s' has %lld bytes where its shape says %zu",
                         r->path, t->name, (long long)(end - begin), t->bytes);
    }
    t->data = r->data + begin;
    return RC_OK;
}

static enum rc parse_tensor(const struct reader *r, const char *name, const json_t *v,
                            struct st_tensor *t, struct err *e)
{
    enum rc rc;

    t->name = name;
    if (!json_is_object(v)) {
        return err_raise(e, RC_CORRUPT, "'%s': the entry of tensor '%.60s' is not an object",
                         r->path, name);
    }
    rc = parse_type(r, name, json_object_get(v, "dtype"), &t->type, e);
    rc = rc != RC_OK ? rc : parse_shape(r, json_object_get(v, "shape"), t, e);
    return rc != RC_OK ? rc : parse_offsets(r, json_object_get(v, "data_offsets"), t, e);
}

static enum rc check_metadata(const struct reader *r, json_t *v, struct err *e)
{
    const char *key;
    json_t *value;

    if (!json_is_object(v) && !json_is_null(v)) {
        return err_raise(e, RC_CORRUPT, "'%s': %s is not an object", r->path, METADATA);
    }
    json_object_foreach(v, key, value)
    {
        if (!json_is_string(value)) {
            return err_raise(e, RC_CORRUPT, "'%s': %s '%.60s' is not a string", r->path, METADATA,
                             key);
        }
    }
    return RC_OK;
}

static enum rc parse_entries(const struct reader *r, struct err *e)
{
    struct st_file *f = r->f;
    const char *key;
    json_t *value;
    enum rc rc = RC_OK;

    f->tensors = mem_calloc(json_object_size(f->header) + 1, sizeof *f->tensors);
    if (f->tensors == NULL) {
        return mem_raise(e, "tensors of a file", json_object_size(f->header));
    }
    json_object_foreach(f->header, key, value)
    {
        if (strcmp(key, METADATA) == 0) {
            rc = check_metadata(r, value, e);
        } else {
            rc = parse_tensor(r, key, value, &f->tensors[f->n], e);
            f->n += rc == RC_OK;
        }
        if (rc != RC_OK) {
            break;
        }
    }
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const struct st_tensor *x = a;
    const struct st_tensor *y = b;
    const char *p = x->data;
    const char *q = y->data;

    if (p != q) {
        return p < q ? -1 : 1;
    }
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? -1 : 1) : strcmp(x->name, y->name);
}

/* In order of place every tensor begins where the one before ended: no holes, no overlap. */
static enum rc check_cover(const struct reader *r, struct err *e)
{
    const struct st_file *f = r->f;
    const char *end = r->data;

    qsort(f->tensors, (size_t)f->n, sizeof *f->tensors, by_place);
    for (int i = 0; i < f->n; i++) {
        if (f->tensors[i].data != end) {
            return err_raise(e, RC_CORRUPT,
                             "'%s': tensor '%s' does not begin where the one before it ends",
                             r->path, f->tensors[i].name);
        }
        end += f->tensors[i].bytes;
    }
    if (end != r->data + r->data_bytes) {
        return err_raise(e, RC_CORRUPT, "'%s': %zu bytes of data belong to no tensor", r->path,
                         (size_t)(r->data + r->data_bytes - end));
    }
    return RC_OK;
}

/* Names that are there twice are refused, as the format says; its reference reader takes the last. */
static enum rc parse_json(const struct reader *r, const char *text, size_t bytes, struct err *e)
{
    json_error_t why;
    struct st_file *f = r->f;

    f->header = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(f->header)) {
        return err_raise(e, RC_CORRUPT, "'%s': the header is not a JSON object: %s", r->path,
                         f->header == NULL ? why.text : "another type");
    }
    return RC_OK;
}

static enum rc parse(const char *path, struct st_file *f, size_t bytes, struct err *e)
{
    struct reader r = {.path = path, .f = f};
    uint64_t n = 0;
    enum rc rc;

    if (bytes < ST_LENGTH_BYTES) {
        return err_raise(e, RC_CORRUPT, "'%s': %zu bytes are too few for safetensors", path, bytes);
    }
    for (int i = ST_LENGTH_BYTES - 1; i >= 0; i--) {
        n = n << 8 | (unsigned char)f->bytes[i];
    }
    if (n > ST_HEADER_MAX || n > bytes - ST_LENGTH_BYTES) {
        return err_raise(e, RC_CORRUPT,
                         "'%s': a header of %llu bytes does not fit a file of %zu: not "
                         "safetensors, or cut off",
                         path, (unsigned long long)n, bytes);
    }
    r.data = f->bytes + ST_LENGTH_BYTES + n;
    r.data_bytes = bytes - ST_LENGTH_BYTES - (size_t)n;
    rc = parse_json(&r, f->bytes + ST_LENGTH_BYTES, (size_t)n, e);
    rc = rc != RC_OK ? rc : parse_entries(&r, e);
    return rc != RC_OK ? rc : check_cover(&r, e);
}

enum rc st_open(const char *path, struct st_file **out, struct err *e)
{
    struct st_file *f = mem_calloc(1, sizeof *f);
    size_t bytes = 0;
    enum rc rc;

    if (f == NULL) {
        return mem_raise(e, path, sizeof *f);
    }
    rc = fs_read(path, SIZE_MAX / 2, &f->bytes, &bytes, e);
    rc = rc != RC_OK ? rc : parse(path, f, bytes, e);
    if (rc == RC_OK) {
        *out = f;
        f = NULL; /* now the caller's */
    }
    st_close(f);
    return rc;
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
    assert(i >= 0 && i < f->n);
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
    return json_string_value(json_object_get(json_object_get(f->header, METADATA), name));
}

/* ---- numbers --------------------------------------------------------------------------------- */

static float from_f16(uint16_t h)
{
    int exponent = h >> 10 & 31;
    double fraction = h & 1023;
    double x;

    if (exponent == 31) {
        x = fraction != 0 ? (double)NAN : (double)INFINITY;
    } else if (exponent == 0) {
        x = ldexp(fraction, -24);
    } else {
        x = ldexp(fraction + 1024, exponent - 25);
    }
    return (float)((h & 0x8000) != 0 ? -x : x);
}

enum rc st_to_f32(const struct st_tensor *t, float *out, struct err *e)
{
    size_t n = t->bytes / st_type_sizes[t->type];
    const unsigned char *p = t->data;

    if (t->type == ST_F32) {
        memcpy(out, p, t->bytes);
        return RC_OK;
    }
    if (t->type == ST_F64) {
        for (size_t i = 0; i < n; i++) {
            double x;

            memcpy(&x, p + i * sizeof x, sizeof x);
            out[i] = (float)x;
        }
        return RC_OK;
    }
    if (t->type != ST_F16 && t->type != ST_BF16) {
        return err_raise(e, RC_INVAL, "tensor '%s' is %s: F32, F16, BF16 or F64 expected", t->name,
                         st_type_names[t->type]);
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t x;

        memcpy(&x, p + i * sizeof x, sizeof x);
        out[i] = t->type == ST_F16 ? from_f16(x) : bf16_to_f32(x);
    }
    return RC_OK;
}

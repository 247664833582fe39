#include "common/base/json.h"
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/train/st_impl.h"

/* The reference writer sorts by this order of types, then by name. */
/* clang-format off */
static const unsigned char type_order[ST_TYPE_N] = {
    [ST_U64] = 0, [ST_I64] = 1, [ST_F64] = 2, [ST_F32] = 3, [ST_U32] = 4, [ST_I32] = 5,
    [ST_BF16] = 6, [ST_F16] = 7, [ST_U16] = 8, [ST_I16] = 9, [ST_I8] = 10, [ST_U8] = 11,
    [ST_BOOL] = 12};
/* clang-format on */

static int by_type_and_name(const void *a, const void *b)
{
    const struct st_tensor *x = a;
    const struct st_tensor *y = b;

    if (x->type != y->type) {
        return (int)type_order[x->type] - (int)type_order[y->type];
    }
    return strcmp(x->name, y->name);
}

static json_t *shape_json(const struct st_tensor *t)
{
    json_t *a = json_array();

    for (int i = 0; i < t->dims && a != NULL; i++) {
        if (json_array_append_new(a, json_integer(t->shape[i])) != 0) {
            json_decref(a);
            a = NULL;
        }
    }
    return a;
}

/* The header's text, heap by jansson (free); NULL without memory. */
static char *header_text(const struct st_tensor *tensors, int n, const char *const meta[])
{
    json_t *root = json_object();
    json_t *info = meta != NULL && meta[0] != NULL ? json_object() : NULL;
    char *text = NULL;
    json_int_t at = 0;
    bool ok = root != NULL;

    for (int i = 0; info != NULL && meta[i] != NULL; i += 2) {
        ok = ok && json_object_set_new(info, meta[i], json_string(meta[i + 1])) == 0;
    }
    if (info != NULL) {
        ok = ok && json_object_set_new(root, "__metadata__", info) == 0;
    }
    for (int i = 0; i < n && ok; i++) {
        const struct st_tensor *t = &tensors[i];
        json_int_t end = at + (json_int_t)t->bytes;
        json_t *v = json_pack("{s:s, s:o, s:[I, I]}", "dtype", st_type_names[t->type], "shape",
                              shape_json(t), "data_offsets", at, end);

        ok = v != NULL && json_object_set_new(root, t->name, v) == 0;
        at = end;
    }
    if (ok) {
        text = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
    }
    json_decref(root);
    return text;
}

static enum rc write_parts(struct fs_file *f, const char *text, const struct st_tensor *tensors,
                           int n, struct err *e)
{
    static const char spaces[ST_LENGTH_BYTES + 1] = "        ";
    size_t bytes = strlen(text);
    size_t pad = (ST_LENGTH_BYTES - bytes % ST_LENGTH_BYTES) % ST_LENGTH_BYTES;
    unsigned char length[ST_LENGTH_BYTES];
    enum rc rc;

    for (int i = 0; i < ST_LENGTH_BYTES; i++) {
        length[i] = (unsigned char)((bytes + pad) >> (8 * i));
    }
    rc = fs_file_append(f, length, sizeof length, e);
    rc = rc != RC_OK ? rc : fs_file_append(f, text, bytes, e);
    rc = rc != RC_OK ? rc : fs_file_append(f, spaces, pad, e);
    for (int i = 0; i < n && rc == RC_OK; i++) {
        rc = fs_file_append(f, tensors[i].data, tensors[i].bytes, e);
    }
    return rc;
}

static enum rc write_file(const char *path, const char *text, const struct st_tensor *tensors,
                          int n, struct err *e)
{
    struct fs_file *f = NULL;
    enum rc rc = fs_file_create(path, &f, e);

    if (rc != RC_OK) {
        return rc;
    }
    rc = write_parts(f, text, tensors, n, e);
    if (rc != RC_OK) {
        fs_file_discard(f);
        return rc;
    }
    return fs_file_commit(f, e);
}

enum rc st_write(const char *path, const struct st_tensor *tensors, int n, const char *const meta[],
                 struct err *e)
{
    struct st_tensor *sorted = mem_calloc((size_t)n + 1, sizeof *sorted);
    char *text = NULL;
    enum rc rc = RC_OK;

    if (sorted == NULL) {
        return mem_raise(e, path, (size_t)n * sizeof *sorted);
    }
    for (int i = 0; i < n; i++) {
        sorted[i] = tensors[i];
    }
    qsort(sorted, (size_t)n, sizeof *sorted, by_type_and_name);
    text = header_text(sorted, n, meta);
    rc = text == NULL ? mem_raise(e, path, 0) : write_file(path, text, sorted, n, e);
    free(text);
    mem_free(sorted);
    return rc;
}

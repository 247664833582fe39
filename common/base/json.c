#include "common/base/json.h"

#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"

static const size_t JSON_MAX_BYTES = (size_t)1 << 30;

enum rc json_read(const char *path, json_t **out, struct err *e)
{
    json_error_t why;
    json_t *root = NULL;
    char *text = NULL;
    size_t bytes = 0;
    enum rc rc = fs_read(path, JSON_MAX_BYTES, &text, &bytes, e);

    if (rc != RC_OK) {
        return rc;
    }
    root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    mem_free(text);
    if (root == NULL) {
        return err_raise(e, RC_CORRUPT, "'%s' line %d: not JSON: %s", path, why.line, why.text);
    }
    *out = root;
    return RC_OK;
}

enum rc json_write(const char *path, const json_t *root, struct err *e)
{
    const size_t flags = JSON_SORT_KEYS | JSON_INDENT(2) | JSON_ENCODE_ANY;
    size_t bytes = json_dumpb(root, NULL, 0, flags);
    char *text = NULL;
    enum rc rc = RC_OK;

    if (bytes == 0) {
        return err_raise(e, RC_NOMEM, "cannot turn the contents of '%s' into JSON", path);
    }
    text = mem_calloc(bytes + 1, 1);
    if (text == NULL) {
        return mem_raise(e, path, bytes + 1);
    }
    if (json_dumpb(root, text, bytes, flags) != bytes) {
        rc = err_raise(e, RC_NOMEM, "cannot turn the contents of '%s' into JSON", path);
        goto out;
    }
    text[bytes] = '\n';
    rc = fs_write_atomic(path, text, bytes + 1, e);
out:
    mem_free(text);
    return rc;
}

enum rc json_digest(json_t *root, struct digest *out, struct err *e)
{
    json_t *rest = json_object();
    char *text = NULL;
    enum rc rc = RC_OK;

    if (rest != NULL && json_object_update(rest, root) == 0) {
        (void)json_object_del(rest, "digest");
        text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS);
    }
    if (text != NULL) {
        hash_digest(text, strlen(text), out);
    } else {
        rc = mem_raise(e, "a digest of JSON", 0);
    }
    free(text);
    json_decref(rest);
    return rc;
}

static enum rc json_wrong(const json_t *obj, const char *path, const char *name,
                          const char *expected, struct err *e)
{
    if (json_object_get(obj, name) == NULL) {
        return err_raise(e, RC_CORRUPT, "'%s': the member '%s' is missing: expected %s", path, name,
                         expected);
    }
    return err_raise(e, RC_CORRUPT, "'%s': the member '%s' is not %s", path, name, expected);
}

enum rc json_get_string(const json_t *obj, const char *path, const char *name, const char **out,
                        struct err *e)
{
    const json_t *v = json_object_get(obj, name);

    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v)) {
        return json_wrong(obj, path, name, "a text", e);
    }
    *out = json_string_value(v);
    return RC_OK;
}

enum rc json_get_int(const json_t *obj, const char *path, const char *name, int64_t *out,
                     struct err *e)
{
    const json_t *v = json_object_get(obj, name);

    if (!json_is_integer(v)) {
        return json_wrong(obj, path, name, "a whole number", e);
    }
    *out = json_integer_value(v);
    return RC_OK;
}

enum rc json_get_number(const json_t *obj, const char *path, const char *name, double *out,
                        struct err *e)
{
    const json_t *v = json_object_get(obj, name);

    if (!json_is_number(v)) {
        return json_wrong(obj, path, name, "a number", e);
    }
    *out = json_number_value(v);
    return RC_OK;
}

enum rc json_get_digest(const json_t *obj, const char *path, const char *name, struct digest *out,
                        struct err *e)
{
    const char *hex = NULL;
    enum rc rc = json_get_string(obj, path, name, &hex, e);

    if (rc != RC_OK) {
        return rc;
    }
    if (hash_digest_parse(hex, out, NULL) != RC_OK) {
        return json_wrong(obj, path, name, "a digest of 64 hex digits", e);
    }
    return RC_OK;
}

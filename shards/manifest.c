#include "shards/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"

enum { MANIFEST_MAX = 1 << 30 };

enum rc manifest_write(const char *path, const char *kind, int format, json_t *root, struct err *e)
{
    char hex[HASH_HEX_DIGEST];
    struct digest d;
    enum rc rc = RC_OK;

    if (json_object_set_new(root, "kind", json_string(kind)) != 0 ||
        json_object_set_new(root, "format", json_integer(format)) != 0) {
        return mem_raise(e, "a manifest", 0);
    }
    rc = json_digest(root, &d, e);
    if (rc != RC_OK) {
        return rc;
    }
    hash_digest_hex(&d, hex);
    if (json_object_set_new(root, "digest", json_string(hex)) != 0) {
        return mem_raise(e, "a manifest", 0);
    }
    return json_write(path, root, e);
}

static enum rc manifest_check(const char *path, const char *kind, int newest, json_t *root,
                              struct err *e)
{
    const char *found = NULL;
    int64_t format = 0;
    const char *said = NULL;
    char hex[HASH_HEX_DIGEST];
    struct digest is;
    enum rc rc = json_get_string(root, path, "kind", &found, e);

    if (rc == RC_OK) {
        rc = json_get_int(root, path, "format", &format, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    if (strcmp(found, kind) != 0) {
        return err_raise(e, RC_CORRUPT, "'%s' is the manifest of a '%.32s', expected a '%s'", path,
                         found, kind);
    }
    if (format > newest) {
        return err_raise(e, RC_UNSUPPORTED,
                         "'%s' has format %lld, this program reads up to %d: use a newer preceptor",
                         path, (long long)format, newest);
    }
    rc = json_get_string(root, path, "digest", &said, e);
    if (rc == RC_OK) {
        rc = json_digest(root, &is, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    hash_digest_hex(&is, hex);
    if (strcmp(said, hex) != 0) { /* as text: one spelling, so that every bit counts */
        rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: its digest is not that of its contents",
                       path);
    }
    return rc;
}

enum rc manifest_read(const char *path, const char *kind, int newest, json_t **out, struct err *e)
{
    json_t *root = NULL;
    enum rc rc = json_read(path, &root, e);

    if (rc != RC_OK) {
        return rc;
    }
    rc = manifest_check(path, kind, newest, root, e);
    if (rc != RC_OK) {
        json_decref(root);
        return rc;
    }
    *out = root;
    return RC_OK;
}

enum rc manifest_verify(const char *path, json_t *root, struct err *e)
{
    char *bytes = NULL;
    char *text = NULL;
    size_t n = 0;
    enum rc rc = fs_read(path, MANIFEST_MAX, &bytes, &n, e);

    if (rc != RC_OK) {
        return rc;
    }
    text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (text == NULL) {
        rc = mem_raise(e, "a manifest", n);
    } else if (n != strlen(text) + 1 || memcmp(bytes, text, n - 1) != 0 || bytes[n - 1] != '\n') {
        rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: its bytes are not as they were written",
                       path);
    }
    free(text);
    mem_free(bytes);
    return rc;
}

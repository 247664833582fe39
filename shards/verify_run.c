#include <string.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "shards/manifest.h"
#include "shards/verify_impl.h"

/* A file by its digest in lower-case hex. */
static enum rc run_file(struct verify *v, const char *name, const char *said, struct err *e)
{
    char *path = fs_join(v->config->path, name);
    char hex[HASH_HEX_DIGEST];
    struct digest d;
    uint64_t bytes = 0;
    enum rc rc = path != NULL ? verify_step(v, e) : mem_raise(e, "a path", strlen(name));

    if (rc != RC_OK) {
        mem_free(path);
        return rc;
    }
    rc = hash_file(path, &d, e);
    if (rc == RC_OK) {
        rc = fs_size(path, &bytes, e);
    }
    if (rc == RC_OK) {
        hash_digest_hex(&d, hex);
        if (strcmp(hex, said) != 0) {
            rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: it is not what the run wrote", path);
        }
    }
    v->result->shards++;
    v->result->verified++;
    v->result->bytes += bytes;
    mem_free(path);
    return verify_fault(v, rc, e);
}

/* {"file", "sha256"} */
static enum rc run_checkpoint(struct verify *v, const json_t *file, struct err *e)
{
    const char *name = NULL;
    const char *said = NULL;
    enum rc rc = json_get_string(file, "checkpoint.json", "file", &name, e);

    if (rc == RC_OK) {
        rc = json_get_string(file, "checkpoint.json", "sha256", &said, e);
    }
    if (rc == RC_OK && strchr(name, '/') != NULL) {
        rc = err_raise(e, RC_CORRUPT, "'%s/checkpoint.json' names a file '%s'", v->config->path,
                       name);
    }
    return rc == RC_OK ? run_file(v, name, said, e) : verify_fault(v, rc, e);
}

/* The list of checkpoints seals itself: "digest" is that of the rest. */
static enum rc run_list(const char *path, json_t **out, struct err *e)
{
    char hex[HASH_HEX_DIGEST];
    struct digest d;
    const char *said = NULL;
    json_t *root = NULL;
    enum rc rc = json_read(path, &root, e);

    if (rc == RC_OK) {
        rc = json_get_string(root, path, "digest", &said, e);
    }
    if (rc == RC_OK) {
        rc = json_digest(root, &d, e);
    }
    if (rc == RC_OK) {
        hash_digest_hex(&d, hex);
        rc = strcmp(hex, said) == 0 ? manifest_verify(path, root, e)
                                    : err_raise(e, RC_CORRUPT,
                                                "'%s' is damaged: its digest is not that of its "
                                                "contents",
                                                path);
    }
    if (rc != RC_OK) {
        json_decref(root);
        return rc;
    }
    *out = root;
    return RC_OK;
}

static enum rc run_checkpoints(struct verify *v, struct err *e)
{
    char *path = fs_join(v->config->path, "checkpoint.json");
    json_t *root = NULL;
    const json_t *list = NULL;
    enum rc rc = path != NULL ? RC_OK : mem_raise(e, "a path", strlen(v->config->path));

    if (rc == RC_OK && fs_exists(path)) {
        rc = verify_fault(v, run_list(path, &root, e), e);
        v->result->records++;
    }
    list = json_object_get(root, "checkpoints");
    for (size_t i = 0; i < json_array_size(list) && rc == RC_OK; i++) {
        rc = run_checkpoint(v, json_object_get(json_array_get(list, i), "model"), e);
        if (rc == RC_OK) {
            rc = run_checkpoint(v, json_object_get(json_array_get(list, i), "state"), e);
        }
    }
    json_decref(root);
    mem_free(path);
    return rc;
}

static enum rc run_result(struct verify *v, struct err *e)
{
    char *path = fs_join(v->config->path, "result.json");
    json_t *root = NULL;
    const char *said = NULL;
    enum rc rc = path != NULL ? RC_OK : mem_raise(e, "a path", strlen(v->config->path));

    if (rc == RC_OK && fs_exists(path)) {
        rc = verify_manifest(v, v->config->path, "/result.json", "result", e);
        v->result->records++;
        if (rc == RC_OK && json_read(path, &root, NULL) == RC_OK) {
            said = json_string_value(json_object_get(root, "model_sha256"));
        }
    }
    if (rc == RC_OK && said != NULL) {
        rc = run_file(v, "model.safetensors", said, e);
    }
    json_decref(root);
    mem_free(path);
    return rc;
}

enum rc verify_run(struct verify *v, struct err *e)
{
    enum rc rc = RC_OK;

    progress_begin(&v->progress, "verify", "records", 0, 0);
    rc = verify_manifest(v, v->config->path, "/stores.json", "run", e);
    v->result->records++;
    if (rc == RC_OK) {
        rc = run_checkpoints(v, e);
    }
    return rc == RC_OK ? run_result(v, e) : rc;
}

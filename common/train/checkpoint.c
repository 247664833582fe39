#include "common/train/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/train/safetensors.h"

enum { CHECKPOINT_FORMAT = 1 };

/* ---- saving --------------------------------------------------------------------------------- */

static enum rc checkpoint_write_state(const char *path, const struct trainer *t, struct err *e)
{
    const struct params *p = trainer_params(t);
    const struct {
        const char *name;
        const float *data;
        size_t n;
    } parts[] = {{"ema", trainer_ema(t), p->n_total},
                 {"momentum", trainer_momentum(t), p->n_trainable},
                 {"weights", trainer_weights(t), p->n_total}};
    struct st_tensor tensors[3] = {0};
    char steps[32];
    const char *meta[] = {"preceptor.steps", steps, "preceptor.family", p->model.family->name,
                          NULL};

    (void)snprintf(steps, sizeof steps, "%lld", (long long)trainer_steps(t));
    for (int i = 0; i < 3; i++) {
        tensors[i].name = parts[i].name;
        tensors[i].type = ST_F32;
        tensors[i].dims = 1;
        tensors[i].shape[0] = (int64_t)parts[i].n;
        tensors[i].data = parts[i].data;
        tensors[i].bytes = parts[i].n * sizeof(float);
    }
    return st_write(path, tensors, 3, meta, e);
}

/* The manifest, or a new one. *out is the caller's. */
static enum rc checkpoint_manifest(const char *path, const char *run_digest, json_t **out,
                                   struct err *e)
{
    json_t *root = NULL;
    const char *run = NULL;
    enum rc rc = RC_OK;

    if (!fs_exists(path)) {
        root = json_pack("{s:i,s:s,s:[]}", "format", CHECKPOINT_FORMAT, "run", run_digest,
                         "checkpoints");
        *out = root;
        return root == NULL ? mem_raise(e, path, 1) : RC_OK;
    }
    rc = json_read(path, &root, e);
    if (rc == RC_OK) {
        rc = json_get_string(root, path, "run", &run, e);
    }
    if (rc == RC_OK && !json_is_array(json_object_get(root, "checkpoints"))) {
        rc = err_raise(e, RC_CORRUPT, "'%s' has no list 'checkpoints'", path);
    }
    if (rc == RC_OK && strcmp(run, run_digest) != 0) {
        rc = err_raise(e, RC_INVAL,
                       "'%s' belongs to a run of another recipe or data: choose another --out, or "
                       "remove that folder",
                       path);
    }
    if (rc != RC_OK) {
        json_decref(root);
        return rc;
    }
    *out = root;
    return RC_OK;
}

static enum rc checkpoint_enter(json_t *root, int64_t step, const char *const names[2],
                                const char *const paths[2], struct err *e)
{
    json_t *list = json_object_get(root, "checkpoints");
    char hex[2][HASH_HEX_DIGEST];
    json_t *entry = NULL;

    for (int i = 0; i < 2; i++) {
        struct digest d;
        enum rc rc = hash_file(paths[i], &d, e);

        if (rc != RC_OK) {
            return rc;
        }
        hash_digest_hex(&d, hex[i]);
    }
    for (size_t i = json_array_size(list); i > 0; i--) { /* a step saved anew replaces itself */
        if (json_integer_value(json_object_get(json_array_get(list, i - 1), "step")) >= step) {
            (void)json_array_remove(list, i - 1);
        }
    }
    entry = json_pack("{s:I,s:s,s:s,s:s,s:s}", "step", (json_int_t)step, "model", names[0],
                      "model_digest", hex[0], "state", names[1], "state_digest", hex[1]);
    return json_array_append_new(list, entry) != 0 ? mem_raise(e, "a checkpoint's entry", 1)
                                                   : RC_OK;
}

static void checkpoint_remove(const char *dir, const json_t *entry)
{
    static const char *const parts[] = {"model", "state"};

    for (int i = 0; i < 2; i++) {
        const char *name = json_string_value(json_object_get(entry, parts[i]));
        char *path = name != NULL && strchr(name, '/') == NULL ? fs_join(dir, name) : NULL;

        if (path != NULL) {
            (void)unlink(path);
        }
        mem_free(path);
    }
}

/* Write the manifest without the oldest pairs, then remove their files: never the other way. */
static enum rc checkpoint_prune(const char *dir, const char *manifest, json_t *root, int keep,
                                struct err *e)
{
    json_t *list = json_object_get(root, "checkpoints");
    json_t *old = json_array();
    enum rc rc = old == NULL ? mem_raise(e, "a list", 1) : RC_OK;

    while (rc == RC_OK && json_array_size(list) > (size_t)keep) {
        if (json_array_append(old, json_array_get(list, 0)) != 0 ||
            json_array_remove(list, 0) != 0) {
            rc = mem_raise(e, "a list", 1);
        }
    }
    if (rc == RC_OK) {
        rc = json_write(manifest, root, e);
    }
    for (size_t i = 0; rc == RC_OK && i < json_array_size(old); i++) {
        checkpoint_remove(dir, json_array_get(old, i));
    }
    json_decref(old);
    return rc;
}

enum rc checkpoint_save(const char *dir, const struct trainer *t, const struct model_info *info,
                        int keep, const char *run_digest, struct err *e)
{
    int64_t step = trainer_steps(t);
    char model[48];
    char state[48];
    char *paths[3] = {NULL};
    json_t *root = NULL;
    enum rc rc = RC_OK;

    (void)snprintf(model, sizeof model, "model-%08lld.safetensors", (long long)step);
    (void)snprintf(state, sizeof state, "state-%08lld.safetensors", (long long)step);
    paths[0] = fs_join(dir, model);
    paths[1] = fs_join(dir, state);
    paths[2] = fs_join(dir, "checkpoint.json");
    if (paths[0] == NULL || paths[1] == NULL || paths[2] == NULL) {
        rc = mem_raise(e, "a path", strlen(dir));
    }
    fs_sweep(dir, "");
    if (rc == RC_OK) {
        rc = checkpoint_manifest(paths[2], run_digest, &root, e);
    }
    if (rc == RC_OK) {
        rc = model_save(paths[0], trainer_params(t), trainer_ema(t), info, e);
    }
    if (rc == RC_OK) {
        rc = checkpoint_write_state(paths[1], t, e);
    }
    if (rc == RC_OK) {
        rc = checkpoint_enter(root, step, (const char *const[]){model, state},
                              (const char *const[]){paths[0], paths[1]}, e);
    }
    if (rc == RC_OK) {
        rc = checkpoint_prune(dir, paths[2], root, keep, e);
    }
    json_decref(root);
    for (int i = 0; i < 3; i++) {
        mem_free(paths[i]);
    }
    return rc;
}

/* ---- resuming ------------------------------------------------------------------------------- */

static const float *checkpoint_part(const struct st_file *f, const char *name, size_t n)
{
    const struct st_tensor *t = st_find(f, name);

    return t != NULL && t->type == ST_F32 && t->bytes == n * sizeof(float) ? t->data : NULL;
}

static enum rc checkpoint_restore(const char *path, struct trainer *t, struct err *e)
{
    const struct params *p = trainer_params(t);
    size_t floats = 2 * p->n_total + p->n_trainable;
    float *copy = mem_aligned(floats * sizeof *copy); /* the file's data may be unaligned */
    struct st_file *f = NULL;
    const char *steps = NULL;
    enum rc rc = copy == NULL ? mem_raise(e, path, floats * sizeof *copy) : st_open(path, &f, e);

    if (rc == RC_OK) {
        const float *w = checkpoint_part(f, "weights", p->n_total);
        const float *a = checkpoint_part(f, "ema", p->n_total);
        const float *m = checkpoint_part(f, "momentum", p->n_trainable);

        steps = st_metadata(f, "preceptor.steps");
        if (w == NULL || a == NULL || m == NULL || steps == NULL) {
            rc = err_raise(e, RC_CORRUPT, "'%s' is not the state of a %s of these classes", path,
                           p->model.family->name);
        } else {
            memcpy(copy, w, p->n_total * sizeof *copy);
            memcpy(copy + p->n_total, a, p->n_total * sizeof *copy);
            memcpy(copy + 2 * p->n_total, m, p->n_trainable * sizeof *copy);
            rc = trainer_restore(t, copy, copy + p->n_total, copy + 2 * p->n_total,
                                 strtoll(steps, NULL, 10), e);
        }
    }
    st_close(f);
    mem_free(copy);
    return rc;
}

/* Whether an entry's state file is there and whole; *path is its path (mem_free). */
static bool checkpoint_whole(const char *dir, const json_t *entry, char **path)
{
    const char *name = json_string_value(json_object_get(entry, "state"));
    const char *hex = json_string_value(json_object_get(entry, "state_digest"));
    struct digest want;
    struct digest got;

    *path = NULL;
    if (name == NULL || hex == NULL || strchr(name, '/') != NULL ||
        hash_digest_parse(hex, &want, NULL) != RC_OK) {
        return false;
    }
    *path = fs_join(dir, name);
    if (*path != NULL && hash_file(*path, &got, NULL) == RC_OK &&
        memcmp(&want, &got, sizeof want) == 0) {
        return true;
    }
    log_warn("train", "checkpoint '%s' in '%s' is missing or damaged: an older one is taken", name,
             dir);
    mem_free(*path);
    *path = NULL;
    return false;
}

enum rc checkpoint_resume(const char *dir, struct trainer *t, const char *run_digest, int64_t *step,
                          struct err *e)
{
    char *manifest = fs_join(dir, "checkpoint.json");
    char *path = NULL;
    json_t *root = NULL;
    json_t *list = NULL;
    enum rc rc = manifest == NULL ? mem_raise(e, "a path", strlen(dir)) : RC_OK;

    *step = -1;
    if (rc == RC_OK && fs_exists(manifest)) {
        rc = checkpoint_manifest(manifest, run_digest, &root, e);
    }
    list = json_object_get(root, "checkpoints");
    for (size_t i = json_array_size(list); rc == RC_OK && i > 0 && path == NULL; i--) {
        (void)checkpoint_whole(dir, json_array_get(list, i - 1), &path);
    }
    if (rc == RC_OK && path != NULL) {
        rc = checkpoint_restore(path, t, e);
        if (rc == RC_OK) {
            *step = trainer_steps(t);
        }
    }
    json_decref(root);
    mem_free(path);
    mem_free(manifest);
    return rc;
}

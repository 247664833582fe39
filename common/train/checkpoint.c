#include "common/train/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/train/model_impl.h"

enum { FILE_NAME_MAX = 64, VERSION = 1 };

static const char MANIFEST[] = "checkpoint.json";
static const char WEIGHTS[] = "weights.";
static const char MOMENTUM[] = "momentum.";

/* ---- the state file -------------------------------------------------------------------------- */

/* Raw weights and momentum; the EMA is the model file of the pair. */
static enum rc state_save(const char *path, const struct trainer *t, struct err *e)
{
    const struct params *p = trainer_params(t);
    const float *weights = trainer_weights(t);
    const float *momentum = trainer_momentum(t);
    struct model_tensors w = {0};
    struct model_tensors m = {0};
    struct st_tensor *all = NULL;
    char steps[32];
    const char *const meta[] = {"format", "preceptor-state-1", "steps", steps, NULL};
    enum rc rc;

    if (weights == NULL || momentum == NULL) {
        return err_raise(e, RC_LIB, "'%s': the device does not give its weights back", path);
    }
    snprintf(steps, sizeof steps, "%lld", (long long)trainer_steps(t));
    rc = model_tensors_create(p, weights, p->n_total, WEIGHTS, &w, e);
    rc = rc != RC_OK ? rc : model_tensors_create(p, momentum, p->n_trainable, MOMENTUM, &m, e);
    if (rc != RC_OK) {
        goto out;
    }
    all = mem_calloc((size_t)(w.n + m.n), sizeof *all);
    if (all == NULL) {
        rc = mem_raise(e, path, (size_t)(w.n + m.n) * sizeof *all);
        goto out;
    }
    memcpy(all, w.tensors, (size_t)w.n * sizeof *all);
    memcpy(all + w.n, m.tensors, (size_t)m.n * sizeof *all);
    rc = st_write(path, all, w.n + m.n, meta, e);
out:
    mem_free(all);
    model_tensors_release(&w);
    model_tensors_release(&m);
    return rc;
}

static enum rc state_load(const char *path, const struct params *p, float *weights, float *momentum,
                          struct err *e)
{
    struct st_file *f = NULL;
    enum rc rc = st_open(path, &f, e);

    for (int i = 0; i < p->n_views && rc == RC_OK; i++) {
        const struct param_view *v = &p->views[i];

        rc = model_read_view(f, path, WEIGHTS, v, weights, e);
        if (rc == RC_OK && v->offset < p->n_trainable) {
            rc = model_read_view(f, path, MOMENTUM, v, momentum, e);
        }
    }
    st_close(f);
    return rc;
}

/* ---- the manifest ---------------------------------------------------------------------------- */

static enum rc manifest_path(const char *dir, char **out, struct err *e)
{
    *out = fs_join(dir, MANIFEST);
    return *out != NULL ? RC_OK : mem_raise(e, MANIFEST, strlen(dir));
}

/* "digest" is that of the rest; earlier versions wrote none. */
static enum rc manifest_check(const char *path, json_t *root, struct err *e)
{
    struct digest said;
    struct digest is;
    enum rc rc = RC_OK;

    if (json_object_get(root, "digest") == NULL) {
        return RC_OK;
    }
    rc = json_get_digest(root, path, "digest", &said, e);
    if (rc == RC_OK) {
        rc = json_digest(root, &is, e);
    }
    if (rc == RC_OK && memcmp(&said, &is, sizeof is) != 0) {
        rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: its digest is not that of its contents",
                       path);
    }
    return rc;
}

/* The manifest's entries, oldest first; an empty array when there is none. */
static enum rc manifest_read(const char *dir, const char *run_digest, json_t **out, struct err *e)
{
    char *path = NULL;
    json_t *root = NULL;
    const char *run = NULL;
    int64_t version = 0;
    enum rc rc = manifest_path(dir, &path, e);

    if (rc != RC_OK) {
        return rc;
    }
    if (!fs_exists(path)) {
        *out = json_array();
        rc = *out == NULL ? mem_raise(e, path, 0) : RC_OK;
        goto out;
    }
    rc = json_read(path, &root, e);
    rc = rc != RC_OK ? rc : json_get_int(root, path, "version", &version, e);
    if (rc == RC_OK && version > VERSION) {
        rc = err_raise(e, RC_UNSUPPORTED,
                       "'%s' has version %lld, this program reads up to %d: use a newer preceptor",
                       path, (long long)version, VERSION);
    }
    rc = rc != RC_OK ? rc : json_get_string(root, path, "run", &run, e);
    if (rc == RC_OK) {
        rc = manifest_check(path, root, e);
    }
    if (rc == RC_OK && strcmp(run, run_digest) != 0) {
        rc = err_raise(e, RC_INVAL,
                       "'%s' belongs to another run (its recipe or data digest is %.16s..., this "
                       "one's %.16s...): take another --out, or the old recipe",
                       path, run, run_digest);
    }
    if (rc == RC_OK && !json_is_array(json_object_get(root, "checkpoints"))) {
        rc = err_raise(e, RC_CORRUPT, "'%s' has no list of checkpoints", path);
    }
    if (rc == RC_OK) {
        *out = json_incref(json_object_get(root, "checkpoints"));
    }
out:
    json_decref(root);
    mem_free(path);
    return rc;
}

static enum rc manifest_write(const char *dir, const char *run_digest, json_t *entries,
                              struct err *e)
{
    char hex[HASH_HEX_DIGEST];
    struct digest d;
    char *path = NULL;
    json_t *root = NULL;
    enum rc rc = manifest_path(dir, &path, e);

    if (rc != RC_OK) {
        return rc;
    }
    root =
        json_pack("{s:s, s:i, s:O}", "run", run_digest, "version", VERSION, "checkpoints", entries);
    rc = root == NULL ? mem_raise(e, path, 0) : json_digest(root, &d, e);
    if (rc == RC_OK) {
        hash_digest_hex(&d, hex);
        rc = json_object_set_new(root, "digest", json_string(hex)) == 0 ? json_write(path, root, e)
                                                                        : mem_raise(e, path, 0);
    }
    json_decref(root);
    mem_free(path);
    return rc;
}

/* {"model": {"file", "sha256"}, "state": ..., "step"} of two files in dir. */
static enum rc entry_create(const char *model_path, const char *model_name, const char *state_path,
                            const char *state_name, int64_t step, json_t **out, struct err *e)
{
    struct digest d;
    char model[HASH_HEX_DIGEST];
    char state[HASH_HEX_DIGEST];
    enum rc rc = hash_file(model_path, &d, e);

    if (rc != RC_OK) {
        return rc;
    }
    hash_digest_hex(&d, model);
    rc = hash_file(state_path, &d, e);
    if (rc != RC_OK) {
        return rc;
    }
    hash_digest_hex(&d, state);
    *out = json_pack("{s:{s:s, s:s}, s:{s:s, s:s}, s:I}", "model", "file", model_name, "sha256",
                     model, "state", "file", state_name, "sha256", state, "step", (json_int_t)step);
    return *out != NULL ? RC_OK : mem_raise(e, model_name, 0);
}

/* ---- saving ---------------------------------------------------------------------------------- */

static void remove_file(const char *dir, const char *name)
{
    char *path = name != NULL && strchr(name, '/') == NULL ? fs_join(dir, name) : NULL;

    if (path != NULL && unlink(path) != 0 && errno != ENOENT) {
        log_warn("train", "cannot remove the old checkpoint '%s': %s", path, strerror(errno));
    }
    mem_free(path);
}

static const char *file_of(const json_t *entry, const char *which)
{
    return json_string_value(json_object_get(json_object_get(entry, which), "file"));
}

/* Entries of this step or later are from before a resume further back: they go. */
static void drop_from(json_t *entries, int64_t step)
{
    for (size_t i = json_array_size(entries); i-- > 0;) {
        if (json_integer_value(json_object_get(json_array_get(entries, i), "step")) >= step) {
            (void)json_array_remove(entries, i);
        }
    }
}

static double top1_of(const json_t *entry)
{
    const json_t *top1 = json_object_get(entry, "top1");

    return json_is_number(top1) ? json_number_value(top1) : -1;
}

/* The entry of the best evaluation, the earlier of equals; NULL when none was evaluated. */
static const json_t *best_of(const json_t *entries)
{
    const json_t *best = NULL;

    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);

        if (top1_of(entry) >= 0 && (best == NULL || top1_of(entry) > top1_of(best))) {
            best = entry;
        }
    }
    return best;
}

/* The manifest first names the new pair and leaves out the old ones; then these are removed. */
static enum rc rotate(const char *dir, const char *run_digest, json_t *entries, int keep,
                      struct err *e)
{
    json_t *old = json_array();
    const json_t *best = best_of(entries);
    size_t most = keep > 1 ? (size_t)keep : 1;
    size_t newest = json_array_size(entries) > most ? json_array_size(entries) - most : 0;
    enum rc rc;

    if (old == NULL) {
        return mem_raise(e, MANIFEST, 0);
    }
    for (size_t i = newest; i-- > 0;) {
        if (json_array_get(entries, i) == best) {
            continue;
        }
        if (json_array_append(old, json_array_get(entries, i)) != 0) {
            json_decref(old);
            return mem_raise(e, MANIFEST, 0);
        }
        (void)json_array_remove(entries, i);
    }
    rc = manifest_write(dir, run_digest, entries, e);
    for (size_t i = 0; i < json_array_size(old) && rc == RC_OK; i++) {
        remove_file(dir, file_of(json_array_get(old, i), "model"));
        remove_file(dir, file_of(json_array_get(old, i), "state"));
    }
    json_decref(old);
    return rc;
}

static enum rc save_pair(const char *dir, const struct trainer *t, const struct model_info *info,
                         json_t **entry, struct err *e)
{
    char model[FILE_NAME_MAX];
    char state[FILE_NAME_MAX];
    char *model_path = NULL;
    char *state_path = NULL;
    const float *ema = trainer_ema(t);
    int64_t step = trainer_steps(t);
    enum rc rc = RC_OK;

    snprintf(model, sizeof model, "model-%08lld.safetensors", (long long)step);
    snprintf(state, sizeof state, "state-%08lld.safetensors", (long long)step);
    model_path = fs_join(dir, model);
    state_path = fs_join(dir, state);
    if (model_path == NULL || state_path == NULL) {
        rc = mem_raise(e, dir, strlen(dir));
    } else if (ema == NULL) {
        rc = err_raise(e, RC_LIB, "'%s': the device does not give its weights back", model_path);
    }
    rc = rc != RC_OK ? rc : model_save(model_path, trainer_params(t), ema, info, e);
    rc = rc != RC_OK ? rc : state_save(state_path, t, e);
    rc = rc != RC_OK ? rc : entry_create(model_path, model, state_path, state, step, entry, e);
    mem_free(model_path);
    mem_free(state_path);
    return rc;
}

enum rc checkpoint_save(const char *dir, const struct trainer *t, const struct model_info *info,
                        int keep, double top1, const char *run_digest, struct err *e)
{
    json_t *entries = NULL;
    json_t *entry = NULL;
    enum rc rc = fs_mkdirs(dir, e);

    if (rc != RC_OK) {
        return rc;
    }
    fs_sweep(dir, "model-");
    fs_sweep(dir, "state-");
    rc = manifest_read(dir, run_digest, &entries, e);
    rc = rc != RC_OK ? rc : save_pair(dir, t, info, &entry, e);
    if (rc == RC_OK && top1 >= 0 && json_object_set_new(entry, "top1", json_real(top1)) != 0) {
        rc = mem_raise(e, MANIFEST, 0);
    }
    if (rc == RC_OK) {
        drop_from(entries, trainer_steps(t));
        rc = json_array_append(entries, entry) != 0 ? mem_raise(e, MANIFEST, 0)
                                                    : rotate(dir, run_digest, entries, keep, e);
    }
    json_decref(entry);
    json_decref(entries);
    return rc;
}

/* ---- resuming -------------------------------------------------------------------------------- */

/* One file of an entry: there, and with the digest that was sealed. */
static enum rc check_file(const char *dir, const json_t *entry, const char *which, char **out,
                          struct err *e)
{
    const json_t *file = json_object_get(entry, which);
    const char *name = json_string_value(json_object_get(file, "file"));
    struct digest has;
    struct digest wants;
    char *path = NULL;
    enum rc rc = json_get_digest(file, MANIFEST, "sha256", &wants, e);

    if (rc != RC_OK) {
        return rc;
    }
    if (name == NULL || strchr(name, '/') != NULL) {
        return err_raise(e, RC_CORRUPT, "%s names no %s file", MANIFEST, which);
    }
    path = fs_join(dir, name);
    rc = path == NULL ? mem_raise(e, name, strlen(dir)) : hash_file(path, &has, e);
    if (rc == RC_OK && memcmp(&has, &wants, sizeof has) != 0) {
        rc = err_raise(e, RC_CORRUPT, "'%s' is not what was written (its digest differs)", path);
    }
    if (rc == RC_OK) {
        *out = path;
        path = NULL;
    }
    mem_free(path);
    return rc;
}

static enum rc restore(struct trainer *t, const char *model, const char *state, int64_t step,
                       struct err *e)
{
    const struct params *p = trainer_params(t);
    float *weights = params_buffer(p);
    float *ema = params_buffer(p);
    float *momentum = params_buffer(p);
    enum rc rc = RC_OK;

    if (weights == NULL || ema == NULL || momentum == NULL) {
        rc = mem_raise(e, state, 3 * p->n_total * sizeof *weights);
    }
    rc = rc != RC_OK ? rc : model_load(model, p, false, ema, e);
    rc = rc != RC_OK ? rc : state_load(state, p, weights, momentum, e);
    rc = rc != RC_OK ? rc : trainer_restore(t, weights, ema, momentum, step, e);
    mem_free(weights);
    mem_free(ema);
    mem_free(momentum);
    return rc;
}

static enum rc resume_entry(const char *dir, struct trainer *t, const json_t *entry, int64_t *step,
                            struct err *e)
{
    char *model = NULL;
    char *state = NULL;
    int64_t at = 0;
    enum rc rc = json_get_int(entry, MANIFEST, "step", &at, e);

    rc = rc != RC_OK ? rc : check_file(dir, entry, "model", &model, e);
    rc = rc != RC_OK ? rc : check_file(dir, entry, "state", &state, e);
    rc = rc != RC_OK ? rc : restore(t, model, state, at, e);
    if (rc == RC_OK) {
        *step = at;
    }
    mem_free(model);
    mem_free(state);
    return rc;
}

enum rc checkpoint_resume(const char *dir, struct trainer *t, const char *run_digest, int64_t *step,
                          struct err *e)
{
    json_t *entries = NULL;
    enum rc rc = manifest_read(dir, run_digest, &entries, e);

    if (rc != RC_OK) {
        return rc;
    }
    *step = -1;
    /* The newest that is whole; a damaged one is told of, and the one before it taken. */
    for (size_t i = json_array_size(entries); i-- > 0 && *step < 0;) {
        struct err why = {0};

        rc = resume_entry(dir, t, json_array_get(entries, i), step, &why);
        if (rc == RC_NOMEM || rc == RC_LIB || (rc != RC_OK && i == 0)) {
            (void)err_raise(e, rc, "%s", why.msg);
            break;
        }
        if (rc != RC_OK) {
            log_warn("train", "checkpoint %zu of '%s' is passed over: %s", i + 1, dir, why.msg);
        }
    }
    json_decref(entries);
    return rc;
}

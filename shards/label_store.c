#include "shards/label_store.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/json_bytes.h"
#include "shards/label_store_impl.h"
#include "shards/manifest.h"

/* ---- labels.json ----------------------------------------------------------------------------- */

static enum rc store_lineage(struct label_store *s, const char *path, struct err *e)
{
    const json_t *l = json_object_get(s->manifest, "lineage");
    struct label_lineage *to = &s->lineage;
    int64_t classes = 0;
    int64_t k = 0;
    enum rc rc = RC_OK;

    if ((rc = json_get_digest(l, path, "weights", &to->weights, e)) != RC_OK ||
        (rc = label_record_text(l, path, "model", to->model, sizeof to->model, e)) != RC_OK ||
        (rc = label_record_text(l, path, "preprocessing", to->preprocessing,
                                sizeof to->preprocessing, e)) != RC_OK ||
        (rc = label_record_text(l, path, "precision", to->precision, sizeof to->precision, e)) !=
            RC_OK ||
        (rc = json_get_digest(l, path, "classes", &to->classes, e)) != RC_OK ||
        (rc = label_record_int(l, path, "n_classes", 1, LABEL_MAX_CLASSES, &classes, e)) != RC_OK ||
        (rc = label_record_int(l, path, "top_k", 1, classes, &k, e)) != RC_OK) {
        return rc;
    }
    to->n_classes = (int)classes;
    to->top_k = (int)k;
    return label_lineage_calibrated(to)
               ? json_get_digest(l, path, "calibration", &to->calibration, e)
               : RC_OK;
}

static enum rc store_classes(struct label_store *s, const char *path, struct err *e)
{
    s->classes = json_object_get(s->manifest, "classes");
    if (!json_is_array(s->classes) || json_array_size(s->classes) != (size_t)s->lineage.n_classes) {
        return err_raise(e, RC_CORRUPT, "'%s': \"classes\" is not a list of %d names", path,
                         s->lineage.n_classes);
    }
    for (int i = 0; i < s->lineage.n_classes; i++) {
        if (!json_is_string(json_array_get(s->classes, (size_t)i))) {
            return err_raise(e, RC_CORRUPT, "'%s': class %d has no name", path, i);
        }
    }
    return RC_OK;
}

static enum rc store_shard(const json_t *obj, const char *path, int after, struct label_shard *out,
                           struct err *e)
{
    int64_t shard = 0;
    int64_t labels = 0;
    int64_t bad = 0;
    int64_t bytes = 0;
    int64_t at = 0;
    enum rc rc = RC_OK;

    if ((rc = label_record_text(obj, path, "name", out->name, sizeof out->name, e)) != RC_OK ||
        (rc = label_record_int(obj, path, "shard", after + 1, INT32_MAX, &shard, e)) != RC_OK ||
        (rc = label_record_text(obj, path, "image_shard", out->image_shard, sizeof out->image_shard,
                                e)) != RC_OK ||
        (rc = json_get_digest(obj, path, "image_digest", &out->image_digest, e)) != RC_OK ||
        (rc = label_record_int(obj, path, "labels", 0, UINT32_MAX, &labels, e)) != RC_OK ||
        (rc = label_record_bad_get(obj, path, labels, &bad, e)) != RC_OK ||
        (rc = label_record_int(obj, path, "bytes", 0, INT64_MAX, &bytes, e)) != RC_OK ||
        (rc = json_get_digest(obj, path, "digest", &out->digest, e)) != RC_OK ||
        (rc = label_record_text(obj, path, "isa", out->isa, sizeof out->isa, e)) != RC_OK ||
        (rc = label_record_int(obj, path, "summary_at", 0, bytes, &at, e)) != RC_OK ||
        (rc = json_get_digest(obj, path, "summary_digest", &out->summary_digest, e)) != RC_OK ||
        (rc = label_record_audit_get(obj, path, &out->audit, e)) != RC_OK) {
        return rc;
    }
    if (labels * (int64_t)sizeof(struct label_summary) > bytes - at) {
        return err_raise(e, RC_CORRUPT, "'%s': the summary of '%s' does not fit its file", path,
                         out->name);
    }
    if (strchr(out->name, '/') != NULL) {
        return err_raise(e, RC_CORRUPT, "'%s': a shard's name holds a '/'", path);
    }
    out->shard = (int)shard;
    out->labels = (uint64_t)labels;
    out->bad = (uint64_t)bad;
    out->bytes = (uint64_t)bytes;
    out->summary_at = (uint64_t)at;
    return RC_OK;
}

static enum rc store_shards(struct label_store *s, const char *path, struct err *e)
{
    const json_t *list = json_object_get(s->manifest, "shards");
    enum rc rc = RC_OK;
    int after = -1;

    if (!json_is_array(list) || json_array_size(list) > INT32_MAX) {
        return err_raise(e, RC_CORRUPT, "'%s': \"shards\" is not a list", path);
    }
    s->n_shards = (int)json_array_size(list);
    s->shards = mem_calloc((size_t)s->n_shards, sizeof *s->shards);
    if (s->shards == NULL) {
        return mem_raise(e, path, (size_t)s->n_shards * sizeof *s->shards);
    }
    for (int i = 0; i < s->n_shards && rc == RC_OK; i++) {
        rc = store_shard(json_array_get(list, (size_t)i), path, after, &s->shards[i], e);
        after = s->shards[i].shard;
    }
    return rc;
}

static enum rc store_load(struct label_store *s, const char *path, struct err *e)
{
    enum rc rc = manifest_read(path, LABEL_KIND, LABEL_FORMAT, &s->manifest, e);

    if (rc == RC_OK) {
        rc = store_lineage(s, path, e);
    }
    if (rc == RC_OK) {
        rc = store_classes(s, path, e);
    }
    return rc == RC_OK ? store_shards(s, path, e) : rc;
}

/* ---- which folder is meant ------------------------------------------------------------------- */

static bool store_is_one(const char *dir)
{
    char *manifest = fs_join(dir, "labels.json");
    bool is = manifest != NULL && fs_exists(manifest);

    mem_free(manifest);
    return is;
}

/* The only store within path, on the heap. */
static enum rc store_within(const char *path, char **out, struct err *e)
{
    DIR *d = opendir(path);
    const struct dirent *entry = NULL;
    char *found = NULL;
    char names[512] = "";
    int n = 0;

    if (d == NULL) {
        return err_raise(e, RC_IO, "cannot open the label store '%s': %s", path, strerror(errno));
    }
    while ((entry = readdir(d)) != NULL) {
        char *dir = entry->d_name[0] == '.' ? NULL : fs_join(path, entry->d_name);

        if (dir != NULL && store_is_one(dir)) {
            size_t used = strlen(names);

            (void)snprintf(names + used, sizeof names - used, "%s%.16s...", n > 0 ? ", " : "",
                           entry->d_name);
            mem_free(found);
            found = dir;
            dir = NULL;
            n++;
        }
        mem_free(dir);
    }
    (void)closedir(d);
    if (n != 1) {
        mem_free(found);
        return n == 0 ? err_raise(e, RC_INVAL,
                                  "'%s' is not a label store: no labels.json in it or in a folder "
                                  "below it (preceptor label makes one)",
                                  path)
                      : err_raise(e, RC_INVAL, "'%s' holds %d label stores, name one: %s", path, n,
                                  names);
    }
    *out = found;
    return RC_OK;
}

/* ---- the interface --------------------------------------------------------------------------- */

enum rc label_store_open(const char *path, struct label_store **out, struct err *e)
{
    struct label_store *s = mem_calloc(1, sizeof *s);
    char *manifest = NULL;
    enum rc rc = RC_OK;

    if (s == NULL) {
        return mem_raise(e, "a label store", sizeof *s);
    }
    if (!store_is_one(path)) {
        rc = store_within(path, &s->path, e);
    } else {
        s->path = mem_strdup(path);
        rc = s->path != NULL ? RC_OK : mem_raise(e, "a path", strlen(path));
    }
    if (rc == RC_OK) {
        manifest = fs_join(s->path, "labels.json");
        rc = manifest != NULL ? store_load(s, manifest, e) : mem_raise(e, "a path", strlen(path));
    }
    mem_free(manifest);
    if (rc != RC_OK) {
        label_store_close(s);
        return rc;
    }
    *out = s;
    return RC_OK;
}

void label_store_close(struct label_store *s)
{
    if (s != NULL) {
        json_decref(s->manifest);
        mem_free(s->shards);
        mem_free(s->path);
        mem_free(s);
    }
}

const char *label_store_path(const struct label_store *s)
{
    return s->path;
}

const struct label_lineage *label_store_lineage(const struct label_store *s)
{
    return &s->lineage;
}

/* A chain needs no growing buffer: d = SHA-256(d, shard's digest), from the lineage's on. */
static void store_chain(const struct label_store *s, int i, struct digest *chain)
{
    uint8_t both[2 * sizeof *chain];

    memcpy(both, chain, sizeof *chain);
    memcpy(both + sizeof *chain, &s->shards[i].digest, sizeof *chain);
    hash_digest(both, sizeof both, chain);
}

void label_store_digest(const struct label_store *s, struct digest *out)
{
    struct digest chain;

    label_lineage_digest(&s->lineage, &chain);
    for (int i = 0; i < s->n_shards; i++) {
        store_chain(s, i, &chain);
    }
    *out = chain;
}

bool label_store_had(const struct label_store *s, const struct digest *digest, int *shards)
{
    struct digest chain;

    label_lineage_digest(&s->lineage, &chain);
    for (int i = 0; i <= s->n_shards; i++) {
        if (memcmp(&chain, digest, sizeof chain) == 0) {
            *shards = i;
            return true;
        }
        if (i < s->n_shards) {
            store_chain(s, i, &chain);
        }
    }
    return false;
}

uint64_t label_store_bad(const struct label_store *s)
{
    uint64_t n = 0;

    for (int i = 0; i < s->n_shards; i++) {
        n += s->shards[i].bad;
    }
    return n;
}

int label_store_shards(const struct label_store *s)
{
    return s->n_shards;
}

const struct label_shard *label_store_shard(const struct label_store *s, int i)
{
    assert(i >= 0 && i < s->n_shards);
    return &s->shards[i];
}

void label_store_audit(const struct label_store *s, struct label_audit *out,
                       const struct label_shard **worst)
{
    uint64_t difference = 0;

    *out = (struct label_audit){0};
    *worst = NULL;
    for (int i = 0; i < s->n_shards; i++) {
        const struct label_audit *a = &s->shards[i].audit;

        out->images += a->images;
        out->agree += a->agree;
        difference += a->images * a->difference;
        if (a->images > 0 &&
            (*worst == NULL || label_audit_drift(a) > label_audit_drift(&(*worst)->audit))) {
            *worst = &s->shards[i];
        }
    }
    out->difference = out->images > 0 ? difference / out->images : 0;
}

int label_store_find(const struct label_store *s, int shard)
{
    int lo = 0;
    int hi = s->n_shards;

    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;

        if (s->shards[mid].shard < shard) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < s->n_shards && s->shards[lo].shard == shard ? lo : -1;
}

const char *label_store_class(const struct label_store *s, int i)
{
    return json_string_value(json_array_get(s->classes, (size_t)i));
}

enum rc label_store_corpus(const struct label_store *s, char **out, struct err *e)
{
    size_t bytes = 0;

    *out = NULL;
    if (json_object_get(s->manifest, "corpus") == NULL &&
        json_object_get(s->manifest, "corpus_hex") == NULL) {
        return RC_OK;
    }
    return json_bytes_get(s->manifest, s->path, "corpus", out, &bytes, e);
}

#include <stdio.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/corpus_impl.h"
#include "shards/manifest.h"

static const char corpus_manifest[] = "corpus.json";

enum { CORPUS_MAX_SHARDS = 1 << 24 };

enum rc corpus_create(const char *path, bool labeled, const struct class_list *classes,
                      struct corpus **out, struct err *e)
{
    struct corpus *c = mem_calloc(1, sizeof *c);
    enum rc rc = RC_OK;

    if (c == NULL) {
        return mem_raise(e, "a corpus", sizeof *c);
    }
    class_list_init(&c->classes);
    c->labeled = labeled;
    c->path = mem_strdup(path);
    c->sources = json_array();
    if (c->path == NULL || c->sources == NULL) {
        rc = mem_raise(e, "a corpus", strlen(path));
    }
    for (int i = 0; classes != NULL && i < classes->n && rc == RC_OK; i++) {
        rc = class_list_add(&c->classes, classes->names[i], strlen(classes->names[i]), e);
    }
    c->per_class = rc == RC_OK ? mem_calloc((size_t)c->classes.n, sizeof *c->per_class) : NULL;
    if (rc == RC_OK && c->per_class == NULL) {
        rc = mem_raise(e, "counts of classes", (size_t)c->classes.n * sizeof *c->per_class);
    }
    if (rc == RC_OK) {
        rc = class_list_hash((const char *const *)c->classes.names, c->classes.n, &c->class_digest,
                             e);
    }
    if (rc != RC_OK) {
        corpus_close(c);
        return rc;
    }
    *out = c;
    return RC_OK;
}

void corpus_close(struct corpus *c)
{
    if (c == NULL) {
        return;
    }
    corpus_extras_release(&c->extras);
    class_list_release(&c->classes);
    forgotten_release(&c->gone);
    mem_free(c->gone_first);
    json_decref(c->guards);
    json_decref(c->sources);
    mem_free(c->per_class);
    mem_free(c->extra_files);
    mem_free(c->checked);
    mem_free(c->shards);
    mem_free(c->path);
    mem_free(c);
}

enum rc corpus_append_shard(struct corpus *c, const struct corpus_shard *s, struct err *e)
{
    size_t n = (size_t)c->n_shards + 1;
    struct corpus_shard *shards = mem_realloc(c->shards, n, sizeof *shards);
    atomic_uchar *checked = NULL;

    if (shards != NULL) {
        c->shards = shards;
        checked = mem_realloc(c->checked, n, sizeof *checked);
    }
    if (checked == NULL) {
        return mem_raise(e, "the list of shards", n * sizeof *shards);
    }
    c->checked = checked;
    c->shards[n - 1] = *s;
    atomic_init(&c->checked[n - 1], 0);
    c->n_shards = (int)n;
    c->images += s->images;
    c->occurrences += s->occurrences;
    return RC_OK;
}

enum rc corpus_append_extra_file(struct corpus *c, const struct corpus_extra_file *f, struct err *e)
{
    size_t n = (size_t)c->n_extra_files + 1;
    struct corpus_extra_file *files = mem_realloc(c->extra_files, n, sizeof *files);

    if (files == NULL) {
        return mem_raise(e, "the list of occurrence files", n * sizeof *files);
    }
    c->extra_files = files;
    c->extra_files[n - 1] = *f;
    c->n_extra_files = (int)n;
    return RC_OK;
}

/* ---- the manifest ---------------------------------------------------------------------------- */

static int corpus_set_file(json_t *array, const char *name, uint64_t bytes,
                           const struct digest *digest, json_t **out)
{
    char hex[HASH_HEX_DIGEST];

    hash_digest_hex(digest, hex);
    *out = json_object();
    return json_array_append_new(array, *out) != 0 ||
           json_object_set_new(*out, "name", json_string(name)) != 0 ||
           json_object_set_new(*out, "bytes", json_integer((json_int_t)bytes)) != 0 ||
           json_object_set_new(*out, "digest", json_string(hex)) != 0;
}

static int corpus_set_classes(const struct corpus *c, json_t *root)
{
    json_t *names = json_array();
    json_t *counts = json_array();
    int failed = 0;

    for (int i = 0; i < c->classes.n && !failed; i++) {
        failed = json_array_append_new(names, json_string(c->classes.names[i])) ||
                 json_array_append_new(counts, json_integer((json_int_t)c->per_class[i]));
    }
    failed = json_object_set_new(root, "classes", names) || failed;
    return json_object_set_new(root, "class_occurrences", counts) || failed;
}

static int corpus_set_lists(const struct corpus *c, json_t *shards, json_t *extra)
{
    int failed = 0;
    json_t *o = NULL;

    for (int i = 0; i < c->n_shards && !failed; i++) {
        const struct corpus_shard *s = &c->shards[i];

        failed = corpus_set_file(shards, s->name, s->bytes, &s->digest, &o) ||
                 json_object_set_new(o, "images", json_integer((json_int_t)s->images)) ||
                 json_object_set_new(o, "occurrences", json_integer((json_int_t)s->occurrences)) ||
                 (s->header && json_object_set_new(o, "check", json_string("header")));
    }
    for (int i = 0; i < c->n_extra_files && !failed; i++) {
        const struct corpus_extra_file *f = &c->extra_files[i];

        failed = corpus_set_file(extra, f->name, f->bytes, &f->digest, &o) ||
                 json_object_set_new(o, "lines", json_integer((json_int_t)f->lines));
    }
    return failed;
}

enum rc corpus_save(const struct corpus *c, struct err *e)
{
    json_t *root = json_object();
    json_t *shards = json_array();
    json_t *extra = json_array();
    char *path = fs_join(c->path, corpus_manifest);
    char hex[HASH_HEX_DIGEST];
    enum rc rc = RC_OK;

    hash_digest_hex(&c->class_digest, hex);
    if (path == NULL || corpus_set_lists(c, shards, extra) != 0 ||
        corpus_set_classes(c, root) != 0 || json_object_set(root, "shards", shards) != 0 ||
        json_object_set(root, "later_occurrences", extra) != 0 ||
        json_object_set(root, "sources", c->sources) != 0 ||
        (c->guards != NULL && json_object_set(root, "guards", c->guards) != 0) ||
        json_object_set_new(root, "class_digest", json_string(hex)) != 0 ||
        json_object_set_new(root, "images", json_integer((json_int_t)c->images)) != 0 ||
        json_object_set_new(root, "labeled", json_boolean(c->labeled)) != 0) {
        rc = mem_raise(e, "a manifest", 0);
        goto out;
    }
    rc = manifest_write(path, CORPUS_KIND, CORPUS_FORMAT, root, e);
out:
    mem_free(path);
    json_decref(extra);
    json_decref(shards);
    json_decref(root);
    return rc;
}

static enum rc corpus_get_count(const json_t *o, const char *path, const char *name, uint64_t *out,
                                struct err *e)
{
    int64_t v = 0;
    enum rc rc = json_get_int(o, path, name, &v, e);

    if (rc == RC_OK && v < 0) {
        rc = err_raise(e, RC_CORRUPT, "'%s': the member '%s' is negative", path, name);
    }
    *out = (uint64_t)v;
    return rc;
}

struct corpus_entry {
    char name[32];
    uint64_t bytes;
    struct digest digest;
};

/* Names follow from the index, so that no manifest leads out of its folder. */
static enum rc corpus_get_entry(const json_t *o, const char *path, const char *pattern, int i,
                                struct corpus_entry *out, struct err *e)
{
    const char *said = NULL;
    enum rc rc = json_get_string(o, path, "name", &said, e);

    (void)snprintf(out->name, sizeof out->name, "%s-%06d.%s", pattern, i,
                   strcmp(pattern, "images") == 0 ? "lmdb" : "jsonl");
    if (rc == RC_OK && strcmp(said, out->name) != 0) {
        rc = err_raise(e, RC_CORRUPT, "'%s': entry %d is named '%.40s', expected '%s'", path, i,
                       said, out->name);
    }
    if (rc == RC_OK) {
        rc = corpus_get_count(o, path, "bytes", &out->bytes, e);
    }
    return rc == RC_OK ? json_get_digest(o, path, "digest", &out->digest, e) : rc;
}

static enum rc corpus_get_shards(struct corpus *c, const json_t *array, const char *path,
                                 struct err *e)
{
    enum rc rc = RC_OK;

    if (!json_is_array(array) || json_array_size(array) > CORPUS_MAX_SHARDS) {
        return err_raise(e, RC_CORRUPT, "'%s': the member 'shards' is not a list of shards", path);
    }
    for (int i = 0; i < (int)json_array_size(array) && rc == RC_OK; i++) {
        const json_t *o = json_array_get(array, (size_t)i);
        struct corpus_entry entry;
        struct corpus_shard s = {0};

        rc = corpus_get_entry(o, path, "images", i, &entry, e);
        if (rc == RC_OK) {
            rc = corpus_get_count(o, path, "images", &s.images, e);
        }
        if (rc == RC_OK) {
            rc = corpus_get_count(o, path, "occurrences", &s.occurrences, e);
        }
        if (rc == RC_OK && (s.images == 0 || s.images > UINT32_MAX || s.occurrences < s.images)) {
            rc = err_raise(e, RC_CORRUPT, "'%s': the counts of shard '%s' cannot be", path,
                           entry.name);
        }
        if (rc == RC_OK) {
            memcpy(s.name, entry.name, sizeof s.name);
            s.bytes = entry.bytes;
            s.digest = entry.digest;
            s.header = json_object_get(o, "check") != NULL;
            rc = corpus_append_shard(c, &s, e);
        }
    }
    return rc;
}

static enum rc corpus_get_extra(struct corpus *c, const json_t *array, const char *path,
                                struct err *e)
{
    enum rc rc = RC_OK;

    if (!json_is_array(array)) {
        return err_raise(e, RC_CORRUPT, "'%s': the member 'later_occurrences' is not a list", path);
    }
    for (int i = 0; i < (int)json_array_size(array) && rc == RC_OK; i++) {
        const json_t *o = json_array_get(array, (size_t)i);
        struct corpus_entry entry;
        struct corpus_extra_file f = {0};

        rc = corpus_get_entry(o, path, "occurrences", i, &entry, e);
        if (rc == RC_OK) {
            rc = corpus_get_count(o, path, "lines", &f.lines, e);
        }
        if (rc == RC_OK) {
            memcpy(f.name, entry.name, sizeof f.name);
            f.bytes = entry.bytes;
            f.digest = entry.digest;
            rc = corpus_append_extra_file(c, &f, e);
        }
    }
    return rc;
}

static enum rc corpus_get_classes(struct class_list *l, const json_t *array, const char *path,
                                  bool labeled, struct err *e)
{
    enum rc rc = RC_OK;

    if (!json_is_array(array) || (json_array_size(array) > 0) != labeled) {
        return err_raise(e, RC_CORRUPT, "'%s': the member 'classes' does not fit 'labeled'", path);
    }
    for (size_t i = 0; i < json_array_size(array) && rc == RC_OK; i++) {
        const json_t *name = json_array_get(array, i);

        if (!json_is_string(name)) {
            rc = err_raise(e, RC_CORRUPT, "'%s': class %zu is not a text", path, i);
        } else {
            rc = class_list_add(l, json_string_value(name), json_string_length(name), e);
        }
    }
    return rc;
}

static enum rc corpus_get_class_counts(struct corpus *c, const json_t *array, const char *path,
                                       struct err *e)
{
    if (json_array_size(array) != (size_t)c->classes.n) {
        return err_raise(e, RC_CORRUPT, "'%s': 'class_occurrences' does not fit 'classes'", path);
    }
    for (int i = 0; i < c->classes.n; i++) {
        const json_t *n = json_array_get(array, (size_t)i);

        if (!json_is_integer(n) || json_integer_value(n) < 0) {
            return err_raise(e, RC_CORRUPT, "'%s': 'class_occurrences' of class %d is not a count",
                             path, i);
        }
        c->per_class[i] = (uint64_t)json_integer_value(n);
    }
    return RC_OK;
}

static enum rc corpus_parse(const char *path, const char *manifest, const json_t *root,
                            struct corpus **out, struct err *e)
{
    struct class_list classes;
    struct corpus *c = NULL;
    struct digest said;
    uint64_t images = 0;
    const json_t *labeled = json_object_get(root, "labeled");
    json_t *sources = json_object_get(root, "sources");
    enum rc rc = RC_OK;

    class_list_init(&classes);
    if (!json_is_boolean(labeled) || !json_is_array(sources)) {
        return err_raise(e, RC_CORRUPT, "'%s': 'labeled' or 'sources' is missing", manifest);
    }
    rc = corpus_get_classes(&classes, json_object_get(root, "classes"), manifest,
                            json_is_true(labeled), e);
    if (rc == RC_OK) {
        rc = corpus_create(path, json_is_true(labeled), &classes, &c, e);
    }
    class_list_release(&classes);
    if (rc != RC_OK) {
        return rc;
    }
    json_decref(c->sources);
    c->sources = json_incref(sources);
    c->guards = json_incref(json_object_get(root, "guards"));
    rc = corpus_get_class_counts(c, json_object_get(root, "class_occurrences"), manifest, e);
    if (rc == RC_OK) {
        rc = corpus_get_shards(c, json_object_get(root, "shards"), manifest, e);
    }
    if (rc == RC_OK) {
        rc = corpus_get_extra(c, json_object_get(root, "later_occurrences"), manifest, e);
    }
    if (rc == RC_OK) {
        rc = corpus_get_count(root, manifest, "images", &images, e);
    }
    if (rc == RC_OK) {
        rc = json_get_digest(root, manifest, "class_digest", &said, e);
    }
    if (rc == RC_OK && (images != c->images || memcmp(&said, &c->class_digest, sizeof said) != 0)) {
        rc = err_raise(e, RC_CORRUPT, "'%s': its counts or class list contradict each other",
                       manifest);
    }
    if (rc != RC_OK) {
        corpus_close(c);
        return rc;
    }
    *out = c;
    return RC_OK;
}

enum rc corpus_load(const char *path, struct corpus **out, struct err *e)
{
    char *manifest = fs_join(path, corpus_manifest);
    json_t *root = NULL;
    enum rc rc = manifest != NULL ? RC_OK : mem_raise(e, "a path", strlen(path));

    if (rc == RC_OK && !fs_exists(manifest)) {
        rc = err_raise(e, RC_IO, "there is no corpus at '%s' (no corpus.json): make one with pack",
                       path);
    }
    if (rc == RC_OK) {
        rc = manifest_read(manifest, CORPUS_KIND, CORPUS_FORMAT, &root, e);
    }
    if (rc == RC_OK) {
        rc = corpus_parse(path, manifest, root, out, e);
    }
    json_decref(root);
    mem_free(manifest);
    return rc;
}

/* Later occurrences count in a labeled corpus: its epochs go over occurrences. */
static enum rc corpus_load_extras(struct corpus *c, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < c->n_extra_files && rc == RC_OK; i++) {
        rc = corpus_extra_read(c->path, &c->extra_files[i], &c->extras, e);
    }
    corpus_extras_sort(&c->extras);
    for (size_t i = 0; i < c->extras.n && rc == RC_OK; i++) {
        if (c->extras.all[i].shard >= (uint32_t)c->n_shards) {
            return err_raise(e, RC_CORRUPT, "'%s': a later occurrence names shard %lu of %d",
                             c->path, (unsigned long)c->extras.all[i].shard, c->n_shards);
        }
        c->shards[c->extras.all[i].shard].occurrences++;
        c->occurrences++;
    }
    return rc;
}

static enum rc corpus_set_digest(struct corpus *c, struct err *e)
{
    struct hash *h = NULL;
    enum rc rc = hash_create(&h, e);

    if (rc != RC_OK) {
        return rc;
    }
    for (int i = 0; i < c->n_shards; i++) {
        hash_update(h, &c->shards[i].digest, sizeof c->shards[i].digest);
    }
    for (int i = 0; i < c->n_extra_files && c->labeled; i++) {
        hash_update(h, &c->extra_files[i].digest, sizeof c->extra_files[i].digest);
    }
    hash_final(h, &c->digest);
    hash_destroy(h);
    return RC_OK;
}

enum rc corpus_open(const char *path, struct corpus **out, struct err *e)
{
    struct corpus *c = NULL;
    enum rc rc = corpus_load(path, &c, e);

    if (rc == RC_OK && c->labeled) {
        rc = corpus_load_extras(c, e);
    }
    if (rc == RC_OK) {
        rc = corpus_set_digest(c, e);
    }
    if (rc == RC_OK) {
        rc = corpus_load_forgotten(c, e);
    }
    if (rc != RC_OK) {
        corpus_close(c);
        return rc;
    }
    *out = c;
    return RC_OK;
}

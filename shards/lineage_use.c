/* Lineage: the selections and runs that used an image. */
#include <string.h>

#include "common/base/mem.h"
#include "shards/json_bytes.h"
#include "shards/lineage_impl.h"
#include "shards/manifest.h"

enum { LINEAGE_RUN_FORMAT = 1 };

static enum rc use_append(json_t *list, json_t *o, const char *name, const char *path,
                          struct err *e)
{
    enum rc rc =
        o != NULL ? json_bytes_set(o, name, path, strlen(path), e) : mem_raise(e, "a lineage", 0);

    if (rc != RC_OK) {
        json_decref(o);
        return rc;
    }
    return json_array_append_new(list, o) == 0 ? RC_OK : mem_raise(e, "a lineage", 0);
}

/* ---- selections -------------------------------------------------------------------------------- */

static const struct selection_entry *use_entry(const struct selection_entry *entries, uint64_t n,
                                               uint32_t position)
{
    uint64_t lo = 0;
    uint64_t hi = n;

    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;

        if (entries[mid].position < position) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < n && entries[lo].position == position ? &entries[lo] : NULL;
}

static enum rc use_selected(struct lineage *l, struct selection *s, const struct lineage_label *at,
                            struct lineage_selected *out, struct err *e)
{
    const struct selection_entry *entries = NULL;
    const struct selection_entry *found = NULL;
    uint64_t n = 0;
    uint64_t total = 0;
    enum rc rc = selection_shard(s, at->shard, &entries, &n, &total, e);

    found = rc == RC_OK && n > 0 ? use_entry(entries, n, at->position) : NULL;
    if (found == NULL) {
        return rc;
    }
    if (found->cls >= label_store_lineage(at->store)->n_classes) {
        return err_raise(e, RC_CORRUPT, "'%s': a class is out of range", out->path);
    }
    out->copies = found->copies;
    return use_append(l->selections,
                      json_pack("{s:s,s:i,s:s}", "class", label_store_class(at->store, found->cls),
                                "copies", (int)found->copies, "rule", selection_info(s)->rule),
                      "selection", out->path, e);
}

static enum rc use_selection(struct lineage *l, const char *path, struct err *e)
{
    struct lineage_selected *out = &l->selected[l->n_selected];
    struct selection *s = NULL;
    enum rc rc = selection_open(path, &s, e);

    if (rc != RC_OK) {
        return rc;
    }
    *out = (struct lineage_selected){.path = mem_strdup(path)};
    selection_digest(s, &out->digest);
    rc = out->path != NULL ? RC_OK : mem_raise(e, "a path", strlen(path));
    for (size_t i = 0; i < l->n_labels && rc == RC_OK; i++) {
        int shards = 0;

        if (label_store_had(l->labels[i].store, &selection_info(s)->labels, &shards) &&
            l->labels[i].index < shards) {
            rc = use_selected(l, s, &l->labels[i], out, e);
        }
    }
    l->n_selected++;
    selection_close(s);
    return rc;
}

enum rc lineage_selection(struct lineage *l, const char *path, struct err *e)
{
    struct err why = {0};
    enum rc rc = use_selection(l, path, &why);

    return rc == RC_OK ? RC_OK : lineage_unreadable(l, path, rc, &why, e);
}

/* ---- runs -------------------------------------------------------------------------------------- */

/* Digest over the first n shards. */
static enum rc use_prefix(const struct corpus *c, int n, struct digest *out, struct err *e)
{
    struct hash *h = NULL;
    enum rc rc = hash_create(&h, e);

    if (rc == RC_OK) {
        for (int i = 0; i < n; i++) {
            hash_update(h, &corpus_shard(c, i)->digest, sizeof *out);
        }
        hash_final(h, out);
        hash_destroy(h);
    }
    return rc;
}

/* Whether the corpus that a run recorded holds the image, and had not forgotten it. */
static enum rc use_corpus(const struct lineage *l, const json_t *store, const char *path,
                          bool *holds, struct err *e)
{
    struct digest said;
    int64_t shards = 0;
    enum rc rc = json_get_int(store, path, "shards", &shards, e);

    *holds = false;
    if (rc == RC_OK) {
        rc = json_get_digest(store, path, "shards_digest", &said, e);
    }
    for (size_t i = 0; i < l->n_places && rc == RC_OK; i++) {
        const struct lineage_place *p = &l->places[i];
        struct digest is;
        struct digest gone;

        if (shards > corpus_shards(p->corpus) || p->shard >= shards) {
            continue;
        }
        rc = use_prefix(p->corpus, (int)shards, &is, e);
        if (rc != RC_OK || memcmp(&is, &said, sizeof is) != 0) {
            continue;
        }
        corpus_forgotten_digest(p->corpus, &is);
        *holds = !corpus_is_forgotten(p->corpus, p->shard, p->position) ||
                 json_get_digest(store, path, "forgotten_digest", &gone, NULL) != RC_OK ||
                 memcmp(&gone, &is, sizeof is) != 0;
    }
    return rc;
}

/* Of an unlabeled image a run uses what its selection holds, or else what its labels hold. */
static enum rc use_unlabeled(const struct lineage *l, const json_t *stores, const char *path,
                             bool *used, const struct lineage_selected **by, struct err *e)
{
    const json_t *selection = json_object_get(stores, "selection");
    struct digest d;
    int shards = 0;
    enum rc rc = RC_OK;

    *used = false;
    if (selection != NULL) {
        rc = json_get_digest(selection, path, "digest", &d, e);
        for (size_t i = 0; i < l->n_selected && rc == RC_OK; i++) {
            if (memcmp(&l->selected[i].digest, &d, sizeof d) == 0) {
                *by = &l->selected[i];
                *used = l->selected[i].copies > 0;
            }
        }
        return rc;
    }
    rc = json_get_digest(json_object_get(stores, "labels"), path, "digest", &d, e);
    for (size_t i = 0; i < l->n_labels && rc == RC_OK; i++) {
        *used = *used ||
                (label_store_had(l->labels[i].store, &d, &shards) && l->labels[i].index < shards);
    }
    return rc;
}

static enum rc use_run(struct lineage *l, const json_t *stores, const char *path, struct err *e)
{
    static const char *const parts[] = {"data", "unlabeled", "eval"};
    enum rc rc = RC_OK;

    for (size_t i = 0; i < sizeof parts / sizeof *parts && rc == RC_OK; i++) {
        const json_t *store = json_object_get(stores, parts[i]);
        const struct lineage_selected *by = NULL;
        bool used = false;
        json_t *o = NULL;

        rc = store != NULL ? use_corpus(l, store, path, &used, e) : RC_OK;
        if (rc == RC_OK && used && i == 1) {
            rc = use_unlabeled(l, stores, path, &used, &by, e);
        }
        if (rc != RC_OK || !used) {
            continue;
        }
        o = json_pack("{s:s}", "as", parts[i]);
        if (o != NULL && by != NULL) {
            rc = json_bytes_set(o, "selection", by->path, strlen(by->path), e);
        }
        if (rc == RC_OK) {
            rc = use_append(l->runs, o, "run", path, e);
        }
    }
    return rc;
}

enum rc lineage_run(struct lineage *l, const char *path, struct err *e)
{
    char *manifest = mem_sprintf("%s/stores.json", path);
    struct err why = {0};
    json_t *root = NULL;
    enum rc rc = manifest != NULL ? manifest_read(manifest, "run", LINEAGE_RUN_FORMAT, &root, &why)
                                  : mem_raise(&why, "a path", strlen(path));

    if (rc == RC_OK) {
        rc = use_run(l, json_object_get(root, "stores"), path, &why);
    }
    json_decref(root);
    mem_free(manifest);
    return rc == RC_OK ? RC_OK : lineage_unreadable(l, path, rc, &why, e);
}

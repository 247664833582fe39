#include "shards/lineage.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/base/mem.h"
#include "shards/json_bytes.h"
#include "shards/label_bad_impl.h"
#include "shards/lineage_impl.h"
#include "shards/quarantine.h"

enum { LINEAGE_TIME = 32 };

/* When a sealed file was written, by its file system ("" unknown): sealed bytes know no time. */
static void lineage_time(const char *dir, const char *name, char out[LINEAGE_TIME])
{
    char *path = mem_sprintf("%s/%s", dir, name);
    struct stat st;
    struct tm utc;

    out[0] = '\0';
    if (path != NULL && stat(path, &st) == 0 && gmtime_r(&st.st_mtime, &utc) != NULL) {
        (void)strftime(out, LINEAGE_TIME, "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
    mem_free(path);
}

static enum rc lineage_append(json_t *list, json_t *o, struct err *e)
{
    return json_array_append_new(list, o) == 0 ? RC_OK : mem_raise(e, "a lineage", 0);
}

enum rc lineage_unreadable(struct lineage *l, const char *path, enum rc rc, const struct err *why,
                           struct err *e)
{
    json_t *o = NULL;

    if (rc == RC_NOMEM) {
        return err_raise(e, rc, "%s", why->msg);
    }
    o = json_pack("{s:s}", "reason", why->msg);
    rc = o != NULL ? json_bytes_set(o, "store", path, strlen(path), e)
                   : mem_raise(e, "a lineage", 0);
    if (rc != RC_OK) {
        json_decref(o);
        return rc;
    }
    return lineage_append(l->unreadable, o, e);
}

/* ---- corpora ----------------------------------------------------------------------------------- */

static enum rc lineage_source(json_t *list, const struct corpus *c, const char *source,
                              size_t bytes, int32_t cls, bool later, struct err *e)
{
    json_t *o = json_object();
    enum rc rc =
        o != NULL ? json_bytes_set(o, "source", source, bytes, e) : mem_raise(e, "a lineage", 0);

    if (rc == RC_OK && cls >= 0 && cls < corpus_classes(c)) {
        rc = json_object_set_new(o, "class", json_string(corpus_class(c, cls))) == 0
                 ? RC_OK
                 : mem_raise(e, "a lineage", 0);
    }
    if (rc == RC_OK && json_object_set_new(o, "later", json_boolean(later)) != 0) {
        rc = mem_raise(e, "a lineage", 0);
    }
    if (rc != RC_OK) {
        json_decref(o);
        return rc;
    }
    return lineage_append(list, o, e);
}

/* A labeled corpus has merged what came later into the record. */
static enum rc lineage_later(json_t *list, const struct corpus *c, const struct key128 *key,
                             struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < c->n_extra_files && !c->labeled && rc == RC_OK; i++) {
        struct corpus_extras x = {NULL, 0, 0};

        rc = corpus_extra_read(c->path, &c->extra_files[i], &x, e);
        for (size_t k = 0; k < x.n && rc == RC_OK; k++) {
            if (memcmp(&x.all[k].key, key, sizeof *key) == 0) {
                rc = lineage_source(list, c, x.all[k].source, x.all[k].source_bytes, x.all[k].cls,
                                    true, e);
            }
        }
        corpus_extras_release(&x);
    }
    return rc;
}

static enum rc lineage_record(struct lineage *l, const struct lineage_place *p,
                              struct shard_reader *r, struct err *e)
{
    const struct corpus_shard *s = corpus_shard(p->corpus, p->shard);
    struct shard_record rec;
    char when[LINEAGE_TIME];
    size_t bytes = 0;
    const char *why = corpus_forgotten_why(p->corpus, p->shard, p->position, &bytes);
    json_t *sources = json_array();
    json_t *o = NULL;
    enum rc rc = shard_reader_get(r, p->position, &rec, e);

    for (int i = 0; rc == RC_OK && i < rec.n_occurrences; i++) {
        size_t n = 0;
        const char *source = shard_record_source(&rec, i, &n);

        rc = lineage_source(sources, p->corpus, source, n, shard_record_class(&rec, i), false, e);
    }
    if (rc == RC_OK) {
        rc = lineage_later(sources, p->corpus, &l->key, e);
    }
    if (rc == RC_OK) {
        lineage_time(corpus_path(p->corpus), s->name, when);
        o = json_pack("{s:s,s:i,s:I,s:I,s:s,s:O}", "shard_name", s->name, "shard", p->shard,
                      "position", (json_int_t)p->position, "bytes", (json_int_t)rec.bytes, "sealed",
                      when, "sources", sources);
        rc = o != NULL ? json_bytes_set(o, "corpus", corpus_path(p->corpus),
                                        strlen(corpus_path(p->corpus)), e)
                       : mem_raise(e, "a lineage", 0);
    }
    if (rc == RC_OK && why != NULL) {
        rc = json_bytes_set(o, "forgotten", why, bytes, e);
    }
    json_decref(sources);
    if (rc != RC_OK) {
        json_decref(o);
        return rc;
    }
    return lineage_append(l->corpora, o, e);
}

static enum rc lineage_image(struct lineage *l, struct corpus *c, bool *found, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < corpus_shards(c) && !*found && rc == RC_OK; i++) {
        struct shard_reader *r = NULL;
        uint64_t position = 0;

        rc = shard_reader_open(c, i, true, &r, e);
        if (rc == RC_OK) {
            shard_reader_find(r, &l->key, found, &position);
        }
        if (rc == RC_OK && *found) {
            const struct lineage_place place = {c, i, (uint32_t)position};

            l->places[l->n_places++] = place;
            rc = lineage_record(l, &place, r, e);
        }
        shard_reader_close(r);
    }
    return rc;
}

static enum rc lineage_ledger(struct lineage *l, const char *path, struct err *e)
{
    struct quarantine *q = NULL;
    enum rc rc = quarantine_open(path, QUARANTINE_READ, &q, e);

    for (uint64_t i = 0; rc == RC_OK && i < quarantine_entries(q); i++) {
        const struct quarantine_entry *x = quarantine_at(q, i);
        json_t *o = NULL;

        if (!x->has_key || memcmp(&x->key, &l->key, sizeof l->key) != 0) {
            continue;
        }
        o = json_pack("{s:s,s:s?}", "reason", x->reason, "detail", x->detail);
        rc = o != NULL ? json_bytes_set(o, "source", x->source, strlen(x->source), e)
                       : mem_raise(e, "a lineage", 0);
        if (rc == RC_OK) {
            rc = json_bytes_set(o, "corpus", path, strlen(path), e);
        }
        if (rc == RC_OK) {
            rc = lineage_append(l->quarantine, json_incref(o), e);
        }
        json_decref(o);
    }
    quarantine_close(q);
    return rc;
}

static enum rc lineage_corpus(struct lineage *l, const char *path, struct err *e)
{
    struct corpus *c = NULL;
    struct err why = {0};
    bool found = false;
    enum rc rc = corpus_open(path, &c, &why);

    if (rc == RC_OK) {
        rc = lineage_image(l, c, &found, &why);
    }
    if (!found) { /* else a place holds it */
        corpus_close(c);
    }
    if (rc == RC_OK) {
        rc = lineage_ledger(l, path, &why);
    }
    return rc == RC_OK ? RC_OK : lineage_unreadable(l, path, rc, &why, e);
}

/* ---- labels ------------------------------------------------------------------------------------ */

/* The label shard of a shard that holds the image, by its digest: -1 none. */
static int lineage_label_shard(const struct lineage *l, const struct label_store *s,
                               const struct lineage_place **place)
{
    for (size_t p = 0; p < l->n_places; p++) {
        const struct corpus_shard *image = corpus_shard(l->places[p].corpus, l->places[p].shard);
        int i = label_store_find(s, l->places[p].shard);

        if (i >= 0 && memcmp(&label_store_shard(s, i)->image_digest, &image->digest,
                             sizeof image->digest) == 0) {
            *place = &l->places[p];
            return i;
        }
    }
    return -1;
}

/* What a label shard says of an image that it could not decode: looked for by key. */
struct lineage_bad {
    const struct key128 *key;
    json_t *entry;
};

static enum rc lineage_bad_one(void *ctx, const struct quarantine_entry *why, struct err *e)
{
    const struct lineage_bad *b = ctx;

    if (memcmp(&why->key, b->key, sizeof why->key) != 0) {
        return RC_OK;
    }
    return json_object_set_new(b->entry, "bad", json_string(why->reason)) == 0
               ? json_bytes_set(b->entry, "detail", why->detail, strlen(why->detail), e)
               : mem_raise(e, "a lineage", 0);
}

static enum rc lineage_label_bad(const struct lineage *l, const struct label_store *s, int i,
                                 struct label_reader *r, json_t *entry, struct err *e)
{
    struct lineage_bad b = {&l->key, entry};
    const char *text = NULL;
    size_t bytes = 0;
    enum rc rc = label_reader_bad(r, &text, &bytes, e);

    return rc == RC_OK
               ? label_bad_each(label_store_shard(s, i)->name, text, bytes, lineage_bad_one, &b, e)
               : rc;
}

static enum rc lineage_label_entry(struct lineage *l, const struct label_store *s, int i,
                                   struct label_reader *r, const struct label *label, struct err *e)
{
    const struct label_lineage *t = label_store_lineage(s);
    const struct label_shard *shard = label_store_shard(s, i);
    char weights[HASH_HEX_DIGEST];
    char classes[HASH_HEX_DIGEST];
    char when[LINEAGE_TIME];
    json_t *o = NULL;
    enum rc rc = RC_OK;

    if (label->cls[0] >= t->n_classes) {
        return err_raise(e, RC_CORRUPT, "'%s/%s': a class is out of range", label_store_path(s),
                         shard->name);
    }
    hash_digest_hex(&t->weights, weights);
    hash_digest_hex(&t->classes, classes);
    lineage_time(label_store_path(s), shard->name, when);
    o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:s,s:s,s:s,s:f,s:b}", "model", t->model, "weights",
                  weights, "preprocessing", t->preprocessing, "precision", t->precision, "classes",
                  classes, "top_k", t->top_k, "isa", shard->isa, "sealed", when, "class",
                  label_store_class(s, label->cls[0]), "confidence", (double)label->confidence,
                  "empty", label->confidence == 0);
    rc = o != NULL ? json_bytes_set(o, "store", label_store_path(s), strlen(label_store_path(s)), e)
                   : mem_raise(e, "a lineage", 0);
    if (rc == RC_OK && label->confidence == 0) {
        rc = lineage_label_bad(l, s, i, r, o, e);
    }
    if (rc != RC_OK) {
        json_decref(o);
        return rc;
    }
    return lineage_append(l->by_teacher, o, e);
}

static enum rc lineage_label(struct lineage *l, struct label_store *s, bool *kept, struct err *e)
{
    struct label_reader *r = NULL;
    struct label label;
    bool found = false;
    const struct lineage_place *place = NULL;
    int i = lineage_label_shard(l, s, &place);
    enum rc rc = i >= 0 ? label_reader_open(s, i, true, &r, e) : RC_OK;

    if (rc == RC_OK && i >= 0) {
        rc = label_reader_get(r, &l->key, &label, &found, e);
    }
    if (rc == RC_OK && found) {
        rc = lineage_label_entry(l, s, i, r, &label, e);
    }
    if (rc == RC_OK && found) {
        l->labels[l->n_labels++] = (struct lineage_label){s, i, place->shard, place->position};
        *kept = true;
    }
    label_reader_close(r);
    return rc;
}

static enum rc lineage_labels(struct lineage *l, const char *path, struct err *e)
{
    struct label_store *s = NULL;
    struct err why = {0};
    bool kept = false;
    enum rc rc = label_store_open(path, &s, &why);

    if (rc == RC_OK) {
        rc = lineage_label(l, s, &kept, &why);
    }
    if (!kept) {
        label_store_close(s);
    }
    return rc == RC_OK ? RC_OK : lineage_unreadable(l, path, rc, &why, e);
}

/* ---- the whole --------------------------------------------------------------------------------- */

static enum rc lineage_each(struct lineage *l, enum lineage_kind kind,
                            enum rc (*look)(struct lineage *, const char *, struct err *),
                            struct err *e)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i < l->stores.n && rc == RC_OK; i++) {
        if (l->stores.all[i].kind == kind) {
            rc = look(l, l->stores.all[i].path, e);
        }
    }
    return rc;
}

static enum rc lineage_begin(struct lineage *l, const char *const *roots, int n, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < n && rc == RC_OK; i++) {
        rc = lineage_walk(roots[i], &l->stores, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    l->places = mem_calloc(l->stores.n + 1, sizeof *l->places);
    l->labels = mem_calloc(l->stores.n + 1, sizeof *l->labels);
    l->selected = mem_calloc(l->stores.n + 1, sizeof *l->selected);
    l->corpora = json_array();
    l->quarantine = json_array();
    l->by_teacher = json_array();
    l->selections = json_array();
    l->runs = json_array();
    l->unreadable = json_array();
    if (l->places == NULL || l->labels == NULL || l->selected == NULL || l->unreadable == NULL) {
        return mem_raise(e, "a lineage", l->stores.n * sizeof *l->places);
    }
    return RC_OK;
}

static void lineage_release(struct lineage *l)
{
    for (size_t i = 0; i < l->n_places; i++) {
        corpus_close(l->places[i].corpus);
    }
    for (size_t i = 0; i < l->n_labels; i++) {
        label_store_close(l->labels[i].store);
    }
    for (size_t i = 0; i < l->n_selected; i++) {
        mem_free(l->selected[i].path);
    }
    mem_free(l->places);
    mem_free(l->labels);
    mem_free(l->selected);
    json_decref(l->corpora);
    json_decref(l->quarantine);
    json_decref(l->by_teacher);
    json_decref(l->selections);
    json_decref(l->runs);
    json_decref(l->unreadable);
    lineage_walk_release(&l->stores);
}

static enum rc lineage_result(const struct lineage *l, json_t **out, struct err *e)
{
    char hex[HASH_HEX_KEY];

    hash_key_hex(&l->key, hex);
    if (json_array_size(l->corpora) + json_array_size(l->quarantine) == 0) {
        return err_raise(e, RC_INVAL, "no corpus knows the image %s (%zu stores looked at%s)", hex,
                         l->stores.n,
                         json_array_size(l->unreadable) > 0 ? ", some could not be read" : "");
    }
    *out = json_pack("{s:s,s:O,s:O,s:O,s:O,s:O,s:O}", "key", hex, "corpora", l->corpora,
                     "quarantine", l->quarantine, "labels", l->by_teacher, "selections",
                     l->selections, "runs", l->runs, "unreadable", l->unreadable);
    return *out != NULL ? RC_OK : mem_raise(e, "a lineage", 0);
}

enum rc lineage_find(const char *const *roots, int n, const struct key128 *key, json_t **out,
                     struct err *e)
{
    struct lineage l = {.key = *key};
    enum rc rc = lineage_begin(&l, roots, n, e);

    if (rc == RC_OK) {
        rc = lineage_each(&l, LINEAGE_CORPUS, lineage_corpus, e);
    }
    if (rc == RC_OK) {
        rc = lineage_each(&l, LINEAGE_LABELS, lineage_labels, e);
    }
    if (rc == RC_OK) {
        rc = lineage_each(&l, LINEAGE_SELECTION, lineage_selection, e);
    }
    if (rc == RC_OK) {
        rc = lineage_each(&l, LINEAGE_RUN, lineage_run, e);
    }
    if (rc == RC_OK) {
        rc = lineage_result(&l, out, e);
    }
    lineage_release(&l);
    return rc;
}

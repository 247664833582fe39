#include "student/train_record.h"

#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/json_bytes.h"
#include "shards/manifest.h"

enum { TRAIN_RECORD_FORMAT = 1 };

/* ---- the stores -------------------------------------------------------------------------------- */

static enum rc record_add(json_t *list, const char *name, const char *path,
                          const struct digest *digest, json_t **out, struct err *e)
{
    char hex[HASH_HEX_DIGEST];
    json_t *o = NULL;

    hash_digest_hex(digest, hex);
    o = json_pack("{s:s}", "digest", hex);
    if (o == NULL || json_object_set_new(list, name, o) != 0) {
        return mem_raise(e, "the record of a run", 0);
    }
    *out = o;
    return json_bytes_set(o, "path", path, strlen(path), e);
}

/* The digest over the shards alone tells whether a corpus that has grown since holds these. */
static enum rc record_shards(const struct corpus *c, char hex[HASH_HEX_DIGEST], struct err *e)
{
    struct hash *h = NULL;
    struct digest d;
    enum rc rc = hash_create(&h, e);

    if (rc != RC_OK) {
        return rc;
    }
    for (int i = 0; i < corpus_shards(c); i++) {
        hash_update(h, &corpus_shard(c, i)->digest, sizeof d);
    }
    hash_final(h, &d);
    hash_digest_hex(&d, hex);
    hash_destroy(h);
    return RC_OK;
}

static enum rc record_corpus(json_t *list, const char *name, const struct corpus *c, struct err *e)
{
    char hex[HASH_HEX_DIGEST];
    struct digest d;
    json_t *o = NULL;
    enum rc rc = RC_OK;

    if (c == NULL) {
        return RC_OK;
    }
    corpus_digest(c, &d);
    rc = record_add(list, name, corpus_path(c), &d, &o, e);
    if (rc == RC_OK) {
        rc = record_shards(c, hex, e);
    }
    if (rc == RC_OK &&
        (json_object_set_new(o, "shards", json_integer(corpus_shards(c))) != 0 ||
         json_object_set_new(o, "shards_digest", json_string(hex)) != 0 ||
         json_object_set_new(o, "forgotten", json_integer((json_int_t)corpus_forgotten(c))) != 0 ||
         (corpus_guards(c) != NULL &&
          json_object_set_new(o, "guards", json_deep_copy(corpus_guards(c))) != 0))) {
        rc = mem_raise(e, "the record of a run", 0);
    }
    if (rc == RC_OK && corpus_forgotten(c) > 0) {
        corpus_forgotten_digest(c, &d);
        hash_digest_hex(&d, hex);
        rc = json_object_set_new(o, "forgotten_digest", json_string(hex)) == 0
                 ? RC_OK
                 : mem_raise(e, "the record of a run", 0);
    }
    return rc;
}

static enum rc record_stores(const struct train_config *c, const struct train_stores *s,
                             json_t *list, struct err *e)
{
    struct digest d;
    json_t *o = NULL;
    enum rc rc = record_corpus(list, "data", s->labeled, e);

    if (rc == RC_OK) {
        rc = record_corpus(list, "unlabeled", s->unlabeled, e);
    }
    if (rc == RC_OK) {
        rc = record_corpus(list, "eval", s->eval, e);
    }
    if (rc == RC_OK && s->labels != NULL) {
        label_store_digest(s->labels, &d);
        rc = record_add(list, "labels", label_store_path(s->labels), &d, &o, e);
    }
    if (rc == RC_OK && s->selection != NULL) {
        selection_digest(s->selection, &d);
        rc = record_add(list, "selection", c->selection, &d, &o, e);
        if (rc == RC_OK && selection_guards(s->selection) != NULL &&
            json_object_set_new(o, "guards", json_deep_copy(selection_guards(s->selection))) != 0) {
            rc = mem_raise(e, "the record of a run", 0);
        }
    }
    return rc;
}

enum rc train_record_make(const struct train_config *c, const struct train_stores *s,
                          const char *run_digest, json_t **out, struct err *e)
{
    json_t *list = json_object();
    json_t *root = json_pack("{s:s,s:O*}", "run_digest", run_digest, "stores", list);
    enum rc rc = list != NULL && root != NULL ? record_stores(c, s, list, e)
                                              : mem_raise(e, "the record of a run", 0);

    json_decref(list);
    if (rc != RC_OK) {
        json_decref(root);
        return rc;
    }
    *out = root;
    return RC_OK;
}

enum rc train_record_write(const struct train_config *c, const struct train_stores *s,
                           const char *run_digest, struct err *e)
{
    char *path = fs_join(c->out, "stores.json");
    json_t *root = NULL;
    enum rc rc = path != NULL ? train_record_make(c, s, run_digest, &root, e)
                              : mem_raise(e, "a path", strlen(c->out));

    if (rc == RC_OK) {
        rc = manifest_write(path, "run", TRAIN_RECORD_FORMAT, root, e);
    }
    json_decref(root);
    mem_free(path);
    return rc;
}

/* ---- guards ------------------------------------------------------------------------------------ */

/* A claim that covers all shards of c, of the evaluation set at hand (NULL: of any). */
static const json_t *record_claim(const json_t *claims, const struct corpus *c,
                                  const struct corpus *eval)
{
    struct digest want;

    for (size_t i = 0; i < json_array_size(claims); i++) {
        const json_t *claim = json_array_get(claims, i);
        struct digest of;
        int64_t shards = 0;

        if (json_get_int(claim, "", "shards", &shards, NULL) != RC_OK ||
            json_get_digest(claim, "", "digest", &of, NULL) != RC_OK || shards < corpus_shards(c)) {
            continue;
        }
        if (eval != NULL) {
            corpus_digest(eval, &want);
        }
        if (eval == NULL || memcmp(&want, &of, sizeof of) == 0) {
            return claim;
        }
    }
    return NULL;
}

static char *record_says(const struct corpus *c, const struct corpus *eval, const json_t *claim)
{
    const char *of = json_string_value(json_object_get(claim, "evaluation"));

    if (claim != NULL) {
        return mem_sprintf("'%s' passed that of '%s': within %lld bits, %lld images left out%s",
                           corpus_path(c), of != NULL ? of : "an evaluation set",
                           (long long)json_integer_value(json_object_get(claim, "radius")),
                           (long long)json_integer_value(json_object_get(claim, "removed")),
                           eval != NULL ? ""
                                        : "; this run has no --eval-data, so nobody knows whether "
                                          "that is what it is judged on");
    }
    if (eval != NULL) {
        return mem_sprintf("none: nobody looked for images of '%s' in '%s' (pack or select with "
                           "--forbid)",
                           corpus_path(eval), corpus_path(c));
    }
    return mem_sprintf("none: nobody looked for images of an evaluation set in '%s' (pack or "
                       "select with --forbid)",
                       corpus_path(c));
}

/* What the guard was against: its place and digest, and whether this run is judged on it. */
static enum rc record_against(json_t *o, const json_t *claim, const struct corpus *eval,
                              struct err *e)
{
    static const char *const kept[] = {"evaluation", "evaluation_hex", "digest", "radius"};
    json_t *against = claim != NULL ? json_object() : json_null();
    int failed = against == NULL;

    for (size_t i = 0; i < sizeof kept / sizeof kept[0] && claim != NULL && !failed; i++) {
        json_t *v = json_object_get(claim, kept[i]);

        failed = v != NULL && json_object_set(against, kept[i], v) != 0;
    }
    if (claim != NULL && !failed) {
        failed = json_object_set_new(against, "is_eval_data", json_boolean(eval != NULL)) != 0;
    }
    failed = json_object_set_new(o, "against", against) != 0 || failed;
    return failed ? mem_raise(e, "the guards of a run", 0) : RC_OK;
}

static enum rc record_guard(json_t *list, const struct corpus *c, const struct corpus *eval,
                            const json_t *more, struct err *e)
{
    const json_t *claim = c != NULL ? record_claim(corpus_guards(c), c, eval) : NULL;
    char *says = NULL;
    json_t *o = NULL;
    enum rc rc = RC_OK;

    if (c == NULL) {
        return RC_OK;
    }
    claim = claim == NULL ? record_claim(more, c, eval) : claim;
    says = record_says(c, eval, claim);
    o = says != NULL ? json_pack("{s:b,s:s}", "passed", claim != NULL, "says", says) : NULL;
    if (o == NULL) { /* a path that is not UTF-8 */
        o = json_pack("{s:b,s:s}", "passed", claim != NULL, "says",
                      claim != NULL ? "passed" : "none");
    }
    rc = o != NULL && json_array_append_new(list, o) == 0
             ? json_bytes_set(o, "store", corpus_path(c), strlen(corpus_path(c)), e)
             : mem_raise(e, "the guards of a run", 0);
    if (rc == RC_OK) {
        rc = record_against(o, claim, eval, e);
    }
    mem_free(says);
    return rc;
}

enum rc train_record_guards(const struct train_stores *s, json_t **out, struct err *e)
{
    json_t *list = json_array();
    enum rc rc = list != NULL ? record_guard(list, s->labeled, s->eval, NULL, e)
                              : mem_raise(e, "the guards of a run", 0);

    if (rc == RC_OK) {
        rc = record_guard(list, s->unlabeled, s->eval,
                          s->selection != NULL ? selection_guards(s->selection) : NULL, e);
    }
    if (rc != RC_OK) {
        json_decref(list);
        return rc;
    }
    *out = list;
    return RC_OK;
}

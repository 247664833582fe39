#include "shards/pack_guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "shards/corpus_impl.h"
#include "shards/forget.h"
#include "shards/guard.h"

struct pack_guarding {
    const struct pack_config *config;
    struct pack_result *result;
    struct corpus *corpus;
    json_t *claims; /* as they will be */
};

static const char guard_prefix[] = "forbidden-";

/* What an earlier run of the same guard has found: where to go on, and its lines. */
static enum rc guarding_before(const struct pack_guarding *p, const struct guard *g, int *from,
                               uint64_t *removed, char **text, size_t *bytes, struct err *e)
{
    const json_t *claim = guard_claim_of(g, p->corpus->guards);
    struct err why = {0};
    int64_t shards = 0;
    int64_t count = 0;
    enum rc rc = RC_OK;

    *from = 0;
    *removed = 0;
    if (claim == NULL || json_get_int(claim, "", "shards", &shards, NULL) != RC_OK ||
        json_get_int(claim, "", "removed", &count, NULL) != RC_OK || shards < 0 ||
        shards > p->corpus->n_shards || count < 0) {
        return RC_OK;
    }
    rc = guard_claim_list(p->config->out, claim, text, bytes, &why);
    if (rc == RC_NOMEM) {
        return err_raise(e, rc, "%s", why.msg);
    }
    if (rc != RC_OK) {
        log_warn("shards", "%s: looking at all shards again", why.msg);
        return RC_OK;
    }
    *from = (int)shards;
    *removed = (uint64_t)count;
    return RC_OK;
}

static int guarding_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct key128));
}

static enum rc guarding_forget(struct pack_guarding *p, const struct guard *g,
                               const struct guard_hits *hits, struct err *e)
{
    struct key128 *keys = mem_calloc(hits->n + 1, sizeof *keys);
    struct forget_result r = {0};
    char reason[256];
    enum rc rc = keys != NULL ? RC_OK : mem_raise(e, "keys to forget", hits->n * sizeof *keys);

    for (size_t i = 0; i < hits->n && rc == RC_OK; i++) {
        keys[i] = hits->all[i].key;
    }
    (void)snprintf(reason, sizeof reason, "leak guard: it is near an image of '%s'", guard_path(g));
    if (rc == RC_OK && hits->n > 0) {
        qsort(keys, hits->n, sizeof *keys, guarding_compare);
        rc = forget_keys(p->config->out, keys, hits->n, reason, &r, e);
    }
    p->result->forbidden_now += r.fresh;
    mem_free(keys);
    return rc;
}

/* A newer claim replaces those of the same set, by place or by contents. */
static enum rc guarding_enter(struct pack_guarding *p, const struct guard *g, json_t *claim,
                              struct err *e)
{
    const json_t *place = json_object_get(claim, "evaluation");
    const json_t *same = NULL;

    while ((same = guard_claim_of(g, p->claims)) != NULL) {
        size_t i = 0;

        while (json_array_get(p->claims, i) != same) {
            i++;
        }
        (void)json_array_remove(p->claims, i);
    }
    for (size_t i = json_array_size(p->claims); i-- > 0;) {
        const json_t *other = json_object_get(json_array_get(p->claims, i), "evaluation");

        if (place != NULL && other != NULL && json_equal(place, other)) {
            (void)json_array_remove(p->claims, i);
        }
    }
    return json_array_append_new(p->claims, claim) == 0 ? RC_OK : mem_raise(e, "guards", 0);
}

static enum rc guarding_one(struct pack_guarding *p, const struct guard *g, struct err *e)
{
    struct guard_hits hits = {0};
    json_t *claim = NULL;
    char name[GUARD_NAME];
    char *text = NULL;
    uint64_t removed = 0;
    size_t bytes = 0;
    int from = 0;
    enum rc rc = guarding_before(p, g, &from, &removed, &text, &bytes, e);

    if (rc == RC_OK) {
        rc = guard_find(g, p->corpus, from, p->config->stop, &hits, e);
    }
    if (rc == RC_OK) {
        rc = guarding_forget(p, g, &hits, e);
    }
    if (rc == RC_OK) {
        rc = guard_lines(g, p->config->out, hits.all, hits.n, &text, &bytes, e);
    }
    if (rc == RC_OK) {
        rc = guard_list_write(p->config->out, guard_prefix, text != NULL ? text : "", bytes, name,
                              e);
    }
    if (rc == RC_OK) {
        removed += hits.n;
        p->result->forbidden += removed;
        rc = guard_claim(g, p->corpus->n_shards, removed, name, text != NULL ? text : "", bytes,
                         &claim, e);
    }
    if (rc == RC_OK) {
        rc = guarding_enter(p, g, claim, e);
    }
    guard_hits_release(&hits);
    mem_free(text);
    return rc;
}

/* The manifest with the claims. The corpus at hand counts what came later: it is not the one to save. */
static enum rc guarding_save(struct pack_guarding *p, struct err *e)
{
    struct corpus *c = NULL;
    enum rc rc = RC_OK;

    if (p->corpus->guards != NULL && json_equal(p->corpus->guards, p->claims)) {
        return RC_OK;
    }
    rc = corpus_load(p->config->out, &c, e);
    if (rc == RC_OK) {
        json_decref(c->guards);
        c->guards = json_incref(p->claims);
        rc = corpus_save(c, e);
    }
    corpus_close(c);
    return rc;
}

static enum rc guarding_all(struct pack_guarding *p, struct err *e)
{
    struct guard **guards = NULL;
    int n = 0;
    enum rc rc = guard_open_list(p->config->forbid, p->config->forbid_radius, &guards, &n, e);

    for (int i = 0; i < n && rc == RC_OK; i++) {
        rc = guarding_one(p, guards[i], e);
    }
    if (rc == RC_OK) {
        rc = guarding_save(p, e);
    }
    if (rc == RC_OK) {
        guard_list_sweep(p->config->out, guard_prefix, p->claims);
    }
    guard_close_all(guards, n);
    return rc;
}

/* New shards of a guarded corpus that no guard has seen. */
static void guarding_warn(const struct pack_guarding *p)
{
    for (size_t i = 0; i < json_array_size(p->corpus->guards); i++) {
        const json_t *claim = json_array_get(p->corpus->guards, i);
        const char *of = json_string_value(json_object_get(claim, "evaluation"));
        int64_t shards = json_integer_value(json_object_get(claim, "shards"));

        if (shards < p->corpus->n_shards) {
            log_warn("shards",
                     "'%s' was guarded against '%s', its last %lld shard(s) are not: pack again "
                     "with --forbid",
                     p->config->out, of != NULL ? of : "an evaluation set",
                     (long long)(p->corpus->n_shards - shards));
        }
    }
}

enum rc pack_guard(const struct pack_config *config, struct pack_result *result, struct err *e)
{
    struct pack_guarding p = {.config = config, .result = result};
    enum rc rc = corpus_open(config->out, &p.corpus, e);

    if (rc == RC_OK && config->forbid == NULL) {
        guarding_warn(&p);
    } else if (rc == RC_OK) {
        p.claims = p.corpus->guards != NULL ? json_copy(p.corpus->guards) : json_array();
        rc = p.claims != NULL ? guarding_all(&p, e) : mem_raise(e, "guards", 0);
    }
    json_decref(p.claims);
    corpus_close(p.corpus);
    return rc;
}

#include "labeler/select_leave.h"

#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"

struct select_leave {
    int n;          /* label shards */
    uint8_t **bits; /* (n) a bit an image; NULL: none of the shard is left out */
    uint64_t forgotten, forbidden;
    json_t *claims;
    struct digest digest;
};

static enum rc leave_fits(const struct label_store *labels, const struct corpus *corpus,
                          struct err *e)
{
    for (int i = 0; i < label_store_shards(labels); i++) {
        const struct label_shard *s = label_store_shard(labels, i);

        if (s->shard >= corpus_shards(corpus) ||
            memcmp(&s->image_digest, &corpus_shard(corpus, s->shard)->digest,
                   sizeof s->image_digest) != 0) {
            return err_raise(e, RC_INVAL,
                             "the labels '%s' were made for other images than '%s' holds (shard "
                             "'%s')",
                             label_store_path(labels), corpus_path(corpus), s->image_shard);
        }
    }
    return RC_OK;
}

/* The bits of label shard i, all clear if they are new. */
static enum rc leave_bits(struct select_leave *l, const struct label_store *labels, int i,
                          struct err *e)
{
    size_t bytes = (size_t)label_store_shard(labels, i)->labels / 8 + 1;

    if (l->bits[i] == NULL) {
        l->bits[i] = mem_calloc(bytes, 1);
    }
    return l->bits[i] != NULL ? RC_OK : mem_raise(e, "images to leave out", bytes);
}

static enum rc leave_forgotten(struct select_leave *l, const struct label_store *labels,
                               const struct corpus *corpus, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < l->n && rc == RC_OK; i++) {
        const struct label_shard *s = label_store_shard(labels, i);

        if (corpus_shard_forgotten(corpus, s->shard) == 0) {
            continue;
        }
        rc = leave_bits(l, labels, i, e);
        for (uint64_t p = 0; p < s->labels && rc == RC_OK; p++) {
            if (corpus_is_forgotten(corpus, s->shard, (uint32_t)p)) {
                l->bits[i][p / 8] |= (uint8_t)(1u << (p % 8));
                l->forgotten++;
            }
        }
    }
    return rc;
}

enum rc select_leave_create(const struct label_store *labels, const struct corpus *corpus,
                            struct select_leave **out, struct err *e)
{
    struct select_leave *l = mem_calloc(1, sizeof *l);
    enum rc rc =
        l != NULL ? leave_fits(labels, corpus, e) : mem_raise(e, "images to leave out", sizeof *l);

    if (rc == RC_OK) {
        l->n = label_store_shards(labels);
        corpus_forgotten_digest(corpus, &l->digest);
        l->bits = mem_calloc((size_t)l->n + 1, sizeof *l->bits);
        rc = l->bits != NULL ? leave_forgotten(l, labels, corpus, e)
                             : mem_raise(e, "images to leave out", (size_t)l->n);
    }
    if (rc != RC_OK) {
        select_leave_destroy(l);
        return rc;
    }
    *out = l;
    return RC_OK;
}

void select_leave_destroy(struct select_leave *l)
{
    if (l != NULL) {
        for (int i = 0; i < l->n && l->bits != NULL; i++) {
            mem_free(l->bits[i]);
        }
        mem_free(l->bits);
        json_decref(l->claims);
        mem_free(l);
    }
}

bool select_leave_any(const struct select_leave *l, int i)
{
    return l->bits[i] != NULL;
}

bool select_leave_has(const struct select_leave *l, int i, uint64_t position)
{
    return l->bits[i] != NULL && (l->bits[i][position / 8] >> (position % 8) & 1) != 0;
}

uint64_t select_leave_forgotten(const struct select_leave *l)
{
    return l->forgotten;
}

void select_leave_digest(const struct select_leave *l, struct digest *out)
{
    *out = l->digest;
}

/* ---- guards ------------------------------------------------------------------------------------ */

static enum rc leave_mark(struct select_leave *l, const struct label_store *labels,
                          const struct guard_hits *hits, struct err *e)
{
    enum rc rc = RC_OK;

    for (size_t k = 0; k < hits->n && rc == RC_OK; k++) {
        const struct guard_hit *hit = &hits->all[k];
        int i = label_store_find(labels, (int)hit->shard);

        if (i >= 0 && (rc = leave_bits(l, labels, i, e)) == RC_OK) {
            l->forbidden += !select_leave_has(l, i, hit->position);
            l->bits[i][hit->position / 8] |= (uint8_t)(1u << (hit->position % 8));
        }
    }
    return rc;
}

/* Folder of the selection, and how its lists are called. */
static enum rc leave_place(const char *name, char **dir, char **prefix, struct err *e)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash != NULL ? slash + 1 : name;
    size_t n = strlen(base);

    if (n > 5 && (strcmp(base + n - 5, ".lmdb") == 0 || strcmp(base + n - 5, ".json") == 0)) {
        n -= 5;
    }
    *dir = slash == NULL ? mem_strdup(".") : mem_sprintf("%.*s", (int)(slash - name) + 1, name);
    *prefix = mem_sprintf("%.*s.forbidden-", (int)n, base);
    if (*dir == NULL || *prefix == NULL) {
        mem_free(*dir);
        mem_free(*prefix);
        return mem_raise(e, "a path", strlen(name));
    }
    return RC_OK;
}

static enum rc leave_claim(struct select_leave *l, const struct corpus *corpus,
                           const struct guard *g, const struct guard_hits *hits, const char *name,
                           struct err *e)
{
    char list[GUARD_NAME];
    char *dir = NULL;
    char *prefix = NULL;
    char *text = NULL;
    size_t bytes = 0;
    json_t *claim = NULL;
    enum rc rc = leave_place(name, &dir, &prefix, e);

    if (rc != RC_OK) {
        return rc;
    }
    rc = fs_mkdirs(dir, e);
    if (rc == RC_OK) {
        rc = guard_lines(g, corpus_path(corpus), hits->all, hits->n, &text, &bytes, e);
    }
    if (rc == RC_OK) {
        rc = guard_list_write(dir, prefix, text != NULL ? text : "", bytes, list, e);
    }
    if (rc == RC_OK) {
        rc = guard_claim(g, corpus_shards(corpus), hits->n, list, text != NULL ? text : "", bytes,
                         &claim, e);
    }
    if (rc == RC_OK) {
        l->claims = l->claims == NULL ? json_array() : l->claims;
        rc = json_array_append_new(l->claims, claim) == 0 ? RC_OK : mem_raise(e, "guards", 0);
    }
    mem_free(text);
    mem_free(prefix);
    mem_free(dir);
    return rc;
}

enum rc select_leave_forbid(struct select_leave *l, const struct label_store *labels,
                            struct corpus *corpus, const struct guard *g, const char *name,
                            const volatile sig_atomic_t *stop, struct err *e)
{
    struct guard_hits hits = {0};
    enum rc rc = guard_find(g, corpus, 0, stop, &hits, e);

    if (rc == RC_OK) {
        rc = leave_mark(l, labels, &hits, e);
    }
    if (rc == RC_OK) {
        rc = leave_claim(l, corpus, g, &hits, name, e);
    }
    guard_hits_release(&hits);
    return rc;
}

json_t *select_leave_claims(const struct select_leave *l)
{
    return l->claims;
}

void select_leave_sweep(const struct select_leave *l, const char *name)
{
    char *dir = NULL;
    char *prefix = NULL;

    if (leave_place(name, &dir, &prefix, NULL) == RC_OK) {
        guard_list_sweep(dir, prefix, l->claims);
        mem_free(prefix);
        mem_free(dir);
    }
}

uint64_t select_leave_forbidden(const struct select_leave *l)
{
    return l->forbidden;
}

/* ---- which corpus ------------------------------------------------------------------------------ */

static enum rc leave_open(const struct label_store *labels, const char *path, struct corpus **out,
                          struct err *e)
{
    struct corpus *c = NULL;
    enum rc rc = corpus_open(path, &c, e);

    if (rc == RC_OK) {
        rc = leave_fits(labels, c, e);
    }
    if (rc != RC_OK) {
        corpus_close(c);
        return rc;
    }
    *out = c;
    return RC_OK;
}

enum rc select_leave_corpus(const struct label_store *labels, const char *path, struct corpus **out,
                            struct err *why, struct err *e)
{
    char *said = NULL;
    enum rc rc = RC_OK;

    *out = NULL;
    if (path != NULL) {
        return leave_open(labels, path, out, e);
    }
    rc = label_store_corpus(labels, &said, e);
    if (rc == RC_OK && said == NULL) {
        (void)err_raise(why, RC_INVAL, "'%s' does not say where its images are",
                        label_store_path(labels));
    } else if (rc == RC_OK) {
        rc = leave_open(labels, said, out, why);
        rc = rc == RC_NOMEM ? err_raise(e, rc, "%s", why->msg) : RC_OK;
    }
    mem_free(said);
    return rc;
}

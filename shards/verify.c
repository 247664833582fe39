#include "shards/verify.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/corpus_impl.h"
#include "shards/guard.h"
#include "shards/known_sum.h"
#include "shards/lmdb_check_impl.h"
#include "shards/manifest.h"
#include "shards/near_hashes.h"
#include "shards/quarantine.h"
#include "shards/selection.h"
#include "shards/verify_impl.h"

/* ---- what it is -------------------------------------------------------------------------------- */

static bool verify_has(const char *path, const char *suffix, bool *no_memory)
{
    char *full = mem_sprintf("%s%s", path, suffix);
    bool has = full != NULL && fs_exists(full);

    *no_memory |= full == NULL;
    mem_free(full);
    return has;
}

/* A selection's path without its ending. */
static char *verify_stem(const char *path)
{
    size_t n = strlen(path);

    if (n > 5 && (strcmp(path + n - 5, ".lmdb") == 0 || strcmp(path + n - 5, ".json") == 0)) {
        n -= 5;
    }
    return mem_sprintf("%.*s", (int)n, path);
}

enum rc verify_kind(const char *path, enum store_kind *kind, struct err *e)
{
    bool no_memory = false;
    char *stem = verify_stem(path);
    enum rc rc = RC_OK;

    if (stem == NULL) {
        return mem_raise(e, "a path", strlen(path));
    }
    if (!fs_exists(path) && !verify_has(stem, ".json", &no_memory)) {
        rc = err_raise(e, RC_IO, "there is nothing at '%s'", path);
    } else if (verify_has(path, "/corpus.json", &no_memory)) {
        *kind = STORE_CORPUS;
    } else if (verify_has(path, "/stores.json", &no_memory)) {
        *kind = STORE_RUN;
    } else if (fs_is_dir(path)) {
        *kind = STORE_LABELS; /* label_store_open says what it misses */
    } else if (verify_has(stem, ".json", &no_memory) && verify_has(stem, ".lmdb", &no_memory)) {
        *kind = STORE_SELECTION;
    } else {
        rc = err_raise(e, RC_INVAL,
                       "'%s' is no store: expected a folder with corpus.json or labels.json, a "
                       "selection (NAME.lmdb beside NAME.json), or a run (stores.json)",
                       path);
    }
    mem_free(stem);
    return no_memory && rc == RC_OK ? mem_raise(e, "a path", strlen(path)) : rc;
}

/* ---- faults ------------------------------------------------------------------------------------ */

enum rc verify_fault(struct verify *v, enum rc rc, struct err *e)
{
    if (rc != RC_CORRUPT && rc != RC_UNSUPPORTED && rc != RC_INVAL && rc != RC_IO) {
        return rc;
    }
    v->result->faults++;
    v->config->fault(v->config->ctx, e->msg);
    err_clear(e);
    return RC_OK;
}

enum rc verify_say(struct verify *v, const char *where, uint64_t at, const char *what,
                   struct err *e)
{
    (void)err_raise(e, RC_CORRUPT, "'%s' is damaged: record %llu: %s", where,
                    (unsigned long long)at, what);
    return verify_fault(v, RC_CORRUPT, e);
}

enum rc verify_step(struct verify *v, struct err *e)
{
    if (v->config->stop != NULL && *v->config->stop) {
        return err_raise(e, RC_REQUEUE, "stopped after %d of %d shards", v->result->verified,
                         v->result->shards);
    }
    progress_update(&v->progress, (int64_t)v->result->records, NULL);
    return RC_OK;
}

/* Which shard is the i-th to look at, of n. */
int verify_pick(const struct verify *v, int i, int n)
{
    int64_t sample = v->config->sample;

    return sample <= 0 || sample >= n ? i : (int)(i * (int64_t)n / sample);
}

int verify_picks(const struct verify *v, int n)
{
    return v->config->sample > 0 && v->config->sample < n ? (int)v->config->sample : n;
}

enum rc verify_manifest(struct verify *v, const char *dir, const char *name, const char *kind,
                        struct err *e)
{
    char *path = mem_sprintf("%s%s", dir, name);
    json_t *root = NULL;
    enum rc rc = path != NULL ? RC_OK : mem_raise(e, "a path", strlen(dir));

    if (rc == RC_OK) {
        rc = manifest_read(path, kind, INT32_MAX, &root, e);
    }
    if (rc == RC_OK) {
        rc = manifest_verify(path, root, e);
    }
    json_decref(root);
    mem_free(path);
    return verify_fault(v, rc, e);
}

/* The lists of guards beside a store. */
static enum rc verify_guards(struct verify *v, const char *dir, const json_t *claims, struct err *e)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i < json_array_size(claims) && rc == RC_OK; i++) {
        rc = verify_fault(v, guard_claim_list(dir, json_array_get(claims, i), NULL, NULL, e), e);
    }
    return rc;
}

/* ---- a corpus ---------------------------------------------------------------------------------- */

static const char *verify_record(const struct corpus *c, const struct shard_index_entry *entry,
                                 const struct shard_record *rec)
{
    if (rec->n_occurrences != (int)entry->n_occurrences ||
        shard_record_class(rec, 0) != entry->cls) {
        return "the index says otherwise";
    }
    for (int i = 0; i < rec->n_occurrences; i++) {
        int32_t cls = shard_record_class(rec, i);

        if (corpus_labeled(c) ? cls < 0 || cls >= corpus_classes(c) : cls != CORPUS_UNLABELED) {
            return "its class is not one of the corpus";
        }
    }
    return NULL;
}

static enum rc verify_images(struct verify *v, struct corpus *c, int shard, struct shard_reader *r,
                             struct err *e)
{
    const struct shard_index_entry *index = shard_reader_index(r);
    uint64_t occurrences = 0;
    enum rc rc = RC_OK;

    for (uint64_t p = 0; p < shard_reader_count(r) && rc == RC_OK; p++) {
        struct shard_record rec;
        const char *flaw = NULL;

        rc = shard_reader_get(r, p, &rec, e);
        if (rc == RC_OK) {
            flaw = verify_record(c, &index[p], &rec);
            occurrences +=
                corpus_is_forgotten(c, shard, (uint32_t)p) ? 0 : (uint64_t)rec.n_occurrences;
        }
        if (p > 0 && memcmp(&index[p - 1].key, &index[p].key, sizeof index->key) >= 0) {
            flaw = "keys are out of order";
        }
        rc = rc != RC_OK ? verify_fault(v, rc, e) : rc;
        if (rc == RC_OK && flaw != NULL) {
            rc = verify_say(v, corpus_shard(c, shard)->name, p, flaw, e);
        }
        v->result->records++;
        rc = rc == RC_OK ? verify_step(v, e) : rc;
    }
    if (rc == RC_OK && occurrences != corpus_shard(c, shard)->occurrences) {
        rc = verify_say(v, corpus_shard(c, shard)->name, shard_reader_count(r),
                        "the count of occurrences is not the manifest's", e);
    }
    return rc;
}

static enum rc verify_later(struct verify *v, const struct corpus *c, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < c->n_extra_files && rc == RC_OK; i++) {
        struct corpus_extras x = {NULL, 0, 0};

        rc = verify_fault(v, corpus_extra_read(c->path, &c->extra_files[i], &x, e), e);
        v->result->bytes += c->extra_files[i].bytes;
        corpus_extras_release(&x);
    }
    return rc;
}

enum rc verify_ledger(struct verify *v, const char *path, struct err *e)
{
    struct quarantine *q = NULL;
    enum rc rc = quarantine_open(path, QUARANTINE_READ, &q, e);

    if (rc == RC_OK && quarantine_torn(q)) {
        rc = err_raise(e, RC_CORRUPT,
                       "'%s/quarantine.jsonl': the last line is torn, as a killed run "
                       "leaves it: the next one mends it",
                       path);
    }
    quarantine_close(q);
    return verify_fault(v, rc, e);
}

/* What pack goes by. Without a digest, after a pack was killed, its structure. */
static enum rc verify_known(struct verify *v, const char *dir, struct err *e)
{
    char *path = fs_join(dir, KNOWN_NAME);
    enum rc rc = path != NULL ? known_sum_check(dir, e) : mem_raise(e, "a path", strlen(dir));

    if (rc == RC_OK && fs_exists(path)) {
        rc = lmdb_check_pages(path, e);
    }
    mem_free(path);
    return verify_fault(v, rc, e);
}

static enum rc verify_corpus(struct verify *v, struct err *e)
{
    struct corpus *c = NULL;
    enum rc rc = corpus_open(v->config->path, &c, e);

    if (rc != RC_OK) {
        return verify_fault(v, rc, e);
    }
    v->result->shards = corpus_shards(c);
    v->result->forgotten = corpus_forgotten(c);
    progress_begin(&v->progress, "verify", "images", (int64_t)corpus_images(c), 0);
    rc = verify_manifest(v, v->config->path, "/corpus.json", CORPUS_KIND, e);
    for (int i = 0; i < verify_picks(v, corpus_shards(c)) && rc == RC_OK; i++) {
        int shard = verify_pick(v, i, corpus_shards(c));
        struct shard_reader *r = NULL;

        rc = shard_reader_open(c, shard, false, &r, e);
        rc = rc == RC_OK ? verify_images(v, c, shard, r, e) : verify_fault(v, rc, e);
        shard_reader_close(r);
        rc = rc == RC_OK ? verify_fault(v, near_hashes_check(c, shard, e), e) : rc;
        v->result->verified++;
        v->result->bytes += corpus_shard(c, shard)->bytes;
    }
    if (rc == RC_OK && v->config->sample == 0) {
        rc = verify_twice(v, c, e);
    }
    if (rc == RC_OK) {
        rc = verify_later(v, c, e);
    }
    if (rc == RC_OK) {
        rc = verify_guards(v, v->config->path, corpus_guards(c), e);
    }
    if (rc == RC_OK) {
        rc = verify_ledger(v, v->config->path, e);
    }
    if (rc == RC_OK) {
        rc = verify_known(v, v->config->path, e);
    }
    corpus_close(c);
    return rc;
}

/* ---- a selection ------------------------------------------------------------------------------- */

static const char *verify_entries(const struct selection_entry *entries, uint64_t n, uint64_t total,
                                  int n_classes)
{
    uint64_t copies = 0;

    for (uint64_t i = 0; i < n; i++) {
        if (i > 0 && entries[i - 1].position >= entries[i].position) {
            return "positions are out of order";
        }
        if (entries[i].copies == 0 || entries[i].cls >= n_classes) {
            return "an entry has no copies, or a class out of range";
        }
        copies += entries[i].copies;
    }
    return copies == total ? NULL : "the copies do not add up";
}

static enum rc verify_selection_guards(struct verify *v, const char *stem, const json_t *claims,
                                       struct err *e)
{
    const char *slash = strrchr(stem, '/');
    char *dir =
        slash != NULL ? mem_sprintf("%.*s", (int)(slash - stem) + 1, stem) : mem_strdup(".");
    enum rc rc =
        dir != NULL ? verify_guards(v, dir, claims, e) : mem_raise(e, "a path", strlen(stem));

    mem_free(dir);
    return rc;
}

static enum rc verify_selection(struct verify *v, struct err *e)
{
    struct selection *s = NULL;
    char *stem = verify_stem(v->config->path);
    char *file = stem != NULL ? mem_sprintf("%s.lmdb", stem) : NULL;
    uint64_t images = 0;
    enum rc rc = file != NULL ? selection_open(v->config->path, &s, e)
                              : mem_raise(e, "a path", strlen(v->config->path));

    if (rc != RC_OK) {
        rc = verify_fault(v, rc, e);
        goto out;
    }
    v->result->shards = selection_info(s)->shards;
    progress_begin(&v->progress, "verify", "images", (int64_t)selection_info(s)->images, 0);
    rc = fs_size(file, &v->result->bytes, e);
    if (rc == RC_OK) {
        rc = verify_manifest(v, stem, ".json", "selection", e);
    }
    for (int i = 0; i < selection_info(s)->shards && rc == RC_OK; i++) {
        const struct selection_entry *entries = NULL;
        const char *flaw = NULL;
        uint64_t n = 0;
        uint64_t total = 0;

        rc = selection_shard(s, i, &entries, &n, &total, e);
        if (rc == RC_OK) {
            flaw = verify_entries(entries, n, total, selection_info(s)->n_classes);
        }
        rc = rc != RC_OK ? verify_fault(v, rc, e) : rc;
        if (rc == RC_OK && flaw != NULL) {
            rc = verify_say(v, file, (uint64_t)i, flaw, e);
        }
        images += n;
        v->result->verified++;
        v->result->records = images;
        rc = rc == RC_OK ? verify_step(v, e) : rc;
    }
    if (rc == RC_OK) {
        rc = verify_selection_guards(v, stem, selection_guards(s), e);
    }
    if (rc == RC_OK && images != selection_info(s)->images) {
        rc = verify_say(v, file, images, "the count of images is not the manifest's", e);
    }
out:
    selection_close(s);
    mem_free(file);
    mem_free(stem);
    return rc;
}

enum rc verify_store(const struct verify_config *config, struct verify_result *result,
                     struct err *e)
{
    struct verify v = {.config = config, .result = result};
    double start = clock_now();
    enum rc rc = RC_OK;

    memset(result, 0, sizeof *result);
    rc = verify_kind(config->path, &result->kind, e);
    if (rc != RC_OK) {
        return rc;
    }
    switch (result->kind) {
    case STORE_CORPUS:
        rc = verify_corpus(&v, e);
        break;
    case STORE_LABELS:
        rc = verify_labels(&v, e);
        break;
    case STORE_SELECTION:
        rc = verify_selection(&v, e);
        break;
    case STORE_RUN:
        rc = verify_run(&v, e);
        break;
    }
    if (v.progress.what != NULL) {
        progress_update(&v.progress, (int64_t)result->records, NULL);
        progress_end(&v.progress, NULL);
    }
    result->seconds = clock_now() - start;
    return rc;
}

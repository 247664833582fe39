#include "student/train_stores.h"

#include <string.h>

#include "common/base/hash.h"
#include "common/base/mem.h"

static enum rc train_stores_same_classes(const struct corpus *a, const struct corpus *b,
                                         struct err *e)
{
    int n = corpus_classes(a);

    if (n != corpus_classes(b)) {
        return err_raise(e, RC_INVAL,
                         "'%s' has %d classes and '%s' has %d: one class list is needed",
                         corpus_path(a), n, corpus_path(b), corpus_classes(b));
    }
    for (int i = 0; i < n; i++) {
        if (strcmp(corpus_class(a, i), corpus_class(b, i)) != 0) {
            return err_raise(e, RC_INVAL, "class %d is '%s' in '%s' and '%s' in '%s'", i,
                             corpus_class(a, i), corpus_path(a), corpus_class(b, i),
                             corpus_path(b));
        }
    }
    return RC_OK;
}

/* The teacher that made the labels must have known the same classes. */
static enum rc train_stores_check_labels(const struct train_stores *s, struct err *e)
{
    const struct label_lineage *l = label_store_lineage(s->labels);

    if (l->n_classes != corpus_classes(s->labeled)) {
        return err_raise(e, RC_INVAL, "the labels '%s' have %d classes and the corpus '%s' has %d",
                         label_store_path(s->labels), l->n_classes, corpus_path(s->labeled),
                         corpus_classes(s->labeled));
    }
    for (int i = 0; i < l->n_classes; i++) {
        if (strcmp(label_store_class(s->labels, i), corpus_class(s->labeled, i)) != 0) {
            return err_raise(e, RC_INVAL, "class %d is '%s' in the labels '%s' and '%s' in '%s'", i,
                             label_store_class(s->labels, i), label_store_path(s->labels),
                             corpus_class(s->labeled, i), corpus_path(s->labeled));
        }
    }
    for (int i = 0; i < label_store_shards(s->labels); i++) {
        const struct label_shard *ls = label_store_shard(s->labels, i);

        if (ls->shard >= corpus_shards(s->unlabeled) ||
            memcmp(&ls->image_digest, &corpus_shard(s->unlabeled, ls->shard)->digest,
                   sizeof ls->image_digest) != 0) {
            return err_raise(e, RC_INVAL,
                             "the labels '%s' were made for other images than '%s' holds (shard "
                             "'%s'): label this corpus",
                             label_store_path(s->labels), corpus_path(s->unlabeled),
                             ls->image_shard);
        }
    }
    return RC_OK;
}

static enum rc train_stores_check_selection(const struct train_config *c,
                                            const struct train_stores *s, struct err *e)
{
    const struct selection_info *info = selection_info(s->selection);
    struct digest labels;

    label_store_digest(s->labels, &labels);
    if (memcmp(&info->labels, &labels, sizeof labels) != 0) {
        return err_raise(e, RC_INVAL,
                         "the selection '%s' was made from other labels than '%s': run preceptor "
                         "select again",
                         c->selection, label_store_path(s->labels));
    }
    if (info->total == 0) {
        return err_raise(e, RC_INVAL, "the selection '%s' is empty: lower --min-confidence",
                         c->selection);
    }
    return RC_OK;
}

static enum rc train_stores_open_unlabeled(const struct train_config *c, struct train_stores *s,
                                           struct err *e)
{
    enum rc rc = RC_OK;

    if (c->labels == NULL) {
        return err_raise(
            e, RC_USAGE,
            "--unlabeled needs --labels, the store that `preceptor label` made for it");
    }
    rc = corpus_open(c->unlabeled, &s->unlabeled, e);
    if (rc == RC_OK) {
        rc = label_store_open(c->labels, &s->labels, e);
    }
    if (rc == RC_OK) {
        rc = train_stores_check_labels(s, e);
    }
    if (rc == RC_OK && c->selection == NULL && label_store_bad(s->labels) > 0) {
        rc = err_raise(e, RC_INVAL,
                       "%llu images of '%s' could not be decoded when '%s' was made, and have no "
                       "label: give --selection, made by preceptor select --min-confidence 0, "
                       "which leaves them out",
                       (unsigned long long)label_store_bad(s->labels), c->unlabeled,
                       label_store_path(s->labels));
    }
    if (rc == RC_OK && c->selection != NULL) {
        rc = selection_open(c->selection, &s->selection, e);
        if (rc == RC_OK) {
            rc = train_stores_check_selection(c, s, e);
        }
    }
    return rc;
}

enum rc train_stores_open(const struct train_config *c, struct train_stores *out, struct err *e)
{
    struct train_stores s = {0};
    enum rc rc = RC_OK;

    if (c->data == NULL) {
        return err_raise(e, RC_USAGE, "train needs --data, a labeled corpus");
    }
    if (c->unlabeled == NULL && (c->labels != NULL || c->selection != NULL)) {
        return err_raise(e, RC_USAGE, "--labels and --selection need --unlabeled, their images");
    }
    rc = corpus_open(c->data, &s.labeled, e);
    if (rc == RC_OK && !corpus_labeled(s.labeled)) {
        rc = err_raise(e, RC_INVAL, "'%s' has no labels: --data must be a labeled corpus", c->data);
    }
    if (rc == RC_OK && corpus_occurrences(s.labeled) == 0) {
        rc = err_raise(e, RC_INVAL, "the corpus '%s' holds no images", c->data);
    }
    if (rc == RC_OK && c->unlabeled != NULL) {
        rc = train_stores_open_unlabeled(c, &s, e);
    }
    if (rc == RC_OK && c->eval_data != NULL) {
        rc = corpus_open(c->eval_data, &s.eval, e);
        if (rc == RC_OK) {
            rc = train_stores_same_classes(s.labeled, s.eval, e);
        }
    }
    if (rc != RC_OK) {
        train_stores_close(&s);
        return rc;
    }
    *out = s;
    return RC_OK;
}

void train_stores_close(struct train_stores *s)
{
    selection_close(s->selection);
    label_store_close(s->labels);
    corpus_close(s->eval);
    corpus_close(s->unlabeled);
    corpus_close(s->labeled);
    memset(s, 0, sizeof *s);
}

uint64_t train_stores_forgotten(const struct train_stores *s)
{
    return corpus_forgotten(s->labeled) +
           (s->unlabeled != NULL ? corpus_forgotten(s->unlabeled) : 0);
}

/* Options that do not change what comes out. */
static bool train_stores_is_where(const char *line)
{
    static const char *const names[] = {
        "recipe",    "section",   "out",      "data",      "unlabeled",  "labels",
        "selection", "eval_data", "init",     "resume",    "dry_run",    "json",
        "device",    "threads",   "decoders", "eval_size", "eval_every", "checkpoint_every",
        "keep",      "log_every", "watchdog", "profile",   "collective", "measure_engines"};
    size_t len = strcspn(line, ":");

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == len && strncmp(names[i], line, len) == 0) {
            return true;
        }
    }
    return false;
}

static enum rc train_stores_hash_options(const struct train_config *c, struct hash *h,
                                         struct err *e)
{
    char *text = NULL;
    enum rc rc = opts_dump_yaml(train_opts, c, &text, e);

    if (rc != RC_OK) {
        return rc;
    }
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        size_t value = strcspn(line, "#\n"); /* help texts may be reworded */

        if (!train_stores_is_where(line)) {
            while (value > 0 && line[value - 1] == ' ') {
                value--;
            }
            hash_update(h, line, value);
            hash_update(h, "\n", 1);
        }
        line += len + (line[len] == '\n');
    }
    mem_free(text);
    return RC_OK;
}

/* What was forgotten is not trained on: a run without it is another run. */
static void train_stores_hash_forgotten(const struct corpus *c, struct hash *h)
{
    struct digest d;

    if (corpus_forgotten(c) > 0) {
        corpus_forgotten_digest(c, &d);
        hash_update(h, &d, sizeof d);
    }
}

enum rc train_stores_run_digest(const struct train_config *c, const struct train_stores *s,
                                char hex[HASH_HEX_DIGEST], struct err *e)
{
    struct hash *h = NULL;
    struct digest d;
    enum rc rc = hash_create(&h, e);

    if (rc != RC_OK) {
        return rc;
    }
    rc = train_stores_hash_options(c, h, e);
    corpus_digest(s->labeled, &d);
    hash_update(h, &d, sizeof d);
    corpus_class_digest(s->labeled, &d);
    hash_update(h, &d, sizeof d);
    train_stores_hash_forgotten(s->labeled, h);
    if (s->unlabeled != NULL) {
        corpus_digest(s->unlabeled, &d);
        hash_update(h, &d, sizeof d);
        train_stores_hash_forgotten(s->unlabeled, h);
        label_store_digest(s->labels, &d);
        hash_update(h, &d, sizeof d);
    }
    if (s->selection != NULL) {
        selection_digest(s->selection, &d);
        hash_update(h, &d, sizeof d);
    }
    if (rc == RC_OK && c->init != NULL) {
        rc = hash_file(c->init, &d, e);
        hash_update(h, &d, sizeof d);
    }
    hash_final(h, &d);
    hash_digest_hex(&d, hex);
    hash_destroy(h);
    return rc;
}

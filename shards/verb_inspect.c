#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/image/image.h"
#include "shards/corpus.h"
#include "shards/json_bytes.h"
#include "shards/label_store.h"
#include "shards/quarantine.h"
#include "shards/selection.h"
#include "shards/shards_verbs.h"
#include "shards/verify.h"

enum { INSPECT_LINES = 40 }; /* of a list shown as text */

struct inspect_options {
    int64_t sample;
    bool json;
};

#define AT(field) offsetof(struct inspect_options, field)

/* clang-format off */
static const struct opt inspect_opts[] = {
    {"sample", OPT_INT, AT(sample), "0", 0, 1e6, NULL, "N", "show N records, spread evenly"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print the facts as JSON"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage inspect_usage = {
    .verb = "inspect",
    .summary = "what a store holds",
    .synopsis = "STORE [options]",
    .description = "STORE is a corpus, a label store or a selection. The facts come from the\n"
                   "manifest and cost nothing; a sample reads the shards that it stands in.",
    .examples = "preceptor inspect data/train --sample 5\n"
                "preceptor inspect labels/4f0c... --json"};

/* Facts are gathered as JSON and printed as such, or as lines `name  value`. */
struct inspect {
    const struct inspect_options *options;
    const char *path;
    json_t *facts;
    json_t *sample; /* array of objects */
};

static enum rc inspect_set(json_t *obj, const char *name, json_t *value, struct err *e)
{
    return json_object_set_new(obj, name, value) == 0 ? RC_OK : mem_raise(e, name, 0);
}

static enum rc inspect_digest(json_t *obj, const char *name, const struct digest *d, struct err *e)
{
    char hex[HASH_HEX_DIGEST];

    hash_digest_hex(d, hex);
    return inspect_set(obj, name, json_string(hex), e);
}

static enum rc inspect_count(json_t *obj, const char *name, uint64_t n, struct err *e)
{
    return inspect_set(obj, name, json_integer((json_int_t)n), e);
}

/* Item i of a sample of n out of all. */
static uint64_t inspect_pick(uint64_t i, uint64_t n, uint64_t all)
{
    return n == 0 ? 0 : (uint64_t)((long double)all * (long double)i / (long double)n);
}

static uint64_t inspect_wanted(const struct inspect *v, uint64_t all)
{
    return (uint64_t)v->options->sample < all ? (uint64_t)v->options->sample : all;
}

/* ---- a corpus ---------------------------------------------------------------------------------- */

static enum rc inspect_image(struct inspect *v, const struct corpus *c, struct codec *codec,
                             const struct shard_record *rec, struct err *e)
{
    json_t *o = json_object();
    char hex[HASH_HEX_KEY];
    size_t bytes = 0;
    const char *source = shard_record_source(rec, 0, &bytes);
    int32_t cls = shard_record_class(rec, 0);
    enum image_reason why = IMAGE_OK;
    int w = 0;
    int h = 0;
    enum rc rc = json_bytes_set(o, "source", source, bytes, e);

    hash_key_hex(&rec->key, hex);
    if (rc == RC_OK && image_probe(codec, rec->data, rec->bytes, &w, &h, &why, NULL) == RC_OK) {
        rc = inspect_count(o, "width", (uint64_t)w, e);
        rc = rc == RC_OK ? inspect_count(o, "height", (uint64_t)h, e) : rc;
    }
    if (rc == RC_OK && cls >= 0 && cls < corpus_classes(c)) {
        rc = inspect_set(o, "class", json_string(corpus_class(c, cls)), e);
    }
    if (rc == RC_OK) {
        rc = inspect_set(o, "key", json_string(hex), e);
    }
    if (rc == RC_OK) {
        rc = inspect_set(o, "format",
                         json_string(image_format_name(image_sniff(rec->data, rec->bytes))), e);
    }
    if (rc == RC_OK) {
        rc = inspect_count(o, "bytes", rec->bytes, e);
    }
    if (rc == RC_OK) {
        rc = inspect_count(o, "occurrences", (uint64_t)rec->n_occurrences, e);
    }
    if (json_array_append_new(v->sample, o) != 0 && rc == RC_OK) {
        rc = mem_raise(e, "a sample", 0);
    }
    return rc;
}

static enum rc inspect_images(struct inspect *v, struct corpus *c, struct err *e)
{
    uint64_t n = inspect_wanted(v, corpus_images(c));
    uint64_t before = 0; /* images in the shards before */
    struct codec *codec = NULL;
    struct shard_reader *r = NULL;
    int shard = 0;
    enum rc rc = n > 0 ? codec_create(&codec, e) : RC_OK;

    for (uint64_t i = 0; i < n && rc == RC_OK; i++) {
        uint64_t at = inspect_pick(i, n, corpus_images(c));
        struct shard_record rec;

        while (at >= before + corpus_shard(c, shard)->images) {
            before += corpus_shard(c, shard++)->images;
            shard_reader_close(r);
            r = NULL;
        }
        rc = r == NULL ? shard_reader_open(c, shard, false, &r, e) : RC_OK;
        if (rc == RC_OK) {
            rc = shard_reader_get(r, at - before, &rec, e);
        }
        if (rc == RC_OK) {
            rc = inspect_image(v, c, codec, &rec, e);
        }
    }
    shard_reader_close(r);
    codec_destroy(codec);
    return rc;
}

static enum rc inspect_quarantine(struct inspect *v, struct err *e)
{
    struct quarantine *q = NULL;
    json_t *reasons = json_object();
    enum rc rc = quarantine_open(v->path, QUARANTINE_READ, &q, e);

    for (uint64_t i = 0; rc == RC_OK && i < quarantine_entries(q); i++) {
        const char *reason = quarantine_at(q, i)->reason;
        json_int_t n = json_integer_value(json_object_get(reasons, reason));

        rc = inspect_set(reasons, reason, json_integer(n + 1), e);
    }
    if (rc == RC_OK) {
        rc = inspect_count(v->facts, "quarantined", quarantine_entries(q), e);
    }
    if (rc == RC_OK && json_object_size(reasons) > 0) {
        rc = inspect_set(v->facts, "reasons", json_incref(reasons), e);
    }
    quarantine_close(q);
    json_decref(reasons);
    return rc;
}

static enum rc inspect_classes(struct inspect *v, struct corpus *c, struct err *e)
{
    json_t *classes = json_object();
    uint64_t *counts = mem_calloc((size_t)corpus_classes(c) + 1, sizeof *counts);
    enum rc rc =
        counts != NULL ? corpus_class_counts(c, counts, e) : mem_raise(e, "counts of classes", 0);

    for (int i = 0; i < corpus_classes(c) && rc == RC_OK; i++) {
        rc = inspect_count(classes, corpus_class(c, i), counts[i], e);
    }
    mem_free(counts);
    if (rc != RC_OK) {
        json_decref(classes);
        return rc;
    }
    return inspect_set(v->facts, "classes", classes, e);
}

static enum rc inspect_corpus(struct inspect *v, struct err *e)
{
    struct corpus *c = NULL;
    struct digest digest;
    struct digest classes;
    uint64_t bytes = 0;
    enum rc rc = corpus_open(v->path, &c, e);

    if (rc != RC_OK) {
        return rc;
    }
    for (int i = 0; i < corpus_shards(c); i++) {
        bytes += corpus_shard(c, i)->bytes;
    }
    corpus_digest(c, &digest);
    corpus_class_digest(c, &classes);
    if ((rc = inspect_set(v->facts, "kind", json_string("corpus"), e)) == RC_OK &&
        (rc = inspect_count(v->facts, "images", corpus_images(c), e)) == RC_OK &&
        (rc = inspect_count(v->facts, "occurrences", corpus_occurrences(c), e)) == RC_OK &&
        (rc = inspect_count(v->facts, "forgotten", corpus_forgotten(c), e)) == RC_OK &&
        (rc = inspect_count(v->facts, "checked_by_header", corpus_header_images(c), e)) == RC_OK &&
        (rc = inspect_count(v->facts, "shards", (uint64_t)corpus_shards(c), e)) == RC_OK &&
        (rc = inspect_count(v->facts, "bytes", bytes, e)) == RC_OK &&
        (rc = inspect_set(v->facts, "labeled", json_boolean(corpus_labeled(c)), e)) == RC_OK &&
        (rc = inspect_digest(v->facts, "digest", &digest, e)) == RC_OK &&
        (rc = inspect_quarantine(v, e)) == RC_OK && corpus_labeled(c) &&
        (rc = inspect_digest(v->facts, "class_digest", &classes, e)) == RC_OK) {
        rc = inspect_classes(v, c, e);
    }
    if (rc == RC_OK) {
        rc = inspect_images(v, c, e);
    }
    corpus_close(c);
    return rc;
}

/* ---- labels ------------------------------------------------------------------------------------ */

static enum rc inspect_label(struct inspect *v, const struct label_store *s, const struct label *l,
                             struct err *e)
{
    char hex[HASH_HEX_KEY];
    json_t *o = json_object();
    json_t *top = json_object();
    enum rc rc = RC_OK;

    hash_key_hex(&l->key, hex);
    for (int i = 0; i < l->k && i < 5 && rc == RC_OK; i++) {
        rc = inspect_set(top, label_store_class(s, l->cls[i]),
                         json_real(exp((double)f16_to_f32(l->logp[i]))), e);
    }
    if (rc == RC_OK) {
        rc = inspect_set(o, "key", json_string(hex), e);
    }
    if (rc == RC_OK) {
        rc = inspect_set(o, "confidence", json_real((double)l->confidence), e);
    }
    if (rc == RC_OK) {
        rc = inspect_set(o, "top", json_incref(top), e);
    }
    if (json_array_append_new(v->sample, o) != 0 && rc == RC_OK) {
        rc = mem_raise(e, "a sample", 0);
    }
    json_decref(top);
    return rc;
}

static enum rc inspect_labels_sample(struct inspect *v, struct label_store *s, uint64_t all,
                                     struct err *e)
{
    uint64_t n = inspect_wanted(v, all);
    uint64_t before = 0;
    struct label_reader *r = NULL;
    int shard = 0;
    enum rc rc = RC_OK;

    for (uint64_t i = 0; i < n && rc == RC_OK; i++) {
        uint64_t at = inspect_pick(i, n, all);
        struct label l;

        while (at >= before + label_store_shard(s, shard)->labels) {
            before += label_store_shard(s, shard++)->labels;
            label_reader_close(r);
            r = NULL;
        }
        rc = r == NULL ? label_reader_open(s, shard, false, &r, e) : RC_OK;
        if (rc == RC_OK) {
            rc = label_reader_at(r, at - before, &l, e);
        }
        if (rc == RC_OK) {
            rc = inspect_label(v, s, &l, e);
        }
    }
    label_reader_close(r);
    return rc;
}

static enum rc inspect_calibration(struct inspect *v, const struct label_lineage *l, struct err *e)
{
    return label_lineage_calibrated(l) ? inspect_digest(v->facts, "calibration", &l->calibration, e)
                                       : RC_OK;
}

/* What was found where labels were compared with f32's. */
static enum rc inspect_audit(struct inspect *v, const struct label_store *s, struct err *e)
{
    const struct label_shard *worst = NULL;
    struct label_audit a;
    enum rc rc = RC_OK;

    label_store_audit(s, &a, &worst);
    if (worst == NULL) {
        return RC_OK;
    }
    if ((rc = inspect_count(v->facts, "audited", a.images, e)) == RC_OK &&
        (rc = inspect_set(v->facts, "audit_agreement",
                          json_real((double)a.agree / (double)a.images), e)) == RC_OK &&
        (rc = inspect_set(v->facts, "audit_difference", json_real((double)a.difference / 1e6),
                          e)) == RC_OK &&
        (rc = inspect_set(v->facts, "worst_shard", json_string(worst->name), e)) == RC_OK) {
        rc = inspect_set(v->facts, "worst_drift", json_real(label_audit_drift(&worst->audit)), e);
    }
    return rc;
}

static enum rc inspect_labels(struct inspect *v, struct err *e)
{
    struct label_store *s = NULL;
    const struct label_lineage *l = NULL;
    struct digest digest;
    uint64_t labels = 0;
    uint64_t bytes = 0;
    enum rc rc = label_store_open(v->path, &s, e);

    if (rc != RC_OK) {
        return rc;
    }
    l = label_store_lineage(s);
    label_store_digest(s, &digest);
    for (int i = 0; i < label_store_shards(s); i++) {
        labels += label_store_shard(s, i)->labels;
        bytes += label_store_shard(s, i)->bytes;
    }
    if ((rc = inspect_set(v->facts, "kind", json_string("labels"), e)) == RC_OK &&
        (rc = inspect_count(v->facts, "labels", labels, e)) == RC_OK &&
        (rc = inspect_count(v->facts, "bad", label_store_bad(s), e)) == RC_OK &&
        (rc = inspect_count(v->facts, "shards", (uint64_t)label_store_shards(s), e)) == RC_OK &&
        (rc = inspect_count(v->facts, "bytes", bytes, e)) == RC_OK &&
        (rc = inspect_count(v->facts, "classes", (uint64_t)l->n_classes, e)) == RC_OK &&
        (rc = inspect_count(v->facts, "top_k", (uint64_t)l->top_k, e)) == RC_OK &&
        (rc = inspect_set(v->facts, "model", json_string(l->model), e)) == RC_OK &&
        (rc = inspect_set(v->facts, "precision", json_string(l->precision), e)) == RC_OK &&
        (rc = inspect_calibration(v, l, e)) == RC_OK && (rc = inspect_audit(v, s, e)) == RC_OK &&
        (rc = inspect_set(v->facts, "preprocessing", json_string(l->preprocessing), e)) == RC_OK &&
        (rc = inspect_digest(v->facts, "weights", &l->weights, e)) == RC_OK &&
        (rc = inspect_digest(v->facts, "class_digest", &l->classes, e)) == RC_OK &&
        (rc = inspect_digest(v->facts, "digest", &digest, e)) == RC_OK) {
        rc = inspect_labels_sample(v, s, labels, e);
    }
    label_store_close(s);
    return rc;
}

/* ---- a selection ------------------------------------------------------------------------------- */

static enum rc inspect_selection(struct inspect *v, struct err *e)
{
    struct selection *s = NULL;
    const struct selection_info *i = NULL;
    struct digest digest;
    enum rc rc = selection_open(v->path, &s, e);

    if (rc != RC_OK) {
        return rc;
    }
    i = selection_info(s);
    selection_digest(s, &digest);
    if ((rc = inspect_set(v->facts, "kind", json_string("selection"), e)) == RC_OK &&
        (rc = inspect_count(v->facts, "images", i->images, e)) == RC_OK &&
        (rc = inspect_count(v->facts, "with_copies", i->total, e)) == RC_OK &&
        (rc = inspect_count(v->facts, "shards", (uint64_t)i->shards, e)) == RC_OK &&
        (rc = inspect_count(v->facts, "classes", (uint64_t)i->n_classes, e)) == RC_OK &&
        (rc = inspect_set(v->facts, "rule", json_string(i->rule), e)) == RC_OK &&
        (rc = inspect_digest(v->facts, "corpus", &i->corpus, e)) == RC_OK &&
        (rc = inspect_digest(v->facts, "labels", &i->labels, e)) == RC_OK &&
        (rc = inspect_digest(v->facts, "class_digest", &i->classes, e)) == RC_OK) {
        rc = inspect_digest(v->facts, "digest", &digest, e);
    }
    selection_close(s);
    return rc;
}

/* ---- printing ---------------------------------------------------------------------------------- */

static void inspect_print_scalar(json_t *value)
{
    if (json_is_string(value)) {
        printf("%s", json_string_value(value));
    } else if (json_is_integer(value)) {
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        printf("%.4f", json_real_value(value));
    } else if (json_is_boolean(value)) {
        printf("%s", json_is_true(value) ? "yes" : "no");
    }
}

/* `name  value` lines; an object as one line a member, but for long ones. */
static void inspect_print_facts(json_t *facts)
{
    const char *name = NULL;
    const char *inner = NULL;
    json_t *value = NULL;
    json_t *member = NULL;

    json_object_foreach(facts, name, value)
    {
        size_t shown = 0;

        if (!json_is_object(value)) {
            printf("%-14s ", name);
            inspect_print_scalar(value);
            printf("\n");
            continue;
        }
        printf("%-14s %zu\n", name, json_object_size(value));
        json_object_foreach(value, inner, member)
        {
            if (shown++ == INSPECT_LINES) {
                printf("    ... (--json has all)\n");
                break;
            }
            printf("    %-24s ", inner);
            inspect_print_scalar(member);
            printf("\n");
        }
    }
}

static void inspect_print_sample(const json_t *sample)
{
    for (size_t i = 0; i < json_array_size(sample); i++) {
        const char *name = NULL;
        const char *inner = NULL;
        json_t *value = NULL;
        json_t *member = NULL;

        printf("\n");
        json_object_foreach(json_array_get(sample, i), name, value)
        {
            printf("%-14s ", name);
            inspect_print_scalar(value);
            json_object_foreach(value, inner, member)
            {
                printf("%s ", inner);
                inspect_print_scalar(member);
                printf("  ");
            }
            printf("\n");
        }
    }
}

static enum rc inspect_print(const struct inspect *v, struct err *e)
{
    enum rc rc = RC_OK;

    if (!v->options->json) {
        inspect_print_facts(v->facts);
        inspect_print_sample(v->sample);
        return RC_OK;
    }
    if (v->options->sample > 0) {
        rc = inspect_set(v->facts, "sample", json_incref(v->sample), e);
    }
    return rc == RC_OK ? verb_print_json(json_incref(v->facts), e) : rc;
}

static enum rc inspect_all(const struct inspect_options *o, const char *path, struct err *e)
{
    struct inspect v = {o, path, json_object(), json_array()};
    enum store_kind kind = STORE_CORPUS;
    enum rc rc = verify_kind(path, &kind, e);

    if (rc == RC_OK) {
        rc = inspect_set(v.facts, "store", json_string(path), e);
    }
    if (rc == RC_OK) {
        rc = kind == STORE_CORPUS   ? inspect_corpus(&v, e)
             : kind == STORE_LABELS ? inspect_labels(&v, e)
                                    : inspect_selection(&v, e);
    }
    if (rc == RC_OK) {
        rc = inspect_print(&v, e);
    }
    json_decref(v.sample);
    json_decref(v.facts);
    return rc;
}

static enum rc inspect_line(const void *options, const char *const words[], int n,
                            const struct verb_call *call, struct err *e)
{
    (void)call;
    return n == 1 ? inspect_all(options, words[0], e)
                  : err_raise(e, RC_USAGE, "inspect needs one STORE: see preceptor inspect --help");
}

static enum rc inspect_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_inspect, &inspect_usage, inspect_line, true};

    return verb_do(call, &line, e);
}

const struct verb verb_inspect = {"inspect", "what a store holds", inspect_main,
                                  false,     inspect_opts,         sizeof(struct inspect_options)};

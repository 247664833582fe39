#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/opt.h"
#include "shards/corpus.h"
#include "shards/exporter.h"
#include "shards/label_store.h"
#include "shards/selection.h"
#include "shards/shards_verbs.h"
#include "shards/verify.h"

struct export_options {
    char *out, *labels;
    int format;
};

#define AT(field) offsetof(struct export_options, field)

/* clang-format off */
static const struct opt export_opts[] = {
    {"format", OPT_ENUM, AT(format), "jsonl", 0, 0, "jsonl,csv,npy", "FORMAT", "JSON Lines, CSV, or a folder of NumPy arrays"},
    {"out", OPT_STR, AT(out), NULL, 0, 0, NULL, "PATH", "file to write, folder for npy; standard output if not given"},
    {"labels", OPT_STR, AT(labels), NULL, 0, 0, NULL, "LABELS", "label store that a selection was made from: adds key and confidence"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage export_usage = {
    .verb = "export",
    .summary = "a store as JSON Lines, CSV or NumPy arrays",
    .synopsis = "STORE [--format jsonl|csv|npy] [--out PATH]",
    .description = "A corpus gives a row for each occurrence of an image: key, shard, position,\n"
                   "bytes, class, source. A label store gives a row for each image: key, shard,\n"
                   "position, confidence, the top classes and their ln p, ln of the rest. A\n"
                   "selection gives a row for each image chosen: shard, position, class, copies.\n"
                   "Rows stand in the order of shards and keys. Keys are the first 32 digits of\n"
                   "sha256sum. With npy each column is an array of its own; texts are left out.",
    .examples = "preceptor export labels | jq .confidence\n"
                "preceptor export labels --format npy --out arrays\n"
                "preceptor export selection/1 --labels labels --format csv --out chosen.csv"};

struct export_job {
    const struct export_options *options;
    struct export_table table;
    struct exporter *exporter;
};

static void export_column(struct export_job *j, const char *name, enum export_type type, int width)
{
    j->table.columns[j->table.n_columns++] = (struct export_column){name, type, width};
}

static enum rc export_begin(struct export_job *j, struct err *e)
{
    return exporter_create(&j->table, (enum export_format)j->options->format, j->options->out,
                           stdout, &j->exporter, e);
}

/* ---- a corpus -------------------------------------------------------------------------------- */

static enum rc export_image(struct export_job *j, const struct corpus *c,
                            const struct shard_record *rec, int32_t shard, uint32_t position,
                            struct err *e)
{
    uint64_t bytes = rec->bytes;
    enum rc rc = RC_OK;

    for (int i = 0; i < rec->n_occurrences && rc == RC_OK; i++) {
        int32_t cls = shard_record_class(rec, i);
        const char *name = cls >= 0 && cls < corpus_classes(c) ? corpus_class(c, cls) : "";
        size_t source_bytes = 0;
        const char *source = shard_record_source(rec, i, &source_bytes);
        const struct export_cell cells[] = {
            {&rec->key, 0}, {&shard, 0},          {&position, 0},        {&bytes, 0},
            {&cls, 0},      {name, strlen(name)}, {source, source_bytes}};

        rc = exporter_row(j->exporter, cells, e);
    }
    return rc;
}

static enum rc export_corpus_rows(struct export_job *j, struct corpus *c, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < corpus_shards(c) && rc == RC_OK; i++) {
        struct shard_reader *r = NULL;

        rc = shard_reader_open(c, i, false, &r, e);
        for (uint64_t p = 0; rc == RC_OK && p < shard_reader_count(r); p++) {
            struct shard_record rec;

            if (corpus_is_forgotten(c, i, (uint32_t)p)) {
                continue;
            }

            rc = shard_reader_get(r, p, &rec, e);
            if (rc == RC_OK) {
                rc = export_image(j, c, &rec, i, (uint32_t)p, e);
            }
        }
        shard_reader_close(r);
    }
    return rc;
}

static enum rc export_corpus(struct export_job *j, const char *path, struct err *e)
{
    struct corpus *c = NULL;
    enum rc rc = corpus_open(path, &c, e);

    if (rc != RC_OK) {
        return rc;
    }
    export_column(j, "key", EXPORT_KEY, 0);
    export_column(j, "shard", EXPORT_I32, 0);
    export_column(j, "position", EXPORT_U32, 0);
    export_column(j, "bytes", EXPORT_U64, 0);
    export_column(j, "class", EXPORT_I32, 0);
    export_column(j, "class_name", EXPORT_TEXT, 0);
    export_column(j, "source", EXPORT_TEXT, 0);
    j->table.rows = corpus_occurrences(c); /* of images that were not forgotten */
    rc = export_begin(j, e);
    if (rc == RC_OK) {
        rc = export_corpus_rows(j, c, e);
    }
    corpus_close(c);
    return rc;
}

/* ---- labels ---------------------------------------------------------------------------------- */

static enum rc export_label_rows(struct export_job *j, struct label_store *s, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < label_store_shards(s) && rc == RC_OK; i++) {
        int32_t shard = label_store_shard(s, i)->shard;
        struct label_reader *r = NULL;

        rc = label_reader_open(s, i, false, &r, e);
        for (uint64_t p = 0; rc == RC_OK && p < label_reader_count(r); p++) {
            uint32_t position = (uint32_t)p;
            struct label l;

            rc = label_reader_at(r, p, &l, e);
            if (rc == RC_OK) {
                const struct export_cell cells[] = {{&l.key, 0},        {&shard, 0}, {&position, 0},
                                                    {&l.confidence, 0}, {l.cls, 0},  {l.logp, 0},
                                                    {&l.rest_logp, 0}};

                rc = exporter_row(j->exporter, cells, e);
            }
        }
        label_reader_close(r);
    }
    return rc;
}

static enum rc export_labels(struct export_job *j, const char *path, struct err *e)
{
    struct label_store *s = NULL;
    enum rc rc = label_store_open(path, &s, e);

    if (rc != RC_OK) {
        return rc;
    }
    export_column(j, "key", EXPORT_KEY, 0);
    export_column(j, "shard", EXPORT_I32, 0);
    export_column(j, "position", EXPORT_U32, 0);
    export_column(j, "confidence", EXPORT_F32, 0);
    export_column(j, "classes", EXPORT_U16, label_store_lineage(s)->top_k);
    export_column(j, "logp", EXPORT_F16, label_store_lineage(s)->top_k);
    export_column(j, "rest_logp", EXPORT_F16, 0);
    for (int i = 0; i < label_store_shards(s); i++) {
        j->table.rows += label_store_shard(s, i)->labels;
    }
    rc = export_begin(j, e);
    if (rc == RC_OK) {
        rc = export_label_rows(j, s, e);
    }
    label_store_close(s);
    return rc;
}

/* ---- a selection ----------------------------------------------------------------------------- */

/* The labels of one shard, if labels are wanted; RC_INVAL: the store lacks it. */
static enum rc export_open_labels(struct label_store *labels, int shard, struct label_reader **out,
                                  struct err *e)
{
    int at = labels == NULL ? -1 : label_store_find(labels, shard);

    if (labels != NULL && at < 0) {
        return err_raise(e, RC_INVAL, "'%s' has no labels of image shard %d",
                         label_store_path(labels), shard);
    }
    return labels == NULL ? RC_OK : label_reader_open(labels, at, false, out, e);
}

static enum rc export_entries(struct export_job *j, int32_t shard,
                              const struct selection_entry *entries, uint64_t n,
                              struct label_reader *r, struct err *e)
{
    enum rc rc = RC_OK;

    for (uint64_t i = 0; i < n && rc == RC_OK; i++) {
        struct selection_entry entry = entries[i];
        uint32_t position = entry.position;
        uint16_t cls = entry.cls;
        uint16_t copies = entry.copies;
        struct label l = {.confidence = 0};

        if (r != NULL) {
            rc = label_reader_at(r, position, &l, e);
        }
        if (rc == RC_OK) {
            const struct export_cell cells[] = {{&shard, 0},  {&position, 0}, {&cls, 0},
                                                {&copies, 0}, {&l.key, 0},    {&l.confidence, 0}};

            rc = exporter_row(j->exporter, cells, e);
        }
    }
    return rc;
}

static enum rc export_selection_rows(struct export_job *j, struct selection *s,
                                     struct label_store *labels, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < selection_info(s)->shards && rc == RC_OK; i++) {
        const struct selection_entry *entries = NULL;
        struct label_reader *r = NULL;
        uint64_t n = 0;
        uint64_t total = 0;

        rc = selection_shard(s, i, &entries, &n, &total, e);
        if (rc == RC_OK && n > 0) {
            rc = export_open_labels(labels, i, &r, e);
        }
        if (rc == RC_OK) {
            rc = export_entries(j, i, entries, n, r, e);
        }
        label_reader_close(r);
    }
    return rc;
}

static enum rc export_join(const struct selection *s, const char *path, struct label_store **out,
                           struct err *e)
{
    struct digest d;
    enum rc rc = path == NULL ? RC_OK : label_store_open(path, out, e);

    if (rc != RC_OK || path == NULL) {
        return rc;
    }
    label_store_digest(*out, &d);
    return memcmp(&d, &selection_info(s)->labels, sizeof d) == 0
               ? RC_OK
               : err_raise(e, RC_INVAL, "the selection was made from other labels than '%s'",
                           label_store_path(*out));
}

static enum rc export_selection(struct export_job *j, const char *path, struct err *e)
{
    struct selection *s = NULL;
    struct label_store *labels = NULL;
    enum rc rc = selection_open(path, &s, e);

    if (rc == RC_OK) {
        rc = export_join(s, j->options->labels, &labels, e);
    }
    if (rc == RC_OK) {
        export_column(j, "shard", EXPORT_I32, 0);
        export_column(j, "position", EXPORT_U32, 0);
        export_column(j, "class", EXPORT_U16, 0);
        export_column(j, "copies", EXPORT_U16, 0);
        if (labels != NULL) {
            export_column(j, "key", EXPORT_KEY, 0);
            export_column(j, "confidence", EXPORT_F32, 0);
        }
        j->table.rows = selection_info(s)->images;
        rc = export_begin(j, e);
    }
    if (rc == RC_OK) {
        rc = export_selection_rows(j, s, labels, e);
    }
    label_store_close(labels);
    selection_close(s);
    return rc;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static enum rc export_all(const struct export_options *o, const char *path, struct err *e)
{
    struct export_job j = {.options = o};
    enum store_kind kind = STORE_CORPUS;
    enum rc rc = verify_kind(path, &kind, e);

    if (rc == RC_OK && o->labels != NULL && kind != STORE_SELECTION) {
        rc = err_raise(e, RC_USAGE, "--labels goes with a selection, and '%s' is none", path);
    }
    if (rc == RC_OK && o->format == EXPORT_NPY && o->out == NULL) {
        rc = err_raise(e, RC_USAGE, "--format npy writes a folder: name it with --out");
    }
    if (rc == RC_OK) {
        rc = kind == STORE_CORPUS   ? export_corpus(&j, path, e)
             : kind == STORE_LABELS ? export_labels(&j, path, e)
                                    : export_selection(&j, path, e);
    }
    if (rc == RC_OK) {
        rc = exporter_finish(j.exporter, e);
    }
    exporter_destroy(j.exporter);
    return rc;
}

static enum rc export_line(const void *options, const char *const words[], int n,
                           const struct verb_call *call, struct err *e)
{
    (void)call;
    return n == 1 ? export_all(options, words[0], e)
                  : err_raise(e, RC_USAGE, "export needs one STORE: see preceptor export --help");
}

static enum rc export_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_export, &export_usage, export_line, true};

    return verb_do(call, &line, e);
}

const struct verb verb_export = {"export",    "a store as JSON Lines, CSV or NumPy arrays",
                                 export_main, false,
                                 export_opts, sizeof(struct export_options)};

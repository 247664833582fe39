#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "labeler/labeler_verbs.h"
#include "labeler/select.h"

enum { SELECT_SHOWN = 24, SELECT_EXTREMES = 5 }; /* classes in the table */

struct select_config {
    char *labels, *out, *data, *forbid;
    double min_confidence;
    int64_t per_class, seed, forbid_radius;
    int flavor;
    bool duplicate, json;
};

#define AT(field) offsetof(struct select_config, field)

/* clang-format off */
static const struct opt select_opts[] = {
    {"labels", OPT_STR, AT(labels), NULL, 0, 0, NULL, "LABELS", "label store, or the folder with the only one"},
    {"out", OPT_STR, AT(out), NULL, 0, 0, NULL, "NAME", "the selection: NAME.lmdb and NAME.json; one of that name is replaced"},
    {"data", OPT_STR, AT(data), NULL, 0, 0, NULL, "CORPUS", "the corpus that was labeled, whose forgotten images are left out; without it: where the labels say it is"},
    {"forbid", OPT_STR, AT(forbid), NULL, 0, 0, NULL, "CORPUS,...", "evaluation sets: images that are theirs or look alike are left out, and listed with distances"},
    {"forbid_radius", OPT_INT, AT(forbid_radius), "6", 0, 16, NULL, "BITS", "of the 64-bit perceptual hashes that may differ"},
    {"min_confidence", OPT_F64, AT(min_confidence), "0.3", 0, 1, NULL, "P", "keep labels with at least this confidence (Xie 2020: 0.3)"},
    {"per_class", OPT_INT, AT(per_class), "0", 0, 4294967295.0, NULL, "N", "keep the N most confident of each class, duplicate classes with fewer to N (Xie 2020: 130000); 0: neither"},
    {"duplicate", OPT_BOOL, AT(duplicate), "true", 0, 0, NULL, NULL, "duplicate classes with fewer than N images"},
    {"flavor", OPT_ENUM, AT(flavor), "exact", 0, 0, "exact,noisystudent", "RULE", "exact top N, or the 1 % bins and random draws of the paper's code"},
    {"seed", OPT_INT, AT(seed), "0", 0, 9007199254740992.0, NULL, "N", "of the draws of flavor noisystudent"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print the result as JSON, every class in it"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage select_usage = {
    .verb = "select",
    .summary = "which labeled images a student trains on, and how often",
    .synopsis = "--labels LABELS --out NAME [options]",
    .description = "Keeps confident labels, of each class the N most confident, and duplicates\n"
                   "classes with fewer until they too have N: copies are spread evenly, one more\n"
                   "for the most confident. Ties go by key, so equal stores give equal bytes.\n"
                   "The temperature of soft labels is an option of train, not of selection.",
    .examples = "preceptor select --labels labels --out selection/1 --per-class 130000\n"
                "preceptor select --labels labels --out selection/ns --per-class 130000 \\\n"
                "    --flavor noisystudent --seed 7"};

struct select_result {
    const struct select_config *config;
    struct label_store *labels;
    int n;
    struct select_class *classes; /* (n) */
    struct select_class sum;
    struct selection_info info;
    struct select_leave *leave; /* NULL: the corpus is not there */
    const volatile sig_atomic_t *stop;
    double seconds;
};

/* ---- balance --------------------------------------------------------------------------------- */

/* A column of the table. */
enum select_column { SELECT_LABELS, SELECT_ELIGIBLE, SELECT_IMAGES, SELECT_TOTAL, SELECT_COLUMNS };

static const char *const select_column_names[SELECT_COLUMNS] = {"labels", "eligible", "images",
                                                                "total"};

static uint64_t select_value(const struct select_class *c, enum select_column column)
{
    const uint64_t values[SELECT_COLUMNS] = {c->labels, c->eligible, c->images, c->total};

    return values[column];
}

static int select_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

struct select_balance {
    uint64_t least, median, most;
    int empty; /* classes */
};

static enum rc select_balance(const struct select_result *r, enum select_column column,
                              struct select_balance *out, struct err *e)
{
    uint64_t *v = mem_calloc((size_t)r->n, sizeof *v);

    if (v == NULL) {
        return mem_raise(e, "the balance of the classes", (size_t)r->n * sizeof *v);
    }
    out->empty = 0;
    for (int i = 0; i < r->n; i++) {
        v[i] = select_value(&r->classes[i], column);
        out->empty += v[i] == 0;
    }
    qsort(v, (size_t)r->n, sizeof *v, select_compare);
    out->least = v[0];
    out->median = v[r->n / 2];
    out->most = v[r->n - 1];
    mem_free(v);
    return RC_OK;
}

/* ---- as text --------------------------------------------------------------------------------- */

static void select_print_row(const char *name, const uint64_t v[SELECT_COLUMNS])
{
    printf("  %-24.24s", name);
    for (int i = 0; i < SELECT_COLUMNS; i++) {
        printf(" %12llu", (unsigned long long)v[i]);
    }
}

static void select_print_class(const struct select_result *r, int i)
{
    const struct select_class *c = &r->classes[i];
    const uint64_t v[SELECT_COLUMNS] = {c->labels, c->eligible, c->images, c->total};

    select_print_row(label_store_class(r->labels, i), v);
    if (c->images > 0) {
        printf(" %10.4f", (double)c->threshold);
    }
    printf("\n");
}

struct select_order {
    uint64_t labels;
    int cls;
};

static int select_compare_order(const void *a, const void *b)
{
    const struct select_order *x = a;
    const struct select_order *y = b;

    if (x->labels != y->labels) {
        return x->labels > y->labels ? -1 : 1;
    }
    return x->cls < y->cls ? -1 : x->cls > y->cls;
}

/* All classes where they are few, else those with the most and the fewest labels. */
static enum rc select_print_classes(const struct select_result *r, struct err *e)
{
    struct select_order *order = NULL;

    if (r->n <= SELECT_SHOWN) {
        for (int i = 0; i < r->n; i++) {
            select_print_class(r, i);
        }
        return RC_OK;
    }
    order = mem_calloc((size_t)r->n, sizeof *order);
    if (order == NULL) {
        return mem_raise(e, "the order of the classes", (size_t)r->n * sizeof *order);
    }
    for (int i = 0; i < r->n; i++) {
        order[i] = (struct select_order){r->classes[i].labels, i};
    }
    qsort(order, (size_t)r->n, sizeof *order, select_compare_order);
    for (int i = 0; i < SELECT_EXTREMES; i++) {
        select_print_class(r, order[i].cls);
    }
    printf("  ... (--json has all)\n");
    for (int i = r->n - SELECT_EXTREMES; i < r->n; i++) {
        select_print_class(r, order[i].cls);
    }
    mem_free(order);
    return RC_OK;
}

static enum rc select_print_balance(const struct select_result *r, struct err *e)
{
    struct select_balance b[SELECT_COLUMNS];
    uint64_t v[4][SELECT_COLUMNS];
    static const char *const names[4] = {"most of a class", "median", "least", "empty classes"};

    for (int i = 0; i < SELECT_COLUMNS; i++) {
        enum rc rc = select_balance(r, (enum select_column)i, &b[i], e);

        if (rc != RC_OK) {
            return rc;
        }
        v[0][i] = b[i].most;
        v[1][i] = b[i].median;
        v[2][i] = b[i].least;
        v[3][i] = (uint64_t)b[i].empty;
    }
    for (int i = 0; i < 4; i++) {
        select_print_row(names[i], v[i]);
        printf("\n");
    }
    return RC_OK;
}

static enum rc select_print(const struct select_result *r, struct err *e)
{
    const uint64_t all[SELECT_COLUMNS] = {r->sum.labels, r->sum.eligible, r->sum.images,
                                          r->sum.total};
    enum rc rc = RC_OK;

    printf("selection  %s (%s)\n", r->config->out, r->info.rule);
    printf("chosen     %llu of %llu images, %llu with copies (%.1f %% unique), in %.1f s\n\n",
           (unsigned long long)r->sum.images, (unsigned long long)r->sum.labels,
           (unsigned long long)r->sum.total, 100.0 * (double)r->sum.images / (double)r->sum.total,
           r->seconds);
    if (r->leave != NULL && select_leave_forgotten(r->leave) > 0) {
        printf("left out   %llu images that were forgotten\n\n",
               (unsigned long long)select_leave_forgotten(r->leave));
    }
    if (r->config->forbid != NULL) {
        printf(
            "forbidden  %llu images are of '%s' or near them: %s.forbidden-*.jsonl lists them\n\n",
            (unsigned long long)select_leave_forbidden(r->leave), r->config->forbid,
            r->config->out);
    }
    printf("  %-24s %12s %12s %12s %12s %10s\n", "class", "before", "confident", "chosen",
           "with copies", "threshold");
    rc = select_print_classes(r, e);
    if (rc == RC_OK) {
        select_print_row("all", all);
        printf("\n");
        rc = select_print_balance(r, e);
    }
    if (rc == RC_OK) {
        printf("\nnext       preceptor train --recipe R.yaml --unlabeled CORPUS --labels %s \\\n"
               "               --selection %s --data LABELED --out RUN\n",
               label_store_path(r->labels), r->config->out);
    }
    return rc;
}

/* ---- as JSON --------------------------------------------------------------------------------- */

static json_t *select_json_classes(const struct select_result *r)
{
    json_t *list = json_array();

    for (int i = 0; i < r->n && list != NULL; i++) {
        const struct select_class *c = &r->classes[i];
        json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:f}", "class",
                              label_store_class(r->labels, i), "labels", (json_int_t)c->labels,
                              "eligible", (json_int_t)c->eligible, "images", (json_int_t)c->images,
                              "total", (json_int_t)c->total, "threshold", (double)c->threshold);

        if (json_array_append_new(list, o) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *select_json_balance(const struct select_result *r)
{
    json_t *balance = json_object();

    for (int i = 0; i < SELECT_COLUMNS && balance != NULL; i++) {
        struct select_balance b;
        json_t *o = NULL;

        if (select_balance(r, (enum select_column)i, &b, NULL) == RC_OK) {
            o = json_pack("{s:I, s:I, s:I, s:i}", "least", (json_int_t)b.least, "median",
                          (json_int_t)b.median, "most", (json_int_t)b.most, "empty", b.empty);
        }
        if (json_object_set_new(balance, select_column_names[i], o) != 0) {
            json_decref(balance);
            balance = NULL;
        }
    }
    return balance;
}

static enum rc select_print_json(const struct select_result *r, struct err *e)
{
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:o, s:o, s:I, s:I}", "selection", r->config->out,
        "store", label_store_path(r->labels), "rule", r->info.rule, "labels",
        (json_int_t)r->sum.labels, "eligible", (json_int_t)r->sum.eligible, "images",
        (json_int_t)r->sum.images, "total", (json_int_t)r->sum.total, "seconds", r->seconds,
        "balance", select_json_balance(r), "classes", select_json_classes(r), "forgotten",
        (json_int_t)(r->leave != NULL ? select_leave_forgotten(r->leave) : 0), "forbidden",
        (json_int_t)(r->leave != NULL ? select_leave_forbidden(r->leave) : 0));

    return verb_print_json(root, e);
}

/* ---- the verb -------------------------------------------------------------------------------- */

static enum rc select_work(struct select_result *r, struct err *e)
{
    const struct select_config *c = r->config;
    struct select_rule rule = {.flavor = c->flavor == 0 ? SELECT_EXACT : SELECT_NOISYSTUDENT,
                               .min_confidence = c->min_confidence,
                               .per_class = (uint64_t)c->per_class,
                               .duplicate = c->duplicate,
                               .seed = (uint64_t)c->seed,
                               .leave = r->leave};
    double start = clock_now();
    enum rc rc = RC_OK;

    r->n = label_store_lineage(r->labels)->n_classes;
    r->classes = mem_calloc((size_t)r->n, sizeof *r->classes);
    if (r->classes == NULL) {
        return mem_raise(e, "the classes", (size_t)r->n * sizeof *r->classes);
    }
    rc = select_run(r->labels, &rule, c->out, r->classes, &r->info, e);
    for (int i = 0; i < r->n && rc == RC_OK; i++) {
        r->sum.labels += r->classes[i].labels;
        r->sum.eligible += r->classes[i].eligible;
        r->sum.images += r->classes[i].images;
        r->sum.total += r->classes[i].total;
    }
    if (rc == RC_OK && r->leave != NULL) {
        select_leave_sweep(r->leave, c->out);
    }
    r->seconds = clock_now() - start;
    return rc;
}

static enum rc select_guard(struct select_result *r, struct corpus *corpus, const struct err *why,
                            struct err *e)
{
    struct guard **guards = NULL;
    int n = 0;
    enum rc rc =
        corpus != NULL
            ? guard_open_list(r->config->forbid, (int)r->config->forbid_radius, &guards, &n, e)
            : err_raise(e, RC_INVAL, "--forbid needs the images: %s; name them with --data",
                        why->msg);

    for (int i = 0; i < n && rc == RC_OK; i++) {
        rc =
            select_leave_forbid(r->leave, r->labels, corpus, guards[i], r->config->out, r->stop, e);
    }
    guard_close_all(guards, n);
    return rc;
}

/* What is left out whatever the rule. */
static enum rc select_leave(struct select_result *r, struct err *e)
{
    struct corpus *corpus = NULL;
    struct err why = {0};
    enum rc rc = select_leave_corpus(r->labels, r->config->data, &corpus, &why, e);

    if (rc == RC_OK && corpus == NULL) {
        log_warn("labeler",
                 "images that were forgotten are not left out, since %s: name the corpus with "
                 "--data (train leaves them out in any case)",
                 why.msg);
    } else if (rc == RC_OK) {
        rc = select_leave_create(r->labels, corpus, &r->leave, e);
    }
    if (rc == RC_OK && r->config->forbid != NULL) {
        rc = select_guard(r, corpus, &why, e);
    }
    corpus_close(corpus);
    return rc;
}

static enum rc select_all(const struct select_config *c, const struct verb_call *call,
                          struct err *e)
{
    struct select_result r = {.config = c, .stop = call->stop};
    enum rc rc = label_store_open(c->labels, &r.labels, e);

    if (rc == RC_OK) {
        rc = select_leave(&r, e);
    }
    if (rc == RC_OK) {
        rc = select_work(&r, e);
    }
    if (rc == RC_OK) {
        rc = c->json ? select_print_json(&r, e) : select_print(&r, e);
    }
    mem_free(r.classes);
    select_leave_destroy(r.leave);
    label_store_close(r.labels);
    return rc;
}

static enum rc select_line(const void *options, const char *const words[], int n,
                           const struct verb_call *call, struct err *e)
{
    const struct select_config *c = options;

    (void)words, (void)n;
    return c->labels != NULL && c->out != NULL
               ? select_all(c, call, e)
               : err_raise(e, RC_USAGE, "select needs --%s: see preceptor select --help",
                           c->labels == NULL ? "labels" : "out");
}

static enum rc select_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_select, &select_usage, select_line, false};

    return verb_do(call, &line, e);
}

const struct verb verb_select = {"select",    "which labeled images a student trains on, how often",
                                 select_main, false,
                                 select_opts, sizeof(struct select_config)};

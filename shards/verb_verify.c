#include <stddef.h>
#include <stdio.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "shards/shards_verbs.h"
#include "shards/verify.h"

struct verify_options {
    int64_t sample;
    bool json;
};

#define AT(field) offsetof(struct verify_options, field)

/* clang-format off */
static const struct opt verify_opts[] = {
    {"sample", OPT_INT, AT(sample), "0", 0, 1e9, NULL, "N", "only N shards, spread evenly; 0: all"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print the result as JSON"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage verify_usage = {
    .verb = "verify",
    .summary = "whether every byte of a store is what was sealed",
    .synopsis = "STORE... [options]",
    .description = "A STORE is a corpus, a label store, a selection, or the folder of a training\n"
                   "run. The manifest, size and SHA-256 of each file, the checksum of each\n"
                   "record, and the key of each image are checked, and that no key is in two\n"
                   "shards; faults are listed and the exit code is 1.",
    .examples = "preceptor verify data/train\n"
                "preceptor verify labels --sample 10"};

static const char *const verify_kinds[] = {[STORE_CORPUS] = "corpus",
                                           [STORE_LABELS] = "labels",
                                           [STORE_SELECTION] = "selection",
                                           [STORE_RUN] = "run"};

struct verify_faults {
    bool json;
    json_t *list;
};

static void verify_print_fault(void *ctx, const char *what)
{
    struct verify_faults *f = ctx;

    if (f->json) {
        (void)json_array_append_new(f->list, json_string(what));
    } else {
        printf("fault      %s\n", what);
        (void)fflush(stdout);
    }
}

static enum rc verify_print_json(const char *path, const struct verify_result *r, json_t *faults,
                                 struct err *e)
{
    json_t *root = json_pack("{s:s,s:s,s:i,s:i,s:I,s:I,s:I,s:O,s:f,s:I}", "store", path, "kind",
                             verify_kinds[r->kind], "shards", r->shards, "verified", r->verified,
                             "records", (json_int_t)r->records, "bytes", (json_int_t)r->bytes,
                             "faults", (json_int_t)r->faults, "list", faults, "seconds", r->seconds,
                             "forgotten", (json_int_t)r->forgotten);

    return verb_print_json(root, e);
}

static enum rc verify_all(const struct verify_options *o, const char *path,
                          const struct verb_call *call, struct err *e)
{
    struct verify_faults faults = {o->json, json_array()};
    const struct verify_config config = {path, o->sample, verify_print_fault, &faults, call->stop};
    struct verify_result r;
    enum rc rc = verify_store(&config, &r, e);

    if (rc == RC_OK && o->json) {
        rc = verify_print_json(path, &r, faults.list, e);
    } else if (rc == RC_OK) {
        printf("%-10s %s\n", verify_kinds[r.kind], path);
        printf("verified   %d of %d shards, %llu records, %.1f MB in %.1f s\n", r.verified,
               r.shards, (unsigned long long)r.records, (double)r.bytes / 1e6, r.seconds);
        if (r.forgotten > 0) {
            printf("forgotten  %llu image%s, which nothing uses any more\n",
                   (unsigned long long)r.forgotten, r.forgotten == 1 ? "" : "s");
        }
    }
    json_decref(faults.list);
    if (rc == RC_OK && r.faults > 0) {
        rc = err_raise(e, RC_CORRUPT, "'%s' has %llu fault%s", path, (unsigned long long)r.faults,
                       r.faults == 1 ? "" : "s");
    }
    return rc;
}

/* All of them, whatever one comes to; the first error stays. */
static enum rc verify_each(const struct verify_options *o, const char *const *paths, int n,
                           const struct verb_call *call, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < n && rc != RC_REQUEUE; i++) {
        struct err err = {0};
        enum rc one = verify_all(o, paths[i], call, &err);

        if (one != RC_OK && rc == RC_OK) {
            rc = err_raise(e, one, "%s", err.msg);
        } else if (one != RC_OK) {
            log_warn("shards", "%s", err.msg);
        }
    }
    return rc;
}

static enum rc verify_line(const void *options, const char *const words[], int n,
                           const struct verb_call *call, struct err *e)
{
    return n > 0 ? verify_each(options, words, n, call, e)
                 : err_raise(e, RC_USAGE, "verify needs a STORE: see preceptor verify --help");
}

static enum rc verify_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_verify, &verify_usage, verify_line, true};

    return verb_do(call, &line, e);
}

const struct verb verb_verify = {"verify",    "whether every byte of a store is what was sealed",
                                 verify_main, false,
                                 verify_opts, sizeof(struct verify_options)};

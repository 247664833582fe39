#include <stddef.h>
#include <stdio.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "shards/dedupe.h"
#include "shards/shards_verbs.h"

struct dedupe_options {
    char *out;
    int64_t radius;
    bool json;
};

#define AT(field) offsetof(struct dedupe_options, field)

/* clang-format off */
static const struct opt dedupe_opts[] = {
    {"radius", OPT_INT, AT(radius), "6", 0, 16, NULL, "BITS", "of the 64-bit perceptual hashes that may differ"},
    {"out", OPT_STR, AT(out), NULL, 0, 0, NULL, "LIST", "write the images that should go, as forget takes them"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print the result as JSON"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage dedupe_usage = {
    .verb = "dedupe",
    .summary = "groups of images that look alike, one of each to keep",
    .synopsis = "CORPUS... [--radius 6] [--out LIST]",
    .description = "Compares perceptual hashes (64 bits of a DCT), which pack stores beside the\n"
                   "shards. Of images that look alike the one that was packed first is kept, in\n"
                   "the order of the corpora named. Nothing is changed: forget takes the list.",
    .examples = "preceptor dedupe dump --out alike.jsonl\n"
                "preceptor forget alike.jsonl --data dump --reason near-duplicates"};

static enum rc dedupe_print_json(const struct dedupe_result *r, struct err *e)
{
    json_t *root = json_pack("{s:I,s:I,s:I,s:I,s:I,s:f,s:f}", "images", (json_int_t)r->images,
                             "blank", (json_int_t)r->blank, "groups", (json_int_t)r->groups,
                             "dropped", (json_int_t)r->dropped, "same_hash", (json_int_t)r->same,
                             "read_seconds", r->read_s, "search_seconds", r->search_s);

    return verb_print_json(root, e);
}

static void dedupe_print(const struct dedupe_options *o, const struct dedupe_result *r)
{
    printf("images     %llu, %llu of them blank\n", (unsigned long long)r->images,
           (unsigned long long)r->blank);
    printf("alike      %llu images look like one of %llu others within %lld bits, %llu of them "
           "with the same hash\n",
           (unsigned long long)r->dropped, (unsigned long long)r->groups, (long long)o->radius,
           (unsigned long long)r->same);
    printf("kept       %llu\n", (unsigned long long)(r->images - r->dropped));
    printf("took       %.1f s to read, %.1f s to search\n", r->read_s, r->search_s);
    if (o->out != NULL) {
        printf("list       %s: preceptor forget %s --data CORPUS\n", o->out, o->out);
    }
}

static enum rc dedupe_all(const struct dedupe_options *o, const char *const *corpora, int n,
                          const struct verb_call *call, struct err *e)
{
    const struct dedupe_config config = {corpora, n, (int)o->radius, o->out, call->stop};
    struct dedupe_result r;
    enum rc rc = dedupe_run(&config, &r, e);

    if (rc == RC_OK && o->json) {
        return dedupe_print_json(&r, e);
    }
    if (rc == RC_OK) {
        dedupe_print(o, &r);
    }
    return rc;
}

static enum rc dedupe_line(const void *options, const char *const words[], int n,
                           const struct verb_call *call, struct err *e)
{
    return n > 0 ? dedupe_all(options, words, n, call, e)
                 : err_raise(e, RC_USAGE, "dedupe needs a CORPUS: see preceptor dedupe --help");
}

static enum rc dedupe_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_dedupe, &dedupe_usage, dedupe_line, true};

    return verb_do(call, &line, e);
}

const struct verb verb_dedupe = {
    "dedupe",    "groups of images that look alike, one of each to keep",
    dedupe_main, false,
    dedupe_opts, sizeof(struct dedupe_options)};

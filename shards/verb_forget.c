#include <stddef.h>
#include <stdio.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "shards/forget.h"
#include "shards/shards_verbs.h"

struct forget_options {
    char *data, *reason;
    bool json;
};

#define AT(field) offsetof(struct forget_options, field)

/* clang-format off */
static const struct opt forget_opts[] = {
    {"data", OPT_STR, AT(data), NULL, 0, 0, NULL, "CORPUS", "the corpus to forget them in"},
    {"reason", OPT_STR, AT(reason), "no reason was given", 0, 0, NULL, "TEXT", "kept with the time, for lineage"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print the result as JSON"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage forget_usage = {
    .verb = "forget",
    .summary = "images that no later label, selection, training or evaluation may use",
    .synopsis = "LIST --data CORPUS [--reason TEXT]",
    .description = "LIST has a key a line, as `sha256sum FILE | cut -c1-32` prints it, lines of\n"
                   "sha256sum itself, or JSON lines with \"key\", as dedupe writes them.\n"
                   "Shards and labels are not rewritten: the images stay on disk, marked, and\n"
                   "everything that reads the corpus leaves them out. There is no way back but\n"
                   "to pack a new corpus.",
    .examples = "sha256sum withdrawn/*.jpg > list\n"
                "preceptor forget list --data dump --reason 'request 2026-17'"};

static enum rc forget_print(const struct forget_options *o, const struct forget_result *r,
                            struct err *e)
{
    json_t *root = NULL;

    if (!o->json) {
        printf("forgotten  %llu of %llu images named\n", (unsigned long long)r->fresh,
               (unsigned long long)r->named);
        printf("known      %llu were forgotten before, %llu are not in '%s'\n",
               (unsigned long long)r->already, (unsigned long long)r->unknown, o->data);
        printf("in all     %llu\n", (unsigned long long)r->all);
        return RC_OK;
    }
    root = json_pack("{s:I,s:I,s:I,s:I,s:I}", "named", (json_int_t)r->named, "forgotten",
                     (json_int_t)r->fresh, "already", (json_int_t)r->already, "unknown",
                     (json_int_t)r->unknown, "all", (json_int_t)r->all);
    return verb_print_json(root, e);
}

static enum rc forget_all(const struct forget_options *o, const char *list, struct err *e)
{
    struct forget_result r;
    enum rc rc = forget_list(o->data, list, o->reason, &r, e);

    return rc == RC_OK ? forget_print(o, &r, e) : rc;
}

static enum rc forget_line(const void *options, const char *const words[], int n,
                           const struct verb_call *call, struct err *e)
{
    const struct forget_options *o = options;

    (void)call;
    return n == 1 && o->data != NULL
               ? forget_all(o, words[0], e)
               : err_raise(e, RC_USAGE,
                           "forget needs one LIST and --data CORPUS: see preceptor forget --help");
}

static enum rc forget_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_forget, &forget_usage, forget_line, true};

    return verb_do(call, &line, e);
}

const struct verb verb_forget = {
    "forget",    "images that no later label, selection, training or evaluation may use",
    forget_main, false,
    forget_opts, sizeof(struct forget_options)};

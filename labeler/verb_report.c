#include <stddef.h>
#include <stdio.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "labeler/labeler_verbs.h"
#include "labeler/report.h"

struct report_options {
    char *out;
    bool json;
};

#define AT(field) offsetof(struct report_options, field)

/* clang-format off */
static const struct opt report_opts[] = {
    {"out", OPT_STR, AT(out), NULL, 0, 0, NULL, "FILE", "the page; without it RUN/report.html"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print what the page says of results and stores as JSON"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage report_usage = {
    .verb = "report",
    .summary = "one self-contained HTML page on a training run",
    .synopsis = "RUN [--out FILE]",
    .description =
        "What came out, the curves, the stores that it was made from with their digests,\n"
        "which leak guards its images passed, how many were forgotten, and the recipe.\n"
        "Also of a run that is still going on.",
    .examples = "preceptor report runs/student --out student.html"};

static enum rc report_say(const struct report_options *o, const char *out,
                          const struct report_run *r, struct err *e)
{
    json_t *root = NULL;

    if (!o->json) {
        printf("report     %s\n", out);
        return RC_OK;
    }
    root = json_pack("{s:s*,s:b,s:O?,s:O?}", "report", out, "finished", r->result != NULL, "result",
                     r->result, "stores", json_object_get(r->stores, "stores"));
    return verb_print_json(root, e);
}

static enum rc report_write(const struct report_options *o, const char *path, struct err *e)
{
    struct report_run r;
    char *out = o->out != NULL ? mem_strdup(o->out) : fs_join(path, "report.html");
    char *text = NULL;
    size_t bytes = 0;
    enum rc rc = out != NULL ? report_read(path, &r, e) : mem_raise(e, "a path", 0);

    if (rc == RC_OK) {
        rc = report_page(&r, &text, &bytes, e);
        if (rc == RC_OK) {
            rc = fs_write_atomic(out, text, bytes, e);
        }
        if (rc == RC_OK) {
            rc = report_say(o, out, &r, e);
        }
        report_release(&r);
    }
    mem_free(text);
    mem_free(out);
    return rc;
}

static enum rc report_line(const void *options, const char *const words[], int n,
                           const struct verb_call *call, struct err *e)
{
    (void)call;
    return n == 1 ? report_write(options, words[0], e)
                  : err_raise(e, RC_USAGE, "report needs one RUN: see preceptor report --help");
}

static enum rc report_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_report, &report_usage, report_line, true};

    return verb_do(call, &line, e);
}

const struct verb verb_report = {"report",    "one self-contained HTML page on a training run",
                                 report_main, false,
                                 report_opts, sizeof(struct report_options)};

#include "common/base/verb.h"

#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/opt.h"

/* words: room for those of the command line; NULL: there may be none. */
static enum rc verb_parse(const struct verb_call *call, const struct verb_line *line, void *options,
                          const char **words, struct err *e)
{
    const struct opt *table = line->verb->options;
    bool help = false;
    int n = 0;
    enum rc rc = opts_init(table, options, e);

    if (rc == RC_OK) {
        rc = words != NULL ? opts_parse(table, options, call->argc, call->argv, words, &n, &help, e)
                           : opts_parse_only(table, options, call->argc, call->argv,
                                             line->verb->name, &help, e);
    }
    if (rc == RC_OK && help) {
        opts_help(line->usage, table);
    } else if (rc == RC_OK) {
        rc = line->work(options, words, n, call, e);
    }
    opts_release(table, options);
    return rc;
}

enum rc verb_do(const struct verb_call *call, const struct verb_line *line, struct err *e)
{
    void *options = mem_calloc(1, line->verb->options_bytes);
    const char **words = line->words ? mem_calloc((size_t)call->argc + 1, sizeof *words) : NULL;
    enum rc rc = options != NULL && (words != NULL || !line->words)
                     ? verb_parse(call, line, options, words, e)
                     : mem_raise(e, "the command line", line->verb->options_bytes);

    mem_free(words);
    mem_free(options);
    return rc;
}

enum rc verb_print_json(json_t *root, struct err *e)
{
    enum rc rc = RC_OK;

    if (root == NULL) {
        return mem_raise(e, "the result", 0);
    }
    if (json_dumpf(root, stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF) {
        rc = err_raise(e, RC_IO, "cannot write the result to standard output");
    }
    json_decref(root);
    return rc;
}

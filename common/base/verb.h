/**
 * A verb of the program: each lives in the folder that does its job and main.c holds the table.
 * A verb parses its own options (opt.h), prints results on stdout, and returns an error; it never
 * prints an error or exits.
 */
#ifndef PRECEPTOR_VERB_H
#define PRECEPTOR_VERB_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/json.h"

struct coll; /* common/coll/coll.h */
struct opt;  /* common/base/opt.h */
struct opt_usage;

struct verb_call {
    int argc; /* what follows the verb's name */
    char **argv;
    struct coll *control;
    /* Set by SIGUSR1 (SIGTERM, SIGINT when alone): finish the batch, commit, save, RC_REQUEUE. */
    const volatile sig_atomic_t *stop;
};

typedef enum rc verb_fn(const struct verb_call *call, struct err *e);

struct verb {
    const char *name;
    const char *summary; /* one line for `preceptor --help` */
    verb_fn *run;
    /* Whether every rank runs it (train, label, eval); otherwise rank 0 works and the rest wait. */
    bool on_all_ranks;
    /* Its option table and the size of the struct that it fills (NULL, 0: not told): `run` checks
     * the keys of a recipe's section by it before anything starts. */
    const struct opt *options;
    size_t options_bytes;
};

/** The result of --json, a line on standard output. Takes root; NULL says that it could not be made.
 * RC_IO, RC_NOMEM. */
NODISCARD enum rc verb_print_json(json_t *root, struct err *e);

/** What a verb does when its command line is understood.
 * options  the struct that its table fills
 * words    (n) what is no option; NULL if the verb takes none */
typedef enum rc verb_work(const void *options, const char *const words[], int n,
                          const struct verb_call *call, struct err *e);

/** How a verb reads its command line. */
struct verb_line {
    const struct verb *verb;
    const struct opt_usage *usage;
    verb_work *work;
    bool words; /* it takes words that are no options */
};

/** Read the options and words of a call and do the work, or print the help if that was asked for.
 * RC_USAGE names what is wrong in the command line; RC_NOMEM; or what the work returned. */
NODISCARD enum rc verb_do(const struct verb_call *call, const struct verb_line *line,
                          struct err *e);

#endif

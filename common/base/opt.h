/**
 * One table of options makes parsing, range checks, help, the recipe's keys and the recorded
 * configuration. Precedence: default < recipe (YAML) < --set key=value and command line.
 *
 *   struct train_config { float lr; int64_t steps; bool nesterov; const char *out; };
 *   static const struct opt train_opts[] = {
 *       {"train.lr", OPT_F32, offsetof(struct train_config, lr), "0.1", 0, 100, NULL, "RATE",
 *        "base learning rate for a batch of 256"},
 *       ...
 *       {0}};
 *
 * On the command line an option is --NAME with '.' as it is and '-' or '_' alike; flags (OPT_BOOL)
 * are --name and --no-name. In YAML `train: {lr: 0.1}` and `train.lr: 0.1` are the same key.
 */
#ifndef PRECEPTOR_OPT_H
#define PRECEPTOR_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum opt_type {
    OPT_BOOL,   /* bool */
    OPT_INT,    /* int64_t, plain decimal */
    OPT_SIZE,   /* int64_t bytes or counts with K, M, G, T suffix (powers of 1024) */
    OPT_F32,    /* float */
    OPT_F64,    /* double */
    OPT_STR,    /* char *: heap copy owned by the options (opts_release); NULL when default NULL */
    OPT_ENUM    /* int: index into .choices ("f32,bf16,int8") */
};

struct opt {
    const char *name;    /* "train.lr"; the last row of a table has NULL */
    enum opt_type type;
    size_t offset;       /* of the field in the caller's struct */
    const char *def;     /* default as text; NULL: zero (no default shown), strings: NULL */
    double min, max;     /* range of numbers, inclusive; both 0: any */
    const char *choices; /* OPT_ENUM: comma-separated names */
    const char *arg;     /* placeholder in help: "DIR", "N", "RATE" */
    const char *help;    /* one sentence, no final stop; with source, e.g. "(Xie 2020)" */
};

/** What a verb is, for its --help: printed like a man page. */
struct opt_usage {
    const char *verb;        /* "label" */
    const char *summary;     /* one line: "soft labels for every image ..." */
    const char *synopsis;    /* "--model W --data C --out LABELS [options]" */
    const char *description; /* paragraphs; NULL if none */
    const char *examples;    /* lines; NULL if none */
};

/** Fill cfg with the table's defaults. RC_NOMEM; a bad default is an assertion. */
NODISCARD enum rc opts_init(const struct opt *table, void *cfg, struct err *e);

/** Free the strings of cfg. */
void opts_release(const struct opt *table, void *cfg);

/** Set one option from text. where: "recipe.yaml:12" or "--train.lr" for the message.
 * RC_USAGE unknown name (with the nearest known one), not a number, out of range, not a choice. */
NODISCARD enum rc opts_set(const struct opt *table, void *cfg, const char *name, const char *value,
                           const char *where, struct err *e);

/**
 * Parse argv[0..argc): options of the table into cfg; the rest are positionals.
 * `--name value`, `--name=value`, `--flag`, `--no-flag`, `--set name=value`, `--` ends options.
 * positionals (argc)   filled with pointers into argv; *n_positionals says how many
 * RC_USAGE             unknown option, missing value, bad value: the sentence names it
 * --help / -h: *help is set and parsing stops with RC_OK.
 */
NODISCARD enum rc opts_parse(const struct opt *table, void *cfg, int argc, char **argv,
                             const char **positionals, int *n_positionals, bool *help,
                             struct err *e);

/** opts_parse for a verb that takes options alone: RC_USAGE names a positional and the verb's help. */
NODISCARD enum rc opts_parse_only(const struct opt *table, void *cfg, int argc, char **argv,
                                  const char *verb, bool *help, struct err *e);

/** Apply the keys of a recipe file, all of which must be known.
 * RC_INVAL unknown key or bad value, with file and line; RC_IO; RC_CORRUPT not YAML. */
NODISCARD enum rc opts_load_yaml(const struct opt *table, void *cfg, const char *path,
                                 struct err *e);

/** The resolved options as YAML text, one `name: value  # help` a line (mem_free). */
NODISCARD enum rc opts_dump_yaml(const struct opt *table, const void *cfg, char **out,
                                 struct err *e);

/** Print the man-page-like help on stdout. */
void opts_help(const struct opt_usage *usage, const struct opt *table);

#endif

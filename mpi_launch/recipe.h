/**
 * A recipe of the whole loop: `name`, a section `run`, and one section a stage whose keys are the
 * options of that stage's verb, so the verbs' own tables check them, with file and line, before
 * anything starts.
 *
 *   run:     {out: runs/a, ranks: 2, generations: 1, seed: 0}      options of `run` itself
 *   pack:    {labeled: {source: DIR, ...}, unlabeled: {...}, eval: {...}}
 *   teacher: options of train        label:   options of label
 *   student: options of train        select:  options of select
 *   eval:    options of eval
 *
 * label2, select2, student2, ...: what differs in that generation. `corpus: DIR` in a part of pack
 * uses a corpus that is there instead of packing one; `weights: FILE` in teacher likewise a model.
 */
#ifndef PRECEPTOR_RECIPE_H
#define PRECEPTOR_RECIPE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/opt.h"
#include "common/base/verb.h"
#include "mpi_launch/args.h"

enum { RECIPE_MAX_GENERATIONS = 9, RECIPE_NAME_MAX = 32 };

struct recipe_entry {
    char section[RECIPE_NAME_MAX]; /* "pack.labeled", "student2"; "" for a key at the top */
    char *key;                     /* within the section: "augment.flip" */
    char *value;
    char *where;                   /* "demo.yaml:12", "--set student.steps" */
};

struct recipe {
    char *path;
    struct recipe_entry *entries;
    size_t n;
};

/** Load path, then apply sets: "section.key=value", which replace keys of the file (lists too).
 * RC_INVAL a section that is none, with file and line; RC_USAGE a set that is not name=value. */
NODISCARD enum rc recipe_load(const char *path, const struct args *sets, struct recipe *out,
                              struct err *e);
void recipe_release(struct recipe *r);

/** Check every key of the stages' sections by the option table of its verb, and that none is one
 * that `run` sets itself. find: the program's verbs by name. RC_USAGE names file, line and key. */
NODISCARD enum rc recipe_check(const struct recipe *r, const struct verb *(*find)(const char *),
                               struct err *e);

/** Set the options of `run` from the section and the top's `name`. RC_USAGE with file and line. */
NODISCARD enum rc recipe_apply(const struct recipe *r, const char *section,
                               const struct opt *table, void *cfg, struct err *e);

/** Append `--key=value` for each key of a section, except those that recipe_is_source. generation
 * (>= 2): keys of the section with that number replace it. */
NODISCARD enum rc recipe_options(const struct recipe *r, const char *section, int generation,
                                 struct args *out, struct err *e);

/** The values of a key, or of a list of that name. */
NODISCARD enum rc recipe_values(const struct recipe *r, const char *section, const char *key,
                                struct args *out, struct err *e);

/** Whether the recipe has this section. */
bool recipe_has(const struct recipe *r, const char *section);

#endif

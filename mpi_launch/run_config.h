/** The options of `run` itself, from its section of the recipe and the command line. */
#ifndef PRECEPTOR_RUN_CONFIG_H
#define PRECEPTOR_RUN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/opt.h"
#include "mpi_launch/recipe.h"

enum run_launcher { RUN_LOCAL, RUN_HOSTFILE };

struct run_config {
    char *name, *out, *hostfile, *mpirun;
    int launcher;
    int64_t ranks, threads, generations, seed;
    bool json, dry_run, guard;
};

extern const struct opt run_opts[];

/** The command line's recipe and its sets, and the options resolved: default < recipe < command
 * line. *help: --help was asked for, nothing else is filled. RC_USAGE, RC_INVAL, RC_IO name what
 * is wrong. Release: run_config_release, recipe_release. */
NODISCARD enum rc run_config_parse(int argc, char **argv, struct run_config *c, struct recipe *r,
                                   struct args *sets, bool *help, struct err *e);
void run_config_release(struct run_config *c);

#endif

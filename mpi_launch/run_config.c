#include "mpi_launch/run_config.h"

#include <stddef.h>
#include <string.h>

#include "common/base/mem.h"

#define AT(field) offsetof(struct run_config, field)

/* clang-format off */
const struct opt run_opts[] = {
    {"name", OPT_STR, AT(name), NULL, 0, 0, NULL, "TEXT", "what the run is called in its table"},
    {"out", OPT_STR, AT(out), NULL, 0, 0, NULL, "DIR", "folder of the run: corpora, labels, selections, models, records of the stages"},
    {"launcher", OPT_ENUM, AT(launcher), "local", 0, 0, "local,hostfile", "HOW", "where ranks run: on this machine, or on the hosts of --hostfile"},
    {"hostfile", OPT_STR, AT(hostfile), NULL, 0, 0, NULL, "FILE", "Open MPI's hostfile, for --launcher hostfile; the program and DIR must be at the same path on all of them"},
    {"mpirun", OPT_STR, AT(mpirun), NULL, 0, 0, NULL, "WORDS", "further options of mpirun, split at blanks"},
    {"ranks", OPT_INT, AT(ranks), "1", 1, 100000, NULL, "N", "MPI ranks of train, label and eval; 1: no mpirun"},
    {"threads", OPT_INT, AT(threads), "0", 0, 1024, NULL, "N", "compute threads of a rank; 0: cores / ranks of its host"},
    {"generations", OPT_INT, AT(generations), "1", 0, RECIPE_MAX_GENERATIONS, NULL, "N", "times that a student is trained and becomes the next teacher; 0: the teacher alone"},
    {"seed", OPT_INT, AT(seed), "0", 0, 1e12, NULL, "N", "of the teacher; student g has seed + g; a section's own seed goes before it"},
    {"guard", OPT_BOOL, AT(guard), "false", 0, 0, NULL, NULL, "leak guard: images near those of pack.eval are neither packed for training nor selected"},
    {"dry_run", OPT_BOOL, AT(dry_run), "false", 0, 0, NULL, NULL, "check the recipe, print each stage's command, run nothing"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print the summary as JSON instead of the table"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

/* Take `--set X` and `--set=X` out of argv: they are the stages', not run's. */
static enum rc run_config_take_sets(int argc, char **argv, struct args *rest, struct args *sets,
                                    struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < argc && rc == RC_OK; i++) {
        if (strncmp(argv[i], "--set=", 6) == 0) {
            rc = args_add(sets, e, "%s", argv[i] + 6);
        } else if (strcmp(argv[i], "--set") == 0) {
            rc = i + 1 < argc ? args_add(sets, e, "%s", argv[++i])
                              : err_raise(e, RC_USAGE, "--set needs a value: stage.key=value");
        } else {
            rc = args_add(rest, e, "%s", argv[i]);
        }
    }
    return rc;
}

static enum rc run_config_argv(const struct args *rest, struct run_config *c, char **recipe,
                               bool *help, struct err *e)
{
    const char **words = mem_calloc((size_t)rest->n + 1, sizeof *words);
    int n = 0;
    enum rc rc = RC_OK;

    if (words == NULL) {
        return mem_raise(e, "the command line", (size_t)rest->n);
    }
    rc = opts_parse(run_opts, c, rest->n, rest->v, words, &n, help, e);
    if (rc == RC_OK && !*help && n != 1) {
        rc = err_raise(e, RC_USAGE, "run takes one recipe, got %d: see preceptor run --help", n);
    }
    if (rc == RC_OK && !*help && *recipe == NULL) {
        *recipe = mem_strdup(words[0]);
        rc = *recipe == NULL ? mem_raise(e, "a path", strlen(words[0])) : RC_OK;
    }
    mem_free(words);
    return rc;
}

static enum rc run_config_check(const struct run_config *c, const struct recipe *r, struct err *e)
{
    if (c->out == NULL) {
        return err_raise(e, RC_USAGE, "%s says no folder for the run: give run.out in it, or --out",
                         r->path);
    }
    if (c->launcher == RUN_HOSTFILE && c->hostfile == NULL) {
        return err_raise(e, RC_USAGE, "--launcher hostfile needs --hostfile FILE");
    }
    return RC_OK;
}

static enum rc run_config_resolve(const struct args *rest, const char *path,
                                  const struct args *sets, struct run_config *c, struct recipe *r,
                                  struct err *e)
{
    char *same = NULL;
    bool help = false;
    enum rc rc = recipe_load(path, sets, r, e);

    if (rc == RC_OK) {
        rc = recipe_apply(r, "", run_opts, c, e);
    }
    if (rc == RC_OK) {
        rc = recipe_apply(r, "run", run_opts, c, e);
    }
    if (rc == RC_OK) {
        rc = run_config_argv(rest, c, &same, &help, e);
        mem_free(same);
    }
    if (rc == RC_OK) {
        rc = run_config_check(c, r, e);
    }
    return rc;
}

enum rc run_config_parse(int argc, char **argv, struct run_config *c, struct recipe *r,
                         struct args *sets, bool *help, struct err *e)
{
    struct args rest = {0};
    struct run_config first = {0};
    char *path = NULL;
    enum rc rc = run_config_take_sets(argc, argv, &rest, sets, e);

    if (rc == RC_OK) {
        rc = opts_init(run_opts, &first, e);
    }
    if (rc == RC_OK) {
        rc = run_config_argv(&rest, &first, &path, help, e);
    }
    if (rc == RC_OK && !*help) {
        rc = opts_init(run_opts, c, e);
    }
    if (rc == RC_OK && !*help) {
        rc = run_config_resolve(&rest, path, sets, c, r, e);
    }
    opts_release(run_opts, &first);
    args_release(&rest);
    mem_free(path);
    return rc;
}

void run_config_release(struct run_config *c)
{
    opts_release(run_opts, c);
}

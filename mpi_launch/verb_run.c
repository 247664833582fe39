#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/yaml.h"
#include "common/coll/coll.h"
#include "mpi_launch/launch_verbs.h"
#include "mpi_launch/run_config.h"
#include "mpi_launch/run_plan.h"
#include "mpi_launch/run_report.h"

static const struct opt_usage run_usage = {
    .verb = "run",
    .summary =
        "the whole loop from one recipe: pack, teacher, labels, selection, student, evaluation",
    .synopsis = "RECIPE.yaml [--out DIR] [--ranks N] [--set stage.key=value]... [options]",
    .description =
        "A recipe has a section for each stage, whose keys are the options of its verb: pack\n"
        "(labeled, unlabeled, eval), teacher and student (train), label, select, eval; and a\n"
        "section run with the options below. All keys are checked before anything starts.\n"
        "--set changes one of them: --set student.steps=4000 (run's own are plain options).\n"
        "\n"
        "Each stage is a process of its own: plain, or under mpirun when it works on several\n"
        "ranks. A stage whose result is there, made from the same options and inputs, is skipped;\n"
        "one that was stopped goes on; one whose options changed is done anew, and the earlier\n"
        "result is moved to DIR/old. A new source under the same name only adds to what is packed\n"
        "and labeled. Ctrl-C (or SIGUSR1, SIGTERM) lets the stage save its work and ends with\n"
        "exit code 75; the same command goes on. A second Ctrl-C ends at once.\n"
        "\n"
        "DIR/summary.json holds the figures of the table; DIR/stages what each stage printed.",
    .examples = "preceptor run recipes/demo.yaml\n"
                "preceptor run recipes/demo.yaml --out build/try --seed 1 --set student.steps=500\n"
                "preceptor run big.yaml --launcher hostfile --hostfile hosts --ranks 16"};

/* One run of a recipe: what the steps below share. */
struct run_job {
    struct run_config config;
    struct recipe recipe;
    struct args sets;
    struct run_plan plan;
    struct stage_context ctx;
    char program[4096];
    int lock; /* OUT/run.lock, held while the run works; -1 */
};

static enum rc run_find_program(struct run_job *j, struct err *e)
{
    ssize_t n = readlink("/proc/self/exe", j->program, sizeof j->program - 1);

    if (n <= 0) {
        return err_raise(e, RC_IO, "cannot find this program's own file: %s", strerror(errno));
    }
    j->program[n] = '\0';
    j->ctx.program = j->program;
    return RC_OK;
}

static enum rc run_prepare(struct run_job *j, const struct verb_call *call, struct err *e)
{
    enum rc rc = recipe_check(&j->recipe, main_verb, e);

    if (rc == RC_OK && strcmp(coll_name(call->control), "self") != 0) {
        rc =
            err_raise(e, RC_USAGE, "run starts mpirun itself: call it without, and give --ranks %d",
                      coll_size(call->control));
    }
    if (rc == RC_OK) {
        rc = run_find_program(j, e);
    }
    if (rc == RC_OK) {
        rc = run_plan_make(&j->config, &j->recipe, main_verb, &j->plan, e);
    }
    if (rc == RC_OK) {
        rc = run_plan_launcher(&j->config, &j->ctx.launcher, e);
    }
    j->ctx.out = j->config.out;
    j->ctx.ranks = (int)j->config.ranks;
    j->ctx.recipe = j->recipe.path;
    j->ctx.stop = call->stop;
    return rc;
}

/* Folders, the lock against a second run in the same place, a copy of the recipe. */
static enum rc run_open_out(struct run_job *j, struct err *e)
{
    static const char *const below[] = {"stages", "corpus", "labels", "selection", "runs"};
    char *path = NULL;
    char *text = NULL;
    size_t bytes = 0;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < sizeof below / sizeof below[0] && rc == RC_OK; i++) {
        path = fs_join(j->config.out, below[i]);
        rc = path == NULL ? mem_raise(e, "a path", 0) : fs_mkdirs(path, e);
        mem_free(path);
    }
    if (rc != RC_OK) {
        return rc;
    }
    path = fs_join(j->config.out, "run.lock");
    j->lock = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    mem_free(path);
    if (j->lock < 0) {
        return err_raise(e, RC_IO, "cannot write in '%s': %s", j->config.out, strerror(errno));
    }
    if (flock(j->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        return err_raise(e, RC_INVAL, "another 'preceptor run' is working in '%s'", j->config.out);
    }
    rc = fs_read(j->recipe.path, YAML_MAX_BYTES, &text, &bytes, e);
    path = fs_join(j->config.out, "recipe.yaml");
    if (rc == RC_OK) {
        rc = path == NULL ? mem_raise(e, "a path", 0) : fs_write_atomic(path, text, bytes, e);
    }
    mem_free(path);
    mem_free(text);
    return rc;
}

static enum rc run_print_commands(const struct run_job *j, struct err *e)
{
    for (int i = 0; i < j->plan.n; i++) {
        struct args command = {0};
        char *line = NULL;
        enum rc rc = stage_command(&j->ctx, &j->plan.stages[i], &command, e);

        line = rc == RC_OK ? args_line(&command) : NULL;
        if (line != NULL) {
            printf("%s\n  %s\n", j->plan.stages[i].name, line);
        }
        mem_free(line);
        args_release(&command);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

/* The program as one would type it here: relative to the present folder when it lies below. */
static const char *run_typed_program(const struct run_job *j)
{
    char here[sizeof j->program];
    size_t n = getcwd(here, sizeof here) == NULL ? 0 : strlen(here);

    return n > 0 && strncmp(j->program, here, n) == 0 && j->program[n] == '/' ? j->program + n + 1
                                                                              : j->program;
}

static enum rc run_finish(const struct run_job *j, struct err *e)
{
    char *path = fs_join(j->config.out, "summary.json");
    json_t *summary = NULL;
    enum rc rc = run_report_summary(&j->config, &j->plan, &summary, e);

    if (rc == RC_OK) {
        rc = path == NULL ? mem_raise(e, "a path", 0) : json_write(path, summary, e);
    }
    if (rc == RC_OK && j->config.json) {
        (void)json_dumpf(summary, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
        (void)putchar('\n');
    } else if (rc == RC_OK) {
        run_report_print(stdout, &j->config, &j->plan, summary, run_typed_program(j));
    }
    json_decref(summary);
    mem_free(path);
    return rc;
}

static enum rc run_work(struct run_job *j, struct err *e)
{
    enum rc rc = run_open_out(j, e);

    for (int i = 0; i < j->plan.n && rc == RC_OK; i++) {
        rc = *j->ctx.stop != 0 ? err_raise(e, RC_REQUEUE,
                                           "stopped on request before stage '%s': the same command "
                                           "again goes on from there",
                                           j->plan.stages[i].name)
                               : stage_run(&j->ctx, &j->plan.stages[i], e);
    }
    return rc == RC_OK ? run_finish(j, e) : rc;
}

static enum rc run_main(const struct verb_call *call, struct err *e)
{
    struct run_job j = {.lock = -1};
    bool help = false;
    enum rc rc = run_config_parse(call->argc, call->argv, &j.config, &j.recipe, &j.sets, &help, e);

    if (rc == RC_OK && help) {
        opts_help(&run_usage, run_opts);
    } else if (rc == RC_OK) {
        rc = run_prepare(&j, call, e);
    }
    if (rc == RC_OK && !help) {
        rc = j.config.dry_run ? run_print_commands(&j, e) : run_work(&j, e);
    }
    if (j.lock >= 0) {
        (void)close(j.lock);
    }
    run_plan_release(&j.plan);
    args_release(&j.ctx.launcher);
    recipe_release(&j.recipe);
    args_release(&j.sets);
    run_config_release(&j.config);
    return rc;
}

const struct verb verb_run = {.name = "run",
                              .summary =
                                  "the whole loop from one recipe; every stage skips what is done",
                              .run = run_main,
                              .on_all_ranks = false,
                              .options = run_opts,
                              .options_bytes = sizeof(struct run_config)};

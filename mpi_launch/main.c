/*
 * The program: a table of verbs, global options, signals, and the one place that prints an error or
 * ends the process.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/nearest.h"
#include "common/coll/coll.h"
#include "labeler/labeler_verbs.h"
#include "mpi_launch/launch_verbs.h"
#include "shards/shards_verbs.h"
#include "student/student_verbs.h"
#include "teacher/teacher_verbs.h"

/* clang-format off */
/* In the order of the help. */
static const struct verb *const main_verbs[] = {
    &verb_run,
    &verb_pack,
    &verb_inspect,
    &verb_verify,
    &verb_export,
    &verb_dedupe,
    &verb_forget,
    &verb_lineage,
    &verb_train,
    &verb_eval,
    &verb_predict,
    &verb_label,
    &verb_select,
    &verb_report,
    &verb_plan,
    &verb_models,
    &verb_doctor,
};
/* clang-format on */
enum { MAIN_VERBS = sizeof main_verbs / sizeof main_verbs[0] };

/* Seconds that a collective waits for a rank unless the verb says otherwise. */
static const double MAIN_PATIENCE = 600;

enum { MAIN_TAG_DONE = 7001, MAIN_POLL_NS = 20 * 1000 * 1000, MAIN_GONE_LOOKS = 25 };

/* Set by signals, read by verbs. */
static volatile sig_atomic_t main_stop;

struct main_args {
    const char *verb;
    int argc; /* what follows the verb, global options taken out */
    char **argv;
    enum log_level level;
    bool help; /* of the verb, or of the program when there is no verb */
};

const struct verb *main_verb(const char *name)
{
    for (int i = 0; i < MAIN_VERBS; i++) {
        if (strcmp(main_verbs[i]->name, name) == 0) {
            return main_verbs[i];
        }
    }
    return NULL;
}

/* ---- signals ------------------------------------------------------------------------------- */

static void main_on_stop(int number)
{
    if (number == SIGINT && main_stop != 0) {
        (void)signal(SIGINT, SIG_DFL);
        (void)raise(SIGINT);
    }
    main_stop = 1;
}

static void main_catch(int number)
{
    struct sigaction action = {.sa_handler = main_on_stop, .sa_flags = SA_RESTART};

    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(number, &action, NULL);
}

/* mpirun forwards SIGUSR1 alone; its TERM and INT end the job, so only a lone process heeds them. */
static void main_catch_all(bool alone)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an ordinary error of write() */
    main_catch(SIGUSR1);
    if (alone) {
        main_catch(SIGTERM);
        main_catch(SIGINT);
    }
}

/* ---- the command line ---------------------------------------------------------------------- */

static void main_help(void)
{
    (void)printf("preceptor %s: pseudo-labels an image dump with a ResNet-RS teacher and trains a\n"
                 "student on them, on one machine or under mpirun.\n\n"
                 "usage: preceptor VERB [options]\n\n",
                 PRECEPTOR_VERSION);
    for (int i = 0; i < MAIN_VERBS; i++) {
        (void)printf("  %-10s %s\n", main_verbs[i]->name, main_verbs[i]->summary);
    }
    (void)printf(
        "\n  preceptor VERB --help    what a verb does, and its options\n"
        "  --quiet                  warnings and errors alone\n"
        "  --verbose                more of what happens\n"
        "  --version                the version\n\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped on request after saving:\n"
        "the same command again goes on.\n");
}

static bool main_take_global(const char *arg, struct main_args *a)
{
    if (strcmp(arg, "--quiet") == 0 || strcmp(arg, "-q") == 0) {
        a->level = LOG_WARN;
        return true;
    }
    if (strcmp(arg, "--verbose") == 0 || strcmp(arg, "-v") == 0) {
        a->level = LOG_DEBUG;
        return true;
    }
    return false;
}

/* Global options may stand before or after the verb; argv is packed in place. */
static void main_parse(int argc, char **argv, struct main_args *a)
{
    bool options = true;
    int n = 0;

    a->level = LOG_INFO;
    a->argv = argv;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];

        if (options && main_take_global(arg, a)) {
            continue;
        }
        if (options && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
            a->help = true;
        }
        options = options && strcmp(arg, "--") != 0;
        if (a->verb == NULL && (arg[0] != '-' || strcmp(arg, "--version") == 0)) {
            a->verb = arg;
        } else {
            argv[n++] = argv[i];
        }
    }
    a->argc = n;
}

/* `help VERB` is `VERB --help`. */
static void main_parse_help(struct main_args *a)
{
    static char help[] = "--help";

    if (a->verb != NULL && strcmp(a->verb, "help") == 0) {
        a->verb = a->argc > 0 && !a->help ? a->argv[0] : NULL;
        a->help = true;
        a->argv[0] = help;
        a->argc = a->argc > 0;
    }
}

static enum rc main_unknown(const char *name, struct err *e)
{
    const char *names[MAIN_VERBS + 1];
    const char *near = NULL;

    for (int i = 0; i < MAIN_VERBS; i++) {
        names[i] = main_verbs[i]->name;
    }
    names[MAIN_VERBS] = NULL;
    near = nearest_name(names, name);
    if (near == NULL) {
        return err_raise(e, RC_USAGE, "unknown verb '%.80s'; preceptor --help lists them", name);
    }
    return err_raise(e, RC_USAGE, "unknown verb '%.80s'; did you mean '%s'?", name, near);
}

/* ---- running a verb ------------------------------------------------------------------------ */

/* Sleep until rank 0 has done its work, and end as it did: a collective would spin on a core. */
static enum rc main_wait_for_root(struct coll *control, struct err *e)
{
    const struct timespec nap = {0, MAIN_POLL_NS};
    int outcome = 0;
    size_t bytes = 0;
    int from = -1;
    int gone = 0; /* looks in a row: its last message may still be on the way */

    for (;;) {
        enum rc rc = coll_poll(control, MAIN_TAG_DONE, &outcome, sizeof outcome, &bytes, &from, e);

        if (rc != RC_OK || from == 0) {
            return rc != RC_OK ? rc : (enum rc)outcome;
        }
        gone = coll_gone(control, 0) ? gone + 1 : 0;
        if (gone > MAIN_GONE_LOOKS) {
            coll_abandon(control);
            return err_raise(e, RC_LIB, "rank 0 is lost: its process is gone");
        }
        (void)nanosleep(&nap, NULL);
    }
}

/* Rank 0 works, the rest wait, all return alike. */
static enum rc main_run_on_root(const struct verb *verb, const struct verb_call *call,
                                struct err *e)
{
    int outcome = 0;
    enum rc rc = RC_OK;

    if (coll_rank(call->control) != 0) {
        return main_wait_for_root(call->control, e);
    }
    rc = verb->run(call, e);
    outcome = (int)rc;
    for (int r = 1; r < coll_size(call->control); r++) {
        enum rc sent = coll_send(call->control, r, MAIN_TAG_DONE, &outcome, sizeof outcome, e);

        rc = rc == RC_OK ? sent : rc;
    }
    return rc;
}

static enum rc main_dispatch(const struct main_args *a, struct coll *control, struct err *e)
{
    struct verb_call call = {a->argc, a->argv, control, &main_stop};
    const struct verb *verb = NULL;

    if (a->verb == NULL && a->help) {
        if (coll_rank(control) == 0) {
            main_help();
        }
        return RC_OK;
    }
    if (a->verb == NULL) {
        return err_raise(e, RC_USAGE, "%s%.80s%s; preceptor --help lists the verbs",
                         a->argc > 0 ? "unknown option '" : "a verb is missing",
                         a->argc > 0 ? a->argv[0] : "", a->argc > 0 ? "'" : "");
    }
    if (strcmp(a->verb, "--version") == 0) {
        if (coll_rank(control) == 0) {
            (void)printf("preceptor %s\n", PRECEPTOR_VERSION);
        }
        return RC_OK;
    }
    verb = main_verb(a->verb);
    if (verb == NULL) {
        return main_unknown(a->verb, e);
    }
    return verb->on_all_ranks && !a->help ? verb->run(&call, e) : main_run_on_root(verb, &call, e);
}

/* A reader that closed the pipe has seen enough; a full disk is an error. */
static enum rc main_flush(struct err *e)
{
    struct stat st;

    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return RC_OK;
    }
    if (fstat(STDOUT_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))) {
        return RC_OK;
    }
    return err_raise(e, RC_IO,
                     "cannot write all of the result to standard output: is the disk full?");
}

/* Rank 0 speaks for all in wrong usage, which every rank meets alike, and in stops. */
static void main_report(int rank, enum rc rc, const struct err *e)
{
    bool shared = rc == RC_USAGE || rc == RC_REQUEUE || rc == RC_PEER || e->msg[0] == '\0';

    if (rc == RC_OK || (rank != 0 && shared)) {
        return;
    }
    if (rank != 0) {
        (void)fprintf(stderr, "preceptor: rank %d: %s\n", rank, e->msg);
    } else {
        (void)fprintf(stderr, "preceptor: %s\n", e->msg[0] != '\0' ? e->msg : err_name(rc));
    }
}

/* Memory that does not depend on how long a run is: threads come and go with each shard, and arenas of
 * their own would grow; batches are given back to the system rather than kept for other sizes. */
static void main_settle_heap(void)
{
    (void)mallopt(M_ARENA_MAX, 2);
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
}

int main(int argc, char **argv)
{
    struct main_args args = {0};
    struct err e = {0};
    struct coll *control = NULL;
    int rank = 0;
    int size = 1;
    enum rc rc = RC_OK;

    main_settle_heap();
    main_catch_all(false);
    main_parse(argc, argv, &args);
    main_parse_help(&args);
    rc = coll_create(&control, &e);
    if (rc == RC_OK) {
        rank = coll_rank(control);
        size = coll_size(control);
        coll_set_patience(control, MAIN_PATIENCE);
        main_catch_all(strcmp(coll_name(control), "self") == 0);
        log_init(&(struct log_config){rank, size, args.level});
        rc = main_dispatch(&args, control, &e);
    }
    if (rc == RC_OK) {
        rc = main_flush(&e);
    }
    main_report(rank, rc, &e);
    coll_destroy(control);
    if (size > 1) {
        /* With a dead rank MPI stays unfinalised, and its exit handlers would wait for it. */
        (void)fflush(NULL);
        _exit(err_exit_code(rc));
    }
    return err_exit_code(rc);
}

/**
 * One stage of a run: a child process whose facts are kept with a digest of what it was made from,
 * so that the same command again skips what is done, goes on with what was stopped, and redoes what
 * has changed.
 *
 * OUT/stages/NAME.json: stage, state ("started", "done"), options and inputs (digests), command,
 * seconds (over all attempts), ranks, facts (what the verb printed with --json).
 */
#ifndef PRECEPTOR_STAGE_H
#define PRECEPTOR_STAGE_H

#include <signal.h>
#include <stdbool.h>

#include "common/base/err.h"
#include "common/base/json.h"
#include "mpi_launch/args.h"

enum { STAGE_NAME_MAX = 32 };

/** How a stage came to its result in this run. */
enum stage_outcome { STAGE_TO_DO, STAGE_RAN, STAGE_SKIPPED };

struct stage {
    char name[STAGE_NAME_MAX]; /* "student-1" */
    const char *verb;
    bool on_all_ranks;         /* under mpirun when there are several ranks */
    bool outlives_a_rank;      /* goes on without a rank that died: mpirun must not end the others, and
                                  its exit code then says nothing */
    struct args options;       /* from the recipe; what the result depends on */
    struct args paths;         /* --data ..., SOURCE ...: depend on where the run lies */
    struct args ignored;       /* --threads N: no result depends on them */
    struct args identity;      /* further texts that the result depends on: names of sources */
    struct args sources;       /* what grows, files and folders: size and time stand for content; a
                                  stage whose sources alone changed goes on from what it has */
    struct args inputs;        /* files and folders of the run: digests of files and of manifests */
    struct args outputs;       /* what it makes: moved to OUT/old when it must be made anew */
    /* The result: */
    enum stage_outcome outcome;
    double seconds;
    json_t *facts;
};

void stage_release(struct stage *s);

struct stage_context {
    const char *out;           /* OUT */
    struct args launcher;      /* "mpirun", "-n", "2", ...; empty for one rank */
    int ranks;
    const char *program;       /* path of this program */
    const char *recipe;        /* for messages */
    const volatile sig_atomic_t *stop;
};

/** Run it unless its result is there. RC_REQUEUE it was stopped on request; RC_INVAL it failed (the
 * sentence says which stage, its exit code and how to go on); RC_IO, RC_CORRUPT. */
NODISCARD enum rc stage_run(const struct stage_context *ctx, struct stage *s, struct err *e);

/** The whole command line of a stage. */
NODISCARD enum rc stage_command(const struct stage_context *ctx, const struct stage *s,
                                struct args *out, struct err *e);

/** A number among the facts, or fallback. */
double stage_number(const struct stage *s, const char *name, double fallback);

#endif

#include "mpi_launch/stage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "mpi_launch/child.h"
#include "mpi_launch/stage_digest.h"

/* Seconds that a stage may take to end after it has printed its facts. */
static const double STAGE_LINGER = 60;

enum { STAGE_REQUEUE_CODE = 75, STAGE_MAX_OLD = 10000 };

/* What stands in OUT/stages/NAME.json. */
struct stage_record {
    char *path;
    json_t *root; /* NULL: none */
    struct stage_digests now;
};

void stage_release(struct stage *s)
{
    args_release(&s->options);
    args_release(&s->paths);
    args_release(&s->ignored);
    args_release(&s->identity);
    args_release(&s->sources);
    args_release(&s->inputs);
    args_release(&s->outputs);
    json_decref(s->facts);
    *s = (struct stage){0};
}

double stage_number(const struct stage *s, const char *name, double fallback)
{
    const json_t *v = json_object_get(s->facts, name);

    return json_is_number(v) ? json_number_value(v) : fallback;
}

enum rc stage_command(const struct stage_context *ctx, const struct stage *s, struct args *out,
                      struct err *e)
{
    bool launched = s->on_all_ranks && ctx->launcher.n > 0;
    enum rc rc = launched ? args_add_all(out, &ctx->launcher, e) : RC_OK;

    if (rc == RC_OK && launched && s->outlives_a_rank) {
        rc = args_add(out, e, "--enable-recovery");
    }
    if (rc == RC_OK) {
        rc = args_add(out, e, "%s", ctx->program);
    }
    if (rc == RC_OK) {
        rc = args_add(out, e, "%s", s->verb);
    }
    if (rc == RC_OK && log_threshold() != LOG_INFO) {
        rc = args_add(out, e, log_threshold() == LOG_WARN ? "--quiet" : "--verbose");
    }
    if (rc == RC_OK) {
        rc = args_add_all(out, &s->options, e);
    }
    if (rc == RC_OK) {
        rc = args_add_all(out, &s->ignored, e);
    }
    if (rc == RC_OK) {
        rc = args_add(out, e, "--json");
    }
    return rc == RC_OK ? args_add_all(out, &s->paths, e) : rc;
}

/* ---- the record ---------------------------------------------------------------------------- */

static const char *stage_record_text(const struct stage_record *r, const char *name)
{
    const char *text = json_string_value(json_object_get(r->root, name));

    return text == NULL ? "" : text;
}

static bool stage_record_same(const struct stage_record *r)
{
    return strcmp(stage_record_text(r, "options"), r->now.options) == 0;
}

static enum rc stage_record_read(const struct stage_context *ctx, const struct stage *s,
                                 struct stage_record *r, struct err *e)
{
    r->path = mem_sprintf("%s/stages/%s.json", ctx->out, s->name);
    if (r->path == NULL) {
        return mem_raise(e, "a path", strlen(ctx->out));
    }
    return fs_exists(r->path) ? json_read(r->path, &r->root, e) : RC_OK;
}

static enum rc stage_record_write(const struct stage_record *r, const struct stage *s,
                                  const struct args *command, int ranks, const char *state,
                                  struct err *e)
{
    char stamp[CLOCK_STAMP_MAX];
    char *line = args_line(command);
    json_t *root = NULL;
    enum rc rc = RC_OK;

    clock_stamp(stamp, sizeof stamp);
    if (line != NULL) {
        root =
            json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:f,s:s,s:O?}", "stage", s->name, "state", state,
                      "options", r->now.options, "sources", r->now.sources, "command", line,
                      "ranks", ranks, "seconds", s->seconds, "written", stamp, "facts", s->facts);
    }
    rc = root == NULL ? mem_raise(e, r->path, 0) : json_write(r->path, root, e);
    json_decref(root);
    mem_free(line);
    return rc;
}

static void stage_record_release(struct stage_record *r)
{
    mem_free(r->path);
    json_decref(r->root);
}

static bool stage_is_done(const struct stage_record *r, const struct stage *s)
{
    if (strcmp(stage_record_text(r, "state"), "done") != 0 || !stage_record_same(r) ||
        strcmp(stage_record_text(r, "sources"), r->now.sources) != 0 ||
        !json_is_object(json_object_get(r->root, "facts"))) {
        return false;
    }
    for (int i = 0; i < s->outputs.n; i++) {
        if (!fs_exists(s->outputs.v[i])) {
            return false;
        }
    }
    return true;
}

/* ---- outputs of other options go aside ------------------------------------------------------- */

static enum rc stage_set_aside(const struct stage_context *ctx, const struct stage *s,
                               struct err *e)
{
    char *dir = NULL;
    enum rc rc = RC_OK;
    int n = 1;

    do {
        mem_free(dir);
        dir = mem_sprintf("%s/old/%s-%d", ctx->out, s->name, n);
    } while (dir != NULL && fs_exists(dir) && n++ < STAGE_MAX_OLD);
    rc = dir == NULL ? mem_raise(e, "a path", strlen(ctx->out)) : fs_mkdirs(dir, e);
    for (int i = 0; i < s->outputs.n && rc == RC_OK; i++) {
        const char *from = s->outputs.v[i];
        const char *slash = strrchr(from, '/');
        char *to = fs_join(dir, slash == NULL ? from : slash + 1);

        if (to == NULL) {
            rc = mem_raise(e, "a path", strlen(from));
        } else if (fs_exists(from) && rename(from, to) != 0) {
            rc = err_raise(e, RC_IO, "cannot move '%s' to '%s': %s", from, to, strerror(errno));
        }
        mem_free(to);
    }
    if (rc == RC_OK) {
        log_info("run", "%s: its options or inputs have changed; the earlier result is in '%s'",
                 s->name, dir);
    }
    mem_free(dir);
    return rc;
}

/* ---- running ------------------------------------------------------------------------------- */

static enum rc stage_take_facts(struct stage *s, const struct child_result *result, struct err *e)
{
    json_error_t where;
    json_t *facts = json_loadb(result->output, result->bytes, JSON_REJECT_DUPLICATES, &where);

    if (!json_is_object(facts)) {
        json_decref(facts);
        return err_raise(e, RC_CORRUPT, "stage '%s' printed no facts as JSON: %s", s->name,
                         where.text);
    }
    json_decref(s->facts);
    s->facts = facts;
    return RC_OK;
}

static enum rc stage_failed(const struct stage_context *ctx, const struct stage *s, int code,
                            struct err *e)
{
    char with[32] = "";

    if (code == STAGE_REQUEUE_CODE || (code == 0 && *ctx->stop != 0)) {
        return err_raise(e, RC_REQUEUE,
                         "stopped on request in stage '%s', which has saved its work: the same "
                         "command again goes on from there",
                         s->name);
    }
    if (code > 128) {
        return err_raise(e, RC_INVAL,
                         "stage '%s' was ended by signal %d: `preceptor run %s` again goes on from "
                         "what it has saved",
                         s->name, code - 128, ctx->recipe);
    }
    if (code != 0) {
        (void)snprintf(with, sizeof with, " with exit code %d", code);
    }
    return err_raise(e, RC_INVAL,
                     "stage '%s' failed%s; its message stands above. When that is mended, "
                     "`preceptor run %s` again goes on from what is done",
                     s->name, with, ctx->recipe);
}

/* The child's process, with the record before and after it. */
static enum rc stage_execute(const struct stage_context *ctx, struct stage *s,
                             const struct stage_record *r, struct err *e)
{
    struct child_result result = {0};
    struct args command = {0};
    int ranks = s->on_all_ranks ? ctx->ranks : 1;
    double start = clock_now();
    double before = s->seconds;
    enum rc rc = stage_command(ctx, s, &command, e);

    if (rc == RC_OK) {
        rc = stage_record_write(r, s, &command, ranks, "started", e);
    }
    if (rc == RC_OK) {
        rc = child_run(command.v, ctx->stop, STAGE_LINGER, &result, e);
    }
    s->seconds = before + clock_now() - start;
    if (rc == RC_OK && result.exit_code == 0 && result.bytes > 0) {
        rc = stage_take_facts(s, &result, e);
    } else if (rc == RC_OK) {
        rc = stage_failed(ctx, s, result.exit_code, e);
    }
    if (command.n > 0) {
        enum rc written =
            stage_record_write(r, s, &command, ranks, rc == RC_OK ? "done" : "started", e);

        rc = rc == RC_OK ? written : rc;
    }
    mem_free(result.output);
    args_release(&command);
    return rc;
}

enum rc stage_run(const struct stage_context *ctx, struct stage *s, struct err *e)
{
    struct stage_record r = {0};
    enum rc rc = stage_digest(s, &r.now, e);

    if (rc == RC_OK) {
        rc = stage_record_read(ctx, s, &r, e);
    }
    if (rc != RC_OK) {
        goto out;
    }
    if (stage_is_done(&r, s)) {
        s->outcome = STAGE_SKIPPED;
        s->facts = json_incref(json_object_get(r.root, "facts"));
        s->seconds = json_number_value(json_object_get(r.root, "seconds"));
        log_info("run", "%s: done already", s->name);
        goto out;
    }
    if (r.root != NULL && !stage_record_same(&r)) {
        rc = stage_set_aside(ctx, s, e);
    } else if (strcmp(stage_record_text(&r, "state"), "started") == 0) {
        s->seconds = json_number_value(json_object_get(r.root, "seconds"));
        log_info("run", "%s: goes on", s->name);
    } else {
        log_info("run", "%s: starts", s->name);
    }
    if (rc == RC_OK) {
        rc = stage_execute(ctx, s, &r, e);
    }
    if (rc == RC_OK) {
        s->outcome = STAGE_RAN;
    }
out:
    stage_record_release(&r);
    return rc;
}

#include "common/base/trace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"

static const double MICRO = 1e6;

struct trace {
    FILE *file;
    char *path;
    double origin;
    int steps; /* left to record */
    bool some; /* an event stands before the next */
    bool failed;
};

static bool put(const struct trace *t, const char *text)
{
    const size_t n = strlen(text);

    return fwrite(text, 1, n, t->file) == n;
}

enum rc trace_open(const char *path, int steps, struct trace **out, struct err *e)
{
    struct trace *t = mem_calloc(1, sizeof *t);
    enum rc rc = RC_OK;

    if (t == NULL) {
        return mem_raise(e, "a trace", sizeof *t);
    }
    t->path = mem_strdup(path);
    t->steps = steps;
    t->origin = clock_now();
    if (t->path == NULL) {
        rc = mem_raise(e, "a path", strlen(path));
        goto out;
    }
    t->file = fopen(path, "w");
    if (t->file == NULL) {
        rc = err_raise(e, RC_IO, "cannot write the trace '%s': %s", path, strerror(errno));
        goto out;
    }
    t->failed = !put(t, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
    *out = t;
    t = NULL;
out:
    if (t != NULL) {
        mem_free(t->path);
        mem_free(t);
    }
    return rc;
}

enum rc trace_close(struct trace *t, struct err *e)
{
    enum rc rc = RC_OK;
    int code = 0;

    if (t == NULL) {
        return RC_OK;
    }
    t->failed |= !put(t, "\n]}\n");
    errno = 0;
    code = fclose(t->file);
    if (t->failed || code != 0) {
        rc = err_raise(e, RC_IO, "cannot write the trace '%s'%s%s", t->path, errno != 0 ? ": " : "",
                       errno != 0 ? strerror(errno) : "");
    }
    mem_free(t->path);
    mem_free(t);
    return rc;
}

bool trace_on(const struct trace *t)
{
    return t != NULL && t->steps > 0;
}

void trace_span(struct trace *t, const char *category, const char *name, const char *detail,
                double start)
{
    const double now = clock_now();
    json_t *event = NULL;

    if (!trace_on(t)) {
        return;
    }
    event =
        json_pack("{s:s,s:s,s:s,s:f,s:f,s:i,s:i}", "ph", "X", "cat", category, "name", name, "ts",
                  (start - t->origin) * MICRO, "dur", (now - start) * MICRO, "pid", 0, "tid", 0);
    if (event != NULL && detail != NULL) {
        (void)json_object_set_new(event, "args", json_pack("{s:s}", "detail", detail));
    }
    t->failed |= event == NULL || !put(t, t->some ? ",\n" : "\n") ||
                 json_dumpf(event, t->file, JSON_COMPACT | JSON_REAL_PRECISION(12)) != 0;
    t->some = true;
    json_decref(event);
}

void trace_step(struct trace *t, const char *name, double start)
{
    trace_span(t, "step", name, NULL, start);
    if (trace_on(t)) {
        t->steps--;
    }
}

#include <math.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "labeler/report.h"

static const size_t REPORT_FILE_MAX = (size_t)1 << 32;

/* A file of the run, if it is there. */
static enum rc read_json(const char *dir, const char *name, json_t **out, struct err *e)
{
    char *path = fs_join(dir, name);
    enum rc rc = path != NULL ? RC_OK : mem_raise(e, "a path", strlen(dir));

    if (rc == RC_OK && fs_exists(path)) {
        rc = json_read(path, out, e);
    }
    mem_free(path);
    return rc;
}

static enum rc read_text(const char *dir, const char *name, char **out, size_t *bytes,
                         struct err *e)
{
    char *path = fs_join(dir, name);
    enum rc rc = path != NULL ? RC_OK : mem_raise(e, "a path", strlen(dir));

    *bytes = 0;
    if (rc == RC_OK && fs_exists(path)) {
        rc = fs_read(path, REPORT_FILE_MAX, out, bytes, e);
    }
    mem_free(path);
    return rc;
}

static enum rc read_point(struct report_series *s, double step, double value, struct err *e)
{
    if (s->n == s->room) {
        size_t room = s->room == 0 ? 256 : 2 * s->room;
        struct report_point *points = mem_realloc(s->points, room, sizeof *points);

        if (points == NULL) {
            return mem_raise(e, "the curves of a run", room * sizeof *points);
        }
        s->points = points;
        s->room = room;
    }
    s->points[s->n++] = (struct report_point){step, value};
    return RC_OK;
}

static enum rc read_line(struct report_run *r, const char *line, size_t bytes, struct err *e)
{
    static const char *const names[REPORT_CURVES] = {[REPORT_LOSS] = "loss",
                                                     [REPORT_LR] = "lr",
                                                     [REPORT_SPEED] = "images_per_second",
                                                     [REPORT_TOP1] = "eval_top1"};
    json_t *o = json_loadb(line, bytes, 0, NULL);
    const json_t *step = json_object_get(o, "step");
    enum rc rc = RC_OK;

    for (int i = 0; i < REPORT_CURVES && json_is_number(step) && rc == RC_OK; i++) {
        const json_t *v = json_object_get(o, names[i]);

        if (json_is_number(v) && isfinite(json_number_value(v))) {
            rc = read_point(&r->curves[i], json_number_value(step), json_number_value(v), e);
        }
    }
    json_decref(o); /* a line that is no JSON is torn: the run was killed */
    return rc;
}

static enum rc read_metrics(struct report_run *r, struct err *e)
{
    char *text = NULL;
    size_t bytes = 0;
    enum rc rc = read_text(r->path, "metrics.jsonl", &text, &bytes, e);

    for (size_t at = 0; at < bytes && rc == RC_OK;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        size_t n = end != NULL ? (size_t)(end - text) - at : bytes - at;

        rc = read_line(r, text + at, n, e);
        at += n + 1;
    }
    mem_free(text);
    return rc;
}

enum rc report_read(const char *path, struct report_run *out, struct err *e)
{
    struct report_run r = {.path = path};
    size_t bytes = 0;
    enum rc rc = read_json(path, "result.json", &r.result, e);

    if (rc == RC_OK) {
        rc = read_json(path, "stores.json", &r.stores, e);
    }
    if (rc == RC_OK) {
        rc = read_text(path, "recipe.yaml", &r.recipe, &bytes, e);
    }
    if (rc == RC_OK && r.recipe == NULL) {
        rc = err_raise(e, RC_INVAL, "'%s' is no training run: it has no recipe.yaml", path);
    }
    if (rc == RC_OK) {
        rc = read_metrics(&r, e);
    }
    if (rc != RC_OK) {
        report_release(&r);
        return rc;
    }
    *out = r;
    return RC_OK;
}

void report_release(struct report_run *r)
{
    json_decref(r->result);
    json_decref(r->stores);
    mem_free(r->recipe);
    for (int i = 0; i < REPORT_CURVES; i++) {
        mem_free(r->curves[i].points);
    }
    *r = (struct report_run){0};
}

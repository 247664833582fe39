#include "common/base/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/mem.h"

enum { METRICS_LINE = 16384 };

static const size_t METRICS_MAX_BYTES = (size_t)4 << 30;
static const char METRICS_HEAD[] = "{\"step\": ";

struct metrics {
    char *path;
    int fd;
    int64_t step;
    size_t n;
    bool overflow;
    char line[METRICS_LINE];
};

static bool metrics_keeps(const char *line, int64_t keep_below)
{
    if (keep_below < 0 || strncmp(line, METRICS_HEAD, sizeof METRICS_HEAD - 1) != 0) {
        return true;
    }
    return strtoll(line + sizeof METRICS_HEAD - 1, NULL, 10) < keep_below;
}

/* Cut the torn last line and the lines of steps that will be done again. */
static enum rc metrics_mend(const char *path, int64_t keep_below, struct err *e)
{
    char *text = NULL;
    size_t bytes = 0;
    size_t kept = 0;
    enum rc rc = fs_read(path, METRICS_MAX_BYTES, &text, &bytes, e);

    if (rc != RC_OK) {
        return rc;
    }
    for (size_t start = 0; start < bytes;) {
        const char *newline = memchr(text + start, '\n', bytes - start);
        size_t length = 0;

        if (newline == NULL) {
            break;
        }
        length = (size_t)(newline - text) + 1 - start;
        if (metrics_keeps(text + start, keep_below)) {
            memmove(text + kept, text + start, length);
            kept += length;
        }
        start += length;
    }
    if (kept != bytes) {
        rc = fs_write_atomic(path, text, kept, e);
    }
    mem_free(text);
    return rc;
}

enum rc metrics_open(const char *path, int64_t keep_below, struct metrics **out, struct err *e)
{
    struct metrics *m = mem_calloc(1, sizeof *m);
    enum rc rc = RC_OK;

    if (m == NULL) {
        return mem_raise(e, "metrics", sizeof *m);
    }
    m->fd = -1;
    m->path = mem_strdup(path);
    if (m->path == NULL) {
        rc = mem_raise(e, "metrics", strlen(path));
        goto out;
    }
    if (fs_exists(path)) {
        rc = metrics_mend(path, keep_below, e);
        if (rc != RC_OK) {
            goto out;
        }
    }
    m->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (m->fd < 0) {
        rc = err_raise(e, RC_IO, "cannot open '%s': %s", path, strerror(errno));
        goto out;
    }
    *out = m;
    m = NULL;
out:
    metrics_close(m);
    return rc;
}

void metrics_close(struct metrics *m)
{
    if (m == NULL) {
        return;
    }
    if (m->fd >= 0) {
        (void)close(m->fd);
    }
    mem_free(m->path);
    mem_free(m);
}

static void metrics_put(struct metrics *m, const char *text, size_t n)
{
    if (n > sizeof m->line - m->n) {
        m->overflow = true;
        return;
    }
    memcpy(m->line + m->n, text, n);
    m->n += n;
}

static void metrics_put_text(struct metrics *m, const char *text)
{
    metrics_put(m, text, strlen(text));
}

/* A JSON string. Bytes that are not UTF-8 are written as the code points of the same numbers. */
static void metrics_put_quoted(struct metrics *m, const char *s)
{
    json_t *valid = json_string(s);

    metrics_put_text(m, "\"");
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        char code[8];

        if (c == '"' || c == '\\') {
            metrics_put_text(m, "\\");
        }
        if (c < 0x20 || (c >= 0x80 && valid == NULL)) {
            (void)snprintf(code, sizeof code, "\\u%04x", c);
            metrics_put_text(m, code);
        } else {
            metrics_put(m, s, 1);
        }
    }
    metrics_put_text(m, "\"");
    json_decref(valid);
}

void metrics_begin(struct metrics *m, int64_t step)
{
    char number[32];

    m->n = 0;
    m->overflow = false;
    m->step = step;
    (void)snprintf(number, sizeof number, "%lld", (long long)step);
    metrics_put_text(m, METRICS_HEAD);
    metrics_put_text(m, number);
}

static void metrics_put_name(struct metrics *m, const char *name)
{
    metrics_put_text(m, ", ");
    metrics_put_quoted(m, name);
    metrics_put_text(m, ": ");
}

void metrics_number(struct metrics *m, const char *name, double value)
{
    char number[40] = "null"; /* JSON has no infinity and no NaN */

    metrics_put_name(m, name);
    if (isfinite(value)) {
        (void)snprintf(number, sizeof number, "%.15g", value);
        if (strtod(number, NULL) < value || strtod(number, NULL) > value) {
            (void)snprintf(number, sizeof number, "%.17g", value);
        }
    }
    metrics_put_text(m, number);
}

void metrics_string(struct metrics *m, const char *name, const char *value)
{
    metrics_put_name(m, name);
    metrics_put_quoted(m, value);
}

enum rc metrics_end(struct metrics *m, struct err *e)
{
    off_t before = lseek(m->fd, 0, SEEK_END);
    ssize_t wrote = 0;
    int why = 0;

    metrics_put_text(m, "}\n");
    if (m->overflow) {
        return err_raise(e, RC_INVAL, "'%s': the line of step %lld is longer than %d bytes",
                         m->path, (long long)m->step, (int)METRICS_LINE);
    }
    do {
        wrote = write(m->fd, m->line, m->n);
    } while (wrote < 0 && errno == EINTR);
    if (wrote == (ssize_t)m->n) {
        return RC_OK;
    }
    why = wrote < 0 ? errno : ENOSPC;
    if (wrote > 0 && (before < 0 || ftruncate(m->fd, before) != 0)) {
        return err_raise(e, RC_IO, "cannot write '%s' (%s), and its last line is torn", m->path,
                         strerror(why));
    }
    return err_raise(e, RC_IO, "cannot write '%s': %s", m->path, strerror(why));
}

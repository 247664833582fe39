#include "common/base/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/watch.h"

enum { PROGRESS_LINE = 256 };

static const double PROGRESS_TTY_S = 0.2;
static const double PROGRESS_PLAIN_S = 30.0;

static bool progress_wanted(void)
{
    return log_rank() == 0 && log_threshold() <= LOG_INFO;
}

/* Columns of the terminal on stderr; 0: not a terminal. */
static size_t progress_columns(void)
{
    struct winsize size = {0};

    if (!isatty(STDERR_FILENO)) {
        return 0;
    }
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void progress_rate(const struct progress *p, double seconds, char *buf, size_t size)
{
    double rate = seconds > 0 ? (double)(p->done - p->first) / seconds : 0;
    const char *unit = strcmp(p->unit, "images") == 0 ? "img" : p->unit;
    int digits = rate >= 100 ? 0 : rate >= 10 ? 1 : 2;

    (void)snprintf(buf, size, "%.*f %s/s", digits, rate, unit);
}

static void progress_line(const struct progress *p, double now, const char *detail, char *buf,
                          size_t size)
{
    double seconds = now - p->start;
    double left = 0;
    char count[64];
    char rate[48];
    char eta[48] = "";

    if (p->total > 0) {
        (void)snprintf(count, sizeof count, "%lld/%lld %s (%d %%)", (long long)p->done,
                       (long long)p->total, p->unit,
                       (int)(100.0 * (double)p->done / (double)p->total));
    } else {
        (void)snprintf(count, sizeof count, "%lld %s", (long long)p->done, p->unit);
    }
    if (p->total > p->done && p->done > p->first) {
        left = seconds * (double)(p->total - p->done) / (double)(p->done - p->first);
        (void)snprintf(eta, sizeof eta, " | eta ");
        clock_format(left, eta + strlen(eta), sizeof eta - strlen(eta));
    }
    progress_rate(p, seconds, rate, sizeof rate);
    (void)snprintf(buf, size, "%s | %s | %s%s%s%s", p->what, count, rate,
                   detail == NULL ? "" : " | ", detail == NULL ? "" : detail, eta);
}

void progress_begin(struct progress *p, const char *what, const char *unit, int64_t total,
                    int64_t already_done)
{
    *p = (struct progress){.what = what,
                           .unit = unit,
                           .total = total,
                           .first = already_done,
                           .done = already_done,
                           .start = clock_now()};
    p->shown = p->start;
}

void progress_update(struct progress *p, int64_t done, const char *detail)
{
    double now = clock_now();
    char line[PROGRESS_LINE];
    size_t columns = 0;

    p->done = done;
    watch_tick();
    if (now - p->shown < PROGRESS_TTY_S || !progress_wanted()) {
        return;
    }
    columns = progress_columns();
    if (columns == 0 && now - p->shown < PROGRESS_PLAIN_S) {
        return;
    }
    p->shown = now;
    progress_line(p, now, detail, line, sizeof line);
    if (columns == 0) {
        (void)fprintf(stderr, "%s\n", line);
        return;
    }
    /* A line longer than the terminal would wrap and could not be rewritten. */
    log_set_status_shown(true);
    (void)fprintf(stderr, "\r\033[K%.*s", (int)columns - 1, line);
    (void)fflush(stderr);
}

void progress_end(struct progress *p, const char *detail)
{
    double seconds = clock_now() - p->start;
    char total[32];
    char rate[48];

    if (!progress_wanted()) {
        return;
    }
    clock_format(seconds, total, sizeof total);
    progress_rate(p, seconds, rate, sizeof rate);
    log_set_status_shown(false);
    (void)fprintf(stderr, "%s%s | %lld %s in %s | %s%s%s\n",
                  isatty(STDERR_FILENO) ? "\r\033[K" : "", p->what, (long long)p->done, p->unit,
                  total, rate, detail == NULL ? "" : " | ", detail == NULL ? "" : detail);
}

#include "common/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static struct {
    pthread_mutex_t lock;
    struct log_config config;
    bool status_shown;
} log_state = {PTHREAD_MUTEX_INITIALIZER, {0, 1, LOG_INFO}, false};

void log_init(const struct log_config *config)
{
    log_state.config = *config;
}

enum log_level log_threshold(void)
{
    return log_state.config.level;
}

int log_rank(void)
{
    return log_state.config.rank;
}

void log_line(enum log_level level, const char *area, const char *fmt, ...)
{
    static const char letters[] = {'D', 'I', 'W'};
    char line[1024];
    char rank[16] = "";
    struct timespec t;
    struct tm tm = {0};
    va_list ap;

    if (level < log_state.config.level || (level == LOG_INFO && log_state.config.rank != 0)) {
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME, &t);
    (void)localtime_r(&t.tv_sec, &tm);
    if (log_state.config.size > 1) {
        (void)snprintf(rank, sizeof rank, "r%d ", log_state.config.rank);
    }
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    (void)pthread_mutex_lock(&log_state.lock);
    (void)fprintf(stderr, "%s%02d:%02d:%02d.%d %s%c %s: %s\n",
                  log_state.status_shown ? "\r\033[K" : "", tm.tm_hour, tm.tm_min, tm.tm_sec,
                  (int)(t.tv_nsec / 100000000), rank, letters[level], area, line);
    log_state.status_shown = false;
    (void)pthread_mutex_unlock(&log_state.lock);
}

void log_set_status_shown(bool shown)
{
    (void)pthread_mutex_lock(&log_state.lock);
    log_state.status_shown = shown;
    (void)pthread_mutex_unlock(&log_state.lock);
}

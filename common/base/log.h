/**
 * Log lines on stderr: `12:03:04.5 r3 W shards: sentence`. Info from rank 0 alone, warnings from
 * every rank. Thread-safe. Results (what a verb prints) go to stdout through verb code, not here.
 */
#ifndef PRECEPTOR_LOG_H
#define PRECEPTOR_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN };

struct log_config {
    int rank;
    int size;                /* ranks; with one, lines carry no rank */
    enum log_level level;    /* lines below it are dropped: LOG_WARN for --quiet */
};

/** main's one call, before threads. */
void log_init(const struct log_config *config);

/** The level in force (progress is shown up to LOG_INFO). */
enum log_level log_threshold(void);
int log_rank(void);

/** area: the folder that speaks ("shards", "labeler", ...). */
void log_line(enum log_level level, const char *area, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(area, ...) log_line(LOG_DEBUG, (area), __VA_ARGS__)
#define log_info(area, ...) log_line(LOG_INFO, (area), __VA_ARGS__)
#define log_warn(area, ...) log_line(LOG_WARN, (area), __VA_ARGS__)

/** progress.c: text to be wiped before the next line on a terminal. */
void log_set_status_shown(bool shown);

#endif

/** Time: monotonic for durations (a wall clock may jump), wall for stamps. */
#ifndef PRECEPTOR_CLOCK_H
#define PRECEPTOR_CLOCK_H

#include <stddef.h>

/** Seconds on a clock that never goes back. */
double clock_now(void);

enum { CLOCK_STAMP_MAX = 32 };

/** "2026-11-24T08:07:41Z" into buf (at least CLOCK_STAMP_MAX bytes). */
void clock_stamp(char *buf, size_t size);

/** "2h10", "3m05s", "42s" for a duration in seconds, into buf. */
void clock_format(double seconds, char *buf, size_t size);

#endif

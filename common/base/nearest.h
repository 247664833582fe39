/** Did you mean: the known name nearest to a wrong one. '-' and '_' are the same. */
#ifndef PRECEPTOR_NEAREST_H
#define PRECEPTOR_NEAREST_H

#include <stddef.h>

enum { NEAREST_MAX = 96 };

/** Levenshtein's distance; texts longer than NEAREST_MAX are NEAREST_MAX from everything. */
size_t nearest_distance(const char *a, const char *b);

/** The name of the NULL-ended list with the least distance to text, or NULL when none is near (more
 * than a third of text away, plus one). */
const char *nearest_name(const char *const names[], const char *text);

#endif

/** Did you mean: the known name nearest to a wrong one. */
#ifndef PRECEPTOR_NEAREST_H
#define PRECEPTOR_NEAREST_H

/** The name of the NULL-ended list with the least edit distance to text, or NULL when none is near
 * (more than a third of text away, plus one). */
const char *nearest_name(const char *const names[], const char *text);

#endif

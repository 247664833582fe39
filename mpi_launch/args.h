/** A growing list of texts that ends with NULL: an argv. */
#ifndef PRECEPTOR_ARGS_H
#define PRECEPTOR_ARGS_H

#include "common/base/err.h"

struct args {
    char **v; /* n texts and a NULL; NULL while empty */
    int n;
};

/** Append a printf-formatted text. RC_NOMEM leaves the list as it was. */
NODISCARD enum rc args_add(struct args *a, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** Append the words of text, split at blanks (no quoting). */
NODISCARD enum rc args_add_words(struct args *a, const char *text, struct err *e);

/** Append copies of all of b. */
NODISCARD enum rc args_add_all(struct args *a, const struct args *b, struct err *e);

/** One line that a shell reads back: words with blanks or quotes are quoted (mem_free); NULL when
 * out of memory. */
char *args_line(const struct args *a);

void args_release(struct args *a);

#endif

/** What the files of the option table share: opt.c, opt_value.c and opt_help.c. */
#ifndef PRECEPTOR_OPT_IMPL_H
#define PRECEPTOR_OPT_IMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/opt.h"

enum { OPT_TEXT_MAX = 256 };

/** Put text into o's field of cfg. false: it does not fit, *nomem says whether for want of memory. */
bool opt_value_set(const struct opt *o, void *cfg, const char *text, bool *nomem);

/** What o accepts, in words: "a whole number from 1 to 100", "one of f32, bf16". */
void opt_value_expected(const struct opt *o, char *buf, size_t size);

/** The field's value as text that opt_value_set reads back exactly (strings: not used). */
void opt_value_format(const struct opt *o, const void *cfg, char *buf, size_t size);

/** The string field of o in cfg. */
char **opt_value_string(const struct opt *o, void *cfg);

/** Number of characters of the i-th of comma-separated choices, *at its start; 0 past the last. */
size_t opt_value_choice(const char *choices, int i, const char **at);

#endif

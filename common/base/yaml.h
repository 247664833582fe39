/**
 * A YAML file as a flat list of scalars with their lines: `a: {b: [1, 2]}` gives "a.b.0" = "1",
 * "a.b.1" = "2". Anchors, aliases, tags and several documents are refused; depth is bounded.
 */
#ifndef PRECEPTOR_YAML_H
#define PRECEPTOR_YAML_H

#include <stddef.h>

#include "common/base/err.h"

enum { YAML_MAX_BYTES = 1 << 20, YAML_MAX_DEPTH = 16, YAML_MAX_ENTRIES = 10000 };

struct yaml_entry {
    char *key;   /* full dotted path */
    char *value; /* the scalar's text, unquoted; "" for an empty value */
    int line;    /* from 1 */
};

struct yaml_doc {
    char *path;
    struct yaml_entry *entries; /* in file order */
    size_t n;
};

/** RC_IO; RC_CORRUPT with path and line: not YAML, a duplicate key, an alias, too deep, too large. */
NODISCARD enum rc yaml_load(const char *path, struct yaml_doc *out, struct err *e);
/** The same from memory; name stands in messages. */
NODISCARD enum rc yaml_parse(const char *text, size_t bytes, const char *name,
                             struct yaml_doc *out, struct err *e);
void yaml_release(struct yaml_doc *doc);

/** The entry with exactly this key, or NULL. */
const struct yaml_entry *yaml_find(const struct yaml_doc *doc, const char *key);

#endif

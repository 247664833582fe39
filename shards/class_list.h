/** Lists of class names: read from a file, sorted, looked up, and their digest. */
#ifndef PRECEPTOR_CLASS_LIST_H
#define PRECEPTOR_CLASS_LIST_H

#include <stddef.h>

#include "common/base/err.h"
#include "common/base/hash.h"

enum { CLASS_LIST_MAX = 65536, CLASS_LIST_NAME_MAX = 255 };

struct class_list {
    char **names; /* in class order */
    int n;
    int room;
    int *sorted;  /* indices in bytewise order of names, for class_list_find; NULL until then */
};

/** Zero a list; class_list_release frees what is in it. */
void class_list_init(struct class_list *l);
void class_list_release(struct class_list *l);

/** Append a name as it is. RC_INVAL empty, too long, not UTF-8, a line break, or one class too many. */
NODISCARD enum rc class_list_add(struct class_list *l, const char *name, size_t bytes,
                                 struct err *e);
/** One name a line, '\r' and empty lines dropped; a second column after a tab is ignored.
 * RC_IO; RC_INVAL no names, a name twice, ... with the path. */
NODISCARD enum rc class_list_load(struct class_list *l, const char *path, struct err *e);
/** Sort bytewise and drop repeats: how folders become classes. */
void class_list_sort(struct class_list *l);
/** Index of a name in *index, or -1. RC_NOMEM. Not from two threads until the first call is done. */
NODISCARD enum rc class_list_find(struct class_list *l, const char *name, size_t bytes, int *index,
                                  struct err *e);

/** Index of a name, which is appended if it is not there. */
NODISCARD enum rc class_list_intern(struct class_list *l, const char *name, size_t bytes, int *index,
                                    struct err *e);

/** SHA-256 of the names, each followed by '\n'. RC_NOMEM. */
NODISCARD enum rc class_list_hash(const char *const names[], int n, struct digest *out,
                                  struct err *e);
/** The same; all zero (no list's digest) when out of memory. */
void class_list_digest(const char *const names[], int n, struct digest *out);

#endif

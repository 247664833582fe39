/** The class list of a pack run, and the class of each candidate in it. */
#ifndef PRECEPTOR_PACK_CLASSES_H
#define PRECEPTOR_PACK_CLASSES_H

#include "shards/class_list.h"
#include "shards/pack.h"
#include "shards/source.h"

enum { PACK_NO_CLASS = -2 };

/** The list for a labeled corpus: that of the corpus if there is one, else the file's, else what the
 * sources name (sorted; numbers count from 0). RC_INVAL: no classes, or names mixed with numbers. */
NODISCARD enum rc pack_classes_load(const struct pack_config *config, struct class_list *out,
                                    struct err *e);
/** Index of a candidate's class, PACK_NO_CLASS if it has none. RC_INVAL it is not in the list. */
NODISCARD enum rc pack_classes_of(struct class_list *l, const struct source_image *image,
                                  int32_t *cls, struct err *e);
/** Whether the pattern of the run matches. */
bool pack_classes_match(const struct pack_config *config, const struct source_image *image);

#endif

/** One line of a quarantine ledger, as text and back; docs/FORMAT.md, section 5. */
#ifndef PRECEPTOR_QUARANTINE_LINE_H
#define PRECEPTOR_QUARANTINE_LINE_H

#include "shards/quarantine.h"

/** The line, without its end: free() *out. RC_NOMEM. */
NODISCARD enum rc quarantine_line_write(const struct quarantine_entry *entry, char **out,
                                        struct err *e);
/** A line that quarantine_line_write made; its texts are the caller's: quarantine_line_release.
 * RC_CORRUPT names path and the line's number; RC_NOMEM. */
NODISCARD enum rc quarantine_line_parse(const char *path, uint64_t number, const char *line,
                                        size_t bytes, struct quarantine_entry *out, struct err *e);
void quarantine_line_release(struct quarantine_entry *entry);

#endif

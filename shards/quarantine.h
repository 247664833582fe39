/**
 * The quarantine ledger of a corpus, quarantine.jsonl: what was offered and could not be used, one
 * line each, with the reason. A file is listed once for each source text.
 *   {"bytes":812,"class":"cat","crc":4023233417,"detail":"...","key":"...","reason":"truncated",
 *    "source":"a.tar!x.jpg"}
 * "crc" covers the rest, "key" is absent for what was never read, "class" for what had none.
 */
#ifndef PRECEPTOR_QUARANTINE_H
#define PRECEPTOR_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"

struct quarantine;

struct quarantine_entry {
    const char *source; /* text without zero bytes */
    const char *cls;    /* class as text; NULL none */
    const char *reason; /* image_reason_name, or of the source: "not-a-file", "broken-archive", ... */
    const char *detail;
    uint64_t bytes;
    bool has_key;
    struct key128 key;
};

enum quarantine_mode {
    QUARANTINE_ADD,   /* to append: a torn last line is cut off */
    QUARANTINE_RETRY, /* the same, and the entries are kept in memory for quarantine_at */
    QUARANTINE_READ   /* entries in memory; the file is left as it is */
};

/** Open dir's ledger, made at the first entry. RC_IO; RC_CORRUPT names the line. */
NODISCARD enum rc quarantine_open(const char *dir, enum quarantine_mode mode,
                                  struct quarantine **out, struct err *e);
void quarantine_close(struct quarantine *q);
/** Lines in the ledger. */
uint64_t quarantine_count(const struct quarantine *q);
/** Whether the last line was torn when the ledger was opened; only lines before it count. */
bool quarantine_torn(const struct quarantine *q);
/** Append a line unless the source is listed with that key. *fresh: it was appended. It survives a kill
 * at once, a power cut after quarantine_sync. */
NODISCARD enum rc quarantine_add(struct quarantine *q, const struct quarantine_entry *entry,
                                 bool *fresh, struct err *e);
NODISCARD enum rc quarantine_sync(struct quarantine *q, struct err *e);

/** Entries kept at opening, and entry i of them. */
uint64_t quarantine_entries(const struct quarantine *q);
const struct quarantine_entry *quarantine_at(const struct quarantine *q, uint64_t i);
/** Index of a source among the entries, in *i. */
bool quarantine_find(const struct quarantine *q, const char *source, uint64_t *i);
/** Replace the ledger atomically by the entries that are not dropped (n flags), then those added
 * since opening. The ledger cannot be added to afterwards. */
NODISCARD enum rc quarantine_keep(struct quarantine *q, const bool *dropped, struct err *e);

#endif

/**
 * Rows of a store as JSON Lines, CSV or NumPy arrays, for everything that is not this program.
 * Streaming: one row is held.
 */
#ifndef PRECEPTOR_EXPORTER_H
#define PRECEPTOR_EXPORTER_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/err.h"

enum export_format { EXPORT_JSONL, EXPORT_CSV, EXPORT_NPY };

/* What a cell points to. NumPy has no column for EXPORT_TEXT. */
enum export_type { EXPORT_KEY, EXPORT_I32, EXPORT_U16, EXPORT_U32, EXPORT_U64, EXPORT_F16,
                   EXPORT_F32, EXPORT_TEXT, EXPORT_TYPES };

enum { EXPORT_MAX_COLUMNS = 10 };

struct export_column {
    const char *name;
    enum export_type type;
    int width; /* values in a cell; 0: one, not a list of one */
};

struct export_cell {
    const void *data; /* width values; a key's 16 bytes; text, not terminated */
    size_t bytes;     /* of text */
};

struct export_table {
    struct export_column columns[EXPORT_MAX_COLUMNS];
    int n_columns;
    uint64_t rows;
};

struct exporter;

/** path  JSONL, CSV: the file, NULL for `stream`; NPY: a folder, one NAME.npy a column
 *  Files are whole or absent: they get their names in exporter_finish. RC_IO, RC_NOMEM;
 *  RC_INVAL NPY without a path. */
NODISCARD enum rc exporter_create(const struct export_table *t, enum export_format format,
                                  const char *path, FILE *stream, struct exporter **out,
                                  struct err *e);
/** One row: a cell a column. RC_IO disk full. */
NODISCARD enum rc exporter_row(struct exporter *x, const struct export_cell *cells, struct err *e);
/** RC_CORRUPT there were other than table.rows; RC_IO. */
NODISCARD enum rc exporter_finish(struct exporter *x, struct err *e);
/** What was not finished is removed. NULL is fine. */
void exporter_destroy(struct exporter *x);

#endif

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "shards/exporter.h"
#include "shards/label_store.h"

enum { EXPORTER_NUMBER = 32 }; /* characters of any number */

struct exporter_file {
    FILE *f;
    char *tmp, *final; /* NULL: the caller's stream */
};

struct exporter {
    struct export_table table;
    enum export_format format;
    uint64_t rows;
    struct exporter_file files[EXPORT_MAX_COLUMNS]; /* one a column (NPY), else the first */
};

static const struct {
    const char *npy; /* NULL: not in NumPy */
    size_t bytes;
} exporter_types[EXPORT_TYPES] = {
    [EXPORT_KEY] = {"|u1", 1}, [EXPORT_I32] = {"<i4", 4}, [EXPORT_U16] = {"<u2", 2},
    [EXPORT_U32] = {"<u4", 4}, [EXPORT_U64] = {"<u8", 8}, [EXPORT_F16] = {"<f2", 2},
    [EXPORT_F32] = {"<f4", 4}, [EXPORT_TEXT] = {NULL, 1}};

/* ---- files ----------------------------------------------------------------------------------- */

static enum rc exporter_open(struct exporter_file *f, char *final, struct err *e)
{
    f->final = final; /* taken */
    f->tmp = final == NULL ? NULL : mem_sprintf("%s.tmp.%ld", final, (long)getpid());
    if (f->tmp == NULL) {
        return mem_raise(e, "a path", 0);
    }
    f->f = fopen(f->tmp, "wb");
    return f->f != NULL ? RC_OK
                        : err_raise(e, RC_IO, "cannot write '%s': %s", f->tmp, strerror(errno));
}

static enum rc exporter_fail(const struct exporter_file *f, struct err *e)
{
    return err_raise(e, RC_IO, "cannot write '%s': %s",
                     f->final != NULL ? f->final : "standard output", strerror(errno));
}

static enum rc exporter_name(struct exporter_file *f, struct err *e)
{
    FILE *file = f->f;

    if (f->final == NULL) {
        return fflush(file) == 0 ? RC_OK : exporter_fail(f, e);
    }
    f->f = NULL;
    if (fflush(file) != 0 || fsync(fileno(file)) != 0) {
        (void)fclose(file);
        return exporter_fail(f, e);
    }
    if (fclose(file) != 0 || rename(f->tmp, f->final) != 0) {
        return exporter_fail(f, e);
    }
    mem_free(f->tmp);
    f->tmp = NULL;
    return RC_OK;
}

/* NumPy's format 1.0: magic, version, length of the header, the header padded to 64. */
static void exporter_npy_header(FILE *f, const struct export_column *c, uint64_t rows)
{
    char head[256];
    char shape[32] = "";
    int width = c->type == EXPORT_KEY ? 16 : c->width;
    size_t n = 10;

    if (width > 0) {
        (void)snprintf(shape, sizeof shape, " %d", width);
    }
    memcpy(head, "\x93NUMPY\x01\x00\x00\x00", 10);
    n += (size_t)snprintf(head + n, sizeof head - n,
                          "{'descr': '%s', 'fortran_order': False, 'shape': (%llu,%s), }",
                          exporter_types[c->type].npy, (unsigned long long)rows, shape);
    while (n % 64 != 63) {
        head[n++] = ' ';
    }
    head[n++] = '\n';
    head[8] = (char)(n - 10);
    (void)fwrite(head, 1, n, f);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void exporter_text(FILE *f, const char *text)
{
    (void)fwrite(text, 1, strlen(text), f);
}

/* One number; JSON has no infinity: null. */
static void exporter_number(FILE *f, enum export_type type, const void *p, bool json)
{
    char buf[EXPORTER_NUMBER];
    uint64_t u = 0; /* little-endian, so the value whatever its width */
    int32_t i = 0;
    float x = 0;

    memcpy(&u, p, exporter_types[type].bytes);
    if (type == EXPORT_F16 || type == EXPORT_F32) {
        memcpy(&x, p, exporter_types[type].bytes);
        x = type == EXPORT_F16 ? f16_to_f32((uint16_t)u) : x;
        (void)snprintf(buf, sizeof buf, "%.*g", type == EXPORT_F16 ? 5 : 9, (double)x);
    } else if (type == EXPORT_I32) {
        memcpy(&i, p, sizeof i);
        (void)snprintf(buf, sizeof buf, "%d", i);
    } else {
        (void)snprintf(buf, sizeof buf, "%llu", (unsigned long long)u);
    }
    exporter_text(f, json && !isfinite(x) ? "null" : buf);
}

static void exporter_csv_text(FILE *f, const char *text, size_t bytes)
{
    (void)fwrite("\"", 1, 1, f);
    for (size_t i = 0; i < bytes; i++) {
        (void)fwrite("\"\"", 1, text[i] == '"' ? 2 : 0, f);
        (void)fwrite(&text[i], 1, text[i] == '"' ? 0 : 1, f);
    }
    (void)fwrite("\"", 1, 1, f);
}

/* "name":"text", or "name_hex":"..." for what is not UTF-8. */
static enum rc exporter_json_text(FILE *f, const char *name, const char *text, size_t bytes,
                                  struct err *e)
{
    json_t *s = json_stringn(text, bytes);
    char hex[3];
    int failed = 0;

    exporter_text(f, "\"");
    exporter_text(f, name);
    if (s != NULL && memchr(text, 0, bytes) == NULL) {
        exporter_text(f, "\":");
        failed = json_dumpf(s, f, JSON_ENCODE_ANY | JSON_COMPACT);
    } else {
        exporter_text(f, "_hex\":\"");
        for (size_t i = 0; i < bytes; i++) {
            (void)snprintf(hex, sizeof hex, "%02x", (unsigned char)text[i]);
            exporter_text(f, hex);
        }
        exporter_text(f, "\"");
    }
    json_decref(s);
    return failed == 0 ? RC_OK : err_raise(e, RC_IO, "cannot write a text as JSON");
}

static void exporter_key(FILE *f, const void *key)
{
    char hex[HASH_HEX_KEY];

    hash_key_hex(key, hex);
    exporter_text(f, hex);
}

/* The values of a cell, separated by commas. */
static void exporter_list(FILE *f, const struct export_column *c, const void *data, bool json)
{
    const uint8_t *p = data;

    for (int i = 0; i < (c->width > 0 ? c->width : 1); i++) {
        if (i > 0) {
            exporter_text(f, ",");
        }
        exporter_number(f, c->type, p + (size_t)i * exporter_types[c->type].bytes, json);
    }
}

static enum rc exporter_jsonl(struct exporter *x, const struct export_cell *cells, struct err *e)
{
    FILE *f = x->files[0].f;
    enum rc rc = RC_OK;

    for (int i = 0; i < x->table.n_columns && rc == RC_OK; i++) {
        const struct export_column *c = &x->table.columns[i];

        exporter_text(f, i == 0 ? "{" : ",");
        if (c->type == EXPORT_TEXT) {
            rc = exporter_json_text(f, c->name, cells[i].data, cells[i].bytes, e);
            continue;
        }
        exporter_text(f, "\"");
        exporter_text(f, c->name);
        exporter_text(f, c->type == EXPORT_KEY ? "\":\"" : c->width > 0 ? "\":[" : "\":");
        if (c->type == EXPORT_KEY) {
            exporter_key(f, cells[i].data);
        } else {
            exporter_list(f, c, cells[i].data, true);
        }
        exporter_text(f, c->type == EXPORT_KEY ? "\"" : c->width > 0 ? "]" : "");
    }
    exporter_text(f, "}\n");
    return rc;
}

static void exporter_csv(struct exporter *x, const struct export_cell *cells)
{
    FILE *f = x->files[0].f;

    for (int i = 0; i < x->table.n_columns; i++) {
        const struct export_column *c = &x->table.columns[i];

        exporter_text(f, i == 0 ? "" : ",");
        if (c->type == EXPORT_TEXT) {
            exporter_csv_text(f, cells[i].data, cells[i].bytes);
        } else if (c->type == EXPORT_KEY) {
            exporter_key(f, cells[i].data);
        } else {
            exporter_list(f, c, cells[i].data, false);
        }
    }
    exporter_text(f, "\n");
}

static void exporter_csv_header(struct exporter *x)
{
    FILE *f = x->files[0].f;
    char name[64];

    for (int i = 0; i < x->table.n_columns; i++) {
        const struct export_column *c = &x->table.columns[i];

        for (int j = 0; j < (c->width > 0 ? c->width : 1); j++) {
            (void)snprintf(name, sizeof name, c->width > 0 ? "%s_%d" : "%s", c->name, j);
            exporter_text(f, i + j == 0 ? "" : ",");
            exporter_text(f, name);
        }
    }
    exporter_text(f, "\n");
}

static void exporter_npy(struct exporter *x, const struct export_cell *cells)
{
    for (int i = 0; i < x->table.n_columns; i++) {
        const struct export_column *c = &x->table.columns[i];
        size_t n = c->type == EXPORT_KEY ? 16 : c->width > 0 ? (size_t)c->width : 1;

        if (x->files[i].f != NULL) {
            (void)fwrite(cells[i].data, exporter_types[c->type].bytes, n, x->files[i].f);
        }
    }
}

/* ---- the interface --------------------------------------------------------------------------- */

static enum rc exporter_npy_files(struct exporter *x, const char *path, struct err *e)
{
    enum rc rc = path != NULL
                     ? fs_mkdirs(path, e)
                     : err_raise(e, RC_INVAL, "NumPy arrays need a folder to be written to");

    for (int i = 0; i < x->table.n_columns && rc == RC_OK; i++) {
        const struct export_column *c = &x->table.columns[i];

        if (exporter_types[c->type].npy != NULL) {
            rc = exporter_open(&x->files[i], mem_sprintf("%s/%s.npy", path, c->name), e);
        }
        if (x->files[i].f != NULL) {
            exporter_npy_header(x->files[i].f, c, x->table.rows);
        }
    }
    return rc;
}

enum rc exporter_create(const struct export_table *t, enum export_format format, const char *path,
                        FILE *stream, struct exporter **out, struct err *e)
{
    struct exporter *x = mem_calloc(1, sizeof *x);
    enum rc rc = RC_OK;

    assert(t->n_columns <= EXPORT_MAX_COLUMNS);
    if (x == NULL) {
        return mem_raise(e, "an export", sizeof *x);
    }
    x->table = *t;
    x->format = format;
    if (format == EXPORT_NPY) {
        rc = exporter_npy_files(x, path, e);
    } else if (path != NULL) {
        rc = exporter_open(&x->files[0], mem_strdup(path), e);
    } else {
        x->files[0].f = stream;
    }
    if (rc == RC_OK && format == EXPORT_CSV) {
        exporter_csv_header(x);
    }
    if (rc != RC_OK) {
        exporter_destroy(x);
        return rc;
    }
    *out = x;
    return RC_OK;
}

enum rc exporter_row(struct exporter *x, const struct export_cell *cells, struct err *e)
{
    enum rc rc = RC_OK;

    x->rows++;
    if (x->format == EXPORT_JSONL) {
        rc = exporter_jsonl(x, cells, e);
    } else if (x->format == EXPORT_CSV) {
        exporter_csv(x, cells);
    } else {
        exporter_npy(x, cells);
    }
    for (int i = 0; i < x->table.n_columns && rc == RC_OK; i++) {
        if (x->files[i].f != NULL && ferror(x->files[i].f)) {
            rc = exporter_fail(&x->files[i], e);
        }
    }
    return rc;
}

enum rc exporter_finish(struct exporter *x, struct err *e)
{
    enum rc rc = RC_OK;

    if (x->rows != x->table.rows) {
        return err_raise(e, RC_CORRUPT, "the store has %llu rows where its manifest says %llu",
                         (unsigned long long)x->rows, (unsigned long long)x->table.rows);
    }
    for (int i = 0; i < x->table.n_columns && rc == RC_OK; i++) {
        if (x->files[i].f != NULL) {
            rc = exporter_name(&x->files[i], e);
        }
    }
    return rc;
}

void exporter_destroy(struct exporter *x)
{
    for (int i = 0; x != NULL && i < EXPORT_MAX_COLUMNS; i++) {
        struct exporter_file *f = &x->files[i];

        if (f->f != NULL && f->final != NULL) {
            (void)fclose(f->f);
        }
        if (f->tmp != NULL) {
            (void)unlink(f->tmp);
        }
        mem_free(f->tmp);
        mem_free(f->final);
    }
    mem_free(x);
}

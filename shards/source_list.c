#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "shards/source_impl.h"

enum { LIST_MAX_LINE = 1 << 16, LIST_MAX_COLUMNS = 64 };

enum list_kind { LIST_PLAIN, LIST_CSV, LIST_TSV, LIST_JSONL };

static const struct {
    const char *ext;
    enum list_kind kind;
} list_kinds[] = {{".csv", LIST_CSV},      {".tsv", LIST_TSV},   {".jsonl", LIST_JSONL},
                  {".ndjson", LIST_JSONL}, {".txt", LIST_PLAIN}, {".lst", LIST_PLAIN},
                  {".list", LIST_PLAIN}};
static const char *const list_path_columns[] = {"path", "file", "filename", "image", NULL};
static const char *const list_class_columns[] = {"class", "label", NULL};

struct list {
    const struct source *s;
    const char *path;
    enum list_kind kind;
    size_t dir_bytes; /* of the list's folder with its '/': paths are relative to it */
    uint64_t line;
    int path_column, class_column; /* of CSV and TSV, -1 none */
};

static int list_kind_of(const char *path)
{
    const char *ext = strrchr(path, '.');

    for (size_t i = 0; ext != NULL && i < sizeof list_kinds / sizeof list_kinds[0]; i++) {
        if (strcasecmp(ext, list_kinds[i].ext) == 0) {
            return (int)list_kinds[i].kind;
        }
    }
    return -1;
}

bool source_list_named(const char *path)
{
    return list_kind_of(path) >= 0;
}

static enum rc list_wrong(const struct list *l, const char *what, struct err *e)
{
    return err_raise(e, RC_INVAL, "the list '%s', line %llu: %s", l->path,
                     (unsigned long long)l->line, what);
}

static enum rc list_file(const struct list *l, const char *file, const char *cls, bool numeric,
                         struct err *e)
{
    char *text =
        *file == '/' ? mem_strdup(file) : mem_sprintf("%.*s%s", (int)l->dir_bytes, l->path, file);
    struct source_image image = {.text = text, .container = l->path, .path = text};
    enum rc rc = RC_OK;

    if (text == NULL) {
        return mem_raise(e, "a path", strlen(file));
    }
    image.inside = *file == '/' ? text : text + l->dir_bytes;
    image.cls = cls != NULL && *cls != '\0' ? cls : NULL;
    image.numeric = numeric;
    if (strlen(text) >= SOURCE_MAX_TEXT || (cls != NULL && strlen(cls) > SOURCE_MAX_CLASS)) {
        rc = list_wrong(l, "a path or class is too long", e);
    } else {
        rc = source_file(l->s, &image, e);
    }
    mem_free(text);
    return rc;
}

/* Split one line of CSV (RFC 4180 but for line breaks in quotes) or TSV in place. */
static int list_split(char *line, char separator, char *column[LIST_MAX_COLUMNS])
{
    int n = 0;
    char *in = line;

    while (n < LIST_MAX_COLUMNS) {
        char *out = in;
        bool quoted = separator == ',' && *in == '"';

        column[n++] = out;
        in += quoted ? 1 : 0;
        while (*in != '\0' && (quoted || *in != separator)) {
            if (quoted && *in == '"' && in[1] != '"') {
                quoted = false;
                in++;
                continue;
            }
            in += quoted && *in == '"' ? 1 : 0;
            *out++ = *in++;
        }
        if (*in == '\0') {
            *out = '\0';
            return quoted ? -1 : n;
        }
        *out = '\0';
        in++;
    }
    return -1;
}

static int list_find(char *const column[], int n, const char *const names[])
{
    for (int k = 0; names[k] != NULL; k++) {
        for (int i = 0; i < n; i++) {
            if (strcasecmp(column[i], names[k]) == 0) {
                return i;
            }
        }
    }
    return -1;
}

static bool list_numeric(const char *cls)
{
    return cls != NULL && *cls != '\0' && strspn(cls, "0123456789") == strlen(cls);
}

static enum rc list_columns(struct list *l, char *line, struct err *e)
{
    char *column[LIST_MAX_COLUMNS];
    const char *cls = NULL;
    int n = list_split(line, l->kind == LIST_CSV ? ',' : '\t', column);

    if (n < 0) {
        return list_wrong(l, "a quote is not closed, or there are more than 64 columns", e);
    }
    if (l->path_column < 0) { /* the first line that is not empty */
        l->path_column = list_find(column, n, list_path_columns);
        l->class_column = list_find(column, n, list_class_columns);
        return l->path_column >= 0
                   ? RC_OK
                   : list_wrong(l, "expected a header with a column 'path' (and 'class')", e);
    }
    if (l->path_column >= n || l->class_column >= n || *column[l->path_column] == '\0') {
        return list_wrong(l, "columns are missing", e);
    }
    cls = l->class_column >= 0 ? column[l->class_column] : NULL;
    return list_file(l, column[l->path_column], cls, list_numeric(cls), e);
}

static enum rc list_json(struct list *l, const char *line, struct err *e)
{
    json_t *obj = json_loads(line, 0, NULL);
    const char *file = NULL;
    const json_t *cls = NULL;
    char number[32];
    enum rc rc = RC_OK;

    for (int i = 0; list_path_columns[i] != NULL && file == NULL; i++) {
        file = json_string_value(json_object_get(obj, list_path_columns[i]));
    }
    for (int i = 0; list_class_columns[i] != NULL && cls == NULL; i++) {
        cls = json_object_get(obj, list_class_columns[i]);
    }
    if (file == NULL || *file == '\0') {
        rc = list_wrong(l, "expected a JSON object with a text 'path' (and 'class')", e);
    } else if (json_is_integer(cls) && json_integer_value(cls) >= 0) {
        (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(cls));
        rc = list_file(l, file, number, true, e);
    } else if (cls == NULL || json_is_string(cls) || json_is_null(cls)) {
        rc = list_file(l, file, json_string_value(cls), false, e);
    } else {
        rc = list_wrong(l, "the class is neither a text nor a whole number from 0", e);
    }
    json_decref(obj);
    return rc;
}

static enum rc list_line(struct list *l, char *line, struct err *e)
{
    size_t bytes = strlen(line);
    char *tab = NULL;

    while (bytes > 0 && (line[bytes - 1] == '\n' || line[bytes - 1] == '\r')) {
        line[--bytes] = '\0';
    }
    if (bytes == 0 || (l->kind == LIST_PLAIN && *line == '#')) {
        return RC_OK;
    }
    if (l->kind == LIST_JSONL) {
        return list_json(l, line, e);
    }
    if (l->kind != LIST_PLAIN) {
        return list_columns(l, line, e);
    }
    tab = strchr(line, '\t');
    if (tab != NULL) {
        *tab++ = '\0';
    }
    return list_file(l, line, tab, list_numeric(tab), e);
}

enum rc source_list_walk(const struct source *s, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    struct list l = {.s = s, .path = path, .path_column = -1, .class_column = -1};
    FILE *f = fopen(path, "rb");
    char *line = NULL;
    size_t room = 0;
    ssize_t n = 0;
    enum rc rc = RC_OK;

    if (f == NULL) {
        return err_raise(e, RC_IO, "cannot open the list '%s': %s", path, strerror(errno));
    }
    l.kind = (enum list_kind)list_kind_of(path);
    l.dir_bytes = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    while (rc == RC_OK && (n = getline(&line, &room, f)) > 0) {
        l.line++;
        rc = n > LIST_MAX_LINE || strlen(line) != (size_t)n
                 ? list_wrong(&l, "it is not a line of text", e)
                 : list_line(&l, line, e);
    }
    if (rc == RC_OK && ferror(f)) {
        rc = err_raise(e, RC_IO, "cannot read the list '%s': %s", path, strerror(errno));
    }
    free(line);
    (void)fclose(f);
    return rc;
}

#include "common/base/yaml.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/base/fs.h"
#include "common/base/mem.h"

enum { YAML_MAX_KEY = 512 };

/* A collection that is open while the events stream by. */
struct yaml_frame {
    bool map;
    bool has_key;  /* map: the key was read, its value comes next */
    int id;        /* serial number of the collection */
    int index;     /* sequence: of the next element */
    size_t prefix; /* bytes of the path before this collection's own keys */
};

/* A key of a mapping with its full path; leaf: it has a scalar and becomes an entry. */
struct yaml_item {
    struct yaml_entry entry;
    int map;
    bool leaf;
};

struct yaml_walk {
    const char *name;
    struct yaml_frame stack[YAML_MAX_DEPTH];
    int depth;
    int collections;
    bool seen_document;
    char path[YAML_MAX_KEY];
    size_t length;
    struct yaml_item *items;
    size_t n;
    size_t capacity;
};

static enum rc yaml_refuse(const struct yaml_walk *w, const yaml_event_t *ev, const char *why,
                           struct err *e)
{
    return err_raise(e, RC_CORRUPT, "%s:%zu: %s", w->name, ev->start_mark.line + 1, why);
}

static enum rc yaml_append(struct yaml_walk *w, const yaml_event_t *ev, const char *value,
                           struct err *e)
{
    struct yaml_item *it = NULL;

    if (w->n >= YAML_MAX_ENTRIES) {
        return yaml_refuse(w, ev, "more keys than a recipe may have", e);
    }
    if (w->n == w->capacity) {
        size_t more = w->capacity == 0 ? 64 : 2 * w->capacity;
        struct yaml_item *grown = mem_realloc(w->items, more, sizeof *grown);

        if (grown == NULL) {
            return mem_raise(e, w->name, more * sizeof *grown);
        }
        w->items = grown;
        w->capacity = more;
    }
    it = &w->items[w->n];
    memset(it, 0, sizeof *it);
    it->entry.line = (int)ev->start_mark.line + 1;
    it->map = w->depth > 0 ? w->stack[w->depth - 1].id : 0;
    it->leaf = value != NULL;
    it->entry.key = mem_strdup(w->path);
    it->entry.value = value == NULL ? NULL : mem_strdup(value);
    w->n++;
    if (it->entry.key == NULL || (value != NULL && it->entry.value == NULL)) {
        return mem_raise(e, w->name, strlen(w->path));
    }
    return RC_OK;
}

/* Put one more part behind the collection's prefix: "a.b" and "c" make "a.b.c". */
static enum rc yaml_extend(struct yaml_walk *w, const yaml_event_t *ev, const char *part,
                           struct err *e)
{
    size_t prefix = w->stack[w->depth - 1].prefix;
    size_t n = strlen(part);

    if (n == 0) {
        return yaml_refuse(w, ev, "an empty key", e);
    }
    if (prefix + n + 2 > sizeof w->path) {
        return yaml_refuse(w, ev, "a key is too long", e);
    }
    if (prefix > 0) {
        w->path[prefix++] = '.';
    }
    memcpy(w->path + prefix, part, n + 1);
    w->length = prefix + n;
    return RC_OK;
}

/* Before the value in a sequence: its index is the last part of the path. */
static enum rc yaml_element(struct yaml_walk *w, const yaml_event_t *ev, struct err *e)
{
    struct yaml_frame *f = &w->stack[w->depth - 1];
    char digits[16];
    int i = (int)sizeof digits - 1;
    int v = f->index++;

    digits[i] = '\0';
    do {
        digits[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    return yaml_extend(w, ev, digits + i, e);
}

static enum rc yaml_scalar(struct yaml_walk *w, const yaml_event_t *ev, struct err *e)
{
    const char *text = (const char *)ev->data.scalar.value;
    struct yaml_frame *f = NULL;
    enum rc rc = RC_OK;

    if (ev->data.scalar.anchor != NULL || ev->data.scalar.tag != NULL) {
        return yaml_refuse(w, ev, "anchors (&) and tags (!) are not allowed here", e);
    }
    if (strlen(text) != ev->data.scalar.length) {
        return yaml_refuse(w, ev, "a zero byte in a text", e);
    }
    if (w->depth == 0) {
        return text[0] == '\0' ? RC_OK : yaml_refuse(w, ev, "expected 'key: value' lines", e);
    }
    f = &w->stack[w->depth - 1];
    if (f->map && !f->has_key) {
        f->has_key = true;
        return yaml_extend(w, ev, text, e);
    }
    if (!f->map) {
        rc = yaml_element(w, ev, e);
    }
    f->has_key = false;
    return rc != RC_OK ? rc : yaml_append(w, ev, text, e);
}

static enum rc yaml_enter(struct yaml_walk *w, const yaml_event_t *ev, bool map, bool decorated,
                          struct err *e)
{
    struct yaml_frame *f = w->depth > 0 ? &w->stack[w->depth - 1] : NULL;
    enum rc rc = RC_OK;

    if (decorated) {
        return yaml_refuse(w, ev, "anchors (&) and tags (!) are not allowed here", e);
    }
    if (f == NULL && !map) {
        return yaml_refuse(w, ev, "expected 'key: value' lines", e);
    }
    if (f != NULL && f->map && !f->has_key) {
        return yaml_refuse(w, ev, "a key must be a plain text", e);
    }
    if (w->depth == YAML_MAX_DEPTH) {
        return yaml_refuse(w, ev, "nested too deep", e);
    }
    if (f != NULL && !f->map) {
        rc = yaml_element(w, ev, e);
    }
    if (rc == RC_OK && f != NULL) {
        f->has_key = false;
        rc = yaml_append(w, ev, NULL, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    w->stack[w->depth++] = (struct yaml_frame){
        .map = map, .id = ++w->collections, .prefix = f == NULL ? 0 : w->length};
    return RC_OK;
}

static enum rc yaml_event(struct yaml_walk *w, const yaml_event_t *ev, struct err *e)
{
    switch (ev->type) {
    case YAML_ALIAS_EVENT:
        return yaml_refuse(w, ev, "aliases (*) are not allowed here", e);
    case YAML_SCALAR_EVENT:
        return yaml_scalar(w, ev, e);
    case YAML_MAPPING_START_EVENT:
        return yaml_enter(
            w, ev, true,
            ev->data.mapping_start.anchor != NULL || ev->data.mapping_start.tag != NULL, e);
    case YAML_SEQUENCE_START_EVENT:
        return yaml_enter(
            w, ev, false,
            ev->data.sequence_start.anchor != NULL || ev->data.sequence_start.tag != NULL, e);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        w->depth--;
        return RC_OK;
    case YAML_DOCUMENT_START_EVENT:
        if (w->seen_document) {
            return yaml_refuse(w, ev, "a second document: expected one", e);
        }
        w->seen_document = true;
        return RC_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return RC_OK;
}

static int yaml_compare(const void *a, const void *b)
{
    const struct yaml_item *x = *(const struct yaml_item *const *)a;
    const struct yaml_item *y = *(const struct yaml_item *const *)b;
    int c = strcmp(x->entry.key, y->entry.key);

    if (c == 0 && x->map != y->map) {
        c = x->map < y->map ? -1 : 1;
    }
    return c != 0 ? c : x->entry.line - y->entry.line;
}

/* `a: {b: 1}` beside `a.c: 2` is fine; a path with two values, or twice in one mapping, is not. */
static enum rc yaml_check_duplicates(const struct yaml_walk *w, struct err *e)
{
    const struct yaml_item **sorted = mem_calloc(w->n, sizeof *sorted);
    enum rc rc = RC_OK;

    if (sorted == NULL) {
        return mem_raise(e, w->name, w->n * sizeof *sorted);
    }
    for (size_t i = 0; i < w->n; i++) {
        sorted[i] = &w->items[i];
    }
    qsort(sorted, w->n, sizeof *sorted, yaml_compare);
    for (size_t i = 1; i < w->n && rc == RC_OK; i++) {
        const struct yaml_item *a = sorted[i - 1];
        const struct yaml_item *b = sorted[i];

        if (strcmp(a->entry.key, b->entry.key) == 0 && (a->map == b->map || a->leaf || b->leaf)) {
            bool later = b->entry.line >= a->entry.line;

            rc = err_raise(e, RC_CORRUPT, "%s:%d: the key '%s' was given before, in line %d",
                           w->name, later ? b->entry.line : a->entry.line, b->entry.key,
                           later ? a->entry.line : b->entry.line);
        }
    }
    mem_free(sorted);
    return rc;
}

static enum rc yaml_walk_events(struct yaml_walk *w, yaml_parser_t *parser, struct err *e)
{
    bool more = true;
    enum rc rc = RC_OK;

    while (more && rc == RC_OK) {
        yaml_event_t ev;

        if (!yaml_parser_parse(parser, &ev)) {
            if (parser->error == YAML_MEMORY_ERROR) {
                return mem_raise(e, w->name, 0);
            }
            return err_raise(e, RC_CORRUPT, "%s:%zu: not YAML: %s", w->name,
                             parser->problem_mark.line + 1,
                             parser->problem == NULL ? "cannot be read" : parser->problem);
        }
        more = ev.type != YAML_STREAM_END_EVENT;
        rc = yaml_event(w, &ev, e);
        yaml_event_delete(&ev);
    }
    return rc != RC_OK ? rc : yaml_check_duplicates(w, e);
}

/* Move the leaves into out; what is left in w stays w's to free. */
static enum rc yaml_finish(struct yaml_walk *w, struct yaml_doc *out, struct err *e)
{
    struct yaml_doc doc = {.path = mem_strdup(w->name),
                           .entries = mem_calloc(w->n, sizeof *doc.entries)};

    if (doc.path == NULL || doc.entries == NULL) {
        yaml_release(&doc);
        return mem_raise(e, w->name, w->n * sizeof *doc.entries);
    }
    for (size_t i = 0; i < w->n; i++) {
        if (w->items[i].leaf) {
            doc.entries[doc.n++] = w->items[i].entry;
            w->items[i].entry = (struct yaml_entry){0};
        }
    }
    *out = doc;
    return RC_OK;
}

enum rc yaml_parse(const char *text, size_t bytes, const char *name, struct yaml_doc *out,
                   struct err *e)
{
    struct yaml_walk *w = NULL;
    yaml_parser_t parser;
    enum rc rc = RC_OK;

    if (bytes > YAML_MAX_BYTES) {
        return err_raise(e, RC_CORRUPT, "%s:1: %zu bytes are more than a recipe may have (%d)",
                         name, bytes, (int)YAML_MAX_BYTES);
    }
    w = mem_calloc(1, sizeof *w);
    if (w == NULL || !yaml_parser_initialize(&parser)) {
        mem_free(w);
        return mem_raise(e, name, sizeof *w);
    }
    w->name = name;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    rc = yaml_walk_events(w, &parser, e);
    yaml_parser_delete(&parser);
    if (rc == RC_OK) {
        rc = yaml_finish(w, out, e);
    }
    for (size_t i = 0; i < w->n; i++) {
        mem_free(w->items[i].entry.key);
        mem_free(w->items[i].entry.value);
    }
    mem_free(w->items);
    mem_free(w);
    return rc;
}

enum rc yaml_load(const char *path, struct yaml_doc *out, struct err *e)
{
    char *text = NULL;
    size_t bytes = 0;
    enum rc rc = fs_read(path, YAML_MAX_BYTES, &text, &bytes, e);

    if (rc == RC_OK) {
        rc = yaml_parse(text, bytes, path, out, e);
    }
    mem_free(text);
    return rc;
}

void yaml_release(struct yaml_doc *doc)
{
    for (size_t i = 0; i < doc->n; i++) {
        mem_free(doc->entries[i].key);
        mem_free(doc->entries[i].value);
    }
    mem_free(doc->entries);
    mem_free(doc->path);
    *doc = (struct yaml_doc){0};
}

const struct yaml_entry *yaml_find(const struct yaml_doc *doc, const char *key)
{
    for (size_t i = 0; i < doc->n; i++) {
        if (strcmp(doc->entries[i].key, key) == 0) {
            return &doc->entries[i];
        }
    }
    return NULL;
}

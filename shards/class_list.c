#include "shards/class_list.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/mem.h"

enum { CLASS_LIST_FILE_MAX = CLASS_LIST_MAX * (CLASS_LIST_NAME_MAX + 2) };

void class_list_init(struct class_list *l)
{
    memset(l, 0, sizeof *l);
}

void class_list_release(struct class_list *l)
{
    for (int i = 0; i < l->n; i++) {
        mem_free(l->names[i]);
    }
    mem_free(l->names);
    mem_free(l->sorted);
    class_list_init(l);
}

static enum rc class_list_check(const char *name, size_t bytes, struct err *e)
{
    json_t *text = NULL;

    if (bytes == 0 || bytes > CLASS_LIST_NAME_MAX) {
        return err_raise(e, RC_INVAL, "a class name has %zu bytes, expected 1 to %d: '%.40s'",
                         bytes, CLASS_LIST_NAME_MAX, bytes > 0 ? name : "");
    }
    text = memchr(name, '\n', bytes) == NULL ? json_stringn(name, bytes) : NULL;
    if (text == NULL) {
        return err_raise(e, RC_INVAL, "the class name '%.*s' is not one line of UTF-8", (int)bytes,
                         name);
    }
    json_decref(text);
    return RC_OK;
}

enum rc class_list_add(struct class_list *l, const char *name, size_t bytes, struct err *e)
{
    enum rc rc = class_list_check(name, bytes, e);
    char *copy = NULL;

    if (rc != RC_OK) {
        return rc;
    }
    if (l->n >= CLASS_LIST_MAX) {
        return err_raise(e, RC_INVAL, "more than %d classes", CLASS_LIST_MAX);
    }
    if (l->n == l->room) {
        int room = l->room == 0 ? 16 : 2 * l->room;
        char **names = mem_realloc(l->names, (size_t)room, sizeof *names);

        if (names == NULL) {
            return mem_raise(e, "class names", (size_t)room * sizeof *names);
        }
        l->names = names;
        l->room = room;
    }
    copy = mem_calloc(bytes + 1, 1);
    if (copy == NULL) {
        return mem_raise(e, "a class name", bytes);
    }
    memcpy(copy, name, bytes);
    l->names[l->n++] = copy;
    mem_free(l->sorted);
    l->sorted = NULL;
    return RC_OK;
}

static int class_list_compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void class_list_sort(struct class_list *l)
{
    int kept = 0;

    if (l->n == 0) {
        return;
    }
    qsort(l->names, (size_t)l->n, sizeof *l->names, class_list_compare_names);
    for (int i = 1; i < l->n; i++) {
        if (strcmp(l->names[i], l->names[kept]) == 0) {
            mem_free(l->names[i]);
        } else {
            l->names[++kept] = l->names[i];
        }
    }
    l->n = kept + 1;
    mem_free(l->sorted);
    l->sorted = NULL;
}

static int class_list_compare_sorted(const void *a, const void *b, void *list)
{
    char *const *names = ((const struct class_list *)list)->names;

    return strcmp(names[*(const int *)a], names[*(const int *)b]);
}

static enum rc class_list_order(struct class_list *l, struct err *e)
{
    if (l->sorted != NULL || l->n == 0) {
        return RC_OK;
    }
    l->sorted = mem_calloc((size_t)l->n, sizeof *l->sorted);
    if (l->sorted == NULL) {
        return mem_raise(e, "sorted class names", (size_t)l->n * sizeof *l->sorted);
    }
    for (int i = 0; i < l->n; i++) {
        l->sorted[i] = i;
    }
    qsort_r(l->sorted, (size_t)l->n, sizeof *l->sorted, class_list_compare_sorted, l);
    return RC_OK;
}

/* Where a name stands, or would stand, in the sorted order. */
static int class_list_lower(const struct class_list *l, const char *name, size_t bytes, bool *found)
{
    int lo = 0;
    int hi = l->n;

    *found = false;
    while (lo < hi && !*found) {
        int mid = lo + (hi - lo) / 2;
        const char *at = l->names[l->sorted[mid]];
        size_t at_bytes = strlen(at);
        int order = memcmp(at, name, at_bytes < bytes ? at_bytes : bytes);

        if (order == 0) {
            order = (at_bytes > bytes) - (at_bytes < bytes);
        }
        if (order < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
        if (order == 0) {
            *found = true;
        }
    }
    return hi;
}

enum rc class_list_find(struct class_list *l, const char *name, size_t bytes, int *index,
                        struct err *e)
{
    bool found = false;
    int at = 0;
    enum rc rc = class_list_order(l, e);

    if (rc == RC_OK) {
        at = class_list_lower(l, name, bytes, &found);
        *index = found ? l->sorted[at] : -1;
    }
    return rc;
}

enum rc class_list_intern(struct class_list *l, const char *name, size_t bytes, int *index,
                          struct err *e)
{
    int *sorted = NULL;
    bool found = false;
    int at = 0;
    enum rc rc = class_list_order(l, e);

    if (rc != RC_OK) {
        return rc;
    }
    at = class_list_lower(l, name, bytes, &found);
    if (found) {
        *index = l->sorted[at];
        return RC_OK;
    }
    sorted = mem_realloc(l->sorted, (size_t)l->n + 1, sizeof *sorted);
    if (sorted == NULL) {
        return mem_raise(e, "sorted class names", ((size_t)l->n + 1) * sizeof *sorted);
    }
    memmove(sorted + at + 1, sorted + at, (size_t)(l->n - at) * sizeof *sorted);
    sorted[at] = l->n;
    l->sorted = NULL; /* kept from class_list_add, which would drop it */
    rc = class_list_add(l, name, bytes, e);
    if (rc != RC_OK) {
        mem_free(sorted);
        return rc;
    }
    l->sorted = sorted;
    *index = l->n - 1;
    return RC_OK;
}

static enum rc class_list_lines(struct class_list *l, const char *text, const char *path,
                                struct err *e)
{
    struct err why = {0};
    enum rc rc = RC_OK;
    long number = 0;

    for (const char *s = text; *s != '\0' && rc == RC_OK;) {
        size_t line = strcspn(s, "\n");
        size_t bytes = strcspn(s, "\t\r\n");

        number++;
        if (bytes > 0) {
            rc = class_list_add(l, s, bytes, &why);
        }
        s += line + (s[line] == '\n');
    }
    if (rc != RC_OK) {
        return err_raise(e, rc, "'%s' line %ld: %s", path, number, why.msg);
    }
    if (rc == RC_OK && l->n == 0) {
        rc = err_raise(e, RC_INVAL, "the class list '%s' is empty: expected one name a line", path);
    }
    if (rc == RC_OK) {
        rc = class_list_order(l, e);
    }
    for (int i = 1; i < l->n && rc == RC_OK; i++) {
        if (strcmp(l->names[l->sorted[i - 1]], l->names[l->sorted[i]]) == 0) {
            rc = err_raise(e, RC_INVAL, "the class list '%s' names '%s' twice", path,
                           l->names[l->sorted[i]]);
        }
    }
    return rc;
}

enum rc class_list_load(struct class_list *l, const char *path, struct err *e)
{
    char *text = NULL;
    size_t bytes = 0;
    enum rc rc = fs_read(path, CLASS_LIST_FILE_MAX, &text, &bytes, e);

    if (rc != RC_OK) {
        return rc;
    }
    rc =
        strlen(text) == bytes
            ? class_list_lines(l, text, path, e)
            : err_raise(e, RC_INVAL, "the class list '%s' holds a zero byte: it is not text", path);
    mem_free(text);
    return rc;
}

enum rc class_list_hash(const char *const names[], int n, struct digest *out, struct err *e)
{
    struct hash *h = NULL;
    enum rc rc = hash_create(&h, e);

    if (rc != RC_OK) {
        return rc;
    }
    for (int i = 0; i < n; i++) {
        hash_update(h, names[i], strlen(names[i]));
        hash_update(h, "\n", 1);
    }
    hash_final(h, out);
    hash_destroy(h);
    return RC_OK;
}

void class_list_digest(const char *const names[], int n, struct digest *out)
{
    if (class_list_hash(names, n, out, NULL) != RC_OK) {
        memset(out, 0, sizeof *out);
    }
}

#include "mpi_launch/args.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

__attribute__((format(printf, 3, 0))) static enum rc args_add_v(struct args *a, struct err *e,
                                                                const char *fmt, va_list ap)
{
    char **longer = NULL;
    char *text = NULL;
    va_list again;
    int bytes = 0;

    va_copy(again, ap);
    bytes = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    text = bytes < 0 ? NULL : mem_calloc((size_t)bytes + 1, 1);
    longer = text == NULL ? NULL : mem_realloc(a->v, (size_t)a->n + 2, sizeof *longer);
    if (longer == NULL) {
        mem_free(text);
        return mem_raise(e, "a command line", (size_t)bytes + 1);
    }
    (void)vsnprintf(text, (size_t)bytes + 1, fmt, ap);
    a->v = longer;
    a->v[a->n++] = text;
    a->v[a->n] = NULL;
    return RC_OK;
}

enum rc args_add(struct args *a, struct err *e, const char *fmt, ...)
{
    va_list ap;
    enum rc rc = RC_OK;

    va_start(ap, fmt);
    rc = args_add_v(a, e, fmt, ap);
    va_end(ap);
    return rc;
}

enum rc args_add_words(struct args *a, const char *text, struct err *e)
{
    enum rc rc = RC_OK;

    text += strspn(text, " \t");
    while (*text != '\0' && rc == RC_OK) {
        size_t n = strcspn(text, " \t");

        rc = args_add(a, e, "%.*s", (int)n, text);
        text += n;
        text += strspn(text, " \t");
    }
    return rc;
}

enum rc args_add_all(struct args *a, const struct args *b, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < b->n && rc == RC_OK; i++) {
        rc = args_add(a, e, "%s", b->v[i]);
    }
    return rc;
}

/* word as a shell reads it back, on the heap: a quote becomes '\'' within quotes. */
static char *args_quote(const char *word)
{
    char *out = NULL;
    char *at = NULL;

    if (word[0] != '\0' && strpbrk(word, " \t\n\"'$`\\;&|<>()*?[]#~!{}") == NULL) {
        return mem_strdup(word);
    }
    out = mem_calloc(4 * strlen(word) + 3, 1);
    at = out;
    if (out == NULL) {
        return NULL;
    }
    *at++ = '\'';
    for (; *word != '\0'; word++) {
        if (*word == '\'') {
            memcpy(at, "'\\'", 3);
            at += 3;
        }
        *at++ = *word;
    }
    *at = '\'';
    return out;
}

char *args_line(const struct args *a)
{
    char *line = mem_strdup("");

    for (int i = 0; i < a->n && line != NULL; i++) {
        char *word = args_quote(a->v[i]);
        char *longer = word == NULL ? NULL : mem_sprintf("%s%s%s", line, i > 0 ? " " : "", word);

        mem_free(word);
        mem_free(line);
        line = longer;
    }
    return line;
}

void args_release(struct args *a)
{
    for (int i = 0; i < a->n; i++) {
        mem_free(a->v[i]);
    }
    mem_free(a->v);
    *a = (struct args){0};
}

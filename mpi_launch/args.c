#include "mpi_launch/args.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

static enum rc args_add_v(struct args *a, struct err *e, const char *fmt, va_list ap)
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

char *args_line(const struct args *a)
{
    char *line = mem_strdup("");

    for (int i = 0; i < a->n && line != NULL; i++) {
        const char *word = a->v[i];
        bool plain = word[0] != '\0' && strpbrk(word, " \t\"'$`\\;&|<>()*?[]#~!{}") == NULL;
        char *longer = mem_sprintf("%s%s%s%s%s", line, i > 0 ? " " : "", plain ? "" : "'", word,
                                   plain ? "" : "'");

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

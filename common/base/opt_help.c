#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/opt_impl.h"

enum { HELP_INDENT = 4, HELP_COLUMN = 32, HELP_NAME_MAX = 128, HELP_TEXT_MAX = 1024 };

/* Columns to use: the terminal's within [80, 100], 80 in a file. */
static int opt_help_width(void)
{
    struct winsize size = {0};

    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) {
        return 80;
    }
    return size.ws_col < 80 ? 80 : size.ws_col > 100 ? 100 : size.ws_col;
}

/* One paragraph, its words wrapped; at: the column where the cursor is. */
static void opt_help_wrap(const char *text, size_t n, int at, int indent, int width)
{
    size_t i = 0;

    while (i < n) {
        size_t word = 0;

        while (i < n && (text[i] == ' ' || text[i] == '\n')) {
            i++;
        }
        while (i + word < n && text[i + word] != ' ' && text[i + word] != '\n') {
            word++;
        }
        if (word == 0) {
            break;
        }
        if (at > indent && at + 1 + (int)word > width) {
            (void)putchar('\n');
            at = 0;
        }
        if (at > indent) {
            (void)putchar(' ');
            at++;
        }
        for (; at < indent; at++) {
            (void)putchar(' ');
        }
        (void)printf("%.*s", (int)word, text + i);
        at += (int)word;
        i += word;
    }
    (void)putchar('\n');
}

/* Bytes of the paragraph at text: up to an empty or an indented line. */
static size_t opt_help_paragraph(const char *text)
{
    size_t n = 0;

    if (*text == '\n') {
        return 0;
    }
    do {
        n += strcspn(text + n, "\n");
        if (text[n] == '\0' || text[n + 1] == '\n' || text[n + 1] == ' ' || text[n + 1] == '\0') {
            return n;
        }
        n++;
    } while (true);
}

/* Paragraphs are filled; indented lines stand as they are. */
static void opt_help_section(const char *title, const char *text, int width)
{
    (void)printf("\n%s\n", title);
    while (*text != '\0') {
        size_t n = *text == ' ' ? strcspn(text, "\n") : opt_help_paragraph(text);

        if (n == 0) {
            (void)putchar('\n');
        } else if (*text == ' ') {
            (void)printf("%*s%.*s\n", HELP_INDENT, "", (int)n, text);
        } else {
            opt_help_wrap(text, n, 0, HELP_INDENT, width);
        }
        text += n + (text[n] == '\n');
    }
}

static void opt_help_examples(const char *text)
{
    (void)printf("\nEXAMPLES\n");
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");

        (void)printf("%*s%.*s\n", n == 0 ? 0 : HELP_INDENT, "", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

/* A flag that is off unless given: its default goes without saying. */
static bool opt_help_is_off(const struct opt *o)
{
    return o->type == OPT_BOOL && strcmp(o->def == NULL ? "false" : o->def, "true") != 0;
}

static void opt_help_text(const struct opt *o, char *buf, size_t size)
{
    char expected[OPT_TEXT_MAX] = "";
    bool ranged = o->min < 0 || o->min > 0 || o->max < 0 || o->max > 0;
    bool shown = o->def != NULL && o->def[0] != '\0' && !opt_help_is_off(o);

    if (o->type == OPT_ENUM || (ranged && o->type != OPT_BOOL && o->type != OPT_STR)) {
        opt_value_expected(o, expected, sizeof expected);
    }
    (void)snprintf(buf, size, "%s%s%s%s%s%s", o->help, expected[0] == '\0' ? "" : "; ", expected,
                   shown ? " [" : "", shown ? o->def : "", shown ? "]" : "");
}

static void opt_help_option(const struct opt *o, int width)
{
    char name[HELP_NAME_MAX];
    char text[HELP_TEXT_MAX];
    const char *value = o->type == OPT_BOOL ? "" : o->arg == NULL ? "VALUE" : o->arg;
    int at = 0;

    (void)snprintf(name, sizeof name, "--%s%s",
                   o->type == OPT_BOOL && !opt_help_is_off(o) ? "[no-]" : "", o->name);
    for (char *c = name; *c != '\0'; c++) {
        *c = *c == '_' ? '-' : *c;
    }
    (void)snprintf(name + strlen(name), sizeof name - strlen(name), "%s%s",
                   value[0] == '\0' ? "" : " ", value);
    opt_help_text(o, text, sizeof text);
    at = printf("%*s%s", HELP_INDENT, "", name);
    if (at + 2 > HELP_COLUMN) {
        (void)putchar('\n');
        at = 0;
    }
    opt_help_wrap(text, strlen(text), at, HELP_COLUMN, width);
}

static size_t opt_help_group(const struct opt *o)
{
    const char *dot = strchr(o->name, '.');

    return dot == NULL ? 0 : (size_t)(dot - o->name);
}

/* Options without a prefix first, then each prefix in the order of its first option. */
static void opt_help_options(const struct opt *table, int width)
{
    (void)printf("\nOPTIONS\n");
    for (const struct opt *o = table; o->name != NULL; o++) {
        if (opt_help_group(o) == 0) {
            opt_help_option(o, width);
        }
    }
    (void)printf("    --help, -h%*sthis text\n", HELP_COLUMN - HELP_INDENT - 10, "");
    for (const struct opt *o = table; o->name != NULL; o++) {
        size_t n = opt_help_group(o);
        bool first = n > 0;

        for (const struct opt *p = table; p < o && first; p++) {
            first = opt_help_group(p) != n || strncmp(p->name, o->name, n) != 0;
        }
        if (!first) {
            continue;
        }
        (void)printf("\n  %.*s\n", (int)n, o->name);
        for (const struct opt *p = o; p->name != NULL; p++) {
            if (opt_help_group(p) == n && strncmp(p->name, o->name, n) == 0) {
                opt_help_option(p, width);
            }
        }
    }
}

void opts_help(const struct opt_usage *usage, const struct opt *table)
{
    int width = opt_help_width();
    char line[HELP_TEXT_MAX];

    (void)printf("NAME\n");
    (void)snprintf(line, sizeof line, "preceptor %s - %s", usage->verb, usage->summary);
    opt_help_wrap(line, strlen(line), 0, HELP_INDENT, width);
    (void)snprintf(line, sizeof line, "preceptor %s %s", usage->verb, usage->synopsis);
    opt_help_section("SYNOPSIS", line, width);
    if (usage->description != NULL) {
        opt_help_section("DESCRIPTION", usage->description, width);
    }
    opt_help_options(table, width);
    if (usage->examples != NULL) {
        opt_help_examples(usage->examples);
    }
}

#include "mpi_launch/recipe.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/nearest.h"
#include "common/base/yaml.h"

/* A kind of section: whose options it holds, and which of them `run` gives itself. */
struct recipe_section {
    const char *name;
    const char *verb;  /* NULL: not a stage's */
    const char *own;   /* comma-separated options that `run` sets */
    const char *extra; /* comma-separated keys that are no options of the verb */
    bool numbered;     /* NAME2 ... NAME9 differ by generation */
};

static const struct recipe_section recipe_sections[] = {
    {"", NULL, "", "", false},
    {"run", NULL, "", "", false},
    {"pack.labeled", "pack", "out,json", "source,corpus", false},
    {"pack.unlabeled", "pack", "out,json", "source,corpus", false},
    {"pack.eval", "pack", "out,json", "source,corpus", false},
    {"teacher", "train", "out,data,unlabeled,labels,selection,json,recipe,section,dry_run,resume",
     "weights", false},
    {"label", "label", "model,data,out,json", "", true},
    {"select", "select", "labels,data,out,json", "", true},
    {"student", "train", "out,data,unlabeled,labels,selection,json,recipe,section,dry_run,resume",
     "", true},
    {"eval", "eval", "model,data,json", "", false},
};
enum { RECIPE_SECTIONS = sizeof recipe_sections / sizeof recipe_sections[0] };

/* Whether name (n characters) stands in a comma-separated list; '-' and '_' are the same. */
static bool recipe_listed(const char *list, const char *name, size_t n)
{
    while (*list != '\0') {
        size_t len = strcspn(list, ",");
        size_t i = 0;

        while (i < n && i < len && (list[i] == name[i] || (list[i] == '_' && name[i] == '-'))) {
            i++;
        }
        if (i == n && len == n) {
            return true;
        }
        list += len + (list[len] == ',');
    }
    return false;
}

/* The section that a full key lies in, *len its length with the number of a generation. */
static const struct recipe_section *recipe_section_of(const char *key, size_t *len)
{
    for (int i = 1; i < RECIPE_SECTIONS; i++) {
        const struct recipe_section *s = &recipe_sections[i];
        size_t n = strlen(s->name);

        if (strncmp(key, s->name, n) != 0) {
            continue;
        }
        if (s->numbered && key[n] >= '2' && key[n] <= '9') {
            n++;
        }
        if (key[n] == '.') {
            *len = n;
            return s;
        }
    }
    return NULL;
}

static const struct recipe_section *recipe_section_named(const char *name)
{
    char key[RECIPE_NAME_MAX + 1];
    size_t len = 0;

    (void)snprintf(key, sizeof key, "%s.", name);
    return recipe_section_of(key, &len);
}

static enum rc recipe_unknown(const char *key, const char *where, struct err *e)
{
    const char *names[RECIPE_SECTIONS + 1];
    char head[RECIPE_NAME_MAX];
    const char *near = NULL;
    const char *dot = strrchr(key, '.');
    size_t n = 0;

    for (int i = 0; i < RECIPE_SECTIONS; i++) {
        names[i] = i == 0 ? "name" : recipe_sections[i].name;
    }
    names[RECIPE_SECTIONS] = NULL;
    n = strncmp(key, "pack.", 5) == 0 ? 5 + strcspn(key + 5, ".") : strcspn(key, ".");
    (void)snprintf(head, sizeof head, "%.*s", (int)n, key);
    near = nearest_name(names, head);
    return err_raise(
        e, RC_USAGE, "%s: unknown %s '%.80s'%s%s%s", where, dot == NULL ? "key" : "section", head,
        near == NULL ? "; expected name, run, pack.labeled, pack.unlabeled, pack.eval, "
                       "teacher, label, select, student or eval"
                     : "; did you mean '",
        near == NULL ? "" : near, near == NULL ? "" : "'?");
}

/* Split a full key into section and key, and append it. */
static enum rc recipe_append(struct recipe *r, const char *full, const char *value,
                             const char *where, struct err *e)
{
    struct recipe_entry entry = {0};
    struct recipe_entry *longer = NULL;
    const struct recipe_section *s = NULL;
    size_t len = 0;

    if (strcmp(full, "name") != 0) {
        s = recipe_section_of(full, &len);
        if (s == NULL && value[0] == '\0' && recipe_section_named(full) != NULL) {
            return RC_OK; /* `label:` with nothing in it */
        }
        if (s == NULL) {
            return recipe_unknown(full, where, e);
        }
    }
    (void)snprintf(entry.section, sizeof entry.section, "%.*s", (int)len, full);
    entry.key = mem_strdup(s == NULL ? full : full + len + 1);
    entry.value = mem_strdup(value);
    entry.where = mem_strdup(where);
    longer = mem_realloc(r->entries, r->n + 1, sizeof *longer);
    if (longer != NULL) {
        r->entries = longer;
        r->entries[r->n++] = entry;
    }
    if (longer == NULL || entry.key == NULL || entry.value == NULL || entry.where == NULL) {
        if (longer == NULL) {
            mem_free(entry.key);
            mem_free(entry.value);
            mem_free(entry.where);
        }
        return mem_raise(e, "a recipe", strlen(full));
    }
    return RC_OK;
}

/* Whether an entry's key is `key` or an element of the list `key`. */
static bool recipe_same_key(const char *entry, const char *key)
{
    size_t n = strlen(key);

    if (strncmp(entry, key, n) != 0) {
        return false;
    }
    if (entry[n] == '.' && entry[n + 1] != '\0') {
        return entry[n + 1 + strspn(entry + n + 1, "0123456789")] == '\0';
    }
    return entry[n] == '\0';
}

static void recipe_drop(struct recipe *r, const char *section, const char *key)
{
    size_t kept = 0;

    for (size_t i = 0; i < r->n; i++) {
        struct recipe_entry *entry = &r->entries[i];

        if (strcmp(entry->section, section) == 0 && recipe_same_key(entry->key, key)) {
            mem_free(entry->key);
            mem_free(entry->value);
            mem_free(entry->where);
        } else {
            r->entries[kept++] = *entry;
        }
    }
    r->n = kept;
}

static enum rc recipe_set(struct recipe *r, const char *text, struct err *e)
{
    const char *equals = strchr(text, '=');
    char section[RECIPE_NAME_MAX] = "";
    char *full = NULL;
    char *where = NULL;
    size_t len = 0;
    enum rc rc = RC_OK;

    if (equals == NULL || equals == text) {
        return err_raise(e, RC_USAGE, "--set needs stage.key=value, got '%.80s'", text);
    }
    full = mem_sprintf("%.*s", (int)(equals - text), text);
    where = mem_sprintf("--set %.*s", (int)(equals - text), text);
    if (full == NULL || where == NULL) {
        rc = mem_raise(e, "a recipe", strlen(text));
        goto out;
    }
    if (recipe_section_of(full, &len) != NULL) {
        (void)snprintf(section, sizeof section, "%.*s", (int)len, full);
        recipe_drop(r, section, full + len + 1);
    }
    rc = recipe_append(r, full, equals + 1, where, e);
out:
    mem_free(full);
    mem_free(where);
    return rc;
}

enum rc recipe_load(const char *path, const struct args *sets, struct recipe *out, struct err *e)
{
    struct yaml_doc doc = {0};
    struct recipe r = {0};
    enum rc rc = yaml_load(path, &doc, e);

    if (rc != RC_OK) {
        return rc;
    }
    r.path = mem_strdup(path);
    if (r.path == NULL) {
        rc = mem_raise(e, "a recipe", strlen(path));
    }
    for (size_t i = 0; i < doc.n && rc == RC_OK; i++) {
        char *where = mem_sprintf("%s:%d", path, doc.entries[i].line);

        rc = where == NULL ? mem_raise(e, "a recipe", strlen(path))
                           : recipe_append(&r, doc.entries[i].key, doc.entries[i].value, where, e);
        mem_free(where);
    }
    for (int i = 0; i < sets->n && rc == RC_OK; i++) {
        rc = recipe_set(&r, sets->v[i], e);
    }
    yaml_release(&doc);
    if (rc != RC_OK) {
        recipe_release(&r);
        return rc;
    }
    *out = r;
    return RC_OK;
}

void recipe_release(struct recipe *r)
{
    for (size_t i = 0; i < r->n; i++) {
        mem_free(r->entries[i].key);
        mem_free(r->entries[i].value);
        mem_free(r->entries[i].where);
    }
    mem_free(r->entries);
    mem_free(r->path);
    *r = (struct recipe){0};
}

static enum rc recipe_check_entry(const struct recipe_section *s, const struct recipe_entry *entry,
                                  const struct opt *table, void *cfg, struct err *e)
{
    size_t head = strcspn(entry->key, ".");

    if (recipe_listed(s->extra, entry->key, head)) {
        return RC_OK;
    }
    if (recipe_listed(s->own, entry->key, strlen(entry->key))) {
        return err_raise(e, RC_USAGE,
                         "%s: '%s.%s' is set by `run` itself: leave it out of the recipe",
                         entry->where, entry->section, entry->key);
    }
    return opts_set(table, cfg, entry->key, entry->value, entry->where, e);
}

static enum rc recipe_check_section(const struct recipe *r, const struct recipe_section *s,
                                    const struct verb *verb, struct err *e)
{
    void *cfg = mem_calloc(1, verb->options_bytes);
    enum rc rc = RC_OK;

    if (cfg == NULL) {
        return mem_raise(e, "options", verb->options_bytes);
    }
    rc = opts_init(verb->options, cfg, e);
    for (size_t i = 0; i < r->n && rc == RC_OK; i++) {
        if (recipe_section_named(r->entries[i].section) == s) {
            rc = recipe_check_entry(s, &r->entries[i], verb->options, cfg, e);
        }
    }
    opts_release(verb->options, cfg);
    mem_free(cfg);
    return rc;
}

enum rc recipe_check(const struct recipe *r, const struct verb *(*find)(const char *),
                     struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < RECIPE_SECTIONS && rc == RC_OK; i++) {
        const struct recipe_section *s = &recipe_sections[i];
        const struct verb *verb = s->verb == NULL ? NULL : find(s->verb);

        if (verb != NULL && verb->options != NULL) {
            rc = recipe_check_section(r, s, verb, e);
        }
    }
    return rc;
}

enum rc recipe_apply(const struct recipe *r, const char *section, const struct opt *table,
                     void *cfg, struct err *e)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i < r->n && rc == RC_OK; i++) {
        const struct recipe_entry *entry = &r->entries[i];

        if (strcmp(entry->section, section) == 0) {
            rc = opts_set(table, cfg, entry->key, entry->value, entry->where, e);
        }
    }
    return rc;
}

static bool recipe_overridden(const struct recipe *r, const char *section, const char *key)
{
    for (size_t i = 0; i < r->n; i++) {
        if (strcmp(r->entries[i].section, section) == 0 && strcmp(r->entries[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

enum rc recipe_options(const struct recipe *r, const char *section, int generation,
                       struct args *out, struct err *e)
{
    const struct recipe_section *s = recipe_section_named(section);
    char later[RECIPE_NAME_MAX + 12];
    enum rc rc = RC_OK;

    (void)snprintf(later, sizeof later, "%s%d", section, generation);
    for (size_t i = 0; i < r->n && rc == RC_OK; i++) {
        const struct recipe_entry *entry = &r->entries[i];
        bool base = strcmp(entry->section, section) == 0;
        bool own = generation >= 2 && strcmp(entry->section, later) == 0;

        if ((!base && !own) || recipe_listed(s->extra, entry->key, strcspn(entry->key, ".")) ||
            (base && generation >= 2 && recipe_overridden(r, later, entry->key))) {
            continue;
        }
        rc = args_add(out, e, "--%s=%s", entry->key, entry->value);
    }
    return rc;
}

enum rc recipe_values(const struct recipe *r, const char *section, const char *key,
                      struct args *out, struct err *e)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i < r->n && rc == RC_OK; i++) {
        const struct recipe_entry *entry = &r->entries[i];

        if (strcmp(entry->section, section) == 0 && recipe_same_key(entry->key, key)) {
            rc = args_add(out, e, "%s", entry->value);
        }
    }
    return rc;
}

bool recipe_has(const struct recipe *r, const char *section)
{
    for (size_t i = 0; i < r->n; i++) {
        if (strcmp(r->entries[i].section, section) == 0) {
            return true;
        }
    }
    return false;
}

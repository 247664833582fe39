#include "common/base/opt.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/nearest.h"
#include "common/base/opt_impl.h"
#include "common/base/yaml.h"

enum { OPT_NAME_MAX = 96 };

/* Where a value comes from, for its messages: the prefix says the place, dashes how names look. */
struct opt_origin {
    enum rc rc;         /* of a wrong name or value */
    const char *where;  /* "recipe.yaml:12", "--set lr", "--lr" */
    const char *dashes; /* "--" for names of the command line, else "" */
};

static char opt_fold(char c)
{
    return c == '-' ? '_' : c;
}

static bool opt_same_name(const char *a, const char *b)
{
    for (; *a != '\0' && opt_fold(*a) == opt_fold(*b); a++, b++) {
    }
    return *a == '\0' && *b == '\0';
}

static const struct opt *opt_find(const struct opt *table, const char *name)
{
    for (; table->name != NULL; table++) {
        if (opt_same_name(table->name, name)) {
            return table;
        }
    }
    return NULL;
}

/* The known name nearest to a wrong one, or NULL when none is near. "lr" is near "train.lr". */
static const char *opt_nearest(const struct opt *table, const char *name)
{
    const char *best = NULL;
    size_t best_distance = strlen(name) / 3 + 2;

    for (; table->name != NULL; table++) {
        const char *dot = strrchr(table->name, '.');
        size_t distance = nearest_distance(name, table->name);

        if (dot != NULL && nearest_distance(name, dot + 1) < distance) {
            distance = nearest_distance(name, dot + 1);
        }
        if (distance < best_distance) {
            best_distance = distance;
            best = table->name;
        }
    }
    return best;
}

static enum rc opt_unknown(const struct opt *table, const char *name, const struct opt_origin *from,
                           struct err *e)
{
    const char *near = opt_nearest(table, name);
    bool placed = from->dashes[0] == '\0';

    return err_raise(e, from->rc, "%s%sunknown option '%s%.*s'%s%s%s%s", placed ? from->where : "",
                     placed ? ": " : "", from->dashes, OPT_NAME_MAX, name,
                     near == NULL ? "; --help lists the known ones" : "; did you mean '",
                     near == NULL ? "" : from->dashes, near == NULL ? "" : near,
                     near == NULL ? "" : "'?");
}

static enum rc opt_assign(const struct opt *o, void *cfg, const char *value,
                          const struct opt_origin *from, struct err *e)
{
    char expected[OPT_TEXT_MAX];
    bool nomem = false;

    if (opt_value_set(o, cfg, value, &nomem)) {
        return RC_OK;
    }
    if (nomem) {
        return mem_raise(e, o->name, strlen(value));
    }
    opt_value_expected(o, expected, sizeof expected);
    return err_raise(e, from->rc, "%s: '%.80s' is not a value of '%s': expected %s", from->where,
                     value, o->name, expected);
}

static enum rc opt_assign_name(const struct opt *table, void *cfg, const char *name,
                               const char *value, const struct opt_origin *from, struct err *e)
{
    const struct opt *o = opt_find(table, name);

    return o == NULL ? opt_unknown(table, name, from, e) : opt_assign(o, cfg, value, from, e);
}

enum rc opts_set(const struct opt *table, void *cfg, const char *name, const char *value,
                 const char *where, struct err *e)
{
    const struct opt_origin from = {RC_USAGE, where, ""};

    return opt_assign_name(table, cfg, name, value, &from, e);
}

enum rc opts_init(const struct opt *table, void *cfg, struct err *e)
{
    static const size_t sizes[] = {
        [OPT_BOOL] = sizeof(bool), [OPT_INT] = sizeof(int64_t), [OPT_SIZE] = sizeof(int64_t),
        [OPT_F32] = sizeof(float), [OPT_F64] = sizeof(double),  [OPT_STR] = sizeof(char *),
        [OPT_ENUM] = sizeof(int)};

    for (const struct opt *o = table; o->name != NULL; o++) {
        memset((char *)cfg + o->offset, 0, sizes[o->type]);
    }
    for (const struct opt *o = table; o->name != NULL; o++) {
        bool nomem = false;

        if (o->def == NULL || opt_value_set(o, cfg, o->def, &nomem)) {
            continue;
        }
        assert(nomem && "the default of an option is not one of its values");
        opts_release(table, cfg);
        return mem_raise(e, o->name, strlen(o->def));
    }
    return RC_OK;
}

void opts_release(const struct opt *table, void *cfg)
{
    for (; table->name != NULL; table++) {
        if (table->type == OPT_STR) {
            mem_free(*opt_value_string(table, cfg));
            *opt_value_string(table, cfg) = NULL;
        }
    }
}

static enum rc opt_parse_set(const struct opt *table, void *cfg, const char *text, struct err *e)
{
    const char *equals = text == NULL ? NULL : strchr(text, '=');
    struct opt_origin from = {RC_USAGE, "--set", ""};
    char name[OPT_NAME_MAX + 1];

    if (equals == NULL || equals == text || equals - text > OPT_NAME_MAX) {
        return err_raise(e, RC_USAGE, "--set needs name=value, got '%.80s'",
                         text == NULL ? "" : text);
    }
    memcpy(name, text, (size_t)(equals - text));
    name[equals - text] = '\0';
    return opt_assign_name(table, cfg, name, equals + 1, &from, e);
}

/* The flag that "no-NAME" switches off, or NULL. */
static const struct opt *opt_find_negated(const struct opt *table, const char *name)
{
    if (strncmp(name, "no-", 3) != 0 && strncmp(name, "no_", 3) != 0) {
        return NULL;
    }
    return opt_find(table, name + 3);
}

static bool opt_is_word(const char *arg)
{
    return arg != NULL && strncmp(arg, "--", 2) != 0;
}

/* argv[*i] is an option other than --help; *i moves to the last argument that it took. */
static enum rc opt_parse_one(const struct opt *table, void *cfg, int argc, char **argv, int *i,
                             struct err *e)
{
    const char *arg = argv[*i];
    const char *next = *i + 1 < argc ? argv[*i + 1] : NULL;
    const char *equals = strchr(arg, '=');
    size_t n = equals == NULL ? strlen(arg) : (size_t)(equals - arg);
    char spelled[OPT_NAME_MAX + 3];
    const struct opt_origin from = {RC_USAGE, spelled, "--"};
    const struct opt *o = NULL;
    bool off = false;

    if (n >= sizeof spelled || n < 3 || strncmp(arg, "--", 2) != 0) {
        return err_raise(e, RC_USAGE, "unknown option '%.80s'; --help lists the known ones", arg);
    }
    memcpy(spelled, arg, n);
    spelled[n] = '\0';
    if (strcmp(spelled, "--set") == 0 && opt_find(table, "set") == NULL) {
        *i += equals == NULL && next != NULL;
        return opt_parse_set(table, cfg, equals == NULL ? next : equals + 1, e);
    }
    o = opt_find(table, spelled + 2);
    if (o == NULL) {
        o = opt_find_negated(table, spelled + 2);
        off = o != NULL;
    }
    if (o == NULL) {
        return opt_unknown(table, spelled + 2, &from, e);
    }
    if (off && (o->type != OPT_BOOL || equals != NULL)) {
        return err_raise(e, RC_USAGE, "%s: only a flag can be switched off, and '%s' %s", spelled,
                         o->name, o->type == OPT_BOOL ? "takes no value then" : "is none");
    }
    if (equals != NULL) {
        return opt_assign(o, cfg, equals + 1, &from, e);
    }
    if (o->type == OPT_BOOL) {
        return opt_assign(o, cfg, off ? "false" : "true", &from, e);
    }
    if (!opt_is_word(next)) {
        return err_raise(e, RC_USAGE, "%s needs a value: %s", spelled,
                         o->arg == NULL ? "VALUE" : o->arg);
    }
    ++*i;
    return opt_assign(o, cfg, next, &from, e);
}

enum rc opts_parse(const struct opt *table, void *cfg, int argc, char **argv,
                   const char **positionals, int *n_positionals, bool *help, struct err *e)
{
    bool options = true;
    int n = 0;

    *help = false;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        enum rc rc = RC_OK;

        if (options && strcmp(arg, "--") == 0) {
            options = false;
        } else if (options && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
            *help = true;
            break;
        } else if (options && arg[0] == '-' && arg[1] != '\0') {
            rc = opt_parse_one(table, cfg, argc, argv, &i, e);
        } else {
            positionals[n++] = arg;
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    *n_positionals = n;
    return RC_OK;
}

/* `lr: [1, 2]` where lr is one value: its key is "lr.0". */
static const struct opt *opt_find_parent(const struct opt *table, const char *key)
{
    for (; table->name != NULL; table++) {
        size_t n = strlen(table->name);

        if (strncmp(table->name, key, n) == 0 && key[n] == '.') {
            return table;
        }
    }
    return NULL;
}

static enum rc opt_load_entry(const struct opt *table, void *cfg, const char *path,
                              const struct yaml_entry *entry, struct err *e)
{
    const struct opt *parent = opt_find_parent(table, entry->key);
    char where[ERR_MSG_MAX / 2];
    const struct opt_origin from = {RC_INVAL, where, ""};

    (void)snprintf(where, sizeof where, "%s:%d", path, entry->line);
    if (opt_find(table, entry->key) == NULL && parent != NULL) {
        return err_raise(e, RC_INVAL, "%s: '%s' takes one value, not a list or a mapping", where,
                         parent->name);
    }
    return opt_assign_name(table, cfg, entry->key, entry->value, &from, e);
}

enum rc opts_load_yaml(const struct opt *table, void *cfg, const char *path, struct err *e)
{
    struct yaml_doc doc = {0};
    enum rc rc = yaml_load(path, &doc, e);

    for (size_t i = 0; i < doc.n && rc == RC_OK; i++) {
        rc = opt_load_entry(table, cfg, path, &doc.entries[i], e);
    }
    yaml_release(&doc);
    return rc;
}

/* text in YAML's double quotes on the heap: four bytes for each at worst. */
static char *opt_quote(const char *text)
{
    char *out = mem_calloc(4 * strlen(text) + 3, 1);
    char *at = out;

    if (out == NULL) {
        return NULL;
    }
    *at++ = '"';
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == 0x7f) {
            at += snprintf(at, 5, "\\x%02X", c);
            continue;
        }
        if (c == '"' || c == '\\') {
            *at++ = '\\';
        }
        *at++ = (char)c;
    }
    *at++ = '"';
    return out;
}

static char *opt_dump_line(const struct opt *o, const void *cfg)
{
    char text[OPT_TEXT_MAX] = "";
    char *quoted = NULL;
    char *line = NULL;
    char *string = NULL;

    if (o->type != OPT_STR) {
        opt_value_format(o, cfg, text, sizeof text);
        return mem_sprintf("%s: %s  # %s\n", o->name, text, o->help);
    }
    memcpy(&string, (const char *)cfg + o->offset, sizeof string);
    if (string == NULL) {
        return mem_sprintf("# %s: not set  # %s\n", o->name, o->help);
    }
    quoted = opt_quote(string);
    if (quoted != NULL) {
        line = mem_sprintf("%s: %s  # %s\n", o->name, quoted, o->help);
    }
    mem_free(quoted);
    return line;
}

enum rc opts_dump_yaml(const struct opt *table, const void *cfg, char **out, struct err *e)
{
    char *text = mem_strdup("");

    for (; table->name != NULL && text != NULL; table++) {
        char *line = opt_dump_line(table, cfg);
        char *longer = line == NULL ? NULL : mem_sprintf("%s%s", text, line);

        mem_free(line);
        mem_free(text);
        text = longer;
    }
    if (text == NULL) {
        return mem_raise(e, "the resolved options", OPT_TEXT_MAX);
    }
    *out = text;
    return RC_OK;
}

enum rc opts_parse_only(const struct opt *table, void *cfg, int argc, char **argv, const char *verb,
                        bool *help, struct err *e)
{
    const char **rest = mem_calloc((size_t)argc + 1, sizeof *rest);
    int n = 0;
    enum rc rc = RC_OK;

    if (rest == NULL) {
        return mem_raise(e, "the command line", (size_t)argc);
    }
    rc = opts_parse(table, cfg, argc, argv, rest, &n, help, e);
    if (rc == RC_OK && !*help && n > 0) {
        rc = err_raise(e, RC_USAGE, "%s takes options alone, but got '%s': see preceptor %s --help",
                       verb, rest[0], verb);
    }
    mem_free(rest);
    return rc;
}

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "shards/lineage.h"
#include "shards/shards_verbs.h"

struct lineage_options {
    bool json;
};

#define AT(field) offsetof(struct lineage_options, field)

/* clang-format off */
static const struct opt lineage_opts[] = {
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print the result as JSON"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage lineage_usage = {
    .verb = "lineage",
    .summary = "where an image came from, who labeled it with what, and what used it",
    .synopsis = "KEY|FILE [DIR...] [options]",
    .description =
        "KEY is an image's key (32 hex digits) or the SHA-256 of its file; of a FILE the\n"
        "key is computed. Stores are looked for in the folders named and below them\n"
        "(none: the one you are in), and joined by digests: they may have moved.\n"
        "Times are those of the sealed files. An image that no corpus knows is an\n"
        "error.",
    .examples = "preceptor lineage 1dcee1a5ac16ac698f5f693a5bc94f1f runs/demo\n"
                "preceptor lineage photo.jpg /data/dump runs --json"};

/* "a" or, where it is no text, "a_hex". */
static const char *lineage_text(const json_t *o, const char *name)
{
    char hex[64];
    const char *text = json_string_value(json_object_get(o, name));

    (void)snprintf(hex, sizeof hex, "%s_hex", name);
    text = text != NULL ? text : json_string_value(json_object_get(o, hex));
    return text != NULL ? text : "-";
}

static long long lineage_number(const json_t *o, const char *name)
{
    return (long long)json_integer_value(json_object_get(o, name));
}

static void lineage_print_corpus(const json_t *o)
{
    const json_t *sources = json_object_get(o, "sources");

    printf("corpus     %s: image %lld of shard %lld, %lld bytes, sealed %s\n",
           lineage_text(o, "corpus"), lineage_number(o, "position"), lineage_number(o, "shard"),
           lineage_number(o, "bytes"), lineage_text(o, "sealed"));
    for (size_t i = 0; i < json_array_size(sources); i++) {
        const json_t *s = json_array_get(sources, i);
        const char *cls = json_string_value(json_object_get(s, "class"));

        printf("  source   %s%s%s%s\n", lineage_text(s, "source"), cls != NULL ? ", class " : "",
               cls != NULL ? cls : "",
               json_is_true(json_object_get(s, "later")) ? " (met again later)" : "");
    }
    if (json_object_get(o, "forgotten") != NULL || json_object_get(o, "forgotten_hex") != NULL) {
        printf("  forgotten %s\n", lineage_text(o, "forgotten"));
    }
}

static void lineage_print_label(const json_t *o)
{
    printf("label      %s: ", lineage_text(o, "store"));
    if (json_object_get(o, "bad") != NULL) {
        printf("none, it cannot be decoded: %s (%s)\n", lineage_text(o, "bad"),
               lineage_text(o, "detail"));
    } else if (json_is_true(json_object_get(o, "empty"))) {
        printf("none, it was forgotten before\n");
    } else {
        printf("%s, %.4f\n", lineage_text(o, "class"),
               json_real_value(json_object_get(o, "confidence")));
    }
    printf("  teacher  %s, weights %.16s..., %s on %s, sealed %s\n", lineage_text(o, "model"),
           lineage_text(o, "weights"), lineage_text(o, "precision"), lineage_text(o, "isa"),
           lineage_text(o, "sealed"));
    printf("  pixels   %s\n", lineage_text(o, "preprocessing"));
}

static void lineage_print_selection(const json_t *o)
{
    printf("selection  %s: %lld cop%s as %s (%s)\n", lineage_text(o, "selection"),
           lineage_number(o, "copies"), lineage_number(o, "copies") == 1 ? "y" : "ies",
           lineage_text(o, "class"), lineage_text(o, "rule"));
}

static void lineage_print_run(const json_t *o)
{
    printf("run        %s: as %s", lineage_text(o, "run"), lineage_text(o, "as"));
    if (strcmp(lineage_text(o, "selection"), "-") != 0) {
        printf(", by %s", lineage_text(o, "selection"));
    }
    printf("\n");
}

static void lineage_print_quarantine(const json_t *o)
{
    printf("quarantine %s: %s, %s (%s)\n", lineage_text(o, "corpus"), lineage_text(o, "source"),
           lineage_text(o, "reason"), lineage_text(o, "detail"));
}

static void lineage_print_unreadable(const json_t *o)
{
    printf("unreadable %s: %s\n", lineage_text(o, "store"), lineage_text(o, "reason"));
}

static void lineage_print(const json_t *root)
{
    static const struct {
        const char *name;
        void (*print)(const json_t *o);
        const char *none;
    } parts[] = {{"corpora", lineage_print_corpus, NULL},
                 {"quarantine", lineage_print_quarantine, NULL},
                 {"labels", lineage_print_label, "label      none"},
                 {"selections", lineage_print_selection, "selection  none"},
                 {"runs", lineage_print_run, "run        none"},
                 {"unreadable", lineage_print_unreadable, NULL}};

    printf("image      %s\n", lineage_text(root, "key"));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const json_t *list = json_object_get(root, parts[i].name);

        for (size_t k = 0; k < json_array_size(list); k++) {
            parts[i].print(json_array_get(list, k));
        }
        if (json_array_size(list) == 0 && parts[i].none != NULL) {
            printf("%s\n", parts[i].none);
        }
    }
}

/* A file's own bytes say its key; else the text is one. */
static enum rc lineage_key(const char *what, struct key128 *key, struct err *e)
{
    struct digest d;
    enum rc rc = RC_OK;

    if (fs_exists(what)) {
        rc = hash_file(what, &d, e);
        memcpy(key, &d, rc == RC_OK ? sizeof *key : 0);
        return rc;
    }
    if (hash_digest_parse(what, &d, NULL) == RC_OK) {
        memcpy(key, &d, sizeof *key);
        return RC_OK;
    }
    return hash_key_parse(what, key, NULL) == RC_OK
               ? RC_OK
               : err_raise(e, RC_INVAL, "'%s' is neither a file nor a key of 32 hex digits", what);
}

static enum rc lineage_all(const struct lineage_options *o, const char *const *words, int n,
                           struct err *e)
{
    static const char *const here[] = {"."};
    struct key128 key;
    json_t *root = NULL;
    enum rc rc = lineage_key(words[0], &key, e);

    if (rc == RC_OK) {
        rc = lineage_find(n > 1 ? words + 1 : here, n > 1 ? n - 1 : 1, &key, &root, e);
    }
    if (rc == RC_OK && !o->json) {
        lineage_print(root);
    } else if (rc == RC_OK) {
        return verb_print_json(root, e);
    }
    json_decref(root);
    return rc;
}

static enum rc lineage_line(const void *options, const char *const words[], int n,
                            const struct verb_call *call, struct err *e)
{
    (void)call;
    return n > 0 ? lineage_all(options, words, n, e)
                 : err_raise(e, RC_USAGE,
                             "lineage needs a KEY or FILE: see preceptor lineage --help");
}

static enum rc lineage_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_lineage, &lineage_usage, lineage_line, true};

    return verb_do(call, &line, e);
}

const struct verb verb_lineage = {
    "lineage",    "where an image came from, who labeled it, what used it",
    lineage_main, false,
    lineage_opts, sizeof(struct lineage_options)};

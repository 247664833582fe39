/* What a guard found and covered, as lines and as a claim in a manifest. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/guard.h"
#include "shards/json_bytes.h"

static const size_t GUARD_LIST_MAX = (size_t)1 << 36;

static enum rc guard_line(const struct guard *g, const char *corpus, const struct guard_hit *hit,
                          char **out, struct err *e)
{
    char key[HASH_HEX_KEY];
    char near[HASH_HEX_KEY];
    json_t *o = NULL;
    enum rc rc = RC_OK;

    hash_key_hex(&hit->key, key);
    hash_key_hex(&hit->near, near);
    o = json_pack("{s:s,s:s,s:I}", "key", key, "near", near, "distance", (json_int_t)hit->distance);
    rc = o != NULL ? json_bytes_set(o, "corpus", corpus, strlen(corpus), e)
                   : mem_raise(e, "a line", 0);
    if (rc == RC_OK) {
        rc = json_bytes_set(o, "evaluation", guard_path(g), strlen(guard_path(g)), e);
    }
    if (rc == RC_OK) {
        *out = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
        rc = *out != NULL ? RC_OK : mem_raise(e, "a line", 0);
    }
    json_decref(o);
    return rc;
}

enum rc guard_lines(const struct guard *g, const char *corpus, const struct guard_hit *hits,
                    size_t n, char **text, size_t *bytes, struct err *e)
{
    size_t room = *bytes;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        char *line = NULL;
        size_t more = 0;

        rc = guard_line(g, corpus, &hits[i], &line, e);
        more = rc == RC_OK ? strlen(line) + 1 : 0;
        if (rc == RC_OK && *bytes + more > room) {
            char *longer = mem_realloc(*text, 2 * room + more, 1);

            rc = longer != NULL ? RC_OK : mem_raise(e, "lines of a guard", 2 * room + more);
            *text = longer != NULL ? longer : *text;
            room = 2 * room + more;
        }
        if (rc == RC_OK) {
            memcpy(*text + *bytes, line, more - 1);
            (*text)[*bytes + more - 1] = '\n';
            *bytes += more;
        }
        free(line);
    }
    return rc;
}

enum rc guard_list_write(const char *dir, const char *prefix, const char *text, size_t bytes,
                         char name[GUARD_NAME], struct err *e)
{
    char hex[HASH_HEX_DIGEST];
    struct digest d;
    struct digest is;
    char *path = NULL;
    enum rc rc = RC_OK;

    hash_digest(text, bytes, &d);
    hash_digest_hex(&d, hex);
    (void)snprintf(name, GUARD_NAME, "%s%.16s.jsonl", prefix, hex);
    path = fs_join(dir, name);
    if (path == NULL) {
        rc = mem_raise(e, "a path", strlen(dir));
    } else if (!fs_exists(path) || hash_file(path, &is, NULL) != RC_OK ||
               memcmp(&is, &d, sizeof d) != 0) { /* else it is there */
        rc = fs_write_atomic(path, text, bytes, e);
    }
    mem_free(path);
    return rc;
}

static bool guard_named(const json_t *claims, const char *name)
{
    for (size_t i = 0; i < json_array_size(claims); i++) {
        const json_t *list = json_object_get(json_array_get(claims, i), "list");
        const char *is = json_string_value(json_object_get(list, "name"));

        if (is != NULL && strcmp(is, name) == 0) {
            return true;
        }
    }
    return false;
}

void guard_list_sweep(const char *dir, const char *prefix, const json_t *claims)
{
    DIR *d = opendir(dir);
    const struct dirent *entry = NULL;

    while (d != NULL && (entry = readdir(d)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
            strlen(entry->d_name) == strlen(prefix) + strlen("0123456789abcdef.jsonl") &&
            !guard_named(claims, entry->d_name)) {
            (void)unlinkat(dirfd(d), entry->d_name, 0);
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
}

enum rc guard_claim(const struct guard *g, int shards, uint64_t removed, const char *list,
                    const char *text, size_t bytes, json_t **out, struct err *e)
{
    char evaluation[HASH_HEX_DIGEST];
    char lines[HASH_HEX_DIGEST];
    struct digest d;
    json_t *o = NULL;
    enum rc rc = RC_OK;

    guard_digest(g, &d);
    hash_digest_hex(&d, evaluation);
    hash_digest(text, bytes, &d);
    hash_digest_hex(&d, lines);
    o = json_pack("{s:s,s:i,s:i,s:I,s:{s:s,s:I,s:s}}", "digest", evaluation, "radius",
                  guard_radius(g), "shards", shards, "removed", (json_int_t)removed, "list", "name",
                  list, "bytes", (json_int_t)bytes, "digest", lines);
    rc = o != NULL ? json_bytes_set(o, "evaluation", guard_path(g), strlen(guard_path(g)), e)
                   : mem_raise(e, "a guard's claim", 0);
    if (rc != RC_OK) {
        json_decref(o);
        return rc;
    }
    *out = o;
    return RC_OK;
}

json_t *guard_claim_of(const struct guard *g, const json_t *claims)
{
    struct digest want;

    guard_digest(g, &want);
    for (size_t i = 0; i < json_array_size(claims); i++) {
        json_t *o = json_array_get(claims, i);
        struct digest d;
        int64_t radius = 0;

        if (json_get_digest(o, "", "digest", &d, NULL) == RC_OK &&
            json_get_int(o, "", "radius", &radius, NULL) == RC_OK && radius == guard_radius(g) &&
            memcmp(&d, &want, sizeof d) == 0) {
            return o;
        }
    }
    return NULL;
}

enum rc guard_claim_list(const char *dir, const json_t *claim, char **text, size_t *bytes,
                         struct err *e)
{
    const json_t *list = json_object_get(claim, "list");
    const char *name = NULL;
    struct digest said;
    struct digest is;
    int64_t size = 0;
    size_t n = 0;
    char *path = NULL;
    char *data = NULL;
    enum rc rc = json_get_string(list, dir, "name", &name, e);

    if (rc == RC_OK && strchr(name, '/') != NULL) {
        rc = err_raise(e, RC_CORRUPT, "'%s': a guard's list is called '%s'", dir, name);
    }
    if (rc != RC_OK || (rc = json_get_digest(list, dir, "digest", &said, e)) != RC_OK ||
        (rc = json_get_int(list, dir, "bytes", &size, e)) != RC_OK) {
        return rc;
    }
    path = fs_join(dir, name);
    rc = path != NULL ? fs_read(path, GUARD_LIST_MAX, &data, &n, e) : mem_raise(e, "a path", 0);
    if (rc == RC_OK) {
        hash_digest(data, n, &is);
        if (size < 0 || n != (size_t)size || memcmp(&is, &said, sizeof is) != 0) {
            rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: it is not what the guard wrote", path);
        }
    }
    if (rc == RC_OK && text != NULL) {
        *text = data;
        *bytes = n;
        data = NULL;
    }
    mem_free(data);
    mem_free(path);
    return rc;
}

/* Plans on disk: a file each, named by the digest of what the plan depends on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/device/cuda_impl.h"

enum { FILE_MAX = 32 << 20 };

char *cuda_cache_folder(void)
{
    const char *asked = getenv("PRECEPTOR_PLAN_CACHE"), *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");

    if (asked != NULL) {
        return asked[0] != '\0' ? mem_strdup(asked) : NULL;
    }
    if (cache != NULL && cache[0] == '/') {
        return fs_join(cache, "preceptor/plans");
    }
    return home != NULL && home[0] == '/' ? fs_join(home, ".cache/preceptor/plans") : NULL;
}

static char *path_of(const char *folder, const char *key)
{
    struct digest d;
    char name[HASH_HEX_DIGEST + 8];

    hash_digest(key, strlen(key), &d);
    hash_digest_hex(&d, name);
    (void)snprintf(name + HASH_HEX_DIGEST - 1, sizeof name - HASH_HEX_DIGEST + 1, ".json");
    return fs_join(folder, name);
}

/* The members of a file whose key is this one; anything else is as if there were none. */
static bool take(const json_t *root, const char *key, struct cuda_graph_info *info, char **text)
{
    const char *found = json_string_value(json_object_get(root, "key"));
    const char *plan = json_string_value(json_object_get(root, "plan"));
    const json_t *engine = json_object_get(root, "engine");
    const json_t *fused = json_object_get(root, "fused");
    const json_t *tensor_core = json_object_get(root, "tensor_core");

    if (found == NULL || strcmp(found, key) != 0 || plan == NULL || !json_is_integer(engine) ||
        !json_is_boolean(fused) || !json_is_boolean(tensor_core)) {
        return false;
    }
    *text = mem_strdup(plan);
    if (*text == NULL) {
        return false;
    }
    info->engine = (long long)json_integer_value(engine);
    info->fused = json_is_true(fused);
    info->tensor_core = json_is_true(tensor_core);
    return true;
}

bool cuda_cache_read(const char *folder, const char *key, struct cuda_graph_info *info, char **text)
{
    char *path = path_of(folder, key), *bytes = NULL;
    struct err ignored = {0};
    size_t n = 0;
    json_t *root = NULL;
    bool found = false;

    if (path != NULL && fs_exists(path) && fs_read(path, FILE_MAX, &bytes, &n, &ignored) == RC_OK) {
        root = json_loadb(bytes, n, 0, NULL);
        found = take(root, key, info, text);
    }
    json_decref(root);
    mem_free(bytes);
    mem_free(path);
    return found;
}

void cuda_cache_write(const char *folder, const char *key, const struct cuda_graph_info *info,
                      const char *text)
{
    char *path = path_of(folder, key);
    struct err ignored = {0};
    json_t *root =
        json_pack("{s:s,s:I,s:b,s:b,s:I,s:f,s:s}", "key", key, "engine", (json_int_t)info->engine,
                  "fused", (int)info->fused, "tensor_core", (int)info->tensor_core, "workspace",
                  (json_int_t)info->workspace, "seconds", info->seconds, "plan", text);
    char *bytes = root != NULL ? json_dumps(root, JSON_INDENT(1)) : NULL;

    /* a cache that cannot be written costs time alone */
    if (path != NULL && bytes != NULL && fs_mkdirs(folder, &ignored) == RC_OK) {
        (void)!fs_write_atomic(path, bytes, strlen(bytes), &ignored);
    }
    free(bytes);
    json_decref(root);
    mem_free(path);
}

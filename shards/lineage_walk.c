#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/lineage_impl.h"

enum { LINEAGE_DEPTH = 16 };

static enum rc walk_add(struct lineage_stores *s, enum lineage_kind kind, const char *path,
                        struct err *e)
{
    if (s->n == s->room) {
        size_t room = s->room == 0 ? 16 : 2 * s->room;
        struct lineage_store *all = mem_realloc(s->all, room, sizeof *all);

        if (all == NULL) {
            return mem_raise(e, "stores", room * sizeof *all);
        }
        s->all = all;
        s->room = room;
    }
    s->all[s->n] = (struct lineage_store){kind, mem_strdup(path)};
    return s->all[s->n++].path != NULL ? RC_OK : mem_raise(e, "a path", strlen(path));
}

static bool walk_has(const char *dir, const char *name)
{
    char *path = fs_join(dir, name);
    bool has = path != NULL && fs_exists(path);

    mem_free(path);
    return has;
}

/* What a folder is; false: only a folder. */
static bool walk_kind(const char *dir, enum lineage_kind *kind)
{
    static const struct {
        const char *name;
        enum lineage_kind kind;
    } manifests[] = {{"corpus.json", LINEAGE_CORPUS},
                     {"labels.json", LINEAGE_LABELS},
                     {"stores.json", LINEAGE_RUN}};

    for (size_t i = 0; i < sizeof manifests / sizeof *manifests; i++) {
        if (walk_has(dir, manifests[i].name)) {
            *kind = manifests[i].kind;
            return true;
        }
    }
    return false;
}

/* NAME.json beside NAME.lmdb. */
static bool walk_is_selection(const char *path)
{
    size_t n = strlen(path);
    char *file = NULL;
    bool is = false;

    if (n <= 5 || strcmp(path + n - 5, ".json") != 0) {
        return false;
    }
    file = mem_sprintf("%.*s.lmdb", (int)n - 5, path);
    is = file != NULL && fs_exists(file);
    mem_free(file);
    return is;
}

static int walk_not_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static enum rc walk_folder(const char *dir, int depth, struct lineage_stores *out, struct err *e);

static enum rc walk_entry(const char *path, int depth, struct lineage_stores *out, struct err *e)
{
    struct stat st;

    if (lstat(path, &st) != 0) {
        return RC_OK; /* gone since it was listed */
    }
    if (S_ISDIR(st.st_mode)) {
        return depth > 0 ? walk_folder(path, depth, out, e) : RC_OK;
    }
    return S_ISREG(st.st_mode) && walk_is_selection(path)
               ? walk_add(out, LINEAGE_SELECTION, path, e)
               : RC_OK;
}

static enum rc walk_folder(const char *dir, int depth, struct lineage_stores *out, struct err *e)
{
    struct dirent **names = NULL;
    enum lineage_kind kind = LINEAGE_CORPUS;
    enum rc rc = RC_OK;
    int n = 0;

    if (walk_kind(dir, &kind)) {
        return walk_add(out, kind, dir, e);
    }
    n = scandir(dir, &names, walk_not_dots, alphasort);
    for (int i = 0; i < n; i++) {
        char *path = rc == RC_OK ? fs_join(dir, names[i]->d_name) : NULL;

        if (rc == RC_OK) {
            rc = path != NULL ? walk_entry(path, depth - 1, out, e)
                              : mem_raise(e, "a path", strlen(dir));
        }
        mem_free(path);
        free(names[i]);
    }
    free(names);
    return rc;
}

enum rc lineage_walk(const char *root, struct lineage_stores *out, struct err *e)
{
    struct stat st;

    if (stat(root, &st) != 0) {
        return err_raise(e, RC_IO, "cannot look for stores in '%s': %s", root, strerror(errno));
    }
    return S_ISDIR(st.st_mode) ? walk_folder(root, LINEAGE_DEPTH, out, e)
                               : walk_entry(root, LINEAGE_DEPTH, out, e);
}

void lineage_walk_release(struct lineage_stores *s)
{
    for (size_t i = 0; i < s->n; i++) {
        mem_free(s->all[i].path);
    }
    mem_free(s->all);
    *s = (struct lineage_stores){NULL, 0, 0};
}

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/watch.h"
#include "shards/source_impl.h"

/* Files listed before they are visited: folders are visited in turn, one file of each, so that the
 * classes of a set in class folders are mixed in its shards. Bounds the memory of a walk. */
enum { DIR_GROUP = 1 << 20 };

struct dir_folder {
    char *path;   /* relative to the source, "" for itself */
    char **names; /* its files, sorted bytewise */
    size_t n;
};

struct dir_walk {
    const struct source *s;
    const char *root;
    char **stack; /* folders to list, relative; the last is next */
    size_t n_stack, stack_room;
    struct dir_folder *group;
    size_t n_group, group_room;
    size_t files; /* in the group */
};

static void dir_folder_release(struct dir_folder *f)
{
    for (size_t i = 0; i < f->n; i++) {
        mem_free(f->names[i]);
    }
    mem_free(f->names);
    mem_free(f->path);
}

static void dir_release(struct dir_walk *w)
{
    for (size_t i = 0; i < w->n_group; i++) {
        dir_folder_release(&w->group[i]);
    }
    for (size_t i = 0; i < w->n_stack; i++) {
        mem_free(w->stack[i]);
    }
    mem_free(w->group);
    mem_free(w->stack);
}

static enum rc dir_push_name(char ***names, size_t *n, size_t *room, char *name, struct err *e)
{
    if (name == NULL) {
        return mem_raise(e, "a file name", 0);
    }
    if (*n == *room) {
        size_t more = *room == 0 ? 64 : 2 * *room;
        char **grown = mem_realloc(*names, more, sizeof *grown);

        if (grown == NULL) {
            mem_free(name);
            return mem_raise(e, "file names", more * sizeof *grown);
        }
        *names = grown;
        *room = more;
    }
    (*names)[(*n)++] = name;
    return RC_OK;
}

static char *dir_join(const char *a, const char *b)
{
    return *a == '\0' ? mem_strdup(b) : mem_sprintf("%s/%s", a, b);
}

static int dir_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void dir_sort(char **names, size_t n)
{
    if (n > 1) {
        qsort(names, n, sizeof *names, dir_compare);
    }
}

/* Whether an entry is a folder to walk. A link to a folder is not followed: it may lead in circles. */
static bool dir_is_folder(DIR *d, const struct dirent *entry, const char *folder, bool *skip)
{
    struct stat st;

    *skip = false;
    if (entry->d_type == DT_DIR) {
        return true;
    }
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) {
        return false;
    }
    if (fstatat(dirfd(d), entry->d_name, &st, 0) != 0 || !S_ISDIR(st.st_mode)) {
        return false;
    }
    if (entry->d_type == DT_LNK ||
        (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))) {
        log_warn("shards", "'%s/%s' is a link to a folder and is not followed: name it as a source",
                 folder, entry->d_name);
        *skip = true;
    }
    return true;
}

static enum rc dir_read(struct dir_walk *w, DIR *d, const char *folder, struct dir_folder *f,
                        struct err *e)
{
    const struct dirent *entry = NULL;
    char **folders = NULL;
    size_t n_folders = 0;
    size_t folder_room = 0;
    size_t room = 0;
    enum rc rc = RC_OK;

    errno = 0;
    while (rc == RC_OK && (entry = readdir(d)) != NULL) {
        bool skip = false;

        watch_tick();
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (!dir_is_folder(d, entry, folder, &skip)) {
            rc = dir_push_name(&f->names, &f->n, &room, mem_strdup(entry->d_name), e);
        } else if (!skip) {
            rc = dir_push_name(&folders, &n_folders, &folder_room, dir_join(f->path, entry->d_name),
                               e);
        }
        errno = 0;
    }
    if (rc == RC_OK && errno != 0) {
        rc = err_raise(e, RC_IO, "cannot list the folder '%s': %s", folder, strerror(errno));
    }
    dir_sort(f->names, f->n);
    dir_sort(folders, n_folders);
    for (size_t i = n_folders; i-- > 0;) {
        if (rc == RC_OK) {
            rc = dir_push_name(&w->stack, &w->n_stack, &w->stack_room, folders[i], e);
        } else {
            mem_free(folders[i]);
        }
    }
    mem_free(folders);
    return rc;
}

/* List the folder on top of the stack into the group. */
static enum rc dir_list(struct dir_walk *w, struct err *e)
{
    struct dir_folder f = {.path = w->stack[--w->n_stack]};
    char *full = *f.path == '\0' ? mem_strdup(w->root) : mem_sprintf("%s/%s", w->root, f.path);
    DIR *d = NULL;
    enum rc rc = RC_OK;

    if (full != NULL) {
        watch_at("listing the folder", full);
        d = opendir(full);
    }
    if (full == NULL) {
        rc = mem_raise(e, "a path", 0);
    } else if (d == NULL) {
        rc = err_raise(e, RC_IO, "cannot open the folder '%s': %s", full, strerror(errno));
    } else {
        rc = dir_read(w, d, full, &f, e);
        (void)closedir(d);
    }
    if (rc == RC_OK && w->n_group == w->group_room) {
        size_t room = w->group_room == 0 ? 64 : 2 * w->group_room;
        struct dir_folder *group = mem_realloc(w->group, room, sizeof *group);

        if (group == NULL) {
            rc = mem_raise(e, "folders", room * sizeof *group);
        } else {
            w->group = group;
            w->group_room = room;
        }
    }
    mem_free(full);
    if (rc != RC_OK || f.n == 0) {
        dir_folder_release(&f);
        return rc;
    }
    w->group[w->n_group++] = f;
    w->files += f.n;
    return RC_OK;
}

static enum rc dir_visit_file(const struct dir_walk *w, const struct dir_folder *f,
                              const char *name, struct err *e)
{
    const char *slash = strrchr(f->path, '/');
    char *text = *f->path == '\0' ? mem_sprintf("%s/%s", w->root, name)
                                  : mem_sprintf("%s/%s/%s", w->root, f->path, name);
    struct source_image image = {.text = text, .container = w->root, .path = text};
    enum rc rc = RC_OK;

    if (text == NULL) {
        return mem_raise(e, "a path", strlen(name));
    }
    image.inside = text + strlen(w->root) + 1;
    image.cls = slash != NULL ? slash + 1 : *f->path != '\0' ? f->path : NULL;
    if (strlen(text) >= SOURCE_MAX_TEXT) {
        rc = source_file_bad(w->s, &image, "not-a-file", "its path is too long", e);
    } else {
        rc = source_file(w->s, &image, e);
    }
    mem_free(text);
    return rc;
}

/* The first file of each folder, then the second of each, ... */
static enum rc dir_visit_group(struct dir_walk *w, struct err *e)
{
    size_t left = w->files;
    enum rc rc = RC_OK;

    for (size_t turn = 0; left > 0 && rc == RC_OK; turn++) {
        for (size_t i = 0; i < w->n_group && rc == RC_OK; i++) {
            if (turn < w->group[i].n) {
                rc = dir_visit_file(w, &w->group[i], w->group[i].names[turn], e);
                left--;
            }
        }
    }
    for (size_t i = 0; i < w->n_group; i++) {
        dir_folder_release(&w->group[i]);
    }
    w->n_group = 0;
    w->files = 0;
    return rc;
}

enum rc source_dir_walk(const struct source *s, const char *path, struct err *e)
{
    struct dir_walk w = {.s = s};
    size_t bytes = strlen(path);
    char *root = NULL;
    enum rc rc = RC_OK;

    while (bytes > 1 && path[bytes - 1] == '/') {
        bytes--;
    }
    root = mem_sprintf("%.*s", (int)bytes, path);
    if (root == NULL) {
        return mem_raise(e, "a path", bytes);
    }
    w.root = root;
    rc = dir_push_name(&w.stack, &w.n_stack, &w.stack_room, mem_strdup(""), e);
    while (rc == RC_OK && w.n_stack > 0) {
        rc = dir_list(&w, e);
        if (rc == RC_OK && (w.files >= DIR_GROUP || w.n_stack == 0)) {
            rc = dir_visit_group(&w, e);
        }
    }
    dir_release(&w);
    mem_free(root);
    return rc;
}

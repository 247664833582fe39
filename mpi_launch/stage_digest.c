#include "mpi_launch/stage_digest.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/fs.h"
#include "common/base/mem.h"

enum { STAGE_SOURCE_DEPTH = 64, STAGE_INPUT_DEPTH = 2 };

static int stage_compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder, sorted. */
static enum rc stage_names(const char *dir, struct args *out, struct err *e)
{
    DIR *d = opendir(dir);
    const struct dirent *entry = NULL;
    enum rc rc = RC_OK;

    if (d == NULL) {
        return err_raise(e, RC_IO, "cannot open the folder '%s': %s", dir, strerror(errno));
    }
    while (rc == RC_OK && (entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            rc = args_add(out, e, "%s", entry->d_name);
        }
    }
    (void)closedir(d);
    if (rc == RC_OK && out->n > 1) {
        qsort(out->v, (size_t)out->n, sizeof *out->v, stage_compare_names);
    }
    return rc;
}

typedef enum rc stage_visit_fn(struct hash *h, const char *path, const char *name,
                               const struct stat *st, struct err *e);

/* Visit the regular files at and below path in name order; folders deeper than depth are left. */
static enum rc stage_walk(struct hash *h, const char *path, const char *name, int depth,
                          stage_visit_fn *visit, struct err *e)
{
    struct args names = {0};
    struct stat st;
    enum rc rc = RC_OK;

    if (stat(path, &st) != 0) {
        return err_raise(e, RC_IO, "cannot read '%s': %s", path, strerror(errno));
    }
    if (!S_ISDIR(st.st_mode)) {
        return visit(h, path, name, &st, e);
    }
    rc = depth > 0 ? stage_names(path, &names, e) : RC_OK;
    for (int i = 0; i < names.n && rc == RC_OK; i++) {
        char *below = fs_join(path, names.v[i]);

        if (below == NULL) {
            rc = mem_raise(e, "a path", strlen(path));
        } else if (fs_is_dir(below) || stat(below, &st) == 0) { /* dangling links are no images */
            rc = stage_walk(h, below, names.v[i], depth - 1, visit, e);
        }
        mem_free(below);
    }
    args_release(&names);
    return rc;
}

static enum rc stage_visit_source(struct hash *h, const char *path, const char *name,
                                  const struct stat *st, struct err *e)
{
    char line[64];
    int n = snprintf(line, sizeof line, " %lld %lld.%09ld\n", (long long)st->st_size,
                     (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);

    (void)path;
    (void)e;
    hash_update(h, name, strlen(name));
    hash_update(h, line, (size_t)n);
    return RC_OK;
}

/* Of a store the manifests stand for all of it, since they hold the digests of the rest; tombstones
 * come and go without them. */
static enum rc stage_visit_input(struct hash *h, const char *path, const char *name,
                                 const struct stat *st, struct err *e)
{
    const char *dot = strrchr(name, '.');
    struct digest d;
    enum rc rc = RC_OK;

    (void)st;
    if (dot == NULL || (strcmp(dot, ".json") != 0 && strcmp(dot, ".safetensors") != 0 &&
                        strcmp(name, "forgotten.bin") != 0)) {
        return RC_OK;
    }
    rc = hash_file(path, &d, e);
    if (rc == RC_OK) {
        hash_update(h, name, strlen(name) + 1);
        hash_update(h, d.b, sizeof d.b);
    }
    return rc;
}

static enum rc stage_digest_paths(struct hash *h, const struct args *paths, int depth,
                                  stage_visit_fn *visit, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < paths->n && rc == RC_OK; i++) {
        const char *slash = strrchr(paths->v[i], '/');

        rc = stage_walk(h, paths->v[i], slash == NULL ? paths->v[i] : slash + 1, depth, visit, e);
    }
    return rc;
}

enum rc stage_digest(const struct stage *s, struct stage_digests *out, struct err *e)
{
    struct hash *h = NULL;
    struct digest d;
    enum rc rc = hash_create(&h, e);

    if (rc != RC_OK) {
        return rc;
    }
    rc = stage_digest_paths(h, &s->sources, STAGE_SOURCE_DEPTH, stage_visit_source, e);
    if (rc == RC_OK) {
        hash_final(h, &d);
        hash_digest_hex(&d, out->sources);
        hash_update(h, s->verb, strlen(s->verb) + 1);
        for (int i = 0; i < s->options.n; i++) {
            hash_update(h, s->options.v[i], strlen(s->options.v[i]) + 1);
        }
        for (int i = 0; i < s->identity.n; i++) {
            hash_update(h, s->identity.v[i], strlen(s->identity.v[i]) + 1);
        }
        rc = stage_digest_paths(h, &s->inputs, STAGE_INPUT_DEPTH, stage_visit_input, e);
    }
    if (rc == RC_OK) {
        hash_final(h, &d);
        hash_digest_hex(&d, out->options);
    }
    hash_destroy(h);
    return rc;
}

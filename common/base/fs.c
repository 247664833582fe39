#include "common/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

static enum rc fs_mkdir_one(const char *path, struct err *e)
{
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && fs_is_dir(path))) {
        return RC_OK;
    }
    return err_raise(e, RC_IO, "cannot make the folder '%s': %s", path, strerror(errno));
}

enum rc fs_mkdirs(const char *path, struct err *e)
{
    char *p = mem_strdup(path);
    enum rc rc = RC_OK;

    if (p == NULL) {
        return mem_raise(e, "a path", strlen(path));
    }
    for (char *s = p + 1; *p != '\0' && *s != '\0' && rc == RC_OK; s++) {
        if (*s == '/') {
            *s = '\0';
            rc = fs_mkdir_one(p, e);
            *s = '/';
        }
    }
    if (rc == RC_OK) {
        rc = fs_mkdir_one(p, e);
    }
    mem_free(p);
    return rc;
}

static char *fs_dirname(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL) {
        return mem_strdup(".");
    }
    if (slash == path) {
        return mem_strdup("/");
    }
    return mem_sprintf("%.*s", (int)(slash - path), path);
}

struct fs_file {
    char *path, *tmp, *dir;
    int fd;
};

enum rc fs_file_create(const char *path, struct fs_file **out, struct err *e)
{
    struct fs_file *f = mem_calloc(1, sizeof *f);
    enum rc rc = RC_OK;

    if (f == NULL) {
        return mem_raise(e, "a file", sizeof *f);
    }
    f->fd = -1;
    f->path = mem_strdup(path);
    f->tmp = mem_sprintf("%s.tmp.%ld", path, (long)getpid());
    f->dir = fs_dirname(path);
    if (f->path == NULL || f->tmp == NULL || f->dir == NULL) {
        rc = mem_raise(e, "a path", strlen(path));
        goto out;
    }
    f->fd = open(f->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (f->fd < 0) {
        rc = err_raise(e, RC_IO, "cannot write '%s': %s", path, strerror(errno));
        goto out;
    }
    *out = f;
    f = NULL; /* now the caller's */
out:
    fs_file_discard(f);
    return rc;
}

enum rc fs_file_append(struct fs_file *f, const void *data, size_t bytes, struct err *e)
{
    const unsigned char *p = data;

    while (bytes > 0) {
        ssize_t n = write(f->fd, p, bytes);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return err_raise(e, RC_IO, "cannot write '%s': %s", f->path, strerror(errno));
        }
        p += n;
        bytes -= (size_t)n;
    }
    return RC_OK;
}

void fs_file_discard(struct fs_file *f)
{
    if (f == NULL) {
        return;
    }
    if (f->fd >= 0) {
        (void)close(f->fd);
        (void)unlink(f->tmp);
    }
    mem_free(f->path);
    mem_free(f->tmp);
    mem_free(f->dir);
    mem_free(f);
}

enum rc fs_file_commit(struct fs_file *f, struct err *e)
{
    enum rc rc = RC_OK;

    if (fsync(f->fd) != 0) {
        rc = err_raise(e, RC_IO, "cannot sync '%s': %s", f->path, strerror(errno));
        goto out;
    }
    if (rename(f->tmp, f->path) != 0) {
        rc = err_raise(e, RC_IO, "cannot replace '%s': %s", f->path, strerror(errno));
        goto out;
    }
    (void)close(f->fd); /* synced: nothing is left that could fail */
    f->fd = -1;
    rc = fs_sync_dir(f->dir, e);
out:
    fs_file_discard(f);
    return rc;
}

enum rc fs_write_atomic(const char *path, const void *data, size_t bytes, struct err *e)
{
    struct fs_file *f = NULL;
    enum rc rc = fs_file_create(path, &f, e);

    if (rc != RC_OK) {
        return rc;
    }
    rc = fs_file_append(f, data, bytes, e);
    if (rc != RC_OK) {
        fs_file_discard(f);
        return rc;
    }
    return fs_file_commit(f, e);
}

static enum rc fs_read_fd(int fd, const char *path, size_t max, char **out, size_t *bytes,
                          struct err *e)
{
    struct stat st;
    char *buf = NULL;
    size_t got = 0;
    size_t size = 0;

    if (fstat(fd, &st) != 0) {
        return err_raise(e, RC_IO, "cannot read '%s': %s", path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return err_raise(e, RC_INVAL, "'%s' is not a regular file", path);
    }
    size = (size_t)st.st_size;
    if (size > max) {
        return err_raise(e, RC_INVAL, "'%s' has %zu bytes, more than the limit of %zu", path, size,
                         max);
    }
    buf = mem_calloc(size + 1, 1);
    if (buf == NULL) {
        return mem_raise(e, path, size);
    }
    while (got < size) {
        ssize_t n = read(fd, buf + got, size - got);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            mem_free(buf);
            return err_raise(e, RC_IO, "cannot read '%s': %s", path, strerror(errno));
        }
        if (n == 0) {
            break;
        }
        got += (size_t)n;
    }
    buf[got] = '\0';
    *out = buf;
    *bytes = got;
    return RC_OK;
}

enum rc fs_read(const char *path, size_t max, char **out, size_t *bytes, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    enum rc rc = RC_OK;

    if (fd < 0) {
        return err_raise(e, RC_IO, "cannot open '%s': %s", path, strerror(errno));
    }
    rc = fs_read_fd(fd, path, max, out, bytes, e);
    (void)close(fd);
    return rc;
}

enum rc fs_sync_dir(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = 0;

    if (fd < 0) {
        return err_raise(e, RC_IO, "cannot open the folder '%s': %s", path, strerror(errno));
    }
    /* Some network file systems refuse fsync of a folder; their rename is durable by itself. */
    failed = fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP;
    (void)close(fd);
    return failed ? err_raise(e, RC_IO, "cannot sync the folder '%s': %s", path, strerror(errno))
                  : RC_OK;
}

bool fs_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

bool fs_is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

enum rc fs_size(const char *path, uint64_t *bytes, struct err *e)
{
    struct stat st;

    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return err_raise(e, RC_IO, "cannot read '%s': no such regular file", path);
    }
    *bytes = (uint64_t)st.st_size;
    return RC_OK;
}

char *fs_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);

    return mem_sprintf("%s%s%s", dir, n == 0 || dir[n - 1] == '/' ? "" : "/", name);
}

enum rc fs_lock_dir(const char *dir, const char *what, double seconds, int *lock, struct err *e)
{
    const struct timespec nap = {0, 50 * 1000 * 1000};
    double end = clock_now() + seconds;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return err_raise(e, RC_IO, "cannot open the folder '%s': %s", dir, strerror(errno));
    }
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            (void)close(fd);
            fd = -1;
            break;
        }
        if (clock_now() >= end) {
            (void)close(fd);
            return err_raise(e, RC_INVAL, "another %s is at work in '%s': wait for it to end", what,
                             dir);
        }
        (void)nanosleep(&nap, NULL);
    }
    *lock = fd;
    return RC_OK;
}

void fs_sweep(const char *dir, const char *prefix)
{
    DIR *d = opendir(dir);
    const struct dirent *entry = NULL;

    if (d == NULL) {
        return;
    }
    while ((entry = readdir(d)) != NULL) {
        const char *name = entry->d_name;

        if (strncmp(name, prefix, strlen(prefix)) == 0 && strstr(name, ".tmp.") != NULL) {
            (void)unlinkat(dirfd(d), name, 0);
        }
    }
    (void)closedir(d);
}

void fs_sweep_file(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL ? mem_strdup("./") : mem_sprintf("%.*s/", (int)(slash - path), path);
    char *prefix = mem_sprintf("%s.tmp.", slash == NULL ? path : slash + 1);

    if (dir != NULL && prefix != NULL) {
        fs_sweep(dir, prefix);
    }
    mem_free(dir);
    mem_free(prefix);
}

/* label_summary_read: what selection needs, without LMDB. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/label_store_impl.h"

static enum rc summary_pread(int fd, const char *path, const struct label_shard *shard, void *out,
                             struct err *e)
{
    const size_t bytes = (size_t)shard->labels * sizeof(struct label_summary);
    size_t done = 0;

    while (done < bytes) {
        ssize_t n = pread(fd, (char *)out + done, bytes - done, (off_t)(shard->summary_at + done));

        if (n < 0 && errno != EINTR) {
            return err_raise(e, RC_IO, "cannot read '%s': %s", path, strerror(errno));
        }
        if (n == 0) {
            return err_raise(e, RC_CORRUPT, "'%s' is damaged: it was cut short", path);
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return RC_OK;
}

enum rc label_summary_read(const struct label_store *s, int i, bool trust,
                           struct label_summary *out, struct err *e)
{
    const struct label_shard *shard = &s->shards[i];
    char *path = fs_join(s->path, shard->name);
    struct digest found;
    enum rc rc = RC_OK;
    int fd = -1;

    if (path == NULL) {
        return mem_raise(e, "a path", strlen(s->path));
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    rc = fd >= 0 ? summary_pread(fd, path, shard, out, e)
                 : err_raise(e, RC_IO, "cannot open '%s': %s", path, strerror(errno));
    if (fd >= 0) {
        (void)close(fd);
    }
    if (rc == RC_OK && !trust) {
        hash_digest(out, (size_t)shard->labels * sizeof *out, &found);
        if (memcmp(&found, &shard->summary_digest, sizeof found) != 0) {
            rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: its summary is not what was sealed",
                           path);
        }
    }
    mem_free(path);
    return rc;
}

void label_summary_ahead(const struct label_store *s, int i)
{
    const struct label_shard *shard = &s->shards[i];
    char *path = fs_join(s->path, shard->name);
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        (void)posix_fadvise(fd, (off_t)shard->summary_at,
                            (off_t)(shard->labels * sizeof(struct label_summary)),
                            POSIX_FADV_WILLNEED);
        (void)close(fd);
    }
    mem_free(path);
}

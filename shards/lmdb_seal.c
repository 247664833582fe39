#include "shards/lmdb_seal_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"

/* Of a meta page in LMDB's file format 1. */
enum {
    LMDB_META_MAGIC = 16,   /* u32 0xBEEFC0DE */
    LMDB_META_MAPSIZE = 32, /* u64 */
    LMDB_META_BYTES = 40
};
static const uint32_t LMDB_MAGIC = 0xBEEFC0DE;

enum rc lmdb_seal_trim(int fd, const char *path, uint64_t bytes, uint64_t page, uint64_t reserve,
                       struct err *e)
{
    for (uint64_t i = 0; i < 2; i++) {
        unsigned char meta[LMDB_META_BYTES];
        uint32_t magic = 0;
        uint64_t map = 0;

        if (pread(fd, meta, sizeof meta, (off_t)(i * page)) != (ssize_t)sizeof meta) {
            return err_raise(e, RC_IO, "cannot read back '%s': %s", path, strerror(errno));
        }
        memcpy(&magic, meta + LMDB_META_MAGIC, sizeof magic);
        memcpy(&map, meta + LMDB_META_MAPSIZE, sizeof map);
        if (magic != LMDB_MAGIC || map < reserve) {
            return err_raise(e, RC_LIB, "'%s': this LMDB lays its meta pages out in another way",
                             path);
        }
        if (pwrite(fd, &bytes, sizeof bytes, (off_t)(i * page + LMDB_META_MAPSIZE)) !=
            (ssize_t)sizeof bytes) {
            return err_raise(e, RC_IO, "cannot write '%s': %s", path, strerror(errno));
        }
    }
    if (ftruncate(fd, (off_t)bytes) != 0 || fsync(fd) != 0) {
        return err_raise(e, RC_IO, "cannot write '%s': %s", path, strerror(errno));
    }
    return RC_OK;
}

enum rc lmdb_seal_publish(const char *tmp, const char *final, struct err *e)
{
    char *dir = NULL;
    char *slash = NULL;
    enum rc rc = RC_OK;

    if (link(tmp, final) != 0 && errno != EEXIST) {
        /* File systems without hard links: a rename that does not replace. */
        if (renameat2(AT_FDCWD, tmp, AT_FDCWD, final, RENAME_NOREPLACE) != 0 && errno != EEXIST) {
            return err_raise(e, RC_IO, "cannot name the sealed file '%s': %s", final,
                             strerror(errno));
        }
    }
    (void)unlink(tmp);
    dir = mem_strdup(final);
    if (dir == NULL) {
        return mem_raise(e, "a path", strlen(final));
    }
    slash = strrchr(dir, '/');
    if (slash != NULL) {
        slash[slash == dir] = '\0';
    }
    rc = fs_sync_dir(slash != NULL ? dir : ".", e);
    mem_free(dir);
    return rc;
}

#include "shards/flat_file.h"

#include <string.h>

#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

static const size_t FLAT_FILE_MAX = (size_t)1 << 40;

enum rc flat_file_create(size_t bytes, unsigned char **out, struct err *e)
{
    *out = mem_calloc(FLAT_FILE_HEAD + bytes, 1);
    return *out != NULL ? RC_OK : mem_raise(e, "a sealed file", FLAT_FILE_HEAD + bytes);
}

enum rc flat_file_write(const char *path, const char *kind, unsigned char *block, size_t bytes,
                        struct err *e)
{
    struct digest d;

    memcpy(block, kind, FLAT_FILE_KIND);
    hash_digest(block + FLAT_FILE_HEAD, bytes, &d);
    memcpy(block + FLAT_FILE_KIND, &d, sizeof d);
    return fs_write_atomic(path, block, FLAT_FILE_HEAD + bytes, e);
}

enum rc flat_file_read(const char *path, const char *kind, unsigned char **out, size_t *bytes,
                       struct err *e)
{
    char *block = NULL;
    size_t all = 0;
    struct digest d;
    enum rc rc = RC_OK;

    if (!fs_exists(path)) {
        *out = NULL;
        *bytes = 0;
        return RC_OK;
    }
    rc = fs_read(path, FLAT_FILE_MAX, &block, &all, e);
    if (rc != RC_OK) {
        return rc;
    }
    if (all < FLAT_FILE_HEAD || memcmp(block, kind, FLAT_FILE_KIND) != 0) {
        rc = err_raise(e, RC_CORRUPT,
                       "'%s' is damaged or of another version: it does not start "
                       "with %.8s",
                       path, kind);
        goto out;
    }
    hash_digest(block + FLAT_FILE_HEAD, all - FLAT_FILE_HEAD, &d);
    if (memcmp(block + FLAT_FILE_KIND, &d, sizeof d) != 0) {
        rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: its digest is not that of its contents",
                       path);
        goto out;
    }
    *bytes = all - FLAT_FILE_HEAD;
    *out = (unsigned char *)block;
    block = NULL;
out:
    mem_free(block);
    return rc;
}

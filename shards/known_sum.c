#include "shards/known_sum.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

static const char sum_name[] = "known.sha256";

enum { SUM_LINE = HASH_HEX_DIGEST + sizeof KNOWN_NAME + 8 };

struct sum_paths {
    char *known, *sum;
};

static enum rc sum_paths_make(const char *dir, struct sum_paths *p, struct err *e)
{
    p->known = fs_join(dir, KNOWN_NAME);
    p->sum = fs_join(dir, sum_name);
    return p->known != NULL && p->sum != NULL ? RC_OK : mem_raise(e, "a path", strlen(dir));
}

static void sum_paths_release(struct sum_paths *p)
{
    mem_free(p->known);
    mem_free(p->sum);
}

static enum rc sum_line(const char *path, char line[SUM_LINE], struct err *e)
{
    char hex[HASH_HEX_DIGEST];
    struct digest d;
    enum rc rc = hash_file(path, &d, e);

    if (rc == RC_OK) {
        hash_digest_hex(&d, hex);
        (void)snprintf(line, SUM_LINE, "%s  %s\n", hex, KNOWN_NAME);
    }
    return rc;
}

enum rc known_sum_check(const char *dir, struct err *e)
{
    struct sum_paths p = {NULL, NULL};
    char line[SUM_LINE];
    char *was = NULL;
    size_t bytes = 0;
    enum rc rc = sum_paths_make(dir, &p, e);

    if (rc != RC_OK || !fs_exists(p.sum) || !fs_exists(p.known)) {
        goto out;
    }
    rc = fs_read(p.sum, SUM_LINE, &was, &bytes, e);
    if (rc == RC_OK) {
        rc = sum_line(p.known, line, e);
    }
    if (rc == RC_OK && (bytes != strlen(line) || memcmp(was, line, bytes) != 0)) {
        rc = err_raise(e, RC_CORRUPT,
                       "'%s' is not what was written, by '%s': remove it, it is a cache", p.known,
                       p.sum);
    }
out:
    mem_free(was);
    sum_paths_release(&p);
    return rc;
}

enum rc known_sum_write(const char *dir, struct err *e)
{
    struct sum_paths p = {NULL, NULL};
    char line[SUM_LINE];
    enum rc rc = sum_paths_make(dir, &p, e);

    if (rc == RC_OK) {
        rc = sum_line(p.known, line, e);
    }
    if (rc == RC_OK) {
        rc = fs_write_atomic(p.sum, line, strlen(line), e);
    }
    sum_paths_release(&p);
    return rc;
}

enum rc known_sum_drop(const char *dir, struct err *e)
{
    struct sum_paths p = {NULL, NULL};
    enum rc rc = sum_paths_make(dir, &p, e);

    if (rc == RC_OK && unlink(p.sum) != 0 && errno != ENOENT) {
        rc = err_raise(e, RC_IO, "cannot remove '%s': %s", p.sum, strerror(errno));
    }
    sum_paths_release(&p);
    return rc;
}

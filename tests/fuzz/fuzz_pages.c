/* A file that claims to be LMDB's, of which no digest is known: refused by the check of its pages, or
 * LMDB can read all of it and write to it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shards/lmdb_check_impl.h"
#include "shards/lmdb_file.h"
#include "tests/fuzz/fuzz_dir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const fuzz_tables[] = {"labels", "meta"};

static volatile unsigned fuzz_sink; /* so that all is read */

static void fuzz_sum(const struct lmdb_val *v)
{
    for (size_t i = 0; i < v->bytes; i++) {
        fuzz_sink += ((const unsigned char *)v->data)[i];
    }
}

static void fuzz_walk(struct lmdb_file *f, int t, struct err *e)
{
    struct lmdb_walk *w = NULL;
    struct lmdb_val key, val;
    bool more = true;

    if (lmdb_walk_open(f, t, &w, e) == RC_OK) {
        while (lmdb_walk_next(w, &key, &val, &more, e) == RC_OK && more) {
            fuzz_sum(&key);
            fuzz_sum(&val);
        }
        lmdb_walk_close(w);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[512];
    struct lmdb_file *f = NULL;
    struct err e = {0};
    int fd = -1;

    (void)snprintf(path, sizeof path, "%s/pages.lmdb", fuzz_dir());
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) != 0) {
        abort();
    }
    if (lmdb_check_pages(path, &e) != RC_OK) {
        if (strstr(e.msg, "pages.lmdb' is damaged") == NULL) {
            abort();
        }
    } else if (lmdb_file_create(path, fuzz_tables, 2, &f, &e) == RC_OK) {
        fuzz_walk(f, 0, &e);
        fuzz_walk(f, 1, &e);
        (void)!lmdb_file_replace(f, 0, "key", 3, data, size < 9000 ? size : 9000, &e);
        (void)!lmdb_file_replace(f, 1, "shard", 5, data, size % 300, &e);
        (void)!lmdb_file_commit(f, &e);
        fuzz_walk(f, 0, &e);
    }
    lmdb_file_close(f);
    (void)unlink(path);
    return 0;
}

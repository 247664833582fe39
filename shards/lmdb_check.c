#include "shards/lmdb_check_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"

/* LMDB's format 1 (mdb.c: MDB_meta, MDB_db, MDB_page, MDB_node). */
enum {
    PAGE_HEAD = 16,
    PAGE_FLAGS = 10,
    PAGE_LOWER = 12,
    PAGE_UPPER = 14,
    PAGE_RUN = 12, /* pages of an overflow page, in the place of lower and upper */
    PAGE_BRANCH = 0x01,
    PAGE_LEAF = 0x02,
    PAGE_OVERFLOW = 0x04,
    PAGE_META = 0x08,
    NODE_HEAD = 8,
    NODE_BIG = 0x01,
    NODE_TABLE = 0x02,
    KEY_MAX = 511,
    META_AT = PAGE_HEAD,
    META_BYTES = 136,
    META_TABLES = 24, /* two: of free pages, and of names */
    META_LAST = 120,
    META_TXN = 128,
    TABLE_BYTES = 48,
    TABLE_FLAGS = 4,
    TABLE_DEPTH = 6,
    TABLE_ROOT = 40,
    FLAG_FIXED_MAP = 0x01,
    DEPTH_MAX = 31,
    PAGE_LEAST = 512,
    PAGE_MOST = 32768,
};
static const uint32_t CHECK_MAGIC = 0xBEEFC0DE;
static const uint64_t CHECK_NONE = UINT64_MAX;

enum check_kind { CHECK_FREE, CHECK_NAMES, CHECK_TABLE };

struct check_todo {
    uint64_t page;
    int depth; /* levels from here down, 1: a leaf */
    enum check_kind kind;
    bool root;
};

struct check {
    const char *path;
    int fd;
    uint64_t pages; /* in use: last page + 1 */
    size_t size;    /* of a page */
    unsigned char page[PAGE_MOST];
    unsigned char *seen; /* a bit a page */
    struct check_todo *todo;
    size_t n, room;
};

static uint16_t u16(const unsigned char *p)
{
    uint16_t v = 0;

    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t u32(const unsigned char *p)
{
    uint32_t v = 0;

    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t u64(const unsigned char *p)
{
    uint64_t v = 0;

    memcpy(&v, p, sizeof v);
    return v;
}

static enum rc check_bad(const struct check *c, uint64_t page, const char *what, struct err *e)
{
    return err_raise(e, RC_CORRUPT, "'%s' is damaged or not an LMDB file: page %llu %s", c->path,
                     (unsigned long long)page, what);
}

static enum rc check_read(struct check *c, uint64_t page, size_t bytes, struct err *e)
{
    ssize_t n = pread(c->fd, c->page, bytes, (off_t)(page * c->size));

    if (n < 0) {
        return err_raise(e, RC_IO, "cannot read '%s': %s", c->path, strerror(errno));
    }
    return (size_t)n == bytes ? RC_OK : check_bad(c, page, "is beyond the end of the file", e);
}

/* Mark n pages as used; each may be once. */
static enum rc check_use(struct check *c, uint64_t page, uint64_t n, struct err *e)
{
    if (page < 2 || page >= c->pages || n > c->pages - page) {
        return check_bad(c, page, "is named and does not exist", e);
    }
    for (uint64_t i = page; i < page + n; i++) {
        const unsigned char bit = (unsigned char)(1u << i % 8);

        if ((c->seen[i / 8] & bit) != 0) {
            return check_bad(c, i, "is used twice", e);
        }
        c->seen[i / 8] |= bit;
    }
    return RC_OK;
}

/* A table's record: its root is looked at later. */
static enum rc check_table(struct check *c, const unsigned char *t, enum check_kind kind,
                           uint64_t page, struct err *e)
{
    const uint64_t root = u64(t + TABLE_ROOT);
    const uint16_t flags = u16(t + TABLE_FLAGS);
    const int depth = u16(t + TABLE_DEPTH);

    if (kind == CHECK_FREE ? (flags & FLAG_FIXED_MAP) != 0 : flags != 0 || u32(t) != 0) {
        return check_bad(c, page, "describes a table of another kind than ours", e);
    }
    if (root == CHECK_NONE && depth == 0) {
        return RC_OK;
    }
    if (root == CHECK_NONE || depth < 1 || depth > DEPTH_MAX) {
        return check_bad(c, page, "describes a tree that cannot be", e);
    }
    if (c->n == c->room) {
        const size_t room = c->room * 2 + 64;
        struct check_todo *more = mem_realloc(c->todo, room, sizeof *more);

        if (more == NULL) {
            return mem_raise(e, "a list of pages", room * sizeof *more);
        }
        c->todo = more;
        c->room = room;
    }
    c->todo[c->n++] = (struct check_todo){root, depth, kind, true};
    return RC_OK;
}

static enum rc check_push(struct check *c, uint64_t page, const struct check_todo *from,
                          struct err *e)
{
    unsigned char table[TABLE_BYTES] = {0};
    const uint16_t depth = (uint16_t)(from->depth - 1);
    enum rc rc = RC_OK;

    memcpy(table + TABLE_DEPTH, &depth, sizeof depth);
    memcpy(table + TABLE_ROOT, &page, sizeof page);
    rc = check_table(c, table, from->kind, from->page, e);
    if (rc == RC_OK) {
        c->todo[c->n - 1].root = false;
    }
    return rc;
}

/* The pages that one transaction freed: a count, then page numbers in descending order. */
static enum rc check_free(const struct check *c, uint64_t page, const unsigned char *list,
                          size_t bytes, struct err *e)
{
    const uint64_t n = bytes >= 8 ? u64(list) : CHECK_NONE;
    uint64_t before = c->pages;

    if (bytes % 8 != 0 || n > bytes / 8 - 1) {
        return check_bad(c, page, "holds a list of free pages that is cut off", e);
    }
    for (uint64_t i = 1; i <= n; i++) {
        const uint64_t free = u64(list + 8 * i);

        if (free < 2 || free >= before) {
            return check_bad(c, page, "holds a list of free pages that cannot be", e);
        }
        before = free;
    }
    return RC_OK;
}

/* A value on pages of its own; of free pages it is read as well. */
static enum rc check_big(struct check *c, const struct check_todo *t, uint64_t first, size_t bytes,
                         struct err *e)
{
    unsigned char head[PAGE_HEAD];
    unsigned char *list = NULL;
    const off_t at = (off_t)(first * c->size);
    uint64_t n = 0;
    enum rc rc = RC_OK;

    if (first < 2 || first >= c->pages || pread(c->fd, head, sizeof head, at) != PAGE_HEAD) {
        return check_bad(c, t->page, "leads to a page that does not exist", e);
    }
    n = u32(head + PAGE_RUN);
    if (u64(head) != first || u16(head + PAGE_FLAGS) != PAGE_OVERFLOW ||
        bytes > n * c->size - PAGE_HEAD || n == 0) {
        return check_bad(c, first, "does not hold the long value that it should", e);
    }
    rc = check_use(c, first, n, e);
    if (rc != RC_OK || t->kind != CHECK_FREE) {
        return rc;
    }
    list = mem_calloc(bytes + 1, 1);
    if (list == NULL) {
        return mem_raise(e, "a list of free pages", bytes);
    }
    rc = pread(c->fd, list, bytes, at + PAGE_HEAD) == (ssize_t)bytes
             ? check_free(c, first, list, bytes, e)
             : check_bad(c, first, "is beyond the end of the file", e);
    mem_free(list);
    return rc;
}

/* A node of a leaf, which begins at p and has `room` bytes up to the page's end. */
static enum rc check_value(struct check *c, const struct check_todo *t, const unsigned char *p,
                           size_t room, struct err *e)
{
    const size_t bytes = (size_t)u16(p) | (size_t)u16(p + 2) << 16;
    const uint16_t flags = u16(p + 4);
    const size_t key = u16(p + 6);
    const unsigned char *value = p + NODE_HEAD + key;
    const size_t held = flags == NODE_BIG ? 8 : bytes;

    if (key < 1 || key > KEY_MAX || NODE_HEAD + key + held > room || NODE_HEAD + key > room ||
        (t->kind == CHECK_FREE && key != 8)) {
        return check_bad(c, t->page, "holds a value that does not fit", e);
    }
    if (flags == NODE_BIG) {
        return check_big(c, t, u64(value), bytes, e);
    }
    if (flags == NODE_TABLE && t->kind == CHECK_NAMES && bytes == TABLE_BYTES) {
        return check_table(c, value, CHECK_TABLE, t->page, e);
    }
    if (flags != 0) {
        return check_bad(c, t->page, "holds a value of an unknown kind", e);
    }
    return t->kind == CHECK_FREE ? check_free(c, t->page, value, bytes, e) : RC_OK;
}

static enum rc check_child(struct check *c, const struct check_todo *t, const unsigned char *p,
                           size_t room, struct err *e)
{
    if (u16(p + 6) > KEY_MAX || NODE_HEAD + (size_t)u16(p + 6) > room) {
        return check_bad(c, t->page, "holds a key that does not fit", e);
    }
    return check_push(c, (uint64_t)u16(p) | (uint64_t)u16(p + 2) << 16 | (uint64_t)u16(p + 4) << 32,
                      t, e);
}

/* Its page is in c->page. */
static enum rc check_nodes(struct check *c, const struct check_todo *t, struct err *e)
{
    const bool leaf = t->depth == 1;
    const size_t lower = u16(c->page + PAGE_LOWER);
    const size_t upper = u16(c->page + PAGE_UPPER);
    const size_t n = (lower - PAGE_HEAD) / 2; /* if lower is what it should be */
    enum rc rc = RC_OK;

    if (u64(c->page) != t->page || u16(c->page + PAGE_FLAGS) != (leaf ? PAGE_LEAF : PAGE_BRANCH)) {
        return check_bad(c, t->page, "is not the page that its tree names", e);
    }
    if (lower < PAGE_HEAD || lower % 2 != 0 || lower > upper || upper > c->size ||
        n < (leaf ? 1u : 2u)) {
        return check_bad(c, t->page, "has bounds that cannot be", e);
    }
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        const size_t at = u16(c->page + PAGE_HEAD + 2 * i);

        if (at < upper || at % 2 != 0 || at + NODE_HEAD > c->size) {
            return check_bad(c, t->page, "has a node outside its bounds", e);
        }
        rc = leaf ? check_value(c, t, c->page + at, c->size - at, e)
                  : check_child(c, t, c->page + at, c->size - at, e);
    }
    return rc;
}

static enum rc check_tree(struct check *c, struct err *e)
{
    enum rc rc = RC_OK;

    while (c->n > 0 && rc == RC_OK) {
        const struct check_todo t = c->todo[--c->n];

        rc = check_use(c, t.page, 1, e);
        if (rc == RC_OK) {
            rc = check_read(c, t.page, c->size, e);
        }
        if (rc == RC_OK) {
            rc = check_nodes(c, &t, e);
        }
    }
    return rc;
}

/* One of the two meta pages, into c->page. */
static enum rc check_meta(struct check *c, uint64_t i, struct err *e)
{
    const unsigned char *m = c->page + META_AT;
    enum rc rc = check_read(c, i, META_AT + META_BYTES, e);

    if (rc == RC_OK && (u64(c->page) != i || u16(c->page + PAGE_FLAGS) != PAGE_META ||
                        u32(m) != CHECK_MAGIC || u32(m + 4) != 1)) {
        rc = check_bad(c, i, "is no description of an LMDB file", e);
    }
    if (rc == RC_OK && i == 0) {
        c->size = u32(m + META_TABLES); /* md_pad of the first table */
    }
    if (rc == RC_OK && (c->size < PAGE_LEAST || c->size > PAGE_MOST ||
                        (c->size & (c->size - 1)) != 0 || u32(m + META_TABLES) != c->size)) {
        rc = check_bad(c, i, "tells an impossible size of pages", e);
    }
    return rc;
}

/* The newer description, as LMDB chooses it: the pages in use, and both tables to look at. */
static enum rc check_begin(struct check *c, uint64_t bytes, struct err *e)
{
    unsigned char older[META_AT + META_BYTES];
    const unsigned char *m = c->page + META_AT;
    uint64_t newest = 1;
    enum rc rc = check_meta(c, 0, e);

    if (rc != RC_OK) {
        return rc;
    }
    memcpy(older, c->page, sizeof older);
    rc = check_meta(c, 1, e);
    if (rc != RC_OK) {
        return rc;
    }
    if (u64(older + META_AT + META_TXN) >= u64(m + META_TXN)) {
        m = older + META_AT;
        newest = 0;
    }
    if (u64(m + META_TXN) % 2 != newest && u64(m + META_TXN) != 0) {
        return check_bad(c, newest, "is of a transaction that has its place elsewhere", e);
    }
    if (u64(m + META_LAST) < 1 || u64(m + META_LAST) >= bytes / c->size) {
        return check_bad(c, newest, "tells more pages than the file has", e);
    }
    c->pages = u64(m + META_LAST) + 1;
    c->seen = mem_calloc((size_t)(c->pages / 8 + 1), 1);
    if (c->seen == NULL) {
        return mem_raise(e, "the pages of a file", (size_t)c->pages / 8);
    }
    rc = check_table(c, m + META_TABLES, CHECK_FREE, newest, e);
    return rc == RC_OK ? check_table(c, m + META_TABLES + TABLE_BYTES, CHECK_NAMES, newest, e) : rc;
}

enum rc lmdb_check_pages(const char *path, struct err *e)
{
    struct check *c = mem_calloc(1, sizeof *c);
    struct stat st;
    enum rc rc = RC_OK;

    if (c == NULL) {
        return mem_raise(e, "the check of a file", sizeof *c);
    }
    c->path = path;
    c->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (c->fd < 0 || fstat(c->fd, &st) != 0) {
        rc = err_raise(e, RC_IO, "cannot read '%s': %s", path, strerror(errno));
    } else if (st.st_size > 0) {
        rc = check_begin(c, (uint64_t)st.st_size, e);
        if (rc == RC_OK) {
            rc = check_tree(c, e);
        }
    }
    if (c->fd >= 0) {
        (void)close(c->fd);
    }
    mem_free(c->seen);
    mem_free(c->todo);
    mem_free(c);
    return rc;
}

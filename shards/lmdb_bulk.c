#include "shards/lmdb_bulk.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "shards/hashed_file.h"

/* LMDB's format 1 (mdb.c: MDB_page, MDB_node, MDB_db, MDB_meta), little-endian. */
enum {
    PAGE_HEAD = 16, /* u64 number, u16 0, u16 flags, u16 lower, u16 upper; or u32 pages of a run */
    PAGE_FLAGS = 10,
    PAGE_LOWER = 12,
    PAGE_UPPER = 14,
    PAGE_RUN = 12,
    PAGE_BRANCH = 0x01,
    PAGE_LEAF = 0x02,
    PAGE_OVERFLOW = 0x04,
    PAGE_META = 0x08,
    PAGE_MOST = 32768,
    NODE_HEAD = 8, /* u32 bytes of the value, u16 flags, u16 bytes of the key; or u48 page */
    NODE_BIG = 0x01,
    NODE_TABLE = 0x02,
    META_AT = PAGE_HEAD,
    META_VERSION = 4, /* from META_AT on; before it u32 magic */
    META_MAP = 16,
    META_TABLES = 24,
    META_LAST = 120,
    META_TXN = 128,
    META_FLAGS = 0x4008, /* of the free pages: integer keys, no folder */
    META_PAGES = 2,
    LEVELS = 8
};
static const uint32_t BULK_MAGIC = 0xBEEFC0DE;
static const uint64_t BULK_NONE = UINT64_MAX;

/* MDB_db. */
struct bulk_table {
    uint32_t pad;
    uint16_t flags, depth;
    uint64_t branch, leaf, overflow, entries, root;
};
_Static_assert(sizeof(struct bulk_table) == 48, "MDB_db has no holes");

struct bulk_key {
    unsigned char b[LMDB_BULK_KEY];
    size_t bytes;
};

/* The page of a level that is being filled; level 0 are the leaves. */
struct bulk_level {
    unsigned char page[PAGE_MOST];
    size_t lower, upper;
    struct bulk_key first, last; /* of a branch's last child: it may move on to the next page */
    uint64_t last_child;
    int n;
};

struct lmdb_bulk {
    struct hashed_file *file; /* NULL: only sizes are added up */
    uint64_t at;              /* bytes so far */
    size_t page;              /* size */
    struct bulk_level level[LEVELS];
    int top; /* levels of the table at hand that have a page */
    struct bulk_table table;
    struct bulk_key names[LMDB_BULK_TABLES];
    struct bulk_table tables[LMDB_BULK_TABLES];
    int n_tables;
    bool open;             /* the last table is */
    unsigned char *inside; /* where the value at hand goes on a leaf; NULL: to the file */
    size_t left;           /* bytes of it that are to come */
};

static void put16(unsigned char *p, size_t v)
{
    const uint16_t x = (uint16_t)v;

    memcpy(p, &x, sizeof x);
}

static void put32(unsigned char *p, size_t v)
{
    const uint32_t x = (uint32_t)v;

    memcpy(p, &x, sizeof x);
}

static void put64(unsigned char *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

/* ---- to the file ----------------------------------------------------------------------------- */

static enum rc bulk_emit(struct lmdb_bulk *b, const void *data, size_t bytes, struct err *e)
{
    b->at += bytes;
    return b->file != NULL ? hashed_file_put(b->file, data, bytes, e) : RC_OK;
}

static enum rc bulk_zeros(struct lmdb_bulk *b, size_t bytes, struct err *e)
{
    b->at += bytes;
    return b->file != NULL ? hashed_file_zeros(b->file, bytes, e) : RC_OK;
}

/* The number of the page that comes next. */
static uint64_t bulk_next(const struct lmdb_bulk *b)
{
    return b->at / b->page;
}

/* ---- pages of nodes -------------------------------------------------------------------------- */

static void level_reset(struct lmdb_bulk *b, int l)
{
    struct bulk_level *v = &b->level[l];

    memset(v->page, 0, b->page);
    v->lower = PAGE_HEAD;
    v->upper = b->page;
    v->n = 0;
}

static size_t node_bytes(size_t key, size_t value)
{
    return (NODE_HEAD + key + value + 1) & ~(size_t)1;
}

static bool level_fits(const struct bulk_level *v, size_t node)
{
    return v->upper - v->lower >= node + 2;
}

/* Room for a node at the end of a page, its key in place: where its value goes. */
static unsigned char *level_node(struct bulk_level *v, const struct bulk_key *key, size_t value,
                                 size_t said, int flags)
{
    unsigned char *node = NULL;

    v->upper -= node_bytes(key->bytes, value);
    put16(v->page + v->lower, v->upper);
    v->lower += 2;
    node = v->page + v->upper;
    put32(node, said);
    put16(node + 4, (size_t)flags);
    put16(node + 6, key->bytes);
    memcpy(node + NODE_HEAD, key->b, key->bytes);
    if (v->n++ == 0) {
        v->first = *key;
    }
    return node + NODE_HEAD + key->bytes;
}

/* Write the page of a level: *number is its own. */
static enum rc level_emit(struct lmdb_bulk *b, int l, uint64_t *number, struct err *e)
{
    struct bulk_level *v = &b->level[l];
    enum rc rc = RC_OK;

    *number = bulk_next(b);
    put64(v->page, *number);
    put16(v->page + PAGE_FLAGS, l == 0 ? PAGE_LEAF : PAGE_BRANCH);
    put16(v->page + PAGE_LOWER, v->lower);
    put16(v->page + PAGE_UPPER, v->upper);
    rc = bulk_emit(b, v->page, b->page, e);
    b->table.branch += l > 0;
    b->table.leaf += l == 0;
    return rc;
}

/* A child of a branch. Its first one needs no key: all that is smaller than the second is its. */
static void branch_node(struct bulk_level *v, const struct bulk_key *key, uint64_t child)
{
    static const struct bulk_key none;

    (void)level_node(v, v->n == 0 ? &none : key, 0, (size_t)(child & UINT32_MAX),
                     (int)(child >> 32));
    if (v->n == 1) {
        v->first = *key;
    }
    v->last = *key;
    v->last_child = child;
}

/* Take the last node off a page again. */
static void branch_drop(struct bulk_level *v)
{
    const size_t node = node_bytes(v->n == 1 ? 0 : v->last.bytes, 0);

    v->n--;
    v->lower -= 2;
    put16(v->page + v->lower, 0);
    memset(v->page + v->upper, 0, node);
    v->upper += node;
}

/* A page is written, beginning with key: enter it one level up. A branch has two children or more, so
 * one that is full gives its last one to the next. */
static enum rc branch_add(struct lmdb_bulk *b, int l, struct bulk_key key, uint64_t child,
                          struct err *e)
{
    for (;; l++) {
        struct bulk_level *v = &b->level[l];
        struct bulk_key moved;
        struct bulk_key first;
        uint64_t moved_child = 0;
        uint64_t number = 0;
        enum rc rc = RC_OK;

        if (l == LEVELS) {
            return err_raise(e, RC_UNSUPPORTED, "more values than a table of an LMDB file takes");
        }
        if (l >= b->top) {
            level_reset(b, l);
            b->top = l + 1;
        }
        if (level_fits(v, node_bytes(key.bytes, 0))) {
            branch_node(v, &key, child);
            return RC_OK;
        }
        moved = v->last;
        moved_child = v->last_child;
        first = v->first;
        branch_drop(v);
        rc = level_emit(b, l, &number, e);
        if (rc != RC_OK) {
            return rc;
        }
        level_reset(b, l);
        branch_node(v, &moved, moved_child);
        branch_node(v, &key, child);
        key = first;
        child = number;
    }
}

/* The leaf is full, or the last one. */
static enum rc leaf_end(struct lmdb_bulk *b, struct err *e)
{
    struct bulk_key first = b->level[0].first;
    uint64_t number = 0;
    enum rc rc = level_emit(b, 0, &number, e);

    level_reset(b, 0);
    return rc == RC_OK ? branch_add(b, 1, first, number, e) : rc;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void table_begin(struct lmdb_bulk *b)
{
    b->table = (struct bulk_table){.root = BULK_NONE};
    level_reset(b, 0);
    b->top = 1;
}

/* Write what is left of each level. A lone page on the top level but one is the root. */
static enum rc table_end(struct lmdb_bulk *b, struct err *e)
{
    enum rc rc = RC_OK;

    if (b->table.entries == 0) {
        return RC_OK;
    }
    for (int l = 0; l < b->top && rc == RC_OK; l++) {
        struct bulk_key first = b->level[l].first;
        uint64_t number = 0;

        if (l > 0 && l + 1 == b->top && b->level[l].n == 1) {
            break; /* it would have one child, which is the root */
        }
        rc = level_emit(b, l, &number, e);
        b->table.root = number;
        b->table.depth = (uint16_t)(l + 1);
        if (rc == RC_OK && l + 1 < b->top) {
            rc = branch_add(b, l + 1, first, number, e);
        }
    }
    return rc;
}

static enum rc table_close(struct lmdb_bulk *b, struct err *e)
{
    enum rc rc = b->open ? table_end(b, e) : RC_OK;

    if (rc == RC_OK && b->open) {
        b->tables[b->n_tables++] = b->table;
    }
    b->open = false;
    return rc;
}

enum rc lmdb_bulk_table(struct lmdb_bulk *b, const char *name, struct err *e)
{
    enum rc rc = table_close(b, e);
    struct bulk_key *key = &b->names[b->n_tables];

    assert(b->n_tables < LMDB_BULK_TABLES && strlen(name) <= LMDB_BULK_KEY);
    key->bytes = strlen(name);
    memcpy(key->b, name, key->bytes);
    table_begin(b);
    b->open = true;
    return rc;
}

/* ---- values ---------------------------------------------------------------------------------- */

enum rc lmdb_bulk_room(struct lmdb_bulk *b, size_t at_most, void **out, size_t *n, struct err *e)
{
    enum rc rc = RC_OK;

    at_most = at_most < b->left ? at_most : b->left;
    assert(at_most > 0);
    if (b->inside != NULL) {
        *n = at_most;
        *out = b->inside;
        b->inside += at_most;
    } else {
        rc = hashed_file_room(b->file, at_most, out, n, e);
        b->at += rc == RC_OK ? *n : 0;
    }
    b->left -= rc == RC_OK ? *n : 0;
    return rc;
}

enum rc lmdb_bulk_copy(struct lmdb_bulk *b, const void *data, size_t bytes, struct err *e)
{
    const unsigned char *from = data;
    enum rc rc = RC_OK;

    while (rc == RC_OK && bytes > 0) {
        void *to = NULL;
        size_t n = 0;

        rc = lmdb_bulk_room(b, bytes, &to, &n, e);
        if (rc == RC_OK) {
            memcpy(to, from, n);
            from += n;
            bytes -= n;
        }
    }
    return rc;
}

static enum rc bulk_fill(struct lmdb_bulk *b, unsigned char *inside, size_t bytes,
                         lmdb_bulk_fill *fill, void *ctx, struct err *e)
{
    enum rc rc = RC_OK;

    b->inside = inside;
    b->left = bytes;
    if (b->file != NULL && bytes > 0) {
        rc = fill(ctx, b, e);
        assert(rc != RC_OK || b->left == 0);
    } else if (inside == NULL) {
        b->at += bytes;
    }
    return rc;
}

/* A value on pages of its own. */
static enum rc bulk_run(struct lmdb_bulk *b, size_t bytes, lmdb_bulk_fill *fill, void *ctx,
                        struct err *e)
{
    unsigned char head[PAGE_HEAD] = {0};
    const size_t pages = (PAGE_HEAD + bytes + b->page - 1) / b->page;
    enum rc rc = RC_OK;

    put64(head, bulk_next(b));
    put16(head + PAGE_FLAGS, PAGE_OVERFLOW);
    put32(head + PAGE_RUN, pages);
    rc = bulk_emit(b, head, sizeof head, e);
    if (rc == RC_OK) {
        rc = bulk_fill(b, NULL, bytes, fill, ctx, e);
    }
    b->table.overflow += pages;
    return rc == RC_OK ? bulk_zeros(b, pages * b->page - PAGE_HEAD - bytes, e) : rc;
}

/* A node must leave room for another on its page. */
static bool bulk_is_big(const struct lmdb_bulk *b, size_t key, size_t bytes)
{
    return NODE_HEAD + key + bytes > (((b->page - PAGE_HEAD) / 2) & ~(size_t)1) - 2;
}

enum rc lmdb_bulk_put(struct lmdb_bulk *b, const void *key, size_t key_bytes, size_t bytes,
                      lmdb_bulk_fill *fill, void *ctx, struct err *e)
{
    const bool big = bulk_is_big(b, key_bytes, bytes);
    const size_t held = big ? sizeof(uint64_t) : bytes;
    struct bulk_key k = {.bytes = key_bytes};
    enum rc rc = RC_OK;

    assert(b->open && key_bytes > 0 && key_bytes <= LMDB_BULK_KEY && bytes <= UINT32_MAX);
    memcpy(k.b, key, key_bytes);
    if (!level_fits(&b->level[0], node_bytes(key_bytes, held))) {
        rc = leaf_end(b, e);
    }
    b->table.entries++;
    if (rc == RC_OK && big) {
        put64(level_node(&b->level[0], &k, held, bytes, NODE_BIG), bulk_next(b));
        rc = bulk_run(b, bytes, fill, ctx, e);
    } else if (rc == RC_OK) {
        rc = bulk_fill(b, level_node(&b->level[0], &k, held, bytes, 0), bytes, fill, ctx, e);
    }
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* The table of the tables, by name. */
static enum rc bulk_names(struct lmdb_bulk *b, struct err *e)
{
    bool done[LMDB_BULK_TABLES] = {false};

    table_begin(b);
    for (int i = 0; i < b->n_tables; i++) {
        int least = -1;

        for (int t = 0; t < b->n_tables; t++) {
            const struct bulk_key *x = &b->names[t];
            const struct bulk_key *y = least < 0 ? NULL : &b->names[least];
            const int order =
                y == NULL ? -1 : memcmp(x->b, y->b, x->bytes < y->bytes ? x->bytes : y->bytes);

            if (!done[t] && (order < 0 || (order == 0 && x->bytes < y->bytes))) {
                least = t;
            }
        }
        done[least] = true;
        memcpy(level_node(&b->level[0], &b->names[least], sizeof b->table, sizeof b->table,
                          NODE_TABLE),
               &b->tables[least], sizeof b->table);
        b->table.entries++;
    }
    return table_end(b, e);
}

/* Both meta pages: of an empty file, and of the only transaction that there was. */
static enum rc bulk_metas(struct lmdb_bulk *b, uint64_t bytes, const struct bulk_table *names,
                          struct err *e)
{
    const struct bulk_table free_pages = {
        .pad = (uint32_t)b->page, .flags = META_FLAGS, .root = BULK_NONE};
    const struct bulk_table empty = {.root = BULK_NONE};
    enum rc rc = RC_OK;

    for (uint64_t i = 0; i < META_PAGES && rc == RC_OK; i++) {
        unsigned char *page = b->level[0].page;
        unsigned char *m = page + META_AT;

        memset(page, 0, b->page);
        put64(page, i);
        put16(page + PAGE_FLAGS, PAGE_META);
        put32(m, BULK_MAGIC);
        put32(m + META_VERSION, 1);
        put64(m + META_MAP, bytes);
        memcpy(m + META_TABLES, &free_pages, sizeof free_pages);
        memcpy(m + META_TABLES + sizeof empty, i == 0 ? &empty : names, sizeof empty);
        put64(m + META_LAST, i == 0 ? META_PAGES - 1 : bytes / b->page - 1);
        put64(m + META_TXN, i);
        rc = bulk_emit(b, page, b->page, e);
    }
    return rc;
}

/* One time through all of it. */
static enum rc bulk_pass(struct lmdb_bulk *b, lmdb_bulk_give *give, void *ctx, struct err *e)
{
    uint64_t bytes = b->at; /* of the pass before */
    struct bulk_table names = b->table;
    enum rc rc = RC_OK;

    b->at = 0;
    b->n_tables = 0;
    b->open = false;
    rc = bulk_metas(b, bytes, &names, e);
    if (rc == RC_OK) {
        rc = give(ctx, b, e);
    }
    if (rc == RC_OK) {
        rc = table_close(b, e);
    }
    if (rc == RC_OK) {
        rc = bulk_names(b, e);
    }
    assert(rc != RC_OK || b->file == NULL ||
           (b->at == bytes && memcmp(&b->table, &names, sizeof names) == 0));
    return rc;
}

enum rc lmdb_bulk_write(const char *path, lmdb_bulk_give *give, void *ctx, struct digest *digest,
                        uint64_t *bytes, struct err *e)
{
    struct lmdb_bulk *b = mem_calloc(1, sizeof *b);
    long page = sysconf(_SC_PAGESIZE);
    enum rc rc = b != NULL ? RC_OK : mem_raise(e, "an LMDB file", sizeof *b);

    if (rc == RC_OK) {
        b->page = page < PAGE_MOST ? (size_t)page : PAGE_MOST;
        rc = bulk_pass(b, give, ctx, e);
    }
    if (rc == RC_OK) {
        rc = hashed_file_create(path, &b->file, e);
    }
    if (rc == RC_OK) {
        rc = bulk_pass(b, give, ctx, e);
    }
    if (rc == RC_OK) {
        rc = hashed_file_finish(b->file, digest, e);
    }
    if (rc == RC_OK) {
        *bytes = b->at;
    }
    if (b != NULL) {
        hashed_file_close(b->file);
    }
    mem_free(b);
    return rc;
}

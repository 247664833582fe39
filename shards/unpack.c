#include "shards/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include "common/base/mem.h"

enum { UNPACK_BLOCK = 1 << 16 };

struct unpack {
    struct archive *a;
    struct unpack *parent; /* of a nested archive */
    const void *head;
    size_t head_bytes;
    unsigned char block[UNPACK_BLOCK];
};

static const char *unpack_why(const struct unpack *u)
{
    const char *why = archive_error_string(u->a);

    return why != NULL ? why : "the archive is damaged";
}

/* RC_NOMEM and RC_IO where the library tells them from damage. */
static enum rc unpack_raise(const struct unpack *u, struct err *e)
{
    return err_raise(e, archive_errno(u->a) == ENOMEM ? RC_NOMEM : RC_CORRUPT, "%s", unpack_why(u));
}

static enum rc unpack_create(bool file, struct unpack **out, struct err *e)
{
    struct unpack *u = mem_calloc(1, sizeof *u);

    if (u != NULL) {
        u->a = archive_read_new();
    }
    if (u == NULL || u->a == NULL) {
        mem_free(u);
        return mem_raise(e, "reading an archive", sizeof *u);
    }
    (void)archive_read_support_filter_gzip(u->a);
    (void)archive_read_support_filter_bzip2(u->a);
    (void)archive_read_support_filter_xz(u->a);
    (void)archive_read_support_filter_zstd(u->a);
    (void)archive_read_support_filter_lz4(u->a);
    if (file) {
        (void)archive_read_support_format_raw(u->a);
        (void)archive_read_support_format_empty(u->a);
    } else {
        (void)archive_read_support_format_tar(u->a);
        (void)archive_read_support_format_zip(u->a);
    }
    /* Names are bytes: whatever their encoding, they come through as they are. */
    (void)archive_read_set_options(u->a, "hdrcharset=BINARY");
    *out = u;
    return RC_OK;
}

void unpack_close(struct unpack *u)
{
    if (u != NULL) {
        (void)archive_read_free(u->a);
        mem_free(u);
    }
}

enum rc unpack_open(const char *path, struct unpack **out, struct err *e)
{
    struct unpack *u = NULL;
    enum rc rc = unpack_create(false, &u, e);

    if (rc == RC_OK && archive_read_open_filename(u->a, path, UNPACK_BLOCK) != ARCHIVE_OK) {
        rc = unpack_raise(u, e);
        unpack_close(u);
    }
    if (rc == RC_OK) {
        *out = u;
    }
    return rc;
}

enum rc unpack_open_file(const char *path, struct unpack **out, struct err *e)
{
    struct archive_entry *entry = NULL;
    struct unpack *u = NULL;
    enum rc rc = unpack_create(true, &u, e);

    if (rc == RC_OK && (archive_read_open_filename(u->a, path, UNPACK_BLOCK) != ARCHIVE_OK ||
                        archive_read_next_header(u->a, &entry) < ARCHIVE_WARN)) {
        rc = unpack_raise(u, e);
        unpack_close(u);
    }
    if (rc == RC_OK) {
        *out = u;
    }
    return rc;
}

static la_ssize_t unpack_from_parent(struct archive *a, void *ctx, const void **out)
{
    struct unpack *u = ctx;
    la_ssize_t got = (la_ssize_t)u->head_bytes;

    if (u->head_bytes > 0) {
        *out = u->head;
        u->head_bytes = 0;
        return got;
    }
    *out = u->block;
    got = archive_read_data(u->parent->a, u->block, sizeof u->block);
    if (got < 0) {
        archive_set_error(a, archive_errno(u->parent->a), "%s", unpack_why(u->parent));
    }
    return got;
}

enum rc unpack_open_nested(struct unpack *parent, const void *head, size_t head_bytes,
                           struct unpack **out, struct err *e)
{
    struct unpack *u = NULL;
    enum rc rc = unpack_create(false, &u, e);

    if (rc != RC_OK) {
        return rc;
    }
    u->parent = parent;
    u->head = head;
    u->head_bytes = head_bytes;
    if (archive_read_open(u->a, u, NULL, unpack_from_parent, NULL) != ARCHIVE_OK) {
        rc = unpack_raise(u, e);
        unpack_close(u);
        return rc;
    }
    *out = u;
    return RC_OK;
}

enum rc unpack_next(struct unpack *u, struct unpack_member *out, bool *more, struct err *e)
{
    struct archive_entry *entry = NULL;
    int got = archive_read_next_header(u->a, &entry);

    *more = false;
    if (got == ARCHIVE_EOF) {
        return RC_OK;
    }
    if (got < ARCHIVE_WARN) {
        return unpack_raise(u, e);
    }
    *more = true;
    out->name = archive_entry_pathname(entry);
    if (out->name == NULL) {
        out->name = archive_entry_pathname_utf8(entry);
    }
    out->folder = archive_entry_filetype(entry) == AE_IFDIR;
    out->regular =
        archive_entry_filetype(entry) == AE_IFREG && archive_entry_hardlink(entry) == NULL;
    return RC_OK;
}

enum rc unpack_read(struct unpack *u, void *buf, size_t bytes, size_t *got, struct err *e)
{
    la_ssize_t n = archive_read_data(u->a, buf, bytes);

    if (n < 0) {
        return unpack_raise(u, e);
    }
    *got = (size_t)n;
    return RC_OK;
}

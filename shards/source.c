#include "shards/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/watch.h"
#include "common/image/image.h"
#include "shards/source_ahead.h"
#include "shards/unpack.h"

int64_t source_mtime(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* ---- kinds ------------------------------------------------------------------------------------- */

/* A tar header carries the sum of its bytes, the sum's own field taken as blanks. */
static bool source_is_tar(const unsigned char *h, size_t bytes)
{
    unsigned long said = 0;
    unsigned long sum = 0;

    if (bytes < SOURCE_HEAD || h[0] == 0) {
        return false;
    }
    for (int i = 148; i < 156; i++) {
        if (h[i] >= '0' && h[i] <= '7') {
            said = said * 8 + (unsigned long)(h[i] - '0');
        } else if (h[i] != ' ' && h[i] != 0) {
            return false;
        }
    }
    for (int i = 0; i < SOURCE_HEAD; i++) {
        sum += i >= 148 && i < 156 ? ' ' : h[i];
    }
    return sum == said;
}

enum source_kind source_sniff(const void *head, size_t bytes)
{
    static const struct {
        const char *magic;
        size_t bytes;
    } packed[] = {{"\x1f\x8b", 2}, {"\x28\xb5\x2f\xfd", 4}, {"\xfd\x37\x7a\x58\x5a\x00", 6},
                  {"BZh", 3},      {"PK\x03\x04", 4},       {"\x04\x22\x4d\x18", 4}};
    const unsigned char *h = head;

    for (size_t i = 0; i < sizeof packed / sizeof packed[0]; i++) {
        if (bytes >= packed[i].bytes && memcmp(h, packed[i].magic, packed[i].bytes) == 0) {
            return SOURCE_ARCHIVE;
        }
    }
    if (bytes >= 4 && h[0] == 0 && h[1] == 0 && h[2] == 8 && h[3] >= 1 && h[3] <= 4) {
        return h[3] == 1 ? SOURCE_IDX_LABELS : h[3] > 2 ? SOURCE_IDX_IMAGES : SOURCE_IMAGE;
    }
    return source_is_tar(h, bytes) ? SOURCE_ARCHIVE : SOURCE_IMAGE;
}

ssize_t source_read_some(int fd, void *buf, size_t bytes)
{
    size_t got = 0;

    while (got < bytes) {
        ssize_t n = read(fd, (unsigned char *)buf + got, bytes - got);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        got += (size_t)n;
    }
    return (ssize_t)got;
}

/* What a compressed file holds, by its first bytes. */
static enum source_kind source_kind_within(const char *path)
{
    unsigned char head[SOURCE_HEAD];
    struct unpack *u = NULL;
    size_t n = 0;
    size_t got = 1;

    if (unpack_open_file(path, &u, NULL) != RC_OK) {
        return SOURCE_ARCHIVE;
    }
    while (n < sizeof head && got > 0 &&
           unpack_read(u, head + n, sizeof head - n, &got, NULL) == RC_OK) {
        n += got;
    }
    unpack_close(u);
    return source_sniff(head, n);
}

/* Of a source named by the user: also what is compressed. */
static enum rc source_kind_of(const char *path, enum source_kind *kind, struct err *e)
{
    unsigned char head[SOURCE_HEAD];
    enum source_kind within = SOURCE_ARCHIVE;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? source_read_some(fd, head, sizeof head) : -1;

    if (n < 0) {
        enum rc rc = err_raise(e, RC_IO, "cannot read '%s': %s", path, strerror(errno));

        if (fd >= 0) {
            (void)close(fd);
        }
        return rc;
    }
    (void)close(fd);
    *kind = source_sniff(head, (size_t)n);
    if (*kind == SOURCE_ARCHIVE) {
        within = source_kind_within(path);
        *kind = within == SOURCE_IDX_IMAGES || within == SOURCE_IDX_LABELS ? within : *kind;
    }
    return RC_OK;
}

/* ---- candidates -------------------------------------------------------------------------------- */

enum rc source_offer(const struct source *s, const struct source_image *image, struct err *e)
{
    bool want = false;
    enum rc rc = s->v->want(s->v->ctx, image, &want, e);

    return rc == RC_OK && want && !s->names_only ? s->v->image(s->v->ctx, image, e) : rc;
}

enum rc source_bad(const struct source *s, const struct source_image *image, const char *reason,
                   const char *detail, struct err *e)
{
    return s->names_only ? RC_OK : s->v->bad(s->v->ctx, image, reason, detail, e);
}

enum rc source_file_bad(const struct source *s, const struct source_image *image,
                        const char *reason, const char *detail, struct err *e)
{
    enum rc rc = source_ahead_drain(s, e);

    return rc == RC_OK ? source_bad(s, image, reason, detail, e) : rc;
}

static enum rc source_read_image(const struct source *s, struct source_image *image, int fd,
                                 const void *head, size_t head_bytes, struct err *e)
{
    unsigned char *data = NULL;
    size_t size = (size_t)image->file_bytes;
    ssize_t n = 0;
    enum rc rc = RC_OK;

    if (image->file_bytes > IMAGE_MAX_BYTES) {
        return source_bad(s, image, image_reason_name(IMAGE_TOO_LARGE),
                          "more bytes than the limit of a file", e);
    }
    if (size < head_bytes) {
        size = head_bytes;
    }
    data = mem_calloc(size + 1, 1);
    if (data == NULL) {
        return mem_raise(e, image->path, size);
    }
    memcpy(data, head, head_bytes);
    n = source_read_some(fd, data + head_bytes, size - head_bytes);
    if (n < 0) {
        rc = source_bad(s, image, "unreadable", strerror(errno), e);
    } else {
        image->data = data;
        image->bytes = head_bytes + (size_t)n;
        rc = s->v->image(s->v->ctx, image, e);
    }
    mem_free(data);
    return rc;
}

enum rc source_file_met(const struct source *s, struct source_image *image, const struct stat *st,
                        enum source_known known, const struct source_read *read, struct err *e)
{
    bool want = false;
    enum rc rc = RC_OK;

    if (known == SOURCE_KNOWN_IMAGE) {
        return s->v->want(s->v->ctx, image, &want, e); /* it counts, though it is not read */
    }
    if (read->failed != 0) {
        return source_bad(s, image, "unreadable", strerror(read->failed), e);
    }
    if (source_sniff(read->head, read->bytes) == SOURCE_ARCHIVE) {
        return source_archive_walk(s, image->path, st, e);
    }
    image->data = read->head;
    image->bytes = read->bytes;
    rc = s->v->want(s->v->ctx, image, &want, e);
    if (rc != RC_OK || !want || s->names_only) {
        return rc;
    }
    return read->whole ? s->v->image(s->v->ctx, image, e)
                       : source_read_image(s, image, read->fd, read->head, read->bytes, e);
}

static enum rc source_open_file(const struct source *s, struct source_image *image,
                                const struct stat *st, struct err *e)
{
    unsigned char head[SOURCE_HEAD];
    struct source_read read = {.head = head};
    ssize_t n = -1;
    enum rc rc = RC_OK;

    read.fd = open(image->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    n = read.fd >= 0 ? source_read_some(read.fd, head, sizeof head) : -1;
    read.failed = n < 0 ? errno : 0;
    read.bytes = n < 0 ? 0 : (size_t)n;
    rc = source_file_met(s, image, st, SOURCE_UNKNOWN, &read, e);
    if (read.fd >= 0) {
        (void)close(read.fd);
    }
    return rc;
}

enum rc source_file(const struct source *s, const struct source_image *given, struct err *e)
{
    struct source_image image = *given;
    enum source_known known = SOURCE_UNKNOWN;
    bool want = false;
    struct stat st;
    enum rc rc = RC_OK;

    watch_at("reading", image.path);
    if (stat(image.path, &st) != 0) {
        return source_file_bad(s, &image, "unreadable", strerror(errno), e);
    }
    if (!S_ISREG(st.st_mode)) {
        return source_file_bad(s, &image, "not-a-file", "neither a regular file nor a folder", e);
    }
    image.file_bytes = (uint64_t)st.st_size;
    image.mtime_ns = source_mtime(&st);
    rc = s->v->known(s->v->ctx, &image, &known, e);
    if (rc == RC_OK && s->ahead != NULL && known != SOURCE_KNOWN_ARCHIVE) {
        return source_ahead_add(s, &image, &st, known, e);
    }
    if (rc == RC_OK && known == SOURCE_KNOWN_IMAGE) {
        return s->v->want(s->v->ctx, &image, &want, e); /* it counts, though it is not read */
    }
    return rc == RC_OK && known == SOURCE_UNKNOWN ? source_open_file(s, &image, &st, e) : rc;
}

/* ---- sources ----------------------------------------------------------------------------------- */

/* A file named by the user: its folder is its class. */
static enum rc source_lone_file(const struct source *s, const char *path, struct err *e)
{
    const char *base = strrchr(path, '/');
    const char *start = base;
    char cls[SOURCE_MAX_CLASS + 1] = "";
    struct source_image image = {.text = path, .container = path, .path = path};

    image.inside = base != NULL ? base + 1 : path;
    while (start != NULL && start > path && start[-1] != '/') {
        start--;
    }
    if (start != NULL && base > start && (size_t)(base - start) < sizeof cls && *start != '.') {
        memcpy(cls, start, (size_t)(base - start));
        image.cls = cls;
    }
    return source_file(s, &image, e);
}

static enum rc source_walk_one(const struct source *s, const char *path, const char *next,
                               bool *took_next, struct err *e)
{
    enum source_kind kind = SOURCE_IMAGE;
    enum source_kind next_kind = SOURCE_IMAGE;
    struct stat st;
    enum rc rc = RC_OK;

    *took_next = false;
    watch_at("reading", path);
    if (stat(path, &st) != 0) {
        return err_raise(e, RC_IO, "cannot read the source '%s': %s", path, strerror(errno));
    }
    if (S_ISDIR(st.st_mode)) {
        return source_dir_walk(s, path, e);
    }
    if (!S_ISREG(st.st_mode)) {
        return err_raise(e, RC_INVAL, "the source '%s' is neither a folder nor a regular file",
                         path);
    }
    if (source_list_named(path)) {
        return source_list_walk(s, path, e);
    }
    rc = source_kind_of(path, &kind, e);
    if (rc != RC_OK || (kind != SOURCE_IDX_IMAGES && kind != SOURCE_IDX_LABELS)) {
        return rc == RC_OK ? source_lone_file(s, path, e) : rc;
    }
    if (kind == SOURCE_IDX_LABELS) {
        return err_raise(e, RC_INVAL,
                         "'%s' holds IDX labels: name it right after the IDX file of its images",
                         path);
    }
    if (next != NULL && stat(next, &st) == 0 && S_ISREG(st.st_mode)) {
        rc = source_kind_of(next, &next_kind, e);
    }
    *took_next = next_kind == SOURCE_IDX_LABELS;
    return rc == RC_OK ? source_idx_walk(s, path, *took_next ? next : NULL, e) : rc;
}

static enum rc source_begin(struct source *s, struct err *e)
{
    return s->v->look != NULL && s->v->ahead > 0 && !s->names_only
               ? source_ahead_create(s->v, &s->ahead, e)
               : RC_OK;
}

enum rc source_walk_files(const char *const paths[], int n, const struct source_visitor *v,
                          struct err *e)
{
    struct source s = {v, false, NULL};
    enum rc rc = source_begin(&s, e);

    for (int i = 0; i < n && rc == RC_OK; i++) {
        enum source_kind kind = SOURCE_IMAGE;
        struct err why = {0};

        rc = source_kind_of(paths[i], &kind, &why);
        if (rc == RC_OK && kind == SOURCE_IDX_IMAGES) {
            rc = source_idx_walk(&s, paths[i], NULL, e);
        } else if (rc == RC_NOMEM) {
            rc = err_raise(e, rc, "%s", why.msg);
        } else {
            rc = source_lone_file(&s, paths[i], e); /* tells what it cannot read */
        }
    }
    if (rc == RC_OK) {
        rc = source_ahead_drain(&s, e);
    }
    source_ahead_destroy(s.ahead);
    return rc;
}

enum rc source_walk(const char *const paths[], int n, bool names_only,
                    const struct source_visitor *v, struct err *e)
{
    struct source s = {v, names_only, NULL};
    enum rc rc = source_begin(&s, e);

    for (int i = 0; i < n && rc == RC_OK; i++) {
        bool took_next = false;

        rc = source_walk_one(&s, paths[i], i + 1 < n ? paths[i + 1] : NULL, &took_next, e);
        i += took_next ? 1 : 0;
        rc = rc == RC_OK ? source_ahead_drain(&s, e) : rc;
    }
    source_ahead_destroy(s.ahead);
    return rc;
}

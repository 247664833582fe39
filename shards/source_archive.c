#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/mem.h"
#include "common/image/image.h"
#include "shards/source_impl.h"

enum {
    ARCHIVE_BLOCK = 1 << 16,
    ARCHIVE_SIDECAR = 1 << 20,   /* bytes of a .cls or .json */
    ARCHIVE_SAMPLE_MEMBERS = 32, /* of one WebDataset sample */
    ARCHIVE_SAMPLE_BYTES = 256 << 20
};

/* Members that stand together and share a name up to its first dot: images and what is beside. */
struct archive_member {
    char *text;
    unsigned char *data;
    size_t bytes;
};

struct archive_sample {
    char *stem;
    struct archive_member members[ARCHIVE_SAMPLE_MEMBERS];
    int n;
    size_t bytes;
    char cls[SOURCE_MAX_CLASS + 1];
    bool numeric;
};

struct archive_walk {
    const struct source *s;
    struct archive *a;
    const char *text;      /* of the archive */
    const char *container; /* the file */
    char *name; /* class of members without a folder: a nested archive's own name; or NULL */
    int depth;
    struct archive_sample sample;
};

/* An archive within an archive: libarchive reads it through these. */
struct archive_nested {
    struct archive *parent;
    const unsigned char *head;
    size_t head_bytes;
    unsigned char block[ARCHIVE_BLOCK];
};

static enum rc archive_walk_members(struct archive_walk *w, struct err *e);

static struct archive *archive_reader(void)
{
    struct archive *a = archive_read_new();

    if (a == NULL) {
        return NULL;
    }
    (void)archive_read_support_filter_gzip(a);
    (void)archive_read_support_filter_bzip2(a);
    (void)archive_read_support_filter_xz(a);
    (void)archive_read_support_filter_zstd(a);
    (void)archive_read_support_filter_lz4(a);
    (void)archive_read_support_format_tar(a);
    (void)archive_read_support_format_zip(a);
    /* Names are bytes: whatever their encoding, they come through as they are. */
    (void)archive_read_set_options(a, "hdrcharset=BINARY");
    return a;
}

/* ---- samples ----------------------------------------------------------------------------------- */

static void archive_sample_reset(struct archive_sample *p)
{
    for (int i = 0; i < p->n; i++) {
        mem_free(p->members[i].text);
        mem_free(p->members[i].data);
    }
    mem_free(p->stem);
    memset(p, 0, sizeof *p);
}

/* The folder that holds the member, or the nested archive's name. */
static const char *archive_folder(const struct archive_walk *w, const char *member, char *buf)
{
    const char *end = strrchr(member, '/');
    const char *start = end;

    if (end == NULL || end == member) {
        return w->name;
    }
    while (start > member && start[-1] != '/') {
        start--;
    }
    if (end == start || *start == '.' || (size_t)(end - start) > SOURCE_MAX_CLASS) {
        return w->name;
    }
    memcpy(buf, start, (size_t)(end - start));
    buf[end - start] = '\0';
    return buf;
}

static enum rc archive_sample_flush(struct archive_walk *w, struct err *e)
{
    struct archive_sample *p = &w->sample;
    char folder[SOURCE_MAX_CLASS + 1];
    enum rc rc = RC_OK;

    for (int i = 0; i < p->n && rc == RC_OK; i++) {
        const char *member = p->members[i].text + strlen(w->text) + 1;
        struct source_image image = {.text = p->members[i].text,
                                     .container = w->container,
                                     .data = p->members[i].data,
                                     .bytes = p->members[i].bytes};

        image.inside = image.text + strlen(w->container) + 1;
        image.numeric = p->cls[0] != '\0' && p->numeric;
        image.cls = p->cls[0] != '\0' ? p->cls : archive_folder(w, member, folder);
        rc = source_offer(w->s, &image, e);
    }
    archive_sample_reset(p);
    return rc;
}

static size_t archive_stem(const char *name)
{
    const char *base = strrchr(name, '/');

    base = base != NULL ? base + 1 : name;
    return (size_t)(base - name) + strcspn(base, ".");
}

/* Begin another sample if this member does not belong to the one at hand. */
static enum rc archive_sample_turn(struct archive_walk *w, const char *name, struct err *e)
{
    struct archive_sample *p = &w->sample;
    size_t stem = archive_stem(name);
    enum rc rc = RC_OK;

    if (p->stem != NULL && strlen(p->stem) == stem && memcmp(p->stem, name, stem) == 0 &&
        p->n < ARCHIVE_SAMPLE_MEMBERS && p->bytes < ARCHIVE_SAMPLE_BYTES) {
        return RC_OK;
    }
    rc = archive_sample_flush(w, e);
    p->stem = mem_sprintf("%.*s", (int)stem, name);
    return rc == RC_OK && p->stem == NULL ? mem_raise(e, "a name", stem) : rc;
}

static void archive_class_text(struct archive_sample *p, const char *text, size_t bytes)
{
    while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1]) != NULL) {
        bytes--;
    }
    while (bytes > 0 && strchr(" \t\r\n", *text) != NULL) {
        text++;
        bytes--;
    }
    if (bytes == 0 || bytes > SOURCE_MAX_CLASS || memchr(text, 0, bytes) != NULL) {
        return;
    }
    memcpy(p->cls, text, bytes);
    p->cls[bytes] = '\0';
    p->numeric = strspn(p->cls, "0123456789") == bytes;
}

static void archive_class_json(struct archive_sample *p, const char *text, size_t bytes)
{
    static const char *const members[] = {"class", "label", "cls"};
    json_t *obj = json_loadb(text, bytes, 0, NULL);

    for (int i = 0; i < 3 && p->cls[0] == '\0'; i++) {
        const json_t *v = json_object_get(obj, members[i]);
        char number[32];

        if (json_is_string(v)) {
            archive_class_text(p, json_string_value(v), json_string_length(v));
        } else if (json_is_integer(v) && json_integer_value(v) >= 0) {
            int n = snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));

            archive_class_text(p, number, (size_t)n);
        }
    }
    json_decref(obj);
}

/* ---- members ----------------------------------------------------------------------------------- */

static enum rc archive_bad(const struct archive_walk *w, const char *text, const char *reason,
                           const char *detail, struct err *e)
{
    const char *bang = strlen(text) > strlen(w->container) ? text + strlen(w->container) + 1 : "";
    struct source_image image = {.text = text, .inside = bang, .container = w->container};

    return source_bad(w->s, &image, reason, detail, e);
}

/* Read the rest of a member after its head. *why: what is wrong with it, and *broken the archive. */
static unsigned char *archive_member(struct archive_walk *w, const unsigned char *head, size_t n,
                                     size_t max, size_t *bytes, const char **why)
{
    size_t room = n > ARCHIVE_BLOCK ? n : ARCHIVE_BLOCK;
    unsigned char *data = mem_calloc(room, 1);

    *why = data == NULL ? "out of memory" : NULL;
    if (data != NULL) {
        memcpy(data, head, n);
    }
    while (data != NULL) {
        la_ssize_t got = 0;

        if (n == room) {
            unsigned char *more = n < max ? mem_realloc(data, 2 * room, 1) : NULL;

            if (more == NULL) {
                *why = n < max ? "out of memory" : "more bytes than the limit of a file";
                break;
            }
            data = more;
            room *= 2;
        }
        got = archive_read_data(w->a, data + n, room - n);
        if (got <= 0) {
            *why = got < 0 ? archive_error_string(w->a) : NULL;
            break;
        }
        n += (size_t)got;
    }
    if (*why != NULL) {
        mem_free(data);
        return NULL;
    }
    *bytes = n;
    return data;
}

static la_ssize_t archive_nested_read(struct archive *a, void *ctx, const void **out)
{
    struct archive_nested *n = ctx;
    la_ssize_t got = 0;

    if (n->head_bytes > 0) {
        *out = n->head;
        got = (la_ssize_t)n->head_bytes;
        n->head_bytes = 0;
        return got;
    }
    *out = n->block;
    got = archive_read_data(n->parent, n->block, sizeof n->block);
    if (got < 0) {
        archive_set_error(a, archive_errno(n->parent), "%s", archive_error_string(n->parent));
    }
    return got;
}

static enum rc archive_nested_walk(struct archive_walk *parent, const char *text, const char *name,
                                   const unsigned char *head, size_t head_bytes, struct err *e)
{
    const char *base = strrchr(name, '/');
    struct archive_walk w = {
        .s = parent->s, .text = text, .container = parent->container, .depth = parent->depth + 1};
    struct archive_nested *n = mem_calloc(1, sizeof *n);
    enum rc rc = RC_OK;

    base = base != NULL ? base + 1 : name;
    w.name = mem_sprintf("%.*s", (int)strcspn(base, "."), base);
    w.a = archive_reader();
    if (n == NULL || w.name == NULL || w.a == NULL) {
        rc = mem_raise(e, "reading an archive", sizeof *n);
        goto out;
    }
    n->parent = parent->a;
    n->head = head;
    n->head_bytes = head_bytes;
    if (archive_read_open(w.a, n, NULL, archive_nested_read, NULL) != ARCHIVE_OK) {
        rc = archive_bad(&w, text, "broken-archive", archive_error_string(w.a), e);
    } else {
        rc = archive_walk_members(&w, e);
    }
out:
    if (w.a != NULL) {
        (void)archive_read_free(w.a);
    }
    mem_free(w.name);
    mem_free(n);
    return rc;
}

static enum rc archive_sidecar(struct archive_walk *w, const char *text, const char *name,
                               const char *ext, struct err *e)
{
    const char *why = NULL;
    size_t bytes = 0;
    unsigned char *data = NULL;
    enum rc rc = archive_sample_turn(w, name, e);

    if (rc != RC_OK || strcmp(ext, ".txt") == 0) {
        return rc;
    }
    data = archive_member(w, (const unsigned char *)"", 0, ARCHIVE_SIDECAR, &bytes, &why);
    if (data == NULL) {
        return archive_bad(w, text, "broken-archive", why, e);
    }
    if (strcmp(ext, ".cls") == 0) {
        archive_class_text(&w->sample, (const char *)data, bytes);
    } else if (w->sample.cls[0] == '\0') {
        archive_class_json(&w->sample, (const char *)data, bytes);
    }
    mem_free(data);
    return RC_OK;
}

/* Takes text. */
static enum rc archive_image(struct archive_walk *w, char *text, const char *name,
                             const unsigned char *head, size_t head_bytes, struct err *e)
{
    struct archive_member m = {.text = text};
    const char *why = NULL;
    enum rc rc = archive_sample_turn(w, name, e);

    if (rc == RC_OK && w->s->names_only) {
        m.data = mem_calloc(head_bytes + 1, 1);
        m.bytes = head_bytes;
        if (m.data != NULL) {
            memcpy(m.data, head, head_bytes);
        }
        rc = m.data != NULL ? RC_OK : mem_raise(e, "a member of an archive", head_bytes);
    } else if (rc == RC_OK) {
        m.data = archive_member(w, head, head_bytes, IMAGE_MAX_BYTES, &m.bytes, &why);
    }
    if (why != NULL) {
        rc = archive_bad(w, text,
                         strstr(why, "limit") != NULL ? image_reason_name(IMAGE_TOO_LARGE)
                                                      : "broken-archive",
                         why, e);
    }
    if (rc != RC_OK || why != NULL) {
        mem_free(text);
        return rc;
    }
    w->sample.members[w->sample.n++] = m;
    w->sample.bytes += m.bytes;
    return RC_OK;
}

/* Takes text. */
static enum rc archive_file(struct archive_walk *w, char *text, const char *name, struct err *e)
{
    const char *ext = strrchr(name, '.');
    unsigned char head[SOURCE_HEAD];
    size_t n = 0;
    la_ssize_t got = 1;
    enum rc rc = RC_OK;

    if (ext != NULL &&
        (strcmp(ext, ".cls") == 0 || strcmp(ext, ".txt") == 0 || strcmp(ext, ".json") == 0)) {
        rc = archive_sidecar(w, text, name, ext, e);
        goto out;
    }
    while (n < sizeof head && got > 0) {
        got = archive_read_data(w->a, head + n, sizeof head - n);
        n += got > 0 ? (size_t)got : 0;
    }
    if (got < 0) {
        rc = archive_bad(w, text, "broken-archive", archive_error_string(w->a), e);
        goto out;
    }
    if (source_sniff(head, n) != SOURCE_ARCHIVE) {
        return archive_image(w, text, name, head, n, e);
    }
    rc = archive_sample_flush(w, e);
    if (rc == RC_OK) {
        rc = w->depth + 1 >= SOURCE_MAX_DEPTH
                 ? archive_bad(w, text, "nested-too-deep", "archives within archives", e)
                 : archive_nested_walk(w, text, name, head, n, e);
    }
out:
    mem_free(text);
    return rc;
}

static enum rc archive_entry(struct archive_walk *w, struct archive_entry *entry, struct err *e)
{
    const char *name = archive_entry_pathname(entry);
    const char *base = NULL;
    char *text = NULL;
    enum rc rc = RC_OK;

    if (archive_entry_filetype(entry) == AE_IFDIR) {
        return RC_OK;
    }
    name = name != NULL ? name : archive_entry_pathname_utf8(entry);
    if (name == NULL || *name == '\0' || strlen(name) + strlen(w->text) + 1 >= SOURCE_MAX_TEXT) {
        return archive_bad(w, w->text, "not-a-file",
                           "a member without a name, or with one too long", e);
    }
    base = strrchr(name, '/');
    if ((base != NULL ? base[1] : name[0]) == '.') {
        return RC_OK;
    }
    text = mem_sprintf("%s!%s", w->text, name);
    if (text == NULL) {
        return mem_raise(e, "a name", strlen(name));
    }
    if (archive_entry_hardlink(entry) != NULL || archive_entry_filetype(entry) != AE_IFREG) {
        rc = archive_bad(w, text, "not-a-file", "a link or a special file in an archive", e);
        mem_free(text);
        return rc;
    }
    return archive_file(w, text, name, e);
}

/* RC_OK also where the archive breaks off: that is told to bad(). */
static enum rc archive_walk_members(struct archive_walk *w, struct err *e)
{
    struct archive_entry *entry = NULL;
    enum rc rc = RC_OK;
    int got = ARCHIVE_OK;

    while (rc == RC_OK && (got = archive_read_next_header(w->a, &entry)) != ARCHIVE_EOF) {
        if (got < ARCHIVE_WARN) {
            rc = archive_sample_flush(w, e);
            if (rc == RC_OK) {
                rc = archive_bad(w, w->text, "broken-archive", archive_error_string(w->a), e);
            }
            break;
        }
        rc = archive_entry(w, entry, e);
    }
    if (rc == RC_OK) {
        rc = archive_sample_flush(w, e);
    }
    archive_sample_reset(&w->sample);
    return rc;
}

enum rc source_archive_walk(const struct source *s, const char *path, const struct stat *st,
                            struct err *e)
{
    struct archive_walk w = {.s = s, .text = path, .container = path};
    enum rc rc = RC_OK;

    w.a = archive_reader();
    if (w.a == NULL) {
        return mem_raise(e, "reading an archive", 0);
    }
    if (archive_read_open_filename(w.a, path, ARCHIVE_BLOCK) != ARCHIVE_OK) {
        rc = archive_bad(&w, path, "broken-archive", archive_error_string(w.a), e);
    } else {
        rc = archive_walk_members(&w, e);
        if (rc == RC_OK && !s->names_only) {
            rc = s->v->done(s->v->ctx, path, (uint64_t)st->st_size, source_mtime(st), e);
        }
    }
    (void)archive_read_free(w.a);
    return rc;
}

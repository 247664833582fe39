#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/watch.h"
#include "common/image/image.h"
#include "shards/source_impl.h"
#include "shards/unpack.h"

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
    struct unpack *u;
    const char *text;      /* of the archive */
    const char *container; /* the file */
    char *name; /* class of members without a folder: a nested archive's own name; or NULL */
    int depth;
    struct archive_sample sample;
};

static enum rc archive_walk_members(struct archive_walk *w, struct err *e);

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

/* A broken member or archive is told to bad(); other errors end the walk. */
static enum rc archive_broken(const struct archive_walk *w, const char *text, enum rc rc,
                              struct err *e)
{
    struct err why = *e;

    if (rc != RC_CORRUPT) {
        return rc;
    }
    err_clear(e);
    return archive_bad(w, text, "broken-archive", why.msg, e);
}

/* Read the rest of a member after its head, into *out; out->data stays NULL if it is too large.
 * RC_CORRUPT broken, RC_NOMEM. */
static enum rc archive_member(struct archive_walk *w, const unsigned char *head, size_t n,
                              size_t max, struct archive_member *out, struct err *e)
{
    size_t room = n > ARCHIVE_BLOCK ? n : ARCHIVE_BLOCK;
    unsigned char *data = mem_calloc(room, 1);
    size_t got = 1;
    enum rc rc = data != NULL ? RC_OK : mem_raise(e, "a member of an archive", room);

    if (rc == RC_OK && n > 0) {
        memcpy(data, head, n);
    }
    while (rc == RC_OK && got > 0 && n <= max) {
        if (n == room) {
            unsigned char *more = mem_realloc(data, 2 * room, 1);

            rc = more != NULL ? RC_OK : mem_raise(e, "a member of an archive", 2 * room);
            data = more != NULL ? more : data;
            room = more != NULL ? 2 * room : room;
        }
        if (rc == RC_OK) {
            rc = unpack_read(w->u, data + n, room - n, &got, e);
            n += rc == RC_OK ? got : 0;
        }
    }
    if (rc != RC_OK || n > max) {
        mem_free(data);
        return rc;
    }
    out->data = data;
    out->bytes = n;
    return RC_OK;
}

static enum rc archive_nested_walk(struct archive_walk *parent, const char *text, const char *name,
                                   const unsigned char *head, size_t head_bytes, struct err *e)
{
    const char *base = strrchr(name, '/');
    struct archive_walk w = {
        .s = parent->s, .text = text, .container = parent->container, .depth = parent->depth + 1};
    enum rc rc = RC_OK;

    base = base != NULL ? base + 1 : name;
    w.name = mem_sprintf("%.*s", (int)strcspn(base, "."), base);
    if (w.name == NULL) {
        return mem_raise(e, "a name", strlen(base));
    }
    rc = unpack_open_nested(parent->u, head, head_bytes, &w.u, e);
    rc = rc == RC_OK ? archive_walk_members(&w, e) : archive_broken(&w, text, rc, e);
    unpack_close(w.u);
    mem_free(w.name);
    return rc;
}

static enum rc archive_sidecar(struct archive_walk *w, const char *text, const char *name,
                               const char *ext, struct err *e)
{
    struct archive_member m = {.text = NULL};
    enum rc rc = archive_sample_turn(w, name, e);

    if (rc != RC_OK || strcmp(ext, ".txt") == 0) {
        return rc;
    }
    rc = archive_member(w, NULL, 0, ARCHIVE_SIDECAR, &m, e);
    if (rc != RC_OK) {
        return archive_broken(w, text, rc, e);
    }
    if (m.data == NULL) {
        return archive_bad(w, text, image_reason_name(IMAGE_TOO_LARGE),
                           "a .cls or .json of more than 1 MiB", e);
    }
    if (strcmp(ext, ".cls") == 0) {
        archive_class_text(&w->sample, (const char *)m.data, m.bytes);
    } else if (w->sample.cls[0] == '\0') {
        archive_class_json(&w->sample, (const char *)m.data, m.bytes);
    }
    mem_free(m.data);
    return RC_OK;
}

/* The first bytes alone. */
static enum rc archive_head(const unsigned char *head, size_t n, struct archive_member *out,
                            struct err *e)
{
    out->data = mem_calloc(n + 1, 1);
    if (out->data == NULL) {
        return mem_raise(e, "a member of an archive", n);
    }
    memcpy(out->data, head, n);
    out->bytes = n;
    return RC_OK;
}

/* Takes text. What the visitor returns for the sample before is not this member's fault. */
static enum rc archive_image(struct archive_walk *w, char *text, const char *name,
                             const unsigned char *head, size_t head_bytes, struct err *e)
{
    struct archive_member m = {.text = text};
    enum rc rc = archive_sample_turn(w, name, e);

    if (rc == RC_OK) {
        rc = w->s->names_only ? archive_head(head, head_bytes, &m, e)
                              : archive_member(w, head, head_bytes, IMAGE_MAX_BYTES, &m, e);
        if (rc == RC_OK && m.data != NULL) {
            w->sample.members[w->sample.n++] = m;
            w->sample.bytes += m.bytes;
            return RC_OK;
        }
        rc = rc != RC_OK ? archive_broken(w, text, rc, e)
                         : archive_bad(w, text, image_reason_name(IMAGE_TOO_LARGE),
                                       "more bytes than the limit of a file", e);
    }
    mem_free(text);
    return rc;
}

/* Takes text. */
static enum rc archive_file(struct archive_walk *w, char *text, const char *name, struct err *e)
{
    const char *ext = strrchr(name, '.');
    unsigned char head[SOURCE_HEAD];
    size_t n = 0;
    size_t got = 1;
    enum rc rc = RC_OK;

    if (ext != NULL &&
        (strcmp(ext, ".cls") == 0 || strcmp(ext, ".txt") == 0 || strcmp(ext, ".json") == 0)) {
        rc = archive_sidecar(w, text, name, ext, e);
        goto out;
    }
    while (rc == RC_OK && n < sizeof head && got > 0) {
        rc = unpack_read(w->u, head + n, sizeof head - n, &got, e);
        n += rc == RC_OK ? got : 0;
    }
    if (rc != RC_OK) {
        rc = archive_broken(w, text, rc, e);
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

/* The entry at hand of an archive. */
static enum rc archive_entry(struct archive_walk *w, const struct unpack_member *m, struct err *e)
{
    const char *name = m->name;
    const char *base = NULL;
    char *text = NULL;
    enum rc rc = RC_OK;

    if (m->folder) {
        return RC_OK;
    }
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
    watch_at("reading", text);
    if (!m->regular) {
        rc = archive_bad(w, text, "not-a-file", "a link or a special file in an archive", e);
        mem_free(text);
        return rc;
    }
    return archive_file(w, text, text + strlen(w->text) + 1, e);
}

/* RC_OK also where the archive breaks off: that is told to bad(). */
static enum rc archive_walk_members(struct archive_walk *w, struct err *e)
{
    struct unpack_member m;
    bool more = true;
    enum rc rc = RC_OK;

    while (rc == RC_OK && more) {
        watch_at("reading", w->text);
        rc = unpack_next(w->u, &m, &more, e);
        if (rc != RC_OK) {
            rc = archive_broken(w, w->text, rc, e);
            break;
        }
        if (more) {
            rc = archive_entry(w, &m, e);
        }
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
    enum rc rc = unpack_open(path, &w.u, e);

    if (rc != RC_OK) {
        return archive_broken(&w, path, rc, e);
    }
    rc = archive_walk_members(&w, e);
    if (rc == RC_OK && !s->names_only) {
        rc = s->v->done(s->v->ctx, path, (uint64_t)st->st_size, source_mtime(st), e);
    }
    unpack_close(w.u);
    return rc;
}

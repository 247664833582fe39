#include "shards/pending.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"

enum { PENDING_BUFFER = 1 << 20 };
static const uint32_t PENDING_NONE = UINT32_MAX;

struct pending_occurrence {
    size_t source; /* offset in the text */
    uint32_t source_bytes;
    int32_t cls;
    uint32_t next;
};

struct pending {
    int fd;
    char *dir;
    uint64_t memory_room, memory_used; /* bytes of images that are kept in memory */
    unsigned char *buffer;             /* the tail of the scratch file that is not written yet */
    size_t buffered;
    uint64_t written;
    struct pending_image *images;
    uint32_t n, room;
    uint32_t *slots; /* open addressing: index of an image, or PENDING_NONE */
    uint32_t n_slots;
    struct pending_occurrence *occurrences;
    uint32_t n_occurrences, occurrence_room;
    char *text;
    size_t text_bytes, text_room;
    struct known_note *notes;
    size_t n_notes, note_room;
};

static void pending_free_blocks(struct pending *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        mem_free(p->images[i].block);
    }
}

enum rc pending_create(const char *dir, uint64_t memory, struct pending **out, struct err *e)
{
    struct pending *p = mem_calloc(1, sizeof *p);
    char *path = mem_sprintf("%s/images-scratch.tmp.%ld", dir, (long)getpid());
    enum rc rc = RC_OK;

    if (p == NULL || path == NULL) {
        rc = mem_raise(e, "images to be sealed", sizeof *p);
        goto out;
    }
    p->fd = -1;
    p->memory_room = memory;
    p->dir = mem_strdup(dir);
    p->buffer = mem_aligned(PENDING_BUFFER);
    if (p->dir == NULL || p->buffer == NULL) {
        rc = mem_raise(e, "images to be sealed", PENDING_BUFFER);
        goto out;
    }
    p->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (p->fd < 0) {
        rc = err_raise(e, RC_IO, "cannot write in '%s': %s", dir, strerror(errno));
        goto out;
    }
    (void)unlink(path);
    *out = p;
    p = NULL;
out:
    pending_destroy(p);
    mem_free(path);
    return rc;
}

void pending_destroy(struct pending *p)
{
    if (p == NULL) {
        return;
    }
    if (p->fd >= 0) {
        (void)close(p->fd);
    }
    pending_free_blocks(p);
    mem_free(p->notes);
    mem_free(p->text);
    mem_free(p->occurrences);
    mem_free(p->slots);
    mem_free(p->images);
    mem_free(p->buffer);
    mem_free(p->dir);
    mem_free(p);
}

uint32_t pending_count(const struct pending *p)
{
    return p->n;
}

uint64_t pending_bytes(const struct pending *p)
{
    return p->memory_used + p->written + p->buffered;
}

void pending_set_hash(struct pending *p, uint32_t index, uint64_t phash)
{
    p->images[index].hashed = true;
    p->images[index].phash = phash;
}

/* ---- the scratch file -------------------------------------------------------------------------- */

static enum rc pending_raise(const struct pending *p, struct err *e)
{
    return errno == ENOSPC || errno == EDQUOT
               ? err_raise(e, RC_IO, "cannot write in '%s': the disk is full", p->dir)
               : err_raise(e, RC_IO, "cannot use the scratch file in '%s': %s", p->dir,
                           strerror(errno));
}

static enum rc pending_write(struct pending *p, const void *data, size_t bytes, struct err *e)
{
    const unsigned char *b = data;

    while (bytes > 0) {
        ssize_t n = pwrite(p->fd, b, bytes, (off_t)p->written);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return pending_raise(p, e);
        }
        b += n;
        bytes -= (size_t)n;
        p->written += (uint64_t)n;
    }
    return RC_OK;
}

static enum rc pending_drain(struct pending *p, struct err *e)
{
    size_t n = p->buffered;

    p->buffered = 0;
    return pending_write(p, p->buffer, n, e);
}

static enum rc pending_append(struct pending *p, const void *data, size_t bytes, struct err *e)
{
    enum rc rc = RC_OK;

    if (bytes > PENDING_BUFFER - p->buffered) {
        rc = pending_drain(p, e);
    }
    if (rc != RC_OK || bytes > PENDING_BUFFER) {
        return rc == RC_OK ? pending_write(p, data, bytes, e) : rc;
    }
    memcpy(p->buffer + p->buffered, data, bytes);
    p->buffered += bytes;
    return RC_OK;
}

enum rc pending_read(struct pending *p, uint32_t index, uint64_t from, size_t bytes, void *out,
                     struct err *e)
{
    unsigned char *b = out;
    uint64_t offset = p->images[index].offset + from;
    enum rc rc = RC_OK;

    if (p->images[index].block != NULL) {
        memcpy(out, (const unsigned char *)p->images[index].block + from, bytes);
        return RC_OK;
    }
    rc = p->buffered > 0 ? pending_drain(p, e) : RC_OK;

    while (rc == RC_OK && bytes > 0) {
        ssize_t n = pread(p->fd, b, bytes, (off_t)offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return pending_raise(p, e);
        }
        b += n;
        bytes -= (size_t)n;
        offset += (uint64_t)n;
    }
    return rc;
}

/* ---- keys -------------------------------------------------------------------------------------- */

static uint32_t pending_slot(const struct pending *p, const struct key128 *key)
{
    uint32_t at = 0;

    memcpy(&at, key->b, sizeof at); /* a key is a hash already */
    at &= p->n_slots - 1;
    while (p->slots[at] != PENDING_NONE &&
           memcmp(&p->images[p->slots[at]].key, key, sizeof *key) != 0) {
        at = (at + 1) & (p->n_slots - 1);
    }
    return at;
}

bool pending_find(const struct pending *p, const struct key128 *key, uint32_t *index)
{
    uint32_t at = p->n_slots > 0 ? pending_slot(p, key) : 0;

    if (p->n_slots == 0 || p->slots[at] == PENDING_NONE) {
        return false;
    }
    *index = p->slots[at];
    return true;
}

/* Room for one more image, with the slots at most half full. */
static enum rc pending_grow(struct pending *p, struct err *e)
{
    uint32_t room = p->room == 0 ? 1024 : 2 * p->room;
    struct pending_image *images = NULL;
    uint32_t *slots = NULL;

    if (p->n < p->room) {
        return RC_OK;
    }
    images = mem_realloc(p->images, room, sizeof *images);
    if (images == NULL) {
        return mem_raise(e, "images to be sealed", room * sizeof *images);
    }
    p->images = images;
    slots = mem_realloc(p->slots, (size_t)2 * room, sizeof *slots);
    if (slots == NULL) {
        return mem_raise(e, "images to be sealed", (size_t)2 * room * sizeof *slots);
    }
    memset(slots, 0xff, (size_t)2 * room * sizeof *slots);
    p->slots = slots;
    p->n_slots = 2 * room;
    p->room = room;
    for (uint32_t i = 0; i < p->n; i++) {
        p->slots[pending_slot(p, &p->images[i].key)] = i;
    }
    return RC_OK;
}

/* Keep the bytes in memory while there is room: the caller's own block, or a copy. */
static enum rc pending_keep(struct pending *p, struct pending_image *image, const void *data,
                            void **block, struct err *e)
{
    const size_t bytes = (size_t)image->bytes;

    if (bytes == 0 || bytes > p->memory_room - p->memory_used) {
        image->offset = p->written + p->buffered;
        return pending_append(p, data, bytes, e);
    }
    if (block != NULL && *block != NULL) {
        image->block = *block;
        *block = NULL;
    } else {
        image->block = mem_aligned(bytes);
        if (image->block == NULL) {
            return mem_raise(e, "images to be sealed", bytes);
        }
        memcpy(image->block, data, bytes);
    }
    p->memory_used += bytes;
    return RC_OK;
}

enum rc pending_add(struct pending *p, const struct key128 *key, const void *data, size_t bytes,
                    void **block, uint32_t *index, struct err *e)
{
    struct pending_image image = {.key = *key, .bytes = bytes};
    enum rc rc = pending_grow(p, e);

    image.first = PENDING_NONE;
    image.last = PENDING_NONE;
    if (rc == RC_OK) {
        rc = pending_keep(p, &image, data, block, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    p->slots[pending_slot(p, key)] = p->n;
    p->images[p->n] = image;
    *index = p->n++;
    return RC_OK;
}

/* ---- occurrences ------------------------------------------------------------------------------- */

static enum rc pending_room(struct pending *p, size_t source_bytes, struct err *e)
{
    if (p->n_occurrences == p->occurrence_room) {
        uint32_t room = p->occurrence_room == 0 ? 1024 : 2 * p->occurrence_room;
        struct pending_occurrence *o = mem_realloc(p->occurrences, room, sizeof *o);

        if (o == NULL) {
            return mem_raise(e, "occurrences of images", room * sizeof *o);
        }
        p->occurrences = o;
        p->occurrence_room = room;
    }
    if (source_bytes > p->text_room - p->text_bytes) {
        size_t room = 2 * p->text_room + source_bytes;
        char *text = mem_realloc(p->text, room, 1);

        if (text == NULL) {
            return mem_raise(e, "sources of images", room);
        }
        p->text = text;
        p->text_room = room;
    }
    return RC_OK;
}

enum rc pending_occur(struct pending *p, uint32_t index, int32_t cls, const char *source,
                      size_t source_bytes, bool *same, struct err *e)
{
    struct pending_image *image = &p->images[index];
    struct pending_occurrence *o = NULL;
    enum rc rc = RC_OK;

    for (uint32_t i = image->first; i != PENDING_NONE; i = p->occurrences[i].next) {
        o = &p->occurrences[i];
        if (o->cls == cls && o->source_bytes == source_bytes &&
            memcmp(p->text + o->source, source, source_bytes) == 0) {
            *same = true;
            return RC_OK;
        }
    }
    rc = pending_room(p, source_bytes, e);
    if (rc != RC_OK) {
        return rc;
    }
    o = &p->occurrences[p->n_occurrences];
    o->source = p->text_bytes;
    o->source_bytes = (uint32_t)source_bytes;
    o->cls = cls;
    o->next = PENDING_NONE;
    if (source_bytes > 0) {
        memcpy(p->text + p->text_bytes, source, source_bytes);
    }
    p->text_bytes += source_bytes;
    if (image->first == PENDING_NONE) {
        image->first = p->n_occurrences;
    } else {
        p->occurrences[image->last].next = p->n_occurrences;
    }
    image->last = p->n_occurrences++;
    image->n_occurrences++;
    image->text_bytes += source_bytes;
    *same = false;
    return RC_OK;
}

int32_t pending_class(const struct pending *p, uint32_t index)
{
    return p->occurrences[p->images[index].first].cls;
}

static int pending_compare_occurrences(const void *a, const void *b)
{
    const struct shard_occurrence *p = a;
    const struct shard_occurrence *q = b;
    size_t n = p->source_bytes < q->source_bytes ? p->source_bytes : q->source_bytes;
    int order = 0;

    if (p->cls != q->cls) {
        return p->cls < q->cls ? -1 : 1;
    }
    order = n > 0 ? memcmp(p->source, q->source, n) : 0;
    return order != 0 ? order
                      : (p->source_bytes > q->source_bytes) - (p->source_bytes < q->source_bytes);
}

void pending_occurrences(const struct pending *p, uint32_t index, struct shard_occurrence *out)
{
    const struct pending_image *image = &p->images[index];
    uint32_t n = 0;

    for (uint32_t i = image->first; i != PENDING_NONE; i = p->occurrences[i].next) {
        const struct pending_occurrence *o = &p->occurrences[i];

        out[n].cls = o->cls;
        out[n].source_bytes = o->source_bytes;
        out[n].source = p->text + o->source;
        n++;
    }
    assert(n == image->n_occurrences);
    qsort(out, n, sizeof *out, pending_compare_occurrences);
}

/* ---- all of them ------------------------------------------------------------------------------- */

static int pending_compare_images(const void *a, const void *b)
{
    return memcmp(&((const struct pending_image *)a)->key, &((const struct pending_image *)b)->key,
                  sizeof(struct key128));
}

void pending_sort(struct pending *p)
{
    if (p->n > 1) {
        qsort(p->images, p->n, sizeof *p->images, pending_compare_images);
    }
}

const struct pending_image *pending_at(const struct pending *p, uint32_t index)
{
    return &p->images[index];
}

enum rc pending_note(struct pending *p, const struct known_note *note, struct err *e)
{
    if (p->n_notes == p->note_room) {
        size_t room = p->note_room == 0 ? 256 : 2 * p->note_room;
        struct known_note *more = mem_realloc(p->notes, room, sizeof *more);

        if (more == NULL) {
            return mem_raise(e, "notes on packed files", room * sizeof *more);
        }
        p->notes = more;
        p->note_room = room;
    }
    p->notes[p->n_notes++] = *note;
    return RC_OK;
}

const struct known_note *pending_notes(const struct pending *p, size_t *n)
{
    *n = p->n_notes;
    return p->notes;
}

static enum rc pending_move(struct pending *p, struct pending *from, uint32_t i, void *data,
                            struct err *e)
{
    struct pending_image *image = &from->images[i];
    const void *bytes = image->block != NULL ? image->block : data;
    uint32_t index = 0;
    bool same = false;
    enum rc rc =
        image->block != NULL ? RC_OK : pending_read(from, i, 0, (size_t)image->bytes, data, e);

    if (rc == RC_OK) {
        rc = pending_add(p, &image->key, bytes, (size_t)image->bytes, &image->block, &index, e);
    }
    for (uint32_t k = image->first; rc == RC_OK && k != PENDING_NONE;
         k = from->occurrences[k].next) {
        const struct pending_occurrence *o = &from->occurrences[k];

        rc = pending_occur(p, index, o->cls, from->text + o->source, o->source_bytes, &same, e);
    }
    if (rc == RC_OK && image->hashed) {
        pending_set_hash(p, index, image->phash);
    }
    return rc;
}

enum rc pending_merge(struct pending *p, struct pending *from, struct err *e)
{
    size_t room = 0;
    void *data = NULL;
    enum rc rc = RC_OK;

    for (uint32_t i = 0; i < from->n; i++) {
        room = from->images[i].bytes > room ? (size_t)from->images[i].bytes : room;
    }
    data = mem_calloc(room, 1);
    if (data == NULL) {
        return mem_raise(e, "images to be sealed", room);
    }
    for (uint32_t i = 0; i < from->n && rc == RC_OK; i++) {
        rc = pending_move(p, from, i, data, e);
    }
    for (size_t i = 0; i < from->n_notes && rc == RC_OK; i++) {
        rc = pending_note(p, &from->notes[i], e);
    }
    mem_free(data);
    return rc == RC_OK ? pending_reset(from, e) : rc;
}

enum rc pending_reset(struct pending *p, struct err *e)
{
    pending_free_blocks(p);
    p->n = 0;
    p->n_occurrences = 0;
    p->text_bytes = 0;
    p->n_notes = 0;
    p->buffered = 0;
    p->written = 0;
    p->memory_used = 0;
    if (p->n_slots > 0) {
        memset(p->slots, 0xff, (size_t)p->n_slots * sizeof *p->slots);
    }
    return ftruncate(p->fd, 0) == 0 ? RC_OK : pending_raise(p, e);
}

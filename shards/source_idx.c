#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/watch.h"
#include "common/image/image.h"
#include "shards/source_impl.h"
#include "shards/unpack.h"

/* IDX: 00 00 type dimensions, then each dimension as u32 big-endian, then the elements. We read
 * unsigned bytes: (n, h, w) gray or (n, h, w, 3) RGB images, (n) labels. */
enum { IDX_UBYTE = 8, IDX_MAX_SIDE = 65535, IDX_HEAD = 20, IDX_PNM_HEAD = 32 };

struct idx {
    struct unpack *u;
    const char *path;
    int dims;
    uint32_t dim[4];
};

static uint32_t idx_u32(const unsigned char *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | (uint32_t)b[3];
}

static enum rc idx_read(const struct idx *x, void *out, size_t bytes, struct err *e)
{
    size_t done = 0;

    while (done < bytes) {
        size_t got = 0;

        if (unpack_read(x->u, (unsigned char *)out + done, bytes - done, &got, NULL) != RC_OK ||
            got == 0) {
            return err_raise(e, RC_INVAL, "the IDX file '%s' ends too early or is damaged",
                             x->path);
        }
        done += got;
    }
    return RC_OK;
}

static enum rc idx_open(struct idx *x, const char *path, struct err *e)
{
    unsigned char head[IDX_HEAD];
    enum rc rc = RC_OK;

    x->path = path;
    if (unpack_open_file(path, &x->u, NULL) != RC_OK) {
        return err_raise(e, RC_IO, "cannot read '%s'", path);
    }
    rc = idx_read(x, head, 4, e);
    if (rc == RC_OK && (head[0] != 0 || head[1] != 0 || head[2] != IDX_UBYTE || head[3] > 4)) {
        rc = err_raise(e, RC_INVAL, "'%s' is not an IDX file of unsigned bytes", path);
    }
    x->dims = head[3];
    if (rc == RC_OK) {
        rc = idx_read(x, head + 4, (size_t)4 * (size_t)x->dims, e);
    }
    for (int i = 0; rc == RC_OK && i < x->dims; i++) {
        x->dim[i] = idx_u32(head + 4 + 4 * i);
        if (i > 0 && (x->dim[i] == 0 || x->dim[i] > IDX_MAX_SIDE)) {
            rc = err_raise(e, RC_INVAL, "'%s': dimension %d is %lu, expected 1 to %d", path, i,
                           (unsigned long)x->dim[i], IDX_MAX_SIDE);
        }
    }
    return rc;
}

/* One image after the other as a PNM file. */
static enum rc idx_images(const struct source *s, struct idx *x, struct idx *labels, struct err *e)
{
    int channels = x->dims == 4 ? (int)x->dim[3] : 1;
    size_t pixels = (size_t)x->dim[1] * x->dim[2] * (size_t)channels;
    unsigned char *file = mem_calloc(IDX_PNM_HEAD + pixels, 1);
    char *text = mem_calloc(strlen(x->path) + 32, 1);
    char cls[8] = "";
    int head = 0;
    enum rc rc = file != NULL && text != NULL ? RC_OK : mem_raise(e, x->path, pixels);

    for (uint32_t i = 0; rc == RC_OK && i < x->dim[0]; i++) {
        watch_at("reading", x->path);
        struct source_image image = {.text = text, .container = x->path, .data = file};
        unsigned char label = 0;

        (void)snprintf(text, strlen(x->path) + 32, "%s!%lu", x->path, (unsigned long)i);
        head = snprintf((char *)file, IDX_PNM_HEAD, "P%d\n%lu %lu\n255\n", channels == 3 ? 6 : 5,
                        (unsigned long)x->dim[2], (unsigned long)x->dim[1]);
        rc = idx_read(x, file + head, pixels, e);
        if (rc == RC_OK && labels->u != NULL) {
            rc = idx_read(labels, &label, 1, e);
            (void)snprintf(cls, sizeof cls, "%d", label);
            image.cls = cls;
            image.numeric = true;
        }
        image.inside = text + strlen(x->path) + 1;
        image.bytes = (size_t)head + pixels;
        if (rc == RC_OK) {
            rc = source_offer(s, &image, e);
        }
    }
    mem_free(text);
    mem_free(file);
    return rc;
}

static enum rc idx_fit(const struct idx *x, const struct idx *labels, struct err *e)
{
    if (x->dims == 4 && x->dim[3] != 3 && x->dim[3] != 1) {
        return err_raise(e, RC_INVAL, "'%s' has %lu channels, expected (n, h, w) or (n, h, w, 3)",
                         x->path, (unsigned long)x->dim[3]);
    }
    if ((uint64_t)x->dim[1] * x->dim[2] * (x->dims == 4 ? x->dim[3] : 1) > IMAGE_MAX_BYTES / 2) {
        return err_raise(e, RC_INVAL, "'%s' has images of %lu x %lu: more than the limit of a file",
                         x->path, (unsigned long)x->dim[2], (unsigned long)x->dim[1]);
    }
    if (labels->u != NULL && labels->dim[0] != x->dim[0]) {
        return err_raise(e, RC_INVAL, "'%s' holds %lu images, but '%s' holds %lu labels", x->path,
                         (unsigned long)x->dim[0], labels->path, (unsigned long)labels->dim[0]);
    }
    return RC_OK;
}

enum rc source_idx_walk(const struct source *s, const char *path, const char *labels, struct err *e)
{
    struct idx x = {.u = NULL};
    struct idx l = {.u = NULL};
    struct source_image image = {.text = path, .inside = path, .container = path, .path = path};
    enum source_known known = SOURCE_UNKNOWN;
    struct stat st;
    enum rc rc = RC_OK;

    if (stat(path, &st) != 0) {
        return err_raise(e, RC_IO, "cannot read '%s': %s", path, strerror(errno));
    }
    image.file_bytes = (uint64_t)st.st_size;
    image.mtime_ns = source_mtime(&st);
    rc = s->v->known(s->v->ctx, &image, &known, e);
    if (rc != RC_OK || known != SOURCE_UNKNOWN) {
        return rc;
    }
    rc = idx_open(&x, path, e);
    if (rc == RC_OK && labels != NULL) {
        rc = idx_open(&l, labels, e);
    }
    if (rc == RC_OK) {
        rc = idx_fit(&x, &l, e);
    }
    if (rc == RC_OK) {
        rc = idx_images(s, &x, &l, e);
    }
    if (rc == RC_OK && !s->names_only) {
        rc = s->v->done(s->v->ctx, path, image.file_bytes, image.mtime_ns, e);
    }
    unpack_close(l.u);
    unpack_close(x.u);
    return rc;
}

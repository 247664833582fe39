/* One thread's scratch buffers: they grow and are kept. */
#include "common/base/mem.h"
#include "common/image/image_impl.h"

enum rc codec_reserve(struct codec_buf *b, size_t bytes, struct err *e)
{
    if (b->p != NULL && bytes <= b->bytes && (b->bytes <= BUF_KEEP || bytes > BUF_KEEP)) {
        return RC_OK;
    }
    codec_release(b);
    b->p = mem_aligned(bytes);
    if (b->p == NULL) {
        return mem_raise(e, "an image buffer", bytes);
    }
    b->bytes = bytes;
    return RC_OK;
}

void codec_release(struct codec_buf *b)
{
    mem_free(b->p);
    *b = (struct codec_buf){0};
}

enum rc codec_create(struct codec **out, struct err *e)
{
    struct codec *k = mem_calloc(1, sizeof *k);
    enum rc rc = RC_OK;

    if (k == NULL) {
        return mem_raise(e, "an image codec", sizeof *k);
    }
    rc = jpeg_reader_create(&k->jpeg, e);
    if (rc != RC_OK) {
        codec_destroy(k);
        return rc;
    }
    *out = k;
    return RC_OK;
}

void codec_destroy(struct codec *k)
{
    if (k == NULL) {
        return;
    }
    jpeg_reader_destroy(k->jpeg);
    codec_release(&k->pixels);
    codec_release(&k->work);
    codec_release(&k->pass);
    codec_release(&k->lanes);
    codec_release(&k->aug);
    for (int i = 0; i < IMAGE_TABLES; i++) {
        codec_release(&k->tables[i].storage);
    }
    codec_release(&k->once[0].storage);
    codec_release(&k->once[1].storage);
    mem_free(k);
}

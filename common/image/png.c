/* PNG through libpng, whose errors come by longjmp: nothing leaves this file that way. */
#include <png.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/image/image_impl.h"

struct png_job {
    struct codec *k;
    struct input in;
    size_t at;
    struct raster *out;
    struct err *e;
    enum rc rc;
    png_structp png;
    png_infop info;
    bool short_data;
    char msg[120];
};

static _Noreturn void png_on_error(png_structp png, png_const_charp msg)
{
    struct png_job *t = png_get_error_ptr(png);
    size_t n = strlen(msg);

    n = n < sizeof t->msg - 1 ? n : sizeof t->msg - 1;
    memcpy(t->msg, msg, n);
    t->msg[n] = '\0';
    png_longjmp(png, 1);
}

static void png_on_warning(png_structp png, png_const_charp msg)
{
    (void)png;
    (void)msg;
}

static void png_on_read(png_structp png, png_bytep to, size_t n)
{
    struct png_job *t = png_get_io_ptr(png);

    if (n > t->in.n - t->at) {
        t->short_data = true;
        png_error(png, "the file ends before its last row");
    }
    memcpy(to, t->in.p + t->at, n);
    t->at += n;
}

/* Everything to 8 bit gray or RGB: the high byte of 16, palettes looked up, alpha dropped. */
static void png_choose_format(struct png_job *t)
{
    png_structp png = t->png;
    int type = png_get_color_type(png, t->info);

    if (png_get_bit_depth(png, t->info) == 16) {
        png_set_strip_16(png);
    }
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_set_palette_to_rgb(png);
    } else if ((type & PNG_COLOR_MASK_COLOR) == 0) {
        png_set_expand_gray_1_2_4_to_8(png);
    }
    png_set_strip_alpha(png);
    (void)png_set_interlace_handling(png);
    png_read_update_info(png, t->info);
}

/* All that may jump: no heap but the codec's buffers, which outlive the jump. */
static void png_run(struct png_job *t)
{
    struct raster *r = t->out;
    size_t stride = 0;
    int passes = 0;

    png_set_read_fn(t->png, t, png_on_read);
    png_set_user_limits(t->png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_chunk_cache_max(t->png, 64);
    png_set_chunk_malloc_max(t->png, 8 << 20);
    png_read_info(t->png, t->info);
    passes = png_get_interlace_type(t->png, t->info) == PNG_INTERLACE_ADAM7 ? 7 : 1;
    png_choose_format(t);
    r->w = r->full_w = (int)png_get_image_width(t->png, t->info);
    r->h = r->full_h = (int)png_get_image_height(t->png, t->info);
    r->c = png_get_channels(t->png, t->info);
    r->x = r->y = 0;
    stride = (size_t)r->w * (size_t)r->c;
    if ((r->c != 1 && r->c != 3) || png_get_rowbytes(t->png, t->info) != stride) {
        png_error(t->png, "an unexpected pixel format");
    }
    t->rc = codec_reserve(&t->k->pixels, stride * (size_t)r->h, t->e);
    if (t->rc != RC_OK) {
        return;
    }
    for (int pass = 0; pass < passes; pass++) {
        for (int y = 0; y < r->h; y++) {
            png_read_row(t->png, t->k->pixels.p + (size_t)y * stride, NULL);
        }
    }
    r->pixels = t->k->pixels.p;
}

static enum rc png_guard(struct png_job *t, enum image_reason *why)
{
    if (setjmp(png_jmpbuf(t->png)) == 0) {
        png_run(t);
        return t->rc;
    }
    return image_refuse(t->e, why, t->short_data ? IMAGE_TRUNCATED : IMAGE_BROKEN, "PNG: %s",
                        t->msg);
}

enum rc png_decode(struct codec *k, struct input in, struct raster *out, enum image_reason *why,
                   struct err *e)
{
    struct png_job t = {.k = k, .in = in, .out = out, .e = e};
    enum rc rc = RC_OK;

    t.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &t, png_on_error, png_on_warning);
    t.info = t.png == NULL ? NULL : png_create_info_struct(t.png);
    if (t.info == NULL) {
        rc = err_raise(e, RC_NOMEM, "out of memory: a PNG reader");
    } else {
        rc = png_guard(&t, why);
    }
    png_destroy_read_struct(&t.png, &t.info, NULL);
    return rc;
}

enum rc png_probe(struct input in, int *w, int *h, enum image_reason *why, struct err *e)
{
    const uint8_t *p = in.p + 16; /* behind the signature and IHDR's length and name */
    int64_t size[2] = {0};

    if (in.n < 33) {
        return image_refuse(e, why, IMAGE_TRUNCATED, "PNG: the file ends in its header");
    }
    if (memcmp(in.p + 12, "IHDR", 4) != 0) {
        return image_refuse(e, why, IMAGE_BROKEN, "PNG: the first chunk is not IHDR");
    }
    for (int i = 0; i < 2; i++, p += 4) {
        size[i] = (int64_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
    }
    *why = IMAGE_OK;
    if (image_check_size("PNG", size[0], size[1], why, e) != RC_OK) {
        return RC_INVAL;
    }
    *w = (int)size[0];
    *h = (int)size[1];
    return RC_OK;
}

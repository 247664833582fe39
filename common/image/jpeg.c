/* The one home of jpeglib.h. libjpeg reports by longjmp: nothing leaves this file that way. */
#include <stdio.h>

#include <jpeglib.h>

#include <jerror.h>
#include <setjmp.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/image/image_impl.h"

enum { JPEG_ROWS = 16, JPEG_EDGE = 4 };

struct jpeg {
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr error;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf trap;
    bool delivered; /* all rows are out: the end of the data is no harm any more */
    enum image_reason why;
    char msg[JMSG_LENGTH_MAX];
};

/* ---- libjpeg's callbacks ------------------------------------------------------------------ */

static _Noreturn void jpeg_throw(struct jpeg *j, enum image_reason why)
{
    j->why = why;
    longjmp(j->trap, 1);
}

static void jpeg_on_error(j_common_ptr c)
{
    struct jpeg *j = c->client_data;

    c->err->format_message(c, j->msg);
    jpeg_throw(j, c->err->msg_code == JERR_OUT_OF_MEMORY ? IMAGE_OK : IMAGE_BROKEN);
}

static void jpeg_on_message(j_common_ptr c)
{
    (void)c;
}

static void jpeg_on_warning(j_common_ptr c, int level)
{
    (void)c;
    (void)level;
}

/* Like Pillow's source, ours never invents an end of image: a file that is out of bytes before its
 * last row is refused. */
static boolean jpeg_on_empty(j_decompress_ptr d)
{
    struct jpeg *j = d->client_data;

    if (!j->delivered) {
        (void)snprintf(j->msg, sizeof j->msg, "the file ends before its last row");
        jpeg_throw(j, IMAGE_TRUNCATED);
    }
    return FALSE;
}

static void jpeg_on_skip(j_decompress_ptr d, long n)
{
    struct jpeg_source_mgr *s = d->src;

    if (n <= 0) {
        return;
    }
    if ((size_t)n > s->bytes_in_buffer) {
        n = (long)s->bytes_in_buffer;
        (void)jpeg_on_empty(d);
    }
    s->next_input_byte += n;
    s->bytes_in_buffer -= (size_t)n;
}

static void jpeg_on_source(j_decompress_ptr d)
{
    (void)d;
}

static void jpeg_on_progress(j_common_ptr c)
{
    struct jpeg *j = c->client_data;

    if (j->d.input_scan_number > JPEG_MAX_SCANS) {
        (void)snprintf(j->msg, sizeof j->msg, "more than %d scans", JPEG_MAX_SCANS);
        jpeg_throw(j, IMAGE_BROKEN);
    }
}

/* ---- life --------------------------------------------------------------------------------- */

static bool jpeg_try_create(struct jpeg *j)
{
    if (setjmp(j->trap) != 0) {
        return false;
    }
    jpeg_create_decompress(&j->d);
    return true;
}

enum rc jpeg_reader_create(struct jpeg **out, struct err *e)
{
    struct jpeg *j = mem_calloc(1, sizeof *j);

    if (j == NULL) {
        return mem_raise(e, "a JPEG reader", sizeof *j);
    }
    j->d.err = jpeg_std_error(&j->error);
    j->error.error_exit = jpeg_on_error;
    j->error.output_message = jpeg_on_message;
    j->error.emit_message = jpeg_on_warning;
    j->d.client_data = j;
    if (!jpeg_try_create(j)) {
        mem_free(j);
        return err_raise(e, RC_NOMEM, "libjpeg: %s", j->msg);
    }
    j->source.init_source = jpeg_on_source;
    j->source.fill_input_buffer = jpeg_on_empty;
    j->source.skip_input_data = jpeg_on_skip;
    j->source.resync_to_restart = jpeg_resync_to_restart;
    j->source.term_source = jpeg_on_source;
    j->progress.progress_monitor = jpeg_on_progress;
    j->d.src = &j->source;
    j->d.progress = &j->progress;
    *out = j;
    return RC_OK;
}

void jpeg_reader_destroy(struct jpeg *j)
{
    if (j != NULL) {
        jpeg_destroy_decompress(&j->d);
        mem_free(j);
    }
}

/* ---- decoding ----------------------------------------------------------------------------- */

struct jpeg_job {
    struct jpeg *j;
    struct codec *k;
    struct input in;
    const struct jpeg_want *want;
    struct raster *out;
    struct err *e;
    enum rc rc;    /* of our own allocations */
    int y0, y1;    /* rows to keep */
    bool skip;     /* whether rows and columns outside may be left undecoded */
    size_t stride; /* bytes of a decoded row */
};

static void jpeg_start(struct jpeg_job *t)
{
    struct jpeg *j = t->j;
    struct jpeg_decompress_struct *d = &j->d;

    j->delivered = false;
    j->source.next_input_byte = t->in.p;
    j->source.bytes_in_buffer = t->in.n;
    (void)jpeg_read_header(d, TRUE);
    if (d->num_components != 1 && d->num_components != 3 && d->num_components != 4) {
        (void)snprintf(j->msg, sizeof j->msg, "%d components", d->num_components);
        jpeg_throw(j, IMAGE_UNSUPPORTED_KIND);
    }
    if ((int)d->image_width != t->want->w || (int)d->image_height != t->want->h) {
        (void)snprintf(j->msg, sizeof j->msg, "two frame headers");
        jpeg_throw(j, IMAGE_BROKEN);
    }
    d->out_color_space = d->num_components == 1   ? JCS_GRAYSCALE
                         : d->num_components == 3 ? JCS_RGB
                                                  : JCS_CMYK;
    d->dct_method = JDCT_ISLOW;
    d->scale_num = 1;
    d->scale_denom = (unsigned)t->want->denom;
    (void)jpeg_start_decompress(d);
}

/* The columns and rows to keep. jpeg_crop_scanline leaves wrong pixels in the outermost chroma
 * columns of its cut, hence the edge. */
static void jpeg_choose_region(struct jpeg_job *t)
{
    const struct jpeg_want *want = t->want;
    struct jpeg_decompress_struct *d = &t->j->d;
    struct raster *r = t->out;
    JDIMENSION x = 0;
    JDIMENSION w = d->output_width;

    r->full_w = (int)d->output_width;
    r->full_h = (int)d->output_height;
    t->y0 = 0;
    t->y1 = r->full_h;
    t->skip = false;
    if (want->x1 > 0) {
        t->y0 = want->y0;
        t->y1 = want->y1 < r->full_h ? want->y1 : r->full_h;
        t->skip = !d->arith_code && !jpeg_has_multiple_scans(d);
    }
    if (t->skip && want->x1 - want->x0 + 4 * JPEG_EDGE < r->full_w) {
        int x1 = want->x1 + JPEG_EDGE < r->full_w ? want->x1 + JPEG_EDGE : r->full_w;

        x = (JDIMENSION)(want->x0 > JPEG_EDGE ? want->x0 - JPEG_EDGE : 0);
        w = (JDIMENSION)x1 - x;
        jpeg_crop_scanline(d, &x, &w);
    }
    r->x = (int)x;
    r->y = t->y0;
    r->w = (int)d->output_width;
    r->h = t->y1 - t->y0;
    r->c = d->output_components;
    t->stride = (size_t)r->w * (size_t)r->c;
}

/* Read rows up to `end`, keeping those from y0 on; with skip, rows before y0 are not transformed. */
static void jpeg_read_rows(struct jpeg_job *t)
{
    struct jpeg_decompress_struct *d = &t->j->d;
    JSAMPROW rows[JPEG_ROWS];

    if (t->skip && t->y0 > 0) {
        (void)jpeg_skip_scanlines(d, (JDIMENSION)t->y0);
    }
    while ((int)d->output_scanline < t->y1) {
        int n = t->y1 - (int)d->output_scanline;

        for (int i = 0; i < JPEG_ROWS; i++) {
            int y = (int)d->output_scanline + i - t->y0;

            /* Rows above the region land on its first row and are overwritten. */
            rows[i] = t->k->pixels.p + (size_t)(y < 0 ? 0 : y) * t->stride;
        }
        if ((int)d->output_scanline < t->y0 && n > t->y0 - (int)d->output_scanline) {
            n = t->y0 - (int)d->output_scanline;
        }
        (void)jpeg_read_scanlines(d, rows, (JDIMENSION)(n < JPEG_ROWS ? n : JPEG_ROWS));
    }
}

/* Read what lies below the region, so that a damaged end is seen; the last row may not be skipped,
 * or libjpeg would stop reading there. */
static void jpeg_read_rest(struct jpeg_job *t)
{
    struct jpeg_decompress_struct *d = &t->j->d;
    JSAMPROW row = t->k->work.p;

    if (t->skip && d->output_height - d->output_scanline > 1) {
        (void)jpeg_skip_scanlines(d, d->output_height - d->output_scanline - 1);
    }
    while (d->output_scanline < d->output_height) {
        (void)jpeg_read_scanlines(d, &row, 1);
    }
}

/* All that may jump: no heap but the codec's buffers, which outlive the jump. */
static enum rc jpeg_run(struct jpeg_job *t)
{
    struct jpeg *j = t->j;

    jpeg_start(t);
    jpeg_choose_region(t);
    t->rc = codec_reserve(&t->k->pixels, t->stride * (size_t)t->out->h, t->e);
    if (t->rc == RC_OK) {
        t->rc = codec_reserve(&t->k->work, t->stride, t->e);
    }
    if (t->rc != RC_OK) {
        jpeg_abort_decompress(&j->d);
        return t->rc;
    }
    jpeg_read_rows(t);
    if (t->want->to_end) {
        jpeg_read_rest(t);
        j->delivered = true;
        (void)jpeg_finish_decompress(&j->d);
    }
    jpeg_abort_decompress(&j->d);
    return RC_OK;
}

static enum rc jpeg_guard(struct jpeg_job *t, enum image_reason *why)
{
    if (setjmp(t->j->trap) == 0) {
        return jpeg_run(t);
    }
    jpeg_abort_decompress(&t->j->d);
    if (t->j->why == IMAGE_OK) {
        return err_raise(t->e, RC_NOMEM, "libjpeg: %s", t->j->msg);
    }
    return image_refuse(t->e, why, t->j->why, "JPEG: %s", t->j->msg);
}

/* Pillow takes every CMYK JPEG for an inverted one, then its CMYK -> RGB. In place: 4 bytes to 3. */
static void jpeg_cmyk_to_rgb(struct raster *r)
{
    const uint8_t *s = r->pixels;
    uint8_t *d = r->pixels;
    size_t n = (size_t)r->w * (size_t)r->h;

    for (size_t i = 0; i < n; i++, s += 4, d += 3) {
        int k = s[3];

        for (int c = 0; c < 3; c++) {
            int t = (255 - s[c]) * k + 128;
            int v = k - (((t >> 8) + t) >> 8);

            d[c] = (uint8_t)(v < 0 ? 0 : v);
        }
    }
    r->c = 3;
}

enum rc jpeg_decode(struct codec *k, struct input in, const struct jpeg_want *want,
                    struct raster *out, enum image_reason *why, struct err *e)
{
    struct jpeg_job t = {.j = k->jpeg, .k = k, .in = in, .want = want, .out = out, .e = e};
    enum rc rc = jpeg_guard(&t, why);

    if (rc != RC_OK) {
        return rc;
    }
    out->pixels = k->pixels.p;
    if (out->c == 4) {
        jpeg_cmyk_to_rgb(out);
    }
    return RC_OK;
}

/* ---- the header as Pillow reads it -------------------------------------------------------- */

struct jpeg_header {
    int w, h, bits, components;
};

static enum rc jpeg_probe_frame(const uint8_t *s, size_t n, int marker, struct jpeg_header *h,
                                enum image_reason *why, struct err *e)
{
    if (n < 6 || (n - 6) % 3 != 0) {
        return image_refuse(e, why, IMAGE_BROKEN, "JPEG: a frame header of %zu bytes", n);
    }
    h->bits = s[0];
    h->h = s[1] << 8 | s[2];
    h->w = s[3] << 8 | s[4];
    h->components = s[5];
    if (h->bits != 8 || (h->components != 1 && h->components != 3 && h->components != 4)) {
        return image_refuse(e, why, IMAGE_UNSUPPORTED_KIND, "JPEG: %d bits a sample, %d components",
                            h->bits, h->components);
    }
    if (marker == 0xC3 || (marker >= 0xC5 && marker != 0xC9 && marker != 0xCA)) {
        return image_refuse(e, why, IMAGE_UNSUPPORTED_KIND,
                            "JPEG: lossless or hierarchical (SOF%d)", marker - 0xC0);
    }
    return RC_OK;
}

static bool jpeg_tables_fit(const uint8_t *s, size_t n)
{
    while (n > 0) {
        size_t table = 1 + (s[0] >> 4 == 0 ? 64U : 128U);

        if (n < table) {
            return false;
        }
        s += table;
        n -= table;
    }
    return true;
}

static bool jpeg_is_frame(int marker)
{
    return (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 &&
            marker != 0xCC) ||
           marker == 0xDE;
}

/* Markers that stand alone: JPG, RSTn, SOI, EOI, JPGn. */
static bool jpeg_is_bare(int marker)
{
    return marker == 0xC8 || (marker >= 0xD0 && marker <= 0xD9) ||
           (marker >= 0xF0 && marker <= 0xFD);
}

/* The segment at in.p + *at (its length first); *at moves behind it. */
static enum rc jpeg_probe_segment(struct input in, size_t *at, int marker, struct jpeg_header *h,
                                  enum image_reason *why, struct err *e)
{
    const uint8_t *s = NULL;
    size_t n = 0;

    if (in.n - *at < 2) {
        return image_refuse(e, why, IMAGE_TRUNCATED, "JPEG: the file ends in its header");
    }
    n = (size_t)(in.p[*at] << 8 | in.p[*at + 1]);
    n = n < 2 ? 0 : n - 2;
    s = in.p + *at + 2;
    if (n > in.n - *at - 2) {
        return image_refuse(e, why, IMAGE_TRUNCATED,
                            "JPEG: marker segment 0x%02X ends behind the file", marker);
    }
    *at += 2 + n;
    if (jpeg_is_frame(marker)) {
        return jpeg_probe_frame(s, n, marker, h, why, e);
    }
    if (marker == 0xDB && !jpeg_tables_fit(s, n)) {
        return image_refuse(e, why, IMAGE_BROKEN, "JPEG: a quantization table is cut short");
    }
    return RC_OK;
}

enum rc jpeg_probe(struct input in, int *w, int *h, enum image_reason *why, struct err *e)
{
    struct jpeg_header head = {0};
    size_t at = 2;
    enum rc rc = RC_OK;

    while (at + 1 < in.n) {
        int marker = in.p[at + 1];

        if (in.p[at] != 0xFF) { /* junk between segments */
            at++;
            continue;
        }
        at++;
        if (marker == 0xFF) {
            continue;
        }
        at++;
        if (marker == 0 || jpeg_is_bare(marker)) {
            continue;
        }
        if (marker < 0xC0) {
            return image_refuse(e, why, IMAGE_BROKEN, "JPEG: no marker after 0xFF at byte %zu",
                                at - 1);
        }
        rc = jpeg_probe_segment(in, &at, marker, &head, why, e);
        if (rc != RC_OK) {
            return rc;
        }
        if (marker == 0xDA) {
            break;
        }
    }
    if (head.components == 0 || at + 1 >= in.n) {
        return image_refuse(e, why, IMAGE_TRUNCATED, "JPEG: the file ends before its first scan");
    }
    rc = image_check_size("JPEG", head.w, head.h, why, e);
    if (rc == RC_OK) {
        *w = head.w;
        *h = head.h;
    }
    return rc;
}

/* The first frame of a GIF, on its canvas. */
#include <string.h>

#include "common/image/image_impl.h"

enum { GIF_CODES = 4096, GIF_MAX_BITS = 12 };

struct gif {
    struct input in;
    size_t at;
    int screen_w, screen_h;
    int x, y, w, h; /* the frame */
    bool interlaced;
    int background; /* the transparent colour if there is one, else 0 */
    uint8_t palette[256][3];
};

static int gif_u16(const uint8_t *p)
{
    return p[0] | p[1] << 8;
}

static enum rc gif_cut(enum image_reason *why, struct err *e)
{
    return image_refuse(e, why, IMAGE_TRUNCATED, "GIF: the file ends before its first frame does");
}

/* A colour table of 2 << bits entries; what it does not define is black. */
static bool gif_palette(struct gif *g, int bits)
{
    size_t n = (size_t)(3 << (bits + 1));

    if (n > g->in.n - g->at) {
        return false;
    }
    memset(g->palette, 0, sizeof g->palette);
    memcpy(g->palette, g->in.p + g->at, n);
    g->at += n;
    return true;
}

/* Skip an extension; of a graphic control keep the transparent colour. */
static bool gif_extension(struct gif *g)
{
    int label = 0;

    if (g->in.n - g->at < 2) {
        return false;
    }
    label = g->in.p[g->at++];
    for (;;) {
        size_t n = g->in.p[g->at++];

        if (n == 0) {
            return true;
        }
        if (n >= g->in.n - g->at) {
            return false;
        }
        if (label == 0xF9 && n >= 4 && (g->in.p[g->at] & 1) != 0) {
            g->background = g->in.p[g->at + 3];
        }
        g->at += n;
    }
}

static enum rc gif_screen(struct gif *g, enum image_reason *why, struct err *e)
{
    const uint8_t *p = g->in.p;

    if (g->in.n < 13) {
        return gif_cut(why, e);
    }
    g->screen_w = gif_u16(p + 6);
    g->screen_h = gif_u16(p + 8);
    g->at = 13;
    for (int i = 0; i < 256; i++) { /* without a colour table: gray */
        memset(g->palette[i], i, 3);
    }
    return (p[10] & 0x80) != 0 && !gif_palette(g, p[10] & 7) ? gif_cut(why, e) : RC_OK;
}

/* Up to the frame's first data block; the canvas grows to hold the frame. */
static enum rc gif_header(struct gif *g, enum image_reason *why, struct err *e)
{
    enum rc rc = gif_screen(g, why, e);
    const uint8_t *p = NULL;

    if (rc != RC_OK) {
        return rc;
    }
    while (g->at < g->in.n && g->in.p[g->at] != ',') {
        if (g->in.p[g->at] == ';') {
            return image_refuse(e, why, IMAGE_BROKEN, "GIF: no frame");
        }
        if (g->in.p[g->at++] == '!' && !gif_extension(g)) {
            return gif_cut(why, e);
        }
    }
    if (g->in.n - g->at < 11) {
        return gif_cut(why, e);
    }
    p = g->in.p + g->at + 1;
    g->x = gif_u16(p);
    g->y = gif_u16(p + 2);
    g->w = gif_u16(p + 4);
    g->h = gif_u16(p + 6);
    g->interlaced = (p[8] & 0x40) != 0;
    g->at += 10;
    if ((p[8] & 0x80) != 0 && !gif_palette(g, p[8] & 7)) {
        return gif_cut(why, e);
    }
    g->screen_w = g->x + g->w > g->screen_w ? g->x + g->w : g->screen_w;
    g->screen_h = g->y + g->h > g->screen_h ? g->y + g->h : g->screen_h;
    return image_check_size("GIF", g->screen_w, g->screen_h, why, e);
}

enum rc gif_probe(struct input in, int *w, int *h, enum image_reason *why, struct err *e)
{
    struct gif g = {.in = in};
    enum rc rc = gif_header(&g, why, e);

    if (rc == RC_OK) {
        *w = g.screen_w;
        *h = g.screen_h;
    }
    return rc;
}

/* ---- LZW ---------------------------------------------------------------------------------- */

struct gif_bits {
    struct input in;
    size_t at, block_end; /* of the current data block */
    uint32_t hold;
    int n;
};

/* The next code, or -1 at the end of the data. */
static int gif_code(struct gif_bits *b, int bits)
{
    int code = 0;

    while (b->n < bits) {
        if (b->at == b->block_end) {
            if (b->at >= b->in.n || b->in.p[b->at] == 0 || b->in.p[b->at] >= b->in.n - b->at) {
                return -1;
            }
            b->block_end = b->at + 1 + b->in.p[b->at];
            b->at++;
        }
        b->hold |= (uint32_t)b->in.p[b->at++] << b->n;
        b->n += 8;
    }
    code = (int)(b->hold & ((1U << bits) - 1));
    b->hold >>= bits;
    b->n -= bits;
    return code;
}

struct gif_lzw {
    uint16_t prefix[GIF_CODES];
    uint8_t last[GIF_CODES], first[GIF_CODES];
    uint16_t length[GIF_CODES];
};

static void gif_lzw_reset(struct gif_lzw *t, int clear)
{
    for (int i = 0; i < clear; i++) {
        t->first[i] = t->last[i] = (uint8_t)i;
        t->length[i] = 1;
    }
}

/* Write a code's string to out[0, room); false if it is longer (what fits is written). */
static size_t gif_emit(const struct gif_lzw *t, int code, uint8_t *out, size_t room)
{
    size_t n = t->length[code];

    for (size_t i = n; i-- > 0; code = t->prefix[code]) {
        if (i < room) {
            out[i] = t->last[code];
        }
    }
    return n < room ? n : room;
}

/* Decode n palette indices. Returns how many the data gave; SIZE_MAX for a code out of range. */
static size_t gif_lzw_decode(struct gif_lzw *t, struct gif_bits *b, int min_bits, uint8_t *out,
                             size_t n)
{
    int clear = 1 << min_bits;
    int next = clear + 2;
    int bits = min_bits + 1;
    int prev = -1;
    size_t done = 0;

    gif_lzw_reset(t, clear);
    while (done < n) {
        int code = gif_code(b, bits);

        if (code < 0 || code == clear + 1) {
            break;
        }
        if (code == clear) {
            next = clear + 2;
            bits = min_bits + 1;
            prev = -1;
            continue;
        }
        if (code > next || (prev < 0 && code >= clear) || (code == next && next == GIF_CODES)) {
            return SIZE_MAX;
        }
        if (prev >= 0 && next < GIF_CODES) {
            t->prefix[next] = (uint16_t)prev;
            t->first[next] = t->first[prev];
            t->last[next] = t->first[code == next ? prev : code];
            t->length[next] = (uint16_t)(t->length[prev] + 1);
            next++;
            bits += next == 1 << bits && bits < GIF_MAX_BITS;
        } else if (code >= next) {
            return SIZE_MAX;
        }
        done += gif_emit(t, code, out + done, n - done);
        prev = code;
    }
    return done;
}

/* ---- pixels ------------------------------------------------------------------------------- */

/* The row of the frame that the i-th coded row is. */
static int gif_row(const struct gif *g, int i)
{
    static const int start[] = {0, 4, 2, 1};
    static const int step[] = {8, 8, 4, 2};

    if (!g->interlaced) {
        return i;
    }
    for (int pass = 0; pass < 4; pass++) {
        int rows = (g->h - start[pass] + step[pass] - 1) / step[pass];

        rows = rows < 0 ? 0 : rows;
        if (i < rows) {
            return start[pass] + i * step[pass];
        }
        i -= rows;
    }
    return g->h - 1;
}

static void gif_paint(const struct gif *g, const uint8_t *index, uint8_t *rgb)
{
    size_t canvas = (size_t)g->screen_w * (size_t)g->screen_h;

    if (g->w != g->screen_w || g->h != g->screen_h) {
        for (size_t i = 0; i < canvas; i++) {
            memcpy(rgb + 3 * i, g->palette[g->background], 3);
        }
    }
    for (int i = 0; i < g->h; i++) {
        uint8_t *to =
            rgb + 3 * ((size_t)(g->y + gif_row(g, i)) * (size_t)g->screen_w + (size_t)g->x);

        for (int x = 0; x < g->w; x++) {
            memcpy(to + 3 * x, g->palette[*index++], 3);
        }
    }
}

enum rc gif_decode(struct codec *k, struct input in, struct raster *out, enum image_reason *why,
                   struct err *e)
{
    struct gif g = {.in = in};
    struct gif_bits b = {.in = in};
    struct gif_lzw *lzw = NULL;
    size_t n = 0;
    size_t got = 0;
    int min_bits = 0;
    enum rc rc = gif_header(&g, why, e);

    if (rc != RC_OK) {
        return rc;
    }
    n = (size_t)g.w * (size_t)g.h;
    min_bits = in.p[g.at];
    b.at = b.block_end = g.at + 1;
    if (min_bits < 1 || min_bits > 8) {
        return image_refuse(e, why, IMAGE_BROKEN, "GIF: a code size of %d bits", min_bits);
    }
    rc = codec_reserve(&k->pixels, (size_t)g.screen_w * (size_t)g.screen_h * 3, e);
    if (rc == RC_OK) {
        rc = codec_reserve(&k->work, sizeof *lzw + n, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    lzw = (void *)k->work.p;
    got = gif_lzw_decode(lzw, &b, min_bits, k->work.p + sizeof *lzw, n);
    if (got == SIZE_MAX) {
        return image_refuse(e, why, IMAGE_BROKEN, "GIF: a code out of range");
    }
    if (got < n) {
        return gif_cut(why, e);
    }
    gif_paint(&g, k->work.p + sizeof *lzw, k->pixels.p);
    *out = (struct raster){.pixels = k->pixels.p, .w = g.screen_w, .h = g.screen_h, .c = 3};
    out->full_w = out->w;
    out->full_h = out->h;
    return RC_OK;
}

/* Pillow 13's separable resize in fixed point: a table per axis, two passes, uint8 between them. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/image/image_impl.h"

enum { RESIZE_BITS = 22, RESIZE_HALF = 1 << (RESIZE_BITS - 1) };

/* ---- tables ------------------------------------------------------------------------------- */

static double resize_bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* a = -0.5 */
static double resize_bicubic(double x)
{
    x = fabs(x);
    if (x < 1.0) {
        return (1.5 * x - 2.5) * x * x + 1;
    }
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0.0;
}

struct resize_shape {
    double scale, support, inverse; /* source per output pixel; reach; 1 / max(scale, 1) */
};

static struct resize_shape resize_shape(const struct resize_table *t)
{
    double scale = (double)(t->in1 - t->in0) / t->out;
    double fs = scale < 1.0 ? 1.0 : scale;

    return (struct resize_shape){
        .scale = scale,
        .support = (t->filter == IMAGE_BICUBIC ? 2.0 : 1.0) * fs,
        .inverse = 1.0 / fs,
    };
}

/* The weights of output first + i, normalised by their sum in order, as fixed point. */
static void resize_weights(struct resize_table *t, const struct resize_shape *s, int i, double *w)
{
    double centre = (double)t->in0 + (t->first + i + 0.5) * s->scale;
    int lo = (int)(centre - s->support + 0.5);
    int hi = (int)(centre + s->support + 0.5);
    double sum = 0.0;
    int32_t *k = t->k + (size_t)i * (size_t)t->taps;

    lo = lo < 0 ? 0 : lo;
    hi = hi > t->in ? t->in : hi;
    hi = hi < lo ? lo : hi;
    for (int j = 0; j < hi - lo; j++) {
        double x = (j + lo - centre + 0.5) * s->inverse;

        w[j] = t->filter == IMAGE_BICUBIC ? resize_bicubic(x) : resize_bilinear(x);
        sum += w[j];
    }
    for (int j = 0; j < hi - lo; j++) {
        double v = sum != 0.0 ? w[j] / sum : w[j];

        k[j] = (int32_t)(v * (1 << RESIZE_BITS) + (v < 0 ? -0.5 : 0.5));
    }
    t->lo[i] = lo;
    t->n[i] = hi - lo;
}

static enum rc resize_fill(struct resize_table *t, struct err *e)
{
    struct resize_shape s = resize_shape(t);
    size_t count = (size_t)t->count;
    double *w = NULL;
    enum rc rc = RC_OK;

    t->taps = (int)ceil(s.support) * 2 + 1;
    rc = codec_reserve(
        &t->storage, (size_t)t->taps * sizeof *w + count * (2 + (size_t)t->taps) * sizeof *t->k, e);
    if (rc != RC_OK) {
        t->out = 0; /* matches nothing */
        return rc;
    }
    w = (void *)t->storage.p;
    t->lo = (void *)(w + t->taps);
    t->n = t->lo + count;
    t->k = t->n + count;
    for (int i = 0; i < t->count; i++) {
        resize_weights(t, &s, i, w);
    }
    return RC_OK;
}

static bool resize_same(const struct resize_table *a, const struct resize_table *b)
{
    return a->out == b->out && a->in == b->in && a->filter == b->filter && a->in0 == b->in0 &&
           a->in1 == b->in1 && a->first == b->first && a->count == b->count;
}

/* The table of an axis (0 x, 1 y), made or remembered; the least recently used one makes room. */
static enum rc resize_table(struct codec *k, const struct resize_table *want, int axis, bool once,
                            struct resize_table **out, struct err *e)
{
    struct resize_table *t = once ? &k->once[axis] : &k->tables[0];
    struct codec_buf storage = {0};

    for (int i = 0; i < IMAGE_TABLES && !once; i++) {
        if (resize_same(&k->tables[i], want)) {
            t = &k->tables[i];
            break;
        }
        t = k->tables[i].used < t->used ? &k->tables[i] : t;
    }
    *out = t;
    if (!resize_same(t, want)) {
        storage = t->storage;
        *t = *want;
        t->storage = storage;
        t->used = ++k->clock;
        return resize_fill(t, e);
    }
    t->used = ++k->clock;
    return RC_OK;
}

/* ---- one pass ----------------------------------------------------------------------------- */

typedef int32_t resize_i4 __attribute__((vector_size(16)));
typedef uint8_t resize_u4 __attribute__((vector_size(4)));
typedef int32_t resize_i8 __attribute__((vector_size(32)));
typedef uint8_t resize_u8 __attribute__((vector_size(8)));

static inline uint8_t resize_clip(int32_t sum)
{
    int32_t v = sum >> RESIZE_BITS;

    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Rows of RGB: 4 lanes hold red, green, blue and the next pixel's red, which is dropped; so each
 * load and store passes the pixel by a byte. */
IMAGE_CLONES
static void resize_row_rgb(const uint8_t *s, uint8_t *d, const struct resize_table *t, int shift)
{
    for (int i = 0; i < t->count; i++, d += 3) {
        const uint8_t *p = s + (ptrdiff_t)3 * (t->lo[i] - shift);
        const int32_t *k = t->k + (size_t)i * (size_t)t->taps;
        resize_i4 sum = {RESIZE_HALF, RESIZE_HALF, RESIZE_HALF, RESIZE_HALF};
        resize_u4 v;

        for (int j = 0; j < t->n[i]; j++, p += 3) {
            memcpy(&v, p, sizeof v);
            sum += __builtin_convertvector(v, resize_i4) * k[j];
        }
        sum >>= RESIZE_BITS;
        sum &= ~(sum < 0);
        sum = (sum & (sum < 255)) | (255 & ~(sum < 255));
        v = __builtin_convertvector(sum, resize_u4);
        memcpy(d, &v, sizeof v);
    }
}

IMAGE_CLONES
static void resize_row_gray(const uint8_t *s, uint8_t *d, const struct resize_table *t, int shift)
{
    for (int i = 0; i < t->count; i++) {
        const uint8_t *p = s + t->lo[i] - shift;
        const int32_t *k = t->k + (size_t)i * (size_t)t->taps;
        int32_t sum = RESIZE_HALF;

        for (int j = 0; j < t->n[i]; j++) {
            sum += p[j] * k[j];
        }
        *d++ = resize_clip(sum);
    }
}

/* One output row from t->n[i] source rows of `bytes` bytes each. */
IMAGE_CLONES
static void resize_column(const uint8_t *s, size_t stride, uint8_t *d, size_t bytes,
                          const int32_t *k, int taps)
{
    size_t at = 0;

    for (; at + 32 <= bytes; at += 32) {
        resize_i8 sum[4] = {{0}, {0}, {0}, {0}};
        const uint8_t *p = s + at;

        for (int j = 0; j < taps; j++, p += stride) {
            for (int b = 0; b < 4; b++) {
                resize_u8 v;

                memcpy(&v, p + 8 * b, sizeof v);
                sum[b] += __builtin_convertvector(v, resize_i8) * k[j];
            }
        }
        for (int b = 0; b < 4; b++) {
            resize_i8 v = (sum[b] + RESIZE_HALF) >> RESIZE_BITS;
            resize_u8 u;

            v &= ~(v < 0);
            v = (v & (v < 255)) | (255 & ~(v < 255));
            u = __builtin_convertvector(v, resize_u8);
            memcpy(d + at + 8 * b, &u, sizeof u);
        }
    }
    for (; at < bytes; at++) {
        int32_t sum = RESIZE_HALF;

        for (int j = 0; j < taps; j++) {
            sum += s[at + (size_t)j * stride] * k[j];
        }
        d[at] = resize_clip(sum);
    }
}

/* Pixels in memory: rows of stride bytes; the first stands at (x, y) of its image. */
struct resize_view {
    const uint8_t *p;
    size_t stride;
    int x, y, c;
};

/* The table's columns of source rows [y0, y0 + rows), written at d, behind whose end a byte more is
 * written. */
static void resize_horizontal(const struct resize_view *v, const struct resize_table *t, int y0,
                              int rows, uint8_t *d, size_t stride)
{
    for (int y = 0; y < rows; y++, d += stride) {
        const uint8_t *s = v->p + (size_t)(y0 + y - v->y) * v->stride;

        if (v->c == 3) {
            resize_row_rgb(s, d, t, v->x);
        } else {
            resize_row_gray(s, d, t, v->x);
        }
    }
}

/* The table's rows of source columns [x0, x0 + w). */
static void resize_vertical(const struct resize_view *v, const struct resize_table *t, int x0,
                            int w, uint8_t *d, size_t stride)
{
    size_t left = (size_t)(x0 - v->x) * (size_t)v->c;

    for (int y = 0; y < t->count; y++, d += stride) {
        resize_column(v->p + (size_t)(t->lo[y] - v->y) * v->stride + left, v->stride, d,
                      (size_t)w * (size_t)v->c, t->k + (size_t)y * (size_t)t->taps, t->n[y]);
    }
}

/* ---- the whole ---------------------------------------------------------------------------- */

struct resize_plan {
    struct resize_table *tx, *ty; /* NULL: that axis does not change */
    bool vertical_first;
    int need[4]; /* source box */
};

static void resize_span(const struct resize_table *t, int from, int n, int *lo, int *hi)
{
    if (t == NULL) {
        *lo = from;
        *hi = from + n;
        return;
    }
    *lo = t->lo[0];
    *hi = t->lo[n - 1] + t->n[n - 1];
}

static enum rc resize_make_plan(struct codec *k, int full_w, int full_h,
                                const struct resize_window *win, struct resize_plan *out,
                                struct err *e)
{
    struct resize_table x = {.in = full_w,
                             .out = win->out_w,
                             .in0 = (float)win->box[0],
                             .in1 = (float)win->box[2],
                             .filter = win->filter,
                             .first = win->x,
                             .count = win->w};
    struct resize_table y = {.in = full_h,
                             .out = win->out_h,
                             .in0 = (float)win->box[1],
                             .in1 = (float)win->box[3],
                             .filter = win->filter,
                             .first = win->y,
                             .count = win->h};
    enum rc rc = RC_OK;

    *out = (struct resize_plan){0};
    if (win->out_w != full_w || win->box[0] != 0 || win->box[2] != full_w) {
        rc = resize_table(k, &x, 0, win->once, &out->tx, e);
    }
    if (rc == RC_OK && (win->out_h != full_h || win->box[1] != 0 || win->box[3] != full_h)) {
        rc = resize_table(k, &y, 1, win->once, &out->ty, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    resize_span(out->tx, win->x, win->w, &out->need[0], &out->need[2]);
    resize_span(out->ty, win->y, win->h, &out->need[1], &out->need[3]);
    out->vertical_first =
        out->ty != NULL && full_h > win->out_h && full_h - win->out_h > 2 * (full_w - win->out_w);
    return RC_OK;
}

enum rc resize_needs(struct codec *k, int full_w, int full_h, const struct resize_window *win,
                     int box[4], struct err *e)
{
    struct resize_plan plan;
    enum rc rc = resize_make_plan(k, full_w, full_h, win, &plan, e);

    if (rc == RC_OK) {
        memcpy(box, plan.need, sizeof plan.need);
    }
    return rc;
}

static void resize_copy(const struct resize_view *v, const struct resize_window *win, uint8_t *out,
                        size_t stride)
{
    size_t bytes = (size_t)win->w * (size_t)v->c;

    for (int y = 0; y < win->h; y++) {
        memcpy(out + (size_t)y * stride,
               v->p + (size_t)(win->y + y - v->y) * v->stride +
                   (size_t)(win->x - v->x) * (size_t)v->c,
               bytes);
    }
}

/* The horizontal pass into padded rows, then row by row to out, whose bytes behind a row are the
 * caller's. */
static void resize_horizontal_out(struct codec *k, const struct resize_view *v,
                                  const struct resize_table *t, const struct resize_window *win,
                                  uint8_t *out, size_t stride, size_t spare)
{
    size_t bytes = (size_t)win->w * (size_t)v->c;
    uint8_t *row = k->pass.p + spare;

    for (int y = 0; y < win->h; y++) {
        resize_horizontal(v, t, win->y + y, 1, row, bytes);
        memcpy(out + (size_t)y * stride, row, bytes);
    }
}

enum rc resize_raster(struct codec *k, const struct raster *src, const struct resize_window *win,
                      uint8_t *out, size_t stride, struct err *e)
{
    struct resize_view v = {src->pixels, (size_t)src->w * (size_t)src->c, src->x, src->y, src->c};
    struct resize_view mid = {.c = src->c};
    struct resize_plan plan;
    size_t bytes = 0;
    size_t row = (size_t)win->w * (size_t)src->c;
    enum rc rc = resize_make_plan(k, src->full_w, src->full_h, win, &plan, e);
    const int *need = plan.need;

    if (rc != RC_OK) {
        return rc;
    }
    assert(need[0] >= src->x && need[2] <= src->x + src->w);
    assert(need[1] >= src->y && need[3] <= src->y + src->h);
    if (plan.vertical_first) {
        bytes = (size_t)(need[2] - need[0]) * (size_t)src->c * (size_t)win->h;
    } else {
        bytes = row * (size_t)(need[3] - need[1]);
    }
    rc = codec_reserve(&k->pass, bytes + BUF_PAD + row, e);
    if (rc != RC_OK) {
        return rc;
    }
    if (plan.tx == NULL && plan.ty == NULL) {
        resize_copy(&v, win, out, stride);
    } else if (plan.tx == NULL) {
        resize_vertical(&v, plan.ty, win->x, win->w, out, stride);
    } else if (plan.ty == NULL) {
        resize_horizontal_out(k, &v, plan.tx, win, out, stride, bytes + BUF_PAD);
    } else if (plan.vertical_first) {
        mid = (struct resize_view){k->pass.p, (size_t)(need[2] - need[0]) * (size_t)src->c, need[0],
                                   win->y, src->c};
        resize_vertical(&v, plan.ty, need[0], need[2] - need[0], k->pass.p, mid.stride);
        resize_horizontal_out(k, &mid, plan.tx, win, out, stride, bytes + BUF_PAD);
    } else {
        mid = (struct resize_view){k->pass.p, row, win->x, need[1], src->c};
        resize_horizontal(&v, plan.tx, need[1], need[3] - need[1], k->pass.p, row);
        resize_vertical(&mid, plan.ty, win->x, win->w, out, stride);
    }
    return RC_OK;
}

enum rc image_resize(struct codec *k, const struct image *src, const double box[4], int out_w,
                     int out_h, enum image_filter filter, uint8_t *out, struct err *e)
{
    struct raster r = {.w = src->w, .h = src->h, .c = src->c, .full_w = src->w, .full_h = src->h};
    struct resize_window win = {
        .out_w = out_w, .out_h = out_h, .w = out_w, .h = out_h, .filter = filter};
    size_t bytes = (size_t)src->w * (size_t)src->h * (size_t)src->c;
    enum rc rc = RC_OK;

    if (out_w < 1 || out_h < 1 || box[0] < 0 || box[1] < 0 || box[2] > src->w || box[3] > src->h ||
        !(box[0] < box[2]) || !(box[1] < box[3])) {
        return err_raise(e, RC_INVAL,
                         "cannot resize the box (%g, %g, %g, %g) of a %d x %d image to %d x %d",
                         box[0], box[1], box[2], box[3], src->w, src->h, out_w, out_h);
    }
    rc = codec_reserve(&k->aug, bytes, e); /* loads pass the last pixel, the caller's may not */
    if (rc != RC_OK) {
        return rc;
    }
    memcpy(k->aug.p, src->pixels, bytes);
    r.pixels = k->aug.p;
    memcpy(win.box, box, sizeof win.box);
    return resize_raster(k, &r, &win, out, (size_t)out_w * (size_t)src->c, e);
}

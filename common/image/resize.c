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

enum { RESIZE_CHAINS = 4, RESIZE_LANES = 4, RESIZE_BLOCK = RESIZE_CHAINS * RESIZE_LANES };

typedef int32_t resize_i4 __attribute__((vector_size(16)));

/* Pixels in memory: rows of stride bytes; the first stands at (x, y) of its image. */
struct resize_view {
    const uint8_t *p;
    size_t stride;
    int x, y, c;
};

static inline uint8_t resize_clip(int32_t sum)
{
    int32_t v = sum >> RESIZE_BITS;

    v = v < 0 ? 0 : v;
    return (uint8_t)(v > 255 ? 255 : v);
}

IMAGE_CLONES
static void resize_widen(const uint8_t *restrict s, int32_t *restrict d, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        d[i] = s[i];
    }
}

IMAGE_CLONES
static void resize_narrow(const int32_t *restrict s, uint8_t *restrict d, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        d[i] = resize_clip(s[i]);
    }
}

/* sum[i] += s[i] * k */
IMAGE_CLONES
static void resize_add_row(const uint8_t *restrict s, int32_t k, int32_t *restrict sum, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sum[i] += s[i] * k;
    }
}

/* Where the four chains of four lanes that run at once lie: source pixel x of chain c at
 * in + c * in_chain + x * in_step, likewise the sums. */
struct resize_lanes {
    const int32_t *in;
    int32_t *out;
    ptrdiff_t in_chain, in_step, out_chain, out_step;
};

static inline resize_i4 resize_load(const int32_t *p)
{
    resize_i4 v;

    memcpy(&v, p, sizeof v);
    return v;
}

IMAGE_CLONES
static void resize_dot(const struct resize_lanes *l, const struct resize_table *t, int first)
{
    ptrdiff_t in = l->in_chain;
    ptrdiff_t out = l->out_chain;

    for (int i = 0; i < t->count; i++) {
        const int32_t *p = l->in + (t->lo[i] - first) * l->in_step;
        const int32_t *k = t->k + (size_t)i * (size_t)t->taps;
        int32_t *d = l->out + i * l->out_step;
        resize_i4 a = {RESIZE_HALF, RESIZE_HALF, RESIZE_HALF, RESIZE_HALF};
        resize_i4 b = a;
        resize_i4 c = a;
        resize_i4 e = a;

        for (int j = 0; j < t->n[i]; j++, p += l->in_step) {
            a += resize_load(p) * k[j];
            b += resize_load(p + in) * k[j];
            c += resize_load(p + 2 * in) * k[j];
            e += resize_load(p + 3 * in) * k[j];
        }
        memcpy(d, &a, sizeof a);
        memcpy(d + out, &b, sizeof b);
        memcpy(d + 2 * out, &c, sizeof c);
        memcpy(d + 3 * out, &e, sizeof e);
    }
}

/* The table's columns of up to four rows of RGB: a chain is a row, its lanes are red, green, blue
 * and the next pixel's red, whose sum the next pixel overwrites. */
static void resize_rows_rgb(struct codec *k, const uint8_t *s, size_t s_stride, int rows,
                            const struct resize_table *t, uint8_t *d, size_t d_stride)
{
    int first = t->lo[0];
    size_t width = (size_t)(t->lo[t->count - 1] + t->n[t->count - 1] - first) * 3;
    size_t count = (size_t)t->count * 3;
    int32_t *wide = (void *)k->lanes.p;
    int32_t *sums = wide + RESIZE_CHAINS * (width + RESIZE_LANES);
    struct resize_lanes l = {wide, sums, (ptrdiff_t)width, 3, (ptrdiff_t)(count + RESIZE_LANES), 3};

    for (int y = 0; y < rows; y++) {
        resize_widen(s + (size_t)y * s_stride, wide + (size_t)y * width, width);
    }
    /* Missing rows, and what the last lane of the last pixel sees. */
    memset(wide + (size_t)rows * width, 0,
           ((size_t)(RESIZE_CHAINS - rows) * width + RESIZE_LANES) * sizeof *wide);
    resize_dot(&l, t, first);
    for (int y = 0; y < rows; y++) {
        resize_narrow(sums + (size_t)y * (count + RESIZE_LANES), d + (size_t)y * d_stride, count);
    }
}

/* The same of up to sixteen gray rows: a lane is a row. */
static void resize_rows_gray(struct codec *k, const uint8_t *s, size_t s_stride, int rows,
                             const struct resize_table *t, uint8_t *d, size_t d_stride)
{
    int first = t->lo[0];
    int width = t->lo[t->count - 1] + t->n[t->count - 1] - first;
    int32_t *wide = (void *)k->lanes.p;
    int32_t *sums = wide + (size_t)width * RESIZE_BLOCK;
    struct resize_lanes l = {wide, sums, RESIZE_LANES, RESIZE_BLOCK, RESIZE_LANES, RESIZE_BLOCK};

    if (rows < RESIZE_BLOCK) {
        memset(wide, 0, (size_t)width * RESIZE_BLOCK * sizeof *wide);
    }
    for (int y = 0; y < rows; y++) {
        for (int x = 0; x < width; x++) {
            wide[x * RESIZE_BLOCK + y] = s[(size_t)y * s_stride + (size_t)x];
        }
    }
    resize_dot(&l, t, first);
    for (int y = 0; y < rows; y++) {
        for (int x = 0; x < t->count; x++) {
            d[(size_t)y * d_stride + (size_t)x] = resize_clip(sums[x * RESIZE_BLOCK + y]);
        }
    }
}

/* The table's columns of source rows [y0, y0 + rows), written at d. */
static enum rc resize_horizontal(struct codec *k, const struct resize_view *v,
                                 const struct resize_table *t, int y0, int rows, uint8_t *d,
                                 size_t stride, struct err *e)
{
    int width = t->lo[t->count - 1] + t->n[t->count - 1] - t->lo[0];
    int block = v->c == 3 ? RESIZE_CHAINS : RESIZE_BLOCK;
    const uint8_t *s =
        v->p + (size_t)(y0 - v->y) * v->stride + (size_t)(t->lo[0] - v->x) * (size_t)v->c;
    enum rc rc = codec_reserve(
        &k->lanes,
        ((size_t)width + (size_t)t->count + RESIZE_LANES) * RESIZE_BLOCK * sizeof(int32_t), e);

    if (rc != RC_OK) {
        return rc;
    }
    for (int y = 0; y < rows; y += block) {
        int n = rows - y < block ? rows - y : block;

        if (v->c == 3) {
            resize_rows_rgb(k, s, v->stride, n, t, d, stride);
        } else {
            resize_rows_gray(k, s, v->stride, n, t, d, stride);
        }
        s += (size_t)n * v->stride;
        d += (size_t)n * stride;
    }
    return RC_OK;
}

/* The table's rows of source columns [x0, x0 + w). */
static enum rc resize_vertical(struct codec *k, const struct resize_view *v,
                               const struct resize_table *t, int x0, int w, uint8_t *d,
                               size_t stride, struct err *e)
{
    size_t left = (size_t)(x0 - v->x) * (size_t)v->c;
    size_t n = (size_t)w * (size_t)v->c;
    enum rc rc = codec_reserve(&k->lanes, n * sizeof(int32_t), e);
    int32_t *sums = (void *)k->lanes.p;

    for (int y = 0; y < t->count && rc == RC_OK; y++, d += stride) {
        const uint8_t *s = v->p + (size_t)(t->lo[y] - v->y) * v->stride + left;
        const int32_t *weights = t->k + (size_t)y * (size_t)t->taps;

        for (size_t i = 0; i < n; i++) {
            sums[i] = RESIZE_HALF;
        }
        for (int j = 0; j < t->n[y]; j++, s += v->stride) {
            resize_add_row(s, weights[j], sums, n);
        }
        resize_narrow(sums, d, n);
    }
    return rc;
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

enum rc resize_raster(struct codec *k, const struct raster *src, const struct resize_window *win,
                      uint8_t *out, size_t stride, struct err *e)
{
    struct resize_view v = {src->pixels, (size_t)src->w * (size_t)src->c, src->x, src->y, src->c};
    struct resize_view mid = {.c = src->c};
    struct resize_plan plan;
    enum rc rc = resize_make_plan(k, src->full_w, src->full_h, win, &plan, e);
    const int *need = plan.need;
    int rows = 0;

    if (rc != RC_OK) {
        return rc;
    }
    assert(need[0] >= src->x && need[2] <= src->x + src->w);
    assert(need[1] >= src->y && need[3] <= src->y + src->h);
    rows = plan.vertical_first ? win->h : need[3] - need[1];
    mid.x = plan.vertical_first ? need[0] : win->x;
    mid.y = plan.vertical_first ? win->y : need[1];
    mid.stride = (size_t)(plan.vertical_first ? need[2] - need[0] : win->w) * (size_t)src->c;
    rc = codec_reserve(&k->pass, mid.stride * (size_t)rows, e);
    if (rc != RC_OK) {
        return rc;
    }
    mid.p = k->pass.p;
    if (plan.tx == NULL && plan.ty == NULL) {
        resize_copy(&v, win, out, stride);
    } else if (plan.tx == NULL) {
        rc = resize_vertical(k, &v, plan.ty, win->x, win->w, out, stride, e);
    } else if (plan.ty == NULL) {
        rc = resize_horizontal(k, &v, plan.tx, win->y, win->h, out, stride, e);
    } else if (plan.vertical_first) {
        rc = resize_vertical(k, &v, plan.ty, need[0], need[2] - need[0], k->pass.p, mid.stride, e);
        if (rc == RC_OK) {
            rc = resize_horizontal(k, &mid, plan.tx, win->y, win->h, out, stride, e);
        }
    } else {
        rc = resize_horizontal(k, &v, plan.tx, need[1], rows, k->pass.p, mid.stride, e);
        if (rc == RC_OK) {
            rc = resize_vertical(k, &mid, plan.ty, win->x, win->w, out, stride, e);
        }
    }
    return rc;
}

enum rc image_resize(struct codec *k, const struct image *src, const double box[4], int out_w,
                     int out_h, enum image_filter filter, uint8_t *out, struct err *e)
{
    struct raster r = {.w = src->w, .h = src->h, .c = src->c, .full_w = src->w, .full_h = src->h};
    struct resize_window win = {
        .out_w = out_w, .out_h = out_h, .w = out_w, .h = out_h, .filter = filter};

    if (out_w < 1 || out_h < 1 || box[0] < 0 || box[1] < 0 || box[2] > src->w || box[3] > src->h ||
        !(box[0] < box[2]) || !(box[1] < box[3])) {
        return err_raise(e, RC_INVAL,
                         "cannot resize the box (%g, %g, %g, %g) of a %d x %d image to %d x %d",
                         box[0], box[1], box[2], box[3], src->w, src->h, out_w, out_h);
    }
    r.pixels = src->pixels;
    memcpy(win.box, box, sizeof win.box);
    return resize_raster(k, &r, &win, out, (size_t)out_w * (size_t)src->c, e);
}

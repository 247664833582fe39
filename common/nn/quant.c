#include "common/nn/quant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

/* ---- which ranges there are ------------------------------------------------------------------ */

static void add(struct quant *q, const char *block, const char *layer, int n)
{
    if (q->ranges != NULL) { /* the second time round: there is room */
        struct quant_range *r = &q->ranges[q->n_ranges];

        (void)snprintf(r->name, sizeof r->name, "%.31s%s%.31s", block, block[0] != 0 ? "." : "",
                       layer);
        r->n = n;
        r->top = q->tops + q->n_tops;
    }
    q->n_ranges++;
    q->n_tops += (size_t)n;
}

static void list(struct quant *q, const struct nn_model *m)
{
    struct nn_stem_conv stem[NN_STEM_MAX];
    const int convs = nn_family_stem(m, stem);
    const int blocks = nn_family_blocks(m->family);

    q->n_ranges = 0;
    q->n_tops = 0;
    for (int i = 0; i < convs; i++) {
        add(q, "", stem[i].conv, 1);
    }
    for (int i = 0; i < blocks; i++) {
        struct nn_block b;

        nn_family_block(m->family, i, &b);
        if (b.projection) {
            add(q, b.name, "downsample.1", b.out);
        }
        add(q, b.name, "conv1", 1);
        add(q, b.name, "conv2", 1);
        add(q, b.name, "conv3", b.out);
        add(q, b.name, "join", i == blocks - 1 ? b.out : 1);
    }
}

enum rc quant_create(const struct nn_model *m, struct quant **out, struct err *e)
{
    struct quant *q = mem_calloc(1, sizeof *q);

    if (q == NULL) {
        return mem_raise(e, "calibration", sizeof *q);
    }
    list(q, m);
    q->tops = mem_calloc(q->n_tops, sizeof *q->tops);
    q->ranges = mem_calloc((size_t)q->n_ranges, sizeof *q->ranges);
    if (q->tops == NULL || q->ranges == NULL) {
        (void)mem_raise(e, "calibration", (size_t)q->n_ranges * sizeof *q->ranges);
        quant_destroy(q);
        return RC_NOMEM;
    }
    list(q, m);
    *out = q;
    return RC_OK;
}

void quant_destroy(struct quant *q)
{
    if (q != NULL) {
        mem_free(q->tops);
        mem_free(q->ranges);
        mem_free(q);
    }
}

const struct quant_range *quant_find(const struct quant *q, const char *name)
{
    for (int i = 0; i < q->n_ranges; i++) {
        if (strcmp(q->ranges[i].name, name) == 0) {
            return &q->ranges[i];
        }
    }
    return NULL;
}

/* ---- what was seen --------------------------------------------------------------------------- */

enum { BINS = 4096, BINS_MIN = BINS / 32 /* no top below this part of the largest value */ };

static const float FIRST_SPAN = 0x1p-20F; /* what the bins cover; doubled until all fits */

struct histogram {
    float span, most;
    uint64_t count[BINS];
};

struct quant_watch {
    struct quant *quant;
    struct histogram **histograms; /* of each range of a whole tensor; NULL of the others */
};

enum rc quant_watch_create(struct quant *q, struct quant_watch **out, struct err *e)
{
    struct quant_watch *w = mem_calloc(1, sizeof *w);

    if (w == NULL) {
        return mem_raise(e, "calibration", sizeof *w);
    }
    w->quant = q;
    w->histograms = mem_calloc((size_t)q->n_ranges, sizeof(struct histogram *));
    if (w->histograms == NULL) {
        goto nomem;
    }
    for (int i = 0; i < q->n_ranges; i++) {
        if (q->ranges[i].n > 1) {
            continue;
        }
        w->histograms[i] = mem_calloc(1, sizeof *w->histograms[i]);
        if (w->histograms[i] == NULL) {
            goto nomem;
        }
        w->histograms[i]->span = FIRST_SPAN;
    }
    *out = w;
    return RC_OK;
nomem:
    quant_watch_destroy(w);
    return mem_raise(e, "calibration", sizeof(struct histogram));
}

void quant_watch_destroy(struct quant_watch *w)
{
    if (w == NULL) {
        return;
    }
    for (int i = 0; i < w->quant->n_ranges && w->histograms != NULL; i++) {
        mem_free(w->histograms[i]);
    }
    mem_free(w->histograms);
    mem_free(w);
}

/* Twice the span: pairs of bins become one, as if all had been counted so from the start. */
static void widen(struct histogram *h)
{
    for (int i = 0; i < BINS; i++) {
        h->count[i] = i < BINS / 2 ? h->count[2 * i] + h->count[2 * i + 1] : 0;
    }
    h->span *= 2;
}

/* Zeros keep their value in any range and are left out. */
static void count(struct histogram *h, const float *values, size_t n, float most)
{
    float per_bin = 0;

    h->most = fmaxf(h->most, most);
    while (h->span <= most) {
        widen(h);
    }
    per_bin = (float)BINS / h->span; /* powers of two: exact */
    for (size_t i = 0; i < n; i++) {
        if (values[i] > 0) {
            h->count[(size_t)(values[i] * per_bin)]++;
        }
    }
}

/* The largest magnitude, or a NaN or infinity if there is one. */
static float largest(const float *values, size_t n)
{
    float most = 0;

    for (size_t i = 0; i < n; i++) {
        const float v = fabsf(values[i]);

        if (!(v <= most)) {
            most = v;
            if (!isfinite(v)) {
                break;
            }
        }
    }
    return most;
}

static void channel_tops(const struct quant_range *r, const float *values, size_t rows)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t c = 0; c < (size_t)r->n; c++) {
            const float v = fabsf(values[i * (size_t)r->n + c]);

            r->top[c] = v > r->top[c] ? v : r->top[c];
        }
    }
}

enum rc quant_watch_see(void *watch, const char *name, const float *values, size_t rows,
                        int channels, struct err *e)
{
    const struct quant_watch *w = watch;
    const struct quant_range *r = quant_find(w->quant, name);
    const size_t n = rows * (size_t)channels;
    float most = 0;

    if (r == NULL) {
        return RC_OK;
    }
    most = largest(values, n);
    if (!isfinite(most)) {
        return err_raise(e, RC_INVAL,
                         "calibration: %s gives a value that is not finite: the model cannot be "
                         "computed in int8",
                         name);
    }
    if (r->n > 1) {
        channel_tops(r, values, rows);
    } else {
        count(w->histograms[r - w->quant->ranges], values, n, most);
    }
    return RC_OK;
}

/* The top of least squared error: what lies above is clamped to it, what lies below is rounded to a
 * multiple of top / 255. The sums are of what lies above. */
static float best_top(const struct histogram *h)
{
    const double width = (double)h->span / BINS;
    double above = 0, first = 0, second = 0, below = 0, least = HUGE_VAL, best = 0;

    for (int i = 0; i < BINS; i++) {
        below += (double)h->count[i];
    }
    for (int i = BINS; i >= BINS_MIN; i--) { /* the top is the lower edge of bin i */
        double top = i * width, step = top / 255, error = 0;

        if (i < BINS) {
            const double n = (double)h->count[i], middle = (i + 0.5) * width;

            above += n;
            below -= n;
            first += n * middle;
            second += n * middle * middle;
        }
        error = second - 2 * top * first + top * top * above + below * step * step / 12;
        if (error < least) {
            least = error;
            best = top;
        }
    }
    return fminf((float)best, h->most);
}

void quant_watch_finish(const struct quant_watch *w)
{
    for (int i = 0; i < w->quant->n_ranges; i++) {
        if (w->histograms[i] != NULL) {
            w->quant->ranges[i].top[0] = best_top(w->histograms[i]);
        }
    }
}

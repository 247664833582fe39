#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "labeler/report.h"

enum { PAGE_WIDTH = 640, PAGE_HEIGHT = 180, PAGE_POINTS = 600 };

struct page {
    char *text;
    size_t n, room;
    bool no_memory;
};

static const char page_style[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;"
    "color:#222}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem;border-bottom:1px solid "
    "#ccc}table{border-collapse:collapse}td,th{text-align:left;padding:.15rem .8rem .15rem 0;"
    "vertical-align:top;overflow-wrap:anywhere}th{font-weight:600}pre{background:#f5f5f5;padding:"
    ".8rem;overflow:auto;font-size:12px}svg{background:#fafafa;border:1px solid #ddd}.bad{color:"
    "#a00;font-weight:600}.good{color:#060}figcaption{font-size:13px;color:#555}"
    "figure{margin:1rem 0}";

/* ---- text -------------------------------------------------------------------------------------- */

static bool page_room(struct page *p, size_t more)
{
    if (p->n + more > p->room) {
        size_t room = 2 * p->room + more;
        char *text = mem_realloc(p->text, room, 1);

        p->no_memory = p->no_memory || text == NULL;
        if (text == NULL) {
            return false;
        }
        p->text = text;
        p->room = room;
    }
    return true;
}

__attribute__((format(printf, 2, 3))) static void page_add(struct page *p, const char *format, ...)
{
    va_list args;
    va_list again;
    int n = 0;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    if (n > 0 && page_room(p, (size_t)n + 1)) {
        (void)vsnprintf(p->text + p->n, (size_t)n + 1, format, again);
        p->n += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

/* What stood in a file or a name, so that it is text and nothing else. */
static void page_text(struct page *p, const char *text)
{
    for (; *text != '\0'; text++) {
        const char *as = *text == '<'   ? "&lt;"
                         : *text == '>' ? "&gt;"
                         : *text == '&' ? "&amp;"
                         : *text == '"' ? "&quot;"
                                        : NULL;

        if (as != NULL) {
            page_add(p, "%s", as);
        } else if (page_room(p, 1)) {
            p->text[p->n++] = *text;
        }
    }
}

static void page_row(struct page *p, const char *name, const char *text)
{
    page_add(p, "<tr><th>%s</th><td>", name);
    page_text(p, text);
    page_add(p, "</td></tr>\n");
}

__attribute__((format(printf, 3, 4))) static void page_rowf(struct page *p, const char *name,
                                                            const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    page_row(p, name, text);
}

static const char *page_string(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));
    char hex[64];

    (void)snprintf(hex, sizeof hex, "%s_hex", name);
    text = text != NULL ? text : json_string_value(json_object_get(o, hex));
    return text != NULL ? text : "-";
}

static double page_number(const json_t *o, const char *name)
{
    return json_number_value(json_object_get(o, name));
}

/* ---- what came out ----------------------------------------------------------------------------- */

static void page_result(struct page *p, const struct report_run *r)
{
    const json_t *o = r->result;
    char time[32];

    if (o == NULL) {
        page_add(p, "<p class=\"bad\">This run is not finished: give its command again.</p>\n");
        return;
    }
    clock_format(page_number(o, "seconds"), time, sizeof time);
    page_add(p, "<table>\n");
    page_row(p, "network", page_string(o, "family"));
    page_rowf(p, "steps", "%.0f", page_number(o, "steps"));
    page_rowf(p, "images", "%.0f in %s, %.0f a second", page_number(o, "images"), time,
              page_number(o, "images_per_second"));
    page_rowf(p, "loss", "%.4f", page_number(o, "loss"));
    if (json_object_get(o, "top1") != NULL) {
        page_rowf(p, "top-1, top-5", "%.2f %%, %.2f %% of %.0f images", page_number(o, "top1"),
                  page_number(o, "top5"), page_number(o, "eval_images"));
    }
    page_rowf(p, "forgotten", "%.0f images left out", page_number(o, "forgotten"));
    page_row(p, "model", page_string(o, "model"));
    page_row(p, "run digest", page_string(o, "run_digest"));
    page_add(p, "</table>\n");
}

static void page_guards(struct page *p, const struct report_run *r)
{
    const json_t *list = json_object_get(r->result, "guards");

    page_add(p, "<h2>Leak guard</h2>\n");
    if (json_array_size(list) == 0) {
        page_add(p, "<p class=\"bad\">Nothing is known of a guard.</p>\n");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *g = json_array_get(list, i);

        page_add(p, "<p class=\"%s\">",
                 json_is_true(json_object_get(g, "passed")) ? "good" : "bad");
        page_text(p, page_string(g, "says"));
        page_add(p, "</p>\n");
    }
}

/* ---- what it was made from --------------------------------------------------------------------- */

static void page_stores(struct page *p, const struct report_run *r)
{
    static const char *const parts[][2] = {{"data", "labeled images"},
                                           {"unlabeled", "unlabeled images"},
                                           {"eval", "evaluation set"},
                                           {"labels", "pseudo-labels"},
                                           {"selection", "selection"}};
    const json_t *stores = json_object_get(r->stores, "stores");

    page_add(p, "<h2>Made from</h2>\n<table>\n");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const json_t *o = json_object_get(stores, parts[i][0]);

        if (o == NULL) {
            continue;
        }
        page_add(p, "<tr><th>%s</th><td>", parts[i][1]);
        page_text(p, page_string(o, "path"));
        page_add(p, "<br><code>%.16s</code>", page_string(o, "digest"));
        if (json_object_get(o, "shards") != NULL) {
            page_add(p, ", %.0f shards, %.0f images forgotten", page_number(o, "shards"),
                     page_number(o, "forgotten"));
        }
        page_add(p, "</td></tr>\n");
    }
    page_add(p, "</table>\n");
}

/* ---- curves ------------------------------------------------------------------------------------ */

struct page_range {
    double step_lo, step_hi, lo, hi;
};

static struct page_range page_range_of(const struct report_series *s)
{
    struct page_range g = {s->points[0].step, s->points[0].step, s->points[0].value,
                           s->points[0].value};

    for (size_t i = 1; i < s->n; i++) {
        g.step_lo = fmin(g.step_lo, s->points[i].step);
        g.step_hi = fmax(g.step_hi, s->points[i].step);
        g.lo = fmin(g.lo, s->points[i].value);
        g.hi = fmax(g.hi, s->points[i].value);
    }
    g.step_hi = g.step_hi > g.step_lo ? g.step_hi : g.step_lo + 1;
    g.hi = g.hi > g.lo ? g.hi : g.lo + 1;
    return g;
}

/* At most PAGE_POINTS points, each the mean of as many. */
static void page_curve(struct page *p, const char *name, const struct report_series *s)
{
    const size_t each = s->n / PAGE_POINTS + 1;
    struct page_range g;

    if (s->n == 0) {
        return;
    }
    g = page_range_of(s);
    page_add(p,
             "<figure><svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">"
             "<polyline fill=\"none\" stroke=\"#246\" stroke-width=\"1.5\" points=\"",
             PAGE_WIDTH, PAGE_HEIGHT, PAGE_WIDTH, PAGE_HEIGHT);
    for (size_t i = 0; i < s->n; i += each) {
        double step = 0;
        double value = 0;
        size_t n = 0;

        for (; n < each && i + n < s->n; n++) {
            step += s->points[i + n].step;
            value += s->points[i + n].value;
        }
        step = (step / (double)n - g.step_lo) / (g.step_hi - g.step_lo);
        value = (value / (double)n - g.lo) / (g.hi - g.lo);
        page_add(p, "%.1f,%.1f ", 8 + step * (PAGE_WIDTH - 16),
                 PAGE_HEIGHT - 8 - value * (PAGE_HEIGHT - 16));
    }
    page_add(p,
             "\"/></svg><figcaption>%s: from %.6g to %.6g, last %.6g; steps %.0f to %.0f"
             "</figcaption></figure>\n",
             name, g.lo, g.hi, s->points[s->n - 1].value, g.step_lo, g.step_hi);
}

enum rc report_page(const struct report_run *r, char **out, size_t *bytes, struct err *e)
{
    static const char *const names[REPORT_CURVES] = {[REPORT_LOSS] = "loss",
                                                     [REPORT_LR] = "learning rate",
                                                     [REPORT_SPEED] = "images a second",
                                                     [REPORT_TOP1] = "top-1 in per cent"};
    struct page p = {NULL, 0, 0, false};

    page_add(&p, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    page_text(&p, r->path);
    page_add(&p, "</title><style>%s</style></head><body>\n<h1>", page_style);
    page_text(&p, r->path);
    page_add(&p, "</h1>\n");
    page_result(&p, r);
    page_guards(&p, r);
    page_add(&p, "<h2>Curves</h2>\n");
    for (int i = 0; i < REPORT_CURVES; i++) {
        page_curve(&p, names[i], &r->curves[i]);
    }
    page_stores(&p, r);
    page_add(&p, "<h2>Recipe</h2>\n<pre>");
    page_text(&p, r->recipe);
    page_add(&p, "</pre>\n</body></html>\n");
    if (p.no_memory) {
        mem_free(p.text);
        return mem_raise(e, "a report", p.room);
    }
    *out = p.text;
    *bytes = p.n;
    return RC_OK;
}

/* Binary PGM (P5) and PPM (P6) with 8-bit samples: what IDX records are stored as. */
#include <math.h>
#include <string.h>

#include "common/image/image_impl.h"

struct pnm_header {
    int channels;
    int v[3]; /* width, height, maximum */
    size_t data;
};

static bool pnm_is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* One decimal number behind white space and comments; false at the end or at anything else. */
static bool pnm_number(struct input in, size_t *at, int *out)
{
    int64_t v = 0;
    bool any = false;

    while (*at < in.n && (pnm_is_space(in.p[*at]) || in.p[*at] == '#')) {
        if (in.p[*at] == '#') {
            while (*at < in.n && in.p[*at] != '\n' && in.p[*at] != '\r') {
                (*at)++;
            }
        } else {
            (*at)++;
        }
    }
    while (*at < in.n && in.p[*at] >= '0' && in.p[*at] <= '9' && v < 1000000) {
        v = v * 10 + (in.p[(*at)++] - '0');
        any = true;
    }
    *out = (int)v;
    return any && *at < in.n && pnm_is_space(in.p[*at]);
}

static enum rc pnm_read_header(struct input in, struct pnm_header *h, enum image_reason *why,
                               struct err *e)
{
    h->channels = in.p[1] == '5' ? 1 : 3;
    h->data = 2;
    for (int i = 0; i < 3; i++) {
        if (!pnm_number(in, &h->data, &h->v[i])) {
            return image_refuse(e, why, h->data < in.n ? IMAGE_BROKEN : IMAGE_TRUNCATED,
                                "PNM: no number at byte %zu of the header", h->data);
        }
    }
    h->data++;
    if (h->v[2] < 1 || h->v[2] > 255) {
        return image_refuse(e, why, IMAGE_UNSUPPORTED_KIND,
                            "PNM: samples up to %d, expected 1 to 255", h->v[2]);
    }
    return image_check_size("PNM", h->v[0], h->v[1], why, e);
}

enum rc pnm_probe(struct input in, int *w, int *h, enum image_reason *why, struct err *e)
{
    struct pnm_header head = {0};
    enum rc rc = pnm_read_header(in, &head, why, e);

    if (rc == RC_OK) {
        *w = head.v[0];
        *h = head.v[1];
    }
    return rc;
}

enum rc pnm_decode(struct codec *k, struct input in, struct raster *out, enum image_reason *why,
                   struct err *e)
{
    struct pnm_header h = {0};
    size_t n = 0;
    enum rc rc = pnm_read_header(in, &h, why, e);

    if (rc != RC_OK) {
        return rc;
    }
    n = (size_t)h.v[0] * (size_t)h.v[1] * (size_t)h.channels;
    if (n > in.n - h.data) {
        return image_refuse(e, why, IMAGE_TRUNCATED, "PNM: %zu bytes of pixels, expected %zu",
                            in.n - h.data, n);
    }
    rc = codec_reserve(&k->pixels, n, e);
    if (rc != RC_OK) {
        return rc;
    }
    memcpy(k->pixels.p, in.p + h.data, n);
    if (h.v[2] != 255) {
        for (size_t i = 0; i < n; i++) {
            double v = rint((double)k->pixels.p[i] / h.v[2] * 255.0); /* as Pillow's round */

            k->pixels.p[i] = (uint8_t)(v < 255.0 ? v : 255.0);
        }
    }
    *out = (struct raster){.pixels = k->pixels.p, .w = h.v[0], .h = h.v[1], .c = h.channels};
    out->full_w = out->w;
    out->full_h = out->h;
    return RC_OK;
}

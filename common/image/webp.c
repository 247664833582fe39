/* WebP through libwebp; of an animation the first frame. */
#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include "common/image/image_impl.h"

static enum rc webp_features(struct input in, WebPBitstreamFeatures *f, enum image_reason *why,
                             struct err *e)
{
    VP8StatusCode status = WebPGetFeatures(in.p, in.n, f);

    if (status == VP8_STATUS_NOT_ENOUGH_DATA) {
        return image_refuse(e, why, IMAGE_TRUNCATED, "WebP: the file ends in its header");
    }
    if (status != VP8_STATUS_OK) {
        return image_refuse(e, why, IMAGE_BROKEN, "WebP: a bad header (libwebp status %d)",
                            (int)status);
    }
    return image_check_size("WebP", f->width, f->height, why, e);
}

enum rc webp_probe(struct input in, int *w, int *h, enum image_reason *why, struct err *e)
{
    WebPBitstreamFeatures f;
    enum rc rc = webp_features(in, &f, why, e);

    if (rc == RC_OK) {
        *w = f.width;
        *h = f.height;
    }
    return rc;
}

static enum rc webp_first_frame(struct codec *k, struct input in, const struct raster *out,
                                enum image_reason *why, struct err *e)
{
    WebPData data = {in.p, in.n};
    WebPAnimDecoder *a = WebPAnimDecoderNew(&data, NULL);
    uint8_t *rgba = NULL;
    int stamp = 0;
    size_t n = (size_t)out->w * (size_t)out->h;
    enum rc rc = RC_OK;

    if (a == NULL || !WebPAnimDecoderGetNext(a, &rgba, &stamp)) {
        rc = image_refuse(e, why, IMAGE_BROKEN, "WebP: the first frame cannot be decoded");
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(k->pixels.p + 3 * i, rgba + 4 * i, 3);
    }
out:
    WebPAnimDecoderDelete(a);
    return rc;
}

enum rc webp_decode(struct codec *k, struct input in, struct raster *out, enum image_reason *why,
                    struct err *e)
{
    WebPBitstreamFeatures f;
    WebPDecoderConfig config;
    VP8StatusCode status = VP8_STATUS_OK;
    size_t bytes = 0;
    enum rc rc = webp_features(in, &f, why, e);

    if (rc != RC_OK) {
        return rc;
    }
    *out = (struct raster){.w = f.width, .h = f.height, .c = 3};
    out->full_w = out->w;
    out->full_h = out->h;
    bytes = (size_t)out->w * (size_t)out->h * 3;
    rc = codec_reserve(&k->pixels, bytes, e);
    if (rc != RC_OK) {
        return rc;
    }
    out->pixels = k->pixels.p;
    if (f.has_animation) {
        return webp_first_frame(k, in, out, why, e);
    }
    if (!WebPInitDecoderConfig(&config)) {
        return err_raise(e, RC_LIB, "libwebp: header and library versions differ");
    }
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = k->pixels.p;
    config.output.u.RGBA.stride = 3 * out->w;
    config.output.u.RGBA.size = bytes;
    status = WebPDecode(in.p, in.n, &config);
    WebPFreeDecBuffer(&config.output);
    if (status == VP8_STATUS_OUT_OF_MEMORY) {
        return err_raise(e, RC_NOMEM, "out of memory: libwebp");
    }
    if (status != VP8_STATUS_OK) {
        bool cut = status == VP8_STATUS_NOT_ENOUGH_DATA || status == VP8_STATUS_SUSPENDED;

        return image_refuse(e, why, cut ? IMAGE_TRUNCATED : IMAGE_BROKEN,
                            "WebP: cannot be decoded (libwebp status %d)", (int)status);
    }
    return RC_OK;
}

#include "common/nn/family.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* top1: timm's measurement of the authors' weights at test_size. */
/* clang-format off */
static const struct nn_family families[] = {
    {"resnetrs50",  NN_STEM_RS, 4, {3, 4, 6, 3},    64, 160, 224, 0.91, 79.934, "ResNet-RS-50"},
    {"resnetrs101", NN_STEM_RS, 4, {3, 4, 23, 3},   64, 192, 288, 0.94, 82.288, "ResNet-RS-101"},
    {"resnetrs152", NN_STEM_RS, 4, {3, 8, 36, 3},   64, 256, 320, 1.0,  83.710, "ResNet-RS-152"},
    {"resnetrs200", NN_STEM_RS, 4, {3, 24, 36, 3},  64, 256, 320, 1.0,  84.448, "ResNet-RS-200"},
    {"resnetrs270", NN_STEM_RS, 4, {4, 29, 53, 4},  64, 256, 352, 1.0,  84.438, "ResNet-RS-270"},
    {"resnetrs350", NN_STEM_RS, 4, {4, 36, 72, 4},  64, 288, 384, 1.0,  84.710, "ResNet-RS-350"},
    {"resnetrs420", NN_STEM_RS, 4, {4, 44, 87, 4},  64, 320, 416, 1.0,  85.010, "ResNet-RS-420"},
    {"resnetrs11_w16", NN_STEM_SMALL, 3, {1, 1, 1}, 16, 28, 28, 1.0, 0, "small images: three blocks"},
    {"resnetrs20_w32", NN_STEM_SMALL, 3, {2, 2, 2}, 32, 32, 32, 1.0, 0, "small images: six blocks"},
    {"resnetrs14_w32", NN_STEM_RS, 4, {1, 1, 1, 1}, 32, 96, 128, 0.95, 0, "small photos: four blocks"},
    {"resnetrs26_w32", NN_STEM_RS, 4, {2, 2, 2, 2}, 32, 128, 160, 0.95, 0, "small photos: eight blocks"},
};
/* clang-format on */

enum { FAMILY_N = sizeof families / sizeof families[0], EXPANSION = 4 };

const struct nn_family *nn_family_at(int i)
{
    return i >= 0 && i < FAMILY_N ? &families[i] : NULL;
}

const struct nn_family *nn_family_find(const char *name)
{
    for (int i = 0; i < FAMILY_N; i++) {
        if (strcmp(families[i].name, name) == 0) {
            return &families[i];
        }
    }
    return NULL;
}

int nn_family_stem(const struct nn_model *m, struct nn_stem_conv out[NN_STEM_MAX])
{
    int w = m->family->width;

    if (m->family->stem == NN_STEM_SMALL) {
        out[0] = (struct nn_stem_conv){"conv1.0", "conv1.1", m->in_channels, w, 1};
        out[1] = (struct nn_stem_conv){"conv1.3", "bn1", w, w, 2};
        return 2;
    }
    out[0] = (struct nn_stem_conv){"conv1.0", "conv1.1", m->in_channels, w / 2, 2};
    out[1] = (struct nn_stem_conv){"conv1.3", "conv1.4", w / 2, w / 2, 1};
    out[2] = (struct nn_stem_conv){"conv1.6", "bn1", w / 2, w, 1};
    out[3] = (struct nn_stem_conv){"maxpool.0", "maxpool.1", w, w, 2};
    return 4;
}

int nn_family_blocks(const struct nn_family *f)
{
    int n = 0;

    for (int s = 0; s < f->stages; s++) {
        n += f->blocks[s];
    }
    return n;
}

/* timm's make_divisible(out / 4, 8). */
static int se_hidden(int out)
{
    int h = (out / 4 + 4) / 8 * 8;

    return h < 8 ? 8 : h;
}

void nn_family_block(const struct nn_family *f, int i, struct nn_block *out)
{
    int stage = 0;
    int index = i;

    assert(i >= 0 && i < nn_family_blocks(f));
    while (index >= f->blocks[stage]) {
        index -= f->blocks[stage++];
    }
    *out = (struct nn_block){.stage = stage, .index = index, .mid = f->width << stage};
    snprintf(out->name, sizeof out->name, "layer%d.%d", stage + 1, index);
    out->out = out->mid * EXPANSION;
    out->in = index > 0 ? out->out : stage > 0 ? out->out / 2 : f->width;
    out->hidden = se_hidden(out->out);
    out->stride = index == 0 && stage > 0 ? 2 : 1;
    out->projection = index == 0;
}

int nn_family_features(const struct nn_family *f)
{
    return (f->width << (f->stages - 1)) * EXPANSION;
}

static uint64_t block_parameters(const struct nn_block *b)
{
    uint64_t in = (uint64_t)b->in;
    uint64_t mid = (uint64_t)b->mid;
    uint64_t out = (uint64_t)b->out;
    uint64_t hidden = (uint64_t)b->hidden;
    uint64_t n = in * mid + 9 * mid * mid + mid * out + 2 * (mid + mid + out);

    n += out * hidden + hidden + hidden * out + out;
    return b->projection ? n + in * out + 2 * out : n;
}

uint64_t nn_model_parameters(const struct nn_model *m)
{
    struct nn_stem_conv stem[NN_STEM_MAX];
    uint64_t features = (uint64_t)nn_family_features(m->family);
    uint64_t n = (features + 1) * (uint64_t)m->classes;
    int convs = nn_family_stem(m, stem);

    for (int i = 0; i < convs; i++) {
        n += (uint64_t)stem[i].out * (9 * (uint64_t)stem[i].in + 2);
    }
    for (int i = 0; i < nn_family_blocks(m->family); i++) {
        struct nn_block b;

        nn_family_block(m->family, i, &b);
        n += block_parameters(&b);
    }
    return n;
}

static double block_macs(const struct nn_block *b, int size, int size_out)
{
    double in = (double)size * size;
    double out = (double)size_out * size_out;
    double n = in * b->in * b->mid + out * 9.0 * b->mid * b->mid + out * b->mid * b->out;

    n += 2.0 * b->out * b->hidden;
    return b->projection ? n + out * b->in * b->out : n;
}

double nn_model_macs(const struct nn_model *m, int size)
{
    struct nn_stem_conv stem[NN_STEM_MAX];
    double n = (double)nn_family_features(m->family) * m->classes;
    int convs = nn_family_stem(m, stem);

    for (int i = 0; i < convs; i++) {
        size = (size - 1) / stem[i].stride + 1;
        n += 9.0 * stem[i].in * stem[i].out * size * size;
    }
    for (int i = 0; i < nn_family_blocks(m->family); i++) {
        struct nn_block b;
        int out;

        nn_family_block(m->family, i, &b);
        out = (size - 1) / b.stride + 1;
        n += block_macs(&b, size, out);
        size = out;
    }
    return n;
}

/**
 * The ResNet-RS family by name, and small members from the same table and code.
 * Source: Revisiting ResNets (Bello 2021) section 4.1 and Table 3; timm resnet.py `resnetrs*`.
 */
#ifndef PRECEPTOR_FAMILY_H
#define PRECEPTOR_FAMILY_H

#include <stdbool.h>
#include <stdint.h>

enum nn_stem {
    NN_STEM_RS,    /* 3x3 s2 w/2, 3x3 w/2, 3x3 w, each BN+ReLU, then 3x3 s2 w BN+ReLU: stride 4 (the
                      authors' code; the paper's text moves that stride into the next block) */
    NN_STEM_SMALL  /* 3x3 s1 w, 3x3 s2 w, each BN+ReLU: stride 2, for images of 28-64 px; timm builds
                      no such stem, so its tensors are named as the deep stem's first and last */
};

struct nn_family {
    const char *name;
    enum nn_stem stem;
    int stages;          /* 3 or 4; strides 1, 2, 2, 2 */
    int blocks[4];
    int width;           /* of the first stage's bottleneck (64); doubles each stage; out is 4x */
    int train_size;      /* px */
    int test_size;
    double crop_pct;     /* timm's, of evaluation */
    double top1;         /* published, at test_size; 0: none */
    const char *about;   /* one line for `preceptor models` */
};

/** NULL: no such member. */
const struct nn_family *nn_family_find(const char *name);
/** The i-th member; NULL past the last. */
const struct nn_family *nn_family_at(int i);

/** What makes a network's parameters: a member with input and output. */
struct nn_model {
    const struct nn_family *family;
    int in_channels; /* 1 or 3 */
    int classes;
};

/* The walk over a member that parameters, cost and the executable network share. */

enum { NN_STEM_MAX = 4, NN_BLOCK_NAME_MAX = 32 };

/** One 3x3 convolution of the stem with its batch norm and ReLU, under timm's names. */
struct nn_stem_conv {
    const char *conv, *bn; /* "conv1.0", "conv1.1" */
    int in, out, stride;
};

/** One bottleneck. */
struct nn_block {
    char name[NN_BLOCK_NAME_MAX]; /* "layer1.0" */
    int stage, index;             /* from 0 */
    int in, mid, out;             /* channels: 1x1 in -> mid, 3x3 mid -> mid, 1x1 mid -> out */
    int hidden;                   /* of squeeze-and-excitation: out/4, a multiple of 8 */
    int stride;                   /* of the 3x3 */
    bool projection;              /* the shortcut has a convolution (after a 2x2 mean at stride 2) */
};

/** The stem's convolutions in order; returns how many (<= NN_STEM_MAX). */
int nn_family_stem(const struct nn_model *m, struct nn_stem_conv out[NN_STEM_MAX]);
/** Blocks of all stages. */
int nn_family_blocks(const struct nn_family *f);
/** The i-th block of all stages. */
void nn_family_block(const struct nn_family *f, int i, struct nn_block *out);
/** Channels that reach the head. */
int nn_family_features(const struct nn_family *f);

/** Trainable parameters; multiply-adds of one forward pass at a size (2 x = FLOPs). */
uint64_t nn_model_parameters(const struct nn_model *m);
double nn_model_macs(const struct nn_model *m, int size);

#endif

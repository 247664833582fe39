/**
 * The ResNet-RS family by name, and small members from the same table and code.
 * Source: Revisiting ResNets (Bello 2021) section 4.1 and Table 3; timm resnet.py `resnetrs*`.
 */
#ifndef PRECEPTOR_FAMILY_H
#define PRECEPTOR_FAMILY_H

#include <stdint.h>

enum nn_stem {
    NN_STEM_RS,    /* 3x3 s2 w/2, 3x3 w/2, 3x3 w, each BN+ReLU, then 3x3 s2 w BN+ReLU: stride 4 */
    NN_STEM_SMALL  /* 3x3 s1 w, 3x3 s2 w, each BN+ReLU: stride 2, for images of 28-64 px */
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

/** Trainable parameters; multiply-adds of one forward pass at a size (2 x = FLOPs). */
uint64_t nn_model_parameters(const struct nn_model *m);
double nn_model_macs(const struct nn_model *m, int size);

#endif

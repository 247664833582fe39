/** Logits and gradients of a stored case (tests/golden/make_timm.py) against a network's. */
#ifndef GOLDEN_NET_H
#define GOLDEN_NET_H

#include "common/nn/net.h"
#include "tests/golden/golden.h"

struct golden_net {
    struct nn_family made;
    struct net_config config;
    struct device *dev;
    struct net *net;
    const struct params *params;
    uint64_t seed;
    float *weights;
    uint8_t *pixels;
};

static inline void golden_net_open(struct golden_net *g, const json_t *c, const char *tag,
                                   const char *backend, enum dtype type, bool training)
{
    struct net_config *n = &g->config;
    struct err e = {0};
    size_t bytes;

    memset(g, 0, sizeof *g);
    g->seed = (uint64_t)golden_number(c, "seed");
    n->model = (struct nn_model){golden_family(c, &g->made), (int)golden_number(c, "channels"),
                                 (int)golden_number(c, "classes")};
    n->batch = (int)golden_number(c, "batch");
    n->size = (int)golden_number(c, "size");
    n->type = type;
    n->training = n->with_keep = n->with_dropout = training;
    memcpy(n->mean, formula_mean, sizeof n->mean);
    memcpy(n->std, formula_std, sizeof n->std);
    golden_ok(device_create(backend, 1, &g->dev, &e), &e);
    golden_ok(net_create(g->dev, n, &g->net, &e), &e);
    g->params = net_params(g->net);
    bytes = (size_t)n->batch * (size_t)n->size * (size_t)n->size * (size_t)n->model.in_channels;
    g->weights = params_buffer(g->params);
    g->pixels = mem_calloc(bytes, 1);
    golden_must(g->weights != NULL && g->pixels != NULL, "memory");
    formula_fill(g->params, g->seed, g->weights);
    formula_pixels(tag, g->seed, bytes, g->pixels);
}

static inline void golden_net_close(struct golden_net *g)
{
    net_destroy(g->net);
    device_destroy(g->dev);
    mem_free(g->weights);
    mem_free(g->pixels);
}

/* Relative L2 distance of the logits in evaluation. */
static inline double golden_net_logits(const json_t *c, const char *backend, enum dtype type)
{
    struct golden_net g;
    struct err e = {0};
    size_t n;
    float *logits;
    double d;

    golden_net_open(&g, c, "", backend, type, false);
    n = (size_t)g.config.batch * (size_t)g.config.model.classes;
    logits = mem_calloc(n, sizeof *logits);
    golden_must(logits != NULL, "memory");
    golden_ok(net_load(g.net, g.weights, &e), &e);
    golden_ok(net_infer(g.net, g.pixels, logits, &e), &e);
    d = formula_distance("logits", NULL, logits, NULL, n, json_object_get(c, "projections"));
    mem_free(logits);
    golden_net_close(&g);
    return d;
}

struct golden_gradients {
    double loss;                      /* relative difference */
    struct golden_worst grads, stats; /* of every trainable; of BN's mean and unbiased variance */
};

/* One backward pass with the case's masks. */
static inline void golden_net_pass(struct golden_net *g, const json_t *c, float *grads, float *loss)
{
    size_t n = (size_t)g->config.batch;
    size_t blocks = (size_t)net_blocks(g->net);
    size_t features = (size_t)net_features(g->net);
    size_t classes = (size_t)g->config.model.classes;
    float *buffer = mem_calloc(n * (classes + 1 + blocks + features), sizeof *buffer);
    float *weight = buffer + n * classes;
    float *keep = weight + n;
    float *dropout = keep + n * blocks;
    struct net_targets t = {buffer, weight, keep, dropout};
    char tag[FORMULA_NAME_MAX];
    struct err e = {0};

    golden_must(buffer != NULL, "memory");
    golden_targets("0.0", g->seed, n, classes, false, buffer);
    for (size_t i = 0; i < n; i++) {
        weight[i] = 1;
    }
    for (size_t b = 0; b < blocks; b++) {
        (void)snprintf(tag, sizeof tag, "keep%d.0.0", (int)b);
        golden_mask(tag, g->seed, n, golden_number(c, "keep"), keep + b * n);
    }
    golden_mask("dropout0.0", g->seed, n * features, golden_number(c, "dropout"), dropout);
    net_bind(g->net, g->weights, grads);
    golden_ok(net_refresh(g->net, &e), &e);
    golden_ok(net_train(g->net, g->pixels, &t, loss, NULL, &e), &e);
    mem_free(buffer);
}

static inline struct golden_gradients golden_net_gradients(const json_t *c, const char *backend,
                                                           enum dtype type)
{
    struct golden_net g;
    struct golden_gradients out;
    double wanted = golden_number(c, "loss");
    double sum = 0;
    float *grads;
    float *loss;

    golden_net_open(&g, c, "0.0", backend, type, true);
    grads = params_buffer(g.params);
    loss = mem_calloc((size_t)g.config.batch, sizeof *loss);
    golden_must(grads != NULL && loss != NULL, "memory");
    golden_net_pass(&g, c, grads, loss);
    for (int i = 0; i < g.config.batch; i++) {
        sum += (double)loss[i];
    }
    out.loss = fabs(sum - wanted) / fabs(wanted);
    out.grads =
        golden_views(c, "gradients", g.params, grads, NULL, 0, g.params->n_trainable);
    out.stats = golden_views(c, "statistics", g.params, grads, NULL, g.params->n_trainable,
                             g.params->n_total);
    mem_free(grads);
    mem_free(loss);
    golden_net_close(&g);
    return out;
}

#endif

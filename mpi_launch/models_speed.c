#include "mpi_launch/models_speed.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/nn/net.h"

enum { PASSES_MIN = 2 };

static const double SECONDS = 1, FC_STD = 0.01;

static enum rc load(struct net *net, struct err *e)
{
    float *weights = params_buffer(net_params(net));
    enum rc rc;

    if (weights == NULL) {
        return mem_raise(e, "weights", net_params(net)->n_total * sizeof *weights);
    }
    params_init(net_params(net), 1, FC_STD, weights);
    rc = net_load(net, weights, e);
    mem_free(weights);
    return rc;
}

/* The first pass is not counted: it touches all memory for the first time. */
static enum rc time_passes(struct net *net, const uint8_t *pixels, float *logits, double *least,
                           struct err *e)
{
    enum rc rc = net_infer(net, pixels, logits, e);
    const double end = clock_now() + SECONDS;

    for (int i = 0; (i < PASSES_MIN || clock_now() < end) && rc == RC_OK; i++) {
        const double start = clock_now();
        double took;

        rc = net_infer(net, pixels, logits, e);
        took = clock_now() - start;
        *least = i == 0 || took < *least ? took : *least;
    }
    return rc;
}

enum rc models_speed(struct device *dev, const struct nn_model *m, int batch, int size,
                     enum dtype type, double *images_per_second, struct err *e)
{
    const struct net_config config = {
        .model = *m, .batch = batch, .size = size, .type = type, .std = {1, 1, 1}};
    const size_t bytes = (size_t)batch * (size_t)size * (size_t)size * (size_t)m->in_channels;
    const size_t floats = (size_t)batch * (size_t)m->classes;
    uint8_t *pixels = mem_calloc(bytes, 1);
    float *logits = mem_calloc(floats, sizeof *logits);
    struct net *net = NULL;
    double least = 0;
    enum rc rc = RC_OK;

    if (pixels == NULL || logits == NULL) {
        rc = mem_raise(e, "pixels of a pass", bytes + floats * sizeof *logits);
        goto out;
    }
    rc = net_create(dev, &config, &net, e);
    rc = rc != RC_OK ? rc : load(net, e);
    rc = rc != RC_OK ? rc : time_passes(net, pixels, logits, &least, e);
    if (rc == RC_OK) {
        *images_per_second = batch / least;
    }
out:
    net_destroy(net);
    mem_free(pixels);
    mem_free(logits);
    return rc;
}

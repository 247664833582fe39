/* Inference on several threads as lanes: independent networks of a part of the batch each, with a
 * device of a part of the threads. Between lanes nothing waits for anything but the end of the pass,
 * so a thread that is held up holds up no other, and passes over memory in one lane run beside the
 * arithmetic of another. Packed weights are those of the first lane. */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/nn/net_impl.h"

enum { ROWS_MIN = 4 }; /* of a lane: fewer do not pay for reading the weights */

struct lane {
    struct net_lanes *all;
    struct device *dev;
    struct net *net;
    int first, rows; /* of the batch */
    pthread_t thread;
    bool started;
    enum rc rc;
    struct err err;
};

struct net_lanes {
    struct lane *lanes;
    int n;
    size_t row_pixels, row_logits;
    pthread_mutex_t mutex;
    pthread_cond_t go, done;
    uint64_t pass; /* counts up: lanes run one pass for each */
    int running;
    bool quit;
    const uint8_t *pixels;
    float *logits;
};

int net_lanes_count(const struct device *dev, const struct net_config *c)
{
    struct device_info info;
    int most = c->batch / ROWS_MIN;

    device_describe(dev, &info);
    if (c->training || c->whole || strcmp(info.backend, "cpu") != 0 || info.threads < 2 ||
        most < 2) {
        return 1;
    }
    return info.threads < most ? info.threads : most;
}

static void run_lane(struct lane *l)
{
    const struct net_lanes *a = l->all;
    const size_t first = (size_t)l->first;

    l->err = (struct err){0};
    l->rc = net_infer(l->net, a->pixels + first * a->row_pixels, a->logits + first * a->row_logits,
                      &l->err);
}

static void *lane_main(void *ctx)
{
    struct lane *l = ctx;
    struct net_lanes *a = l->all;
    uint64_t seen = 0;

    pthread_mutex_lock(&a->mutex);
    for (;;) {
        while (a->pass == seen && !a->quit) {
            pthread_cond_wait(&a->go, &a->mutex);
        }
        if (a->quit) {
            break;
        }
        seen = a->pass;
        pthread_mutex_unlock(&a->mutex);
        run_lane(l);
        pthread_mutex_lock(&a->mutex);
        a->running--;
        pthread_cond_signal(&a->done);
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

/* Lane 0 is the caller's thread. Signals are for the threads that were there before. */
static enum rc start_threads(struct net_lanes *a, struct err *e)
{
    sigset_t all;
    sigset_t old;
    int failed = 0;

    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 1; i < a->n && failed == 0; i++) {
        failed = pthread_create(&a->lanes[i].thread, NULL, lane_main, &a->lanes[i]);
        a->lanes[i].started = failed == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed == 0 ? RC_OK
                       : err_raise(e, RC_NOMEM, "cannot start a thread of the network: %s",
                                   strerror(failed));
}

static enum rc create_lane(struct net_lanes *a, int i, int threads, const struct net_config *c,
                           struct err *e)
{
    struct lane *l = &a->lanes[i];
    struct net_config mine = *c;
    enum rc rc;

    l->all = a;
    l->first = (int)((int64_t)c->batch * i / a->n);
    l->rows = (int)((int64_t)c->batch * (i + 1) / a->n) - l->first;
    mine.batch = l->rows;
    rc = device_create("cpu", threads / a->n + (i < threads % a->n), &l->dev, e);
    rc = rc != RC_OK ? rc : net_create_one(l->dev, &mine, &l->net, e);
    if (rc == RC_OK && i > 0) {
        net_share_weights(l->net, a->lanes[0].net);
    }
    return rc;
}

enum rc net_lanes_create(const struct device *dev, const struct net_config *c, int n,
                         struct net_lanes **out, struct err *e)
{
    struct net_lanes *a = mem_calloc(1, sizeof *a);
    struct device_info info;
    enum rc rc = RC_OK;

    if (a == NULL) {
        return mem_raise(e, "lanes", sizeof *a);
    }
    device_describe(dev, &info);
    pthread_mutex_init(&a->mutex, NULL);
    pthread_cond_init(&a->go, NULL);
    pthread_cond_init(&a->done, NULL);
    a->row_pixels = (size_t)c->size * (size_t)c->size * (size_t)c->model.in_channels;
    a->row_logits = (size_t)c->model.classes;
    a->lanes = mem_calloc((size_t)n, sizeof *a->lanes);
    if (a->lanes == NULL) {
        rc = mem_raise(e, "lanes", (size_t)n * sizeof *a->lanes);
        goto out;
    }
    a->n = n;
    for (int i = 0; i < n && rc == RC_OK; i++) {
        rc = create_lane(a, i, info.threads, c, e);
    }
    rc = rc == RC_OK ? start_threads(a, e) : rc;
    if (rc == RC_OK) {
        *out = a;
        a = NULL; /* now the caller's */
    }
out:
    net_lanes_destroy(a);
    return rc;
}

void net_lanes_destroy(struct net_lanes *a)
{
    if (a == NULL) {
        return;
    }
    pthread_mutex_lock(&a->mutex);
    a->quit = true;
    pthread_cond_broadcast(&a->go);
    pthread_mutex_unlock(&a->mutex);
    for (int i = a->n - 1; i >= 0; i--) { /* the first lane's weights are the others' */
        if (a->lanes[i].started) {
            pthread_join(a->lanes[i].thread, NULL);
        }
        net_destroy(a->lanes[i].net);
        device_destroy(a->lanes[i].dev);
    }
    pthread_cond_destroy(&a->done);
    pthread_cond_destroy(&a->go);
    pthread_mutex_destroy(&a->mutex);
    mem_free(a->lanes);
    mem_free(a);
}

enum rc net_lanes_load(struct net_lanes *a, const float *params, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < a->n && rc == RC_OK; i++) {
        rc = net_load(a->lanes[i].net, params, e);
    }
    return rc;
}

enum rc net_lanes_infer(struct net_lanes *a, const uint8_t *pixels, float *logits, struct err *e)
{
    pthread_mutex_lock(&a->mutex);
    a->pixels = pixels;
    a->logits = logits;
    a->running = a->n - 1;
    a->pass++;
    pthread_cond_broadcast(&a->go);
    pthread_mutex_unlock(&a->mutex);
    run_lane(&a->lanes[0]);
    pthread_mutex_lock(&a->mutex);
    while (a->running > 0) {
        pthread_cond_wait(&a->done, &a->mutex);
    }
    pthread_mutex_unlock(&a->mutex);
    for (int i = 0; i < a->n; i++) {
        if (a->lanes[i].rc != RC_OK) {
            return err_raise(e, a->lanes[i].rc, "%s", a->lanes[i].err.msg);
        }
    }
    return RC_OK;
}

struct net *net_lanes_net(const struct net_lanes *a, int i)
{
    assert(i < a->n);
    return a->lanes[i].net;
}

void net_lanes_memory(const struct net_lanes *a, struct net_memory *out)
{
    *out = (struct net_memory){0};
    for (int i = 0; i < a->n; i++) {
        struct net_memory one;

        net_memory(a->lanes[i].net, &one);
        out->activations += one.activations;
        out->lower_bound += one.lower_bound;
        out->weights += one.weights;
        out->buffers += one.buffers;
    }
}

double net_lanes_flops(const struct net_lanes *a)
{
    double flops = 0;

    for (int i = 0; i < a->n; i++) {
        flops += net_flops(a->lanes[i].net);
    }
    return flops;
}

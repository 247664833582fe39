/* What runs in a pass on the cpu backend, and that a trace shows all of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/nn/net_impl.h"

enum { BATCH = 2, SIZE = 64, CLASSES = 10 };

static struct device *dev;

static int open_device(void **state)
{
    struct err e = {0};

    (void)state;
    return device_create("cpu", 1, &dev, &e);
}

static int close_device(void **state)
{
    (void)state;
    device_destroy(dev);
    return 0;
}

static struct net *make(const char *family, bool training, enum dtype type)
{
    struct net_config c = {.model = {nn_family_find(family), 3, CLASSES},
                           .batch = BATCH,
                           .size = SIZE,
                           .type = type,
                           .training = training,
                           .with_keep = training,
                           .with_dropout = training,
                           .std = {1, 1, 1}};
    struct net *net = NULL;
    struct err e = {0};

    if (net_create(dev, &c, &net, &e) != RC_OK) {
        fail_msg("%s", e.msg);
    }
    return net;
}

static int plans_of(const struct net *net, const char *category)
{
    int n = 0;

    for (int i = 0; i < net_plans(net); i++) {
        n += strcmp(net_plan_category(net, i), category) == 0;
    }
    return n;
}

static int convolutions(const struct net *net)
{
    int n = 0;

    for (int i = 0; i < net->graph.n_nodes; i++) {
        const enum op_kind k = net->graph.nodes[i].op.kind;

        n += k == OP_CONV || k == OP_CONV_BWD_DATA || k == OP_CONV_BWD_WEIGHTS;
    }
    return n;
}

/* A plan without a way in brackets runs the backend's own kernel (its table has no other); the others
 * name oneDNN's implementation, which must not be its reference. */
static void no_plan_runs_reference_code(const char *family, bool training, enum dtype type)
{
    struct net *net = make(family, training, type);
    int ways = 0;

    for (int i = 0; i < net_plans(net); i++) {
        const char *d = net_plan_describe(net, i);
        const char *way = strrchr(d, '(');

        if (way != NULL && (strstr(way, "ref") != NULL || strstr(way, "simple") != NULL)) {
            fail_msg("%s", d);
        }
        ways += way != NULL;
        assert_non_null(net_plan_category(net, i));
    }
    assert_int_equal(ways, convolutions(net));
    net_destroy(net);
}

static void inference_runs_no_reference_code(void **state)
{
    struct device_info info;

    (void)state;
    device_describe(dev, &info);
    no_plan_runs_reference_code("resnetrs50", false, DT_F32);
    if (info.has_bf16) {
        no_plan_runs_reference_code("resnetrs50", false, DT_BF16);
    }
}

static void training_runs_no_reference_code(void **state)
{
    struct device_info info;

    (void)state;
    device_describe(dev, &info);
    no_plan_runs_reference_code("resnetrs50", true, DT_F32);
    if (info.has_bf16) {
        no_plan_runs_reference_code("resnetrs50", true, DT_BF16);
    }
}

static char path[300];

static struct trace *begin(void)
{
    const char *parent = getenv("TMPDIR");
    struct trace *t = NULL;
    struct err e = {0};

    (void)snprintf(path, sizeof path, "%s/preceptor-trace-%ld", parent == NULL ? "." : parent,
                   (long)getpid());
    assert_int_equal(trace_open(path, 1, &t, &e), RC_OK);
    return t;
}

static json_t *end(struct trace *t)
{
    json_t *root = NULL;
    struct err e = {0};

    assert_int_equal(trace_close(t, &e), RC_OK);
    assert_int_equal(json_read(path, &root, &e), RC_OK);
    (void)unlink(path);
    return root;
}

/* How many spans have this category, and this name unless it is NULL. */
static int spans(const json_t *root, const char *category, const char *name)
{
    const json_t *list = json_object_get(root, "traceEvents");
    const json_t *one;
    size_t i;
    int n = 0;

    json_array_foreach(list, i, one)
    {
        n += strcmp(json_string_value(json_object_get(one, "cat")), category) == 0 &&
             (name == NULL || strcmp(json_string_value(json_object_get(one, "name")), name) == 0);
    }
    return n;
}

/* Each category has a span for each of its plans: more where `more` spans are not plans'. */
static void assert_all_plans(const json_t *root, const struct net *net, const char *category,
                             int more)
{
    if (plans_of(net, category) == 0 ||
        spans(root, category, NULL) != plans_of(net, category) + more) {
        fail_msg("%s: %d plans, %d spans", category, plans_of(net, category),
                 spans(root, category, NULL));
    }
}

static void a_trace_shows_every_plan_of_an_inference_and_no_reorder(void **state)
{
    struct net *net = make("resnetrs11_w16", false, DT_F32);
    float *weights = params_buffer(net_params(net));
    uint8_t *pixels = calloc(BATCH, (size_t)SIZE * SIZE * 3);
    float logits[BATCH * CLASSES];
    struct err e = {0};
    struct trace *t = NULL;
    json_t *root = NULL;

    (void)state;
    params_init(net_params(net), 1, 0.01, weights);
    assert_int_equal(net_load(net, weights, &e), RC_OK);
    t = begin();
    net_trace(net, t);
    assert_int_equal(net_infer(net, pixels, logits, &e), RC_OK);
    net_trace(net, NULL);
    assert_int_equal(net_infer(net, pixels, logits, &e), RC_OK); /* not recorded */
    root = end(t);
    assert_int_equal(spans(root, "convolution forward", "layer1.0.conv2"), 1);
    assert_all_plans(root, net, "convolution forward", 0);
    assert_all_plans(root, net, "SE", 0);
    assert_all_plans(root, net, "join", 0);
    assert_all_plans(root, net, "pool", 0);
    assert_all_plans(root, net, "pixels", 0);
    assert_int_equal(spans(root, "reorder", NULL), 0);
    json_decref(root);
    net_destroy(net);
    mem_free(weights);
    free(pixels);
}

static void a_trace_shows_every_plan_of_a_training_step_and_its_packings(void **state)
{
    struct net *net = make("resnetrs11_w16", true, DT_F32);
    float *weights = params_buffer(net_params(net));
    float *grads = params_buffer(net_params(net));
    uint8_t *pixels = calloc(BATCH, (size_t)SIZE * SIZE * 3);
    float target[BATCH * CLASSES] = {1};
    float weight[BATCH] = {1, 1};
    float loss[BATCH];
    float keep[16 * BATCH];
    float *dropout = calloc((size_t)net_features(net) * BATCH, sizeof *dropout);
    struct net_targets targets = {target, weight, keep, dropout};
    struct err e = {0};
    struct trace *t = NULL;
    json_t *root = NULL;

    (void)state;
    for (int i = 0; i < 16 * BATCH; i++) {
        keep[i] = 1;
    }
    params_init(net_params(net), 1, 0.01, weights);
    net_bind(net, weights, grads);
    t = begin();
    net_trace(net, t);
    assert_int_equal(net_refresh(net, &e), RC_OK);
    assert_int_equal(net_train(net, pixels, &targets, loss, NULL, &e), RC_OK);
    root = end(t);
    assert_all_plans(root, net, "convolution forward", 0);
    assert_all_plans(root, net, "convolution d-data", 0);
    assert_all_plans(root, net, "convolution d-weights", 0);
    assert_all_plans(root, net, "batch norm", 1); /* and the statistics */
    assert_all_plans(root, net, "SE", 0);
    assert_all_plans(root, net, "join", 0);
    assert_all_plans(root, net, "loss", 0);
    /* Weights for forward and d-data, once a step, and nothing else. */
    assert_int_equal(spans(root, "reorder", "layer1.0.conv2"), 1);
    assert_int_equal(spans(root, "reorder", "layer1.0.conv2 dx"), 1);
    for (int i = 0, packed = 0; i <= net->graph.n_nodes; i++) {
        if (i == net->graph.n_nodes) {
            assert_int_equal(spans(root, "reorder", NULL), packed);
        } else {
            packed += net->graph.nodes[i].op.kind == OP_CONV ||
                      net->graph.nodes[i].op.kind == OP_CONV_BWD_DATA;
        }
    }
    json_decref(root);
    net_destroy(net);
    mem_free(weights);
    mem_free(grads);
    free(pixels);
    free(dropout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inference_runs_no_reference_code),
        cmocka_unit_test(training_runs_no_reference_code),
        cmocka_unit_test(a_trace_shows_every_plan_of_an_inference_and_no_reorder),
        cmocka_unit_test(a_trace_shows_every_plan_of_a_training_step_and_its_packings),
    };

    return cmocka_run_group_tests(tests, open_device, close_device);
}

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/device/device.h"
#include "common/nn/family.h"
#include "common/nn/net.h"
#include "mpi_launch/launch_verbs.h"

struct models_config {
    bool json, memory;
    int64_t size, classes, in_channels, batch;
};

#define AT(field) offsetof(struct models_config, field)

/* clang-format off */
static const struct opt models_opts[] = {
    {"size", OPT_INT, AT(size), "0", 0, 4096, NULL, "PX", "side of the images for FLOPs and memory; 0: each member's training size"},
    {"classes", OPT_INT, AT(classes), "1000", 1, 65536, NULL, "N", "classes of the head"},
    {"in_channels", OPT_INT, AT(in_channels), "3", 1, 3, NULL, "N", "1: gray, 3: colour"},
    {"memory", OPT_BOOL, AT(memory), "true", 0, 0, NULL, NULL, "compile each network and show the activation memory of its plan"},
    {"batch", OPT_INT, AT(batch), "1", 1, 4096, NULL, "N", "images of a pass, for --memory"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print an array with one object a member"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage models_usage = {
    .verb = "models",
    .summary = "the family: parameters, FLOPs, sizes, published accuracy, memory",
    .synopsis = "[NAME...] [--size PX] [--no-memory] [options]",
    .description =
        "ResNet-RS by depth (sizes and top-1 are those of timm's weights, measured by timm), and\n"
        "small members of the same make for small images. GFLOP counts a multiply and an add as\n"
        "two, for one image forward. Each network is compiled for this processor to show what its\n"
        "activations take in inference and in training, without its weights.",
    .examples = "preceptor models\n"
                "preceptor models resnetrs50 resnetrs101 --size 224 --batch 8"};

/* Bytes of activations; 0 when not asked for. */
struct models_bytes {
    size_t infer, train;
};

static enum rc models_plan_bytes(struct device *dev, const struct nn_model *m, int batch, int size,
                                 bool training, size_t *bytes, struct err *e)
{
    struct net_config config = {.model = *m, .batch = batch, .size = size, .training = training};
    struct net_memory memory = {0};
    struct net *net = NULL;
    enum rc rc = RC_OK;

    for (int i = 0; i < 3; i++) {
        config.std[i] = 1;
    }
    rc = net_create(dev, &config, &net, e);
    if (rc == RC_OK) {
        net_memory(net, &memory);
        *bytes = memory.activations;
        net_destroy(net);
    }
    return rc;
}

static enum rc models_bytes(const struct models_config *c, struct device *dev,
                            const struct nn_model *m, int size, struct models_bytes *out,
                            struct err *e)
{
    enum rc rc = RC_OK;

    *out = (struct models_bytes){0};
    if (!c->memory) {
        return RC_OK;
    }
    rc = models_plan_bytes(dev, m, (int)c->batch, size, false, &out->infer, e);
    return rc == RC_OK ? models_plan_bytes(dev, m, (int)c->batch, size, true, &out->train, e) : rc;
}

static void models_print_head(const struct models_config *c)
{
    printf("%-16s %12s %7s %6s %5s %7s", "model", "parameters", "GFLOP", "train", "test", "top-1");
    if (c->memory) {
        printf(" %10s %10s", "infer", "train");
    }
    printf("  about\n");
}

static void models_print(const struct models_config *c, const struct nn_model *m, int size,
                         const struct models_bytes *bytes)
{
    const struct nn_family *f = m->family;
    char top1[16] = "-";

    if (f->top1 > 0) {
        (void)snprintf(top1, sizeof top1, "%.2f", f->top1);
    }
    printf("%-16s %12llu %7.3f %6d %5d %7s", f->name, (unsigned long long)nn_model_parameters(m),
           2e-9 * nn_model_macs(m, size), f->train_size, f->test_size, top1);
    if (c->memory) {
        printf(" %6.1f MiB %6.1f MiB", (double)bytes->infer / (1 << 20),
               (double)bytes->train / (1 << 20));
    }
    printf("  %s\n", f->about);
}

static json_t *models_json(const struct models_config *c, const struct nn_model *m, int size,
                           const struct models_bytes *bytes)
{
    const struct nn_family *f = m->family;
    json_t *o = json_pack("{s:s,s:I,s:i,s:f,s:i,s:i,s:f,s:s}", "model", f->name, "parameters",
                          (json_int_t)nn_model_parameters(m), "size", size, "flops",
                          2 * nn_model_macs(m, size), "train_size", f->train_size, "test_size",
                          f->test_size, "crop_pct", f->crop_pct, "about", f->about);

    if (o != NULL && f->top1 > 0) {
        (void)json_object_set_new(o, "top1", json_real(f->top1));
    }
    if (o != NULL && c->memory) {
        (void)json_object_set_new(o, "activation_bytes_infer",
                                  json_integer((json_int_t)bytes->infer));
        (void)json_object_set_new(o, "activation_bytes_train",
                                  json_integer((json_int_t)bytes->train));
    }
    return o;
}

static enum rc models_one(const struct models_config *c, struct device *dev,
                          const struct nn_family *f, json_t *array, struct err *e)
{
    const struct nn_model m = {f, (int)c->in_channels, (int)c->classes};
    int size = c->size > 0 ? (int)c->size : f->train_size;
    struct models_bytes bytes;
    enum rc rc = models_bytes(c, dev, &m, size, &bytes, e);

    if (rc != RC_OK) {
        return rc;
    }
    if (array == NULL) {
        models_print(c, &m, size, &bytes);
        return RC_OK;
    }
    return json_array_append_new(array, models_json(c, &m, size, &bytes)) == 0
               ? RC_OK
               : mem_raise(e, "the list of models", 0);
}

/* The members named, or all. */
static enum rc models_list(const struct models_config *c, struct device *dev, const char **names,
                           int n, json_t *array, struct err *e)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < n && rc == RC_OK; i++) {
        const struct nn_family *f = nn_family_find(names[i]);

        rc = f != NULL ? models_one(c, dev, f, array, e)
                       : err_raise(e, RC_USAGE,
                                   "no member of the family is named '%s': `preceptor models` "
                                   "lists them",
                                   names[i]);
    }
    for (int i = 0; n == 0 && nn_family_at(i) != NULL && rc == RC_OK; i++) {
        rc = models_one(c, dev, nn_family_at(i), array, e);
    }
    return rc;
}

static enum rc models_work(const struct models_config *c, const char **names, int n, struct err *e)
{
    struct device *dev = NULL;
    json_t *array = c->json ? json_array() : NULL;
    enum rc rc = RC_OK;

    if (c->json && array == NULL) {
        return mem_raise(e, "the list of models", 0);
    }
    if (c->memory) {
        rc = device_create("auto", 0, &dev, e);
    }
    if (rc == RC_OK && !c->json) {
        models_print_head(c);
    }
    if (rc == RC_OK) {
        rc = models_list(c, dev, names, n, array, e);
    }
    if (rc == RC_OK && c->json) {
        (void)json_dumpf(array, stdout, JSON_INDENT(2));
        (void)putchar('\n');
    }
    device_destroy(dev);
    json_decref(array);
    return rc;
}

static enum rc models_main(const struct verb_call *call, struct err *e)
{
    const char **names = mem_calloc((size_t)call->argc + 1, sizeof *names);
    struct models_config c = {0};
    bool help = false;
    int n = 0;
    enum rc rc = RC_OK;

    if (names == NULL) {
        return mem_raise(e, "the command line", (size_t)call->argc);
    }
    rc = opts_init(models_opts, &c, e);
    if (rc == RC_OK) {
        rc = opts_parse(models_opts, &c, call->argc, call->argv, names, &n, &help, e);
    }
    if (rc == RC_OK && help) {
        opts_help(&models_usage, models_opts);
    } else if (rc == RC_OK) {
        rc = models_work(&c, names, n, e);
    }
    mem_free(names);
    return rc;
}

const struct verb verb_models = {.name = "models",
                                 .summary = "the family with parameters, FLOPs, memory, accuracy",
                                 .run = models_main,
                                 .on_all_ranks = false,
                                 .options = models_opts,
                                 .options_bytes = sizeof(struct models_config)};

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
#include "mpi_launch/models_speed.h"

enum { SPEED_BATCH = 16, SPEED_TYPES = 2 };

static const enum dtype speed_types[SPEED_TYPES] = {DT_F32, DT_BF16};

struct models_config {
    bool json, memory, speed;
    int64_t size, classes, in_channels, batch;
};

#define AT(field) offsetof(struct models_config, field)

/* clang-format off */
static const struct opt models_opts[] = {
    {"size", OPT_INT, AT(size), "0", 0, 4096, NULL, "PX", "side of the images for FLOPs and memory; 0: each member's training size, for --speed its test size"},
    {"classes", OPT_INT, AT(classes), "1000", 1, 65536, NULL, "N", "classes of the head"},
    {"in_channels", OPT_INT, AT(in_channels), "3", 1, 3, NULL, "N", "1: gray, 3: colour"},
    {"memory", OPT_BOOL, AT(memory), "true", 0, 0, NULL, NULL, "compile each network and show the activation memory of its plan"},
    {"speed", OPT_BOOL, AT(speed), "false", 0, 0, NULL, NULL, "measure how many images a second each network labels here, input aside"},
    {"batch", OPT_INT, AT(batch), "0", 0, 4096, NULL, "N", "images of a pass; 0: 1 for --memory, 16 for --speed"},
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
        "activations take in inference and in training, without its weights.\n\n"
        "--speed measures inference at the size at which top-1 was measured (--size sets "
        "another),\n"
        "with random weights and all threads, in f32 and, where the processor has it, bf16: what\n"
        "accuracy costs on this machine. All members take some minutes.",
    .examples = "preceptor models\n"
                "preceptor models resnetrs50 resnetrs101 --size 224 --batch 8\n"
                "preceptor models --speed --no-memory resnetrs50 resnetrs101"};

/* Of a member, measured: 0 when not asked for. */
struct models_facts {
    size_t infer, train;       /* bytes of activations */
    double speed[SPEED_TYPES]; /* images a second; 0 also where the type is not native */
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

static int models_speed_size(const struct models_config *c, const struct nn_model *m)
{
    return c->size > 0 ? (int)c->size : m->family->test_size;
}

static enum rc models_measure(const struct models_config *c, struct device *dev,
                              const struct nn_model *m, int size, struct models_facts *out,
                              struct err *e)
{
    const int batch = c->batch > 0 ? (int)c->batch : 1;
    const int speed_batch = c->batch > 0 ? (int)c->batch : SPEED_BATCH;
    struct device_info info = {0};
    enum rc rc = RC_OK;

    *out = (struct models_facts){0};
    if (c->memory) {
        rc = models_plan_bytes(dev, m, batch, size, false, &out->infer, e);
        rc = rc == RC_OK ? models_plan_bytes(dev, m, batch, size, true, &out->train, e) : rc;
    }
    if (c->speed) {
        device_describe(dev, &info);
    }
    for (int i = 0; i < SPEED_TYPES && c->speed && rc == RC_OK; i++) {
        if (speed_types[i] != DT_BF16 || info.has_bf16) {
            rc = models_speed(dev, m, speed_batch, models_speed_size(c, m), speed_types[i],
                              &out->speed[i], e);
        }
    }
    return rc;
}

static void models_print_head(const struct models_config *c)
{
    printf("%-16s %12s %7s %6s %5s %7s", "model", "parameters", "GFLOP", "train", "test", "top-1");
    if (c->memory) {
        printf(" %10s %10s", "infer", "train");
    }
    if (c->speed) {
        printf(" %5s %9s %10s", "px", "f32 img/s", "bf16 img/s");
    }
    printf("  about\n");
}

static void models_print(const struct models_config *c, const struct nn_model *m, int size,
                         const struct models_facts *facts)
{
    const struct nn_family *f = m->family;
    char top1[16] = "-";

    if (f->top1 > 0) {
        (void)snprintf(top1, sizeof top1, "%.2f", f->top1);
    }
    printf("%-16s %12llu %7.3f %6d %5d %7s", f->name, (unsigned long long)nn_model_parameters(m),
           2e-9 * nn_model_macs(m, size), f->train_size, f->test_size, top1);
    if (c->memory) {
        printf(" %6.1f MiB %6.1f MiB", (double)facts->infer / (1 << 20),
               (double)facts->train / (1 << 20));
    }
    if (c->speed) {
        printf(" %5d", models_speed_size(c, m));
        for (int i = 0; i < SPEED_TYPES; i++) {
            char text[16] = "-";

            if (facts->speed[i] > 0) {
                (void)snprintf(text, sizeof text, "%.1f", facts->speed[i]);
            }
            printf(" %*s", i == 0 ? 9 : 10, text);
        }
    }
    printf("  %s\n", f->about);
}

static json_t *models_json(const struct models_config *c, const struct nn_model *m, int size,
                           const struct models_facts *facts)
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
                                  json_integer((json_int_t)facts->infer));
        (void)json_object_set_new(o, "activation_bytes_train",
                                  json_integer((json_int_t)facts->train));
    }
    for (int i = 0; i < SPEED_TYPES && o != NULL && c->speed; i++) {
        char name[48];

        (void)snprintf(name, sizeof name, "images_per_second_%s", dtype_name(speed_types[i]));
        if (facts->speed[i] > 0) {
            (void)json_object_set_new(o, name, json_real(facts->speed[i]));
        }
    }
    if (o != NULL && c->speed) {
        (void)json_object_set_new(o, "speed_size", json_integer(models_speed_size(c, m)));
    }
    return o;
}

static enum rc models_one(const struct models_config *c, struct device *dev,
                          const struct nn_family *f, json_t *array, struct err *e)
{
    const struct nn_model m = {f, (int)c->in_channels, (int)c->classes};
    int size = c->size > 0 ? (int)c->size : f->train_size;
    struct models_facts facts;
    enum rc rc = models_measure(c, dev, &m, size, &facts, e);

    if (rc != RC_OK) {
        return rc;
    }
    if (array == NULL) {
        models_print(c, &m, size, &facts);
        (void)fflush(stdout); /* a member takes seconds */
        return RC_OK;
    }
    return json_array_append_new(array, models_json(c, &m, size, &facts)) == 0
               ? RC_OK
               : mem_raise(e, "the list of models", 0);
}

/* The members named, or all. */
static enum rc models_list(const struct models_config *c, struct device *dev,
                           const char *const *names, int n, json_t *array, struct err *e)
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

static enum rc models_work(const struct models_config *c, const char *const *names, int n,
                           struct err *e)
{
    struct device *dev = NULL;
    json_t *array = c->json ? json_array() : NULL;
    enum rc rc = RC_OK;

    if (c->json && array == NULL) {
        return mem_raise(e, "the list of models", 0);
    }
    if (c->memory || c->speed) {
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

static enum rc models_line(const void *options, const char *const words[], int n,
                           const struct verb_call *call, struct err *e)
{
    (void)call;
    return models_work(options, words, n, e);
}

static enum rc models_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_models, &models_usage, models_line, true};

    return verb_do(call, &line, e);
}

const struct verb verb_models = {.name = "models",
                                 .summary = "the family with parameters, FLOPs, memory, accuracy",
                                 .run = models_main,
                                 .on_all_ranks = false,
                                 .options = models_opts,
                                 .options_bytes = sizeof(struct models_config)};

/* What a GPU that is only described would make of a network: engines, memory, a bound on its speed. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/device/device.h"
#include "common/nn/family.h"
#include "common/nn/net.h"
#include "mpi_launch/launch_verbs.h"

struct plan_config {
    char *device, *model;
    int precision; /* PLAN_F32, PLAN_BF16 */
    bool training, json;
    int64_t size, batch, classes;
    double bandwidth;
};

enum { PLAN_F32, PLAN_BF16 };

#define AT(field) offsetof(struct plan_config, field)

/* clang-format off */
static const struct opt plan_opts[] = {
    {"device", OPT_STR, AT(device), "recipes/gpus/h100.json", 0, 0, NULL, "FILE", "the GPU's properties as cuDNN takes them (JSON)"},
    {"model", OPT_STR, AT(model), "resnetrs50", 0, 0, NULL, "NAME", "member of the family"},
    {"precision", OPT_ENUM, AT(precision), "bf16", 0, 0, "f32,bf16", "TYPE", "of activations and packed weights"},
    {"training", OPT_BOOL, AT(training), "false", 0, 0, NULL, NULL, "a training step; otherwise a pass of inference"},
    {"size", OPT_INT, AT(size), "0", 0, 4096, NULL, "PX", "side of the images; 0: the member's own"},
    {"batch", OPT_INT, AT(batch), "64", 1, 65536, NULL, "N", "images of a pass"},
    {"classes", OPT_INT, AT(classes), "1000", 1, 65536, NULL, "N", "classes of the head"},
    {"bandwidth", OPT_F64, AT(bandwidth), "0", 0, 100000, NULL, "GB/S", "of the GPU's memory; 0: what its generation has"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print an object"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage plan_usage = {
    .verb = "plan",
    .summary = "what a GPU that is not here would make of a network",
    .synopsis = "[--device GPU.json] [--model NAME] [--training] [options]",
    .description =
        "Every convolution gets the engine that cuDNN chooses for the described GPU, without one\n"
        "being here; where no libcuda can be loaded, fused kernels cannot be compiled and\n"
        "convolutions are planned with bias and ReLU apart. Memory is that of the real memory\n"
        "plan. The time is an estimate from below: FLOPs at the GPU's peak or bytes at its\n"
        "bandwidth, whichever is longer, layer by layer. Nothing was measured.",
    .examples = "preceptor plan --device recipes/gpus/h100.json --model resnetrs152 --training\n"
                "preceptor plan --device recipes/gpus/l40s.json --batch 256 --json"};

/* What a GPU's generation does in a clock and multiprocessor, and its memory: published figures. */
struct generation {
    int version;      /* major * 100 + minor * 10 */
    double bf16, f32; /* FLOPs */
    double bandwidth; /* bytes a second */
};

/* clang-format off */
static const struct generation generations[] = {
    {800, 2048, 128, 2.0e12}, {890, 1024, 256, 0.864e12}, {900, 4096, 256, 3.35e12},
    {1000, 8192, 256, 8.0e12}, {1200, 1024, 256, 1.79e12},
};
/* clang-format on */

struct gpu {
    const char *name;
    char library[64];
    double memory;
    double flops, bandwidth; /* a second */
};

/* A kind of plan: what was chosen for it. */
struct row {
    char describe[160];
    struct plan_choice choice;
    double seconds, flops;
};

struct plan_rows {
    const struct gpu *gpu;
    struct row *rows;
    size_t n;
    bool out_of_memory;
};

static void plan_note(void *ctx, const struct plan *p, const struct plan_choice *c)
{
    struct plan_rows *r = ctx;
    struct row *grown = mem_realloc(r->rows, r->n + 1, sizeof *grown);

    if (grown == NULL) {
        r->out_of_memory = true;
        return;
    }
    r->rows = grown;
    grown += r->n++;
    (void)snprintf(grown->describe, sizeof grown->describe, "%s", plan_describe(p));
    grown->choice = *c;
    grown->flops = plan_flops(p);
    grown->seconds = fmax(plan_flops(p) / r->gpu->flops, plan_bytes(p) / r->gpu->bandwidth);
}

/* Of a node "layer: description". */
static const struct row *plan_row(const struct plan_rows *r, const char *node)
{
    for (size_t i = 0; i < r->n; i++) {
        size_t whole = strlen(node), part = strlen(r->rows[i].describe);

        if (whole > part && strcmp(node + whole - part, r->rows[i].describe) == 0) {
            return &r->rows[i];
        }
    }
    return NULL;
}

static enum rc plan_gpu(const struct plan_config *c, const json_t *root, struct gpu *out,
                        struct err *e)
{
    int64_t version = 0, processors = 0, clock = 0, memory = 0;
    enum rc rc = json_get_string(root, c->device, "deviceName", &out->name, e);

    rc = rc != RC_OK ? rc : json_get_int(root, c->device, "deviceVer", &version, e);
    rc = rc != RC_OK ? rc : json_get_int(root, c->device, "multiProcessorCount", &processors, e);
    rc = rc != RC_OK ? rc : json_get_int(root, c->device, "smClockRateKHz", &clock, e);
    rc = rc != RC_OK ? rc : json_get_int(root, c->device, "totalGlobalMem", &memory, e);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < sizeof generations / sizeof generations[0]; i++) {
        const struct generation *g = &generations[i];
        double clocks = (double)clock * 1e3 * (double)processors;

        if (g->version == version) {
            out->memory = (double)memory;
            out->flops = clocks * (c->precision == PLAN_F32 ? g->f32 : g->bf16);
            out->bandwidth = c->bandwidth > 0 ? c->bandwidth * 1e9 : g->bandwidth;
            return RC_OK;
        }
    }
    return err_raise(e, RC_INVAL, "'%s': deviceVer %lld is no generation that this program knows",
                     c->device, (long long)version);
}

struct plan_sum {
    struct net_memory memory;
    double state; /* bytes of f32 weights, EMA, momentum and gradients */
    double workspace, seconds, flops;
    int64_t largest_batch;
};

static void plan_add_up(const struct plan_config *c, const struct gpu *gpu, const struct net *net,
                        const struct plan_rows *r, struct plan_sum *s)
{
    double fixed, each;

    *s = (struct plan_sum){0};
    net_memory(net, &s->memory);
    s->state = c->training ? 16.0 * (double)net_params(net)->n_total : 0;
    for (int i = 0; i < net_plans(net); i++) {
        const struct row *row = plan_row(r, net_plan_describe(net, i));

        if (row != NULL) {
            s->seconds += row->seconds;
            s->flops += row->flops;
            s->workspace = fmax(s->workspace, (double)row->choice.workspace);
        }
    }
    fixed = (double)s->memory.weights + s->state + s->workspace;
    each = (double)(s->memory.activations + s->memory.buffers) / (double)c->batch;
    s->largest_batch =
        fixed < 0.95 * gpu->memory ? (int64_t)((0.95 * gpu->memory - fixed) / each) : 0;
}

static void plan_print(const struct plan_config *c, const struct gpu *gpu, const struct net *net,
                       const struct plan_rows *r, const struct plan_sum *s)
{
    const double gib = 1 << 30;

    for (int i = 0; i < net_plans(net); i++) {
        const struct row *row = plan_row(r, net_plan_describe(net, i));

        if (row != NULL && row->choice.engine >= 0) {
            printf("%-72s engine %3lld %s %7.2f MiB\n", net_plan_describe(net, i),
                   row->choice.engine, row->choice.tensor_core ? "tensor cores" : "no tensor cores",
                   (double)row->choice.workspace / (1 << 20));
        }
    }
    printf("%s, %s, batch %lld, %s, planned by %s\n", gpu->name, c->model, (long long)c->batch,
           c->training ? "a training step" : "a pass of inference", gpu->library);
    printf("memory         activations %.2f GiB, packed weights %.3f GiB, workspace %.3f GiB",
           (double)s->memory.activations / gib, (double)s->memory.weights / gib,
           s->workspace / gib);
    printf(", weights and optimizer %.2f GiB\n", s->state / gib);
    printf("largest batch  about %lld (of %.1f GiB)\n", (long long)s->largest_batch,
           gpu->memory / gib);
    printf("time           at least %.3f ms, so at most %.0f images/s: an estimate from peak FLOPs "
           "and bandwidth, not a measurement\n",
           s->seconds * 1e3, (double)c->batch / s->seconds);
}

static enum rc plan_print_json(const struct plan_config *c, const struct gpu *gpu,
                               const struct net *net, const struct plan_rows *r,
                               const struct plan_sum *s, struct err *e)
{
    json_t *layers = json_array(), *o;

    for (int i = 0; i < net_plans(net); i++) {
        const struct row *row = plan_row(r, net_plan_describe(net, i));

        if (row != NULL && row->choice.engine >= 0) {
            (void)json_array_append_new(
                layers, json_pack("{s:s,s:I,s:I,s:b}", "layer", net_plan_describe(net, i), "engine",
                                  (json_int_t)row->choice.engine, "workspace",
                                  (json_int_t)row->choice.workspace, "tensor_core",
                                  (int)row->choice.tensor_core));
        }
    }
    o = json_pack("{s:s,s:s,s:s,s:I,s:b,s:I,s:I,s:f,s:f,s:I,s:f,s:f,s:o}", "device", gpu->name,
                  "library", gpu->library, "model", c->model, "batch", (json_int_t)c->batch,
                  "training", (int)c->training, "activation_bytes",
                  (json_int_t)s->memory.activations, "packed_weight_bytes",
                  (json_int_t)s->memory.weights, "state_bytes", s->state, "workspace_bytes",
                  s->workspace, "largest_batch_estimate", (json_int_t)s->largest_batch, "flops",
                  s->flops, "seconds_at_least_estimate", s->seconds, "layers", layers);
    if (o == NULL) {
        return mem_raise(e, "a plan as JSON", 0);
    }
    (void)json_dumpf(o, stdout, JSON_INDENT(2));
    (void)putchar('\n');
    json_decref(o);
    return RC_OK;
}

static enum rc plan_net(const struct plan_config *c, struct device *dev, struct net **out,
                        struct err *e)
{
    const struct nn_family *f = nn_family_find(c->model);
    struct net_config n = {.batch = (int)c->batch,
                           .type = c->precision == PLAN_F32 ? DT_F32 : DT_BF16,
                           .training = c->training,
                           .with_keep = c->training,
                           .with_dropout = c->training,
                           .std = {1, 1, 1}};

    if (f == NULL) {
        return err_raise(e, RC_USAGE,
                         "no member of the family is named '%s': `preceptor models` lists them",
                         c->model);
    }
    n.model = (struct nn_model){f, 3, (int)c->classes};
    n.size = c->size > 0 ? (int)c->size : c->training ? f->train_size : f->test_size;
    return net_create(dev, &n, out, e);
}

static enum rc plan_work(const struct plan_config *c, struct err *e)
{
    struct gpu gpu = {0};
    struct plan_rows rows = {.gpu = &gpu};
    struct plan_sum sum;
    struct device *dev = NULL;
    struct net *net = NULL;
    json_t *root = NULL;
    char *text = NULL;
    enum rc rc = json_read(c->device, &root, e);

    rc = rc != RC_OK ? rc : plan_gpu(c, root, &gpu, e);
    if (rc == RC_OK) {
        text = json_dumps(root, JSON_COMPACT);
        rc = text != NULL ? device_create_described(text, plan_note, &rows, &dev, e)
                          : mem_raise(e, "a device's description", 0);
    }
    rc = rc != RC_OK ? rc : plan_net(c, dev, &net, e);
    if (rc == RC_OK && rows.out_of_memory) {
        rc = mem_raise(e, "the list of plans", rows.n * sizeof *rows.rows);
    }
    if (rc == RC_OK) {
        struct device_info info;

        device_describe(dev, &info);
        (void)snprintf(gpu.library, sizeof gpu.library, "%s", info.library);
        plan_add_up(c, &gpu, net, &rows, &sum);
        if (c->json) {
            rc = plan_print_json(c, &gpu, net, &rows, &sum, e);
        } else {
            plan_print(c, &gpu, net, &rows, &sum);
        }
    }
    net_destroy(net);
    device_destroy(dev);
    mem_free(rows.rows);
    free(text);
    json_decref(root);
    return rc;
}

static enum rc plan_line(const void *options, const char *const words[], int n,
                         const struct verb_call *call, struct err *e)
{
    (void)words, (void)n, (void)call;
    return plan_work(options, e);
}

static enum rc plan_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_plan, &plan_usage, plan_line, false};

    return verb_do(call, &line, e);
}

const struct verb verb_plan = {.name = "plan",
                               .summary = "what a GPU that is not here would make of a network",
                               .run = plan_main,
                               .on_all_ranks = false,
                               .options = plan_opts,
                               .options_bytes = sizeof(struct plan_config)};

/* Make every plan of networks for GPUs that are only described, and print a JSON row for each
 * operation: device, model, graph, engine, workspace, ok.
 * usage: plans DEVICE.json MODEL BATCH TRAIN_SIZE TEST_SIZE [TYPE]     a size of 0: not that pass
 * ok: an engine was found within the workspace cap; in bf16 the convolutions use tensor cores. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/device/device.h"
#include "common/nn/net.h"

struct rows {
    const char *device, *model, *pass;
    size_t workspace_max;
    int made, bad;
};

static void print_row(void *ctx, const struct plan *p, const struct plan_choice *c)
{
    struct rows *r = ctx;
    const char *graph = plan_describe(p);
    bool conv = strncmp(graph, "conv", 4) == 0;
    bool ok = c->workspace <= r->workspace_max &&
              (!conv || strstr(graph, "bf16") == NULL || c->tensor_core);

    printf("{\"device\": \"%s\", \"model\": \"%s\", \"pass\": \"%s\", \"graph\": \"%s\", "
           "\"engine\": %lld, \"workspace\": %zu, \"tensor_core\": %s, \"ok\": %s}\n",
           r->device, r->model, r->pass, graph, c->engine, c->workspace,
           c->tensor_core ? "true" : "false", ok ? "true" : "false");
    r->made++;
    r->bad += !ok;
}

/* The file's text and the device's name in it. */
static char *read_device(const char *path, const char **name)
{
    json_error_t why;
    json_t *root = json_load_file(path, 0, &why);
    char *text = root != NULL ? json_dumps(root, 0) : NULL;

    *name = json_string_value(json_object_get(root, "deviceName"));
    if (text == NULL || *name == NULL) {
        (void)fprintf(stderr, "%s: no device is described in it: %s\n", path, why.text);
        return NULL;
    }
    return text; /* root stays: its name is in use until the end */
}

static bool make_plans(struct device *d, struct rows *r, const struct nn_family *f, int batch,
                       int size, bool training, enum dtype type)
{
    struct net_config c = {.model = {f, 3, 1000},
                           .batch = batch,
                           .size = size,
                           .type = type,
                           .training = training,
                           .with_keep = training,
                           .with_dropout = training,
                           .mean = {0.485f, 0.456f, 0.406f},
                           .std = {0.229f, 0.224f, 0.225f}};
    struct net_memory memory;
    struct net *n = NULL;
    struct err e = {0};

    r->pass = training ? "train" : "infer";
    if (net_create(d, &c, &n, &e) != RC_OK) {
        (void)fprintf(stderr, "%s %s %d px: %s\n", f->name, r->pass, size, e.msg);
        return false;
    }
    net_memory(n, &memory);
    (void)fprintf(stderr, "%s: %s %s %d px, batch %d: activations %.2f GiB, weights %.3f GiB\n",
                  r->device, f->name, r->pass, size, batch, (double)memory.activations / (1 << 30),
                  (double)memory.weights / (1 << 30));
    net_destroy(n);
    return true;
}

int main(int argc, char **argv)
{
    struct rows r = {.workspace_max = 256 << 20};
    struct device *d = NULL;
    struct err e = {0};
    const struct nn_family *f;
    bool ok = true;
    int sizes[2], batch;
    enum dtype type = argc > 6 && strcmp(argv[6], "f32") == 0 ? DT_F32 : DT_BF16;
    char *text;

    if (argc < 6) {
        (void)fprintf(stderr, "usage: plans DEVICE.json MODEL BATCH TRAIN_SIZE TEST_SIZE [TYPE]\n");
        return 2;
    }
    text = read_device(argv[1], &r.device);
    f = nn_family_find(argv[2]);
    if (text == NULL || f == NULL) {
        return 2;
    }
    r.model = f->name;
    batch = (int)strtol(argv[3], NULL, 10);
    sizes[0] = (int)strtol(argv[5], NULL, 10);
    sizes[1] = (int)strtol(argv[4], NULL, 10);
    if (device_create_described(text, print_row, &r, &d, &e) != RC_OK) {
        (void)fprintf(stderr, "%s\n", e.msg);
        free(text);
        return 1;
    }
    for (int training = 0; training < 2; training++) {
        ok = (sizes[training] == 0 ||
              make_plans(d, &r, f, batch, sizes[training], training != 0, type)) &&
             ok;
    }
    device_destroy(d);
    free(text);
    (void)fprintf(stderr, "%d plans, %d not ok\n", r.made, r.bad);
    return ok && r.bad == 0 ? 0 : 1;
}

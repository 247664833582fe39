/*
 * What parity.py asks of this program: one small job a command.
 *
 *   golden_net FILE MASKS  JSON lines {what, worst, name}: gradients of a stored case (make_timm.py);
 *                          MASKS: which ReLUs of the reference are open
 *   golden_train FILE MASKS
 *                          ... ten training steps of a stored case
 *   layout FAMILY          "name 64x3x3x3" a tensor, then "parameters N"
 *   logits WEIGHTS BACKEND TYPE SIZE N PIXELS OUT
 *                          a model's logits (f32) of N images of raw u8 pixels, ImageNet's mean and std
 *   pixels SIZE CROP_PCT FILTER CHANNELS OUT
 *                          files named on standard input, prepared for evaluation; "ok" or a reason
 *                          a line, pixels of the good ones in OUT
 *   augment FLAVOR         lines "FILE OP ARGUMENT CX CY" (tabs) on standard input: SHA-256 of the
 *                          pixels, RGB
 *   arguments FLAVOR SIZE  lines "OP MAGNITUDE" on standard input: RandAugment's argument of each
 *   drop_path FAMILY RATE PER_STAGE
 *                          stochastic depth's rate of each block
 *   schedule KIND LR STEPS WARMUP, ema DECAY
 *                          values at the steps on standard input
 *   safetensors            files named on standard input: "ok" or "refused" a line
 *   recast IN OUT TYPE CHANGE
 *                          a model's tensors as f32, f16 or bf16, with its class names alone of the
 *                          metadata; CHANGE: "-NAME" leaves a tensor out, "+NAME" adds one, "=" none
 */
#include <inttypes.h>

#include "common/base/fs.h"
#include "common/image/augment_impl.h"
#include "common/train/model.h"
#include "common/train/safetensors.h"
#include "common/train/schedule.h"
#include "common/train/trainer_impl.h"
#include "tests/golden/golden_net.h"
#include "tests/golden/golden_train.h"
#include "tests/golden/relu_masks.h"

enum { LINE_SIZE = 4096, FILE_BYTES_MAX = 256 << 20 };

static void row(const char *c, const char *what, double worst, const char *name)
{
    json_t *o =
        json_pack("{s:s, s:s, s:f, s:s}", "case", c, "what", what, "worst", worst, "name", name);

    golden_must(o != NULL && json_dumpf(o, stdout, JSON_COMPACT) == 0, "cannot print a row");
    putchar('\n');
    (void)fflush(stdout);
    json_decref(o);
}

static void worst_row(const char *c, const char *what, struct golden_worst w)
{
    row(c, what, w.distance, w.name);
}

/* A line of standard input without its end; NULL past the last. */
static char *next_line(char line[LINE_SIZE])
{
    if (fgets(line, LINE_SIZE, stdin) == NULL) {
        return NULL;
    }
    line[strcspn(line, "\n")] = '\0';
    return line;
}

/* ---- stored cases ---------------------------------------------------------------------------- */

/* From here on the reference's ReLUs are open, and no others. */
static void dictate(const char *path, struct relu_masks *masks)
{
    char *open = NULL;
    struct err e = {0};

    *masks = (struct relu_masks){.dictated = true};
    golden_ok(fs_read(path, FILE_BYTES_MAX, &open, &masks->n, &e), &e);
    masks->open = (uint8_t *)open;
    relu_masks_now = masks;
}

static void dictated(struct relu_masks *masks)
{
    relu_masks_now = NULL;
    golden_must(masks->at == masks->n, "as many ReLUs as the reference has");
    relu_masks_release(masks);
}

static int golden_net(char **a)
{
    json_t *root = golden_read(a[0]);
    const json_t *c = json_array_get(json_object_get(root, "gradients"), 0);
    const char *name = golden_name(c);
    struct golden_gradients g = golden_net_gradients(c, "ref", DT_F64);
    struct relu_masks masks;

    row(name, "loss f64", g.loss, "loss");
    worst_row(name, "gradients f64", g.grads);
    worst_row(name, "BN statistics f64", g.stats);
    dictate(a[1], &masks);
    g = golden_net_gradients(c, "cpu", DT_F32);
    dictated(&masks);
    row(name, "loss f32", g.loss, "loss");
    worst_row(name, "gradients f32, ReLU masks injected", g.grads);
    worst_row(name, "BN statistics f32", g.stats);
    json_decref(root);
    return 0;
}

static void train_case(const json_t *c)
{
    struct golden_train *g = golden_train_open(c, "cpu", DT_F32);
    const char *name = golden_name(c);
    int steps = (int)json_array_size(json_object_get(c, "losses"));
    double worst = 0;

    for (int i = 0; i < steps; i++) {
        double d = golden_train_step(g, i);

        worst = d > worst ? d : worst;
        if (i == 0) {
            worst_row(name, "gradients of step 1",
                      golden_views(c, "momentum_1", g->params, trainer_momentum(g->trainer), NULL,
                                   0, g->params->n_trainable));
        }
    }
    row(name, "losses of ten steps", worst, "loss");
    worst_row(name, "momentum after ten steps",
              golden_views(c, "momentum_10", g->params, trainer_momentum(g->trainer), NULL, 0,
                           g->params->n_trainable));
    worst_row(name, "weights after ten steps",
              golden_views(c, "weights_10", g->params, trainer_weights(g->trainer), g->start, 0,
                           g->params->n_total));
    worst_row(name, "EMA after ten steps",
              golden_views(c, "ema_10", g->params, trainer_ema(g->trainer), g->start, 0,
                           g->params->n_total));
    golden_train_close(g);
}

static int golden_train(char **a)
{
    json_t *root = golden_read(a[0]);
    struct relu_masks masks;

    dictate(a[1], &masks);
    train_case(json_array_get(json_object_get(root, "cases"), 0));
    dictated(&masks);
    json_decref(root);
    return 0;
}

/* ---- networks -------------------------------------------------------------------------------- */

static int layout(char **a)
{
    struct nn_model m = {nn_family_find(a[0]), 3, 1000};
    struct params *p = NULL;
    struct err e = {0};

    golden_must(m.family != NULL, "no such member");
    golden_ok(params_create(&m, &p, &e), &e);
    for (int i = 0; i < p->n_views; i++) {
        const struct param_view *v = &p->views[i];

        if (v->timm_dims == 4) {
            printf("%s %dx%dx%dx%d\n", v->name, v->o, v->i, v->h, v->w);
        } else if (v->timm_dims == 2) {
            printf("%s %dx%d\n", v->name, v->o, v->i);
        } else {
            printf("%s %d\n", v->name, v->o);
        }
    }
    printf("parameters %" PRIu64 "\n", nn_model_parameters(&m));
    params_destroy(p);
    return 0;
}

static void open_net(const char *weights, const char *backend, struct net_config *c,
                     struct device **dev, struct net **net)
{
    struct model_info info = {0};
    float *w;
    struct err e = {0};

    golden_ok(model_probe(weights, &info, &e), &e);
    c->model = (struct nn_model){nn_family_find(info.family), info.in_channels, info.classes};
    model_info_release(&info);
    c->batch = 1;
    memcpy(c->mean, formula_mean, sizeof c->mean);
    memcpy(c->std, formula_std, sizeof c->std);
    golden_ok(device_create(backend, 0, dev, &e), &e);
    golden_ok(net_create(*dev, c, net, &e), &e);
    w = params_buffer(net_params(*net));
    golden_must(w != NULL, "memory");
    golden_ok(model_load(weights, net_params(*net), false, w, &e), &e);
    golden_ok(net_load(*net, w, &e), &e);
    mem_free(w);
}

static int logits(char **a)
{
    struct net_config c = {.size = (int)strtol(a[3], NULL, 10),
                           .type = strcmp(a[2], "bf16") == 0 ? DT_BF16 : DT_F32};
    int n = (int)strtol(a[4], NULL, 10);
    struct device *dev = NULL;
    struct net *net = NULL;
    char *pixels = NULL;
    size_t bytes = 0;
    size_t image;
    size_t classes;
    float *out;
    struct err e = {0};

    open_net(a[0], a[1], &c, &dev, &net);
    image = (size_t)c.size * (size_t)c.size * (size_t)c.model.in_channels;
    classes = (size_t)c.model.classes;
    golden_ok(fs_read(a[5], FILE_BYTES_MAX, &pixels, &bytes, &e), &e);
    golden_must(bytes == (size_t)n * image, "the pixels' size");
    out = mem_calloc((size_t)n * classes, sizeof *out);
    golden_must(out != NULL, "memory");
    for (int i = 0; i < n; i++) {
        golden_ok(net_infer(net, (const uint8_t *)pixels + (size_t)i * image,
                            out + (size_t)i * classes, &e),
                  &e);
    }
    golden_ok(fs_write_atomic(a[6], out, (size_t)n * classes * sizeof *out, &e), &e);
    mem_free(out);
    mem_free(pixels);
    net_destroy(net);
    device_destroy(dev);
    return 0;
}

/* ---- pixels ---------------------------------------------------------------------------------- */

static int pixels(char **a)
{
    struct image_eval p = {.size = (int)strtol(a[0], NULL, 10),
                           .crop_pct = strtod(a[1], NULL),
                           .filter = strcmp(a[2], "bilinear") == 0 ? IMAGE_BILINEAR : IMAGE_BICUBIC,
                           .channels = (int)strtol(a[3], NULL, 10)};
    size_t bytes = (size_t)p.size * (size_t)p.size * (size_t)p.channels;
    uint8_t *out = mem_calloc(bytes, 1);
    FILE *file = fopen(a[4], "wb");
    struct codec *codec = NULL;
    char line[LINE_SIZE];
    struct err e = {0};

    golden_must(out != NULL && file != NULL, a[4]);
    golden_ok(codec_create(&codec, &e), &e);
    while (next_line(line) != NULL) {
        enum image_reason why = IMAGE_OK;
        char *data = NULL;
        size_t n = 0;

        golden_ok(fs_read(line, FILE_BYTES_MAX, &data, &n, &e), &e);
        if (image_eval_file(codec, &p, data, n, out, &why, &e) == RC_OK) {
            golden_must(fwrite(out, 1, bytes, file) == bytes, a[4]);
            puts("ok");
        } else {
            puts(image_reason_name(why));
            e = (struct err){0};
        }
        mem_free(data);
    }
    golden_must(fclose(file) == 0, a[4]);
    codec_destroy(codec);
    mem_free(out);
    return 0;
}

static enum augment_op op_named(const char *name)
{
    for (int i = 0; i < AUG_OP_N; i++) {
        if (strcmp(augment_op_name((enum augment_op)i), name) == 0) {
            return (enum augment_op)i;
        }
    }
    golden_must(false, name);
    return AUG_OP_N;
}

static void augment_line(struct codec *codec, enum augment_flavor flavor, char *line)
{
    char *rest = line;
    char *col[5] = {NULL};
    int center[2];
    struct image img;
    struct image own;
    enum image_reason why = IMAGE_OK;
    char *data = NULL;
    size_t bytes = 0;
    char hex[HASH_HEX_DIGEST];
    struct digest d;
    struct err e = {0};

    for (int i = 0; i < 5; i++) {
        col[i] = strsep(&rest, "\t");
        golden_must(col[i] != NULL, "a line has five columns");
    }
    center[0] = (int)strtol(col[3], NULL, 10);
    center[1] = (int)strtol(col[4], NULL, 10);
    golden_ok(fs_read(col[0], FILE_BYTES_MAX, &data, &bytes, &e), &e);
    golden_ok(image_decode(codec, data, bytes, 3, &img, &why, &e), &e);
    own = img; /* the operation uses the codec's buffers */
    own.pixels = mem_calloc(pixel_bytes(&img), 1);
    golden_must(own.pixels != NULL, "memory");
    memcpy(own.pixels, img.pixels, pixel_bytes(&img));
    golden_ok(
        augment_apply(codec, flavor, op_named(col[1]), strtod(col[2], NULL), center, &own, &e), &e);
    hash_digest(own.pixels, pixel_bytes(&own), &d);
    hash_digest_hex(&d, hex);
    puts(hex);
    mem_free(own.pixels);
    mem_free(data);
}

static int augment(char **a)
{
    enum augment_flavor flavor = strcmp(a[0], "timm") == 0 ? AUG_TIMM : AUG_TF;
    struct codec *codec = NULL;
    char line[LINE_SIZE];
    struct err e = {0};

    golden_ok(codec_create(&codec, &e), &e);
    while (next_line(line) != NULL) {
        augment_line(codec, flavor, line);
    }
    codec_destroy(codec);
    return 0;
}

static int arguments(char **a)
{
    struct augment c;
    char line[LINE_SIZE];

    augment_default(&c);
    c.flavor = strcmp(a[0], "timm") == 0 ? AUG_TIMM : AUG_TF;
    c.size = (int)strtol(a[1], NULL, 10);
    while (next_line(line) != NULL) {
        char *rest = line;
        const char *op = strsep(&rest, " ");

        golden_must(rest != NULL, "an operation and its magnitude");
        printf("%.17g\n", augment_argument(&c, op_named(op), strtod(rest, NULL)));
    }
    return 0;
}

static int drop_path(char **a)
{
    struct nn_model m = {nn_family_find(a[0]), 3, 1000};
    struct trainer t = {.config.drop_path = strtod(a[1], NULL),
                        .config.drop_path_per_stage = strcmp(a[2], "1") == 0};
    struct params *p = NULL;
    struct err e = {0};

    golden_must(m.family != NULL, "no such member");
    golden_ok(params_create(&m, &p, &e), &e);
    t.params = p;
    for (int i = 0; i < nn_family_blocks(m.family); i++) {
        printf("%.17g\n", trainer_noise_rate(&t, i));
    }
    params_destroy(p);
    return 0;
}

/* ---- numbers and files ----------------------------------------------------------------------- */

static int schedule(char **a)
{
    struct schedule s = {.kind = strcmp(a[0], "cosine") == 0 ? SCHEDULE_COSINE
                                 : strcmp(a[0], "step") == 0 ? SCHEDULE_STEP
                                                             : SCHEDULE_CONSTANT,
                         .lr = strtod(a[1], NULL),
                         .steps = strtoll(a[2], NULL, 10),
                         .warmup = strtoll(a[3], NULL, 10)};
    char line[LINE_SIZE];

    while (next_line(line) != NULL) {
        printf("%.17g\n", schedule_lr(&s, strtoll(line, NULL, 10)));
    }
    return 0;
}

static int ema(char **a)
{
    double decay = strtod(a[0], NULL);
    char line[LINE_SIZE];

    while (next_line(line) != NULL) {
        printf("%.17g\n", schedule_ema_decay(decay, strtoll(line, NULL, 10)));
    }
    return 0;
}

static int safetensors(char **a)
{
    char line[LINE_SIZE];

    (void)a;
    while (next_line(line) != NULL) {
        struct st_file *f = NULL;
        struct err e = {0};

        puts(st_open(line, &f, &e) == RC_OK ? "ok" : "refused");
        st_close(f);
    }
    return 0;
}

/* To the nearest half, ties to even. */
static uint16_t half_from_f32(float x)
{
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    double v = fabs((double)x);
    int exponent = 0;

    if (v >= 65520.0) {
        return sign | 0x7c00;
    }
    (void)frexp(v, &exponent);
    exponent = exponent < -13 ? -13 : exponent; /* the ulp of what is below the normal ones */
    v = nearbyint(ldexp(v, 11 - exponent));
    return (uint16_t)(sign | ((uint16_t)((exponent + 13) << 10) + (uint16_t)v));
}

static void recast_tensor(const struct st_tensor *from, const char *type, struct st_tensor *to)
{
    size_t n = 1;
    float *f;
    uint16_t *narrow;
    struct err e = {0};

    *to = *from;
    for (int i = 0; i < from->dims; i++) {
        n *= (size_t)from->shape[i];
    }
    if (from->type == ST_I64) {
        return;
    }
    f = mem_calloc(n, sizeof *f);
    golden_must(f != NULL, "memory");
    golden_ok(st_to_f32(from, f, &e), &e);
    to->type = strcmp(type, "f16") == 0 ? ST_F16 : strcmp(type, "bf16") == 0 ? ST_BF16 : ST_F32;
    to->bytes = n * (to->type == ST_F32 ? sizeof(float) : sizeof(uint16_t));
    to->data = f;
    narrow = (uint16_t *)(void *)f; /* in place: each is written behind what is still to be read */
    for (size_t i = 0; i < n && to->type != ST_F32; i++) {
        narrow[i] = to->type == ST_F16 ? half_from_f32(f[i]) : bf16_from_f32(f[i]);
    }
}

static int recast(char **a)
{
    static const float one = 1;
    struct st_file *f = NULL;
    struct st_tensor *to;
    int n = 0;
    struct err e = {0};

    golden_ok(st_open(a[0], &f, &e), &e);
    to = mem_calloc((size_t)st_count(f) + 1, sizeof *to);
    golden_must(to != NULL, "memory");
    for (int i = 0; i < st_count(f); i++) {
        const struct st_tensor *t = st_at(f, i);

        if (a[3][0] != '-' || strcmp(t->name, a[3] + 1) != 0) {
            recast_tensor(t, a[2], &to[n++]);
        }
    }
    if (a[3][0] == '+') {
        to[n++] = (struct st_tensor){a[3] + 1, ST_F32, 1, {1}, &one, sizeof one};
    }
    golden_ok(st_write(a[1], to, n,
                       (const char *const[]){"class_names", st_metadata(f, "class_names"), NULL},
                       &e),
              &e);
    for (int i = 0; i < n; i++) {
        if (to[i].data != &one && to[i].type != ST_I64) {
            mem_free((void *)(uintptr_t)to[i].data); /* recast_tensor's */
        }
    }
    mem_free(to);
    st_close(f);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int args;
        int (*run)(char **args);
    } jobs[] = {{"golden_net", 2, golden_net},   {"golden_train", 2, golden_train},
                {"layout", 1, layout},           {"logits", 7, logits},
                {"pixels", 5, pixels},           {"augment", 1, augment},
                {"arguments", 2, arguments},     {"drop_path", 3, drop_path},
                {"schedule", 4, schedule},       {"ema", 1, ema},
                {"safetensors", 0, safetensors}, {"recast", 4, recast}};

    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        if (argc > 1 && strcmp(argv[1], jobs[i].name) == 0 && argc - 2 == jobs[i].args) {
            return jobs[i].run(argv + 2);
        }
    }
    fprintf(stderr, "parity_tool: no such job, or another number of arguments\n");
    return 2;
}

/*
 * A network on this processor against the bound of its convolutions: whole passes, and each of the
 * network's convolution plans run alone on memory of its own, in turns; the least time of each.
 * int8 is calibrated on the images it is timed with, and says how far from f32 it is.
 * Prints 'ours IMG/S', 'bound IMG/S' and 'part NAME SECONDS' for each part of one profiled pass.
 */
#include <math.h>
#include <string.h>

#include "common/coll/coll.h"
#include "common/nn/net_impl.h"
#include "common/train/model.h"
#include "tests/bench/subject.h"

static const char usage[] =
    "bench_net infer|train FAMILY SIZE BATCH f32|bf16|int8 CHANNELS CLASSES SECONDS\n"
    "       bench_net model FILE FAMILY CHANNELS CLASSES    write random weights";

enum { ROUNDS = 3, PROFILED = 6, PART_N = 8 };

struct subject {
    struct device *dev;
    struct coll *coll;
    struct net_config config;
    struct net *net;         /* inference's, or the trainer's */
    struct net *whole;       /* the same without lanes: whose convolutions are the bound's */
    struct trainer *trainer; /* NULL: inference */
    struct subject_rows rows;
};

/* ---- whole passes ---------------------------------------------------------------------------- */

static double pass(struct subject *s)
{
    const double start = clock_now();
    struct trainer_stats stats;
    struct err e = {0};

    if (s->trainer == NULL) {
        bench_must(net_infer(s->net, s->rows.pixels, s->rows.logits, &e), &e);
    } else {
        bench_must(trainer_step(s->trainer, subject_next, &s->rows, s->config.batch, &stats, &e),
                   &e);
    }
    return clock_now() - start;
}

static void make_trainer(struct subject *s)
{
    s->trainer = subject_trainer(s->dev, s->coll, &s->config);
    s->net = (struct net *)(uintptr_t)trainer_net(s->trainer); /* to profile it */
    s->whole = s->net;
}

/* The f32 network's logits, and the ranges of what it computed on the way. */
static struct quant *calibrate(struct subject *s, float *logits)
{
    struct net_config c = s->config;
    struct quant_watch *watch = NULL;
    struct quant *q = NULL;
    struct net *n = NULL;
    struct err e = {0};
    float *w;

    c.type = DT_F32;
    c.whole = true;
    bench_must(net_create(s->dev, &c, &n, &e), &e);
    bench_must(quant_create(&c.model, &q, &e), &e);
    bench_must(quant_watch_create(q, &watch, &e), &e);
    w = subject_weights(n);
    bench_must(net_load(n, w, &e), &e);
    net_observe(n, quant_watch_see, watch);
    bench_must(net_infer(n, s->rows.pixels, logits, &e), &e);
    quant_watch_finish(watch);
    quant_watch_destroy(watch);
    net_destroy(n);
    mem_free(w);
    return q;
}

static int best_class(const float *logits, int classes)
{
    int best = 0;

    for (int k = 1; k < classes; k++) {
        best = logits[k] > logits[best] ? k : best;
    }
    return best;
}

static void print_agreement(struct subject *s, const float *f32)
{
    const int classes = s->config.model.classes;
    const int batch = s->config.batch;
    double difference = 0;
    double norm = 0;
    int agree = 0;

    (void)pass(s);
    for (int i = 0; i < batch * classes; i++) {
        const double d = (double)s->rows.logits[i] - (double)f32[i];

        difference += d * d;
        norm += (double)f32[i] * (double)f32[i];
    }
    for (int i = 0; i < batch; i++) {
        agree += best_class(s->rows.logits + i * classes, classes) ==
                 best_class(f32 + i * classes, classes);
    }
    printf(
        "note\tint8 on random weights: %d of %d images have f32's best class, logits are %.4f of "
        "their norm from f32's\n",
        agree, batch, sqrt(difference / norm));
}

static void make_net(struct subject *s)
{
    const size_t logits = (size_t)(s->config.batch * s->config.model.classes);
    const bool int8 = s->config.type == DT_U8;
    float *f32 = bench_alloc(logits * sizeof *f32);
    struct err e = {0};
    float *w;

    s->config.quant = int8 ? calibrate(s, f32) : NULL;
    bench_must(net_create(s->dev, &s->config, &s->net, &e), &e);
    bench_must(net_create_one(s->dev, &s->config, &s->whole, &e), &e);
    w = subject_weights(s->net);
    bench_must(net_load(s->net, w, &e), &e);
    mem_free(w);
    if (int8) {
        print_agreement(s, f32);
    }
    mem_free(f32);
}

/* ---- the bound ------------------------------------------------------------------------------- */

/* A convolution of the network, alone. */
struct alone {
    struct plan *plan;
    void *args[PLAN_MAX_ARGS];
    int times; /* in the network */
    double least;
};

static bool is_conv(enum op_kind k)
{
    return k == OP_CONV || k == OP_CONV_Q || k == OP_CONV_BWD_DATA || k == OP_CONV_BWD_WEIGHTS;
}

static float *ones(size_t n)
{
    float *p = bench_alloc(n * sizeof *p);

    for (size_t i = 0; i < n; i++) {
        p[i] = 1e-3f;
    }
    return p;
}

static void make_alone(struct subject *s, const struct op_desc *op, struct alone *a)
{
    const struct op_conv *o = &op->u.conv;
    const size_t side = (size_t)((o->h + 2 * o->pad - o->r) / o->stride + 1);
    const size_t in = (size_t)o->n * (size_t)(o->h * o->w * o->c);
    const size_t out = (size_t)o->n * side * side * (size_t)o->k;
    const size_t weights = (size_t)(o->k * o->r * o->r * o->c);
    float *w = ones(weights);
    float *bias = ones((size_t)o->k);
    struct err e = {0};

    bench_must(plan_create(s->dev, op, &a->plan, &e), &e);
    /* 32 bits an element hold either type */
    a->args[0] = ones(op->kind == OP_CONV_BWD_DATA ? out : in);
    a->args[1] = ones(op->kind == OP_CONV_BWD_DATA ? in : out);
    if (op->kind == OP_CONV_BWD_WEIGHTS) {
        a->args[2] = w;
        a->args[3] = o->with_bias ? bias : NULL;
    } else {
        bench_must(plan_pack(a->plan, w, o->with_bias ? bias : NULL, NULL, &e), &e);
    }
    a->times = 1;
    a->least = 1e9;
}

/* Equal convolutions are measured once. */
static int make_all_alone(struct subject *s, struct alone *all)
{
    const struct graph *g = &s->whole->graph;
    int *first = bench_alloc((size_t)g->n_nodes * sizeof *first);
    int n = 0;

    for (int i = 0; i < g->n_nodes; i++) {
        int k = 0;

        if (!is_conv(g->nodes[i].op.kind)) {
            continue;
        }
        while (k < n && memcmp(&g->nodes[first[k]].op, &g->nodes[i].op, sizeof g->nodes[i].op)) {
            k++;
        }
        if (k < n) {
            all[k].times++;
            continue;
        }
        make_alone(s, &g->nodes[i].op, &all[n]);
        first[n++] = i;
    }
    mem_free(first);
    return n;
}

static void run_alone(struct alone *a, double budget)
{
    const double end = clock_now() + budget;
    struct err e = {0};

    for (int i = 0; i < 3 || clock_now() < end; i++) {
        const double start = clock_now();

        bench_must(plan_run(a->plan, a->args, &e), &e);
        if (i > 0 && clock_now() - start < a->least) {
            a->least = clock_now() - start;
        }
    }
}

/* ---- where the time goes --------------------------------------------------------------------- */

static const char *const parts[PART_N] = {"convolution forward",
                                          "convolution d-data",
                                          "convolution d-weights",
                                          "batch norm",
                                          "SE",
                                          "join",
                                          "the other plans",
                                          "outside the network"};

static int part_of(const struct subject *s, int node)
{
    const char *category = net_plan_category(s->net, node);

    for (int i = 0; i < PART_N - 2; i++) {
        if (strcmp(parts[i], category) == 0) {
            return i;
        }
    }
    return PART_N - 2;
}

/* The least time of each plan over a few passes, and of what is outside the plans: other work on the
 * machine disturbs a sum of these less than it does whole passes. */
static void print_parts(struct subject *s)
{
    const int plans = net_plans(s->net);
    double *before = bench_alloc((size_t)plans * sizeof *before);
    double *least = bench_alloc((size_t)plans * sizeof *least);
    double sum[PART_N] = {0};

    sum[PART_N - 1] = 1e9;
    net_profile(s->net, true);
    for (int r = 0; r < PROFILED; r++) {
        double rest;

        for (int i = 0; i < plans; i++) {
            before[i] = net_plan_seconds(s->net, i);
        }
        rest = pass(s);
        for (int i = 0; i < plans; i++) {
            const double took = net_plan_seconds(s->net, i) - before[i];

            least[i] = r == 0 || took < least[i] ? took : least[i];
            rest -= took;
        }
        sum[PART_N - 1] = rest < sum[PART_N - 1] ? rest : sum[PART_N - 1];
    }
    net_profile(s->net, false);
    for (int i = 0; i < plans; i++) {
        sum[part_of(s, i)] += least[i];
    }
    for (int i = 0; i < PART_N; i++) {
        printf("part\t%s\t%.6f\n", parts[i], sum[i]);
    }
    mem_free(before);
    mem_free(least);
}

/* ---- the program ----------------------------------------------------------------------------- */

static void measure(struct subject *s, double seconds)
{
    struct alone *all = bench_alloc((size_t)s->whole->graph.n_nodes * sizeof *all);
    double ours = 1e9;
    double bound = 0;
    int n;

    memset(all, 0, (size_t)s->whole->graph.n_nodes * sizeof *all);
    n = make_all_alone(s, all);
    (void)pass(s);
    for (int r = 0; r < ROUNDS; r++) {
        const double end = clock_now() + seconds / (2 * ROUNDS);

        for (int i = 0; i < 2 || clock_now() < end; i++) {
            const double took = pass(s);

            ours = took < ours ? took : ours;
        }
        for (int i = 0; i < n; i++) {
            run_alone(&all[i], seconds / (2 * ROUNDS) / n);
        }
    }
    for (int i = 0; i < n; i++) {
        bound += all[i].least * all[i].times;
    }
    printf("ours\t%.3f\nbound\t%.3f\n", s->config.batch / ours, s->config.batch / bound);
    print_parts(s);
}

static const struct nn_family *family(const char *name)
{
    const struct nn_family *f = nn_family_find(name);

    if (f == NULL) {
        bench_usage(usage);
    }
    return f;
}

static int write_model(char **argv)
{
    const struct nn_model m = {family(argv[3]), bench_int(argv[4]), bench_int(argv[5])};
    struct model_info info = {.in_channels = m.in_channels,
                              .classes = m.classes,
                              .mean = {0.485f, 0.456f, 0.406f},
                              .std = {0.229f, 0.224f, 0.225f},
                              .note = "random weights of a benchmark"};
    char **names = mem_calloc((size_t)m.classes, sizeof *names);
    struct params *p = NULL;
    struct err e = {0};
    float *w;

    bench_must(params_create(&m, &p, &e), &e);
    w = params_buffer(p);
    if (w == NULL || names == NULL) {
        bench_must(mem_raise(&e, "a model", p->n_total * sizeof *w), &e);
    }
    params_init(p, 1, 0.01, w);
    (void)snprintf(info.family, sizeof info.family, "%s", m.family->name);
    for (int i = 0; i < m.classes; i++) {
        names[i] = mem_sprintf("class%d", i);
    }
    info.class_names = names;
    bench_must(model_save(argv[2], p, w, &info, &e), &e);
    return 0;
}

int main(int argc, char **argv)
{
    struct subject s = {0};
    struct err e = {0};

    if (argc == 6 && strcmp(argv[1], "model") == 0) {
        return write_model(argv);
    }
    if (argc != 9) {
        bench_usage(usage);
    }
    s.config =
        (struct net_config){.model = {family(argv[2]), bench_int(argv[6]), bench_int(argv[7])},
                            .batch = bench_int(argv[4]),
                            .size = bench_int(argv[3]),
                            .type = strcmp(argv[5], "bf16") == 0   ? DT_BF16
                                    : strcmp(argv[5], "int8") == 0 ? DT_U8
                                                                   : DT_F32,
                            .mean = {0.485f, 0.456f, 0.406f},
                            .std = {0.229f, 0.224f, 0.225f}};
    bench_must(coll_self_create(&s.coll, &e), &e);
    bench_must(device_create("cpu", coll_threads(s.coll, 0), &s.dev, &e), &e);
    subject_fill(&s.rows, &s.config);
    if (strcmp(argv[1], "train") == 0) {
        make_trainer(&s);
    } else {
        make_net(&s);
    }
    measure(&s, strtod(argv[8], NULL));
    return 0;
}

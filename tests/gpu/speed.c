/* How fast a network is on the GPUs of the ranks, on pixels that are there already; for first-contact.sh.
 * usage: speed infer|train MODEL SIZE BATCH f32|bf16 PASSES DEVICE COLLECTIVE
 * Rank 0 prints "RANKS COLLECTIVE IMAGES/S" of all ranks: the fastest third of the passes counts. */
#include <stdlib.h>
#include <string.h>

#include "common/coll/coll.h"
#include "tests/bench/subject.h"

enum { PASSES_MAX = 1000, CLASSES = 1000 };

struct subject {
    struct coll *control, *data;
    struct device *dev;
    struct net_config config;
    struct net *net;         /* inference */
    struct trainer *trainer; /* training */
    struct subject_rows rows;
};

static void make_trainer(struct subject *s)
{
    device_measure(s->dev, true);
    s->trainer = subject_trainer(s->dev, s->data, &s->config);
}

static void make_net(struct subject *s)
{
    float *w;
    struct err e = {0};

    bench_must(net_create(s->dev, &s->config, &s->net, &e), &e);
    w = subject_weights(s->net);
    bench_must(net_load(s->net, w, &e), &e);
    mem_free(w);
}

static double pass(struct subject *s)
{
    struct trainer_stats stats;
    struct err e = {0};
    double start;

    bench_must(coll_barrier(s->control, &e), &e);
    start = clock_now();
    if (s->trainer == NULL) {
        bench_must(net_infer(s->net, s->rows.pixels, s->rows.logits, &e), &e);
    } else {
        bench_must(trainer_step(s->trainer, subject_next, &s->rows,
                                (double)s->config.batch * coll_size(s->control), &stats, &e),
                   &e);
    }
    return clock_now() - start;
}

static int by_time(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* The time that the slowest rank needs in the passes that went well. */
static double measure(struct subject *s, int passes)
{
    static double seconds[PASSES_MAX];
    double sum = 0;
    struct err e = {0};
    const int third = passes / 3 > 0 ? passes / 3 : 1;

    (void)pass(s);
    for (int i = 0; i < passes; i++) {
        seconds[i] = pass(s);
    }
    bench_must(coll_allreduce(s->control, seconds, (size_t)passes, COLL_F64, COLL_MAX, &e), &e);
    qsort(seconds, (size_t)passes, sizeof seconds[0], by_time);
    for (int i = 0; i < third; i++) {
        sum += seconds[i];
    }
    return sum / third;
}

static void open_subject(struct subject *s, char **argv)
{
    const struct nn_family *f = nn_family_find(argv[2]);
    const enum coll_data which = strcmp(argv[8], "nccl") == 0  ? COLL_DATA_NCCL
                                 : strcmp(argv[8], "mpi") == 0 ? COLL_DATA_MPI
                                                               : COLL_DATA_AUTO;
    struct err e = {0};

    if (f == NULL) {
        bench_usage("speed: no member of the family has this name");
    }
    s->config = (struct net_config){.model = {f, 3, CLASSES},
                                    .batch = bench_int(argv[4]),
                                    .size = bench_int(argv[3]),
                                    .type = strcmp(argv[5], "bf16") == 0 ? DT_BF16 : DT_F32,
                                    .mean = {0.5f, 0.5f, 0.5f},
                                    .std = {0.25f, 0.25f, 0.25f}};
    bench_must(coll_create(&s->control, &e), &e);
    bench_must(device_create_local(argv[7], coll_threads(s->control, 0),
                                   coll_local_rank(s->control), &s->dev, &e),
               &e);
    bench_must(coll_create_data(s->control, s->dev, which, &s->data, &e), &e);
    subject_fill(&s->rows, &s->config);
}

static void close_subject(struct subject *s)
{
    trainer_destroy(s->trainer);
    net_destroy(s->net);
    coll_destroy(s->data);
    device_destroy(s->dev);
    coll_destroy(s->control);
    subject_free(&s->rows);
}

int main(int argc, char **argv)
{
    struct subject s = {0};
    double seconds;
    int passes;

    if (argc != 9) {
        bench_usage("speed infer|train MODEL SIZE BATCH f32|bf16 PASSES DEVICE auto|mpi|nccl");
    }
    passes = bench_int(argv[6]);
    if (passes < 1 || passes > PASSES_MAX) {
        bench_usage("speed: 1 to 1000 passes");
    }
    open_subject(&s, argv);
    if (strcmp(argv[1], "train") == 0) {
        make_trainer(&s);
    } else {
        make_net(&s);
    }
    seconds = measure(&s, passes);
    if (coll_rank(s.control) == 0) {
        printf("%d %s %.1f\n", coll_size(s.control), coll_name(s.data),
               (double)s.config.batch * coll_size(s.control) / seconds);
    }
    close_subject(&s);
    return 0;
}

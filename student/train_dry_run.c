#include "student/train_dry_run.h"

#include <stdio.h>

#include "common/base/mem.h"
#include "student/train_stores.h"

static void dry_run_curve(const struct schedule *s)
{
    printf("learning rate:\n");
    for (int i = 0; i <= 10; i++) {
        int64_t step = i < 10 ? s->steps * i / 10 : s->steps - 1;

        printf("  step %10lld  %.6g\n", (long long)step, schedule_lr(s, step));
    }
}

static void dry_run_cost(const struct train_config *c, const struct nn_model *m,
                         const struct train_rows *rows, const struct trainer_config *tc)
{
    double a_step = rows->labeled + rows->unlabeled;
    double steps = (double)tc->schedule.steps;
    double flops = 2 * nn_model_macs(m, tc->net.size);

    printf("\nmodel       %s, %d px, %d classes\n", m->family->name, tc->net.size, m->classes);
    printf("cost        %llu parameters, %.3f GFLOP an image forward\n",
           (unsigned long long)nn_model_parameters(m), flops / 1e9);
    printf("step        %d labeled + %d unlabeled images in %d micro-batches of %d\n",
           rows->labeled, rows->unlabeled, rows->micro_batches, tc->net.batch);
    printf("run         %lld steps, %.0f images, %.3g FLOP (three forward passes an image)\n",
           (long long)tc->schedule.steps, steps * a_step, 3 * flops * steps * a_step);
    printf("lr          peak %g%s, warm-up %lld steps\n", tc->schedule.lr,
           c->lr_scaling ? " (lr scaled with rows / 256)" : "", (long long)tc->schedule.warmup);
}

/* Classes and labeled images: the corpus's, or the assumed ones. */
static enum rc dry_run_counts(const struct train_config *c, int *classes, uint64_t *images,
                              struct err *e)
{
    struct train_stores stores = {0};
    enum rc rc = RC_OK;

    if (c->data == NULL) {
        *classes = (int)c->dry_run_classes;
        *images = (uint64_t)c->dry_run_images;
        return RC_OK;
    }
    rc = train_stores_open(c, &stores, e);
    if (rc == RC_OK) {
        *classes = corpus_classes(stores.labeled);
        *images = corpus_occurrences(stores.labeled);
        train_stores_close(&stores);
    }
    return rc;
}

enum rc train_dry_run(const struct train_config *c, struct err *e)
{
    struct nn_model model;
    struct train_rows rows;
    struct trainer_config tc;
    uint64_t images = 0;
    int classes = 0;
    char *text = NULL;
    enum rc rc = dry_run_counts(c, &classes, &images, e);

    if (rc == RC_OK) {
        rc = train_config_model(c, classes, &model, e);
    }
    if (rc == RC_OK) {
        rc = train_config_rows(c, &rows, e);
    }
    if (rc == RC_OK) {
        rc = train_config_trainer(c, &model, images, &tc, e);
    }
    if (rc == RC_OK) {
        rc = opts_dump_yaml(train_opts, c, &text, e);
    }
    if (rc == RC_OK) {
        (void)fputs(text, stdout);
        dry_run_cost(c, &model, &rows, &tc);
        dry_run_curve(&tc.schedule);
    }
    mem_free(text);
    return rc;
}

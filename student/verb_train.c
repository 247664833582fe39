#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/coll/coll.h"
#include "student/student_verbs.h"
#include "student/train_dry_run.h"
#include "student/train_run.h"

static const struct opt_usage train_usage = {
    .verb = "train",
    .summary = "train a network, supervised or on labels and pseudo-labels together",
    .synopsis = "--recipe R.yaml --out RUN --data CORPUS\n"
                "    [--unlabeled CORPUS --labels LABELS [--selection FILE]] [options]",
    .description =
        "Options come from the recipe's section, then from the command line (--set key=value or\n"
        "--key value). With --unlabeled the two streams are mixed in each micro-batch, as Noisy\n"
        "Student does. A killed run goes on from its newest checkpoint when the same command is\n"
        "given again, and a finished one is recognised. SIGUSR1: save within one step and exit\n"
        "with 75.\n"
        "Under mpirun the micro-batches of a step are divided among ranks; any number of ranks\n"
        "trains on the same batches.",
    .examples = "preceptor train --recipe recipes/demo.yaml --section teacher --data labeled --out "
                "teacher\n"
                "mpirun -n 2 preceptor train --recipe recipes/demo.yaml --section student --data "
                "labeled \\\n"
                "    --unlabeled dump --labels labels --selection s.lmdb --out student"};

static enum rc train_print(const struct train_config *c, json_t *o, struct err *e)
{
    const json_t *top1 = json_object_get(o, "top1");
    const json_t *guards = json_object_get(o, "guards");

    if (c->json) {
        return verb_print_json(json_incref(o), e);
    }
    printf("model      %s\n", json_string_value(json_object_get(o, "model")));
    printf("steps      %lld, loss %.4f\n",
           (long long)json_integer_value(json_object_get(o, "steps")),
           json_real_value(json_object_get(o, "loss")));
    printf("images     %.0f in %.1f s, %.0f img/s\n",
           json_number_value(json_object_get(o, "images")),
           json_number_value(json_object_get(o, "seconds")),
           json_number_value(json_object_get(o, "images_per_second")));
    if (json_integer_value(json_object_get(o, "forgotten")) > 0) {
        printf("forgotten  %lld images left out\n",
               (long long)json_integer_value(json_object_get(o, "forgotten")));
    }
    for (size_t i = 0; i < json_array_size(guards); i++) {
        printf("guard      %s\n",
               json_string_value(json_object_get(json_array_get(guards, i), "says")));
    }
    if (top1 != NULL) {
        printf("top-1      %.2f %%\n", json_number_value(top1));
    }
    return RC_OK;
}

/* The dry run of one section, as if it was named. */
static enum rc train_show(const struct verb_call *call, const char *section, struct err *e)
{
    struct train_config c = {0};
    char **argv = mem_calloc((size_t)call->argc + 1, sizeof *argv);
    char *option = mem_sprintf("--section=%s", section);
    bool help = false;
    enum rc rc = argv == NULL || option == NULL ? mem_raise(e, "options", 0) : RC_OK;

    if (rc == RC_OK) {
        memcpy(argv, call->argv, (size_t)call->argc * sizeof *argv);
        argv[call->argc] = option;
        rc = train_config_parse(call->argc + 1, argv, &c, &help, e);
    }
    rc = rc == RC_OK ? train_dry_run(&c, e) : rc;
    train_config_release(&c);
    mem_free(argv);
    mem_free(option);
    return rc;
}

/* A recipe of the whole loop: the dry runs of what it trains. */
static enum rc train_show_loop(const struct verb_call *call, bool teacher, bool student,
                               struct err *e)
{
    enum rc rc = RC_OK;

    if (coll_rank(call->control) == 0) {
        rc = teacher ? train_show(call, "teacher", e) : RC_OK;
        if (rc == RC_OK && teacher && student) {
            putchar('\n');
        }
        rc = rc == RC_OK && student ? train_show(call, "student", e) : rc;
    }
    return coll_agree(call->control, rc, e);
}

static enum rc train_main(const struct verb_call *call, struct err *e)
{
    struct train_config c = {0};
    json_t *result = NULL;
    bool help = false;
    bool teacher = false;
    bool student = false;
    enum rc rc = coll_agree(call->control,
                            train_config_loop(call->argc, call->argv, &teacher, &student, e), e);

    if (rc != RC_OK || teacher || student) {
        return rc != RC_OK ? rc : train_show_loop(call, teacher, student, e);
    }
    rc = coll_agree(call->control, train_config_parse(call->argc, call->argv, &c, &help, e), e);
    if (rc != RC_OK) {
        return rc;
    }
    if (help) {
        if (coll_rank(call->control) == 0) {
            opts_help(&train_usage, train_opts);
        }
    } else if (c.dry_run) {
        rc = coll_rank(call->control) == 0 ? train_dry_run(&c, e) : RC_OK;
        rc = coll_agree(call->control, rc, e);
    } else {
        rc = train_run(&c, call, &result, e);
    }
    if (rc == RC_OK && result != NULL && coll_rank(call->control) == 0) {
        rc = train_print(&c, result, e);
    }
    json_decref(result);
    train_config_release(&c);
    return rc;
}

const struct verb verb_train = {
    "train",    "train a network, supervised or mixed with pseudo-labels",
    train_main, true,
    train_opts, sizeof(struct train_config)};

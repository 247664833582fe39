#include "mpi_launch/run_report.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

static double run_report_images(const struct stage *s)
{
    return stage_number(s, "images_done", stage_number(s, "images", 0));
}

static json_t *run_report_stage(const struct stage *s)
{
    double images = run_report_images(s);

    return json_pack("{s:s,s:I,s:f,s:f,s:b}", "stage", s->name, "images", (json_int_t)images,
                     "seconds", s->seconds, "images_per_second",
                     s->seconds > 0 ? images / s->seconds : 0.0, "skipped",
                     s->outcome == STAGE_SKIPPED);
}

/* Top-1 of an evaluation into root as `name`; false: no such evaluation. */
static bool run_report_top1(json_t *root, const char *name, const struct run_plan *p, int index,
                            double *out)
{
    if (index < 0) {
        return false;
    }
    *out = stage_number(&p->stages[index], "top1", 0);
    return json_object_set_new(root, name, json_real(*out)) == 0;
}

enum rc run_report_summary(const struct run_config *c, const struct run_plan *p, json_t **out,
                           struct err *e)
{
    json_t *stages = json_array();
    json_t *root = NULL;
    double seconds = 0;
    double teacher = 0;
    double student = 0;
    bool failed = stages == NULL;

    for (int i = 0; i < p->n && !failed; i++) {
        seconds += p->stages[i].seconds;
        failed = json_array_append_new(stages, run_report_stage(&p->stages[i])) != 0;
    }
    root = json_pack("{s:s*,s:f,s:I,s:I,s:s,s:O}", "name", c->name, "seconds", seconds, "ranks",
                     (json_int_t)c->ranks, "seed", (json_int_t)c->seed, "model", p->model, "stages",
                     stages);
    json_decref(stages);
    if (root == NULL || failed) {
        json_decref(root);
        return mem_raise(e, "the summary of a run", 0);
    }
    if (run_report_top1(root, "teacher_top1", p, p->eval_teacher, &teacher) &&
        run_report_top1(root, "student_top1", p, p->eval_student, &student)) {
        failed = json_object_set_new(root, "difference", json_real(student - teacher)) != 0;
    }
    *out = root;
    return failed ? mem_raise(e, "the summary of a run", 0) : RC_OK;
}

static void run_report_rows(FILE *out, const struct run_plan *p)
{
    (void)fprintf(out, "%-16s %10s %10s %9s\n", "stage", "images", "time", "img/s");
    for (int i = 0; i < p->n; i++) {
        const struct stage *s = &p->stages[i];
        double images = run_report_images(s);
        char time[32];

        clock_format(s->seconds, time, sizeof time);
        if (s->outcome == STAGE_SKIPPED) {
            (void)fprintf(out, "%-16s %10.0f %10s %9s\n", s->name, images, time, "(done)");
        } else {
            (void)fprintf(out, "%-16s %10.0f %10s %9.0f\n", s->name, images, time,
                          s->seconds > 0 ? images / s->seconds : 0.0);
        }
    }
}

static void run_report_top(FILE *out, const json_t *summary)
{
    const json_t *teacher = json_object_get(summary, "teacher_top1");
    const json_t *student = json_object_get(summary, "student_top1");

    if (teacher != NULL) {
        (void)fprintf(out, "\nteacher top-1    %6.2f %%\n", json_number_value(teacher));
    }
    if (student != NULL) {
        (void)fprintf(out, "student top-1    %6.2f %%\n", json_number_value(student));
    }
    if (teacher != NULL && student != NULL) {
        (void)fprintf(out, "difference       %+6.2f points\n",
                      json_number_value(json_object_get(summary, "difference")));
    }
}

/* Which guards the images of the last training run have passed. */
static void run_report_guards(FILE *out, const struct run_plan *p)
{
    const json_t *list = NULL;

    for (int i = 0; i < p->n; i++) {
        const json_t *guards = json_object_get(p->stages[i].facts, "guards");

        list = guards != NULL ? guards : list;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *says = json_string_value(json_object_get(json_array_get(list, i), "says"));

        (void)fprintf(out, "%sleak guard       %s\n", i == 0 ? "\n" : "",
                      says != NULL ? says : "-");
    }
}

static void run_report_next(FILE *out, const struct run_config *c, const struct run_plan *p,
                            const char *program)
{
    (void)fprintf(out, "\nwhere things are\n");
    (void)fprintf(out, "  %s/summary.json: these figures\n", c->out);
    (void)fprintf(out, "  %s/{corpus,labels,selection,runs}: what the stages made\n", c->out);
    (void)fprintf(out, "  %s: the last model, under timm's names\n", p->model);
    (void)fprintf(out, "\nnext\n");
    (void)fprintf(out, "  %s predict --model %s FILE...\n", program, p->model);
    if (p->data_eval != NULL) {
        (void)fprintf(out, "  %s eval --model %s --data %s --per_class\n", program, p->model,
                      p->data_eval);
    }
    if (c->generations > 0) {
        (void)fprintf(out, "  %s inspect %s/labels/1\n", program, c->out);
        (void)fprintf(out, "  %s export %s/labels/1 --format jsonl\n", program, c->out);
    }
}

void run_report_print(FILE *out, const struct run_config *c, const struct run_plan *p,
                      const json_t *summary, const char *program)
{
    char time[32];

    clock_format(json_number_value(json_object_get(summary, "seconds")), time, sizeof time);
    (void)fprintf(out, "%s: seed %lld, %lld rank%s, %s of work\n\n",
                  c->name == NULL ? c->out : c->name, (long long)c->seed, (long long)c->ranks,
                  c->ranks == 1 ? "" : "s", time);
    run_report_rows(out, p);
    run_report_top(out, summary);
    run_report_guards(out, p);
    run_report_next(out, c, p, program);
}

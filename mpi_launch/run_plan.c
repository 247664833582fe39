#include "mpi_launch/run_plan.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"

/* What makes a plan: lent to every step of it. */
struct run_maker {
    const struct run_config *c;
    const struct recipe *r;
    const struct verb *(*find)(const char *);
    struct run_plan *plan;
    char *labeled, *unlabeled; /* corpora; NULL: not in the recipe */
    bool dump_is_given;        /* the unlabeled corpus is the recipe's own: select guards */
};

enum rc run_plan_launcher(const struct run_config *c, struct args *out, struct err *e)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    enum rc rc = RC_OK;

    if (c->ranks == 1 && c->launcher == RUN_LOCAL) {
        return RC_OK;
    }
    rc = args_add_words(out, "mpirun -q --bind-to none", e);
    if (rc == RC_OK) {
        rc = args_add_words(out, "-n", e);
    }
    if (rc == RC_OK) {
        rc = args_add(out, e, "%lld", (long long)c->ranks);
    }
    if (rc == RC_OK && geteuid() == 0) {
        rc = args_add(out, e, "--allow-run-as-root");
    }
    if (rc == RC_OK && c->launcher == RUN_HOSTFILE) {
        rc = args_add_words(out,
                            "--map-by node --mca oob_tcp_keepalive_time 10 "
                            "--mca oob_tcp_keepalive_intvl 2 --mca oob_tcp_keepalive_probes 3 "
                            "--hostfile",
                            e);
        rc = rc == RC_OK ? args_add(out, e, "%s", c->hostfile) : rc;
    } else if (rc == RC_OK && c->ranks > cores) {
        rc = args_add_words(out, "--oversubscribe --mca mpi_yield_when_idle 1", e);
    }
    if (rc == RC_OK && c->mpirun != NULL) {
        rc = args_add_words(out, c->mpirun, e);
    }
    return rc;
}

static bool run_has_option(const struct verb *verb, const char *name)
{
    for (const struct opt *o = verb->options; o != NULL && o->name != NULL; o++) {
        if (strcmp(o->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* A new stage with its section's options. */
static enum rc run_stage(struct run_maker *m, const char *verb_name, const char *section,
                         int generation, struct stage **out, struct err *e)
{
    const struct verb *verb = m->find(verb_name);
    struct stage *s = &m->plan->stages[m->plan->n];
    enum rc rc = RC_OK;

    if (verb == NULL) {
        return err_raise(e, RC_UNSUPPORTED, "this program has no verb '%s'", verb_name);
    }
    m->plan->n++;
    s->verb = verb->name;
    s->on_all_ranks = verb->on_all_ranks;
    rc = recipe_options(m->r, section, generation, &s->options, e);
    if (rc == RC_OK && m->c->threads > 0 && run_has_option(verb, "threads")) {
        rc = args_add(&s->ignored, e, "--threads=%lld", (long long)m->c->threads);
    }
    *out = s;
    return rc;
}

/* ---- corpora ------------------------------------------------------------------------------- */

/* Where the corpus of a part lies: the recipe's own, or one that is packed. *packed says which. */
static enum rc run_corpus(struct run_maker *m, const char *part, char **path, bool *packed,
                          struct err *e)
{
    char section[RECIPE_NAME_MAX];
    struct args given = {0};
    enum rc rc = RC_OK;

    (void)snprintf(section, sizeof section, "pack.%s", part);
    *packed = false;
    if (!recipe_has(m->r, section)) {
        return RC_OK;
    }
    rc = recipe_values(m->r, section, "corpus", &given, e);
    if (rc == RC_OK) {
        *packed = given.n == 0;
        *path = given.n > 0 ? mem_strdup(given.v[0]) : mem_sprintf("%s/corpus/%s", m->c->out, part);
        rc = *path == NULL ? mem_raise(e, "a path", strlen(part)) : RC_OK;
    }
    args_release(&given);
    return rc;
}

static enum rc run_pack(struct run_maker *m, const char *part, const char *out, struct err *e)
{
    char section[RECIPE_NAME_MAX];
    struct stage *s = NULL;
    enum rc rc = RC_OK;

    (void)snprintf(section, sizeof section, "pack.%s", part);
    rc = run_stage(m, "pack", section, 0, &s, e);
    if (rc != RC_OK) {
        return rc;
    }
    (void)snprintf(s->name, sizeof s->name, "pack-%s", part);
    rc = recipe_values(m->r, section, "source", &s->sources, e);
    if (rc == RC_OK && s->sources.n == 0) {
        rc = err_raise(e, RC_INVAL, "%s: '%s' says neither a source to pack nor a corpus to use",
                       m->r->path, section);
    }
    if (rc == RC_OK && strcmp(part, "unlabeled") == 0) {
        rc = args_add(&s->options, e, "--unlabeled");
    }
    if (rc == RC_OK) {
        rc = args_add_all(&s->identity, &s->sources, e);
    }
    if (rc == RC_OK) {
        rc = args_add(&s->paths, e, "--out=%s", out);
    }
    if (rc == RC_OK) {
        rc = args_add_all(&s->paths, &s->sources, e);
    }
    return rc == RC_OK ? args_add(&s->outputs, e, "%s", out) : rc;
}

/* Compare with the evaluation set, which is packed before. A grown one only adds to what was found. */
static enum rc run_guard(struct run_maker *m, struct stage *s, struct err *e)
{
    enum rc rc = RC_OK;

    if (!m->c->guard || m->plan->data_eval == NULL) {
        return RC_OK;
    }
    rc = args_add(&s->paths, e, "--forbid=%s", m->plan->data_eval);
    if (rc == RC_OK) {
        rc = args_add(&s->identity, e, "--forbid=%s", m->plan->data_eval);
    }
    return rc == RC_OK ? args_add(&s->sources, e, "%s/corpus.json", m->plan->data_eval) : rc;
}

static enum rc run_corpora(struct run_maker *m, struct err *e)
{
    static const char *const parts[] = {"eval", "labeled", "unlabeled", "eval"};
    char **paths[] = {&m->plan->data_eval, &m->labeled, &m->unlabeled, &m->plan->data_eval};
    const int first = m->c->guard ? 0 : 1; /* a guard needs the evaluation set before the others */
    enum rc rc = RC_OK;

    for (int i = first; i < first + 3 && rc == RC_OK; i++) {
        bool packed = false;

        rc = run_corpus(m, parts[i], paths[i], &packed, e);
        if (rc == RC_OK && packed) {
            rc = run_pack(m, parts[i], *paths[i], e);
        }
        if (rc == RC_OK && packed && i > 0 && i < 3) {
            rc = run_guard(m, &m->plan->stages[m->plan->n - 1], e);
        }
        m->dump_is_given = m->dump_is_given || (i == 2 && !packed);
    }
    if (rc == RC_OK && m->c->guard && m->plan->data_eval == NULL) {
        rc = err_raise(e, RC_INVAL, "%s: run.guard needs a section pack.eval to guard", m->r->path);
    }
    if (rc == RC_OK && m->labeled == NULL) {
        rc = err_raise(e, RC_INVAL, "%s has no section pack.labeled: a teacher needs labels",
                       m->r->path);
    }
    if (rc == RC_OK && m->unlabeled == NULL && m->c->generations > 0) {
        rc = err_raise(e, RC_INVAL,
                       "%s has no section pack.unlabeled: give one, or run.generations 0 for the "
                       "teacher alone",
                       m->r->path);
    }
    return rc;
}

/* ---- the rest of the loop -------------------------------------------------------------------- */

/* `--name=path`, and the path as something that the result depends on. */
static enum rc run_input(struct stage *s, const char *name, const char *path, struct err *e)
{
    enum rc rc = args_add(&s->paths, e, "--%s=%s", name, path);

    return rc == RC_OK ? args_add(&s->inputs, e, "%s", path) : rc;
}

static enum rc run_output(struct stage *s, const char *path, struct err *e)
{
    enum rc rc = args_add(&s->paths, e, "--out=%s", path);

    return rc == RC_OK ? args_add(&s->outputs, e, "%s", path) : rc;
}

static bool run_has_seed(const struct stage *s)
{
    for (int i = 0; i < s->options.n; i++) {
        if (strncmp(s->options.v[i], "--seed=", 7) == 0) {
            return true;
        }
    }
    return false;
}

/* A training run into OUT/runs/NAME; its result becomes the plan's model. */
static enum rc run_train(struct run_maker *m, const char *section, int generation,
                         struct stage **out, struct err *e)
{
    struct stage *s = NULL;
    char *dir = NULL;
    enum rc rc = run_stage(m, "train", section, generation, &s, e);

    if (rc != RC_OK) {
        return rc;
    }
    if (generation == 0) {
        (void)snprintf(s->name, sizeof s->name, "%s", section);
    } else {
        (void)snprintf(s->name, sizeof s->name, "%s-%d", section, generation);
    }
    dir = mem_sprintf("%s/runs/%s", m->c->out, s->name);
    mem_free(m->plan->model);
    m->plan->model = mem_sprintf("%s/runs/%s/model.safetensors", m->c->out, s->name);
    if (dir == NULL || m->plan->model == NULL) {
        rc = mem_raise(e, "a path", strlen(m->c->out));
    }
    if (rc == RC_OK && !run_has_seed(s)) {
        rc = args_add(&s->options, e, "--seed=%lld", (long long)m->c->seed + generation);
    }
    if (rc == RC_OK) {
        rc = run_output(s, dir, e);
    }
    if (rc == RC_OK) {
        rc = run_input(s, "data", m->labeled, e);
    }
    mem_free(dir);
    *out = s;
    return rc;
}

/* The first teacher: trained, or the recipe's own weights. */
static enum rc run_teacher(struct run_maker *m, struct err *e)
{
    struct args weights = {0};
    struct stage *s = NULL;
    enum rc rc = recipe_values(m->r, "teacher", "weights", &weights, e);

    if (rc == RC_OK && weights.n == 0) {
        rc = run_train(m, "teacher", 0, &s, e);
    } else if (rc == RC_OK) {
        m->plan->model = mem_strdup(weights.v[0]);
        rc = m->plan->model == NULL ? mem_raise(e, "a path", strlen(weights.v[0])) : RC_OK;
    }
    args_release(&weights);
    return rc;
}

static enum rc run_eval(struct run_maker *m, const char *name, int *index, struct err *e)
{
    struct stage *s = NULL;
    enum rc rc = RC_OK;

    if (m->plan->data_eval == NULL) {
        return RC_OK;
    }
    rc = run_stage(m, "eval", "eval", 0, &s, e);
    if (rc != RC_OK) {
        return rc;
    }
    *index = m->plan->n - 1;
    (void)snprintf(s->name, sizeof s->name, "eval-%s", name);
    rc = run_input(s, "model", m->plan->model, e);
    return rc == RC_OK ? run_input(s, "data", m->plan->data_eval, e) : rc;
}

static enum rc run_label(struct run_maker *m, int generation, const char *labels, struct err *e)
{
    struct stage *s = NULL;
    enum rc rc = run_stage(m, "label", "label", generation, &s, e);

    if (rc != RC_OK) {
        return rc;
    }
    s->outlives_a_rank = true;
    (void)snprintf(s->name, sizeof s->name, "label-%d", generation);
    rc = run_input(s, "model", m->plan->model, e);
    if (rc == RC_OK) {
        rc = args_add(&s->paths, e, "--data=%s", m->unlabeled);
    }
    if (rc == RC_OK) {
        rc = args_add(&s->sources, e, "%s", m->unlabeled);
    }
    return rc == RC_OK ? run_output(s, labels, e) : rc;
}

static enum rc run_select(struct run_maker *m, int generation, const char *labels,
                          const char *selection, struct err *e)
{
    struct stage *s = NULL;
    enum rc rc = run_stage(m, "select", "select", generation, &s, e);

    if (rc != RC_OK) {
        return rc;
    }
    (void)snprintf(s->name, sizeof s->name, "select-%d", generation);
    rc = run_input(s, "labels", labels, e);
    if (rc == RC_OK) {
        rc = run_input(s, "data", m->unlabeled, e);
    }
    if (rc == RC_OK && m->c->guard && m->dump_is_given) {
        rc = run_input(s, "forbid", m->plan->data_eval, e);
    }
    if (rc == RC_OK) {
        rc = args_add(&s->paths, e, "--out=%s", selection);
    }
    if (rc == RC_OK) {
        rc = args_add(&s->outputs, e, "%s.lmdb", selection);
    }
    return rc == RC_OK ? args_add(&s->outputs, e, "%s.json", selection) : rc;
}

static enum rc run_student(struct run_maker *m, int generation, const char *labels,
                           const char *selection, struct err *e)
{
    struct stage *s = NULL;
    enum rc rc = run_train(m, "student", generation, &s, e);

    if (rc == RC_OK) {
        rc = run_input(s, "unlabeled", m->unlabeled, e);
    }
    if (rc == RC_OK) {
        rc = run_input(s, "labels", labels, e);
    }
    if (rc == RC_OK) {
        rc = args_add(&s->paths, e, "--selection=%s.lmdb", selection);
    }
    return rc == RC_OK ? args_add(&s->inputs, e, "%s.json", selection) : rc;
}

static enum rc run_generation(struct run_maker *m, int generation, struct err *e)
{
    char *labels = mem_sprintf("%s/labels/%d", m->c->out, generation);
    char *selection = mem_sprintf("%s/selection/%d", m->c->out, generation);
    char name[STAGE_NAME_MAX];
    enum rc rc = RC_OK;

    (void)snprintf(name, sizeof name, "student-%d", generation);
    if (labels == NULL || selection == NULL) {
        rc = mem_raise(e, "a path", strlen(m->c->out));
    }
    if (rc == RC_OK) {
        rc = run_label(m, generation, labels, e);
    }
    if (rc == RC_OK) {
        rc = run_select(m, generation, labels, selection, e);
    }
    if (rc == RC_OK) {
        rc = run_student(m, generation, labels, selection, e);
    }
    if (rc == RC_OK) {
        rc = run_eval(m, name, &m->plan->eval_student, e);
    }
    mem_free(labels);
    mem_free(selection);
    return rc;
}

enum rc run_plan_make(const struct run_config *c, const struct recipe *r,
                      const struct verb *(*find)(const char *), struct run_plan *out, struct err *e)
{
    struct run_maker m = {.c = c, .r = r, .find = find, .plan = out};
    enum rc rc = RC_OK;

    *out = (struct run_plan){.eval_teacher = -1, .eval_student = -1};
    rc = run_corpora(&m, e);
    if (rc == RC_OK) {
        rc = run_teacher(&m, e);
    }
    if (rc == RC_OK) {
        rc = run_eval(&m, "teacher", &out->eval_teacher, e);
    }
    for (int g = 1; g <= c->generations && rc == RC_OK; g++) {
        rc = run_generation(&m, g, e);
    }
    mem_free(m.labeled);
    mem_free(m.unlabeled);
    if (rc != RC_OK) {
        run_plan_release(out);
    }
    return rc;
}

void run_plan_release(struct run_plan *p)
{
    for (int i = 0; i < p->n; i++) {
        stage_release(&p->stages[i]);
    }
    mem_free(p->model);
    mem_free(p->data_eval);
    *p = (struct run_plan){0};
}

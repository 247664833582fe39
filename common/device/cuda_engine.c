/* Which of cuDNN's engines computes a graph: by its heuristics, or by measuring the first of them. */
#include <string.h>

#include "common/base/mem.h"
#include "common/device/cuda_graph_impl.h"

enum {
    CONFIGS_MAX = 24,
    MEASURED_MAX = 6, /* engines that are timed: the heuristics' order is seldom far off */
    TEXT_MAX = 16 << 20,
};

static bool get(desc_ptr d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                int64_t max, int64_t *n, void *out)
{
    return cudnnBackendGetAttribute(d, name, type, max, n, out) == CUDNN_STATUS_SUCCESS;
}

/* What an engine configuration's engine is: its number and numerical notes. */
static bool look(struct cuda_desc *b, desc_ptr config, struct cuda_graph_info *info, bool *exact)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    desc_ptr engine = cuda_desc_make(b, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    int64_t n = 0, number = 0;

    if (b->rc != RC_OK ||
        !get(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &engine) ||
        !get(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n, &number) ||
        !get(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
             CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, notes)) {
        return false;
    }
    info->engine = number;
    info->tensor_core = false;
    *exact = true;
    for (int64_t i = 0; i < n; i++) {
        info->tensor_core |= notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
        *exact &= notes[i] != CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC &&
                  notes[i] != CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS &&
                  notes[i] != CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
    }
    return true;
}

/* Finalise a plan that is a configuration's, or text's; false where that fails or it wants too much
 * workspace. */
static bool finish(const struct cuda_planner *p, desc_ptr config, const char *text,
                   struct cuda_graph *g)
{
    struct cuda_desc trial = {.planner = p};
    desc_ptr plan = cuda_desc_make(&trial, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    int64_t n = 0, bytes = 0;
    bool ok;

    if (p->handle != NULL) {
        cuda_desc_set(&trial, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
                      &p->handle);
    } else {
        cuda_desc_set_desc(&trial, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, p->props);
    }
    if (text != NULL) {
        cuda_desc_set(&trial, plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                      (int64_t)strlen(text) + 1, text);
    } else {
        cuda_desc_set_desc(&trial, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    }
    cuda_desc_finalize(&trial, plan, "an execution plan");
    ok = trial.rc == RC_OK &&
         get(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n, &bytes) &&
         bytes >= 0 && (size_t)bytes <= CUDA_WORKSPACE_MAX;
    if (ok) {
        g->plan = plan;
        g->info.workspace = (size_t)bytes;
        cuda_desc_keep(&trial, plan);
    }
    cuda_desc_release(&trial);
    return ok;
}

/* The plan that was just finished against the best so far: the slower one goes. */
static void race(const struct cuda_planner *p, const struct op_desc *op, struct cuda_graph *g,
                 struct cuda_graph *best)
{
    double seconds = 0;

    if (!p->time(p->time_ctx, g, op, &seconds)) {
        seconds = 0; /* cannot be timed: the heuristics' order holds */
    }
    g->info.seconds = seconds;
    if (g->pack != NULL) {
        cudnnBackendDestroyDescriptor(g->pack);
        g->pack = NULL;
    }
    if (best->plan == NULL || (seconds > 0 && seconds < best->info.seconds)) {
        desc_ptr slower = best->plan;

        *best = *g;
        g->plan = slower;
    }
    if (g->plan != NULL) {
        cudnnBackendDestroyDescriptor(g->plan);
        g->plan = NULL;
    }
}

/* Of n configurations the first that serves, or the fastest of the first few. */
static bool choose_of(struct cuda_desc *b, desc_ptr *configs, int64_t n, bool tensor_core,
                      const struct op_desc *op, struct cuda_graph *g)
{
    const struct cuda_planner *p = b->planner;
    struct cuda_graph best = {0};
    int timed = 0;

    for (int64_t i = 0; i < n && timed < MEASURED_MAX && g->plan == NULL; i++) {
        struct cuda_desc one = {.planner = p};
        bool exact = false;

        if (look(&one, configs[i], &g->info, &exact) && exact &&
            g->info.tensor_core == tensor_core && finish(p, configs[i], NULL, g) &&
            p->time != NULL) {
            race(p, op, g, &best);
            timed++;
        }
        cuda_desc_release(&one);
    }
    if (best.plan != NULL) {
        int offered = g->info.configs;

        *g = best;
        g->info.configs = offered;
    }
    return g->plan != NULL;
}

/* Among the mode's configurations with (or without) tensor cores. */
static bool choose(struct cuda_desc *b, desc_ptr graph, cudnnBackendHeurMode_t mode,
                   bool tensor_core, const struct op_desc *op, struct cuda_graph *g)
{
    desc_ptr heur = cuda_desc_make(b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR), configs[CONFIGS_MAX];
    struct cuda_desc list = {.planner = b->planner};
    int64_t n = 0;
    bool found;

    cuda_desc_set(b, heur, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    cuda_desc_set_desc(b, heur, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    if (b->planner->props != NULL) {
        cuda_desc_set_desc(b, heur, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, b->planner->props);
    }
    if (b->rc != RC_OK || cudnnBackendFinalize(heur) != CUDNN_STATUS_SUCCESS) {
        return false; /* none of this mode */
    }
    for (int i = 0; i < CONFIGS_MAX; i++) {
        configs[i] = cuda_desc_make(&list, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    }
    if (list.rc != RC_OK || !get(heur, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                 CONFIGS_MAX, &n, configs)) {
        n = 0;
    }
    n = n > CONFIGS_MAX ? CONFIGS_MAX : n;
    g->info.configs += (int)n;
    found = choose_of(b, configs, n, tensor_core, op, g);
    cuda_desc_release(&list);
    return found;
}

/* bf16 on tensor cores where there is such an engine; f32 never, since they would round it to TF32. */
bool cuda_engine_choose(struct cuda_desc *b, desc_ptr graph, const struct op_desc *op,
                        struct cuda_graph *g)
{
    bool wide = op->u.conv.type == DT_F32;

    return (!wide && choose(b, graph, CUDNN_HEUR_MODE_A, true, op, g)) ||
           choose(b, graph, CUDNN_HEUR_MODE_A, false, op, g) ||
           choose(b, graph, CUDNN_HEUR_MODE_FALLBACK, !wide, op, g) ||
           (!wide && choose(b, graph, CUDNN_HEUR_MODE_FALLBACK, false, op, g));
}

char *cuda_engine_save(const struct cuda_graph *g)
{
    int64_t size = 0, n = 0;
    char *text;

    if (!get(g->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0, &size,
             NULL) ||
        size <= 0 || size > TEXT_MAX) {
        return NULL;
    }
    text = mem_calloc((size_t)size + 1, 1);
    if (text != NULL && !get(g->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                             CUDNN_TYPE_CHAR, size, &n, text)) {
        mem_free(text);
        return NULL;
    }
    return text;
}

bool cuda_engine_restore(const struct cuda_planner *p, const char *text, struct cuda_graph *g)
{
    return finish(p, NULL, text, g);
}

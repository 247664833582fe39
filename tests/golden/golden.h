/** What tests of stored networks share with tests/parity: cases read, distances measured. Whatever
 * cannot be (a golden file of another form, a network that is refused) ends the program. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "tests/common/nn/formula.h"

/* The largest of several distances, and whose it is. */
struct golden_worst {
    double distance;
    char name[FORMULA_NAME_MAX];
};

static inline void golden_note(struct golden_worst *w, double distance, const char *name)
{
    if (w->name[0] == '\0' || !(distance <= w->distance)) {
        w->distance = distance;
        (void)snprintf(w->name, sizeof w->name, "%s", name);
    }
}

static inline void golden_must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "golden: %s\n", what);
        exit(2);
    }
}

static inline void golden_ok(enum rc rc, const struct err *e)
{
    golden_must(rc == RC_OK, e->msg);
}

static inline json_t *golden_read(const char *path)
{
    json_t *root = NULL;
    struct err e = {0};

    golden_ok(json_read(path, &root, &e), &e);
    return root;
}

static inline double golden_number(const json_t *c, const char *name)
{
    const json_t *v = json_object_get(c, name);

    golden_must(json_is_number(v), name);
    return json_number_value(v);
}

static inline bool golden_flag(const json_t *c, const char *name)
{
    const json_t *v = json_object_get(c, name);

    golden_must(json_is_boolean(v), name);
    return json_is_true(v);
}

static inline const char *golden_name(const json_t *c)
{
    const char *name = json_string_value(json_object_get(c, "name"));

    golden_must(name != NULL, "a case without a name");
    return name;
}

/* The family's member of the case's name, or one made of its numbers. */
static inline const struct nn_family *golden_family(const json_t *c, struct nn_family *made)
{
    const json_t *blocks = json_object_get(c, "blocks");

    if (nn_family_find(golden_name(c)) != NULL) {
        return nn_family_find(golden_name(c));
    }
    *made = (struct nn_family){.name = golden_name(c),
                               .stem = NN_STEM_RS,
                               .stages = 4,
                               .width = (int)golden_number(c, "width")};
    golden_must(json_array_size(blocks) == 4, "blocks of four stages");
    for (size_t s = 0; s < 4; s++) {
        made->blocks[s] = (int)json_integer_value(json_array_get(blocks, s));
    }
    return made;
}

/* The worst distance of the views in [from, to) from those stored under `what`. */
static inline struct golden_worst golden_views(const json_t *c, const char *what,
                                               const struct params *p, const float *x,
                                               const float *minus, size_t from, size_t to)
{
    const json_t *stored = json_object_get(c, what);
    struct golden_worst worst = {0};
    size_t compared = 0;

    for (int i = 0; i < p->n_views; i++) {
        const struct param_view *v = &p->views[i];
        const json_t *s = json_object_get(stored, v->name);

        if (v->offset >= from && v->offset < to) {
            golden_must(json_is_array(s), v->name);
            golden_note(&worst,
                        formula_distance(v->name, v, x + v->offset,
                                         minus != NULL ? minus + v->offset : NULL, v->n, s),
                        v->name);
            compared++;
        }
    }
    golden_must(compared > 0 && compared == json_object_size(stored), what);
    return worst;
}

static inline void golden_mask(const char *tag, uint64_t seed, size_t n, double rate, float *out)
{
    uint64_t start = formula_start(tag, seed);

    for (size_t i = 0; i < n; i++) {
        out[i] = formula_uniform(start, i) < rate ? 0.0f : (float)(1.0 / (1.0 - rate));
    }
}

/* (n, classes): soft, or smoothed by 0.1. */
static inline void golden_targets(const char *tag, uint64_t seed, size_t n, size_t classes,
                                  bool soft, float *out)
{
    char name[FORMULA_NAME_MAX];
    uint64_t start;

    (void)snprintf(name, sizeof name, "%s%s", soft ? "target" : "label", tag);
    start = formula_start(name, seed);
    for (size_t i = 0; i < n; i++) {
        float *row = out + i * classes;
        double sum = 0;

        for (size_t j = 0; j < classes && soft; j++) {
            sum += pow(formula_uniform(start, i * classes + j), 4);
        }
        for (size_t j = 0; j < classes; j++) {
            row[j] = soft ? (float)(pow(formula_uniform(start, i * classes + j), 4) / sum)
                          : (float)(0.1 / (double)classes);
        }
        if (!soft) {
            row[(size_t)(formula_uniform(start, i) * (double)classes)] =
                (float)(0.9 + 0.1 / (double)classes);
        }
    }
}

#endif

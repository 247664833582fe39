/* The network is timm's: names, shapes, counts, logits (tests/golden/make_timm.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/nn/net.h"
#include "tests/common/nn/formula.h"

static json_t *golden;

static int open_golden(void **state)
{
    struct err e = {0};

    (void)state;
    return json_read("tests/golden/nn/timm.json", &golden, &e);
}

static int close_golden(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static int64_t integer(const json_t *o, const char *name)
{
    assert_true(json_is_integer(json_object_get(o, name)));
    return json_integer_value(json_object_get(o, name));
}

/* SHA-256 of "name OxIxHxW\n" lines, as make_timm.py writes them. */
static void layout_digest(const struct params *p, char *hex)
{
    struct hash *h = NULL;
    struct digest d;
    struct err e = {0};

    assert_int_equal(hash_create(&h, &e), RC_OK);
    for (int i = 0; i < p->n_views; i++) {
        const struct param_view *v = &p->views[i];
        char line[128];

        if (v->timm_dims == 4) {
            snprintf(line, sizeof line, "%s %dx%dx%dx%d\n", v->name, v->o, v->i, v->h, v->w);
        } else if (v->timm_dims == 2) {
            snprintf(line, sizeof line, "%s %dx%d\n", v->name, v->o, v->i);
        } else {
            snprintf(line, sizeof line, "%s %d\n", v->name, v->o);
        }
        hash_update(h, line, strlen(line));
    }
    hash_final(h, &d);
    hash_digest_hex(&d, hex);
    hash_destroy(h);
}

static void all_seven_depths_have_timms_tensors(void **state)
{
    const json_t *families = json_object_get(golden, "families");

    (void)state;
    assert_int_equal(json_array_size(families), 7);
    for (size_t i = 0; i < 7; i++) {
        const json_t *f = json_array_get(families, i);
        const char *name = json_string_value(json_object_get(f, "name"));
        struct nn_model m = {nn_family_find(name), 3, 1000};
        struct params *p = NULL;
        struct err e = {0};
        int64_t counted = 0;
        int bns = 0;
        char hex[HASH_HEX_DIGEST];

        assert_non_null(m.family);
        assert_int_equal(params_create(&m, &p, &e), RC_OK);
        for (int v = 0; v < p->n_views; v++) {
            counted += p->views[v].offset < p->n_trainable ? (int64_t)p->views[v].n : 0;
            bns += p->views[v].kind == PARAM_GAMMA;
        }
        assert_int_equal(counted, integer(f, "parameters"));
        assert_int_equal(nn_model_parameters(&m), counted);
        assert_int_equal(p->n_views + bns, integer(f, "tensors"));
        layout_digest(p, hex);
        assert_string_equal(hex, json_string_value(json_object_get(f, "layout")));
        params_destroy(p);
    }
}

/* Logits of a stored case; the family is the member of that name, or one made of its numbers. */
static double distance(const json_t *c, const char *backend, enum dtype type)
{
    const json_t *blocks = json_object_get(c, "blocks");
    const char *name = json_string_value(json_object_get(c, "name"));
    struct nn_family made = {.name = name, .stem = NN_STEM_RS, .stages = 4};
    struct net_config nc = {
        .batch = (int)integer(c, "batch"), .size = (int)integer(c, "size"), .type = type};
    size_t pixels_n;
    size_t logits_n;
    uint8_t *pixels;
    float *logits;
    float *weights;
    struct device *dev = NULL;
    struct net *net = NULL;
    struct err e = {0};
    double d;

    made.width = (int)integer(c, "width");
    for (size_t s = 0; s < 4; s++) {
        made.blocks[s] = (int)json_integer_value(json_array_get(blocks, s));
    }
    nc.model.family = nn_family_find(name) != NULL ? nn_family_find(name) : &made;
    nc.model.in_channels = (int)integer(c, "channels");
    nc.model.classes = (int)integer(c, "classes");
    memcpy(nc.mean, formula_mean, sizeof nc.mean);
    memcpy(nc.std, formula_std, sizeof nc.std);
    assert_int_equal(device_create(backend, 1, &dev, &e), RC_OK);
    assert_int_equal(net_create(dev, &nc, &net, &e), RC_OK);
    pixels_n = (size_t)(nc.batch * nc.size * nc.size * nc.model.in_channels);
    logits_n = (size_t)(nc.batch * nc.model.classes);
    pixels = mem_calloc(pixels_n, 1);
    logits = mem_calloc(logits_n, sizeof *logits);
    weights = params_buffer(net_params(net));
    assert_true(pixels != NULL && logits != NULL && weights != NULL);
    formula_fill(net_params(net), (uint64_t)integer(c, "seed"), weights);
    formula_pixels("", (uint64_t)integer(c, "seed"), pixels_n, pixels);
    assert_int_equal(net_load(net, weights, &e), RC_OK);
    assert_int_equal(net_infer(net, pixels, logits, &e), RC_OK);
    d = formula_distance("logits", NULL, logits, NULL, logits_n, json_object_get(c, "projections"));
    mem_free(pixels);
    mem_free(logits);
    mem_free(weights);
    net_destroy(net);
    device_destroy(dev);
    return d;
}

static void logits_are_timms(void **state)
{
    const json_t *cases = json_object_get(golden, "inference");

    (void)state;
    assert_int_equal(json_array_size(cases), 4);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        bool large = integer(c, "width") > 16;
        double d = distance(c, "cpu", DT_F32);

        if (!(d < 1e-5)) {
            fail_msg("%s: relative distance %.2g", json_string_value(json_object_get(c, "name")),
                     d);
        }
        assert_true(large || distance(c, "ref", DT_F32) < 1e-5);
        assert_true(distance(c, "cpu", DT_BF16) < 3e-2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_seven_depths_have_timms_tensors),
        cmocka_unit_test(logits_are_timms),
    };

    return cmocka_run_group_tests(tests, open_golden, close_golden);
}

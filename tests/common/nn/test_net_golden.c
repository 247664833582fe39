/* The network is timm's: names, shapes, counts, logits (tests/golden/make_timm.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "tests/golden/golden_net.h"
#include "tests/golden/relu_masks.h"

static json_t *golden;

static int open_golden(void **state)
{
    (void)state;
    golden = golden_read("tests/golden/nn/timm.json");
    return 0;
}

static int close_golden(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
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
        assert_int_equal(counted, (int64_t)golden_number(f, "parameters"));
        assert_int_equal(nn_model_parameters(&m), counted);
        assert_int_equal(p->n_views + bns, (int64_t)golden_number(f, "tensors"));
        layout_digest(p, hex);
        assert_string_equal(hex, json_string_value(json_object_get(f, "layout")));
        params_destroy(p);
    }
}

static void logits_are_timms(void **state)
{
    const json_t *cases = json_object_get(golden, "inference");

    (void)state;
    assert_int_equal(json_array_size(cases), 4);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        bool large = golden_number(c, "width") > 16;
        double d = golden_net_logits(c, "cpu", DT_F32);

        if (!(d < 1e-5)) {
            fail_msg("%s: relative distance %.2g", golden_name(c), d);
        }
        assert_true(large || golden_net_logits(c, "ref", DT_F32) < 1e-5);
        assert_true(golden_net_logits(c, "cpu", DT_BF16) < 3e-2);
    }
}

static void below(const json_t *c, const char *what, const struct golden_worst *w, double tolerance)
{
    if (!(w->distance < tolerance)) {
        fail_msg("%s: %s %s: relative distance %.2g, expected below %.2g", golden_name(c), what,
                 w->name, w->distance, tolerance);
    }
}

/* In f64 the definition is torch's to 1e-8: what is left is no tolerance's to hide. */
static void gradients_in_f64_are_torchs_to_1e_8(void **state)
{
    const json_t *cases = json_object_get(golden, "gradients");

    (void)state;
    assert_int_equal(json_array_size(cases), 2);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        struct golden_gradients g = golden_net_gradients(c, "ref", DT_F64);

        assert_true(g.loss < 1e-7);
        below(c, "gradient", &g.grads, 1e-8);
        below(c, "statistics", &g.stats, 1e-7);
    }
}

/* In f32 too, to what rounding leaves, once no ReLU near 0 falls to the other side: f64's masks, which
 * are torch's, are dictated. */
static void gradients_in_f32_are_torchs_to_5e_5_with_its_relu_masks(void **state)
{
    const json_t *cases = json_object_get(golden, "gradients");

    (void)state;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        struct relu_masks masks = {0};
        struct golden_gradients g;

        relu_masks_now = &masks;
        (void)golden_net_gradients(c, "ref", DT_F64);
        assert_true(masks.n > 10000);
        masks.dictated = true;
        g = golden_net_gradients(c, "cpu", DT_F32);
        relu_masks_now = NULL;
        assert_int_equal(masks.at, masks.n);
        assert_true(g.loss < 1e-6);
        below(c, "gradient", &g.grads, 5e-5);
        below(c, "statistics", &g.stats, 1e-5);
        relu_masks_release(&masks);
    }
}

static void f64_is_refused_where_it_is_not_computed(void **state)
{
    struct nn_model m = {nn_family_find("resnetrs11_w16"), 1, 5};
    struct net_config c = {
        .model = m, .batch = 2, .size = 16, .type = DT_F64, .training = true, .std = {1, 1, 1}};
    struct device *dev = NULL;
    struct net *net = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(device_create("cpu", 1, &dev, &e), RC_OK);
    assert_int_equal(net_create(dev, &c, &net, &e), RC_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "f64 is computed by ref alone"));
    device_destroy(dev);
    e = (struct err){0};
    c.training = false;
    assert_int_equal(device_create("ref", 1, &dev, &e), RC_OK);
    assert_int_equal(net_create(dev, &c, &net, &e), RC_INVAL);
    assert_string_equal(e.msg, "network resnetrs11_w16: type f64 (f32 or bf16 expected)");
    device_destroy(dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_seven_depths_have_timms_tensors),
        cmocka_unit_test(logits_are_timms),
        cmocka_unit_test(gradients_in_f64_are_torchs_to_1e_8),
        cmocka_unit_test(gradients_in_f32_are_torchs_to_5e_5_with_its_relu_masks),
        cmocka_unit_test(f64_is_refused_where_it_is_not_computed),
    };

    return cmocka_run_group_tests(tests, open_golden, close_golden);
}

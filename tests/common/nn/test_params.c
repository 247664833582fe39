/* The flat layout, initialisation and the family table: params.c, nn_family.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/nn/params.h"

static struct params *create(const char *family, int channels, int classes)
{
    struct nn_model m = {nn_family_find(family), channels, classes};
    struct params *p = NULL;
    struct err e = {0};

    assert_int_equal(params_create(&m, &p, &e), RC_OK);
    return p;
}

static void regions_follow_each_other_and_views_are_aligned(void **state)
{
    struct params *p = create("resnetrs14_w32", 3, 10);
    const size_t from[] = {
        [PARAM_WEIGHT] = 0,         [PARAM_BIAS] = p->n_decayed,   [PARAM_GAMMA] = p->n_biased,
        [PARAM_BETA] = p->n_biased, [PARAM_MEAN] = p->n_trainable, [PARAM_VAR] = p->n_trainable};
    const size_t to[] = {
        [PARAM_WEIGHT] = p->n_decayed, [PARAM_BIAS] = p->n_biased, [PARAM_GAMMA] = p->n_trainable,
        [PARAM_BETA] = p->n_trainable, [PARAM_MEAN] = p->n_total,  [PARAM_VAR] = p->n_total};

    (void)state;
    for (int i = 0; i < p->n_views; i++) {
        const struct param_view *v = &p->views[i];

        assert_int_equal(v->offset % 16, 0);
        assert_true(v->offset >= from[v->kind] && v->offset + v->n <= to[v->kind]);
        for (int j = 0; j < i; j++) {
            const struct param_view *u = &p->views[j];

            assert_true(v->offset >= u->offset + u->n || u->offset >= v->offset + v->n);
        }
    }
    assert_ptr_equal(params_find(p, p->views[3].name), &p->views[3]);
    assert_null(params_find(p, "fc"));
    params_destroy(p);
}

static double std_of(const struct params *p, const float *w, const char *name)
{
    const struct param_view *v = params_find(p, name);
    double sum = 0;

    assert_non_null(v);
    for (size_t i = 0; i < v->n; i++) {
        sum += (double)w[v->offset + i] * (double)w[v->offset + i];
    }
    return sqrt(sum / (double)v->n);
}

static void initialisation_is_timms(void **state)
{
    struct params *p = create("resnetrs14_w32", 3, 100);
    float *a = params_buffer(p);
    float *b = params_buffer(p);

    (void)state;
    params_init(p, 1, 0.01, a);
    params_init(p, 1, 0.01, b);
    assert_memory_equal(a, b, p->n_total * sizeof *a);
    params_init(p, 2, 0.01, b);
    assert_memory_not_equal(a, b, p->n_total * sizeof *a);
    /* fan-out: 2 / (32 * 9), 2 / 512 */
    assert_true(fabs(std_of(p, a, "layer1.0.conv2.weight") / sqrt(2.0 / 288) - 1) < 0.03);
    assert_true(fabs(std_of(p, a, "layer3.0.conv3.weight") / sqrt(2.0 / 512) - 1) < 0.03);
    assert_true(fabs(std_of(p, a, "fc.weight") / 0.01 - 1) < 0.03);
    assert_true(std_of(p, a, "layer2.0.bn3.weight") == 0);
    assert_true(std_of(p, a, "layer2.0.bn2.weight") == 1);
    assert_true(std_of(p, a, "layer2.0.downsample.2.weight") == 1);
    assert_true(std_of(p, a, "layer2.0.bn3.running_var") == 1);
    assert_true(std_of(p, a, "layer2.0.bn3.running_mean") == 0);
    assert_true(std_of(p, a, "layer2.0.se.fc1.bias") == 0);
    mem_free(a);
    mem_free(b);
    params_destroy(p);
}

static void a_model_that_cannot_be_is_named(void **state)
{
    struct nn_model m = {nn_family_find("resnetrs50"), 2, 10};
    struct params *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(params_create(&m, &p, &e), RC_INVAL);
    assert_string_equal(e.msg, "model resnetrs50: 2 input channels (1 or 3 expected)");
    e = (struct err){0};
    m.in_channels = 3;
    m.classes = 0;
    assert_int_equal(params_create(&m, &p, &e), RC_INVAL);
    assert_string_equal(e.msg, "model resnetrs50: 0 classes (1 to 65536 expected)");
    assert_null(nn_family_find("resnetrs51"));
    assert_null(nn_family_at(-1));
}

static void the_cost_is_timms(void **state)
{
    /* Multiply-adds in 1e9 (timm-results: its column GMACs counts as here, to 1 %: it counts more than convolutions). */
    static const struct {
        const char *name;
        int size;
        double macs;
    } known[] = {{"resnetrs50", 160, 2.29},   {"resnetrs50", 224, 4.48},
                 {"resnetrs101", 192, 6.04},  {"resnetrs152", 256, 15.59},
                 {"resnetrs200", 256, 20.18}, {"resnetrs270", 256, 27.06},
                 {"resnetrs350", 288, 43.67}, {"resnetrs420", 320, 64.2}};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct nn_model m = {nn_family_find(known[i].name), 3, 1000};
        double macs = nn_model_macs(&m, known[i].size) / 1e9;

        if (fabs(macs / known[i].macs - 1) > 0.01) {
            fail_msg("%s at %d: %.3f GMAC, expected %.3f", known[i].name, known[i].size, macs,
                     known[i].macs);
        }
    }
}

static void the_demos_member_has_the_recipes_parameters(void **state)
{
    struct nn_model m = {nn_family_find("resnetrs11_w16"), 1, 10};

    (void)state;
    assert_int_equal(nn_model_parameters(&m), 173258);
    assert_int_equal(nn_family_features(m.family), 256);
    assert_int_equal(nn_family_blocks(m.family), 3);
    /* 0.0095 GFLOP an image */
    assert_true(fabs(2 * nn_model_macs(&m, 28) / 0.0095e9 - 1) < 0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_follow_each_other_and_views_are_aligned),
        cmocka_unit_test(initialisation_is_timms),
        cmocka_unit_test(a_model_that_cannot_be_is_named),
        cmocka_unit_test(the_cost_is_timms),
        cmocka_unit_test(the_demos_member_has_the_recipes_parameters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

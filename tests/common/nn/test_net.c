/* The executable network: sizes, cpu against ref, gradients against finite differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/nn/net_impl.h"

enum { BATCH = 4, SIZE = 12, CLASSES = 5 };

struct fixture {
    struct device *dev;
    struct net *net;
    float *weights, *grads;
    uint8_t pixels[BATCH * SIZE * SIZE];
    float target[BATCH * CLASSES], weight[BATCH], loss[BATCH], keep[8 * BATCH];
    struct net_targets t;
};

static void draw(struct rng *r, const char *what)
{
    struct key128 key;

    hash_key(what, strlen(what), &key);
    rng_init(r, 1, RNG_TEST, 0, &key, 0);
}

/* Every parameter away from its special initial value, so that each path carries a gradient. */
static void perturb(const struct params *p, float *w)
{
    struct rng r;

    draw(&r, "weights");
    for (int v = 0; v < p->n_views; v++) {
        for (size_t i = 0; i < p->views[v].n; i++) {
            float *x = &w[p->views[v].offset + i];

            *x += (float)(0.1 * rng_normal(&r));
            if (p->views[v].kind == PARAM_GAMMA) {
                *x = 0.5f + fabsf(*x);
            }
        }
    }
}

static void make(struct fixture *f, const char *backend, bool training, enum dtype type)
{
    struct net_config c = {.batch = BATCH, .size = SIZE, .type = type, .training = training};
    struct rng r;
    struct err e = {0};

    memset(f, 0, sizeof *f);
    c.model = (struct nn_model){nn_family_find("resnetrs11_w16"), 1, CLASSES};
    c.with_keep = training;
    for (int i = 0; i < 3; i++) {
        c.mean[i] = 0.3f;
        c.std[i] = 0.35f;
    }
    assert_int_equal(device_create(backend, 1, &f->dev, &e), RC_OK);
    assert_int_equal(net_create(f->dev, &c, &f->net, &e), RC_OK);
    f->weights = params_buffer(net_params(f->net));
    f->grads = params_buffer(net_params(f->net));
    params_init(net_params(f->net), 7, 0.05, f->weights);
    perturb(net_params(f->net), f->weights);
    draw(&r, "pixels");
    for (size_t i = 0; i < sizeof f->pixels; i++) {
        f->pixels[i] = (uint8_t)rng_below(&r, 256);
    }
    for (int i = 0; i < BATCH; i++) {
        f->weight[i] = 1;
        f->target[i * CLASSES + i] = 0.9f;
        f->target[i * CLASSES + (i + 1) % CLASSES] = 0.1f;
    }
    for (int i = 0; i < 3 * BATCH; i++) {
        f->keep[i] = i % 5 == 1 ? 0 : 1.25f;
    }
    f->t = (struct net_targets){f->target, f->weight, f->keep, NULL};
    if (training) {
        net_bind(f->net, f->weights, f->grads); /* both backends compute in the host's memory */
    }
}

static void done(struct fixture *f)
{
    net_destroy(f->net);
    device_destroy(f->dev);
    mem_free(f->weights);
    mem_free(f->grads);
}

static double run(struct fixture *f)
{
    double sum = 0;
    struct err e = {0};

    memset(f->grads, 0, net_params(f->net)->n_total * sizeof *f->grads);
    assert_int_equal(net_refresh(f->net, &e), RC_OK);
    assert_int_equal(net_train(f->net, f->pixels, &f->t, f->loss, NULL, &e), RC_OK);
    for (int i = 0; i < BATCH; i++) {
        sum += (double)f->loss[i];
    }
    return sum;
}

static double relative(const float *a, const float *b, size_t n)
{
    double d = 0;
    double s = 0;

    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        s += (double)b[i] * (double)b[i];
    }
    return sqrt(d / (s + 1e-30));
}

static void every_gradient_is_the_same_on_cpu_and_ref(void **state)
{
    struct fixture a;
    struct fixture b;
    double la = 0;
    double lb = 0;

    (void)state;
    make(&a, "cpu", true, DT_F32);
    make(&b, "ref", true, DT_F32);
    la = run(&a);
    lb = run(&b);
    assert_true(fabs(la - lb) < 1e-5 * lb);
    for (int v = 0; v < net_params(a.net)->n_views; v++) {
        const struct param_view *view = &net_params(a.net)->views[v];
        double d = relative(a.grads + view->offset, b.grads + view->offset, view->n);

        if (!(d < 1e-3)) {
            print_error("%s: relative difference %g\n", view->name, d);
        }
        assert_true(d < 1e-3);
    }
    done(&a);
    done(&b);
}

static void gradients_agree_with_finite_differences(void **state)
{
    struct fixture f;
    const struct params *p = NULL;
    float *grads = NULL;
    struct rng r;

    (void)state;
    make(&f, "ref", true, DT_F32);
    p = net_params(f.net);
    grads = params_buffer(p);
    (void)run(&f);
    memcpy(grads, f.grads, p->n_total * sizeof *grads);
    draw(&r, "directions");
    for (int v = 0; v < p->n_views; v++) {
        const struct param_view *view = &p->views[v];
        float saved[65536];
        double analytic = 0;
        double numeric = 0;
        double norm = 0;
        double h = 0;

        if (view->kind == PARAM_MEAN || view->kind == PARAM_VAR) {
            continue;
        }
        /* along the gradient itself: its length is the derivative */
        memcpy(saved, f.weights + view->offset, view->n * sizeof *saved);
        for (size_t i = 0; i < view->n; i++) {
            norm += (double)grads[view->offset + i] * (double)grads[view->offset + i];
        }
        norm = sqrt(norm);
        analytic = norm;
        h = 1e-3 / fmax(1, norm);
        for (int sign = -1; sign <= 1; sign += 2) {
            for (size_t i = 0; i < view->n; i++) {
                f.weights[view->offset + i] =
                    saved[i] + (float)(sign * h * (double)grads[view->offset + i] / norm);
            }
            numeric += sign * run(&f) / (2 * h);
        }
        memcpy(f.weights + view->offset, saved, view->n * sizeof *saved);
        if (!(fabs(numeric - analytic) < 0.03 * analytic + 2e-3)) {
            print_error("%s: %g by the network, %g by differences\n", view->name, analytic,
                        numeric);
        }
        assert_true(fabs(numeric - analytic) < 0.03 * analytic + 2e-3);
    }
    mem_free(grads);
    done(&f);
}

static void folding_bn_gives_the_running_statistics_forward(void **state)
{
    struct fixture a;
    struct fixture b;
    float la[BATCH * CLASSES];
    float lb[BATCH * CLASSES];
    struct err e = {0};

    (void)state;
    make(&a, "cpu", false, DT_F32);
    make(&b, "ref", false, DT_F32);
    for (int v = 0; v < net_params(a.net)->n_views; v++) {
        const struct param_view *view = &net_params(a.net)->views[v];

        for (size_t i = 0; view->kind == PARAM_VAR && i < view->n; i++) {
            a.weights[view->offset + i] = 0.5f + fabsf(a.weights[view->offset + i]);
        }
    }
    assert_int_equal(net_load(a.net, a.weights, &e), RC_OK);
    assert_int_equal(net_load(b.net, a.weights, &e), RC_OK);
    assert_int_equal(net_infer(a.net, a.pixels, la, &e), RC_OK);
    assert_int_equal(net_infer(b.net, a.pixels, lb, &e), RC_OK);
    assert_true(relative(la, lb, BATCH * CLASSES) < 1e-5);
    done(&a);
    done(&b);
}

static void bf16_logits_stay_near_f32(void **state)
{
    struct fixture a;
    struct fixture b;
    float la[BATCH * CLASSES];
    float lb[BATCH * CLASSES];
    int rounded = 0;
    struct err e = {0};

    (void)state;
    make(&a, "cpu", false, DT_BF16);
    make(&b, "cpu", false, DT_F32);
    assert_int_equal(net_load(a.net, b.weights, &e), RC_OK);
    assert_int_equal(net_load(b.net, b.weights, &e), RC_OK);
    assert_int_equal(net_infer(a.net, b.pixels, la, &e), RC_OK);
    assert_int_equal(net_infer(b.net, b.pixels, lb, &e), RC_OK);
    assert_true(relative(la, lb, BATCH * CLASSES) < 3e-2);
    assert_true(relative(la, lb, BATCH * CLASSES) > 0);
    for (int i = 0; i < BATCH * CLASSES; i++) {
        rounded += bf16_to_f32(bf16_from_f32(la[i])) == la[i];
    }
    assert_true(rounded < BATCH * CLASSES / 4); /* the head gives them in f32 */
    done(&a);
    done(&b);
}

static void a_steady_step_allocates_nothing(void **state)
{
    struct fixture f;
    uint64_t before = 0;

    (void)state;
    make(&f, "cpu", true, DT_F32);
    (void)run(&f);
    before = mem_count();
    (void)run(&f);
    assert_int_equal(mem_count(), before);
    done(&f);
}

static void the_memory_plan_is_near_its_bound(void **state)
{
    struct fixture f;
    struct net_memory m;

    (void)state;
    make(&f, "cpu", true, DT_F32);
    net_memory(f.net, &m);
    assert_true(m.activations >= m.lower_bound);
    assert_true((double)m.activations <= 1.1 * (double)m.lower_bound);
    done(&f);
}

/* Training and inference of a network whose device lacks fused bias and ReLU. */
static void parts_give_what_fused_operations_give(void **state)
{
    for (int training = 0; training < 2; training++) {
        struct fixture f;
        struct net *parts = NULL;
        struct net *fused;
        float logits[2][BATCH * CLASSES];
        float *grads;
        struct err e = {0};

        (void)state;
        make(&f, "cpu", training, DT_F32);
        fused = f.net;
        assert_int_equal(net_create_with(f.dev, &fused->config, false, false, &parts, &e), RC_OK);
        assert_true(net_plans(parts) > net_plans(fused));
        if (training) {
            grads = params_buffer(net_params(fused));
            (void)run(&f);
            memcpy(grads, f.grads, net_params(fused)->n_total * sizeof *grads);
            f.net = parts;
            net_bind(parts, f.weights, f.grads);
            (void)run(&f);
            assert_true(relative(f.grads, grads, net_params(fused)->n_total) < 1e-5);
            f.net = fused;
            mem_free(grads);
        } else {
            assert_int_equal(net_load(fused, f.weights, &e), RC_OK);
            assert_int_equal(net_load(parts, f.weights, &e), RC_OK);
            assert_int_equal(net_infer(fused, f.pixels, logits[0], &e), RC_OK);
            assert_int_equal(net_infer(parts, f.pixels, logits[1], &e), RC_OK);
            assert_true(relative(logits[0], logits[1], BATCH * CLASSES) < 1e-5);
        }
        net_destroy(parts);
        done(&f);
    }
}

struct buckets {
    size_t from[16], to[16];
    int n;
};

static enum rc note_bucket(void *ctx, size_t from, size_t to, struct err *e)
{
    struct buckets *b = ctx;

    (void)e;
    assert_true(b->n < 16);
    b->from[b->n] = from;
    b->to[b->n++] = to;
    return RC_OK;
}

static void buckets_cover_all_gradients_once_and_run_or_not_are_the_same(void **state)
{
    struct fixture f;
    struct buckets ran = {.n = 0};
    struct buckets flushed = {.n = 0};
    const struct params *p;
    struct err e = {0};

    (void)state;
    make(&f, "cpu", true, DT_F32);
    p = net_params(f.net);
    net_on_bucket(f.net, note_bucket, &ran, 20000);
    (void)run(&f);
    net_on_bucket(f.net, note_bucket, &flushed, 20000);
    assert_int_equal(net_flush_buckets(f.net, &e), RC_OK);
    assert_memory_equal(&ran, &flushed, sizeof ran);
    assert_true(ran.n > 3);
    assert_int_equal(ran.to[0], p->n_decayed);
    for (int i = 1; i < ran.n - 1; i++) {
        assert_int_equal(ran.to[i], ran.from[i - 1]); /* from the last layer to the first */
    }
    assert_int_equal(ran.from[ran.n - 2], 0);
    assert_int_equal(ran.from[ran.n - 1], p->n_decayed);
    assert_int_equal(ran.to[ran.n - 1], p->n_total);
    done(&f);
}

struct watched {
    struct fixture *f;
    float copy[200000];
};

static enum rc copy_bucket(void *ctx, size_t from, size_t to, struct err *e)
{
    struct watched *w = ctx;

    enum rc rc = device_sync(w->f->dev, NULL, e); /* it is complete once what is queued has run */

    memcpy(w->copy + from, w->f->grads + from, (to - from) * sizeof(float));
    return rc;
}

static void a_bucket_is_called_for_when_it_is_complete(void **state)
{
    static struct watched w;
    struct fixture f;

    (void)state;
    make(&f, "cpu", true, DT_F32);
    w.f = &f;
    assert_true(net_params(f.net)->n_total <= sizeof w.copy / sizeof w.copy[0]);
    net_on_bucket(f.net, copy_bucket, &w, 1);
    (void)run(&f);
    assert_memory_equal(w.copy, f.grads, net_params(f.net)->n_total * sizeof(float));
    done(&f);
}

static void statistics_are_the_batchs_mean_and_unbiased_variance(void **state)
{
    struct fixture f;
    const struct params *p;
    const struct param_view *mean;
    const struct param_view *var;
    double x[BATCH * SIZE * SIZE];
    double sum = 0;
    double squares = 0;
    int n = BATCH * SIZE * SIZE;

    (void)state;
    make(&f, "ref", true, DT_F32);
    p = net_params(f.net);
    /* The first convolution as identity on channel 0: its output is the normalised pixels. */
    memset(f.weights, 0, params_find(p, "conv1.0.weight")->n * sizeof(float));
    f.weights[params_find(p, "conv1.0.weight")->offset + 4] = 1;
    (void)run(&f);
    for (int i = 0; i < n; i++) {
        x[i] = ((double)f.pixels[i] / 255 - (double)0.3f) / (double)0.35f;
        sum += x[i];
    }
    for (int i = 0; i < n; i++) {
        squares += (x[i] - sum / n) * (x[i] - sum / n);
    }
    mean = params_find(p, "conv1.1.running_mean");
    var = params_find(p, "conv1.1.running_var");
    assert_true(fabs((double)f.grads[mean->offset] - sum / n) < 1e-6);
    assert_true(fabs((double)f.grads[var->offset] - squares / (n - 1)) < 1e-6);
    done(&f);
}

static void what_is_not_finite_is_named(void **state)
{
    struct fixture f;
    const struct params *p;

    (void)state;
    make(&f, "ref", true, DT_F32);
    p = net_params(f.net);
    memset(f.grads, 0, p->n_total * sizeof *f.grads);
    assert_null(net_find_nonfinite(f.net, f.grads));
    f.grads[params_find(p, "layer1.0.conv1.weight")->offset] = NAN;
    f.grads[params_find(p, "layer2.0.conv1.weight")->offset] = INFINITY;
    assert_string_equal(net_find_nonfinite(f.net, f.grads), "layer2.0.conv1.weight");
    f.grads[params_find(p, "layer3.0.bn2.running_var")->offset] = NAN;
    f.grads[params_find(p, "layer2.0.bn2.running_mean")->offset] = NAN;
    assert_string_equal(net_find_nonfinite(f.net, f.grads), "layer2.0.bn2.running_mean");
    done(&f);
}

static void a_config_that_cannot_be_is_named(void **state)
{
    struct device *dev = NULL;
    struct net *net = NULL;
    struct err e = {0};
    struct net_config c = {.model = {nn_family_find("resnetrs11_w16"), 1, 10},
                           .batch = 1,
                           .size = 7,
                           .type = DT_F32,
                           .std = {1}};

    (void)state;
    assert_int_equal(device_create("ref", 1, &dev, &e), RC_OK);
    assert_int_equal(net_create(dev, &c, &net, &e), RC_INVAL);
    assert_string_equal(e.msg, "network resnetrs11_w16: size 7 px is outside 8 to 4096");
    e = (struct err){0};
    c.size = 8;
    c.training = true;
    assert_int_equal(net_create(dev, &c, &net, &e), RC_INVAL);
    assert_non_null(strstr(e.msg, "batch 1 at 8 px leaves one value a channel"));
    e = (struct err){0};
    c.type = DT_U8;
    c.batch = 2;
    assert_int_equal(net_create(dev, &c, &net, &e), RC_INVAL);
    assert_string_equal(e.msg, "network resnetrs11_w16: type u8 (f32 or bf16 expected)");
    device_destroy(dev);
}

static void an_image_has_the_same_logits_in_any_batch(void **state)
{
    struct fixture f;
    struct net *one = NULL;
    struct net_config c;
    struct err e = {0};
    float all[BATCH * CLASSES];
    float single[CLASSES];

    (void)state;
    make(&f, "cpu", false, DT_F32);
    c = f.net->config;
    c.batch = 1;
    assert_int_equal(net_create(f.dev, &c, &one, &e), RC_OK);
    assert_int_equal(net_load(f.net, f.weights, &e), RC_OK);
    assert_int_equal(net_load(one, f.weights, &e), RC_OK);
    assert_int_equal(net_infer(f.net, f.pixels, all, &e), RC_OK);
    for (int i = 0; i < BATCH; i++) {
        assert_int_equal(net_infer(one, f.pixels + i * SIZE * SIZE, single, &e), RC_OK);
        assert_memory_equal(single, all + i * CLASSES, sizeof single);
    }
    net_destroy(one);
    done(&f);
}

static void profiled_plans_have_names_and_times(void **state)
{
    struct fixture f;
    double seconds = 0;
    bool named = false;

    (void)state;
    make(&f, "cpu", true, DT_F32);
    net_profile(f.net, true);
    (void)run(&f);
    for (int i = 0; i < net_plans(f.net); i++) {
        seconds += net_plan_seconds(f.net, i);
        named = named || strstr(net_plan_describe(f.net, i), "layer2.0.conv2 dw: ") != NULL;
        assert_null(strstr(net_plan_describe(f.net, i), "ref")); /* nothing runs plain loops */
    }
    assert_true(seconds > 0 && named);
    assert_true(net_flops(f.net) > 3 * 2 * nn_model_macs(&f.net->config.model, SIZE) * BATCH * 0.9);
    done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_gradient_is_the_same_on_cpu_and_ref),
        cmocka_unit_test(gradients_agree_with_finite_differences),
        cmocka_unit_test(folding_bn_gives_the_running_statistics_forward),
        cmocka_unit_test(bf16_logits_stay_near_f32),
        cmocka_unit_test(a_steady_step_allocates_nothing),
        cmocka_unit_test(the_memory_plan_is_near_its_bound),
        cmocka_unit_test(parts_give_what_fused_operations_give),
        cmocka_unit_test(buckets_cover_all_gradients_once_and_run_or_not_are_the_same),
        cmocka_unit_test(a_bucket_is_called_for_when_it_is_complete),
        cmocka_unit_test(statistics_are_the_batchs_mean_and_unbiased_variance),
        cmocka_unit_test(what_is_not_finite_is_named),
        cmocka_unit_test(a_config_that_cannot_be_is_named),
        cmocka_unit_test(an_image_has_the_same_logits_in_any_batch),
        cmocka_unit_test(profiled_plans_have_names_and_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

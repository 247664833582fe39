/* Model files and checkpoints: model.c, checkpoint.c. */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/train/checkpoint.h"
#include "common/train/safetensors.h"
#include "tests/common/train/train_fixture.h"

static char dir[256];
static struct coll *self;

static int start(void **state)
{
    const char *tmp = getenv("TMPDIR");
    struct err e = {0};

    (void)state;
    snprintf(dir, sizeof dir, "%s/ckpt-XXXXXX", tmp != NULL ? tmp : "/tmp");
    return mkdtemp(dir) == NULL || coll_self_create(&self, &e) != RC_OK;
}

static int stop(void **state)
{
    DIR *d = opendir(dir);

    (void)state;
    coll_destroy(self);
    for (const struct dirent *f = readdir(d); f != NULL; f = readdir(d)) {
        (void)unlinkat(dirfd(d), f->d_name, 0);
    }
    return closedir(d) != 0 || rmdir(dir) != 0;
}

static const char *path_of(const char *name)
{
    static char path[320];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static char *class_names[FIX_CLASSES] = {(char[]){"a"}, (char[]){"b \"c\""}, (char[]){"\u00e9"},
                                         (char[]){"d"}, (char[]){"e"}};

static const struct model_info info = {.family = "resnetrs11_w16",
                                       .in_channels = 1,
                                       .classes = FIX_CLASSES,
                                       .class_names = class_names,
                                       .train_size = FIX_SIZE,
                                       .crop_pct = 0.875,
                                       .mean = {0.4f},
                                       .std = {0.3f},
                                       .note = "a test"};

static void must_save_evaluated(const struct train_fixture *f, int keep, double top1)
{
    struct err e = {0};

    if (checkpoint_save(dir, f->trainer, &info, keep, top1, "run-1", &e) != RC_OK) {
        fail_msg("%s", e.msg);
    }
}

static void must_save(const struct train_fixture *f, int keep)
{
    must_save_evaluated(f, keep, -1);
}

static int64_t must_resume(const struct train_fixture *f)
{
    struct err e = {0};
    int64_t step = 0;

    if (checkpoint_resume(dir, f->trainer, "run-1", &step, &e) != RC_OK) {
        fail_msg("%s", e.msg);
    }
    return step;
}

static void steps(struct train_fixture *f, int n)
{
    struct trainer_stats s;

    for (int i = 0; i < n; i++) {
        fixture_must_step(f, &s);
    }
}

static void a_resumed_run_ends_with_the_same_bits(void **state)
{
    struct train_fixture a;
    struct train_fixture b;
    struct train_fixture c;
    const struct params *p;

    (void)state;
    fixture_config(&a);
    fixture_config(&b);
    fixture_config(&c);
    c.config.seed =
        a.config.seed; /* noise is keyed by seed, step and image: nothing else is saved */
    fixture_start(&a, self, 1);
    fixture_start(&b, self, 1);
    fixture_start(&c, self, 1);
    steps(&a, 10);
    steps(&b, 5);
    must_save(&b, 2);
    steps(&c, 1);
    assert_int_equal(must_resume(&c), 5);
    assert_int_equal(trainer_steps(c.trainer), 5);
    steps(&c, 5);
    p = trainer_params(a.trainer);
    assert_memory_equal(trainer_weights(a.trainer), trainer_weights(c.trainer),
                        p->n_total * sizeof(float));
    assert_memory_equal(trainer_ema(a.trainer), trainer_ema(c.trainer), p->n_total * sizeof(float));
    assert_memory_equal(trainer_momentum(a.trainer), trainer_momentum(c.trainer),
                        p->n_trainable * sizeof(float));
    fixture_stop(&a);
    fixture_stop(&b);
    fixture_stop(&c);
}

static void the_newest_pairs_are_kept(void **state)
{
    struct train_fixture f;
    struct err e = {0};
    int64_t step = 0;

    (void)state;
    fixture_config(&f);
    fixture_start(&f, self, 1);
    assert_int_equal(must_resume(&f), -1);
    for (int i = 0; i < 3; i++) {
        steps(&f, 1);
        must_save(&f, 2);
    }
    assert_false(fs_exists(path_of("model-00000001.safetensors")));
    assert_false(fs_exists(path_of("state-00000001.safetensors")));
    assert_true(fs_exists(path_of("model-00000002.safetensors")));
    assert_true(fs_exists(path_of("state-00000003.safetensors")));
    assert_int_equal(must_resume(&f), 3);
    assert_int_equal(checkpoint_resume(dir, f.trainer, "run-2", &step, &e), RC_INVAL);
    assert_non_null(strstr(e.msg, "checkpoint.json' belongs to another run"));
    fixture_stop(&f);
}

/* One byte in the middle of a file is another. */
static void the_best_evaluation_is_kept_beside_the_newest(void **state)
{
    static const double top1[] = {30, 50, 40, -1, 50};
    struct train_fixture f;

    (void)state;
    fixture_config(&f);
    fixture_start(&f, self, 1);
    for (int i = 0; i < 5; i++) {
        steps(&f, 1);
        must_save_evaluated(&f, 1, top1[i]);
    }
    assert_false(fs_exists(path_of("model-00000001.safetensors")));
    assert_true(fs_exists(path_of("model-00000002.safetensors")));
    assert_true(fs_exists(path_of("state-00000002.safetensors")));
    assert_false(fs_exists(path_of("model-00000003.safetensors")));
    assert_false(fs_exists(path_of("model-00000004.safetensors")));
    assert_int_equal(must_resume(&f), 5);
    steps(&f, 1);
    must_save_evaluated(&f, 1, 60);
    assert_false(fs_exists(path_of("model-00000002.safetensors")));
    assert_int_equal(must_resume(&f), 6);
    fixture_stop(&f);
}

static void damage(const char *name)
{
    FILE *f = fopen(path_of(name), "r+b");

    assert_non_null(f);
    assert_int_equal(fseek(f, 5000, SEEK_SET), 0);
    assert_int_equal(fputc('?', f), '?');
    assert_int_equal(fclose(f), 0);
}

static void a_damaged_checkpoint_is_passed_over(void **state)
{
    struct train_fixture f;
    struct err e = {0};
    int64_t step = 0;

    (void)state;
    fixture_config(&f);
    fixture_start(&f, self, 1);
    for (int i = 0; i < 2; i++) {
        steps(&f, 1);
        must_save(&f, 2);
    }
    damage("state-00000002.safetensors");
    assert_int_equal(must_resume(&f), 1);
    damage("model-00000001.safetensors");
    assert_int_equal(checkpoint_resume(dir, f.trainer, "run-1", &step, &e), RC_CORRUPT);
    assert_non_null(strstr(e.msg, "model-00000001.safetensors' is not what was written"));
    fixture_stop(&f);
}

static void a_model_file_says_what_it_is(void **state)
{
    struct train_fixture f;
    struct model_info m;
    struct err e = {0};

    (void)state;
    fixture_config(&f);
    fixture_start(&f, self, 1);
    assert_int_equal(
        model_save(path_of("m"), trainer_params(f.trainer), trainer_ema(f.trainer), &info, &e),
        RC_OK);
    assert_int_equal(model_probe(path_of("m"), &m, &e), RC_OK);
    assert_string_equal(m.family, "resnetrs11_w16");
    assert_int_equal(m.in_channels, 1);
    assert_int_equal(m.classes, FIX_CLASSES);
    assert_string_equal(m.class_names[1], "b \"c\"");
    assert_string_equal(m.class_names[2], "\u00e9");
    assert_int_equal(m.train_size, FIX_SIZE);
    assert_true(m.crop_pct == 0.875 && m.mean[0] == 0.4f && m.std[0] == 0.3f);
    assert_string_equal(m.note, "a test");
    model_info_release(&m);
    fixture_stop(&f);
}

static void weights_come_back_as_they_were(void **state)
{
    struct train_fixture f;
    struct err e = {0};
    const struct params *p;
    struct st_file *file = NULL;
    const struct st_tensor *t;
    float *back;
    float first[2];

    (void)state;
    fixture_config(&f);
    fixture_start(&f, self, 1);
    p = trainer_params(f.trainer);
    back = params_buffer(p);
    assert_int_equal(model_save(path_of("m"), p, trainer_weights(f.trainer), &info, &e), RC_OK);
    assert_int_equal(model_load(path_of("m"), p, false, back, &e), RC_OK);
    assert_memory_equal(back, trainer_weights(f.trainer), p->n_total * sizeof(float));
    /* In the file: O,I,H,W, and BN's counters. */
    assert_int_equal(st_open(path_of("m"), &file, &e), RC_OK);
    t = st_find(file, "layer1.0.conv2.weight");
    assert_int_equal(t->dims, 4);
    assert_int_equal(t->shape[0], 16);
    assert_int_equal(t->shape[1], 16);
    assert_int_equal(t->shape[2], 3);
    memcpy(first, t->data, sizeof first);
    assert_true(first[1] == back[params_find(p, "layer1.0.conv2.weight")->offset + 16]);
    t = st_find(file, "layer3.0.bn3.num_batches_tracked");
    assert_true(t != NULL && t->type == ST_I64 && t->dims == 0);
    st_close(file);
    mem_free(back);
    fixture_stop(&f);
}

/* A model with other classes or channels wants this file. */
static enum rc load_into(int channels, int classes, const char *family, bool replace_head,
                         float *first_bias, struct err *e)
{
    struct nn_model m = {nn_family_find(family), channels, classes};
    struct params *p = NULL;
    float *b;
    enum rc rc;

    assert_int_equal(params_create(&m, &p, e), RC_OK);
    b = params_buffer(p);
    b[params_find(p, "fc.bias")->offset] = 42;
    rc = model_load(path_of("m"), p, replace_head, b, e);
    *first_bias = b[params_find(p, "fc.bias")->offset];
    mem_free(b);
    params_destroy(p);
    return rc;
}

static void what_does_not_fit_is_named(void **state)
{
    struct train_fixture f;
    struct err e = {0};
    float bias = 0;

    (void)state;
    fixture_config(&f);
    fixture_start(&f, self, 1);
    assert_int_equal(
        model_save(path_of("m"), trainer_params(f.trainer), trainer_ema(f.trainer), &info, &e),
        RC_OK);
    assert_int_equal(load_into(1, 10, "resnetrs11_w16", false, &bias, &e), RC_INVAL);
    assert_non_null(strstr(e.msg, "has 5 classes where 10 are needed"));
    e = (struct err){0};
    assert_int_equal(load_into(1, 10, "resnetrs11_w16", true, &bias, &e), RC_OK);
    assert_true(bias == 42);
    assert_int_equal(load_into(3, 5, "resnetrs11_w16", false, &bias, &e), RC_INVAL);
    assert_non_null(strstr(e.msg, "'conv1.0.weight' has shape 16x1x3x3 where the model has "
                                  "16x3x3x3"));
    e = (struct err){0};
    assert_int_equal(load_into(1, 5, "resnetrs20_w32", false, &bias, &e), RC_INVAL);
    assert_non_null(strstr(e.msg, "missing ('layer1.1.conv1.weight'"));
    fixture_stop(&f);
}

static void another_network_is_not_taken_for_one_of_the_family(void **state)
{
    static const float x[4];
    const struct st_tensor t = {"conv1.weight", ST_F32, 1, {4}, x, sizeof x};
    struct model_info m;
    struct err e = {0};

    (void)state;
    assert_int_equal(st_write(path_of("m"), &t, 1, NULL, &e), RC_OK);
    assert_int_equal(model_probe(path_of("m"), &m, &e), RC_INVAL);
    assert_non_null(strstr(e.msg, "is not a ResNet-RS of this family"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_resumed_run_ends_with_the_same_bits, start, stop),
        cmocka_unit_test_setup_teardown(the_newest_pairs_are_kept, start, stop),
        cmocka_unit_test_setup_teardown(the_best_evaluation_is_kept_beside_the_newest, start, stop),
        cmocka_unit_test_setup_teardown(a_damaged_checkpoint_is_passed_over, start, stop),
        cmocka_unit_test_setup_teardown(a_model_file_says_what_it_is, start, stop),
        cmocka_unit_test_setup_teardown(weights_come_back_as_they_were, start, stop),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_named, start, stop),
        cmocka_unit_test_setup_teardown(another_network_is_not_taken_for_one_of_the_family, start,
                                        stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

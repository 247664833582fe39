/* What stands in a micro-batch's rows and what their targets are. */
#include "common/base/mem.h"
#include "student/mix.h"
#include "tests/shards/label_help.h"

enum { LABELED = 4, UNLABELED = 8, MICRO = 2, STEPS = 3, CLASSES = HELP_CLASSES };

struct stage {
    struct train_config train;
    struct corpus *labeled, *unlabeled;
    struct label_store *labels;
    struct mix_config config;
    struct mix *mix;
    void *dir;
};

static int setup(void **state)
{
    struct stage *s = mem_calloc(1, sizeof *s);
    struct mix_config *c = s != NULL ? &s->config : NULL;
    char path[512];
    char labels[512];
    struct err e = {0};

    if (s == NULL || help_setup(&s->dir) != 0) {
        return -1;
    }
    assert_ok(opts_init(train_opts, &s->train, &e), e);
    help_corpus(help_path(path, s->dir, "train"), 40, CLASSES, 1 << 20);
    assert_ok(corpus_open(path, &s->labeled, &e), e);
    s->unlabeled = help_labeled(s->dir, 60, labels);
    assert_ok(label_store_open(labels, &s->labels, &e), e);
    *c = (struct mix_config){.train = &s->train,
                             .labeled = s->labeled,
                             .unlabeled = s->unlabeled,
                             .labels = s->labels,
                             .eval = {.size = 8, .channels = 1, .crop_pct = 1},
                             .rows = {.labeled = LABELED,
                                      .unlabeled = UNLABELED,
                                      .micro_batches = MICRO,
                                      .micro_labeled = LABELED / MICRO,
                                      .micro_unlabeled = UNLABELED / MICRO},
                             .classes = CLASSES,
                             .n_micro = MICRO,
                             .steps = STEPS,
                             .threads = 1};
    augment_default(&c->augment);
    c->augment.size = 8;
    c->augment.channels = 1;
    c->augment.layers = 0;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    mix_destroy(s->mix);
    label_store_close(s->labels);
    corpus_close(s->unlabeled);
    corpus_close(s->labeled);
    train_config_release(&s->train);
    (void)help_teardown(&s->dir);
    mem_free(s);
    return 0;
}

static struct trainer_batch first_batch(struct stage *s)
{
    struct trainer_batch b;
    struct err e = {0};

    assert_ok(mix_create(&s->config, &s->mix, &e), e);
    assert_ok(mix_next(s->mix, 0, 0, &b, &e), e);
    return b;
}

/* y (1 - s) + s/K: also the true class gets its share of s. */
static void expect_smoothed(const float *target, double smoothing)
{
    int ones = 0;

    for (int k = 0; k < CLASSES; k++) {
        bool one = (double)target[k] > 0.5;
        double wanted = (one ? 1 - smoothing : 0) + smoothing / CLASSES;

        ones += one;
        assert_float_equal(target[k], wanted, 1e-7);
    }
    assert_int_equal(ones, 1);
}

static void labeled_rows_are_smoothed_over_all_classes(void **state)
{
    struct stage *s = *state;
    struct trainer_batch b;

    b = first_batch(s);
    for (int i = 0; i < LABELED / MICRO; i++) {
        unsigned char pgm[128];
        struct key128 key;
        int cls = -1;

        expect_smoothed(b.target + i * CLASSES, 0.1);
        for (unsigned n = 0; n < 40 && cls < 0; n++) { /* image n is of class n % 8 */
            hash_key(pgm, help_pgm(n, pgm), &key);
            cls = memcmp(&key, &b.keys[i], sizeof key) == 0 ? (int)n % CLASSES : -1;
        }
        assert_true(cls >= 0 && (double)b.target[i * CLASSES + cls] > 0.5);
    }
}

static void soft_pseudo_labels_are_the_teachers_at_the_temperature_unsmoothed(void **state)
{
    struct stage *s = *state;
    struct trainer_batch b;

    s->train.temperature = 0.5;
    b = first_batch(s);
    for (int i = LABELED / MICRO; i < (LABELED + UNLABELED) / MICRO; i++) {
        struct help_label made;
        float wanted[CLASSES];

        help_label(&b.keys[i], &made);
        label_to_target(&made.label, CLASSES, 0.5, wanted);
        assert_memory_equal(b.target + i * CLASSES, wanted, sizeof wanted);
    }
}

static void hard_pseudo_labels_are_the_top_class_smoothed(void **state)
{
    struct stage *s = *state;
    struct trainer_batch b;

    s->train.hard = true;
    s->train.label_smoothing = 0.2;
    b = first_batch(s);
    for (int i = LABELED / MICRO; i < (LABELED + UNLABELED) / MICRO; i++) {
        struct help_label made;

        help_label(&b.keys[i], &made);
        expect_smoothed(b.target + i * CLASSES, 0.2);
        assert_true((double)b.target[i * CLASSES + made.cls[0]] > 0.5);
    }
}

static void unlabeled_rows_have_their_weight(void **state)
{
    struct stage *s = *state;
    struct trainer_batch b;

    s->train.unlabeled_weight = 0.25;
    b = first_batch(s);
    for (int i = 0; i < (LABELED + UNLABELED) / MICRO; i++) {
        assert_true(b.weight[i] == (i < LABELED / MICRO ? 1.0f : 0.25f));
    }
    assert_true(mix_norm(&s->train, &s->config.rows) == LABELED + 0.25 * UNLABELED);
    s->train.loss_norm = TRAIN_NORM_LABELED; /* Noisy Student's code: by the labeled rows alone */
    assert_true(mix_norm(&s->train, &s->config.rows) == LABELED);
}

/* The keys of all rows of all steps, as the ranks of a split see them, micro-batches in order. */
static void gather(struct stage *s, int ranks, struct key128 *keys)
{
    int rows = (LABELED + UNLABELED) / MICRO;

    for (int r = 0; r < ranks; r++) {
        struct mix *m = NULL;
        struct err e = {0};

        s->config.first_micro = MICRO * r / ranks;
        s->config.n_micro = MICRO / ranks;
        assert_ok(mix_create(&s->config, &m, &e), e);
        for (int step = 0; step < STEPS; step++) {
            for (int i = 0; i < s->config.n_micro; i++) {
                int at = (step * MICRO + s->config.first_micro + i) * rows;
                struct trainer_batch b;

                assert_ok(mix_next(m, step, i, &b, &e), e);
                memcpy(keys + at, b.keys, (size_t)rows * sizeof *keys);
            }
        }
        mix_destroy(m);
    }
}

static void any_number_of_ranks_sees_the_same_rows(void **state)
{
    struct stage *s = *state;
    struct key128 one[STEPS * (LABELED + UNLABELED)];
    struct key128 two[STEPS * (LABELED + UNLABELED)];

    gather(s, 1, one);
    gather(s, 2, two);
    assert_memory_equal(one, two, sizeof one);
}

static void a_resumed_mix_goes_on_where_it_was(void **state)
{
    struct stage *s = *state;
    struct key128 all[STEPS * (LABELED + UNLABELED)];
    struct trainer_batch b;
    struct err e = {0};

    gather(s, 1, all);
    s->config.first_step = 2;
    assert_ok(mix_create(&s->config, &s->mix, &e), e);
    assert_ok(mix_next(s->mix, 2, 0, &b, &e), e);
    assert_memory_equal(b.keys, all + 2 * (LABELED + UNLABELED),
                        (LABELED + UNLABELED) / MICRO * sizeof *all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(labeled_rows_are_smoothed_over_all_classes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            soft_pseudo_labels_are_the_teachers_at_the_temperature_unsmoothed, setup, teardown),
        cmocka_unit_test_setup_teardown(hard_pseudo_labels_are_the_top_class_smoothed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(unlabeled_rows_have_their_weight, setup, teardown),
        cmocka_unit_test_setup_teardown(any_number_of_ranks_sees_the_same_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(a_resumed_mix_goes_on_where_it_was, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

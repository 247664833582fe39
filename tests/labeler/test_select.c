/* Selection against brute force: exact with ties, balanced, reproducible. */
#include "tests/labeler/select_help.h"

#include <math.h>
#include <omp.h>

#include "labeler/select_impl.h"

enum { CLASSES = 5, SHARDS = 6, PER_SHARD = 300, N = SHARDS * PER_SHARD };

/* Few distinct confidences, so that there are ties everywhere; classes of uneven size. */
static void fill_tied(uint64_t i, struct made_label *out)
{
    uint64_t h = i * 0x9E3779B97F4A7C15u;

    out->confidence = (float)(h >> 40 & 31) / 31;
    out->cls = (uint16_t)(h >> 20 & 15);
    out->cls = out->cls < 8 ? 0 : out->cls < 12 ? 1 : out->cls < 14 ? 2 : out->cls < 15 ? 3 : 4;
}

static void fill_all_equal(uint64_t i, struct made_label *out)
{
    out->confidence = 1;
    out->cls = i % 3 == 0;
}

static void fill_smooth(uint64_t i, struct made_label *out)
{
    uint64_t h = (i + 1) * 0x9E3779B97F4A7C15u;

    out->confidence = (float)(h >> 40) * 0x1p-24f;
    out->cls = (uint16_t)(i % CLASSES);
}

static const struct made_store tied = {SHARDS, PER_SHARD, CLASSES, fill_tied};
static const struct made_store equal = {SHARDS, PER_SHARD, CLASSES, fill_all_equal};
static const struct made_store smooth = {SHARDS, PER_SHARD, CLASSES, fill_smooth};

static struct label_store *store_of(const struct made_store *m, const char *dir, const char *name,
                                    struct made_label *all)
{
    struct label_store *s = NULL;
    char path[512];
    struct err e = {0};

    made_write(m, help_path(path, dir, name), all);
    assert_ok(label_store_open(path, &s, &e), e);
    return s;
}

/* A confidence of 0 is that of a label that says nothing. */
static bool counts(const struct made_label *l, double min)
{
    return l->confidence > 0 && (double)l->confidence >= min;
}

/* Rank of label i in its class among those >= min: 0 is the best. */
static uint64_t rank_of(const struct made_label *all, int i, double min, uint64_t *eligible)
{
    uint64_t rank = 0;

    *eligible = 0;
    for (int j = 0; j < N; j++) {
        if (all[j].cls != all[i].cls || !counts(&all[j], min)) {
            continue;
        }
        (*eligible)++;
        rank += all[j].confidence > all[i].confidence ||
                (all[j].confidence == all[i].confidence &&
                 memcmp(&all[j].key, &all[i].key, sizeof all[i].key) < 0);
    }
    return rank;
}

/* Copies that the exact rule gives a label of this rank among n. */
static uint64_t copies_of(const struct made_label *l, uint64_t rank, uint64_t n,
                          const struct select_rule *rule)
{
    uint64_t want = rule->per_class;

    if (!counts(l, rule->min_confidence)) {
        return 0;
    }
    if (want == 0 || (n < want && !rule->duplicate)) {
        return 1;
    }
    return n >= want ? rank < want : want / n + (rank < want % n);
}

/* Copies of each label as selected. */
static void selected(const char *path, uint16_t copies[N])
{
    struct selection *s = NULL;
    uint64_t images = 0;
    struct err e = {0};

    memset(copies, 0, N * sizeof *copies);
    assert_ok(selection_open(path, &s, &e), e);
    for (int i = 0; i < SHARDS; i++) {
        const struct selection_entry *entries = NULL;
        uint64_t n = 0;
        uint64_t total = 0;

        assert_ok(selection_shard(s, i, &entries, &n, &total, &e), e);
        for (uint64_t p = 0; p < n; p++) {
            copies[i * PER_SHARD + (int)entries[p].position] = entries[p].copies;
        }
        images += n;
    }
    assert_int_equal(selection_info(s)->images, images);
    selection_close(s);
}

static void run(struct label_store *labels, const struct select_rule *rule, const char *path,
                struct select_class classes[CLASSES])
{
    struct selection_info info;
    struct err e = {0};

    assert_ok(select_run(labels, rule, path, classes, &info, &e), e);
}

static void the_exact_rule_equals_brute_force(void **state)
{
    static struct made_label all[N];
    static uint16_t copies[N];
    static uint64_t ranks[4][N];
    static uint64_t eligible[4][N];
    struct label_store *labels = store_of(&tied, *state, "labels", all);
    const uint64_t per_class[] = {0, 1, 7, 100, 101, 350, 1000, 2000, 10000};
    const double min[] = {0, 0.3, 10.0 / 31, 0.99};
    char path[512];

    (void)help_path(path, *state, "s");
    for (int n = 0; n < 4 * N; n++) {
        ranks[n % 4][n / 4] = rank_of(all, n / 4, min[n % 4], &eligible[n % 4][n / 4]);
    }
    for (int i = 0; i < 9; i++) {
        for (int j = 0; j < 8; j++) {
            struct select_rule rule = {SELECT_EXACT, min[j % 4], per_class[i], j < 4, 0, NULL};
            struct select_class classes[CLASSES];
            uint64_t images[CLASSES] = {0};
            uint64_t totals[CLASSES] = {0};

            run(labels, &rule, path, classes);
            selected(path, copies);
            for (int n = 0; n < N; n++) {
                assert_int_equal(copies[n],
                                 copies_of(&all[n], ranks[j % 4][n], eligible[j % 4][n], &rule));
                images[all[n].cls] += copies[n] > 0;
                totals[all[n].cls] += copies[n];
            }
            for (int k = 0; k < CLASSES; k++) {
                assert_int_equal(classes[k].images, images[k]);
                assert_int_equal(classes[k].total, totals[k]);
                if (rule.per_class > 0 && rule.duplicate && classes[k].eligible > 0) {
                    assert_int_equal(totals[k], rule.per_class); /* exactly */
                }
            }
        }
    }
    label_store_close(labels);
}

/* Lines found with next to no memory: the ranges of confidences, then of keys, are divided often. */
static void cuts_are_exact_however_little_is_held(void **state)
{
    static struct made_label all[N];
    const struct made_store *stores[] = {&tied, &equal, &smooth};
    const struct select_limits limits[] = {{16, 1}, {64, 3}, {1 << 16, 40}, {1 << 20, 1 << 20}};
    const uint64_t ranks[] = {0, 1, 2, 63, 200, 777, N};
    struct err e = {0};

    for (int s = 0; s < 3; s++) {
        static const char *const names[] = {"tied", "equal", "smooth"};
        struct label_store *labels = store_of(stores[s], *state, names[s], all);
        for (int i = 0; i < 28; i++) {
            struct select_scan scan;
            struct select_class classes[CLASSES];
            struct select_cut cuts[CLASSES] = {{0}};
            struct select_cuts *c = NULL;

            for (int k = 0; k < CLASSES; k++) {
                cuts[k].rank = ranks[i / 4] + (uint64_t)k;
            }
            assert_ok(select_scan_init(&scan, labels, NULL, &e), e);
            assert_ok(select_cuts_create(&scan, 0, &limits[i % 4], classes, &c, &e), e);
            assert_ok(select_cuts_find(c, cuts, &e), e);
            for (int shard = 0; shard < SHARDS; shard++) {
                struct select_shard r = {.scan = &scan, .i = shard};

                for (int p = 0; p < PER_SHARD; p += 7) {
                    int n = shard * PER_SHARD + p;
                    const struct select_cut *cut = &cuts[all[n].cls];
                    uint64_t eligible = 0;
                    uint32_t bits = 0;
                    bool above = false;

                    memcpy(&bits, &all[n].confidence, sizeof bits);
                    assert_ok(select_cut_above(cut, &r, (uint64_t)p, bits, &above, &e), e);
                    assert_int_equal(above, rank_of(all, n, 0, &eligible) < cut->rank);
                }
                label_reader_close(r.reader);
            }
            select_cuts_destroy(c);
            select_scan_release(&scan);
        }
        label_store_close(labels);
    }
}

static void the_bytes_do_not_depend_on_threads(void **state)
{
    struct label_store *labels = store_of(&tied, *state, "labels", NULL);
    struct select_class classes[CLASSES];
    struct digest first;
    struct digest d;
    char path[512];
    struct err e = {0};

    for (int flavor = 0; flavor < 2; flavor++) {
        for (int threads = 1; threads <= 4; threads++) {
            struct select_rule rule = {
                flavor == 0 ? SELECT_EXACT : SELECT_NOISYSTUDENT, 0.3, 123, true, 9, NULL};
            struct selection *s = NULL;

            omp_set_num_threads(threads);
            run(labels, &rule, help_path(path, *state, "s"), classes);
            assert_ok(selection_open(path, &s, &e), e);
            selection_digest(s, &d);
            selection_close(s);
            first = threads == 1 ? d : first;
            assert_memory_equal(&first, &d, sizeof d);
        }
    }
    label_store_close(labels);
}

static void noisystudent_walks_whole_per_cents_down(void **state)
{
    static struct made_label all[N];
    static uint16_t copies[N];
    struct label_store *labels = store_of(&smooth, *state, "labels", all);
    struct select_class classes[CLASSES];
    char path[512];

    (void)help_path(path, *state, "s");
    for (int per_class = 50; per_class <= 1650; per_class += 400) {
        struct select_rule rule = {SELECT_NOISYSTUDENT, 0.3, (uint64_t)per_class, true, 3, NULL};

        run(labels, &rule, path, classes);
        selected(path, copies);
        for (int k = 0; k < CLASSES; k++) {
            int at = 101;
            double total = 0;
            double sum = 0;
            double sum_expected = 0;

            while (at > 30 && total < per_class) {
                at--;
                for (int n = 0; n < N; n++) {
                    total += all[n].cls == k && (double)all[n].confidence >= at / 100.0 &&
                             (at == 100 || (double)all[n].confidence < (at + 1) / 100.0);
                }
            }
            assert_true(fabsf(classes[k].threshold - (float)at / 100) < 1e-6f);
            for (int n = 0; n < N; n++) {
                double expected = per_class / total;

                if (all[n].cls != k) {
                    continue;
                }
                if ((double)all[n].confidence < at / 100.0) {
                    assert_int_equal(copies[n], 0);
                    continue;
                }
                assert_true(copies[n] == floor(expected) || copies[n] == floor(expected) + 1);
                sum += copies[n];
                sum_expected += expected;
            }
            assert_true(fabs(sum - sum_expected) < 5 * sqrt(sum_expected));
        }
    }
    label_store_close(labels);
}

static void rules_that_cannot_be_are_refused(void **state)
{
    struct label_store *labels = store_of(&smooth, *state, "labels", NULL);
    struct select_rule rule = {SELECT_NOISYSTUDENT, 0.305, 10, true, 0, NULL};
    struct select_class classes[CLASSES];
    struct selection_info info;
    char path[512];
    struct err e = {0};

    (void)help_path(path, *state, "s");
    assert_int_equal(select_run(labels, &rule, path, classes, &info, &e), RC_INVAL);
    assert_says(e, "flavor noisystudent knows thresholds of whole per cents");
    err_clear(&e);
    rule = (struct select_rule){SELECT_EXACT, 1.5, 10, true, 0, NULL};
    assert_int_equal(select_run(labels, &rule, path, classes, &info, &e), RC_INVAL);
    assert_says(e, "a confidence of 1.5: expected 0 to 1");
    err_clear(&e);
    rule.min_confidence = 1;
    assert_int_equal(select_run(labels, &rule, path, classes, &info, &e), RC_INVAL);
    assert_says(e, "has a confidence of 1 or more");
    assert_false(fs_exists(path));
    label_store_close(labels);
}

static void fill_nonsense(uint64_t i, struct made_label *out)
{
    out->confidence = i == 1234 ? NAN : 0.5f;
    out->cls = 0;
}

static void a_confidence_that_is_none_names_the_shard(void **state)
{
    static const struct made_store bad = {SHARDS, PER_SHARD, CLASSES, fill_nonsense};
    struct label_store *labels = store_of(&bad, *state, "labels", NULL);
    struct select_rule rule = {SELECT_EXACT, 0.3, 10, true, 0, NULL};
    struct select_class classes[CLASSES];
    struct selection_info info;
    char path[512];
    struct err e = {0};

    (void)help_path(path, *state, "s");
    assert_int_equal(select_run(labels, &rule, path, classes, &info, &e), RC_CORRUPT);
    assert_says(e, "labels-000004.lmdb': a summary has confidence nan and class 0 of 5");
    label_store_close(labels);
}

int main(void)
{
#define CASE(f_) cmocka_unit_test_setup_teardown(f_, help_setup, help_teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_exact_rule_equals_brute_force),  CASE(cuts_are_exact_however_little_is_held),
        CASE(the_bytes_do_not_depend_on_threads), CASE(noisystudent_walks_whole_per_cents_down),
        CASE(rules_that_cannot_be_are_refused),   CASE(a_confidence_that_is_none_names_the_shard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

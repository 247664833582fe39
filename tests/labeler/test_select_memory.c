/* Ten million labels: what selection and the order of an epoch hold in memory (anonymous pages). */
#include "tests/labeler/select_help.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "labeler/select.h"
#include "shards/epoch_order.h"
#include "tests/sanitized.h"

enum { MANY_CLASSES = 1000, MANY_SHARDS = 10, MANY_PER_SHARD = 1000000 };

static void fill_many(uint64_t i, struct made_label *out)
{
    uint64_t h = (i + 1) * 0x9E3779B97F4A7C15u;

    out->confidence = sqrtf((float)(h >> 40) * 0x1p-24f);
    out->cls = (uint16_t)((h & 0xFFFFF) * (h >> 20 & 0xFFFFF) % MANY_CLASSES); /* uneven */
}

struct watch {
    atomic_bool stop;
    long peak_kb;
    pthread_t thread;
};

static long anonymous_kb(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long sum = 0;
    long kb = 0;

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "RssAnon: %ld", &kb) == 1 || sscanf(line, "RssShmem: %ld", &kb) == 1) {
            sum += kb;
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return sum;
}

static void *watch_memory(void *arg)
{
    struct watch *w = arg;
    struct timespec pause = {0, 2000000};

    while (!atomic_load(&w->stop)) {
        long kb = anonymous_kb();

        w->peak_kb = kb > w->peak_kb ? kb : w->peak_kb;
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

static void watch_start(struct watch *w)
{
    atomic_init(&w->stop, false);
    w->peak_kb = 0;
    assert_int_equal(pthread_create(&w->thread, NULL, watch_memory, w), 0);
}

static void watch_stop(struct watch *w, const char *what)
{
    atomic_store(&w->stop, true);
    assert_int_equal(pthread_join(w->thread, NULL), 0);
    print_message("%s: peak %ld MB anonymous\n", what, w->peak_kb / 1024);
    assert_true(w->peak_kb > 0 && w->peak_kb < 256 * 1024);
}

static void select_ten_million(const char *dir, const char *path)
{
    static const struct made_store many = {MANY_SHARDS, MANY_PER_SHARD, MANY_CLASSES, fill_many};
    struct select_rule rule = {SELECT_EXACT, 0.3, 9000, true, 0, NULL};
    static struct select_class classes[MANY_CLASSES];
    struct label_store *labels = NULL;
    struct selection_info info;
    struct watch w;
    struct err e = {0};

    made_write(&many, dir, NULL);
    watch_start(&w);
    assert_ok(label_store_open(dir, &labels, &e), e);
    assert_ok(select_run(labels, &rule, path, classes, &info, &e), e);
    label_store_close(labels);
    watch_stop(&w, "select");
    for (int k = 0; k < MANY_CLASSES; k++) {
        assert_int_equal(classes[k].total, classes[k].eligible == 0 ? 0 : 9000);
    }
}

static void ten_million_labels_need_at_most_256_mb(void **state)
{
    struct epoch_order_config config = {.seed = 1};
    struct epoch_order *o = NULL;
    struct epoch_item item;
    struct watch w;
    char dir[512];
    char path[512];
    struct err e = {0};

    if (sanitized) {
        print_message("skipped: a sanitizer's own memory would be counted\n");
        skip();
    }
    select_ten_million(help_path(dir, *state, "labels"), help_path(path, *state, "s"));
    watch_start(&w);
    assert_ok(corpus_create(dir, false, NULL, &config.corpus, &e), e);
    for (int i = 0; i < MANY_SHARDS; i++) {
        struct corpus_shard image = {.images = MANY_PER_SHARD, .occurrences = MANY_PER_SHARD};

        assert_ok(corpus_append_shard(config.corpus, &image, &e), e);
    }
    assert_ok(selection_open(path, &config.selection, &e), e);
    assert_ok(epoch_order_create(&config, &o, &e), e);
    for (uint64_t t = 0; t < epoch_order_length(o); t += epoch_order_length(o) / 3) {
        assert_ok(epoch_order_at(o, t, &item, &e), e);
    }
    watch_stop(&w, "epoch order");
    epoch_order_destroy(o);
    selection_close(config.selection);
    corpus_close(config.corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ten_million_labels_need_at_most_256_mb, help_setup,
                                        help_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

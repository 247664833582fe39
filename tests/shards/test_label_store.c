/* Label shards: written in any way, killed anywhere, they seal to the same bytes; damage is named. */
#include "tests/shards/label_help.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

#include "common/base/mem.h"
#include "shards/lmdb_file.h"

static struct corpus *corpus_of(const char *dir, unsigned n)
{
    struct corpus *c = NULL;
    char path[512];
    struct err e = {0};

    help_corpus(help_path(path, dir, "corpus"), n, 0, 1 << 20);
    assert_ok(corpus_open(path, &c, &e), e);
    assert_int_equal(corpus_shards(c), 1);
    return c;
}

static struct digest sealed_digest(const char *dir)
{
    struct digest d;
    char path[600];
    struct err e = {0};

    (void)snprintf(path, sizeof path, "%s/labels-000000.lmdb", dir);
    assert_ok(hash_file(path, &d, &e), e);
    return d;
}

static int files_in(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;

    assert_non_null(d);
    for (const struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        n += entry->d_name[0] != '.';
    }
    (void)closedir(d);
    return n;
}

static void sealed_bytes_depend_on_the_labels_alone(void **state)
{
    struct corpus *c = corpus_of(*state, 100);
    struct digest first;
    const int batches[] = {1, 7, 16};

    for (int i = 0; i < 3; i++) {
        char dir[512];
        char name[16];
        struct digest d;

        (void)snprintf(name, sizeof name, "labels%d", i);
        help_label_shard(c, help_path(dir, *state, name), 0, batches[i]);
        assert_true(label_shard_sealed(dir, 0));
        assert_false(label_shard_sealed(dir, 1));
        assert_int_equal(files_in(dir), 1);
        d = sealed_digest(dir);
        first = i == 0 ? d : first;
        assert_memory_equal(&d, &first, sizeof d);
    }
    corpus_close(c);
}

/* A child labels until it is killed from within after `stop` labels. */
static void label_and_die(struct corpus *c, const char *dir, const char *attempt, uint64_t stop)
{
    struct label_lineage l = help_lineage();
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct label_writer *w = NULL;
        struct shard_reader *r = NULL;
        struct err e = {0};

        if (shard_reader_open(c, 0, false, &r, &e) == RC_OK &&
            label_writer_open(dir, &l, corpus_shard(c, 0), 0, attempt, &w, &e) == RC_OK) {
            help_put(w, r, label_writer_count(w), label_writer_count(w) + stop, 4);
            (void)raise(SIGKILL);
        }
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void a_killed_writer_is_taken_over_and_seals_the_same_bytes(void **state)
{
    struct corpus *c = corpus_of(*state, 100);
    struct label_lineage l = help_lineage();
    struct label_writer *w = NULL;
    char whole[512];
    char dir[512];
    struct digest a;
    struct digest b;
    struct err e = {0};

    help_label_shard(c, help_path(whole, *state, "whole"), 0, 16);
    (void)help_path(dir, *state, "labels");
    label_and_die(c, dir, "first", 20);
    label_and_die(c, dir, "second", 40);
    assert_int_equal(files_in(dir), 1); /* the second went on with the first's */
    assert_ok(label_writer_open(dir, &l, corpus_shard(c, 0), 0, "third", &w, &e), e);
    assert_int_equal(label_writer_count(w), 60);
    label_writer_close(w);
    help_label_shard(c, dir, 0, 3);
    a = sealed_digest(whole);
    b = sealed_digest(dir);
    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(files_in(dir), 1);
    corpus_close(c);
}

static void a_partial_that_is_held_is_left_alone(void **state)
{
    struct corpus *c = corpus_of(*state, 40);
    struct label_lineage l = help_lineage();
    struct label_writer *slow = NULL;
    struct label_writer *w = NULL;
    struct shard_reader *r = NULL;
    struct digest first;
    struct digest later;
    char dir[512];
    bool has = false;
    struct err e = {0};

    (void)help_path(dir, *state, "labels");
    assert_ok(shard_reader_open(c, 0, false, &r, &e), e);
    assert_ok(label_writer_open(dir, &l, corpus_shard(c, 0), 0, "slow", &slow, &e), e);
    help_put(slow, r, 0, 10, 5);
    assert_ok(label_writer_open(dir, &l, corpus_shard(c, 0), 0, "other", &w, &e), e);
    assert_int_equal(label_writer_count(w), 0);
    help_put(w, r, 0, 40, 5);
    assert_ok(label_writer_has(w, &shard_reader_index(r)[3].key, &has, &e), e);
    assert_true(has);
    assert_ok(label_writer_seal(w, 40, &e), e);
    label_writer_close(w);
    first = sealed_digest(dir);
    /* the slow one wakes: harmless */
    help_put(slow, r, 10, 40, 5);
    assert_ok(label_writer_seal(slow, 40, &e), e);
    label_writer_close(slow);
    later = sealed_digest(dir);
    assert_memory_equal(&first, &later, sizeof first);
    assert_int_equal(files_in(dir), 1);
    shard_reader_close(r);
    corpus_close(c);
}

static void a_partial_of_other_weights_or_instructions_is_not_resumed(void **state)
{
    struct corpus *c = corpus_of(*state, 30);

    for (int i = 0; i < 3; i++) {
        struct label_lineage l = help_lineage();
        struct corpus_shard image = *corpus_shard(c, 0);
        struct label_writer *w = NULL;
        char dir[512];
        struct err e = {0};

        label_and_die(c, help_path(dir, *state, "labels"), "old", 12);
        l.weights.b[5] ^= i == 0;
        l.isa[0] ^= i == 1;
        image.digest.b[5] ^= i == 2;
        assert_ok(label_writer_open(dir, &l, &image, 0, "new", &w, &e), e);
        assert_int_equal(label_writer_count(w), 0);
        assert_int_equal(files_in(dir), 1);
        label_writer_close(w);
    }
    corpus_close(c);
}

static void a_shard_with_missing_labels_is_not_sealed(void **state)
{
    struct corpus *c = corpus_of(*state, 30);
    struct label_lineage l = help_lineage();
    struct label_writer *w = NULL;
    struct shard_reader *r = NULL;
    char dir[512];
    struct err e = {0};

    (void)help_path(dir, *state, "labels");
    assert_ok(shard_reader_open(c, 0, false, &r, &e), e);
    assert_ok(label_writer_open(dir, &l, corpus_shard(c, 0), 0, "a", &w, &e), e);
    help_put(w, r, 0, 29, 5);
    assert_int_equal(label_writer_seal(w, 30, &e), RC_CORRUPT);
    assert_says(e, "holds 29 labels but its image shard 'images-000000.lmdb' has 30 images");
    assert_false(label_shard_sealed(dir, 0));
    label_writer_close(w);
    shard_reader_close(r);
    corpus_close(c);
}

static void a_label_twice_is_refused(void **state)
{
    struct corpus *c = corpus_of(*state, 30);
    struct label_lineage l = help_lineage();
    struct label_writer *w = NULL;
    struct help_label h;
    char dir[512];
    struct key128 key = {{1}};
    struct err e = {0};

    help_label(&key, &h);
    assert_ok(
        label_writer_open(help_path(dir, *state, "labels"), &l, corpus_shard(c, 0), 0, "a", &w, &e),
        e);
    assert_ok(label_writer_put(w, &h.label, 1, &e), e);
    assert_int_equal(label_writer_put(w, &h.label, 1, &e), RC_INVAL);
    assert_says(e, "the key is there already");
    assert_int_equal(label_writer_count(w), 1);
    label_writer_close(w);
    corpus_close(c);
}

static void a_store_gives_back_every_label(void **state)
{
    static struct label_summary summary[150];
    char labels[512];
    struct corpus *c = help_labeled(*state, 150, labels);
    struct label_store *s = NULL;
    uint64_t n = 0;
    struct err e = {0};

    assert_ok(label_store_open(labels, &s, &e), e);
    assert_int_equal(label_store_shards(s), corpus_shards(c));
    assert_true(corpus_shards(c) > 3);
    assert_string_equal(label_store_class(s, 7), "c7");
    assert_string_equal(label_store_lineage(s)->model, "resnetrs50");
    for (int i = 0; i < label_store_shards(s); i++) {
        struct label_reader *r = NULL;
        struct shard_reader *images = NULL;

        assert_string_equal(label_store_shard(s, i)->image_shard, corpus_shard(c, i)->name);
        assert_int_equal(label_store_find(s, i), i);
        assert_ok(label_reader_open(s, i, false, &r, &e), e);
        assert_ok(shard_reader_open(c, i, false, &images, &e), e);
        assert_in_range(label_reader_count(r), 1, 150);
        assert_ok(label_summary_read(s, i, false, summary, &e), e);
        for (uint64_t p = 0; p < label_reader_count(r); p++, n++) {
            struct help_label h;
            struct label at;
            struct label by_key;
            bool found = false;
            const struct key128 *key = &shard_reader_index(images)[p].key;

            help_label(key, &h);
            assert_ok(label_reader_at(r, p, &at, &e), e);
            assert_ok(label_reader_get(r, key, &by_key, &found, &e), e);
            assert_true(found);
            assert_memory_equal(&at.key, key, sizeof *key);
            assert_memory_equal(at.cls, h.cls, sizeof(uint16_t) * HELP_K);
            assert_memory_equal(by_key.logp, h.logp, sizeof(uint16_t) * HELP_K);
            assert_true(summary[p].confidence == h.label.confidence);
            assert_int_equal(summary[p].cls, h.cls[0]);
        }
        label_reader_close(r);
        shard_reader_close(images);
    }
    assert_int_equal(n, 150);
    label_store_close(s);
    corpus_close(c);
}

static void a_store_grows_as_shards_are_sealed(void **state)
{
    struct label_lineage l = help_lineage();
    struct corpus *c = NULL;
    struct label_store *s = NULL;
    struct digest before;
    struct digest after;
    char path[512];
    char labels[512];
    struct err e = {0};

    help_corpus(help_path(path, *state, "corpus"), 100, 0, 2000);
    assert_ok(corpus_open(path, &c, &e), e);
    (void)help_path(labels, *state, "labels");
    assert_ok(label_store_update(labels, &l, help_class_names, c, &e), e);
    for (int round = 0; round < 2; round++) {
        for (int i = 1 - round; i < corpus_shards(c); i += 2) {
            help_label_shard(c, labels, i, 5);
        }
        assert_ok(label_store_update(labels, &l, help_class_names, c, &e), e);
        assert_ok(label_store_open(labels, &s, &e), e);
        label_store_digest(s, round == 0 ? &before : &after);
        assert_int_equal(label_store_shards(s),
                         round == 0 ? corpus_shards(c) / 2 : corpus_shards(c));
        assert_int_equal(label_store_find(s, 0), round == 0 ? -1 : 0);
        assert_int_equal(label_store_find(s, 1), round == 0 ? 0 : 1);
        label_store_close(s);
    }
    assert_memory_not_equal(&before, &after, sizeof before);
    corpus_close(c);
}

static void labels_of_another_corpus_or_lineage_are_refused(void **state)
{
    struct label_lineage l = help_lineage();
    struct corpus *other = NULL;
    char labels[512];
    char path[512];
    struct corpus *c = help_labeled(*state, 60, labels);
    struct err e = {0};

    help_corpus(help_path(path, *state, "other"), 61, 0, 2000);
    assert_ok(corpus_open(path, &other, &e), e);
    assert_int_equal(label_store_update(labels, &l, help_class_names, other, &e), RC_CORRUPT);
    assert_says(e, "labels another 'images-0000");
    err_clear(&e);
    l.top_k = 2;
    assert_int_equal(label_store_update(labels, &l, help_class_names, c, &e), RC_CORRUPT);
    assert_says(e, "is of other weights or settings");
    corpus_close(other);
    corpus_close(c);
}

static void a_damaged_label_shard_is_named(void **state)
{
    char labels[512];
    char path[600];
    struct corpus *c = help_labeled(*state, 60, labels);
    struct label_store *s = NULL;
    struct label_reader *r = NULL;
    struct err e = {0};
    FILE *f = NULL;

    (void)snprintf(path, sizeof path, "%s/labels-000001.lmdb", labels);
    f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, 5000, SEEK_SET), 0);
    assert_int_equal(fputc('!', f), '!');
    assert_int_equal(fclose(f), 0);
    assert_ok(label_store_open(labels, &s, &e), e);
    assert_int_equal(label_reader_open(s, 1, false, &r, &e), RC_CORRUPT);
    assert_says(e, "labels-000001.lmdb' is damaged");
    assert_null(r);
    label_store_close(s);
    corpus_close(c);
}

static void a_damaged_summary_is_named(void **state)
{
    static struct label_summary summary[150];
    char labels[512];
    char path[600];
    struct corpus *c = help_labeled(*state, 60, labels);
    struct label_store *s = NULL;
    FILE *f = NULL;
    int byte = 0;
    struct err e = {0};

    assert_ok(label_store_open(labels, &s, &e), e);
    assert_ok(label_summary_read(s, 1, false, summary, &e), e);
    (void)snprintf(path, sizeof path, "%s/labels-000001.lmdb", labels);
    f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)label_store_shard(s, 1)->summary_at + 7, SEEK_SET), 0);
    byte = fgetc(f) ^ 1;
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    assert_int_equal(fputc(byte, f), byte);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(label_summary_read(s, 1, false, summary, &e), RC_CORRUPT);
    assert_says(e, "labels-000001.lmdb' is damaged: its summary is not what was sealed");
    err_clear(&e);
    assert_int_equal(truncate(path, 4096), 0);
    assert_int_equal(label_summary_read(s, 1, true, summary, &e), RC_CORRUPT);
    assert_says(e, "labels-000001.lmdb' is damaged: it was cut short");
    label_store_close(s);
    corpus_close(c);
}

static void the_only_store_below_a_folder_is_found(void **state)
{
    struct label_lineage l = help_lineage();
    struct corpus *c = corpus_of(*state, 10);
    struct label_store *s = NULL;
    char path[512];
    struct err e = {0};

    assert_int_equal(label_store_open(*state, &s, &e), RC_INVAL);
    assert_says(e, "is not a label store: no labels.json in it or in a folder below it");
    err_clear(&e);
    assert_ok(label_store_update(help_path(path, *state, "one"), &l, help_class_names, c, &e), e);
    assert_ok(label_store_open(*state, &s, &e), e);
    assert_string_equal(label_store_path(s), path);
    label_store_close(s);
    l.top_k = 1;
    assert_ok(label_store_update(help_path(path, *state, "two"), &l, help_class_names, c, &e), e);
    assert_int_equal(label_store_open(*state, &s, &e), RC_INVAL);
    assert_says(e, "holds 2 label stores, name one: ");
    corpus_close(c);
}

static void a_manifest_with_a_slash_in_a_name_is_refused(void **state)
{
    char labels[512];
    char path[600];
    struct corpus *c = help_labeled(*state, 30, labels);
    struct label_store *s = NULL;
    char *text = NULL;
    char *at = NULL;
    size_t bytes = 0;
    struct err e = {0};

    (void)snprintf(path, sizeof path, "%s/labels.json", labels);
    assert_ok(fs_read(path, 1 << 20, &text, &bytes, &e), e);
    at = strstr(text, "labels-000000.lmdb");
    assert_non_null(at);
    at[0] = '/';
    assert_ok(fs_write_atomic(path, text, bytes, &e), e);
    mem_free(text);
    assert_int_equal(label_store_open(labels, &s, &e), RC_CORRUPT);
    assert_says(e, "labels.json' is damaged");
    corpus_close(c);
}

static void every_failed_allocation_is_reported(void **state)
{
    char labels[512];
    struct corpus *c = help_labeled(*state, 30, labels);
    int failures = 0;

    for (uint64_t n = 1; n < 200; n++) {
        struct label_store *s = NULL;
        struct label_reader *r = NULL;
        struct err e = {0};
        enum rc rc = RC_OK;

        mem_fail_at(n);
        rc = label_store_open(labels, &s, &e);
        if (rc == RC_OK) {
            rc = label_reader_open(s, 0, false, &r, &e);
        }
        mem_fail_at(0);
        label_reader_close(r);
        label_store_close(s);
        if (rc == RC_OK) {
            break;
        }
        failures++;
    }
    assert_true(failures > 5 && failures < 150);
    corpus_close(c);
}

int main(void)
{
#define CASE(f_) cmocka_unit_test_setup_teardown(f_, help_setup, help_teardown)
    const struct CMUnitTest tests[] = {
        CASE(sealed_bytes_depend_on_the_labels_alone),
        CASE(a_killed_writer_is_taken_over_and_seals_the_same_bytes),
        CASE(a_partial_that_is_held_is_left_alone),
        CASE(a_partial_of_other_weights_or_instructions_is_not_resumed),
        CASE(a_shard_with_missing_labels_is_not_sealed),
        CASE(a_label_twice_is_refused),
        CASE(a_store_gives_back_every_label),
        CASE(a_store_grows_as_shards_are_sealed),
        CASE(labels_of_another_corpus_or_lineage_are_refused),
        CASE(a_damaged_label_shard_is_named),
        CASE(a_damaged_summary_is_named),
        CASE(the_only_store_below_a_folder_is_found),
        CASE(a_manifest_with_a_slash_in_a_name_is_refused),
        CASE(every_failed_allocation_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

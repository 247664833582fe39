#include "tests/shards/help_archive.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

#include "common/base/mem.h"
#include "shards/corpus.h"
#include "shards/pack.h"

/* Pack sources (relative to the folder of the test) with the given settings. */
static enum rc pack(const char *root, struct pack_config *c, const char *out, struct pack_result *r,
                    struct err *e)
{
    char paths[8][512];
    char corpus[512];
    const char *list[8];
    enum rc rc = RC_OK;

    for (int i = 0; i < c->n_sources; i++) {
        list[i] = help_path(paths[i], root, c->sources[i]);
    }
    err_clear(e);
    c->threads = 2;
    c->out = help_path(corpus, root, out);
    const char *const *given = c->sources;
    c->sources = list;
    rc = pack_run(c, r, e);
    c->sources = given;
    return rc;
}

static const char *const photos[] = {"photos"};

/* 3 classes of n images each, bad.jpg among the cats. */
static void write_photos(const char *root, const char *dir, unsigned n)
{
    static const char *const classes[] = {"ant", "cat", "dog"};

    for (unsigned i = 0; i < 3 * n; i++) {
        unsigned char data[128];
        char name[64];

        (void)snprintf(name, sizeof name, "%s/%s/%04u.jpg", dir, classes[i % 3], i);
        help_write(root, name, data, help_pgm(i, data));
    }
}

/* All keys of a corpus with class names and source texts, sorted: what two corpora have in common. */
static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *contents(const char *root, const char *out)
{
    static char *lines[4096];
    char path[512];
    struct corpus *c = NULL;
    struct err e = {0};
    size_t n = 0;
    char *all = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&all, &bytes);

    assert_ok(corpus_open(help_path(path, root, out), &c, &e), e);
    for (int s = 0; s < corpus_shards(c); s++) {
        struct shard_reader *r = NULL;

        assert_ok(shard_reader_open(c, s, false, &r, &e), e);
        for (uint64_t p = 0; p < shard_reader_count(r); p++) {
            struct shard_record rec;
            char hex[HASH_HEX_KEY];

            assert_ok(shard_reader_get(r, p, &rec, &e), e);
            hash_key_hex(&rec.key, hex);
            for (int i = 0; i < rec.n_occurrences; i++) {
                size_t text = 0;
                const char *source = shard_record_source(&rec, i, &text);
                int32_t cls = shard_record_class(&rec, i);

                assert_true(n < 4096);
                assert_true(asprintf(&lines[n++], "%s %s %.*s\n", hex,
                                     cls < 0 ? "-" : corpus_class(c, cls), (int)text, source) > 0);
            }
        }
        shard_reader_close(r);
    }
    corpus_close(c);
    qsort(lines, n, sizeof *lines, compare_lines);
    for (size_t i = 0; i < n; i++) {
        (void)fputs(lines[i], f);
        free(lines[i]);
    }
    (void)fclose(f);
    return all;
}

static size_t count_of(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, what)) != NULL; at++) {
        n++;
    }
    return n;
}

static char *slurp(const char *root, const char *name)
{
    char path[512];
    char *text = NULL;
    size_t bytes = 0;
    struct err e = {0};

    assert_ok(fs_read(help_path(path, root, name), 1 << 24, &text, &bytes, &e), e);
    return text;
}

static void class_folders_become_a_labeled_corpus(void **state)
{
    struct pack_config c = {.sources = photos, .n_sources = 1};
    struct pack_result r;
    struct err e = {0};
    char *all = NULL;

    write_photos(*state, "photos", 5);
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    assert_int_equal(r.added, 15);
    assert_int_equal(r.images, 15);
    assert_int_equal(r.classes, 3);
    all = contents(*state, "out");
    assert_int_equal(count_of(all, "\n"), 15);
    assert_int_equal(count_of(all, " cat "), 5);
    assert_non_null(strstr(all, "photos/cat/0001.jpg\n"));
    free(all);
}

static void an_unlabeled_corpus_tells_no_class(void **state)
{
    struct pack_config c = {.sources = photos, .n_sources = 1, .unlabeled = true};
    static const char *const files[] = {"out/images-000000.lmdb", "out/corpus.json",
                                        "out/known.lmdb"};
    struct pack_result r;
    struct err e = {0};
    char path[512];

    write_photos(*state, "photos", 5);
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    assert_int_equal(r.images, 15);
    assert_int_equal(r.classes, 0);
    for (int i = 0; i < 3; i++) {
        char *bytes = NULL;
        size_t n = 0;

        assert_ok(fs_read(help_path(path, *state, files[i]), 1 << 24, &bytes, &n, &e), e);
        assert_null(memmem(bytes, n, "cat", 3));
        free(bytes);
    }
}

/* The parts of one source that the limits cut out are disjoint and together all of it. */
static void split_into_parts(void **state, bool draw, int64_t seed, char **few_out)
{
    struct pack_config few = {.sources = photos, .n_sources = 1, .first = 24, .limit_per_class = 3};
    struct pack_config rest = {
        .sources = photos, .n_sources = 1, .first = 24, .skip_per_class = 3, .unlabeled = true};
    struct pack_config tune = {.sources = photos, .n_sources = 1, .skip = 24};
    struct pack_result r;
    struct err e = {0};
    char *parts[3];

    few.draw = rest.draw = draw;
    few.seed = rest.seed = seed;
    assert_ok(pack(*state, &few, "few", &r, &e), e);
    assert_int_equal(r.images, 9);
    assert_int_equal(r.left_out, 15);
    assert_ok(pack(*state, &rest, "rest", &r, &e), e);
    assert_int_equal(r.images, 15);
    assert_ok(pack(*state, &tune, "tune", &r, &e), e);
    assert_int_equal(r.images, 6);
    parts[0] = contents(*state, "few");
    parts[1] = contents(*state, "rest");
    parts[2] = contents(*state, "tune");
    assert_int_equal(count_of(parts[0], " dog "), 3);
    for (unsigned i = 0; i < 30; i++) {
        unsigned char data[128];
        struct key128 key;
        char hex[HASH_HEX_KEY];
        int in = 0;

        hash_key(data, help_pgm(i, data), &key);
        hash_key_hex(&key, hex);
        for (int p = 0; p < 3; p++) {
            in += strstr(parts[p], hex) != NULL;
        }
        assert_int_equal(in, 1);
    }
    *few_out = parts[0];
    free(parts[1]);
    free(parts[2]);
}

static void limits_split_a_source_into_parts(void **state)
{
    char *few = NULL;

    write_photos(*state, "photos", 10);
    split_into_parts(state, false, 0, &few);
    free(few);
}

static void limits_by_a_seed_draw_other_parts(void **state)
{
    static const char *const names[] = {"few", "rest", "tune"};
    char *few[3];

    write_photos(*state, "photos", 10);
    for (int i = 0; i < 3; i++) {
        char path[512];

        split_into_parts(state, true, i / 2, &few[i]); /* seeds 0, 0, 1 */
        for (int k = 0; k < 3; k++) {
            (void)nftw(help_path(path, *state, names[k]), help_remove, 16, FTW_DEPTH | FTW_PHYS);
        }
    }
    assert_string_equal(few[0], few[1]);
    assert_string_not_equal(few[0], few[2]);
    free(few[0]);
    free(few[1]);
    free(few[2]);
}

static void a_grown_source_adds_only_what_is_new(void **state)
{
    static const char *const both[] = {"photos", "a.tar"};
    struct pack_config c = {.sources = both, .n_sources = 2, .shard_bytes = 800};
    struct pack_result r;
    struct digest was;
    struct corpus *corpus = NULL;
    struct err e = {0};
    char path[512];
    struct archive *a = help_archive(help_path(path, *state, "a.tar"), ARCHIVE_FILTER_NONE, false);

    help_archive_pgm(a, "cat/x.jpg", 1000);
    help_archive_end(a);
    write_photos(*state, "photos", 10);
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    assert_int_equal(r.added, 31);
    assert_true(r.new_shards > 2);
    assert_ok(corpus_open(help_path(path, *state, "out"), &corpus, &e), e);
    was = corpus_shard(corpus, 0)->digest;
    corpus_close(corpus);
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    assert_int_equal(r.added, 0);
    assert_int_equal(r.unchanged, 31); /* 30 files and the archive */
    assert_int_equal(r.new_shards, 0);
    write_photos(*state, "photos", 11);
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    assert_int_equal(r.added, 3);
    assert_int_equal(r.images, 34);
    assert_int_equal(r.duplicates, 0);
    assert_ok(corpus_open(help_path(path, *state, "out"), &corpus, &e), e);
    assert_memory_equal(&corpus_shard(corpus, 0)->digest, &was, sizeof was);
    corpus_close(corpus);
}

static void bad_files_cost_nothing_but_themselves(void **state)
{
    struct pack_config c = {.sources = photos, .n_sources = 1};
    struct pack_config retry = {.retry = true};
    struct pack_result r;
    struct err e = {0};
    unsigned char data[128];
    size_t bytes = help_pgm(77, data);
    char *ledger = NULL;

    write_photos(*state, "photos", 3);
    help_text(*state, "photos/cat/text.jpg", "this is a text");
    help_write(*state, "photos/cat/empty.jpg", "", 0);
    help_write(*state, "photos/dog/short.jpg", data, bytes - 9);
    help_text(*state, "photos/README", "no class of its own");
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    assert_int_equal(r.images, 9);
    assert_int_equal(r.classes, 3);
    assert_int_equal(r.quarantined, 4);
    ledger = slurp(*state, "out/quarantine.jsonl");
    assert_int_equal(count_of(ledger, "\n"), 4);
    assert_int_equal(count_of(ledger, "\"reason\":\"not-identified\""), 2);
    assert_int_equal(count_of(ledger, "\"reason\":\"empty\""), 1);
    assert_int_equal(count_of(ledger, "\"reason\":\"truncated\""), 1);
    assert_int_equal(count_of(ledger, "\"class\":\"cat\""), 2);
    free(ledger);
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    assert_int_equal(r.quarantined, 0);
    help_write(*state, "photos/dog/short.jpg", data, bytes);
    assert_ok(pack(*state, &retry, "out", &r, &e), e);
    assert_int_equal(r.added, 1);
    assert_int_equal(r.recovered, 1);
    assert_int_equal(r.in_quarantine, 3);
    ledger = contents(*state, "out");
    assert_int_equal(count_of(ledger, " dog "), 4);
    free(ledger);
}

static void retry_finds_members_of_archives(void **state)
{
    static const char *const tar[] = {"a.tar"};
    struct pack_config c = {.sources = tar, .n_sources = 1, .unlabeled = true};
    struct pack_config retry = {.retry = true};
    struct pack_result r;
    struct err e = {0};
    char path[512];

    for (int turn = 0; turn < 2; turn++) {
        struct archive *a =
            help_archive(help_path(path, *state, tar[0]), ARCHIVE_FILTER_NONE, false);

        help_archive_pgm(a, "cat/1.jpg", 1);
        help_archive_pgm(a, "cat/new.jpg", 5);
        if (turn == 0) {
            help_archive_add(a, "cat/2.jpg", "bad", 3, AE_IFREG);
        } else {
            help_archive_pgm(a, "cat/2.jpg", 2);
        }
        help_archive_end(a);
        if (turn == 0) {
            assert_ok(pack(*state, &c, "out", &r, &e), e);
            assert_int_equal(r.in_quarantine, 1);
        } else {
            assert_ok(pack(*state, &retry, "out", &r, &e), e);
            assert_int_equal(r.added, 1);
            assert_int_equal(r.recovered, 1);
            assert_int_equal(r.in_quarantine, 0);
        }
    }
}

static void what_cannot_be_packed_says_why(void **state)
{
    struct pack_config c = {.sources = photos, .n_sources = 1};
    struct pack_config retry = {.retry = true};
    struct pack_result r;
    struct err e = {0};
    char path[512];

    assert_int_equal(pack(*state, &retry, "out", &r, &e), RC_IO);
    assert_says(e, "there is no corpus at");
    assert_int_equal(pack(*state, &c, "out", &r, &e), RC_IO);
    assert_says(e, "photos': No such file or directory");
    assert_int_equal(mkdir(help_path(path, *state, "photos"), 0700), 0);
    assert_int_equal(pack(*state, &c, "out", &r, &e), RC_INVAL);
    assert_says(e, "no images with a class found in");
    c.unlabeled = true;
    assert_int_equal(pack(*state, &c, "out", &r, &e), RC_INVAL);
    assert_says(e, "no images found in");
    help_text(*state, "photos/text.jpg", "this is a text");
    assert_int_equal(pack(*state, &c, "out", &r, &e), RC_INVAL);
    assert_says(e, "no usable image: all 1 files are in");
    write_photos(*state, "photos", 1);
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    c.unlabeled = false;
    assert_int_equal(pack(*state, &c, "out", &r, &e), RC_INVAL);
    assert_says(e, "is an unlabeled corpus: say --unlabeled to add to it");
    assert_ok(pack(*state, &c, "labeled", &r, &e), e);
    write_photos(*state, "other", 1);
    help_write(*state, "photos/eel/1.jpg", "P5 1 1 255 x", 12);
    assert_int_equal(pack(*state, &c, "labeled", &r, &e), RC_INVAL);
    assert_says(e, "photos/eel/1.jpg' is of class 'eel', which is not among the 3 classes");
}

static void an_image_without_a_class_is_named(void **state)
{
    struct pack_config c = {.sources = photos, .n_sources = 1};
    struct pack_result r;
    struct err e = {0};

    write_photos(*state, "photos", 1);
    help_write(*state, "photos/1.jpg", "P5 1 1 255 x", 12);
    assert_int_equal(pack(*state, &c, "out", &r, &e), RC_INVAL);
    assert_says(e, "photos/1.jpg' has no class: expected a folder a class");
}

static void a_pattern_takes_a_part_of_a_source(void **state)
{
    struct pack_config c = {.sources = photos, .n_sources = 1, .match = "train/*"};
    struct pack_result r;
    struct err e = {0};
    char *all = NULL;

    write_photos(*state, "photos/train", 3);
    write_photos(*state, "photos/val", 2);
    help_write(*state, "photos/val/eel/1.jpg", "P5 1 1 255 x", 12);
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    assert_int_equal(r.images, 9);
    assert_int_equal(r.classes, 3);
    all = contents(*state, "out");
    assert_null(strstr(all, "/val/"));
    free(all);
}

/* 'rank' after 'cat' as the file says, not as bytes sort. */
static void a_class_file_gives_the_order(void **state)
{
    struct pack_config c = {.sources = photos, .n_sources = 1};
    struct pack_result r;
    struct corpus *corpus = NULL;
    uint64_t counts[4];
    struct err e = {0};
    char path[512];
    char classes[512];

    write_photos(*state, "photos", 2);
    help_text(*state, "classes.txt", "zebra\ndog\ncat\nant\n");
    c.classes = help_path(classes, *state, "classes.txt");
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    assert_ok(corpus_open(help_path(path, *state, "out"), &corpus, &e), e);
    assert_int_equal(corpus_classes(corpus), 4);
    assert_string_equal(corpus_class(corpus, 1), "dog");
    assert_ok(corpus_class_counts(corpus, counts, &e), e);
    assert_int_equal(counts[0], 0);
    assert_int_equal(counts[2], 2);
    corpus_close(corpus);
}

static void duplicates_are_stored_once_and_conflicts_counted(void **state)
{
    static const char *const both[] = {"photos", "again"};
    struct pack_config c = {.sources = both, .n_sources = 2};
    struct pack_result r;
    struct err e = {0};
    unsigned char data[128];
    char *all = NULL;

    write_photos(*state, "photos", 3);
    write_photos(*state, "again", 3);
    help_write(*state, "again/dog/0000.jpg", data, help_pgm(0, data)); /* an ant */
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    assert_int_equal(r.images, 9);
    assert_int_equal(r.duplicates, 10);
    assert_int_equal(r.conflicts, 1);
    all = contents(*state, "out");
    assert_int_equal(count_of(all, "\n"), 19);
    free(all);
}

static void a_stop_seals_what_was_read_and_asks_for_more(void **state)
{
    static volatile sig_atomic_t stop = 1;
    struct pack_config c = {.sources = photos, .n_sources = 1, .unlabeled = true, .stop = &stop};
    struct pack_result r;
    struct err e = {0};

    write_photos(*state, "photos", 3);
    assert_int_equal(pack(*state, &c, "out", &r, &e), RC_REQUEUE);
    assert_says(e, "the same command goes on");
    stop = 0;
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    assert_int_equal(r.images, 9);
}

static void assert_no_temporaries(const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *entry = NULL;

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL) {
        assert_null(strstr(entry->d_name, ".tmp."));
    }
    (void)closedir(d);
}

/* Killed at any time and run again, a corpus has the same images, occurrences and shards. */
static void a_killed_pack_goes_on_and_ends_the_same(void **state)
{
    static const char *const both[] = {"photos", "a.tar"}; /* the archive asks for lanes */
    struct pack_config c = {.sources = both, .n_sources = 2, .shard_bytes = 4000};
    struct pack_result r;
    struct err e = {0};
    struct archive *a = NULL;
    char *expected = NULL;
    char *all = NULL;
    char *manifest[2];
    char path[512];
    int kills = 0;

    write_photos(*state, "photos", 100);
    help_text(*state, "photos/cat/bad.jpg", "bad");
    a = help_archive(help_path(path, *state, "a.tar"), ARCHIVE_FILTER_NONE, false);
    for (unsigned i = 0; i < 150; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "%s/%u.jpg", i < 75 ? "ant" : "dog", i);
        help_archive_pgm(a, name, 1000 + i);
    }
    help_archive_end(a);
    assert_ok(pack(*state, &c, "whole", &r, &e), e);
    expected = contents(*state, "whole");
    for (unsigned i = 0; i < 12; i++) {
        pid_t child = fork();
        int status = 0;

        assert_true(child >= 0);
        if (child == 0) {
            struct err why = {0};

            _exit(pack(*state, &c, "killed", &r, &why) == RC_OK ? 0 : 1);
        }
        (void)usleep(1000 + i * 2500);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        kills += WIFSIGNALED(status) ? 1 : 0;
    }
    assert_true(kills > 0);
    assert_ok(pack(*state, &c, "killed", &r, &e), e);
    all = contents(*state, "killed");
    assert_string_equal(all, expected);
    manifest[0] = slurp(*state, "whole/corpus.json");
    manifest[1] = slurp(*state, "killed/corpus.json");
    assert_string_equal(manifest[0], manifest[1]);
    assert_int_equal(r.in_quarantine, 1);
    assert_no_temporaries(help_path(path, *state, "killed"));
    free(manifest[0]);
    free(manifest[1]);
    free(all);
    free(expected);
}

/* Every third allocation fails once: the error says so, and packing again ends well. */
static void running_out_of_memory_anywhere_loses_nothing(void **state)
{
    static const char *const both[] = {"photos", "a.tar"};
    struct pack_config c = {.sources = both, .n_sources = 2, .shard_bytes = 200};
    struct pack_result r;
    struct err e = {0};
    char path[512];
    struct archive *a = help_archive(help_path(path, *state, "a.tar"), ARCHIVE_FILTER_NONE, false);
    uint64_t made = UINT64_MAX;
    int failed = 0;

    help_archive_pgm(a, "cat/x.jpg", 1000);
    help_archive_add(a, "cat/y.jpg", "bad", 3, AE_IFREG);
    help_archive_end(a);
    write_photos(*state, "photos", 1);
    for (uint64_t n = 1; made >= n - (n > 1 ? 3 : 0);
         n += 3) { /* until a run makes fewer allocations than n */
        char out[16];
        enum rc rc = RC_OK;

        (void)snprintf(out, sizeof out, "out%d", (int)n);
        made = mem_count();
        mem_fail_at(n);
        rc = pack(*state, &c, out, &r, &e);
        mem_fail_at(0);
        made = mem_count() - made;
        if (rc != RC_OK) {
            if (rc != RC_NOMEM) {
                fail_msg("allocation %d: %s", (int)n, e.msg);
            }
            failed++;
            made = UINT64_MAX;
            assert_ok(pack(*state, &c, out, &r, &e), e); /* in the half-made corpus */
        }
        assert_int_equal(r.images, 4);
        assert_int_equal(r.in_quarantine, 1);
    }
    assert_true(failed > 40);
}

int main(void)
{
#define CASE(f_) cmocka_unit_test_setup_teardown(f_, help_setup, help_teardown)
    const struct CMUnitTest tests[] = {CASE(class_folders_become_a_labeled_corpus),
                                       CASE(an_unlabeled_corpus_tells_no_class),
                                       CASE(limits_split_a_source_into_parts),
                                       CASE(limits_by_a_seed_draw_other_parts),
                                       CASE(a_grown_source_adds_only_what_is_new),
                                       CASE(bad_files_cost_nothing_but_themselves),
                                       CASE(retry_finds_members_of_archives),
                                       CASE(what_cannot_be_packed_says_why),
                                       CASE(an_image_without_a_class_is_named),
                                       CASE(a_pattern_takes_a_part_of_a_source),
                                       CASE(a_class_file_gives_the_order),
                                       CASE(duplicates_are_stored_once_and_conflicts_counted),
                                       CASE(a_stop_seals_what_was_read_and_asks_for_more),
                                       CASE(running_out_of_memory_anywhere_loses_nothing),
                                       CASE(a_killed_pack_goes_on_and_ends_the_same)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/shards/help.h"

#include <fcntl.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "shards/corpus_impl.h"
#include "shards/forget.h"
#include "shards/guard.h"
#include "shards/label_store.h"
#include "shards/manifest.h"
#include "shards/near_hashes.h"
#include "shards/quarantine.h"
#include "shards/selection.h"
#include "shards/verify.h"

/* 18 kinds of files: over 1000 places in all. */
enum { FLIPS = 60, VERIFY_IMAGES = 60 };

struct faults {
    int n;
    char last[768];
};

static void on_fault(void *ctx, const char *what)
{
    struct faults *f = ctx;

    f->n++;
    (void)snprintf(f->last, sizeof f->last, "%s", what);
}

static enum rc verify(const char *path, struct faults *f, struct verify_result *r, struct err *e)
{
    const struct verify_config c = {.path = path, .fault = on_fault, .ctx = f};

    memset(f, 0, sizeof *f);
    err_clear(e);
    return verify_store(&c, r, e);
}

/* One random bit of dir/name flipped, many times: each is found, and mended all is sound again. */
static void find_flips(const char *store, const char *dir, const char *name)
{
    static const struct key128 key;
    char path[512];
    struct rng rng;
    struct stat st;
    struct faults f;
    struct verify_result r;
    struct err e = {0};
    int fd = open(help_path(path, dir, name), O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    rng_init(&rng, 5, RNG_TEST, 0, &key, 0);
    for (int i = 0; i < FLIPS; i++) {
        off_t at = (off_t)rng_below(&rng, (uint32_t)st.st_size);
        unsigned char was = 0;
        unsigned char now = 0;

        assert_int_equal(pread(fd, &was, 1, at), 1);
        now = (unsigned char)(was ^ 1u << rng_below(&rng, 8));
        assert_int_equal(pwrite(fd, &now, 1, at), 1);
        if (verify(store, &f, &r, &e) == RC_OK && f.n == 0) {
            fail_msg("a flip at byte %ld of %s is not found", (long)at, name);
        }
        assert_int_equal(pwrite(fd, &was, 1, at), 1);
    }
    (void)close(fd);
    assert_ok(verify(store, &f, &r, &e), e);
    assert_int_equal(f.n, 0);
}

static void a_sound_corpus_has_no_faults(void **state)
{
    struct faults f;
    struct verify_result r;
    struct err e = {0};

    help_corpus(*state, 50, 3, 1000);
    assert_ok(verify(*state, &f, &r, &e), e);
    assert_int_equal(r.kind, STORE_CORPUS);
    assert_int_equal(r.records, 50);
    assert_int_equal(r.faults, 0);
    assert_int_equal(r.verified, r.shards);
}

static void every_flip_in_a_corpus_is_found(void **state)
{
    const struct quarantine_entry bad = {
        .source = "a/x.jpg", .cls = "c1", .reason = "truncated", .detail = "ends", .bytes = 7};
    struct corpus_writer *w = NULL;
    struct quarantine *q = NULL;
    bool fresh = false;
    struct err e = {0};

    help_corpus(*state, VERIFY_IMAGES, 3, 0);
    assert_ok(quarantine_open(*state, QUARANTINE_ADD, &q, &e), e);
    assert_ok(quarantine_add(q, &bad, &fresh, &e), e);
    assert_true(fresh);
    quarantine_close(q);
    w = help_writer(*state, 3, 0);
    (void)help_add(w, 3, 1, "later");
    assert_ok(corpus_writer_flush(w, &e), e);
    corpus_writer_close(w);
    find_flips(*state, *state, "images-000000.lmdb");
    find_flips(*state, *state, "corpus.json");
    find_flips(*state, *state, "occurrences-000000.jsonl");
    find_flips(*state, *state, "quarantine.jsonl");
    find_flips(*state, *state, "known.lmdb");
    find_flips(*state, *state, "known.sha256");
}

/* Enter a guard's claim with a list of one line; the list's name. */
static void claim(const char *dir, const char *prefix, json_t *claims, char name[GUARD_NAME])
{
    const char *text = "{\"corpus\":\"c\",\"distance\":1}\n";
    struct guard *g = NULL;
    json_t *one = NULL;
    char eval[512];
    struct err e = {0};

    help_corpus(help_path(eval, dir, "eval"), 5, 0, 0);
    assert_ok(guard_open(eval, 6, &g, &e), e);
    assert_ok(guard_list_write(dir, prefix, text, strlen(text), name, &e), e);
    assert_ok(guard_claim(g, 1, 1, name, text, strlen(text), &one, &e), e);
    assert_int_equal(json_array_append_new(claims, one), 0);
    guard_close(g);
}

static void every_flip_beside_the_shards_is_found(void **state)
{
    char name[GUARD_NAME];
    char list[512];
    struct corpus *c = NULL;
    struct near_hashes h;
    struct forget_result r;
    char key[HASH_HEX_KEY];
    struct err e = {0};

    help_corpus(*state, VERIFY_IMAGES, 0, 0);
    assert_ok(corpus_load(*state, &c, &e), e);
    assert_ok(near_hashes_open(c, 0, &h, &e), e); /* made, and left beside the shard */
    hash_key_hex(&h.entries[7].key, key);
    near_hashes_close(&h);
    c->guards = json_array();
    claim(*state, "forbidden-", c->guards, name);
    assert_ok(corpus_save(c, &e), e);
    corpus_close(c);
    help_text(*state, "list", key);
    assert_ok(forget_list(*state, help_path(list, *state, "list"), "a test", &r, &e), e);
    assert_int_equal(r.fresh, 1);
    find_flips(*state, *state, "forgotten.bin");
    find_flips(*state, *state, "hashes-000000.bin");
    find_flips(*state, *state, name);
}

static void a_key_in_two_shards_is_a_fault(void **state)
{
    char path[2][512];
    char from[600];
    char to[600];
    char *data = NULL;
    size_t bytes = 0;
    struct corpus *a = NULL;
    struct corpus *b = NULL;
    struct corpus_shard shard;
    struct faults f;
    struct verify_result r;
    struct err e = {0};

    help_corpus(help_path(path[0], *state, "a"), 10, 0, 0);
    help_corpus(help_path(path[1], *state, "b"), 1, 0, 0); /* image 0 is in both */
    assert_ok(corpus_load(path[0], &a, &e), e);
    assert_ok(corpus_load(path[1], &b, &e), e);
    shard = *corpus_shard(b, 0);
    (void)snprintf(shard.name, sizeof shard.name, "images-000001.lmdb");
    (void)snprintf(from, sizeof from, "%s/images-000000.lmdb", path[1]);
    (void)snprintf(to, sizeof to, "%s/images-000001.lmdb", path[0]);
    assert_ok(fs_read(from, 1 << 30, &data, &bytes, &e), e);
    assert_ok(fs_write_atomic(to, data, bytes, &e), e);
    mem_free(data);
    assert_ok(corpus_append_shard(a, &shard, &e), e);
    assert_ok(corpus_save(a, &e), e);
    corpus_close(a);
    corpus_close(b);
    assert_ok(verify(path[0], &f, &r, &e), e);
    assert_int_equal(f.n, 1);
    assert_non_null(
        strstr(f.last, "is in two shards, 'images-000000.lmdb' and 'images-000001.lmdb'"));
}

static void write_entry(const char *dir, const char *name, const char *text, char hex[65])
{
    struct digest d;

    help_text(dir, name, text);
    hash_digest(text, strlen(text), &d);
    hash_digest_hex(&d, hex);
}

/* The folder of a run as student/ and common/train write it. */
static void every_flip_in_a_run_is_found(void **state)
{
    char hex[3][HASH_HEX_DIGEST];
    char whole[HASH_HEX_DIGEST];
    char path[512];
    struct digest d;
    json_t *o = json_pack("{s:s,s:{}}", "run_digest", "0123", "stores");
    struct err e = {0};

    assert_ok(manifest_write(help_path(path, *state, "stores.json"), "run", 1, o, &e), e);
    json_decref(o);
    write_entry(*state, "model-1.safetensors", "the averaged weights of a step", hex[0]);
    write_entry(*state, "state-1.safetensors", "weights, momentum and counters", hex[1]);
    write_entry(*state, "model.safetensors", "the weights in the end", hex[2]);
    o = json_pack("{s:s,s:i,s:[{s:{s:s,s:s},s:{s:s,s:s},s:i}]}", "run", "0123", "version", 1,
                  "checkpoints", "model", "file", "model-1.safetensors", "sha256", hex[0], "state",
                  "file", "state-1.safetensors", "sha256", hex[1], "step", 1);
    assert_ok(json_digest(o, &d, &e), e);
    hash_digest_hex(&d, whole);
    assert_int_equal(json_object_set_new(o, "digest", json_string(whole)), 0);
    assert_ok(json_write(help_path(path, *state, "checkpoint.json"), o, &e), e);
    json_decref(o);
    o = json_pack("{s:f,s:s}", "loss", 2.5, "model_sha256", hex[2]);
    assert_ok(manifest_write(help_path(path, *state, "result.json"), "result", 1, o, &e), e);
    json_decref(o);
    find_flips(*state, *state, "stores.json");
    find_flips(*state, *state, "checkpoint.json");
    find_flips(*state, *state, "model-1.safetensors");
    find_flips(*state, *state, "state-1.safetensors");
    find_flips(*state, *state, "result.json");
    find_flips(*state, *state, "model.safetensors");
}

static void one_damaged_shard_does_not_hide_the_next(void **state)
{
    char path[512];
    struct faults f;
    struct verify_result r;
    struct err e = {0};

    help_corpus(*state, 60, 3, 1000);
    assert_int_equal(truncate(help_path(path, *state, "images-000001.lmdb"), 8192), 0);
    assert_int_equal(unlink(help_path(path, *state, "images-000003.lmdb")), 0);
    assert_ok(verify(*state, &f, &r, &e), e);
    assert_int_equal(r.faults, 2);
    assert_int_equal(f.n, 2);
    assert_non_null(strstr(f.last, "images-000003.lmdb"));
    assert_int_equal(r.verified, r.shards);
}

static void a_sample_looks_at_some_shards(void **state)
{
    struct faults f = {0, ""};
    const struct verify_config c = {.path = *state, .sample = 2, .fault = on_fault, .ctx = &f};
    struct verify_result r;
    struct err e = {0};

    help_corpus(*state, 60, 3, 1000);
    assert_ok(verify_store(&c, &r, &e), e);
    assert_true(r.shards > 3);
    assert_int_equal(r.verified, 2);
    assert_true(r.records < 60 && r.records > 0);
}

static void what_is_no_store_is_refused(void **state)
{
    char path[512];
    struct faults f;
    struct verify_result r;
    struct err e = {0};

    assert_int_equal(verify(help_path(path, *state, "none"), &f, &r, &e), RC_IO);
    assert_says(e, "there is nothing at");
    help_text(*state, "x.txt", "text");
    assert_int_equal(verify(help_path(path, *state, "x.txt"), &f, &r, &e), RC_INVAL);
    assert_says(e, "is no store: expected a folder with corpus.json or labels.json");
}

/* A label store of a small corpus, every label of the same probabilities. */
static void make_labels(const char *root, char labels[512])
{
    static const char *const classes[] = {"a", "b", "c"};
    const float probs[] = {0.5f, 0.25f, 0.25f};
    struct label_lineage l = {.model = "small",
                              .preprocessing = "none",
                              .precision = "f32",
                              .isa = "none",
                              .n_classes = 3,
                              .top_k = 2};
    char path[512];
    struct corpus *c = NULL;
    struct shard_reader *r = NULL;
    struct label_writer *w = NULL;
    struct err e = {0};

    class_list_digest(classes, 3, &l.classes);
    help_corpus(help_path(path, root, "corpus"), VERIFY_IMAGES, 0, 0);
    assert_ok(corpus_open(path, &c, &e), e);
    (void)help_path(labels, root, "labels");
    assert_ok(fs_mkdirs(labels, &e), e);
    assert_ok(shard_reader_open(c, 0, false, &r, &e), e);
    assert_ok(label_writer_open(labels, &l, corpus_shard(c, 0), 0, "t", &w, &e), e);
    for (uint64_t p = 0; p < shard_reader_count(r); p++) {
        uint16_t cls[2];
        uint16_t logp[2];
        struct label label;

        label_from_probs(probs, 3, 2, cls, logp, &label);
        label.key = shard_reader_index(r)[p].key;
        assert_ok(label_writer_put(w, &label, 1, &e), e);
    }
    assert_ok(label_writer_seal(w, shard_reader_count(r), &e), e);
    label_writer_close(w);
    shard_reader_close(r);
    assert_ok(label_store_update(labels, &l, classes, c, &e), e);
    corpus_close(c);
}

static void every_flip_in_labels_is_found(void **state)
{
    char labels[512];

    make_labels(*state, labels);
    find_flips(labels, labels, "labels-000000.lmdb");
    find_flips(labels, labels, "labels.json");
}

static void every_flip_in_a_selection_is_found(void **state)
{
    const struct selection_entry entries[] = {{1, 0, 1}, {5, 2, 3}, {9, 1, 1}};
    struct selection_info info = {.n_classes = 3, .rule = "by hand"};
    struct selection_writer *w = NULL;
    char name[GUARD_NAME];
    char path[512];
    struct err e = {0};

    info.guards = json_array();
    claim(*state, "s.forbidden-", info.guards, name);
    assert_ok(selection_writer_create(help_path(path, *state, "s"), &w, &e), e);
    assert_ok(selection_writer_put(w, 0, entries, 3, &e), e);
    assert_ok(selection_writer_put(w, 2, entries, 2, &e), e);
    assert_ok(selection_writer_seal(w, &info, &e), e);
    selection_writer_close(w);
    json_decref(info.guards);
    find_flips(path, *state, "s.lmdb");
    find_flips(path, *state, "s.json");
    find_flips(path, *state, name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sound_corpus_has_no_faults, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(every_flip_in_a_corpus_is_found, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(one_damaged_shard_does_not_hide_the_next, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(a_sample_looks_at_some_shards, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(what_is_no_store_is_refused, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(every_flip_in_labels_is_found, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(every_flip_in_a_selection_is_found, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(every_flip_beside_the_shards_is_found, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(a_key_in_two_shards_is_a_fault, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(every_flip_in_a_run_is_found, help_setup, help_teardown)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

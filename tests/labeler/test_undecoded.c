/*
 * Images that cannot be decoded, in the labeling loop on any number of ranks: alone, and under mpirun
 * (tests/mpi/coll.sh).
 */
#include "shards/quarantine.h"
#include "tests/labeler/label_run_help.h"

/* Rank 0: the store of dir holds n labels, and key, alone, is bad and listed. */
static void expect_bad(struct corpus *c, const char *dir, const struct session *s, int n,
                       const struct key128 *key)
{
    static const char *const names[CLASSES] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    struct err e = {0};
    struct label_store *store = NULL;
    struct quarantine *q = NULL;
    int labels = 0, found = 0;
    ok(label_store_update(dir, &s->lineage, names, c, &e), &e);
    ok(label_store_open(dir, &store, &e), &e);
    assert_int_equal(label_store_bad(store), 1);
    for (int i = 0; i < label_store_shards(store); i++) {
        struct label_reader *r = NULL;
        struct label l;
        bool here = false;
        ok(label_reader_open(store, i, true, &r, &e), &e);
        ok(label_reader_get(r, key, &l, &here, &e), &e);
        labels += (int)label_reader_count(r);
        if (here) {
            found++;
            assert_true(l.confidence == 0);
            assert_int_equal(l.cls[1], 1);
            assert_int_equal(label_store_shard(store, i)->bad, 1);
        }
        label_reader_close(r);
    }
    assert_int_equal(found, 1);
    assert_int_equal(labels, n);
    ok(quarantine_open(dir, QUARANTINE_READ, &q, &e), &e);
    assert_int_equal(quarantine_entries(q), 1);
    assert_memory_equal(&quarantine_at(q, 0)->key, key, sizeof *key);
    assert_string_equal(quarantine_at(q, 0)->source, "made");
    assert_string_equal(quarantine_at(q, 0)->reason, "not-identified");
    assert_true(strlen(quarantine_at(q, 0)->detail) > 0);
    quarantine_close(q);
    label_store_close(store);
}

static void an_image_that_cannot_be_decoded_costs_itself_alone(void **state)
{
    (void)state;
    struct err e = {0};
    static const char junk[] = "this is not an image";
    struct corpus *c = corpus_of("bad", FEW, junk);
    char *dir = fresh_dir();
    struct key128 key;
    struct session s = session_of(4, 1, 3);
    struct label_lineage audited;
    static const char *const names[CLASSES] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    class_list_digest(names, CLASSES, &s.lineage.classes);
    audited = s.lineage;
    hash_key(junk, strlen(junk), &key);
    ok(label(c, dir, &s, &e), &e);
    if (rank == 0) {
        assert_int_equal(s.sum.labeled, FEW);
        assert_int_equal(s.sum.bad, 1);
        expect_bad(c, dir, &s, FEW + 1, &key);
    }
    meet();
    s = session_of(4, 1, 3); /* again: nothing is left to do, and nothing is listed twice */
    s.lineage = audited;
    ok(label(c, dir, &s, &e), &e);
    if (rank == 0) {
        char *ledger = fs_join(dir, "quarantine.jsonl");
        assert_int_equal(s.sum.labeled + s.sum.bad + s.sum.sealed, 0);
        expect_bad(c, dir, &s, FEW + 1, &key);
        assert_int_equal(unlink(ledger), 0);
        expect_bad(c, dir, &s, FEW + 1, &key); /* the ledger follows from the shards */
        mem_free(ledger);
    }
    meet();
    corpus_close(c);
    mem_free(dir);
}

/* The commit of the bad image's label is kept by a run that stops behind it. */
static void an_image_that_cannot_be_decoded_survives_a_stop(void **state)
{
    (void)state;
    struct err e = {0};
    static const char junk[] = "this is not an image";
    struct corpus *c = corpus_of("bad", FEW, junk);
    struct digest want, got;
    undisturbed(c, &want);
    for (int at = 1; at <= FEW + 1; at++) {
        char *dir = fresh_dir();
        struct session s = session_of(1, 1, 3);
        int64_t bad = 0;
        s.fake.stop_at = at;
        (void)!label(c, dir, &s, &e);
        bad = s.sum.bad;
        err_clear(&e);
        s = session_of(1, 1, 3);
        ok(label(c, dir, &s, &e), &e);
        if (rank == 0 && size == 1) {
            assert_int_equal(bad + s.sum.bad, 1);
        }
        digest_of(c, dir, &got);
        assert_memory_equal(&got, &want, sizeof got);
        mem_free(dir);
    }
    corpus_close(c);
}

int main(void)
{
    if (!begin()) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_that_cannot_be_decoded_costs_itself_alone),
        cmocka_unit_test(an_image_that_cannot_be_decoded_survives_a_stop),
    };
    return run_cases("undecoded", tests, sizeof tests / sizeof tests[0]);
}

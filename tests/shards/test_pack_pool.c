/* What pack makes of a file: by its header, or decoded. */
#include "shards/near_hashes.h"
#include "shards/pack.h"
#include "tests/shards/help.h"

/* Photos in root/photos into root/out. */
static enum rc pack(const char *root, struct pack_config *c, const char *out, struct pack_result *r,
                    struct err *e)
{
    char corpus[512];
    char path[512];
    const char *source = help_path(path, root, "photos");

    c->sources = c->retry ? NULL : &source;
    c->n_sources = c->retry ? 0 : 1;
    c->threads = 2;
    c->out = help_path(corpus, root, out);
    return pack_run(c, r, e);
}

/* short.jpg's header is whole, its pixels are not. */
static void by_headers_what_is_no_image_is_found_and_the_rest_waits_for_labels(void **state)
{
    struct pack_config c = {.unlabeled = true, .check = PACK_CHECK_HEADER};
    struct pack_config labeled = {.check = PACK_CHECK_HEADER};
    struct pack_config retry = {.retry = true, .check = PACK_CHECK_HEADER};
    struct pack_result r;
    struct corpus *corpus = NULL;
    struct near_hashes hashes;
    struct err e = {0};
    unsigned char data[128];
    char path[512];
    size_t bytes = 0;

    for (unsigned i = 0; i < 9; i++) {
        char name[64];

        (void)snprintf(name, sizeof name, "photos/%s/%u.jpg", i % 2 ? "dog" : "cat", i);
        help_write(*state, name, data, help_pgm(i, data));
    }
    bytes = help_pgm(77, data);
    help_text(*state, "photos/cat/text.jpg", "this is a text");
    help_write(*state, "photos/dog/short.jpg", data, bytes - 9);
    assert_int_equal(pack(*state, &labeled, "labeled", &r, &e), RC_USAGE);
    assert_non_null(strstr(e.msg, "--check header is for unlabeled corpora"));
    assert_false(fs_exists(help_path(path, *state, "labeled")));
    err_clear(&e);
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    assert_int_equal(r.added, 10);
    assert_int_equal(r.header_images, 10);
    assert_int_equal(r.quarantined, 1);
    assert_false(fs_exists(help_path(path, *state, "out/hashes-000000.bin")));
    c.check = PACK_CHECK_DECODE; /* what is there is not looked at again, what is new is */
    help_write(*state, "photos/dog/shorter.jpg", data, bytes - 10);
    help_write(*state, "photos/dog/whole.jpg", data, bytes);
    assert_ok(pack(*state, &c, "out", &r, &e), e);
    assert_int_equal(r.added, 1);
    assert_int_equal(r.quarantined, 1);
    assert_int_equal(r.header_images, 10);
    help_write(*state, "photos/dog/shorter.jpg", data, bytes - 11);
    assert_ok(pack(*state, &retry, "out", &r, &e), e);
    assert_int_equal(r.recovered, 1);
    assert_int_equal(r.header_images, 11);
    assert_ok(corpus_open(help_path(path, *state, "out"), &corpus, &e), e);
    assert_true(corpus_shard(corpus, 0)->header);
    assert_false(corpus_shard(corpus, 1)->header);
    assert_true(corpus_shard(corpus, 2)->header);
    assert_ok(near_hashes_open(corpus, 0, &hashes, &e), e);
    assert_int_equal(hashes.n, 10);
    near_hashes_close(&hashes);
    corpus_close(corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        by_headers_what_is_no_image_is_found_and_the_rest_waits_for_labels, help_setup,
        help_teardown)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/shards/help.h"

#include <signal.h>
#include <sys/resource.h>

#include "common/base/mem.h"
#include "shards/hashed_file.h"

enum { BLOCK = 1 << 20 };

static unsigned char byte_at(uint64_t i)
{
    return (unsigned char)(i * 2654435761u >> 13);
}

static void the_digest_is_that_of_the_file(void **state)
{
    static const size_t sizes[] = {0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 11 * BLOCK, 20 * BLOCK + 77};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct hashed_file *f = NULL;
        struct digest said;
        struct digest is;
        char path[512];
        uint64_t on_disk = 0;
        size_t done = 0;
        struct err e = {0};

        assert_ok(hashed_file_create(help_path(path, *state, "f"), &f, &e), e);
        while (done < sizes[i]) {
            unsigned char *to = NULL;
            void *out = NULL;
            size_t n = 0;

            assert_ok(hashed_file_room(f, sizes[i] - done, &out, &n, &e), e);
            assert_true(n > 0 && n <= sizes[i] - done);
            to = out;
            for (size_t k = 0; k < n; k++) {
                to[k] = byte_at(done + k);
            }
            done += n;
        }
        assert_int_equal(hashed_file_bytes(f), sizes[i]);
        assert_ok(hashed_file_finish(f, &said, &e), e);
        hashed_file_close(f);
        assert_ok(hash_file(path, &is, &e), e);
        assert_memory_equal(&said, &is, sizeof is);
        assert_ok(fs_size(path, &on_disk, &e), e);
        assert_int_equal(on_disk, sizes[i]);
    }
}

static void copies_and_zeros_go_over_the_ends_of_blocks(void **state)
{
    static unsigned char data[3 * BLOCK];
    static unsigned char back[8 * BLOCK];
    struct hashed_file *f = NULL;
    struct digest said;
    struct digest is;
    char path[512];
    char *text = NULL;
    size_t bytes = 0;
    struct err e = {0};

    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = byte_at(i);
    }
    assert_ok(hashed_file_create(help_path(path, *state, "f"), &f, &e), e);
    assert_ok(hashed_file_put(f, data, sizeof data, &e), e);
    assert_ok(hashed_file_zeros(f, BLOCK + 9, &e), e);
    assert_ok(hashed_file_put(f, data + 5, sizeof data - 5, &e), e);
    assert_ok(hashed_file_finish(f, &said, &e), e);
    hashed_file_close(f);
    memcpy(back, data, sizeof data);
    memcpy(back + sizeof data + BLOCK + 9, data + 5, sizeof data - 5);
    assert_ok(fs_read(path, sizeof back, &text, &bytes, &e), e);
    assert_int_equal(bytes, 2 * sizeof data + BLOCK + 4);
    assert_memory_equal(text, back, bytes);
    hash_digest(text, bytes, &is);
    assert_memory_equal(&said, &is, sizeof is);
    mem_free(text);
}

static void a_file_that_cannot_be_written_is_named(void **state)
{
    const struct rlimit little = {4 * BLOCK, RLIM_INFINITY};
    struct rlimit was;
    struct hashed_file *f = NULL;
    struct digest d;
    char path[512];
    struct err e = {0};
    enum rc rc = RC_OK;

    assert_int_equal(hashed_file_create(help_path(path, *state, "no/such/f"), &f, &e), RC_IO);
    assert_non_null(strstr(e.msg, "no/such/f"));
    err_clear(&e);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    assert_ok(hashed_file_create(help_path(path, *state, "f"), &f, &e), e);
    rc = hashed_file_zeros(f, 9 * BLOCK, &e);
    rc = rc == RC_OK ? hashed_file_finish(f, &d, &e) : rc;
    assert_int_equal(rc, RC_IO);
    assert_non_null(strstr(e.msg, "/f'"));
    hashed_file_close(f);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
}

int main(void)
{
#define CASE(f_) cmocka_unit_test_setup_teardown(f_, help_setup, help_teardown)
    const struct CMUnitTest tests[] = {CASE(the_digest_is_that_of_the_file),
                                       CASE(copies_and_zeros_go_over_the_ends_of_blocks),
                                       CASE(a_file_that_cannot_be_written_is_named)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

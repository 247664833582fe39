/** What the tests of shards share: a folder of their own, small files, a small corpus. */
#ifndef PRECEPTOR_TESTS_SHARDS_HELP_H
#define PRECEPTOR_TESTS_SHARDS_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "shards/class_list.h"
#include "shards/corpus_writer.h"

#define assert_ok(rc_, e_)                                                                         \
    do {                                                                                           \
        if ((rc_) != RC_OK) {                                                                      \
            fail_msg("%s", (e_).msg);                                                              \
        }                                                                                          \
    } while (0)
#define assert_says(e_, text_)                                                                     \
    do {                                                                                           \
        if (strstr((e_).msg, (text_)) == NULL) {                                                   \
            fail_msg("'%s' does not say '%s'", (e_).msg, (text_));                                 \
        }                                                                                          \
    } while (0)

/* A folder under TMPDIR, removed by help_teardown; *state holds its path. */
static inline int help_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;

    if (asprintf(&path, "%s/preceptor-test-XXXXXX", base != NULL ? base : "/tmp") < 0) {
        return -1;
    }
    *state = mkdtemp(path);
    return *state != NULL ? 0 : -1;
}

static inline int help_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline int help_teardown(void **state)
{
    int failed = nftw(*state, help_remove, 16, FTW_DEPTH | FTW_PHYS);

    free(*state);
    return failed;
}

/* dir/name in a buffer of the caller. */
static inline const char *help_path(char buf[512], const char *dir, const char *name)
{
    (void)snprintf(buf, 512, "%s/%s", dir, name);
    return buf;
}

static inline void help_write(const char *dir, const char *name, const void *data, size_t bytes)
{
    char path[512];
    char *slash = NULL;
    FILE *f = NULL;
    struct err e = {0};

    (void)help_path(path, dir, name);
    slash = strrchr(path, '/');
    *slash = '\0';
    assert_ok(fs_mkdirs(path, &e), e);
    *slash = '/';
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static inline void help_text(const char *dir, const char *name, const char *text)
{
    help_write(dir, name, text, strlen(text));
}

/* A PGM of 8 x 8 whose pixels follow from n. */
static inline size_t help_pgm(unsigned n, unsigned char out[128])
{
    int head = snprintf((char *)out, 128, "P5\n8 8\n255\n");

    for (int i = 0; i < 64; i++) {
        out[head + i] = (unsigned char)((n * 2654435761u >> (i % 24)) + (unsigned)i * (n + 1));
    }
    return (size_t)head + 64;
}

static inline void help_classes(struct class_list *l, int n)
{
    struct err e = {0};

    class_list_init(l);
    for (int i = 0; i < n; i++) {
        char name[16];
        int bytes = snprintf(name, sizeof name, "c%d", i);

        assert_ok(class_list_add(l, name, (size_t)bytes, &e), e);
    }
}

static inline struct corpus_writer *help_writer(const char *path, int classes, uint64_t shard_bytes)
{
    struct class_list l;
    struct corpus_writer_config config = {.path = path, .classes = &l, .shard_bytes = shard_bytes};
    struct corpus_writer *w = NULL;
    struct err e = {0};

    help_classes(&l, classes);
    assert_ok(corpus_writer_open(&config, &w, &e), e);
    class_list_release(&l);
    return w;
}

/* Image n as class cls from source. */
static inline enum corpus_added help_add(struct corpus_writer *w, unsigned n, int cls,
                                         const char *source)
{
    unsigned char data[128];
    struct corpus_image image = {.data = data,
                                 .bytes = help_pgm(n, data),
                                 .cls = cls,
                                 .source = source,
                                 .source_bytes = strlen(source)};
    enum corpus_added added = CORPUS_SAME;
    struct err e = {0};

    hash_key(data, image.bytes, &image.key);
    assert_ok(corpus_writer_add(w, &image, &added, &e), e);
    return added;
}

/* A corpus of n images: image i is of class i % classes (unlabeled for 0 classes), from "s/i". */
static inline void help_corpus(const char *path, unsigned n, int classes, uint64_t shard_bytes)
{
    struct corpus_writer *w = help_writer(path, classes, shard_bytes);
    struct err e = {0};

    for (unsigned i = 0; i < n; i++) {
        char source[32];

        (void)snprintf(source, sizeof source, "s/%u", i);
        (void)help_add(w, i, classes > 0 ? (int)i % classes : CORPUS_UNLABELED, source);
    }
    assert_ok(corpus_writer_flush(w, &e), e);
    corpus_writer_close(w);
}

#endif

/**
 * What the tests of image share: golden tables (tab-separated, a '#' line first), files, digests.
 * Paths are relative to the root of the tree, where the tests run.
 */
#ifndef PRECEPTOR_TESTS_GOLDEN_H
#define PRECEPTOR_TESTS_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/image/image_impl.h"

#define GOLDEN "tests/golden/image/"

enum { GOLDEN_COLUMNS = 12, GOLDEN_MAX = 64 << 20 };

struct golden_file {
    char *data;
    size_t bytes;
};

/** The codec of a test group: set up and torn down by cmocka. */
static struct codec *golden_codec;

static inline int golden_enter(void **state)
{
    (void)state;
    return codec_create(&golden_codec, NULL) == RC_OK ? 0 : -1;
}

static inline int golden_leave(void **state)
{
    (void)state;
    codec_destroy(golden_codec);
    return 0;
}

static inline struct golden_file golden_read(const char *folder, const char *name)
{
    struct golden_file f = {0};
    struct err e = {0};
    char *path = mem_sprintf("%s%s", folder, name);

    assert_non_null(path);
    if (fs_read(path, GOLDEN_MAX, &f.data, &f.bytes, &e) != RC_OK) {
        fail_msg("%s", e.msg);
    }
    mem_free(path);
    return f;
}

/** Call row with the columns of each line; returns the number of lines. */
static inline int golden_each(const char *table, void (*row)(char **columns, int n))
{
    struct golden_file f = golden_read(GOLDEN, table);
    char *rest = NULL;
    int rows = 0;

    for (char *line = strtok_r(f.data, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *columns[GOLDEN_COLUMNS];
        int n = 0;

        for (char *p = line; p != NULL && n < GOLDEN_COLUMNS; n++) {
            columns[n] = p;
            p = strchr(p, '\t');
            if (p != NULL) {
                *p++ = '\0';
            }
        }
        if (line[0] != '#') {
            row(columns, n);
            rows++;
        }
    }
    mem_free(f.data);
    return rows;
}

static inline int golden_int(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

/** The pixels have this SHA-256; what names the case in the message. */
static inline void golden_expect(const void *pixels, size_t bytes, const char *sha,
                                 const char *what)
{
    struct digest d;
    char hex[HASH_HEX_DIGEST];

    hash_digest(pixels, bytes, &d);
    hash_digest_hex(&d, hex);
    if (strcmp(hex, sha) != 0) {
        fail_msg("%s: the pixels differ from the golden ones", what);
    }
}

static inline enum image_filter golden_filter(const char *name)
{
    return strcmp(name, "bicubic") == 0 ? IMAGE_BICUBIC : IMAGE_BILINEAR;
}

/** A golden file decoded to (w, h, channels), copied to the heap (mem_free). */
static inline struct image golden_decode(const char *folder, const char *name, int channels)
{
    struct golden_file f = golden_read(folder, name);
    enum image_reason why = IMAGE_OK;
    struct image img = {0};
    struct err e = {0};
    uint8_t *copy = NULL;

    if (image_decode(golden_codec, f.data, f.bytes, channels, &img, &why, &e) != RC_OK) {
        fail_msg("%s: %s", name, e.msg);
    }
    copy = mem_aligned((size_t)img.w * (size_t)img.h * (size_t)img.c);
    assert_non_null(copy);
    memcpy(copy, img.pixels, (size_t)img.w * (size_t)img.h * (size_t)img.c);
    img.pixels = copy;
    mem_free(f.data);
    return img;
}

static inline size_t golden_bytes(const struct image *img)
{
    return (size_t)img->w * (size_t)img->h * (size_t)img->c;
}

#endif

/* A source from anywhere: an archive, an IDX file, a list or an image is walked to its end without
 * harm. The first byte chooses the name, the rest is the file. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shards/source.h"
#include "tests/fuzz/fuzz_dir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_expect(bool true_of_it)
{
    if (!true_of_it) {
        abort();
    }
}

static enum rc fuzz_known(void *ctx, const struct source_image *image, enum source_known *known,
                          struct err *e)
{
    (void)ctx;
    (void)e;
    fuzz_expect(image->path != NULL);
    *known = SOURCE_UNKNOWN;
    return RC_OK;
}

static void fuzz_texts(const struct source_image *image)
{
    fuzz_expect(strlen(image->text) < SOURCE_MAX_TEXT + 64);
    fuzz_expect(image->cls == NULL || strlen(image->cls) <= SOURCE_MAX_CLASS);
    fuzz_expect(image->inside >= image->text && image->inside <= image->text + strlen(image->text));
}

static enum rc fuzz_want(void *ctx, const struct source_image *image, bool *want, struct err *e)
{
    (void)ctx;
    (void)e;
    fuzz_texts(image);
    *want = true;
    return RC_OK;
}

static enum rc fuzz_image(void *ctx, const struct source_image *image, struct err *e)
{
    uint64_t *sum = ctx;
    const uint8_t *b = image->data;

    (void)e;
    fuzz_texts(image);
    for (size_t i = 0; i < image->bytes; i += 97) {
        *sum += b[i];
    }
    return RC_OK;
}

static enum rc fuzz_bad(void *ctx, const struct source_image *image, const char *reason,
                        const char *detail, struct err *e)
{
    (void)ctx;
    (void)e;
    fuzz_expect(image->text != NULL && reason != NULL && detail != NULL);
    return RC_OK;
}

static enum rc fuzz_done(void *ctx, const char *path, uint64_t bytes, int64_t mtime_ns,
                         struct err *e)
{
    (void)ctx;
    (void)path;
    (void)bytes;
    (void)mtime_ns;
    (void)e;
    return RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const ends[] = {"bin", "csv", "jsonl", "txt", "tsv"};
    const char *dir = fuzz_dir();
    uint64_t sum = 0;
    const struct source_visitor v = {.ctx = &sum,
                                     .known = fuzz_known,
                                     .want = fuzz_want,
                                     .image = fuzz_image,
                                     .bad = fuzz_bad,
                                     .done = fuzz_done};
    char path[512];
    const char *paths[] = {path};
    int fd = -1;

    if (size == 0) {
        return 0;
    }
    (void)snprintf(path, sizeof path, "%s/x.%s", dir, ends[data[0] % 5]);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    fuzz_expect(fd >= 0 && write(fd, data + 1, size - 1) == (ssize_t)size - 1 && close(fd) == 0);
    for (int names = 0; names < 2; names++) {
        struct err e = {0};
        enum rc rc = source_walk(paths, 1, names != 0, &v, &e);

        fuzz_expect((rc == RC_OK) == (e.msg[0] == '\0'));
    }
    (void)unlink(path);
    return 0;
}

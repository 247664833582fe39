/* A weight file from anywhere: refused with a sentence that names it, or its tensors lie side by side
 * over the whole of its data, their sizes are their shapes', and writing them anew gives a file that
 * holds the same. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/train/model.h"
#include "common/train/safetensors.h"
#include "tests/fuzz/fuzz_dir.h"

enum { FUZZ_FLOATS_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_expect(bool true_of_it)
{
    if (!true_of_it) {
        abort();
    }
}

static size_t fuzz_elements(const struct st_tensor *t)
{
    size_t n = 1;

    for (int i = 0; i < t->dims; i++) {
        fuzz_expect(t->shape[i] >= 0);
        n *= (size_t)t->shape[i];
    }
    return n;
}

static void fuzz_tensors(const struct st_file *f)
{
    const char *end = st_count(f) > 0 ? st_at(f, 0)->data : NULL;

    for (int i = 0; i < st_count(f); i++) {
        const struct st_tensor *t = st_at(f, i);
        size_t n = fuzz_elements(t);
        struct err e = {0};

        fuzz_expect(t->data == end && st_find(f, t->name) != NULL);
        end += t->bytes;
        if (n <= FUZZ_FLOATS_MAX) {
            float *x = malloc((n + 1) * sizeof *x);

            if (x != NULL && st_to_f32(t, x, &e) != RC_OK) {
                fuzz_expect(strstr(e.msg, "expected") != NULL);
            }
            free(x);
        }
    }
}

static void fuzz_again(const struct st_file *f, const char *path)
{
    struct st_tensor *tensors = mem_calloc((size_t)st_count(f) + 1, sizeof *tensors);
    struct st_file *back = NULL;
    struct err e = {0};

    if (tensors == NULL) {
        return;
    }
    for (int i = 0; i < st_count(f); i++) {
        tensors[i] = *st_at(f, i);
    }
    fuzz_expect(st_write(path, tensors, st_count(f), NULL, &e) == RC_OK);
    fuzz_expect(st_open(path, &back, &e) == RC_OK && st_count(back) == st_count(f));
    for (int i = 0; i < st_count(f); i++) {
        const struct st_tensor *a = st_at(f, i);
        const struct st_tensor *b = st_find(back, a->name);

        fuzz_expect(b != NULL && b->type == a->type && b->dims == a->dims && b->bytes == a->bytes);
        fuzz_expect(a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0);
    }
    st_close(back);
    mem_free(tensors);
}

/* Not through fs_write_atomic, which waits for the disk. */
static void fuzz_write(const char *path, const uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "wb");

    fuzz_expect(f != NULL && fwrite(data, 1, size, f) == size);
    fuzz_expect(fclose(f) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[320];
    struct st_file *f = NULL;
    struct model_info info = {0};
    struct err e = {0};

    (void)snprintf(path, sizeof path, "%s/weights", fuzz_dir());
    fuzz_write(path, data, size);
    if (st_open(path, &f, &e) != RC_OK) {
        fuzz_expect(strstr(e.msg, path) != NULL);
    } else {
        fuzz_tensors(f);
        if (model_probe(path, &info, &e) == RC_OK) {
            fuzz_expect(info.classes >= 1 && info.family[0] != '\0');
            model_info_release(&info);
        } else {
            fuzz_expect(strstr(e.msg, path) != NULL);
        }
        fuzz_again(f, path);
    }
    st_close(f);
    (void)unlink(path);
    return 0;
}

/* An image file from anywhere: decoded, or refused with a reason and a sentence; its header, its
 * evaluation crop and its random crop agree with that. */
#include <stdlib.h>

#include "common/image/augment.h"

enum { FUZZ_SIZE = 24, FUZZ_PIXELS = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_expect(bool true_of_it)
{
    if (!true_of_it) {
        abort();
    }
}

static void fuzz_crops(struct codec *k, const uint8_t *data, size_t size, bool whole)
{
    static const struct key128 key;
    struct image_eval p = {.size = FUZZ_SIZE,
                           .channels = 3,
                           .crop_pct = 0.8,
                           .filter = IMAGE_BICUBIC,
                           .reduced_dct = size % 2 == 1};
    uint8_t out[FUZZ_SIZE * FUZZ_SIZE * 3];
    enum image_reason why = IMAGE_OK;
    struct augment a;
    struct rng r;

    fuzz_expect((image_eval_file(k, &p, data, size, out, &why, NULL) == RC_OK) == whole);
    augment_default(&a);
    a.size = FUZZ_SIZE;
    rng_init(&r, size, RNG_TEST, 0, &key, 0);
    /* Damage below the crop is not seen. */
    fuzz_expect(augment_file(k, &a, data, size, &r, out, &why, NULL) == RC_OK || !whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct codec *k;
    enum image_reason why = IMAGE_OK;
    struct image img = {0};
    struct err e = {0};
    int w = 0;
    int h = 0;
    enum rc rc = RC_OK;

    if (k == NULL && codec_create(&k, NULL) != RC_OK) {
        abort();
    }
    if (image_probe(k, data, size, &w, &h, &why, &e) != RC_OK) {
        fuzz_expect(why != IMAGE_OK && e.msg[0] != '\0');
        fuzz_expect(image_decode(k, data, size, 3, &img, &why, NULL) == RC_INVAL);
        return 0;
    }
    if ((long long)w * h > FUZZ_PIXELS) {
        return 0;
    }
    rc = image_decode(k, data, size, 1 + 2 * (int)(size % 2), &img, &why, &e);
    fuzz_expect(rc == RC_OK || (rc == RC_INVAL && why != IMAGE_OK && e.msg[0] != '\0'));
    fuzz_expect(rc != RC_OK || (img.w == w && img.h == h));
    fuzz_crops(k, data, size, rc == RC_OK);
    return 0;
}

/* 291 odd JPEGs of decoders' own test suites, with a manifest that says what Pillow does with each.
 * They stand beside the repository where the project has them. */
#include <unistd.h>

#include "tests/common/image/golden.h"

#define ODD "../shared/data/odd-jpegs.tar"

enum { BLOCK = 512, ODD_N = 291, ODD_MAX = 512 };

struct odd {
    char name[128]; /* of the file, behind the folder of all */
    const char *data;
    size_t bytes;
    bool decodes;
};

static struct golden_file odd_tar;
static struct odd odd_files[ODD_MAX];
static int odd_n;

/* What the manifest's maker refused and we read, as the Pillow that we follow does but for the first. */
static const char *const odd_more[] = {
    "corrupt-fails/14_libexif__cve-2012-2813.jpg",         /* junk between segments */
    "not-jpeg/12_image-rs-jpeg-decoder__jpg-size-6x6.jpg", /* a PNG */
    "warns/12_pillow__truncated_exif_dpi.jpg",
};

enum { ODD_MORE = sizeof odd_more / sizeof odd_more[0] };

/* One entry of the tar (ustar, GNU long names); *at moves behind it. False at the end. */
static bool next_entry(size_t *at, char *name, size_t size, const char **data, size_t *bytes)
{
    char kind = 'L';

    name[0] = '\0';
    while (kind == 'L' || kind == 'x' || kind == '5') {
        const char *h = odd_tar.data + *at;

        if (*at + BLOCK > odd_tar.bytes || h[0] == '\0') {
            return false;
        }
        kind = h[156];
        *bytes = (size_t)strtoul(h + 124, NULL, 8);
        *data = h + BLOCK;
        *at += BLOCK + (*bytes + BLOCK - 1) / BLOCK * BLOCK;
        if (kind == 'L') {
            (void)snprintf(name, size, "%s", *data);
        } else if (kind != 'x' && name[0] == '\0') {
            (void)snprintf(name, size, "%s%s%.100s", h + 345, h[345] == '\0' ? "" : "/", h);
        }
        if (kind == '5') {
            name[0] = '\0';
        }
    }
    return true;
}

static void read_manifest(const char *text, size_t bytes)
{
    char *copy = mem_calloc(bytes + 1, 1);
    char *rest = NULL;

    assert_non_null(copy);
    memcpy(copy, text, bytes);
    for (char *line = strtok_r(copy, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *tab = strchr(line, '\t');
        char *p = tab;

        assert_non_null(tab);
        for (int i = 0; i < 6 && p != NULL; i++) {
            p = strchr(p + 1, '\t');
        }
        *tab = '\0';
        for (int i = 0; i < odd_n; i++) {
            if (strcmp(odd_files[i].name, line) == 0) {
                odd_files[i].decodes = p != NULL && strncmp(p, "\tok", 3) == 0;
            }
        }
    }
    mem_free(copy);
}

static int odd_enter(void **state)
{
    const char *manifest = NULL;
    const char *data = NULL;
    char name[256];
    size_t manifest_bytes = 0;
    size_t bytes = 0;
    size_t at = 0;

    if (golden_enter(state) != 0 || access(ODD, R_OK) != 0) {
        return access(ODD, R_OK) != 0 ? 0 : -1;
    }
    odd_tar = golden_read("", ODD);
    while (odd_n < ODD_MAX && next_entry(&at, name, sizeof name, &data, &bytes)) {
        const char *tail = strchr(name, '/');

        if (tail != NULL && strcmp(tail, "/MANIFEST.tsv") == 0) {
            manifest = data;
            manifest_bytes = bytes;
        } else if (tail != NULL) {
            struct odd *o = &odd_files[odd_n++];

            (void)snprintf(o->name, sizeof o->name, "%.127s", tail + 1);
            o->data = data;
            o->bytes = bytes;
        }
    }
    if (manifest != NULL) {
        read_manifest(manifest, manifest_bytes);
    }
    return 0;
}

static int odd_leave(void **state)
{
    mem_free(odd_tar.data);
    return golden_leave(state);
}

static void skip_without_files(void)
{
    if (odd_tar.data == NULL) {
        print_message("skipped: %s is not there\n", ODD);
        skip();
    }
}

static bool odd_decodes(const struct odd *o)
{
    for (int i = 0; i < ODD_MORE; i++) {
        if (strcmp(o->name, odd_more[i]) == 0) {
            return true;
        }
    }
    return o->decodes;
}

static void each_file_has_pillows_outcome(void **state)
{
    int decoded = 0;
    int lossless = 0;

    (void)state;
    skip_without_files();
    assert_int_equal(odd_n, ODD_N);
    for (int i = 0; i < odd_n; i++) {
        const struct odd *o = &odd_files[i];
        char *exact = mem_calloc(o->bytes, 1); /* so that a sanitizer sees a read past its end */
        enum image_reason why = IMAGE_REASON_N;
        struct image img = {0};
        struct err e = {0};
        enum rc rc = RC_OK;

        assert_non_null(exact);
        memcpy(exact, o->data, o->bytes);
        rc = image_decode(golden_codec, exact, o->bytes, 3, &img, &why, &e);
        mem_free(exact);
        if (odd_decodes(o) != (rc == RC_OK) || (rc != RC_OK) != (why != IMAGE_OK)) {
            fail_msg("%s: rc %d, %s, '%s'", o->name, (int)rc, image_reason_name(why), e.msg);
        }
        decoded += rc == RC_OK;
        lossless += why == IMAGE_UNSUPPORTED_KIND && strstr(e.msg, "lossless") != NULL;
    }
    assert_in_range(decoded, 120, 130);
    assert_in_range(lossless, 5, 20);
}

static void each_file_survives_the_crops(void **state)
{
    struct image_eval p = {.size = 32, .channels = 1, .crop_pct = 0.9, .filter = IMAGE_BICUBIC};
    uint8_t out[32 * 32];

    (void)state;
    skip_without_files();
    for (int i = 0; i < odd_n; i++) {
        const struct odd *o = &odd_files[i];
        enum image_reason full = IMAGE_OK;
        enum image_reason crop = IMAGE_OK;
        struct image img = {0};

        (void)!image_decode(golden_codec, o->data, o->bytes, 3, &img, &full, NULL);
        (void)!image_eval_file(golden_codec, &p, o->data, o->bytes, out, &crop, NULL);
        if (full != crop) {
            fail_msg("%s: whole %s, cropped %s", o->name, image_reason_name(full),
                     image_reason_name(crop));
        }
        p.reduced_dct = !p.reduced_dct;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_file_has_pillows_outcome),
        cmocka_unit_test(each_file_survives_the_crops),
    };

    return cmocka_run_group_tests(tests, odd_enter, odd_leave);
}

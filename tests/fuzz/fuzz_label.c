/* A label record and a label shard's description from anywhere: refused with a phrase, or such that
 * they hold what they must and writing them anew gives the same bytes.
 * Input: k - 1 (1 byte), classes / 2 (1 byte), key (16 bytes), record. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "shards/label_record_impl.h"

enum { FUZZ_HEAD = 18, FUZZ_MAX_CLASSES = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_expect(bool true_of_it)
{
    if (!true_of_it) {
        abort();
    }
}

static void fuzz_target(const struct label *l, int n_classes)
{
    static const double temperatures[] = {0, 0.01, 0.5, 1, 20};
    float target[FUZZ_MAX_CLASSES];

    for (int t = 0; t < 5; t++) {
        double sum = 0;

        label_to_target(l, n_classes, temperatures[t], target);
        for (int i = 0; i < n_classes; i++) {
            fuzz_expect(target[i] >= 0);
            sum += (double)target[i];
        }
        fuzz_expect(isfinite(sum));
    }
}

static void fuzz_parse(const uint8_t *key, const uint8_t *record, size_t bytes, int k,
                       int n_classes)
{
    uint8_t *again = NULL;
    struct label l;
    const char *wrong = label_record_parse(key, 16, record, bytes, k, n_classes, &l);

    if (wrong != NULL) {
        fuzz_expect(wrong[0] != '\0');
        return;
    }
    fuzz_expect(l.k == k && bytes == label_record_bytes(k));
    for (int i = 0; i < k; i++) {
        fuzz_expect(l.cls[i] < n_classes);
    }
    again = malloc(bytes);
    if (again != NULL) {
        label_record_write(&l, again);
        fuzz_expect(memcmp(again, record, bytes) == 0);
    }
    free(again);
    fuzz_target(&l, n_classes);
}

static void fuzz_record(const uint8_t *data, size_t size)
{
    size_t bytes = size - FUZZ_HEAD;
    int k = 1 + data[0];
    int n_classes = 2 * (1 + data[1]);
    uint8_t *record = malloc(bytes + 1);
    uint32_t crc = 0;

    if (record == NULL || k > n_classes) {
        free(record);
        return;
    }
    memcpy(record, data + FUZZ_HEAD, bytes);
    fuzz_parse(data + 2, record, bytes, k, n_classes);
    if (bytes > 4) { /* with its checksum mended, so that what stands behind it is reached */
        crc = hash_crc32(hash_crc32(0, data + 2, 16), record + 4, bytes - 4);
        memcpy(record, &crc, 4);
        fuzz_parse(data + 2, record, bytes, k, n_classes);
    }
    free(record);
}

static void fuzz_description(const uint8_t *data, size_t size)
{
    struct label_meta m;
    struct label_meta back;
    struct err e = {0};
    char *text = NULL;
    size_t bytes = 0;

    if (label_record_meta_parse(data, size, "fuzz", &m, &e) != RC_OK) {
        fuzz_expect(e.msg[0] != '\0');
        return;
    }
    fuzz_expect(m.top_k >= 1 && m.top_k <= m.n_classes && m.n_classes <= LABEL_MAX_CLASSES);
    if (label_record_meta_write(&m, &text, &bytes, &e) == RC_OK) {
        fuzz_expect(label_record_meta_parse(text, bytes, "fuzz", &back, &e) == RC_OK);
        fuzz_expect(back.labels == m.labels && strcmp(back.isa, m.isa) == 0);
    }
    mem_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_description(data, size);
    if (size >= FUZZ_HEAD) {
        fuzz_record(data, size);
    }
    return 0;
}

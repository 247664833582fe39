/* An image record from anywhere: refused, or such that writing it anew gives the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "shards/shard_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct shard_occurrence fuzz_occurrence(void *ctx, uint32_t i)
{
    const struct shard_record *rec = ctx;
    struct shard_occurrence o = {.cls = shard_record_class(rec, (int)i)};
    size_t bytes = 0;

    o.source = shard_record_source(rec, (int)i, &bytes);
    o.source_bytes = (uint32_t)bytes;
    return o;
}

static void fuzz_parse(const uint8_t *value, size_t size)
{
    struct shard_record rec;
    size_t text = 0;
    size_t bytes = 0;
    uint8_t *again = NULL;
    void *file = NULL;

    if (shard_record_parse(value, size, "fuzz", 0, &rec, NULL) != RC_OK) {
        return;
    }
    for (int i = 0; i < rec.n_occurrences; i++) {
        (void)shard_record_source(&rec, i, &bytes);
        text += bytes;
    }
    if (shard_record_size(rec.bytes, (uint32_t)rec.n_occurrences, text) != size) {
        abort();
    }
    again = malloc(size);
    if (again == NULL) {
        return;
    }
    file = shard_record_write(again, &rec.key, rec.bytes, (uint32_t)rec.n_occurrences, text,
                              fuzz_occurrence, &rec);
    memcpy(file, rec.data, rec.bytes);
    /* All but the padding, which a reader ignores. */
    if (memcmp(again + 4, value + 4, 36) != 0 || memcmp(file, rec.data, rec.bytes) != 0) {
        abort();
    }
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *mended = malloc(size + 1);
    uint32_t n = 0;
    uint32_t text = 0;

    fuzz_parse(data, size);
    /* Once more with the checksum mended, so that what stands behind it is reached. */
    if (mended != NULL && size >= 40) {
        uint64_t start = 0;
        uint32_t crc = 0;

        memcpy(mended, data, size);
        memcpy(&n, data + 32, 4);
        memcpy(&text, data + 36, 4);
        start = ((uint64_t)40 + 8 * (uint64_t)n + text + 7) / 8 * 8;
        if (start <= size) {
            uint64_t rest = size - start;

            memcpy(mended + 24, &rest, 8);
            crc = hash_crc32(0, mended + 4, (size_t)start - 4);
            memcpy(mended, &crc, 4);
            fuzz_parse(mended, size);
        }
    }
    free(mended);
    return 0;
}

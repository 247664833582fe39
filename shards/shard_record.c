#include "shards/shard_record.h"

#include <assert.h>
#include <string.h>

/* Offsets in a record. */
enum {
    RECORD_CRC = 0,    /* u32: CRC-32 of bytes 4 .. start of the file's bytes */
    RECORD_FORMAT = 4, /* u32 */
    RECORD_KEY = 8,    /* 16 bytes */
    RECORD_BYTES = 24, /* u64 */
    RECORD_N = 32,     /* u32 */
    RECORD_TEXT = 36,  /* u32: bytes of all sources */
    RECORD_HEADER = 40,
    RECORD_OCCURRENCE = 8, /* i32 class, u32 end of its source in the text */
    RECORD_FORMAT_NOW = 1
};

static uint32_t record_u32(const void *at)
{
    const uint8_t *b = at;

    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void record_put_u32(void *at, uint32_t v)
{
    uint8_t *b = at;

    for (int i = 0; i < 4; i++) {
        b[i] = (uint8_t)(v >> (8 * i));
    }
}

static uint64_t record_u64(const void *at)
{
    const uint8_t *b = at;

    return (uint64_t)record_u32(b) | (uint64_t)record_u32(b + 4) << 32;
}

/* Where the file's bytes start: a multiple of 8. */
static size_t record_data_at(uint32_t n, size_t text_bytes)
{
    return (RECORD_HEADER + (size_t)n * RECORD_OCCURRENCE + text_bytes + 7) / 8 * 8;
}

size_t shard_record_size(size_t bytes, uint32_t n, size_t text_bytes)
{
    return record_data_at(n, text_bytes) + bytes;
}

void *shard_record_write(void *value, const struct key128 *key, size_t bytes, uint32_t n,
                         size_t text_bytes, struct shard_occurrence (*next)(void *ctx, uint32_t i),
                         void *ctx)
{
    uint8_t *v = value;
    uint8_t *text = v + RECORD_HEADER + (size_t)n * RECORD_OCCURRENCE;
    size_t data_at = record_data_at(n, text_bytes);
    uint32_t end = 0;

    assert(n > 0 && text_bytes <= UINT32_MAX);
    memset(v, 0, data_at);
    record_put_u32(v + RECORD_FORMAT, RECORD_FORMAT_NOW);
    memcpy(v + RECORD_KEY, key->b, sizeof key->b);
    record_put_u32(v + RECORD_BYTES, (uint32_t)bytes);
    record_put_u32(v + RECORD_BYTES + 4, (uint32_t)((uint64_t)bytes >> 32));
    record_put_u32(v + RECORD_N, n);
    record_put_u32(v + RECORD_TEXT, (uint32_t)text_bytes);
    for (uint32_t i = 0; i < n; i++) {
        struct shard_occurrence o = next(ctx, i);

        assert(o.source_bytes <= text_bytes - end);
        if (o.source_bytes > 0) {
            memcpy(text + end, o.source, o.source_bytes);
        }
        end += o.source_bytes;
        record_put_u32(v + RECORD_HEADER + (size_t)i * RECORD_OCCURRENCE, (uint32_t)o.cls);
        record_put_u32(v + RECORD_HEADER + (size_t)i * RECORD_OCCURRENCE + 4, end);
    }
    assert(end == text_bytes);
    record_put_u32(v + RECORD_CRC, hash_crc32(0, v + RECORD_FORMAT, data_at - RECORD_FORMAT));
    return v + data_at;
}

static const char *record_flaw(const uint8_t *v, size_t size, uint32_t n, uint32_t text,
                               uint64_t bytes)
{
    uint32_t end = 0;
    size_t data_at = 0;

    if (n == 0 || n > INT32_MAX || n > (size - RECORD_HEADER) / RECORD_OCCURRENCE) {
        return "its count of occurrences cannot be";
    }
    if (text > size - RECORD_HEADER - (size_t)n * RECORD_OCCURRENCE) {
        return "its sources are longer than it is";
    }
    data_at = record_data_at(n, text);
    if (data_at > size || bytes != size - data_at) {
        return "its length is not what it says";
    }
    if (hash_crc32(0, v + RECORD_FORMAT, data_at - RECORD_FORMAT) != record_u32(v)) {
        return "its checksum is wrong";
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t next = record_u32(v + RECORD_HEADER + (size_t)i * RECORD_OCCURRENCE + 4);

        if (next < end || next > text) {
            return "its sources overlap";
        }
        end = next;
    }
    return end == text ? NULL : "its sources do not fill their place";
}

enum rc shard_record_parse(const void *value, size_t size, const char *where, uint64_t position,
                           struct shard_record *out, struct err *e)
{
    const uint8_t *v = value;
    const char *flaw = NULL;
    uint32_t n = 0;
    uint32_t text = 0;
    uint64_t bytes = 0;

    if (size < RECORD_HEADER) {
        return err_raise(e, RC_CORRUPT, "'%s' is damaged: record %llu has %zu bytes, expected %d",
                         where, (unsigned long long)position, size, RECORD_HEADER);
    }
    n = record_u32(v + RECORD_N);
    text = record_u32(v + RECORD_TEXT);
    bytes = record_u64(v + RECORD_BYTES);
    flaw = record_flaw(v, size, n, text, bytes);
    if (flaw != NULL) {
        return err_raise(e, RC_CORRUPT, "'%s' is damaged: record %llu: %s", where,
                         (unsigned long long)position, flaw);
    }
    if (record_u32(v + RECORD_FORMAT) != RECORD_FORMAT_NOW) {
        return err_raise(e, RC_UNSUPPORTED, "'%s': record %llu has format %lu, expected %d", where,
                         (unsigned long long)position, (unsigned long)record_u32(v + RECORD_FORMAT),
                         RECORD_FORMAT_NOW);
    }
    memcpy(out->key.b, v + RECORD_KEY, sizeof out->key.b);
    out->n_occurrences = (int)n;
    out->occurrences = v + RECORD_HEADER;
    out->bytes = (size_t)bytes;
    out->data = v + record_data_at(n, text);
    return RC_OK;
}

int32_t shard_record_class(const struct shard_record *rec, int i)
{
    const uint8_t *at = rec->occurrences;

    assert(i >= 0 && i < rec->n_occurrences);
    return (int32_t)record_u32(at + (size_t)i * RECORD_OCCURRENCE);
}

const char *shard_record_source(const struct shard_record *rec, int i, size_t *bytes)
{
    const uint8_t *at = rec->occurrences;
    const uint8_t *text = at + (size_t)rec->n_occurrences * RECORD_OCCURRENCE;
    uint32_t end = record_u32(at + (size_t)i * RECORD_OCCURRENCE + 4);
    uint32_t start = i == 0 ? 0 : record_u32(at + (size_t)i * RECORD_OCCURRENCE - 4);

    assert(i >= 0 && i < rec->n_occurrences);
    *bytes = end - start;
    return (const char *)text + start;
}

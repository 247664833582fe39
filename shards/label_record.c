#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "shards/label_record_impl.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "label shards and selections are read in place: their arrays are little-endian");

enum {
    RECORD_CRC = 0,        /* u32 of the key and of the record from byte 4 on */
    RECORD_CONFIDENCE = 4, /* f32 */
    RECORD_REST = 8,       /* f16 */
    RECORD_ENTRIES = 10    /* k classes (u16), then k log-probabilities (f16) */
};

const char *const label_record_tables[LABEL_TABLES] = {"labels", "meta"};

size_t label_record_bytes(int k)
{
    return RECORD_ENTRIES + 4 * (size_t)k;
}

static uint32_t record_crc(const void *key, const uint8_t *data, size_t bytes)
{
    uint32_t crc = hash_crc32(0, key, sizeof(struct key128));

    return hash_crc32(crc, data + RECORD_CONFIDENCE, bytes - RECORD_CONFIDENCE);
}

void label_record_write(const struct label *l, uint8_t *out)
{
    size_t half = 2 * (size_t)l->k;
    uint32_t crc = 0;

    memcpy(out + RECORD_CONFIDENCE, &l->confidence, 4);
    memcpy(out + RECORD_REST, &l->rest_logp, 2);
    memcpy(out + RECORD_ENTRIES, l->cls, half);
    memcpy(out + RECORD_ENTRIES + half, l->logp, half);
    crc = record_crc(&l->key, out, label_record_bytes(l->k));
    memcpy(out + RECORD_CRC, &crc, 4);
}

static bool record_is_log(uint16_t h)
{
    return h == 0 || (h >= 0x8000u && h <= 0xFC00u); /* 0 to -inf, no NaN */
}

const char *label_record_parse(const void *key, size_t key_bytes, const void *data, size_t bytes,
                               int k, int n_classes, struct label *out)
{
    const uint8_t *p = data;
    struct label l = {.k = k};
    uint32_t crc = 0;

    if (key_bytes != sizeof l.key) {
        return "its key does not have 16 bytes";
    }
    if (bytes != label_record_bytes(k)) {
        return "it does not have the size of a label";
    }
    if ((uintptr_t)p % _Alignof(uint16_t) != 0) {
        return "it is not aligned to 2 bytes";
    }
    memcpy(&crc, p + RECORD_CRC, 4);
    if (crc != record_crc(key, p, bytes)) {
        return "its checksum is wrong";
    }
    memcpy(&l.key, key, sizeof l.key);
    memcpy(&l.confidence, p + RECORD_CONFIDENCE, 4);
    memcpy(&l.rest_logp, p + RECORD_REST, 2);
    l.cls = (const uint16_t *)(const void *)(p + RECORD_ENTRIES);
    l.logp = l.cls + k;
    if (!(l.confidence >= 0 && l.confidence <= 1)) {
        return "its confidence is not in [0, 1]";
    }
    if (!record_is_log(l.rest_logp)) {
        return "its left-over mass is not a log-probability";
    }
    for (int i = 0; i < k; i++) {
        if (l.cls[i] >= n_classes) {
            return "it names a class that the list does not have";
        }
        if (!record_is_log(l.logp[i])) {
            return "it holds something that is not a log-probability";
        }
        if (i > 0 && (l.logp[i] | 0x8000u) < (l.logp[i - 1] | 0x8000u)) {
            return "its classes are not best first"; /* of negative halves the larger is less */
        }
    }
    *out = l;
    return NULL;
}

/* ---- what a shard says of itself ------------------------------------------------------------- */

void label_record_meta(const struct label_lineage *l, const struct corpus_shard *image, int shard,
                       struct label_meta *out)
{
    struct label_meta m = {.shard = shard, .top_k = l->top_k, .n_classes = l->n_classes};

    label_lineage_digest(l, &m.lineage);
    (void)snprintf(m.isa, sizeof m.isa, "%s", l->isa);
    (void)snprintf(m.image_shard, sizeof m.image_shard, "%s", image->name);
    m.image_digest = image->digest;
    *out = m;
}

enum rc label_record_audit_set(json_t *obj, const struct label_audit *a, struct err *e)
{
    if (a->images > 0 &&
        json_object_set_new(obj, "audit",
                            json_pack("{s:I, s:I, s:I}", "images", (json_int_t)a->images, "agree",
                                      (json_int_t)a->agree, "difference",
                                      (json_int_t)a->difference)) != 0) {
        return mem_raise(e, "the audit of a label shard", 0);
    }
    return RC_OK;
}

enum rc label_record_audit_get(const json_t *obj, const char *path, struct label_audit *out,
                               struct err *e)
{
    const json_t *audit = json_object_get(obj, "audit");
    int64_t images = 0;
    int64_t agree = 0;
    int64_t difference = 0;
    enum rc rc = RC_OK;

    *out = (struct label_audit){0};
    if (audit == NULL) {
        return RC_OK;
    }
    if ((rc = label_record_int(audit, path, "images", 1, UINT32_MAX, &images, e)) != RC_OK ||
        (rc = label_record_int(audit, path, "agree", 0, images, &agree, e)) != RC_OK ||
        (rc = label_record_int(audit, path, "difference", 0, 1000000, &difference, e)) != RC_OK) {
        return rc;
    }
    *out = (struct label_audit){(uint64_t)images, (uint64_t)agree, (uint64_t)difference};
    return RC_OK;
}

enum rc label_record_meta_write(const struct label_meta *m, char **text, size_t *bytes,
                                struct err *e)
{
    char lineage[HASH_HEX_DIGEST];
    char image[HASH_HEX_DIGEST];
    json_t *root = NULL;
    char *buf = NULL;
    size_t n = 0;

    hash_digest_hex(&m->lineage, lineage);
    hash_digest_hex(&m->image_digest, image);
    root = json_pack("{s:i, s:s, s:s, s:i, s:s, s:s, s:i, s:i, s:I}", "format", LABEL_FORMAT,
                     "lineage", lineage, "isa", m->isa, "shard", m->shard, "image_shard",
                     m->image_shard, "image_digest", image, "top_k", m->top_k, "n_classes",
                     m->n_classes, "labels", (json_int_t)m->labels);
    if (root != NULL && label_record_audit_set(root, &m->audit, e) != RC_OK) {
        json_decref(root);
        return RC_NOMEM;
    }
    if (root != NULL && m->bad > 0 &&
        json_object_set_new(root, "bad", json_integer((json_int_t)m->bad)) != 0) {
        json_decref(root);
        root = NULL;
    }
    n = root == NULL ? 0 : json_dumpb(root, NULL, 0, JSON_COMPACT | JSON_SORT_KEYS);
    buf = n == 0 ? NULL : mem_calloc(n + 1, 1);
    if (buf == NULL) {
        json_decref(root);
        return mem_raise(e, "the description of a label shard", n);
    }
    *bytes = json_dumpb(root, buf, n, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(root);
    *text = buf;
    return RC_OK;
}

enum rc label_record_int(const json_t *root, const char *path, const char *name, int64_t min,
                         int64_t max, int64_t *out, struct err *e)
{
    enum rc rc = json_get_int(root, path, name, out, e);

    if (rc == RC_OK && (*out < min || *out > max)) {
        rc = err_raise(e, RC_CORRUPT, "'%s': \"%s\" is %lld, expected %lld to %lld", path, name,
                       (long long)*out, (long long)min, (long long)max);
    }
    return rc;
}

enum rc label_record_text(const json_t *root, const char *path, const char *name, char *out,
                          size_t size, struct err *e)
{
    const char *s = NULL;
    enum rc rc = json_get_string(root, path, name, &s, e);

    if (rc == RC_OK && strlen(s) >= size) {
        rc =
            err_raise(e, RC_CORRUPT, "'%s': \"%s\" is longer than %zu bytes", path, name, size - 1);
    }
    if (rc == RC_OK) {
        memcpy(out, s, strlen(s) + 1);
    }
    return rc;
}

enum rc label_record_bad_get(const json_t *obj, const char *path, int64_t labels, int64_t *out,
                             struct err *e)
{
    *out = 0;
    return json_object_get(obj, "bad") != NULL
               ? label_record_int(obj, path, "bad", 0, labels, out, e)
               : RC_OK;
}

static enum rc meta_members(const json_t *root, const char *path, struct label_meta *m,
                            struct err *e)
{
    int64_t format = 0;
    int64_t shard = 0;
    int64_t k = 0;
    int64_t classes = 0;
    int64_t labels = 0;
    int64_t bad = 0;
    enum rc rc = label_record_int(root, path, "format", 1, INT32_MAX, &format, e);

    if (rc == RC_OK && format != LABEL_FORMAT) {
        rc = err_raise(e, RC_UNSUPPORTED,
                       "'%s' was written by a newer version: format %lld, this one reads %d", path,
                       (long long)format, LABEL_FORMAT);
    }
    if (rc != RC_OK || (rc = json_get_digest(root, path, "lineage", &m->lineage, e)) != RC_OK ||
        (rc = label_record_text(root, path, "isa", m->isa, sizeof m->isa, e)) != RC_OK ||
        (rc = label_record_int(root, path, "shard", 0, INT32_MAX, &shard, e)) != RC_OK ||
        (rc = label_record_text(root, path, "image_shard", m->image_shard, sizeof m->image_shard,
                                e)) != RC_OK ||
        (rc = json_get_digest(root, path, "image_digest", &m->image_digest, e)) != RC_OK ||
        (rc = label_record_int(root, path, "n_classes", 1, LABEL_MAX_CLASSES, &classes, e)) !=
            RC_OK ||
        (rc = label_record_int(root, path, "top_k", 1, classes, &k, e)) != RC_OK ||
        (rc = label_record_int(root, path, "labels", 0, UINT32_MAX, &labels, e)) != RC_OK ||
        (rc = label_record_bad_get(root, path, labels, &bad, e)) != RC_OK ||
        (rc = label_record_audit_get(root, path, &m->audit, e)) != RC_OK) {
        return rc;
    }
    m->shard = (int)shard;
    m->top_k = (int)k;
    m->n_classes = (int)classes;
    m->labels = (uint64_t)labels;
    m->bad = (uint64_t)bad;
    return RC_OK;
}

enum rc label_record_meta_parse(const void *text, size_t bytes, const char *path,
                                struct label_meta *out, struct err *e)
{
    struct label_meta m = {0};
    json_error_t why;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    enum rc rc = RC_OK;

    if (root == NULL) {
        return err_raise(e, RC_CORRUPT, "'%s': its description is not JSON: %s", path, why.text);
    }
    rc = meta_members(root, path, &m, e);
    json_decref(root);
    if (rc == RC_OK) {
        *out = m;
    }
    return rc;
}

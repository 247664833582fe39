#include "common/base/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/base/mem.h"
#include "common/base/watch.h"

struct hash {
    EVP_MD_CTX *ctx;
};

enum rc hash_create(struct hash **out, struct err *e)
{
    struct hash *h = mem_calloc(1, sizeof *h);

    if (h == NULL) {
        return mem_raise(e, "a SHA-256", sizeof *h);
    }
    h->ctx = EVP_MD_CTX_new();
    if (h->ctx == NULL || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
        hash_destroy(h);
        return err_raise(e, RC_LIB, "OpenSSL offers no SHA-256");
    }
    *out = h;
    return RC_OK;
}

void hash_destroy(struct hash *h)
{
    if (h != NULL) {
        EVP_MD_CTX_free(h->ctx);
        mem_free(h);
    }
}

/* A digest that was not made must never pass as a name: in a release build too. */
static void hash_must(bool ok)
{
    if (!ok) {
        abort();
    }
}

void hash_update(struct hash *h, const void *data, size_t bytes)
{
    hash_must(EVP_DigestUpdate(h->ctx, data, bytes) == 1);
}

void hash_final(struct hash *h, struct digest *out)
{
    unsigned n = 0;

    hash_must(EVP_DigestFinal_ex(h->ctx, out->b, &n) == 1 && n == sizeof out->b);
    hash_must(EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) == 1);
}

void hash_digest(const void *data, size_t bytes, struct digest *out)
{
    unsigned n = 0;

    hash_must(EVP_Digest(data, bytes, out->b, &n, EVP_sha256(), NULL) == 1 && n == sizeof out->b);
}

enum rc hash_file(const char *path, struct digest *out, struct err *e)
{
    enum { CHUNK = 1 << 20 };
    struct hash *h = NULL;
    unsigned char *buf = NULL;
    FILE *f = NULL;
    size_t n = 0;
    enum rc rc = hash_create(&h, e);

    if (rc != RC_OK) {
        return rc;
    }
    buf = mem_aligned(CHUNK);
    if (buf == NULL) {
        rc = mem_raise(e, "reading a file", CHUNK);
        goto out;
    }
    f = fopen(path, "rb");
    if (f == NULL) {
        rc = err_raise(e, RC_IO, "cannot open '%s': %s", path, strerror(errno));
        goto out;
    }
    while ((n = fread(buf, 1, CHUNK, f)) > 0) {
        hash_update(h, buf, n);
        watch_tick();
    }
    if (ferror(f)) {
        rc = err_raise(e, RC_IO, "cannot read '%s': %s", path, strerror(errno));
        goto out;
    }
    hash_final(h, out);
out:
    if (f != NULL) {
        (void)fclose(f);
    }
    mem_free(buf);
    hash_destroy(h);
    return rc;
}

void hash_key(const void *data, size_t bytes, struct key128 *out)
{
    struct digest d;

    hash_digest(data, bytes, &d);
    memcpy(out->b, d.b, sizeof out->b);
}

uint32_t hash_crc32(uint32_t crc, const void *data, size_t bytes)
{
    return (uint32_t)crc32_z(crc, data, bytes);
}

static void hash_hex(const uint8_t *b, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * n] = '\0';
}

void hash_key_hex(const struct key128 *key, char *out)
{
    hash_hex(key->b, sizeof key->b, out);
}

void hash_digest_hex(const struct digest *d, char *out)
{
    hash_hex(d->b, sizeof d->b, out);
}

static int hash_nibble(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool hash_unhex(const char *hex, uint8_t *b, size_t n)
{
    if (strlen(hex) != 2 * n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        int hi = hash_nibble(hex[2 * i]);
        int lo = hash_nibble(hex[2 * i + 1]);

        if (hi < 0 || lo < 0) {
            return false;
        }
        b[i] = (uint8_t)(hi * 16 + lo);
    }
    return true;
}

enum rc hash_key_parse(const char *hex, struct key128 *out, struct err *e)
{
    struct key128 k;

    if (!hash_unhex(hex, k.b, sizeof k.b)) {
        return err_raise(e, RC_INVAL, "'%.80s' is not a key: expected 32 hex digits", hex);
    }
    *out = k;
    return RC_OK;
}

enum rc hash_digest_parse(const char *hex, struct digest *out, struct err *e)
{
    struct digest d;

    if (!hash_unhex(hex, d.b, sizeof d.b)) {
        return err_raise(e, RC_INVAL, "'%.80s' is not a digest: expected 64 hex digits", hex);
    }
    *out = d;
    return RC_OK;
}

#include "shards/json_bytes.h"

#include <string.h>

#include "common/base/mem.h"

enum { JSON_BYTES_NAME = 64 };

static void json_bytes_hex_name(const char *name, char *out)
{
    size_t n = strnlen(name, JSON_BYTES_NAME - 5);

    memcpy(out, name, n);
    memcpy(out + n, "_hex", 5);
}

enum rc json_bytes_set(json_t *obj, const char *name, const void *data, size_t bytes, struct err *e)
{
    static const char digits[] = "0123456789abcdef";
    json_t *text = memchr(data, 0, bytes) == NULL ? json_stringn(data, bytes) : NULL;
    const unsigned char *b = data;
    char hex_name[JSON_BYTES_NAME];
    char *hex = NULL;
    int failed = 0;

    if (text != NULL) {
        return json_object_set_new(obj, name, text) == 0 ? RC_OK : mem_raise(e, name, bytes);
    }
    hex = mem_calloc(2 * bytes + 1, 1);
    if (hex == NULL) {
        return mem_raise(e, name, 2 * bytes);
    }
    for (size_t i = 0; i < bytes; i++) {
        hex[2 * i] = digits[b[i] >> 4];
        hex[2 * i + 1] = digits[b[i] & 15];
    }
    json_bytes_hex_name(name, hex_name);
    failed = json_object_set_new(obj, hex_name, json_string(hex));
    mem_free(hex);
    return failed == 0 ? RC_OK : mem_raise(e, name, bytes);
}

static int json_bytes_nibble(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum rc json_bytes_get(const json_t *obj, const char *path, const char *name, char **out,
                       size_t *bytes, struct err *e)
{
    char hex_name[JSON_BYTES_NAME];
    const json_t *text = json_object_get(obj, name);
    const json_t *hex = NULL;
    const char *s = NULL;
    char *p = NULL;
    size_t n = 0;

    json_bytes_hex_name(name, hex_name);
    hex = json_object_get(obj, hex_name);
    if (json_is_string(text)) {
        s = json_string_value(text);
        n = json_string_length(text);
    } else if (json_is_string(hex) && json_string_length(hex) % 2 == 0) {
        s = json_string_value(hex);
        n = json_string_length(hex) / 2;
    } else {
        return err_raise(e, RC_CORRUPT, "'%s': the member '%s' is missing: expected a text", path,
                         name);
    }
    p = mem_calloc(n + 1, 1);
    if (p == NULL) {
        return mem_raise(e, name, n);
    }
    if (json_is_string(text)) {
        memcpy(p, s, n);
    }
    for (size_t i = 0; i < n && !json_is_string(text); i++) {
        int hi = json_bytes_nibble(s[2 * i]);
        int lo = json_bytes_nibble(s[2 * i + 1]);

        if (hi < 0 || lo < 0) {
            mem_free(p);
            return err_raise(e, RC_CORRUPT, "'%s': the member '%s' is not hex", path, hex_name);
        }
        p[i] = (char)(hi * 16 + lo);
    }
    *out = p;
    *bytes = n;
    return RC_OK;
}

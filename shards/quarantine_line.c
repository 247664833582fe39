#include "shards/quarantine_line.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "shards/json_bytes.h"

/* The compact form with "crc", the CRC-32 of the compact form without it: free() *out. */
static enum rc line_dump(json_t *line, char **out, struct err *e)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
    json_int_t crc = text != NULL ? (json_int_t)hash_crc32(0, text, strlen(text)) : 0;

    free(text);
    *out = text != NULL && json_object_set_new(line, "crc", json_integer(crc)) == 0
               ? json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS)
               : NULL;
    return *out != NULL ? RC_OK : mem_raise(e, "a line of the quarantine ledger", 0);
}

enum rc quarantine_line_write(const struct quarantine_entry *entry, char **out, struct err *e)
{
    json_t *line = json_object();
    char hex[HASH_HEX_KEY];
    enum rc rc = RC_OK;

    hash_key_hex(&entry->key, hex);
    *out = NULL;
    if (json_object_set_new(line, "bytes", json_integer((json_int_t)entry->bytes)) != 0 ||
        json_object_set_new(line, "reason", json_string(entry->reason)) != 0 ||
        (entry->has_key && json_object_set_new(line, "key", json_string(hex)) != 0)) {
        rc = mem_raise(e, "a line of the quarantine ledger", 0);
    }
    if (rc == RC_OK) {
        rc = json_bytes_set(line, "source", entry->source, strlen(entry->source), e);
    }
    if (rc == RC_OK) {
        rc = json_bytes_set(line, "detail", entry->detail, strlen(entry->detail), e);
    }
    if (rc == RC_OK && entry->cls != NULL) {
        rc = json_bytes_set(line, "class", entry->cls, strlen(entry->cls), e);
    }
    if (rc == RC_OK) {
        rc = line_dump(line, out, e);
    }
    json_decref(line);
    return rc;
}

void quarantine_line_release(struct quarantine_entry *entry)
{
    char *texts[4];

    memcpy(&texts[0], &entry->source, sizeof texts[0]);
    memcpy(&texts[1], &entry->detail, sizeof texts[0]);
    memcpy(&texts[2], &entry->cls, sizeof texts[0]);
    memcpy(&texts[3], &entry->reason, sizeof texts[0]);
    for (int i = 0; i < 4; i++) {
        mem_free(texts[i]);
    }
}

/* Whether the line is exactly what line_dump writes for it. */
static enum rc line_sound(const char *path, uint64_t number, json_t *obj, const char *line,
                          size_t bytes, struct err *e)
{
    char *text = NULL;
    bool same = false;
    enum rc rc = RC_OK;

    (void)json_object_del(obj, "crc");
    rc = json_is_object(obj) ? line_dump(obj, &text, e) : RC_OK;
    same = text != NULL && strlen(text) == bytes && memcmp(text, line, bytes) == 0;
    free(text);
    if (rc == RC_OK && !same) {
        rc = err_raise(e, RC_CORRUPT, "'%s' is damaged: line %llu is not as it was written", path,
                       (unsigned long long)number);
    }
    return rc;
}

enum rc quarantine_line_parse(const char *path, uint64_t number, const char *line, size_t bytes,
                              struct quarantine_entry *out, struct err *e)
{
    json_t *obj = json_loadb(line, bytes, 0, NULL);
    const char *reason = NULL;
    const char *hex = json_string_value(json_object_get(obj, "key"));
    char *text[3] = {NULL, NULL, NULL};
    size_t n = 0;
    int64_t size = 0;
    enum rc rc = RC_OK;

    memset(out, 0, sizeof *out);
    if (obj == NULL) {
        return err_raise(e, RC_CORRUPT, "'%s' is damaged: line %llu is not JSON", path,
                         (unsigned long long)number);
    }
    rc = line_sound(path, number, obj, line, bytes, e);
    if (rc == RC_OK) {
        rc = json_bytes_get(obj, path, "source", &text[0], &n, e);
    }
    if (rc == RC_OK) {
        rc = json_bytes_get(obj, path, "detail", &text[1], &n, e);
    }
    if (rc == RC_OK && (json_object_get(obj, "class") || json_object_get(obj, "class_hex"))) {
        rc = json_bytes_get(obj, path, "class", &text[2], &n, e);
    }
    if (rc == RC_OK) {
        rc = json_get_string(obj, path, "reason", &reason, e);
    }
    if (rc == RC_OK) {
        rc = json_get_int(obj, path, "bytes", &size, e);
    }
    out->source = text[0];
    out->detail = text[1];
    out->cls = text[2];
    out->bytes = (uint64_t)size;
    out->has_key = hex != NULL && hash_key_parse(hex, &out->key, NULL) == RC_OK;
    out->reason = rc == RC_OK ? mem_strdup(reason) : NULL;
    if (rc == RC_OK && out->reason == NULL) {
        rc = mem_raise(e, "a reason", 0);
    }
    if (rc != RC_OK) {
        quarantine_line_release(out);
    }
    json_decref(obj);
    return rc;
}

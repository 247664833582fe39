#include "shards/forgotten.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/flat_file.h"

static const char forgotten_kind[] = "PRCFORG1";
static const char forgotten_name[] = "forgotten.bin";

/* Body: count, reasons, bytes of the reasons; entries; reasons. */
enum { FORGOTTEN_REASONS = 8, FORGOTTEN_TEXT = 12, FORGOTTEN_ENTRIES = 16 };

static bool forgotten_before(const struct forgotten_entry *a, const struct forgotten_entry *b)
{
    return a->shard != b->shard ? a->shard < b->shard : a->position < b->position;
}

static bool forgotten_sane(const struct forgotten *f)
{
    uint32_t lines = 0;

    for (uint32_t i = 0; i < f->reasons_bytes; i++) {
        if (f->reasons[i] == '\0') { /* the reasons are one string */
            return false;
        }
        lines += f->reasons[i] == '\n';
    }
    if (lines != f->n_reasons) {
        return false;
    }
    for (uint64_t i = 0; i < f->n; i++) {
        if (f->entries[i].reason >= f->n_reasons || f->entries[i].occurrences == 0 ||
            (i > 0 && !forgotten_before(&f->entries[i - 1], &f->entries[i]))) {
            return false;
        }
    }
    return true;
}

static bool forgotten_parse(const unsigned char *body, size_t bytes, struct forgotten *f)
{
    if (bytes < FORGOTTEN_ENTRIES) {
        return false;
    }
    memcpy(&f->n, body, sizeof f->n);
    memcpy(&f->n_reasons, body + FORGOTTEN_REASONS, sizeof f->n_reasons);
    memcpy(&f->reasons_bytes, body + FORGOTTEN_TEXT, sizeof f->reasons_bytes);
    if (f->n > (bytes - FORGOTTEN_ENTRIES) / sizeof *f->entries ||
        bytes != FORGOTTEN_ENTRIES + (size_t)f->n * sizeof *f->entries + f->reasons_bytes) {
        return false;
    }
    f->entries = (const void *)(body + FORGOTTEN_ENTRIES);
    f->reasons = (const char *)(f->entries + f->n);
    return forgotten_sane(f);
}

enum rc forgotten_read(const char *dir, struct forgotten *out, struct err *e)
{
    char *path = fs_join(dir, forgotten_name);
    struct forgotten f = {NULL, NULL, 0, NULL, 0, 0};
    size_t bytes = 0;
    enum rc rc = path != NULL ? flat_file_read(path, forgotten_kind, &f.block, &bytes, e)
                              : mem_raise(e, "a path", strlen(dir));

    if (rc == RC_OK && f.block != NULL && !forgotten_parse(f.block + FLAT_FILE_HEAD, bytes, &f)) {
        rc =
            err_raise(e, RC_CORRUPT, "'%s' is damaged: its tombstones contradict each other", path);
    }
    if (rc == RC_OK) {
        *out = f;
    } else {
        mem_free(f.block);
    }
    mem_free(path);
    return rc;
}

void forgotten_release(struct forgotten *f)
{
    mem_free(f->block);
    memset(f, 0, sizeof *f);
}

const char *forgotten_reason(const struct forgotten *f, uint32_t i, size_t *bytes)
{
    const char *line = f->reasons;

    for (; i > 0; i--) {
        line = strchr(line, '\n') + 1;
    }
    *bytes = (size_t)(strchr(line, '\n') - line);
    return line;
}

static void forgotten_merge(const struct forgotten *f, const struct forgotten_entry *more,
                            uint64_t n, struct forgotten_entry *out)
{
    uint64_t i = 0;

    for (uint64_t k = 0; k < n; k++) {
        while (i < f->n && forgotten_before(&f->entries[i], &more[k])) {
            *out++ = f->entries[i++];
        }
        *out = more[k];
        out->reason = f->n_reasons;
        out++;
    }
    while (i < f->n) {
        *out++ = f->entries[i++];
    }
}

enum rc forgotten_write(const char *dir, const struct forgotten *f,
                        const struct forgotten_entry *more, uint64_t n, const char *reason,
                        struct err *e)
{
    const uint64_t all = f->n + n;
    const uint32_t n_reasons = f->n_reasons + 1;
    const uint32_t text = f->reasons_bytes + (uint32_t)strlen(reason) + 1;
    const size_t bytes = FORGOTTEN_ENTRIES + (size_t)all * sizeof *more + text;
    char *path = fs_join(dir, forgotten_name);
    unsigned char *block = NULL;
    enum rc rc =
        path != NULL ? flat_file_create(bytes, &block, e) : mem_raise(e, "a path", strlen(dir));

    if (rc == RC_OK) {
        unsigned char *body = block + FLAT_FILE_HEAD;
        unsigned char *texts = body + bytes - text;

        memcpy(body, &all, sizeof all);
        memcpy(body + FORGOTTEN_REASONS, &n_reasons, sizeof n_reasons);
        memcpy(body + FORGOTTEN_TEXT, &text, sizeof text);
        forgotten_merge(f, more, n, (void *)(body + FORGOTTEN_ENTRIES));
        if (f->reasons_bytes > 0) {
            memcpy(texts, f->reasons, f->reasons_bytes);
        }
        memcpy(texts + f->reasons_bytes, reason, strlen(reason));
        texts[text - 1] = '\n';
        rc = flat_file_write(path, forgotten_kind, block, bytes, e);
    }
    mem_free(block);
    mem_free(path);
    return rc;
}

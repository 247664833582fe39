#include "shards/pack_retry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/log.h"
#include "common/base/mem.h"

struct pack_retry {
    struct quarantine *q;
    char **sources; /* sorted, each once */
    int n_sources;
    bool *recovered; /* of the entry that quarantine_find gives for a source */
};

/* The file that a source text stands in: all of it, or what is before a '!'. NULL: none is there. */
static char *retry_file(const char *source, bool *no_memory)
{
    char *path = mem_strdup(source);
    struct stat st;

    *no_memory = path == NULL;
    for (char *end = path; path != NULL;) {
        end = strchr(end, '!');
        if (end != NULL) {
            *end = '\0';
        }
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            return path;
        }
        if (end == NULL) {
            mem_free(path);
            return NULL;
        }
        *end++ = '!';
    }
    return NULL;
}

static int retry_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void retry_unique(struct pack_retry *r)
{
    int kept = 0;

    if (r->n_sources == 0) {
        return;
    }
    qsort(r->sources, (size_t)r->n_sources, sizeof *r->sources, retry_compare);
    for (int i = 1; i < r->n_sources; i++) {
        if (strcmp(r->sources[i], r->sources[kept]) == 0) {
            mem_free(r->sources[i]);
        } else {
            r->sources[++kept] = r->sources[i];
        }
    }
    r->n_sources = kept + 1;
}

enum rc pack_retry_create(struct quarantine *q, struct pack_retry **out, struct err *e)
{
    struct pack_retry *r = mem_calloc(1, sizeof *r);
    uint64_t n = quarantine_entries(q);
    enum rc rc = RC_OK;

    if (r == NULL) {
        return mem_raise(e, "a retry", sizeof *r);
    }
    r->q = q;
    r->sources = mem_calloc(n, sizeof *r->sources);
    r->recovered = mem_calloc(n, sizeof *r->recovered);
    if (r->sources == NULL || r->recovered == NULL) {
        rc = mem_raise(e, "a retry", n * sizeof *r->sources);
    }
    for (uint64_t i = 0; i < n && rc == RC_OK; i++) {
        const char *source = quarantine_at(q, i)->source;
        bool no_memory = false;
        char *path = retry_file(source, &no_memory);

        if (path != NULL) {
            r->sources[r->n_sources++] = path;
        } else if (no_memory) {
            rc = mem_raise(e, "a path", strlen(source));
        } else {
            log_warn("shards", "'%s' is no file that is there: it stays in quarantine", source);
        }
    }
    if (rc != RC_OK) {
        pack_retry_destroy(r);
        return rc;
    }
    retry_unique(r);
    *out = r;
    return RC_OK;
}

void pack_retry_destroy(struct pack_retry *r)
{
    if (r == NULL) {
        return;
    }
    for (int i = 0; i < r->n_sources; i++) {
        mem_free(r->sources[i]);
    }
    mem_free(r->sources);
    mem_free(r->recovered);
    mem_free(r);
}

const char *const *pack_retry_sources(const struct pack_retry *r, int *n)
{
    *n = r->n_sources;
    return (const char *const *)r->sources;
}

bool pack_retry_wants(const struct pack_retry *r, const char *source,
                      const struct quarantine_entry **entry)
{
    uint64_t i = 0;

    if (!quarantine_find(r->q, source, &i)) {
        return false;
    }
    *entry = quarantine_at(r->q, i);
    return true;
}

void pack_retry_recovered(struct pack_retry *r, const char *source)
{
    uint64_t i = 0;

    if (quarantine_find(r->q, source, &i)) {
        r->recovered[i] = true;
    }
}

enum rc pack_retry_end(struct pack_retry *r, uint64_t *n, struct err *e)
{
    uint64_t all = quarantine_entries(r->q);
    bool *dropped = mem_calloc(all, sizeof *dropped);
    enum rc rc = RC_OK;

    *n = 0;
    if (dropped == NULL) {
        return mem_raise(e, "a retry", all);
    }
    for (uint64_t i = 0; i < quarantine_entries(r->q); i++) {
        uint64_t at = i;

        (void)quarantine_find(r->q, quarantine_at(r->q, i)->source, &at);
        dropped[i] = r->recovered[at];
        *n += dropped[i] ? 1 : 0;
    }
    if (*n > 0) {
        rc = quarantine_keep(r->q, dropped, e);
    }
    mem_free(dropped);
    return rc;
}

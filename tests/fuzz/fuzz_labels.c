/* A labels.json or a selection's .json from anywhere, its digest made right: refused with a sentence,
 * or a store whose facts hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shards/label_store.h"
#include "shards/manifest.h"
#include "shards/selection.h"
#include "tests/fuzz/fuzz_dir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_expect(bool true_of_it)
{
    if (!true_of_it) {
        abort();
    }
}

static void fuzz_facts(struct label_store *s)
{
    const struct label_lineage *l = label_store_lineage(s);
    struct label_reader *r = NULL;
    struct err e = {0};
    int after = -1;

    fuzz_expect(l->top_k >= 1 && l->top_k <= l->n_classes);
    fuzz_expect(label_store_class(s, l->n_classes - 1) != NULL);
    for (int i = 0; i < label_store_shards(s); i++) {
        const struct label_shard *shard = label_store_shard(s, i);

        fuzz_expect(shard->shard > after && strchr(shard->name, '/') == NULL);
        fuzz_expect(label_store_find(s, shard->shard) == i);
        fuzz_expect(label_reader_open(s, i, false, &r, &e) != RC_OK && e.msg[0] != '\0');
        after = shard->shard;
    }
}

static void fuzz_labels(const char *dir, json_t *root)
{
    struct label_store *s = NULL;
    struct err e = {0};
    char path[512];

    (void)snprintf(path, sizeof path, "%s/labels.json", dir);
    if (manifest_write(path, "labels", LABEL_FORMAT, root, &e) == RC_OK) {
        enum rc rc = label_store_open(dir, &s, &e);

        if (rc == RC_OK) {
            fuzz_facts(s);
        }
        fuzz_expect((rc == RC_OK) == (e.msg[0] == '\0'));
        label_store_close(s);
    }
    (void)unlink(path);
}

/* There is no .lmdb beside it, so it must be refused. */
static void fuzz_selection(const char *dir, json_t *root)
{
    struct selection *s = NULL;
    struct err e = {0};
    char path[512];

    (void)snprintf(path, sizeof path, "%s/s.json", dir);
    if (manifest_write(path, "selection", 1, root, &e) == RC_OK) {
        fuzz_expect(selection_open(path, &s, &e) != RC_OK && e.msg[0] != '\0');
    }
    (void)unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *root = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(root)) {
        fuzz_labels(fuzz_dir(), root);
        fuzz_selection(fuzz_dir(), root);
    }
    json_decref(root);
    return 0;
}

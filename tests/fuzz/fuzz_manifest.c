/* A corpus.json from anywhere, its digest made right: refused, or a corpus whose facts hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shards/corpus.h"
#include "shards/manifest.h"
#include "tests/fuzz/fuzz_dir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_expect(bool true_of_it)
{
    if (!true_of_it) {
        abort();
    }
}

static void fuzz_facts(const struct corpus *c)
{
    uint64_t images = 0;

    fuzz_expect(corpus_labeled(c) == (corpus_classes(c) > 0));
    for (int i = 0; i < corpus_shards(c); i++) {
        images += corpus_shard(c, i)->images;
        fuzz_expect(strchr(corpus_shard(c, i)->name, '/') == NULL);
    }
    fuzz_expect(images == corpus_images(c) && corpus_occurrences(c) >= images);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *dir = fuzz_dir();
    char path[512];
    struct corpus *c = NULL;
    struct err e = {0};
    json_t *root = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(root)) {
        json_decref(root);
        return 0;
    }
    (void)snprintf(path, sizeof path, "%s/corpus.json", dir);
    if (manifest_write(path, CORPUS_KIND, CORPUS_FORMAT, root, &e) == RC_OK) {
        enum rc rc = corpus_open(dir, &c, &e);

        if (rc == RC_OK) {
            fuzz_facts(c);
        }
        fuzz_expect((rc == RC_OK) == (e.msg[0] == '\0'));
        corpus_close(c);
    }
    (void)unlink(path);
    json_decref(root);
    return 0;
}

/* A selection whose totals and entries come from anywhere, its digests made right: refused, or an epoch in
 * its order names only images that the corpus has. The first byte says how many bytes are the totals. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "shards/corpus_impl.h"
#include "shards/epoch_order.h"
#include "shards/lmdb_file.h"
#include "shards/manifest.h"
#include "shards/selection_impl.h"
#include "tests/fuzz/fuzz_dir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_SHARDS = 3, FUZZ_IMAGES = 6, FUZZ_LOOKS = 200 };

static volatile uint64_t fuzz_sink; /* so that all is read */

static void fuzz_expect(bool true_of_it)
{
    if (!true_of_it) {
        abort();
    }
}

static void fuzz_path(char *out, size_t room, const char *name)
{
    (void)snprintf(out, room, "%s/%s", fuzz_dir(), name);
}

/* s.lmdb and s.json of so many totals; entries (bytes) are cut into as many parts. */
static void fuzz_write(const uint8_t *totals, size_t n, const uint8_t *entries, size_t bytes)
{
    static const char none[] = "0000000000000000000000000000000000000000000000000000000000000000";
    char tmp[512], path[512], hex[HASH_HEX_DIGEST];
    struct lmdb_file *f = NULL;
    struct digest d;
    uint64_t size = 0, sums[2] = {0, 0};
    json_t *root = NULL;

    fuzz_path(tmp, sizeof tmp, "s.lmdb.tmp.1");
    fuzz_path(path, sizeof path, "s.lmdb");
    fuzz_expect(lmdb_file_create(tmp, selection_tables, SELECTION_TABLES, &f, NULL) == RC_OK);
    for (size_t i = 0; i < n; i++) {
        struct selection_total t;
        uint8_t key[SELECTION_KEY];
        size_t part = bytes / n;

        memcpy(&t, totals + i * sizeof t, sizeof t);
        sums[0] += t.images;
        sums[1] += t.copies;
        selection_key((int)i, key);
        fuzz_expect(lmdb_file_put(f, SELECTION_SHARDS, key, sizeof key, entries + i * part, part,
                                  true, NULL) == RC_OK);
    }
    fuzz_expect(lmdb_file_put(f, SELECTION_META, SELECTION_TOTALS, strlen(SELECTION_TOTALS), totals,
                              n * sizeof(struct selection_total), true, NULL) == RC_OK);
    fuzz_expect(lmdb_file_seal(f, tmp, path, &d, &size, NULL) == RC_OK);
    hash_digest_hex(&d, hex);
    root = json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:i,s:I,s:I,s:I}", "corpus", none, "labels", none,
                     "classes", none, "file_digest", hex, "rule", "fuzz", "n_classes", 5, "shards",
                     (int)n, "images", (json_int_t)(sums[0] & INT64_MAX), "total",
                     (json_int_t)(sums[1] & INT64_MAX), "bytes", (json_int_t)size);
    fuzz_path(path, sizeof path, "s.json");
    fuzz_expect(manifest_write(path, SELECTION_KIND, SELECTION_FORMAT, root, NULL) == RC_OK);
    json_decref(root);
}

static struct corpus *fuzz_corpus(void)
{
    struct corpus *c = NULL;

    fuzz_expect(corpus_create(fuzz_dir(), false, NULL, &c, NULL) == RC_OK);
    for (int i = 0; i < FUZZ_SHARDS; i++) {
        struct corpus_shard s = {.images = FUZZ_IMAGES, .occurrences = FUZZ_IMAGES};

        fuzz_expect(corpus_append_shard(c, &s, NULL) == RC_OK);
    }
    return c;
}

static void fuzz_order(struct selection *s)
{
    struct epoch_order_config config = {.corpus = fuzz_corpus(), .selection = s, .seed = 1};
    struct epoch_order *o = NULL;
    struct epoch_item item;
    struct err e = {0};

    if (epoch_order_create(&config, &o, &e) == RC_OK) {
        for (uint64_t t = 0; t < epoch_order_length(o) && t < FUZZ_LOOKS; t++) {
            if (epoch_order_at(o, t, &item, &e) != RC_OK) {
                break;
            }
            fuzz_expect(item.shard >= 0 && item.shard < FUZZ_SHARDS && item.position < FUZZ_IMAGES);
        }
    }
    epoch_order_destroy(o);
    corpus_close(config.corpus);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t n = size > 0 ? 1 + data[0] % FUZZ_SHARDS : 0;
    const size_t head = 1 + n * sizeof(struct selection_total);
    struct selection *s = NULL;
    struct err e = {0};
    char path[512];

    if (n == 0 || size < head || size > 4096) {
        return 0;
    }
    fuzz_write(data + 1, n, data + head, size - head);
    fuzz_path(path, sizeof path, "s.lmdb");
    if (selection_open(path, &s, &e) == RC_OK) {
        for (size_t i = 0; i < n; i++) {
            const struct selection_entry *entries = NULL;
            uint64_t images = 0, total = 0;

            if (selection_shard(s, (int)i, &entries, &images, &total, &e) == RC_OK) {
                for (uint64_t k = 0; k < images; k++) {
                    fuzz_sink += entries[k].position + entries[k].copies;
                }
            }
        }
        fuzz_order(s);
    }
    fuzz_expect(s != NULL || e.msg[0] != '\0');
    selection_close(s);
    (void)unlink(path);
    fuzz_path(path, sizeof path, "s.json");
    (void)unlink(path);
    return 0;
}

/* The body of forgotten.bin (a first byte that is even) or of hashes-000000.bin from anywhere, its digest
 * made right: refused or made anew, or all that it says can be read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "shards/corpus_impl.h"
#include "shards/flat_file.h"
#include "shards/forgotten.h"
#include "shards/near_hashes.h"
#include "tests/fuzz/fuzz_dir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t fuzz_sink; /* so that all is read */

static void fuzz_expect(bool true_of_it)
{
    if (!true_of_it) {
        abort();
    }
}

static void fuzz_write(const char *name, const char *kind, const uint8_t *body, size_t bytes,
                       char *path, size_t room)
{
    unsigned char *block = NULL;

    (void)snprintf(path, room, "%s/%s", fuzz_dir(), name);
    fuzz_expect(flat_file_create(bytes, &block, NULL) == RC_OK);
    if (bytes > 0) {
        memcpy(block + FLAT_FILE_HEAD, body, bytes);
    }
    fuzz_expect(flat_file_write(path, kind, block, bytes, NULL) == RC_OK);
    mem_free(block);
}

static void fuzz_forgotten(void)
{
    struct forgotten f = {0};
    struct err e = {0};
    size_t bytes = 0;

    if (forgotten_read(fuzz_dir(), &f, &e) != RC_OK) {
        fuzz_expect(strstr(e.msg, "forgotten.bin") != NULL);
        return;
    }
    for (uint64_t i = 0; i < f.n; i++) {
        const char *reason = forgotten_reason(&f, f.entries[i].reason, &bytes);

        fuzz_expect(reason >= f.reasons && bytes < f.reasons_bytes &&
                    (size_t)(reason - f.reasons) + bytes < f.reasons_bytes);
        fuzz_sink += bytes + f.entries[i].occurrences;
    }
    forgotten_release(&f);
}

/* A corpus of one shard of as many images as fit, with the digest that the body names. */
static void fuzz_near(const uint8_t *body, size_t bytes)
{
    struct corpus_shard shard = {.name = "images-000000.lmdb"};
    struct near_hashes h = {0};
    struct corpus *c = NULL;
    struct err e = {0};

    shard.images = shard.occurrences = bytes > 40 ? (bytes - 40) / sizeof *h.entries : 1;
    if (bytes >= sizeof shard.digest) {
        memcpy(&shard.digest, body, sizeof shard.digest);
    }
    fuzz_expect(corpus_create(fuzz_dir(), false, NULL, &c, &e) == RC_OK);
    if (corpus_append_shard(c, &shard, &e) == RC_OK && near_hashes_open(c, 0, &h, &e) == RC_OK) {
        for (uint64_t i = 0; i < h.n; i++) {
            fuzz_sink += h.entries[i].hash ^ h.entries[i].occurrences;
        }
        near_hashes_close(&h);
    }
    corpus_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[512];

    if (size == 0) {
        return 0;
    }
    log_init(&(struct log_config){0, 1, (enum log_level)(LOG_WARN + 1)});
    if (data[0] % 2 == 0) {
        fuzz_write("forgotten.bin", "PRCFORG1", data + 1, size - 1, path, sizeof path);
        fuzz_forgotten();
    } else {
        fuzz_write("hashes-000000.bin", "PRCHASH1", data + 1, size - 1, path, sizeof path);
        fuzz_near(data + 1, size - 1);
    }
    (void)unlink(path);
    return 0;
}

/* A checkpoint.json from anywhere in a folder without checkpoints: refused with a sentence, or nothing to
 * resume from; it never leads out of its folder. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/train/checkpoint.h"
#include "tests/fuzz/fuzz_dir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    int64_t step = 0;
    char path[512];
    enum rc rc = RC_OK;

    log_init(&(struct log_config){0, 1, (enum log_level)(LOG_WARN + 1)});
    (void)snprintf(path, sizeof path, "%s/checkpoint.json", fuzz_dir());
    if (fs_write_atomic(path, data, size, &e) != RC_OK) {
        abort();
    }
    rc = checkpoint_resume(fuzz_dir(), NULL, "run", &step, &e);
    if (rc == RC_OK ? step != -1 : e.msg[0] == '\0') {
        abort();
    }
    (void)unlink(path);
    return 0;
}

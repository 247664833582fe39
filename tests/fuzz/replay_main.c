/* Runs a fuzz target on files instead of under libFuzzer: seeds and regressions in `make check`. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/fs.h"
#include "common/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct err e = {0};
        char *text = NULL;
        uint8_t *exact = NULL;
        size_t bytes = 0;

        if (fs_read(argv[i], (size_t)1 << 28, &text, &bytes, &e) != RC_OK) {
            (void)fprintf(stderr, "%s\n", e.msg);
            return 1;
        }
        /* A block of exactly the input's size, so that the sanitizer sees a read past its end. */
        exact = malloc(bytes == 0 ? 1 : bytes);
        if (exact == NULL) {
            return 1;
        }
        for (size_t j = 0; j < bytes; j++) {
            exact[j] = (uint8_t)text[j];
        }
        mem_free(text);
        (void)LLVMFuzzerTestOneInput(exact, bytes);
        free(exact);
    }
    return 0;
}

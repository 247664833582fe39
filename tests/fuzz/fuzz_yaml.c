/* A recipe from anywhere: parsed, or refused with a sentence. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct yaml_doc doc = {0};
    struct err e = {0};

    if (yaml_parse((const char *)data, size, "recipe.yaml", &doc, &e) != RC_OK) {
        if (strncmp(e.msg, "recipe.yaml:", 12) != 0) {
            abort();
        }
        return 0;
    }
    for (size_t i = 0; i < doc.n; i++) {
        if (yaml_find(&doc, doc.entries[i].key) != &doc.entries[i]) {
            abort();
        }
    }
    yaml_release(&doc);
    return 0;
}

/* Label stores of made-up labels, for `preceptor select`: confidences and classes as uneven as a
 * teacher's. */
#include "tests/labeler/select_help.h"

#include <math.h>

#include "tests/bench/bench.h"

static const char usage[] = "bench_labels DIR SHARDS LABELS_A_SHARD";

enum { CLASSES = 1000 };

static void fill(uint64_t i, struct made_label *out)
{
    const uint64_t h = (i + 1) * 0x9E3779B97F4A7C15u;
    const float u = (float)(h & 0xFFFFFF) * 0x1p-24f;

    out->confidence = sqrtf((float)(h >> 40) * 0x1p-24f);
    out->cls = (uint16_t)(CLASSES * powf(u, 1.7f));
}

int main(int argc, char **argv)
{
    struct made_store store = {.classes = CLASSES, .fill = fill};

    if (argc != 4) {
        bench_usage(usage);
    }
    store.shards = bench_int(argv[2]);
    store.per_shard = (uint64_t)bench_int(argv[3]);
    made_write(&store, argv[1], NULL);
    return 0;
}

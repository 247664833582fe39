/*
 * Stores of the size of a real corpus, records rather than pixels, and what is measured on them within a
 * process; tests/bench/scale does the rest.
 */
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/rng.h"
#include "shards/corpus_impl.h"
#include "shards/corpus_writer.h"
#include "shards/epoch_order.h"
#include "shards/label_record_impl.h"
#include "shards/lmdb_file.h"
#include "shards/near_index.h"
#include "tests/bench/bench.h"

static const char usage[] =
    "bench_scale corpus DIR SHARDS IMAGES DISTINCT CLASSES   shards of 8 x 8 pixels; those beyond\n"
    "                                                        DISTINCT are hard links to others\n"
    "       bench_scale labels DIR STORE CORPUS LEFT         labels of STORE's lineage for all "
    "shards\n"
    "                                                        of CORPUS but the last LEFT\n"
    "       bench_scale order CORPUS SELECTION               the order of an epoch\n"
    "       bench_scale near|pairs HASHES RADIUS             perceptual hashes: index, or all "
    "pairs";

enum { SIDE = 8, HEADER = 11, IMAGE = HEADER + SIDE * SIDE, LABEL_K = 10, SMALL = 32 };

/* RssAnon + RssShmem of this process, in bytes. */
static double anonymous(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    double sum = 0;
    long kb = 0;

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "RssAnon: %ld", &kb) == 1 || sscanf(line, "RssShmem: %ld", &kb) == 1) {
            sum += (double)kb * 1024;
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return sum;
}

/* ---- a corpus -------------------------------------------------------------------------------- */

static void add_image(struct corpus_writer *w, uint64_t n, int classes)
{
    unsigned char data[IMAGE + 1];
    char source[32];
    const struct key128 id = {{0}};
    struct corpus_image image = {.data = data, .bytes = IMAGE, .source = source};
    enum corpus_added added = CORPUS_NEW;
    struct err e = {0};

    (void)snprintf((char *)data, sizeof data, "P5\n%d %d\n255\n", SIDE, SIDE);
    for (size_t i = 0; i < SIDE * SIDE / 8; i++) {
        const uint64_t noise = rng_hash64(n, i, &id, 0);

        memcpy(data + HEADER + 8 * i, &noise, sizeof noise);
    }
    hash_key(data, IMAGE, &image.key);
    image.cls = classes > 0 ? (int32_t)(n % (uint64_t)classes) : CORPUS_UNLABELED;
    image.source_bytes = (size_t)snprintf(source, sizeof source, "%012llu", (unsigned long long)n);
    bench_must(corpus_writer_add(w, &image, &added, &e), &e);
}

/* The last of the shards is small. */
static void write_distinct(const char *dir, int shards, int images, int classes)
{
    struct class_list list;
    struct corpus_writer_config c = {.path = dir, .classes = &list, .shard_bytes = 1u << 30};
    struct corpus_writer *w = NULL;
    char name[16];
    struct err e = {0};

    class_list_init(&list);
    for (int i = 0; i < classes; i++) {
        int n = snprintf(name, sizeof name, "class%d", i);

        bench_must(class_list_add(&list, name, (size_t)n, &e), &e);
    }
    bench_must(corpus_writer_open(&c, &w, &e), &e);
    for (int s = 0; s < shards; s++) {
        const int n = s + 1 < shards || shards == 1 ? images : SMALL;

        for (int i = 0; i < n; i++) {
            add_image(w, (uint64_t)s * (uint64_t)images + (uint64_t)i, classes);
        }
        bench_must(corpus_writer_flush(w, &e), &e);
    }
    corpus_writer_close(w);
    class_list_release(&list);
}

static void make_corpus(char **argv)
{
    const char *dir = argv[0];
    const int shards = bench_int(argv[1]);
    const int distinct = bench_int(argv[3]);
    struct corpus *c = NULL;
    struct err e = {0};

    write_distinct(dir, distinct, bench_int(argv[2]), bench_int(argv[4]));
    bench_must(corpus_load(dir, &c, &e), &e);
    for (int i = distinct; i < shards; i++) {
        struct corpus_shard s = *corpus_shard(c, i % (distinct - 1));
        char *from = fs_join(dir, s.name);
        char *to;

        (void)snprintf(s.name, sizeof s.name, "images-%06d.lmdb", i);
        to = fs_join(dir, s.name);
        if (from == NULL || to == NULL || link(from, to) != 0) {
            bench_must(err_raise(&e, RC_IO, "cannot link '%s'", s.name), &e);
        }
        bench_must(corpus_append_shard(c, &s, &e), &e);
        mem_free(from);
        mem_free(to);
    }
    bench_must(corpus_save(c, &e), &e);
    corpus_close(c);
}

/* ---- labels ---------------------------------------------------------------------------------- */

struct label_maker {
    const char *dir;
    struct corpus *corpus;
    struct label_lineage lineage;
};

/* Confidences and classes as uneven as a teacher's. */
static void fill_label(const struct label_maker *m, int shard, const struct key128 *key,
                       uint16_t cls[LABEL_K], uint16_t logp[LABEL_K], struct label *out)
{
    const uint64_t h = rng_hash64(1, (uint64_t)shard, key, 0);
    const int classes = m->lineage.n_classes;
    const float confidence = sqrtf((float)((h >> 40) + 1) * 0x1p-24f);
    const float rest = 1 - confidence;

    cls[0] = (uint16_t)((float)classes * powf((float)(h & 0xFFFFFF) * 0x1p-24f, 1.7f));
    logp[0] = f16_from_f32(logf(confidence));
    for (int j = 1; j < LABEL_K; j++) {
        cls[j] = (uint16_t)((cls[0] + j) % classes);
        logp[j] = f16_from_f32(logf(rest) - (float)(j + 1));
    }
    *out = (struct label){*key, confidence, LABEL_K, cls, logp, f16_from_f32(logf(rest) - 1)};
}

static void put_meta(const struct label_maker *m, struct lmdb_file *f, int shard,
                     const struct label_summary *summary, uint64_t n)
{
    struct label_meta meta;
    struct err e = {0};
    char *text = NULL;
    size_t bytes = 0;

    label_record_meta(&m->lineage, corpus_shard(m->corpus, shard), shard, &meta);
    meta.labels = n;
    bench_must(label_record_meta_write(&meta, &text, &bytes, &e), &e);
    bench_must(lmdb_file_put(f, LABEL_TABLE_META, LABEL_META_SHARD, strlen(LABEL_META_SHARD), text,
                             bytes, false, &e),
               &e);
    bench_must(lmdb_file_put(f, LABEL_TABLE_META, LABEL_META_SUMMARY, strlen(LABEL_META_SUMMARY),
                             summary, (size_t)n * sizeof *summary, false, &e),
               &e);
    mem_free(text);
}

/* What label_writer seals, without the partial that a resumable writer has first. */
static void make_shard(const struct label_maker *m, int shard)
{
    char *final = mem_sprintf("%s/labels-%06d.lmdb", m->dir, shard);
    char *tmp = mem_sprintf("%s.tmp.scale", final);
    struct shard_reader *r = NULL;
    struct lmdb_file *f = NULL;
    struct label_summary *summary;
    struct digest d;
    uint64_t size = 0;
    uint64_t n;
    struct err e = {0};

    bench_must(shard_reader_open(m->corpus, shard, true, &r, &e), &e);
    n = shard_reader_count(r);
    summary = bench_alloc((size_t)n * sizeof *summary);
    bench_must(lmdb_file_create(tmp, label_record_tables, LABEL_TABLES, &f, &e), &e);
    for (uint64_t i = 0; i < n; i++) {
        const struct key128 *key = &shard_reader_index(r)[i].key;
        uint16_t cls[LABEL_K];
        uint16_t logp[LABEL_K];
        uint8_t record[64];
        struct label l;

        fill_label(m, shard, key, cls, logp, &l);
        label_record_write(&l, record);
        bench_must(lmdb_file_put(f, LABEL_TABLE_LABELS, key->b, sizeof key->b, record,
                                 label_record_bytes(LABEL_K), true, &e),
                   &e);
        summary[i] = (struct label_summary){l.confidence, l.cls[0]};
    }
    put_meta(m, f, shard, summary, n);
    bench_must(lmdb_file_seal(f, tmp, final, &d, &size, &e), &e);
    shard_reader_close(r);
    mem_free(summary);
    mem_free(tmp);
    mem_free(final);
}

static void make_labels(char **argv)
{
    struct label_maker m = {.dir = argv[0]};
    struct label_store *like = NULL;
    const char **names;
    struct err e = {0};
    int n;

    bench_must(label_store_open(argv[1], &like, &e), &e);
    bench_must(corpus_open(argv[2], &m.corpus, &e), &e);
    m.lineage = *label_store_lineage(like);
    memcpy(m.lineage.isa, label_store_shard(like, 0)->isa, sizeof m.lineage.isa);
    if (m.lineage.top_k != LABEL_K) {
        bench_usage(usage);
    }
    bench_must(fs_mkdirs(m.dir, &e), &e);
    n = corpus_shards(m.corpus);
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < n; i++) {
        if (i != bench_int(argv[3]) && !label_shard_sealed(m.dir, i)) {
            make_shard(&m, i); /* those of a run that was cut short are kept */
        }
    }
    names = bench_alloc((size_t)m.lineage.n_classes * sizeof *names);
    for (int i = 0; i < m.lineage.n_classes; i++) {
        names[i] = label_store_class(like, i);
    }
    bench_must(label_store_update(m.dir, &m.lineage, names, m.corpus, &e), &e);
    mem_free(names);
    corpus_close(m.corpus);
    label_store_close(like);
}

/* ---- within a process ------------------------------------------------------------------------ */

/* Prints 'items N', 'seconds S' to the first item and for a jump, 'bytes B' held by the order. */
static void measure_order(char **argv)
{
    struct epoch_order_config c = {.seed = 1, .trust = true};
    struct epoch_order *o = NULL;
    struct epoch_item item;
    double start;
    double before;
    struct err e = {0};

    bench_must(corpus_open(argv[0], &c.corpus, &e), &e);
    bench_must(selection_open(argv[1], &c.selection, &e), &e);
    before = anonymous();
    start = clock_now();
    bench_must(epoch_order_create(&c, &o, &e), &e);
    bench_must(epoch_order_at(o, 0, &item, &e), &e);
    printf("items\t%llu\nfirst_s\t%.3f\n", (unsigned long long)epoch_order_length(o),
           clock_now() - start);
    start = clock_now();
    bench_must(epoch_order_at(o, epoch_order_length(o) / 2, &item, &e), &e);
    printf("jump_s\t%.3f\nbytes\t%.0f\n", clock_now() - start, anonymous() - before);
    epoch_order_destroy(o);
    selection_close(c.selection);
    corpus_close(c.corpus);
}

static enum rc count_near(void *ctx, uint32_t id, int distance, struct err *e)
{
    (void)id, (void)distance, (void)e;
    ++*(uint64_t *)ctx;
    return RC_OK;
}

static uint64_t *make_hashes(size_t n)
{
    const struct key128 id = {{0}};
    uint64_t *hashes = bench_alloc(n * sizeof *hashes);

    for (size_t i = 0; i < n; i++) {
        hashes[i] = rng_hash64(7, i, &id, 0) | 1;
    }
    return hashes;
}

/* Prints what this process held at most, mapped files aside: nothing here maps files. */
static void print_most(void)
{
    struct rusage u = {0};

    (void)getrusage(RUSAGE_SELF, &u);
    printf("bytes\t%.0f\n", (double)u.ru_maxrss * 1024);
}

/* Prints the seconds of making an index and of a search. */
static void measure_near(char **argv)
{
    enum { SEARCHES = 1000 };
    const size_t n = strtoull(argv[0], NULL, 10);
    uint64_t *hashes = make_hashes(n);
    struct near_index *x = NULL;
    uint64_t found = 0;
    double start = clock_now();
    struct err e = {0};

    bench_must(near_index_create(hashes, n, bench_int(argv[1]), &x, &e), &e);
    printf("create_s\t%.2f\nbands\t%d\n", clock_now() - start, near_index_bands(x));
    start = clock_now();
    for (uint64_t i = 0; i < SEARCHES; i++) {
        const uint64_t hash = hashes[i * (n / SEARCHES)] ^ 6; /* two bits away */

        bench_must(near_index_search(x, hash, count_near, &found, &e), &e);
    }
    printf("search_s\t%.6f\nfound\t%llu\n", (clock_now() - start) / SEARCHES,
           (unsigned long long)found);
    print_most();
    near_index_destroy(x);
    mem_free(hashes);
}

/* Prints the seconds of finding all pairs. */
static void measure_pairs(char **argv)
{
    const size_t n = strtoull(argv[0], NULL, 10);
    uint64_t *hashes = make_hashes(n);
    struct near_pair *pairs = NULL;
    size_t n_pairs = 0;
    double start = clock_now();
    struct err e = {0};

    bench_must(near_index_pairs(hashes, n, bench_int(argv[1]), &pairs, &n_pairs, &e), &e);
    printf("pairs_s\t%.2f\npairs\t%zu\n", clock_now() - start, n_pairs);
    print_most();
    mem_free(pairs);
    mem_free(hashes);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int args;
        void (*run)(char **argv);
    } commands[] = {{"corpus", 5, make_corpus},
                    {"labels", 4, make_labels},
                    {"order", 2, measure_order},
                    {"near", 2, measure_near},
                    {"pairs", 2, measure_pairs}};

    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[1], commands[i].name) == 0 && argc == 2 + commands[i].args) {
            commands[i].run(argv + 2);
            return 0;
        }
    }
    bench_usage(usage);
}

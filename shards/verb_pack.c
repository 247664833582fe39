#include <limits.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "shards/pack.h"
#include "shards/shards_verbs.h"

struct pack_options {
    char *out, *classes, *match, *forbid;
    bool unlabeled, full_sources, retry, json;
    int check;
    double watchdog;
    int64_t skip, first, skip_per_class, limit_per_class, shard_bytes, threads, forbid_radius, seed;
};

enum { PACK_HEAP_STEP = 64 << 20 };

#define AT(field) offsetof(struct pack_options, field)

/* clang-format off */
static const struct opt pack_opts[] = {
    {"out", OPT_STR, AT(out), NULL, 0, 0, NULL, "CORPUS", "folder of the corpus: made, or added to"},
    {"classes", OPT_STR, AT(classes), NULL, 0, 0, NULL, "FILE", "class names in order, one a line; else those of the corpus, else the sources', sorted"},
    {"unlabeled", OPT_BOOL, AT(unlabeled), "false", 0, 0, NULL, NULL, "keep no classes, nor source texts that would tell them"},
    {"full_sources", OPT_BOOL, AT(full_sources), "false", 0, 0, NULL, NULL, "with --unlabeled: keep source texts whole, folder names too"},
    {"match", OPT_STR, AT(match), NULL, 0, 0, NULL, "PATTERN", "take what matches it within its source, e.g. '*/train/*'"},
    {"skip", OPT_INT, AT(skip), "0", 0, 1e15, NULL, "N", "leave out the first N candidates, in source order"},
    {"first", OPT_INT, AT(first), "0", 0, 1e15, NULL, "N", "of the rest take the first N; 0: all"},
    {"skip_per_class", OPT_INT, AT(skip_per_class), "0", 0, 1e15, NULL, "N", "of those leave out the first N of each class"},
    {"limit_per_class", OPT_INT, AT(limit_per_class), "0", 0, 1e15, NULL, "N", "and take the next N of each class; 0: all"},
    {"seed", OPT_INT, AT(seed), "-1", -1, 1e15, NULL, "N", "count within each class in an order drawn by N, not in source order (-1)"},
    {"shard_bytes", OPT_SIZE, AT(shard_bytes), "1G", 1, 0x1p40, NULL, "BYTES", "of images in a shard"},
    {"retry", OPT_BOOL, AT(retry), "false", 0, 0, NULL, NULL, "try what the quarantine ledger lists, and that alone; needs no source"},
    {"check", OPT_ENUM, AT(check), "decode", 0, 0, "decode,header", "HOW", "decode every new image, so that a bad one is found now; or read its header alone, many times faster: label finds the bad ones (--unlabeled)"},
    {"forbid", OPT_STR, AT(forbid), NULL, 0, 0, NULL, "CORPUS,...", "evaluation sets: images that are theirs or look alike are forgotten and listed with distances"},
    {"forbid_radius", OPT_INT, AT(forbid_radius), "6", 0, 16, NULL, "BITS", "of the 64-bit perceptual hashes that may differ"},
    {"threads", OPT_INT, AT(threads), "0", 0, 64, NULL, "N", "that decode; 0: the cores of this process"},
    {"watchdog", OPT_F64, AT(watchdog), "300", 0, 1e6, NULL, "SECONDS", "how long a file, or a member of an archive, may take before pack ends with its name; 0: for ever"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print the result as JSON"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static const struct opt_usage pack_usage = {
    .verb = "pack",
    .summary = "images from folders, archives, IDX files or lists into a corpus of sealed shards",
    .synopsis = "--out CORPUS [options] SOURCE...",
    .description = "A source is a folder, a tar or zip archive (gzip, zstd, xz, bzip2, lz4;\n"
                   "nested; WebDataset with .cls or .json beside the images), an IDX file\n"
                   "of images, followed by that of its labels, a list of paths (.csv .tsv\n"
                   ".jsonl .txt), or an image. Files are known by content, never by name.\n"
                   "The class of an image is its label in the IDX file, list or .cls, else\n"
                   "the name of the folder that holds it within the source.\n"
                   "\n"
                   "An image is named by the SHA-256 of its bytes and stored once. Run\n"
                   "again on a grown source, pack adds what is new: files and archives of\n"
                   "the same size and time are not even opened. What cannot be decoded goes\n"
                   "to CORPUS/quarantine.jsonl with the reason.\n"
                   "\n"
                   "With --check header images are told by content and their size is read, but\n"
                   "they are not decoded: one that cannot be is found by label, which lists it\n"
                   "beside the labels and goes on. Such a corpus has no perceptual hashes:\n"
                   "dedupe and --forbid decode it when they come to need them. Images that are\n"
                   "packed already are not looked at again by a later run that decodes.\n"
                   "\n"
                   "skip, first and the limits per class count candidates in source order,\n"
                   "so one source can be split into parts that do not overlap. With a seed the\n"
                   "limits per class count in an order drawn by it: the same seed gives parts\n"
                   "that do not overlap, another seed others.",
    .examples =
        "preceptor pack --out data/train photos/train\n"
        "preceptor pack --out dump --unlabeled --check header /data/dump/*.tar\n"
        "preceptor pack --out few --first 50000 --limit-per-class 50 images.idx labels.idx\n"
        "preceptor pack --out rest --first 50000 --skip-per-class 50 --unlabeled images.idx \\\n"
        "    labels.idx\n"
        "preceptor pack --out dump --retry"};

static enum rc pack_print_json(const struct pack_options *o, const struct pack_result *r,
                               struct err *e)
{
    json_t *root = json_pack(
        "{s:s,s:I,s:I,s:i,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:i,s:f,s:f,s:I,s:I,s:I}",
        "corpus", o->out, "images", (json_int_t)r->images, "bytes", (json_int_t)r->bytes, "shards",
        r->shards, "classes", r->classes, "seen", (json_int_t)r->seen, "left_out",
        (json_int_t)r->left_out, "unchanged", (json_int_t)r->unchanged, "new", (json_int_t)r->added,
        "new_bytes", (json_int_t)r->added_bytes, "duplicates", (json_int_t)r->duplicates, "same",
        (json_int_t)r->same, "conflicts", (json_int_t)r->conflicts, "quarantined",
        (json_int_t)r->quarantined, "recovered", (json_int_t)r->recovered, "in_quarantine",
        (json_int_t)r->in_quarantine, "new_shards", r->new_shards, "seconds", r->seconds,
        "images_per_second", (double)r->added / r->seconds, "forbidden", (json_int_t)r->forbidden,
        "forbidden_now", (json_int_t)r->forbidden_now, "unchecked", (json_int_t)r->header_images);

    return verb_print_json(root, e);
}

/* Of the images of the corpus, those that are new. */
static double pack_percent(const struct pack_result *r)
{
    return r->images > 0 ? 100 * (double)r->added / (double)r->images : 0;
}

static void pack_print(const struct pack_options *o, const struct pack_result *r)
{
    printf("corpus     %s\n", o->out);
    printf("images     %llu in %d shard%s, %.1f MB", (unsigned long long)r->images, r->shards,
           r->shards == 1 ? "" : "s", (double)r->bytes / 1e6);
    if (r->classes > 0) {
        printf(", %d class%s\n", r->classes, r->classes == 1 ? "" : "es");
    } else {
        printf(", unlabeled\n");
    }
    printf("new        %llu of %llu images (%.1f %%) in %d shard%s, %.1f s, %.0f img/s\n",
           (unsigned long long)r->added, (unsigned long long)r->images, pack_percent(r),
           r->new_shards, r->new_shards == 1 ? "" : "s", r->seconds, (double)r->added / r->seconds);
    if (r->images > r->added) {
        printf("known      %llu image%s; %llu file%s unchanged and not read again, %llu image%s "
               "read again\n",
               (unsigned long long)(r->images - r->added), r->images - r->added == 1 ? "" : "s",
               (unsigned long long)r->unchanged, r->unchanged == 1 ? "" : "s",
               (unsigned long long)r->same, r->same == 1 ? "" : "s");
    }
    if (r->left_out > 0) {
        printf("left out   %llu by the limits per class\n", (unsigned long long)r->left_out);
    }
    if (r->duplicates > 0) {
        printf("twice      %llu further sources of images, %llu of another class\n",
               (unsigned long long)r->duplicates, (unsigned long long)r->conflicts);
    }
    if (o->forbid != NULL) {
        printf("forbidden  %llu are images of '%s' or near them, %llu new: nothing uses them; "
               "%s/forbidden-*.jsonl lists them\n",
               (unsigned long long)r->forbidden, o->forbid, (unsigned long long)r->forbidden_now,
               o->out);
    }
    if (r->recovered > 0) {
        printf("recovered  %llu from quarantine\n", (unsigned long long)r->recovered);
    }
    if (r->header_images > 0) {
        printf("unchecked  %llu images were packed by their headers: label finds those that do not "
               "decode\n",
               (unsigned long long)r->header_images);
    }
    if (r->in_quarantine > 0) {
        printf("quarantine %llu new, %llu in %s/quarantine.jsonl\n",
               (unsigned long long)r->quarantined, (unsigned long long)r->in_quarantine, o->out);
    }
}

static enum rc pack_check_options(const struct pack_options *o, int sources, struct err *e)
{
    if (o->out == NULL) {
        return err_raise(e, RC_USAGE, "pack needs --out CORPUS: see preceptor pack --help");
    }
    if (sources == 0 && !o->retry) {
        return err_raise(e, RC_USAGE, "pack needs a source: see preceptor pack --help");
    }
    if (sources > 0 && o->retry) {
        return err_raise(e, RC_USAGE,
                         "pack --retry takes no source: it reads the quarantine ledger");
    }
    if (o->unlabeled && o->classes != NULL) {
        return err_raise(e, RC_USAGE, "--unlabeled and --classes exclude each other");
    }
    return RC_OK;
}

static enum rc pack_all(const struct pack_options *o, const char *const *sources, int n,
                        const struct verb_call *call, struct err *e)
{
    const struct pack_config config = {.out = o->out,
                                       .sources = sources,
                                       .n_sources = n,
                                       .classes = o->classes,
                                       .match = o->match,
                                       .unlabeled = o->unlabeled,
                                       .full_sources = o->full_sources,
                                       .skip = o->skip,
                                       .first = o->first,
                                       .skip_per_class = o->skip_per_class,
                                       .limit_per_class = o->limit_per_class,
                                       .draw = o->seed >= 0,
                                       .seed = o->seed,
                                       .shard_bytes = o->shard_bytes,
                                       .retry = o->retry,
                                       .check = (enum pack_check)o->check,
                                       .forbid = o->forbid,
                                       .forbid_radius = (int)o->forbid_radius,
                                       .threads = (int)o->threads,
                                       .watchdog = o->watchdog,
                                       .stop = call->stop};
    struct pack_result result;
    enum rc rc = RC_OK;

    /* The images of a shard wait on the heap: it grows in large steps, and is kept for the next shard. */
    (void)mallopt(M_TOP_PAD, PACK_HEAP_STEP);
    (void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
    rc = pack_run(&config, &result, e);
    if (rc == RC_OK && o->json) {
        rc = pack_print_json(o, &result, e);
    } else if (rc == RC_OK) {
        pack_print(o, &result);
    }
    return rc;
}

static enum rc pack_line(const void *options, const char *const words[], int n,
                         const struct verb_call *call, struct err *e)
{
    enum rc rc = pack_check_options(options, n, e);

    return rc == RC_OK ? pack_all(options, words, n, call, e) : rc;
}

static enum rc pack_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_pack, &pack_usage, pack_line, true};

    return verb_do(call, &line, e);
}

const struct verb verb_pack = {
    "pack",    "images from folders, archives, IDX files or lists into a corpus of sealed shards",
    pack_main, false,
    pack_opts, sizeof(struct pack_options)};

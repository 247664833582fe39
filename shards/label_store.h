/**
 * Label stores: labels/<label-digest>/ with labels.json and one sealed label shard an image shard.
 * A label is the top-k classes with their log-probabilities (f16), the top-1 confidence in f32 and
 * the log of the left-over mass (design.md 2.6). docs/FORMAT.md is the specification.
 */
#ifndef PRECEPTOR_LABEL_STORE_H
#define PRECEPTOR_LABEL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "shards/corpus.h"

enum { LABEL_MAX_CLASSES = 65536, LABEL_FORMAT = 1 };

/** What labels depend on; its digest names the store. */
struct label_lineage {
    struct digest weights;      /* SHA-256 of the model file */
    char model[64];             /* "resnetrs50" */
    char preprocessing[256];    /* image_eval_fingerprint */
    char precision[16];         /* "f32", "bf16", "int8" */
    struct digest calibration;  /* int8: of the calibration (docs/FORMAT.md); else zeros */
    char isa[32];               /* device_info.isa: recorded, and part of each shard's record */
    struct digest classes;      /* class list */
    int n_classes;
    int top_k;                  /* n_classes for "all" */
};

/** SHA-256 of (weights, preprocessing, precision, calibration, classes, top_k) as FORMAT.md writes
 * them. */
void label_lineage_digest(const struct label_lineage *l, struct digest *out);
/** Whether the lineage has a calibration: its precision is int8. */
bool label_lineage_calibrated(const struct label_lineage *l);

/** What a sample of a shard's labels was found to be, beside the same images' in f32. */
struct label_audit {
    uint64_t images;     /* 0: no audit */
    uint64_t agree;      /* that have f32's best class */
    uint64_t difference; /* millionths: of the best class's probability from f32's, the mean */
};

/** The larger of the share that does not agree and of the mean difference, in [0, 1]. */
double label_audit_drift(const struct label_audit *a);

/** One label, unpacked. */
struct label {
    struct key128 key;
    float confidence;     /* top-1 probability, f32 */
    int k;                /* entries */
    const uint16_t *cls;  /* (k) best first; ties by class */
    const uint16_t *logp; /* (k) f16 bits of ln p */
    uint16_t rest_logp;   /* f16 bits of ln(1 - sum p); -inf when nothing is left */
};

/** f16 <-> f32, round to nearest even. */
uint16_t f16_from_f32(float x);
float f16_to_f32(uint16_t h);

/** Pack probabilities (n_classes, f32, summing to 1) into a label with k entries: cls and logp are the
 * caller's (k) arrays. Exact order: probability descending, then class ascending. */
void label_from_probs(const float *probs, int n_classes, int k, uint16_t *cls, uint16_t *logp,
                      struct label *out);
/** A label that says nothing, of an image without one: confidence 0, classes 0 to k - 1 with ln 0.
 * cls and logp are the caller's (k) arrays. */
void label_nothing(int k, uint16_t *cls, uint16_t *logp, struct label *out);
/** Spread a label over n_classes: top-k probabilities, the left-over mass evenly on the others;
 * sharpened to p^(1/temperature) and renormalised; temperature <= 0: one-hot (hard label). */
void label_to_target(const struct label *l, int n_classes, double temperature, float *target);

/* ---- writing: one shard, one writer, resumable ----------------------------------------------- */

struct label_writer;

/** Open or resume the partial for image shard number `shard` in dir (labels/<digest>): made if it is
 * not there. image: the shard's manifest entry (corpus_shard): its name and digest are recorded.
 * attempt names the partial ("labels-000003.lmdb.tmp.<attempt>"); an existing partial of any attempt
 * on this shard that nobody holds (flock) is taken over, so work resumes after the last commit; one
 * of another lineage, image digest or instruction set is removed instead. */
NODISCARD enum rc label_writer_open(const char *dir, const struct label_lineage *lineage,
                                    const struct corpus_shard *image, int shard,
                                    const char *attempt, struct label_writer **out, struct err *e);
void label_writer_close(struct label_writer *w);
/** Labels committed so far; whether this key is among them. */
uint64_t label_writer_count(const struct label_writer *w);
NODISCARD enum rc label_writer_has(struct label_writer *w, const struct key128 *key, bool *has,
                                   struct err *e);
/** The best class and its probability of a committed label. RC_CORRUPT: it is not there (a bug). */
NODISCARD enum rc label_writer_best(struct label_writer *w, const struct key128 *key, uint16_t *cls,
                                    float *confidence, struct err *e);
/** What the sealed shard will say of its audit. */
void label_writer_audit(struct label_writer *w, const struct label_audit *a);
/** Add labels (any order) and commit them in one transaction. */
NODISCARD enum rc label_writer_put(struct label_writer *w, const struct label *labels, int n,
                                   struct err *e);
/** One of the labels that label_writer_put adds next is of an image that cannot be decoded: why->key
 * names it, its label is label_nothing, and the sealed shard will say why. */
struct quarantine_entry;
NODISCARD enum rc label_writer_bad(struct label_writer *w, const struct quarantine_entry *why,
                                   struct err *e);
/** Rewrite in key order with the selection summary, sync, link to the final name (the first wins).
 * expected: the image shard's count (RC_CORRUPT if it differs). */
NODISCARD enum rc label_writer_seal(struct label_writer *w, uint64_t expected, struct err *e);

/* ---- the store ------------------------------------------------------------------------------- */

struct label_store;

struct label_shard {
    char name[32];        /* "labels-000000.lmdb" */
    int shard;            /* number of the image shard: entries are in ascending order, gaps allowed */
    char image_shard[32];
    struct digest image_digest;
    uint64_t labels;
    uint64_t bad;        /* of them, of images that cannot be decoded: they say nothing */
    uint64_t bytes;
    struct digest digest;
    char isa[32];
    uint64_t summary_at; /* where the summary's bytes stand in the file */
    struct digest summary_digest;
    struct label_audit audit;
};

/** Enter sealed shards that are not in labels.json yet, after checking them (one process: rank 0);
 * makes labels.json when it is not there. Images that cannot be decoded enter dir/quarantine.jsonl.
 * corpus gives names, counts and digests; classes: the lineage's n_classes names. RC_IO; RC_CORRUPT
 * a shard or labels.json is not of this corpus or lineage (named). */
NODISCARD enum rc label_store_update(const char *dir, const struct label_lineage *lineage,
                                     const char *const classes[], const struct corpus *corpus,
                                     struct err *e);
/** Whether image shard i has a sealed label shard in dir (by final name). */
bool label_shard_sealed(const char *dir, int shard);

/** path: labels/<digest>, or labels/ when it holds exactly one store (RC_INVAL lists them if more). */
NODISCARD enum rc label_store_open(const char *path, struct label_store **out, struct err *e);
void label_store_close(struct label_store *s);
const char *label_store_path(const struct label_store *s);
const struct label_lineage *label_store_lineage(const struct label_store *s);
void label_store_digest(const struct label_store *s, struct digest *out); /* lineage and shards */
/** Whether the store has had this digest, with its first label shards alone: *shards of them. */
bool label_store_had(const struct label_store *s, const struct digest *digest, int *shards);
/** Images of all shards that cannot be decoded. */
uint64_t label_store_bad(const struct label_store *s);
int label_store_shards(const struct label_store *s);
const struct label_shard *label_store_shard(const struct label_store *s, int i);
/** The audits of all shards as one; *worst: the shard of the largest drift, NULL when there is none. */
void label_store_audit(const struct label_store *s, struct label_audit *out,
                       const struct label_shard **worst);
/** Index of the label shard of image shard number `shard`, or -1: not labeled. */
int label_store_find(const struct label_store *s, int shard);
/** Where the corpus was when shards were last entered (mem_free); NULL: it does not say. RC_NOMEM. */
NODISCARD enum rc label_store_corpus(const struct label_store *s, char **out, struct err *e);
/** Class names, class order. */
const char *label_store_class(const struct label_store *s, int i);

/** What selection needs of one image; position order, as it lies in the file (little-endian). */
struct label_summary {
    float confidence; /* top-1 */
    uint16_t cls;     /* top-1 */
} __attribute__((packed, aligned(2)));
/** The summary of label shard i, out (labels of the shard): nothing else of its file is read.
 * Thread-safe. trust: its digest was checked already. RC_IO; RC_CORRUPT (named). */
NODISCARD enum rc label_summary_read(const struct label_store *s, int i, bool trust,
                                     struct label_summary *out, struct err *e);

/** It will be read soon: the system may fetch it meanwhile. */
void label_summary_ahead(const struct label_store *s, int i);

struct label_reader;
NODISCARD enum rc label_reader_open(struct label_store *s, int i, bool trust,
                                    struct label_reader **out, struct err *e);
void label_reader_close(struct label_reader *r);
uint64_t label_reader_count(const struct label_reader *r);
/** After using a label, which lies in the map: RC_IO a page of the shard could not be read (named). */
NODISCARD enum rc label_reader_check(const struct label_reader *r, struct err *e);
/** The lines of its images that cannot be decoded (docs/FORMAT.md, section 9), borrowed; none: 0
 * bytes. */
NODISCARD enum rc label_reader_bad(struct label_reader *r, const char **text, size_t *bytes,
                                   struct err *e);
/** By position (key order, which is the image shard's position); by key: *found false if it is not
 * there. RC_CORRUPT the record's checksum is wrong. out borrows until close. Thread-safe. The first
 * access by position walks the shard and keeps 16 bytes a label (RC_NOMEM). */
NODISCARD enum rc label_reader_at(struct label_reader *r, uint64_t position, struct label *out,
                                  struct err *e);
NODISCARD enum rc label_reader_get(struct label_reader *r, const struct key128 *key,
                                   struct label *out, bool *found, struct err *e);

#endif

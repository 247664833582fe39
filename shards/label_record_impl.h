/**
 * Label records and the record that describes a label shard, as bytes (docs/FORMAT.md).
 */
#ifndef PRECEPTOR_LABEL_RECORD_IMPL_H
#define PRECEPTOR_LABEL_RECORD_IMPL_H

#include "common/base/json.h"
#include "shards/label_store.h"

/* Tables of a label shard and keys of the second one. */
enum { LABEL_TABLE_LABELS, LABEL_TABLE_META, LABEL_TABLES };
extern const char *const label_record_tables[LABEL_TABLES];
#define LABEL_META_SHARD "label_shard" /* JSON: struct label_meta */
/* struct label_summary, one a label, in key order. The name is of even length: LMDB puts a small value
 * right behind its key, and the summary is read in place on 2-byte boundaries. */
#define LABEL_META_SUMMARY "label_top1"

/** Bytes of a label of k entries. */
size_t label_record_bytes(int k);

/** Write a label with its checksum into out (label_record_bytes(l->k)). */
void label_record_write(const struct label *l, uint8_t *out);

/** Parse a record; it is hostile. *out borrows from data. Returns NULL, or what is wrong with it. */
const char *label_record_parse(const void *key, size_t key_bytes, const void *data, size_t bytes,
                               int k, int n_classes, struct label *out);

/** What a label shard says of itself. */
struct label_meta {
    struct digest lineage;
    char isa[32];
    int shard;
    char image_shard[32];
    struct digest image_digest;
    int top_k, n_classes;
    uint64_t labels; /* 0 in a partial */
    uint64_t bad;    /* of them, of images that cannot be decoded (label_bad_impl.h) */
    struct label_audit audit;
};

void label_record_meta(const struct label_lineage *l, const struct corpus_shard *image, int shard,
                       struct label_meta *out);
/** JSON text (mem_free), equal for equal meta. RC_NOMEM. */
NODISCARD enum rc label_record_meta_write(const struct label_meta *m, char **text, size_t *bytes,
                                          struct err *e);
/** RC_CORRUPT, naming path. */
NODISCARD enum rc label_record_meta_parse(const void *text, size_t bytes, const char *path,
                                          struct label_meta *out, struct err *e);

/** An audit as the member "audit" of a JSON object, and back: without that member there was none.
 * RC_NOMEM; RC_CORRUPT, naming path. */
NODISCARD enum rc label_record_audit_set(json_t *obj, const struct label_audit *a, struct err *e);
NODISCARD enum rc label_record_audit_get(const json_t *obj, const char *path,
                                         struct label_audit *out, struct err *e);

/** The member "bad": how many of so many labels are of images that cannot be decoded; missing: none.
 * RC_CORRUPT names path. */
NODISCARD enum rc label_record_bad_get(const json_t *obj, const char *path, int64_t labels,
                                       int64_t *out, struct err *e);

/** Members of a JSON object within bounds: an integer in [min, max], a string that fits size bytes.
 * RC_CORRUPT names path and member. */
NODISCARD enum rc label_record_int(const json_t *obj, const char *path, const char *name,
                                   int64_t min, int64_t max, int64_t *out, struct err *e);
NODISCARD enum rc label_record_text(const json_t *obj, const char *path, const char *name,
                                    char *out, size_t size, struct err *e);

/** Remove what killed writers left of shards that are sealed: files that nobody holds. */
void label_writer_sweep_sealed(const char *dir);

#endif

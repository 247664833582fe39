/**
 * Writing a corpus: images are added in any order, gathered in scratch files, and sealed into a
 * shard when there are enough of them. With several lanes an image goes to one by its key, so that
 * what stood together in a source (a class, a day) is spread over as many shards.
 *
 * Readers see nothing of it before the manifest lists it; a writer that dies leaves nothing but what
 * the next one sweeps away. One writer at a time. Sealed bytes depend on the set of images, classes
 * and sources in a shard alone. After an error a writer can only be closed.
 */
#ifndef PRECEPTOR_CORPUS_WRITER_H
#define PRECEPTOR_CORPUS_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/json.h"
#include "shards/corpus.h"
#include "shards/known.h"

enum {
    CORPUS_SHARD_IMAGES = 1 << 20, /* at most, in one shard */
    CORPUS_LANES = 32              /* at most */
};

struct corpus_writer;

struct corpus_writer_config {
    const char *path;                 /* made if it is not there */
    const struct class_list *classes; /* borrowed for the call; NULL or empty: unlabeled */
    uint64_t shard_bytes;             /* of images in a shard; 0: 1 GiB */
    int lanes;                        /* shards that fill at a time; 0: 1 */
    bool header;                      /* of the images only the headers were read */
};

struct corpus_image {
    struct key128 key; /* hash_key of the bytes: the caller has it already */
    const void *data;
    size_t bytes;      /* at most 4 GiB */
    void **block;      /* the heap block that begins with data: it may be taken (NULL then); or NULL */
    int32_t cls;       /* CORPUS_UNLABELED in an unlabeled corpus */
    const char *source;
    size_t source_bytes;
    bool hashed;       /* phash_image of it is known */
    uint64_t phash;
};

enum corpus_added {
    CORPUS_NEW,        /* the image is new */
    CORPUS_DUPLICATE,  /* the image was there: this occurrence is new */
    CORPUS_SAME        /* image and occurrence were there: nothing changed */
};

struct corpus_writer_stats {
    uint64_t images, bytes, duplicates, conflicts; /* added by this writer */
    int shards;                                    /* sealed by this writer */
};

/** RC_INVAL another class list or kind than the corpus has (says what differs), or another writer is
 * at work; RC_IO; RC_CORRUPT. */
NODISCARD enum rc corpus_writer_open(const struct corpus_writer_config *config,
                                     struct corpus_writer **out, struct err *e);
/** What was not flushed is dropped. NULL is fine. */
void corpus_writer_close(struct corpus_writer *w);

/** Whether an image is there already, sealed or not: then it needs no check before it is added. */
NODISCARD enum rc corpus_writer_has(struct corpus_writer *w, const struct key128 *key, bool *has,
                                    struct err *e);
/** Add an image or occurrence; seals a shard when it is full. The first occurrence of other class
 * than the image's is counted and logged as a conflict. RC_IO: disk full loses nothing sealed. */
NODISCARD enum rc corpus_writer_add(struct corpus_writer *w, const struct corpus_image *image,
                                    enum corpus_added *added, struct err *e);
/** Seal what is pending, however little, and enter it in the manifest. */
NODISCARD enum rc corpus_writer_flush(struct corpus_writer *w, struct err *e);

/** Append to the manifest's list of sources at the next flush (takes source). RC_NOMEM. */
NODISCARD enum rc corpus_writer_note_source(struct corpus_writer *w, json_t *source, struct err *e);
/** Remember a file as packed, once the image of this key is sealed (at once if it is, or if there is no
 * such image); image NULL: once all that was added before is sealed. */
NODISCARD enum rc corpus_writer_note_file(struct corpus_writer *w, const struct key128 *image,
                                          const char *path, const struct known_file *file,
                                          struct err *e);
NODISCARD enum rc corpus_writer_find_file(struct corpus_writer *w, const char *path, bool *found,
                                          struct known_file *out, struct err *e);
void corpus_writer_stats(const struct corpus_writer *w, struct corpus_writer_stats *out);

#endif

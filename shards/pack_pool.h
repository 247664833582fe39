/**
 * Threads that check images while the packer reads on: jobs go in and come out in the same order.
 */
#ifndef PRECEPTOR_PACK_POOL_H
#define PRECEPTOR_PACK_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/image/image.h"
#include "shards/source.h"

enum { PACK_POOL_THREADS = 64, PACK_POOL_DETAIL = SOURCE_LOOK_DETAIL };

struct pack_texts {
    const char *stored; /* the source as the corpus shall have it */
    const char *full;   /* the source as the quarantine ledger has it */
    const char *path;   /* of a file of its own, or NULL */
    const char *cls;    /* class as text, or NULL */
};

enum pack_job_check {
    PACK_JOB_KNOWN,  /* it is in the corpus already */
    PACK_JOB_HEADER, /* read its header */
    PACK_JOB_DECODE  /* decode it, and compute its perceptual hash */
};

struct pack_job {
    /* The packer fills: */
    const void *data; /* pack_pool_fill: a copy, in own */
    unsigned char *own;
    void **block;        /* as source_image has it; NULL in the pool */
    size_t bytes, room;
    struct key128 key;
    enum pack_job_check check;
    char *text;          /* pack_pool_fill: the texts, one after the other */
    size_t text_room;
    struct pack_texts texts; /* in text */
    int32_t cls;
    uint64_t file_bytes; /* with texts.path */
    int64_t mtime_ns;
    /* A worker fills: */
    enum image_reason why;
    char detail[PACK_POOL_DETAIL];
    bool hashed;    /* it was decoded, and this is its perceptual hash */
    uint64_t phash;
    enum rc rc;          /* RC_OK or what stops all */
    int state;           /* the pool's */
};

struct pack_pool;

/** Read the header of an image: why it cannot be one, and a detail of so many bytes. RC_OK, or what
 * stops all. */
NODISCARD enum rc pack_pool_probe(struct codec *codec, const void *data, size_t bytes,
                                  enum image_reason *why, char *detail, size_t detail_room);
/** threads as given, or the cores this process may use; at most PACK_POOL_THREADS. */
int pack_pool_threads(int threads);

/** threads: 0 takes the cores this process may use. RC_NOMEM, RC_LIB. */
NODISCARD enum rc pack_pool_create(int threads, struct pack_pool **out, struct err *e);
void pack_pool_destroy(struct pack_pool *p);

/** A job to fill, or NULL: take one first. Bounded by jobs and by bytes in flight. */
struct pack_job *pack_pool_next(struct pack_pool *p, size_t bytes);
/** Copy data and texts into the job. RC_NOMEM. */
NODISCARD enum rc pack_pool_fill(struct pack_job *j, const void *data, size_t bytes,
                                 const struct pack_texts *texts, struct err *e);
/** Hand over the job that pack_pool_next gave. */
void pack_pool_submit(struct pack_pool *p, struct pack_job *j);
/** The oldest job, when it is done; NULL when there is none. */
struct pack_job *pack_pool_take(struct pack_pool *p);
/** Give a taken job back. */
void pack_pool_return(struct pack_pool *p, struct pack_job *j);

#endif

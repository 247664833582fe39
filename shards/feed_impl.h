/**
 * The feed's insides, shared by feed.c (making, ending, the caller's side) and feed_work.c (the
 * source thread and the workers).
 */
#ifndef PRECEPTOR_FEED_IMPL_H
#define PRECEPTOR_FEED_IMPL_H

#include <limits.h>
#include <pthread.h>

#include "shards/feed.h"
#include "shards/reader_cache_impl.h"

/* A batch's storage. The source thread fills it, workers finish its rows, the caller takes it and
 * gives it back: taken slots follow each other in a ring. */
struct feed_slot {
    int n;       /* rows */
    int left;    /* rows that no worker has finished */
    bool free;   /* the source thread may fill it */
    int err_row; /* the first bad row, INT_MAX if none */
    struct err err;
    uint8_t *pixels;
    float *target;
    struct feed_item *items;
};

struct feed_worker {
    struct feed *feed;
    pthread_t thread;
    struct codec *codec;
};

struct feed {
    struct feed_config config;
    size_t row_bytes;
    int chunk; /* rows that a worker takes at a time */
    struct reader_cache *cache;

    pthread_mutex_t lock;
    pthread_cond_t slot_freed, work_came, batch_done;
    /* Batches are numbered; number b lies in slots[b % depth]. */
    uint64_t filled;  /* batches that the source has filled */
    uint64_t working; /* the batch whose rows are given out, from row working_row */
    int working_row;
    uint64_t next; /* the caller's next batch */
    bool ended;    /* the source has no more */
    bool stop, paused;
    bool waiting;  /* the caller waits for a batch */
    double waited;
    struct feed_slot *slots;

    pthread_t source_thread;
    bool source_started;
    int workers_started;
    struct feed_worker *workers;
};

/** The storage of batch number `batch`. */
struct feed_slot *feed_work_slot(struct feed *f, uint64_t batch);

/** Threads: the source's (arg: the feed) and a worker's (arg: struct feed_worker). */
void *feed_work_source(void *arg);
void *feed_work_decode(void *arg);

#endif

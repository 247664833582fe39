/** A pack run, shared by what walks the sources (pack.c) and what takes the checked images. */
#ifndef PRECEPTOR_PACK_IMPL_H
#define PRECEPTOR_PACK_IMPL_H

#include "common/base/progress.h"
#include "shards/corpus_writer.h"
#include "shards/pack.h"
#include "shards/pack_classes.h"
#include "shards/pack_pool.h"
#include "shards/pack_retry.h"
#include "shards/quarantine.h"

struct pack {
    const struct pack_config *config;
    struct pack_result *result;
    struct class_list
        classes; /* of a labeled corpus; of an unlabeled one those met, for the limits */
    struct corpus_writer *writer;
    struct quarantine *quarantine;
    struct pack_pool *pool;
    struct codec *codecs[PACK_POOL_THREADS]; /* of the threads that read ahead */
    struct pack_retry *retry; /* NULL: not a retry */
    struct pack_draw *draw;   /* NULL: limits per class count in source order */
    struct progress progress;
    const char *const *sources;
    int n_sources;
    bool *noted;         /* of each source: it stands in the manifest */
    uint64_t *per_class; /* candidates met of each class */
    int per_class_room;
    uint64_t candidates;
    bool enough;   /* the first candidates that were asked for are met: the walk ended there */
    bool limited; /* some candidates are left out: what was read cannot be skipped next time */
    int32_t cls;  /* of the candidate that want() wanted last */
    const struct quarantine_entry *retried;
};

/** Class of a candidate, of a labeled corpus or for the limits; PACK_NO_CLASS: none that counts. */
NODISCARD enum rc pack_class_of(struct pack *p, const struct source_image *image, int32_t *cls,
                                struct err *e);
/** Enter a line in the quarantine ledger, without its class in an unlabeled corpus. */
NODISCARD enum rc pack_take_bad(struct pack *p, const struct quarantine_entry *entry,
                                struct err *e);
/** Put the oldest image of the pool into the corpus or in quarantine, when it is checked. */
NODISCARD enum rc pack_take_oldest(struct pack *p, struct err *e);
/** An image that was looked at when it was read, its texts borrowed, behind those in the pool. */
NODISCARD enum rc pack_take_looked(struct pack *p, const struct source_image *image,
                                   const struct pack_texts *texts, struct err *e);
/** All of the pool. RC_INVAL an image without a class in a labeled corpus. */
NODISCARD enum rc pack_take_all(struct pack *p, struct err *e);

#endif

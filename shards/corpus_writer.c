#include "shards/corpus_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "shards/corpus_impl.h"
#include "shards/near_hashes.h"
#include "shards/pack_memory.h"
#include "shards/pending.h"
#include "shards/shard_writer.h"

/* Seconds that the ranks of a killed pack may take to end. */
static const double WRITER_PATIENCE = 2;
static const uint64_t WRITER_SHARD_BYTES = (uint64_t)1 << 30;

/* A shard that a thread of its own writes while the next one fills. */
struct sealing {
    pthread_t thread;
    bool under_way;
    atomic_bool done; /* the thread has nothing left to do */
    const char *dir;
    struct pending *images;
    struct corpus_shard shard;
    enum rc rc;
    struct err err;
};

struct corpus_writer {
    int lock; /* the folder, held with flock */
    struct corpus *corpus;
    struct known *known;
    struct pending *lanes[CORPUS_LANES];
    int n_lanes;
    struct pending *spare; /* empty: takes the place of a lane that is sealed */
    struct sealing sealing;
    struct pending *late;        /* no images: notes on files whose images may be in any lane */
    struct corpus_extras extras; /* occurrences of sealed images, not written yet */
    uint64_t shard_bytes;
    bool header;
    bool save; /* the manifest has something new to say */
    struct corpus_writer_stats stats;
};

/* ---- opening ----------------------------------------------------------------------------------- */

static enum rc writer_same_kind(const struct corpus *c, const struct class_list *classes,
                                struct err *e)
{
    bool labeled = classes != NULL && classes->n > 0;

    if (c->labeled != labeled) {
        return err_raise(e, RC_INVAL, "'%s' is %s corpus: it takes images %s classes alone",
                         c->path, c->labeled ? "a labeled" : "an unlabeled",
                         c->labeled ? "with" : "without");
    }
    if (labeled && classes->n != c->classes.n) {
        return err_raise(e, RC_INVAL, "'%s' has %d classes, the new class list has %d", c->path,
                         c->classes.n, classes->n);
    }
    for (int i = 0; labeled && i < classes->n; i++) {
        if (strcmp(classes->names[i], c->classes.names[i]) != 0) {
            return err_raise(e, RC_INVAL, "class %d of '%s' is '%s', in the new class list '%s'", i,
                             c->path, c->classes.names[i], classes->names[i]);
        }
    }
    return RC_OK;
}

/* A shard that is not in the manifest is of a writer that died between the two: nobody saw it. */
static enum rc writer_sweep(const struct corpus *c, struct err *e)
{
    static const char *const heads[] = {"images", "occurrences"};
    static const char *const tails[] = {"lmdb", "jsonl"};
    const int next[] = {c->n_shards, c->n_extra_files};

    fs_sweep(c->path, "");
    for (int k = 0; k < 2; k++) {
        char name[32];
        char *path = NULL;

        (void)snprintf(name, sizeof name, "%s-%06d.%s", heads[k], next[k], tails[k]);
        path = fs_join(c->path, name);
        if (path == NULL) {
            return mem_raise(e, "a path", strlen(c->path));
        }
        (void)unlink(path);
        mem_free(path);
    }
    return RC_OK;
}

static enum rc writer_open_corpus(struct corpus_writer *w,
                                  const struct corpus_writer_config *config, struct err *e)
{
    char *manifest = fs_join(config->path, "corpus.json");
    enum rc rc = manifest != NULL ? RC_OK : mem_raise(e, "a path", strlen(config->path));

    if (rc == RC_OK && fs_exists(manifest)) {
        rc = corpus_load(config->path, &w->corpus, e);
        if (rc == RC_OK) {
            rc = writer_same_kind(w->corpus, config->classes, e);
        }
    } else if (rc == RC_OK) {
        rc = corpus_create(config->path, config->classes != NULL && config->classes->n > 0,
                           config->classes, &w->corpus, e);
        w->save = true;
    }
    mem_free(manifest);
    return rc;
}

enum rc corpus_writer_open(const struct corpus_writer_config *config, struct corpus_writer **out,
                           struct err *e)
{
    struct corpus_writer *w = mem_calloc(1, sizeof *w);
    const uint64_t memory = pack_memory();
    enum rc rc = RC_OK;

    if (w == NULL) {
        return mem_raise(e, "a corpus writer", sizeof *w);
    }
    w->lock = -1;
    w->n_lanes = config->lanes < 1              ? 1
                 : config->lanes > CORPUS_LANES ? CORPUS_LANES
                                                : config->lanes;
    w->header = config->header;
    w->shard_bytes = config->shard_bytes > 0 ? config->shard_bytes : WRITER_SHARD_BYTES;
    rc = fs_mkdirs(config->path, e);
    if (rc == RC_OK) {
        rc = fs_lock_dir(config->path, "pack", WRITER_PATIENCE, &w->lock, e);
    }
    if (rc == RC_OK) {
        rc = writer_open_corpus(w, config, e);
    }
    if (rc == RC_OK) {
        rc = writer_sweep(w->corpus, e);
    }
    if (rc == RC_OK) {
        rc = pending_create(config->path, 0, &w->late, e);
    }
    for (int i = 0; i <= w->n_lanes && rc == RC_OK; i++) {
        rc = pending_create(config->path, memory / (uint64_t)(w->n_lanes + 1),
                            i < w->n_lanes ? &w->lanes[i] : &w->spare, e);
    }
    if (rc == RC_OK) {
        rc = known_open(w->corpus, &w->known, e);
    }
    if (rc != RC_OK) {
        corpus_writer_close(w);
        return rc;
    }
    *out = w;
    return RC_OK;
}

void corpus_writer_close(struct corpus_writer *w)
{
    if (w == NULL) {
        return;
    }
    if (w->sealing.under_way) {
        (void)pthread_join(w->sealing.thread, NULL);
        pending_destroy(w->sealing.images);
    }
    known_close(w->known);
    pending_destroy(w->spare);
    for (int i = 0; i < w->n_lanes; i++) {
        pending_destroy(w->lanes[i]);
    }
    pending_destroy(w->late);
    corpus_extras_release(&w->extras);
    corpus_close(w->corpus);
    if (w->lock >= 0) {
        (void)close(w->lock);
    }
    mem_free(w);
}

/* ---- sealing ----------------------------------------------------------------------------------- */

/* Enter the images of the shard that is to be sealed among the known ones. */
static enum rc writer_learn(struct corpus_writer *w, const struct pending *lane, uint32_t shard,
                            struct err *e)
{
    struct shard_occurrence *o = NULL;
    uint32_t room = 0;
    enum rc rc = RC_OK;

    for (uint32_t i = 0; i < pending_count(lane) && rc == RC_OK; i++) {
        const struct pending_image *image = pending_at(lane, i);
        struct known_image known = {.shard = shard};

        if (image->n_occurrences > room) {
            struct shard_occurrence *more = mem_realloc(o, image->n_occurrences, sizeof *o);

            if (more == NULL) {
                rc = mem_raise(e, "occurrences", image->n_occurrences * sizeof *o);
                break;
            }
            o = more;
            room = image->n_occurrences;
        }
        pending_occurrences(lane, i, o);
        known.cls = o[0].cls;
        rc = known_put_image(w->known, &image->key, &known, e);
        for (uint32_t k = 0; k < image->n_occurrences && rc == RC_OK; k++) {
            rc = known_put_occurrence(w->known, &image->key, o[k].cls, o[k].source,
                                      o[k].source_bytes, e);
            if (w->corpus->labeled) {
                w->corpus->per_class[o[k].cls]++;
            }
        }
    }
    mem_free(o);
    return rc;
}

static enum rc writer_learn_files(struct corpus_writer *w, const struct pending *lane,
                                  struct err *e)
{
    size_t n = 0;
    const struct known_note *notes = pending_notes(lane, &n);
    enum rc rc = RC_OK;

    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        rc = known_put_note(w->known, &notes[i], e);
    }
    return rc;
}

static enum rc writer_seal_extras(struct corpus_writer *w, struct err *e)
{
    struct corpus *c = w->corpus;
    struct corpus_extra_file f = {.lines = 0};
    enum rc rc = RC_OK;

    if (w->extras.n == 0) {
        return RC_OK;
    }
    (void)snprintf(f.name, sizeof f.name, "occurrences-%06d.jsonl", c->n_extra_files);
    corpus_extras_sort(&w->extras);
    rc = corpus_extra_write(c->path, &w->extras, &f, e);
    for (size_t i = 0; i < w->extras.n && c->labeled; i++) {
        c->per_class[w->extras.all[i].cls]++;
    }
    if (rc == RC_OK) {
        rc = corpus_append_extra_file(c, &f, e);
    }
    corpus_extras_release(&w->extras);
    w->save = true;
    return rc;
}

/* The order makes a kill harmless anywhere: files first, then the manifest, then the cache. */
static enum rc writer_publish(struct corpus_writer *w, struct err *e)
{
    enum rc rc = writer_seal_extras(w, e);

    if (rc == RC_OK && w->save) {
        rc = corpus_save(w->corpus, e);
    }
    if (rc == RC_OK) {
        w->save = false;
        rc = known_commit(w->known, w->corpus, e);
    }
    return rc;
}

static void *sealing_main(void *arg)
{
    struct sealing *s = arg;

    s->rc = shard_writer_seal(s->dir, s->images, &s->shard, &s->err);
    atomic_store(&s->done, true);
    return NULL;
}

/* Wait for the shard that is under way, and enter it in the manifest. */
static enum rc writer_seal_end(struct corpus_writer *w, struct err *e)
{
    struct sealing *s = &w->sealing;
    struct corpus *c = w->corpus;
    enum rc rc = RC_OK;

    if (!s->under_way) {
        return RC_OK;
    }
    (void)pthread_join(s->thread, NULL);
    s->under_way = false;
    w->spare = s->images;
    rc = s->rc == RC_OK ? RC_OK : err_raise(e, s->rc, "%s", s->err.msg);
    if (rc == RC_OK) {
        rc = corpus_append_shard(c, &s->shard, e);
    }
    if (rc == RC_OK) {
        rc = near_hashes_seal(c->path, c->n_shards - 1, &s->shard.digest, w->spare, e);
    }
    if (rc == RC_OK) {
        rc = pending_reset(w->spare, e);
    }
    w->stats.shards++;
    w->save = true;
    return rc == RC_OK ? writer_publish(w, e) : rc;
}

/* Begin to seal a lane as the next shard. Its images are known from here on, though not for good before
 * the shard is in the manifest. */
static enum rc writer_seal(struct corpus_writer *w, struct pending **lane, struct err *e)
{
    struct sealing *s = &w->sealing;
    enum rc rc = writer_seal_end(w, e);

    if (rc != RC_OK || pending_count(*lane) == 0) {
        return rc;
    }
    s->shard = (struct corpus_shard){.header = w->header};
    (void)snprintf(s->shard.name, sizeof s->shard.name, "images-%06d.lmdb", w->corpus->n_shards);
    rc = writer_learn(w, *lane, (uint32_t)w->corpus->n_shards, e);
    if (rc == RC_OK) {
        rc = writer_learn_files(w, *lane, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    s->dir = w->corpus->path;
    s->images = *lane;
    s->rc = RC_OK;
    atomic_store(&s->done, false);
    if (pthread_create(&s->thread, NULL, sealing_main, s) != 0) {
        return err_raise(e, RC_LIB, "the system gives no thread");
    }
    s->under_way = true;
    *lane = w->spare;
    w->spare = NULL;
    return RC_OK;
}

/* The rests of the lanes, as many as fit together in a shard. */
enum rc corpus_writer_flush(struct corpus_writer *w, struct err *e)
{
    struct pending **last = &w->lanes[0];
    enum rc rc = RC_OK;

    for (int i = 1; i < w->n_lanes && rc == RC_OK; i++) {
        struct pending *lane = w->lanes[i];

        if (pending_bytes(*last) + pending_bytes(lane) <= w->shard_bytes &&
            pending_count(*last) + pending_count(lane) <= CORPUS_SHARD_IMAGES) {
            rc = pending_merge(*last, lane, e);
            continue;
        }
        rc = writer_seal(w, last, e);
        last = &w->lanes[i];
    }
    if (rc == RC_OK) {
        rc = writer_seal(w, last, e);
    }
    if (rc == RC_OK) {
        rc = writer_seal_end(w, e);
    }
    if (rc == RC_OK) {
        rc = writer_learn_files(w, w->late, e);
    }
    if (rc == RC_OK) {
        rc = pending_reset(w->late, e);
    }
    return rc == RC_OK ? writer_publish(w, e) : rc;
}

/* ---- adding ------------------------------------------------------------------------------------ */

/* A key is a hash already. Bytes that neither sort shards nor pick slots of pending's table. */
static struct pending **writer_lane(struct corpus_writer *w, const struct key128 *key)
{
    return &w->lanes[(key->b[14] << 8 | key->b[15]) % w->n_lanes];
}

enum rc corpus_writer_has(struct corpus_writer *w, const struct key128 *key, bool *has,
                          struct err *e)
{
    struct known_image image;
    uint32_t index = 0;

    *has = pending_find(*writer_lane(w, key), key, &index);
    return *has ? RC_OK : known_find_image(w->known, key, has, &image, e);
}

static void writer_conflict(struct corpus_writer *w, const struct corpus_image *image, int32_t was)
{
    char hex[HASH_HEX_KEY];

    if (was == image->cls || was < 0 || was >= w->corpus->classes.n) {
        return;
    }
    w->stats.conflicts++;
    hash_key_hex(&image->key, hex);
    log_warn("shards", "image %s is of class '%s' and, as '%.*s', of class '%s'", hex,
             w->corpus->classes.names[was], (int)image->source_bytes, image->source,
             w->corpus->classes.names[image->cls]);
}

/* An image that was sealed before: its occurrence goes to a file of its own. */
static enum rc writer_add_later(struct corpus_writer *w, const struct corpus_image *image,
                                const struct known_image *was, enum corpus_added *added,
                                struct err *e)
{
    struct corpus_extra extra = {.shard = was->shard, .cls = image->cls, .key = image->key};
    bool found = false;
    enum rc rc = known_find_occurrence(w->known, &image->key, image->cls, image->source,
                                       image->source_bytes, &found, e);

    *added = CORPUS_SAME;
    if (rc != RC_OK || found) {
        return rc;
    }
    extra.source = mem_calloc(image->source_bytes + 1, 1);
    if (extra.source == NULL) {
        return mem_raise(e, "the source of an image", image->source_bytes);
    }
    memcpy(extra.source, image->source, image->source_bytes);
    extra.source_bytes = (uint32_t)image->source_bytes;
    rc = corpus_extras_add(&w->extras, &extra, e);
    mem_free(extra.source);
    if (rc == RC_OK) {
        rc = known_put_occurrence(w->known, &image->key, image->cls, image->source,
                                  image->source_bytes, e);
    }
    writer_conflict(w, image, was->cls);
    *added = CORPUS_DUPLICATE;
    w->stats.duplicates++;
    return rc;
}

static enum rc writer_add_pending(struct corpus_writer *w, const struct corpus_image *image,
                                  uint32_t index, bool fresh, enum corpus_added *added,
                                  struct err *e)
{
    struct pending *lane = *writer_lane(w, &image->key);
    bool same = false;
    enum rc rc =
        pending_occur(lane, index, image->cls, image->source, image->source_bytes, &same, e);

    if (rc != RC_OK) {
        return rc;
    }
    *added = fresh ? CORPUS_NEW : same ? CORPUS_SAME : CORPUS_DUPLICATE;
    if (*added == CORPUS_DUPLICATE) {
        writer_conflict(w, image, pending_class(lane, index));
        w->stats.duplicates++;
    }
    return RC_OK;
}

enum rc corpus_writer_add(struct corpus_writer *w, const struct corpus_image *image,
                          enum corpus_added *added, struct err *e)
{
    struct pending **lane = writer_lane(w, &image->key);
    struct known_image was;
    uint32_t index = 0;
    bool found = false;
    enum rc rc = RC_OK;

    if (image->source_bytes > UINT16_MAX || image->bytes > UINT32_MAX - (1 << 20) ||
        (w->corpus->labeled ? image->cls < 0 || image->cls >= w->corpus->classes.n
                            : image->cls != CORPUS_UNLABELED)) {
        return err_raise(e, RC_INVAL, "'%.*s' cannot go into '%s': class %d of %d, %zu bytes",
                         (int)(image->source_bytes & UINT16_MAX), image->source, w->corpus->path,
                         image->cls, w->corpus->classes.n, image->bytes);
    }
    if (pending_find(*lane, &image->key, &index)) {
        return writer_add_pending(w, image, index, false, added, e);
    }
    rc = known_find_image(w->known, &image->key, &found, &was, e);
    if (rc != RC_OK || found) {
        return rc == RC_OK ? writer_add_later(w, image, &was, added, e) : rc;
    }
    if (pending_count(*lane) > 0 && (pending_count(*lane) >= CORPUS_SHARD_IMAGES ||
                                     pending_bytes(*lane) + image->bytes > w->shard_bytes)) {
        rc = writer_seal(w, lane, e);
    } else if (w->sealing.under_way && atomic_load(&w->sealing.done)) {
        rc = writer_seal_end(w, e);
    }
    if (rc == RC_OK) {
        rc = pending_add(*lane, &image->key, image->data, image->bytes, image->block, &index, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    if (image->hashed) {
        pending_set_hash(*lane, index, image->phash);
    }
    w->stats.images++;
    w->stats.bytes += image->bytes;
    return writer_add_pending(w, image, index, true, added, e);
}

enum rc corpus_writer_note_source(struct corpus_writer *w, json_t *source, struct err *e)
{
    for (size_t i = 0; i < json_array_size(w->corpus->sources); i++) {
        if (json_equal(json_array_get(w->corpus->sources, i), source)) {
            json_decref(source);
            return RC_OK;
        }
    }
    if (json_array_append_new(w->corpus->sources, source) != 0) {
        return mem_raise(e, "the list of sources", 0);
    }
    w->save = true;
    return RC_OK;
}

enum rc corpus_writer_note_file(struct corpus_writer *w, const struct key128 *image,
                                const char *path, const struct known_file *file, struct err *e)
{
    struct pending *lane = image != NULL ? *writer_lane(w, image) : w->late;
    struct known_note note;
    uint32_t index = 0;

    known_note_of(path, file, &note);
    if (image == NULL || pending_find(lane, image, &index)) {
        return pending_note(lane, &note, e);
    }
    return known_put_note(w->known, &note, e);
}

enum rc corpus_writer_find_file(struct corpus_writer *w, const char *path, bool *found,
                                struct known_file *out, struct err *e)
{
    return known_find_file(w->known, path, found, out, e);
}

void corpus_writer_stats(const struct corpus_writer *w, struct corpus_writer_stats *out)
{
    *out = w->stats;
}

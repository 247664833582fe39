#include <string.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/watch.h"
#include "shards/json_bytes.h"
#include "shards/pack_draw.h"
#include "shards/pack_guard.h"
#include "shards/pack_impl.h"
#include "shards/source.h"

/* ---- what the walk tells ------------------------------------------------------------------------ */

static enum rc pack_known(void *ctx, const struct source_image *image, enum source_known *known,
                          struct err *e)
{
    static const struct digest none;
    struct pack *p = ctx;
    struct known_file was;
    struct digest now;
    bool found = false;
    bool archive = false;
    enum rc rc = RC_OK;

    *known = SOURCE_UNKNOWN;
    if (p->retry != NULL) {
        return RC_OK;
    }
    rc = corpus_writer_find_file(p->writer, image->path, &found, &was, e);
    if (rc != RC_OK || !found || was.bytes != image->file_bytes) {
        return rc;
    }
    archive = memcmp(&was.digest, &none, sizeof none) != 0;
    if (was.mtime_ns != image->mtime_ns && archive) {
        rc = hash_file(image->path, &now, e);
        found = rc == RC_OK && memcmp(&now, &was.digest, sizeof now) == 0;
        was.mtime_ns = image->mtime_ns;
        if (found) {
            rc = corpus_writer_note_file(p->writer, NULL, image->path, &was, e);
        }
    }
    if (rc == RC_OK && found && was.mtime_ns == image->mtime_ns && !(archive && p->limited)) {
        *known = archive ? SOURCE_KNOWN_ARCHIVE : SOURCE_KNOWN_IMAGE;
        p->result->unchanged++;
    }
    return rc;
}

/* One more candidate of a class: how many of it were met before. */
static enum rc pack_count_class(struct pack *p, int32_t cls, uint64_t *before, struct err *e)
{
    *before = 0;
    if (cls < 0) {
        return RC_OK;
    }
    if (cls >= p->per_class_room) {
        int room = cls + 1 > 2 * p->per_class_room ? cls + 1 : 2 * p->per_class_room;
        uint64_t *more = mem_realloc(p->per_class, (size_t)room, sizeof *more);

        if (more == NULL) {
            return mem_raise(e, "counts of classes", (size_t)room * sizeof *more);
        }
        memset(more + p->per_class_room, 0, (size_t)(room - p->per_class_room) * sizeof *more);
        p->per_class = more;
        p->per_class_room = room;
    }
    *before = p->per_class[cls]++;
    return RC_OK;
}

enum rc pack_class_of(struct pack *p, const struct source_image *image, int32_t *cls, struct err *e)
{
    struct source_image known = *image;
    int index = 0;
    enum rc rc = RC_OK;

    if (p->retried != NULL && p->retried->cls != NULL) { /* as it came the first time */
        known.cls = p->retried->cls;
        known.numeric = strspn(known.cls, "0123456789") == strlen(known.cls);
    }
    if (!p->config->unlabeled) {
        return pack_classes_of(&p->classes, &known, cls, e);
    }
    *cls = PACK_NO_CLASS;
    if (known.cls == NULL || (p->config->skip_per_class == 0 && p->config->limit_per_class == 0)) {
        return RC_OK; /* nobody counts it */
    }
    rc = class_list_intern(&p->classes, known.cls, strlen(known.cls), &index, e);
    *cls = index;
    return rc;
}

static enum rc pack_want(void *ctx, const struct source_image *image, bool *want, struct err *e)
{
    struct pack *p = ctx;
    const struct pack_config *c = p->config;
    bool within = false;
    uint64_t at = 0;
    uint64_t before = 0;
    enum rc rc = RC_OK;

    *want = false;
    if (c->stop != NULL && *c->stop) {
        return err_raise(e, RC_REQUEUE, "stopped after %llu images: the same command goes on",
                         (unsigned long long)p->result->seen);
    }
    p->retried = NULL;
    if (!pack_classes_match(c, image) ||
        (p->retry != NULL && !pack_retry_wants(p->retry, image->text, &p->retried))) {
        return RC_OK;
    }
    at = p->candidates++;
    if (c->first > 0 && at >= (uint64_t)(c->skip + c->first)) {
        p->enough = true;
        return err_raise(e, RC_REQUEUE, "the first %lld candidates were met", (long long)c->first);
    }
    if (at < (uint64_t)c->skip) {
        return RC_OK;
    }
    rc = pack_class_of(p, image, &p->cls, e);
    if (rc == RC_OK) {
        rc = pack_count_class(p, p->cls, &before, e);
    }
    p->result->seen++;
    if (p->draw != NULL && p->cls >= 0) {
        within = pack_draw_takes(p->draw, at, p->cls);
    } else {
        within = before >= (uint64_t)c->skip_per_class &&
                 (c->limit_per_class == 0 ||
                  before < (uint64_t)(c->skip_per_class + c->limit_per_class));
    }
    p->result->left_out += !within;
    *want = within;
    return rc;
}

/* In an unlabeled corpus no source text may tell the class of an image that came with one. */
static const char *pack_stored(const struct pack *p, const struct source_image *image)
{
    return p->config->unlabeled && !p->config->full_sources && image->cls != NULL ? image->container
                                                                                  : image->text;
}

static enum rc pack_note_source(struct pack *p, const char *container, struct err *e)
{
    for (int i = 0; i < p->n_sources; i++) {
        size_t bytes = strlen(container);
        json_t *note = NULL;
        enum rc rc = RC_OK;

        if (p->noted[i] || strncmp(p->sources[i], container, bytes) != 0 ||
            strspn(p->sources[i] + bytes, "/") != strlen(p->sources[i] + bytes)) {
            continue;
        }
        p->noted[i] = true;
        note = json_object();
        rc = json_bytes_set(note, "path", container, bytes, e);
        if (rc != RC_OK) {
            json_decref(note);
            return rc;
        }
        return corpus_writer_note_source(p->writer, note, e);
    }
    return RC_OK;
}

static enum rc pack_image(void *ctx, const struct source_image *image, struct err *e)
{
    struct pack *p = ctx;
    const struct pack_texts texts = {pack_stored(p, image), image->text,
                                     p->retry == NULL ? image->path : NULL, image->cls};
    struct pack_job *j = NULL;
    struct key128 key;
    bool has = false;
    enum rc rc = pack_note_source(p, image->container, e);

    if (rc == RC_OK && image->look != NULL && p->config->check == PACK_CHECK_HEADER) {
        return pack_take_looked(p, image, &texts, e);
    }
    if (image->look != NULL) {
        key = image->look->key;
    } else {
        hash_key(image->data, image->bytes, &key);
    }
    if (rc == RC_OK) {
        rc = corpus_writer_has(p->writer, &key, &has, e);
    }
    while (rc == RC_OK && (j = pack_pool_next(p->pool, image->bytes)) == NULL) {
        rc = pack_take_oldest(p, e);
    }
    if (rc == RC_OK) {
        rc = pack_pool_fill(j, image->data, image->bytes, &texts, e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    j->key = key;
    j->cls = p->cls;
    j->check = has                                     ? PACK_JOB_KNOWN
               : p->config->check == PACK_CHECK_HEADER ? PACK_JOB_HEADER
                                                       : PACK_JOB_DECODE;
    j->file_bytes = image->file_bytes;
    j->mtime_ns = image->mtime_ns;
    pack_pool_submit(p->pool, j);
    return RC_OK;
}

/* On a thread that reads ahead. */
static void pack_look(void *ctx, int thread, const void *data, size_t bytes,
                      struct source_look *out)
{
    const struct pack *p = ctx;

    hash_key(data, bytes, &out->key);
    out->why = IMAGE_OK;
    out->detail[0] = '\0';
    out->rc = p->config->check == PACK_CHECK_HEADER
                  ? pack_pool_probe(p->codecs[thread], data, bytes, &out->why, out->detail,
                                    sizeof out->detail)
                  : RC_OK;
}

static enum rc pack_bad(void *ctx, const struct source_image *image, const char *reason,
                        const char *detail, struct err *e)
{
    struct pack *p = ctx;
    const struct quarantine_entry entry = {.source = image->text,
                                           .cls = image->cls,
                                           .reason = reason,
                                           .detail = detail != NULL ? detail : "",
                                           .bytes = image->file_bytes};

    return pack_classes_match(p->config, image) ? pack_take_bad(p, &entry, e) : RC_OK;
}

static enum rc pack_done(void *ctx, const char *path, uint64_t bytes, int64_t mtime_ns,
                         struct err *e)
{
    struct pack *p = ctx;
    struct known_file file = {.bytes = bytes, .mtime_ns = mtime_ns};
    enum rc rc = pack_take_all(p, e);

    if (rc != RC_OK || p->limited || p->retry != NULL) {
        return rc;
    }
    rc = hash_file(path, &file.digest, e);
    return rc == RC_OK ? corpus_writer_note_file(p->writer, NULL, path, &file, e) : rc;
}

/* ---- a run -------------------------------------------------------------------------------------- */

/* As many shards at a time as the sources fill, so that an archive sorted by class gives shards that
 * are not. Folders are mixed by the walk. */
static int pack_lanes(const struct pack_config *c)
{
    uint64_t shard = c->shard_bytes > 0 ? (uint64_t)c->shard_bytes : (uint64_t)1 << 30;
    uint64_t bytes = 0;

    for (int i = 0; i < c->n_sources; i++) {
        struct stat st;

        if (stat(c->sources[i], &st) == 0 && S_ISREG(st.st_mode)) {
            bytes += (uint64_t)st.st_size;
        }
    }
    bytes = bytes / shard + (bytes % shard != 0);
    return bytes < CORPUS_LANES ? (int)bytes : CORPUS_LANES;
}

static enum rc pack_open(struct pack *p, struct err *e)
{
    const struct pack_config *c = p->config;
    struct corpus_writer_config writer = {c->out, c->unlabeled ? NULL : &p->classes,
                                          (uint64_t)c->shard_bytes, pack_lanes(c),
                                          c->check == PACK_CHECK_HEADER};
    enum rc rc = c->unlabeled ? RC_OK : pack_classes_load(c, &p->classes, e);

    if (rc == RC_OK) {
        rc = corpus_writer_open(&writer, &p->writer, e);
    }
    if (rc == RC_OK) {
        rc = quarantine_open(c->out, c->retry ? QUARANTINE_RETRY : QUARANTINE_ADD, &p->quarantine,
                             e);
    }
    if (rc == RC_OK && c->retry) {
        rc = pack_retry_create(p->quarantine, &p->retry, e);
    }
    if (rc == RC_OK) {
        rc = pack_pool_create(c->threads, &p->pool, e);
    }
    for (int i = 0; i < pack_pool_threads(c->threads) && rc == RC_OK; i++) {
        rc = codec_create(&p->codecs[i], e);
    }
    if (rc != RC_OK) {
        return rc;
    }
    p->sources = p->retry != NULL ? pack_retry_sources(p->retry, &p->n_sources) : c->sources;
    p->n_sources = p->retry != NULL ? p->n_sources : c->n_sources;
    p->noted = mem_calloc((size_t)p->n_sources, sizeof *p->noted);
    p->limited = c->skip > 0 || c->first > 0 || c->skip_per_class > 0 || c->limit_per_class > 0 ||
                 c->match != NULL;
    if (p->noted == NULL) {
        return mem_raise(e, "sources", (size_t)p->n_sources);
    }
    return c->draw && p->retry == NULL && (c->skip_per_class > 0 || c->limit_per_class > 0)
               ? pack_draw_make(p, &p->draw, e)
               : RC_OK;
}

static enum rc pack_walk(struct pack *p, struct err *e)
{
    const struct source_visitor v = {.ctx = p,
                                     .known = pack_known,
                                     .want = pack_want,
                                     .image = pack_image,
                                     .bad = pack_bad,
                                     .done = pack_done,
                                     .look = pack_look,
                                     .ahead =
                                         p->limited ? 0 : pack_pool_threads(p->config->threads)};
    struct err later = {0};
    enum rc rc = RC_OK;
    enum rc walked = RC_OK;

    progress_begin(&p->progress, "pack", "images", 0, 0);
    walked = p->retry != NULL ? source_walk_files(p->sources, p->n_sources, &v, e)
                              : source_walk(p->sources, p->n_sources, false, &v, e);
    if (p->enough) {
        err_clear(e);
        walked = RC_OK;
    }
    if (walked != RC_OK && walked != RC_REQUEUE) {
        return walked;
    }
    rc = pack_take_all(p, &later);
    watch_at("writing to", p->config->out);
    if (rc == RC_OK) {
        rc = quarantine_sync(p->quarantine, &later);
    }
    if (rc == RC_OK) {
        rc = corpus_writer_flush(p->writer, &later);
    }
    if (rc == RC_OK && p->retry != NULL) {
        rc = pack_retry_end(p->retry, &p->result->recovered, &later);
    }
    progress_update(&p->progress, (int64_t)p->result->seen, NULL);
    progress_end(&p->progress, NULL);
    if (rc != RC_OK) {
        err_clear(e);
        *e = later;
        return rc;
    }
    return walked;
}

static enum rc pack_summary(struct pack *p, struct err *e)
{
    struct pack_result *r = p->result;
    struct corpus_writer_stats stats;
    struct corpus *c = NULL;
    enum rc rc = corpus_open(p->config->out, &c, e);

    if (rc != RC_OK) {
        return rc;
    }
    corpus_writer_stats(p->writer, &stats);
    r->added = stats.images;
    r->added_bytes = stats.bytes;
    r->duplicates = stats.duplicates;
    r->conflicts = stats.conflicts;
    r->new_shards = stats.shards;
    r->images = corpus_images(c);
    r->header_images = corpus_header_images(c);
    r->shards = corpus_shards(c);
    r->classes = corpus_classes(c);
    for (int i = 0; i < r->shards; i++) {
        r->bytes += corpus_shard(c, i)->bytes;
    }
    corpus_close(c);
    r->in_quarantine = quarantine_count(p->quarantine) - r->recovered;
    if (r->images == 0 && r->in_quarantine > 0) {
        return err_raise(e, RC_INVAL,
                         "no usable image: all %llu files are in '%s/quarantine.jsonl' with "
                         "the reason",
                         (unsigned long long)r->in_quarantine, p->config->out);
    }
    if (r->seen == 0 && r->unchanged == 0 && !p->config->retry) {
        return err_raise(
            e, RC_INVAL,
            "no images found in '%s'%s: expected image files, class folders, archives, IDX "
            "files or lists",
            p->sources[0], p->n_sources > 1 ? " and the other sources" : "");
    }
    return RC_OK;
}

/* A retry takes its kind from the corpus. Labels find what does not decode, so only what is labeled
 * may be packed by its header. */
static enum rc pack_kind(struct pack_config *c, struct err *e)
{
    struct corpus *corpus = NULL;
    enum rc rc = c->retry ? corpus_open(c->out, &corpus, e) : RC_OK;

    if (corpus != NULL) {
        c->unlabeled = !corpus_labeled(corpus);
        corpus_close(corpus);
    }
    if (rc == RC_OK && c->check == PACK_CHECK_HEADER && !c->unlabeled) {
        rc = err_raise(e, RC_USAGE,
                       "--check header is for unlabeled corpora: whoever trains or evaluates on "
                       "'%s' goes over all of its images, so all must be decoded now",
                       c->out);
    }
    return rc;
}

enum rc pack_run(const struct pack_config *config, struct pack_result *result, struct err *e)
{
    struct pack_config c = *config;
    struct pack p = {.config = &c, .result = result};
    double start = clock_now();
    struct err summary = {0};
    static char who[] = "pack";
    struct watch *watch = NULL;
    enum rc rc = watch_create(config->watchdog, watch_leave, who, &watch, e);

    memset(result, 0, sizeof *result);
    class_list_init(&p.classes);
    watch_begin(watch, 0, "opening", c.out);
    if (rc == RC_OK) {
        rc = pack_kind(&c, e);
    }
    if (rc == RC_OK) {
        rc = pack_open(&p, e);
    }
    if (rc == RC_OK) {
        rc = pack_walk(&p, e);
    }
    if (rc == RC_OK) {
        watch_at("guarding", c.out);
        rc = pack_guard(&c, result, e);
    }
    if (rc == RC_OK || rc == RC_REQUEUE) {
        enum rc summed = pack_summary(&p, &summary);

        if (rc == RC_OK && summed != RC_OK) {
            *e = summary;
            rc = summed;
        }
    }
    result->seconds = clock_now() - start;
    pack_pool_destroy(p.pool);
    for (int i = 0; i < PACK_POOL_THREADS; i++) {
        codec_destroy(p.codecs[i]);
    }
    pack_retry_destroy(p.retry);
    pack_draw_destroy(p.draw);
    quarantine_close(p.quarantine);
    corpus_writer_close(p.writer);
    class_list_release(&p.classes);
    watch_destroy(watch);
    mem_free(p.per_class);
    mem_free(p.noted);
    return rc;
}

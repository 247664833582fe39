#include <stdio.h>
#include <string.h>

#include "common/base/watch.h"
#include "shards/pack_impl.h"

enum rc pack_take_bad(struct pack *p, const struct quarantine_entry *entry, struct err *e)
{
    struct quarantine_entry line = *entry;
    bool fresh = false;
    enum rc rc = RC_OK;

    if (p->config->unlabeled) {
        line.cls = NULL;
    }
    rc = quarantine_add(p->quarantine, &line, &fresh, e);
    p->result->quarantined += fresh ? 1 : 0;
    return rc;
}

static enum rc take_no_class(const struct pack_job *j, const struct pack *p, struct err *e)
{
    if (j->texts.cls != NULL) {
        return err_raise(e, RC_INVAL,
                         "'%s' is of class '%s', which is not among the %d classes of '%s'",
                         j->texts.full, j->texts.cls, p->classes.n, p->config->out);
    }
    return err_raise(
        e, RC_INVAL,
        "'%s' has no class: expected a folder a class, .cls beside the images, IDX labels "
        "or a list with classes; or say --unlabeled",
        j->texts.full);
}

static enum rc take_image(struct pack *p, const struct pack_job *j, struct err *e)
{
    const struct corpus_image image = {.key = j->key,
                                       .data = j->data,
                                       .bytes = j->bytes,
                                       .block = j->block,
                                       .cls = p->config->unlabeled ? CORPUS_UNLABELED : j->cls,
                                       .source = j->texts.stored,
                                       .source_bytes = strlen(j->texts.stored),
                                       .hashed = j->hashed,
                                       .phash = j->phash};
    enum corpus_added added = CORPUS_SAME;
    enum rc rc = RC_OK;

    if (!p->config->unlabeled && j->cls < 0) {
        return take_no_class(j, p, e);
    }
    rc = corpus_writer_add(p->writer, &image, &added, e);
    p->result->same += rc == RC_OK && added == CORPUS_SAME ? 1 : 0;
    if (rc == RC_OK && p->retry != NULL) {
        pack_retry_recovered(p->retry, j->texts.full);
    }
    return rc;
}

static enum rc take_job(struct pack *p, const struct pack_job *j, struct err *e)
{
    enum rc rc = RC_OK;

    watch_at("writing to", p->config->out);
    if (j->rc != RC_OK) {
        return err_raise(e, j->rc, "'%s': %s", j->texts.full, j->detail);
    }
    if (j->why == IMAGE_OK) {
        rc = take_image(p, j, e);
    } else {
        const struct quarantine_entry entry = {.source = j->texts.full,
                                               .cls = j->texts.cls,
                                               .reason = image_reason_name(j->why),
                                               .detail = j->detail,
                                               .bytes = j->bytes,
                                               .has_key = true,
                                               .key = j->key};

        rc = pack_take_bad(p, &entry, e);
    }
    if (rc == RC_OK && j->texts.path != NULL) {
        const struct known_file file = {.bytes = j->file_bytes, .mtime_ns = j->mtime_ns};

        rc = corpus_writer_note_file(p->writer, &j->key, j->texts.path, &file, e);
    }
    return rc;
}

static void take_progress(struct pack *p)
{
    struct corpus_writer_stats stats;
    char detail[96];

    corpus_writer_stats(p->writer, &stats);
    (void)snprintf(detail, sizeof detail, "%llu new | %llu bad", (unsigned long long)stats.images,
                   (unsigned long long)p->result->quarantined);
    progress_update(&p->progress, (int64_t)p->result->seen, detail);
}

enum rc pack_take_looked(struct pack *p, const struct source_image *image,
                         const struct pack_texts *texts, struct err *e)
{
    const struct source_look *look = image->look;
    struct pack_job j = {.data = image->data,
                         .block = image->block,
                         .bytes = image->bytes,
                         .key = look->key,
                         .texts = *texts,
                         .cls = p->cls,
                         .file_bytes = image->file_bytes,
                         .mtime_ns = image->mtime_ns,
                         .why = look->why,
                         .rc = look->rc};
    enum rc rc = pack_take_all(p, e);

    if (rc == RC_OK) {
        memcpy(j.detail, look->detail, sizeof j.detail);
        rc = take_job(p, &j, e);
    }
    take_progress(p);
    return rc;
}

enum rc pack_take_oldest(struct pack *p, struct err *e)
{
    struct pack_job *j = pack_pool_take(p->pool);
    enum rc rc = RC_OK;

    if (j == NULL) {
        return RC_OK;
    }
    rc = take_job(p, j, e);
    pack_pool_return(p->pool, j);
    take_progress(p);
    return rc;
}

enum rc pack_take_all(struct pack *p, struct err *e)
{
    struct pack_job *j = NULL;
    enum rc rc = RC_OK;

    while (rc == RC_OK && (j = pack_pool_take(p->pool)) != NULL) {
        rc = take_job(p, j, e);
        pack_pool_return(p->pool, j);
    }
    return rc;
}

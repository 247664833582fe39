#include "labeler/undecoded.h"

#include <string.h>

#include "common/base/mem.h"

/* Decode once more, to learn what is wrong. */
static enum rc undecoded_why(const struct image_eval *eval, const struct shard_record *rec,
                             enum image_reason *why, struct err *detail, struct err *e)
{
    const size_t bytes = (size_t)eval->size * (size_t)eval->size * (size_t)eval->channels;
    struct codec *codec = NULL;
    uint8_t *pixels = mem_aligned(bytes);
    char hex[HASH_HEX_KEY];
    enum rc rc = pixels != NULL ? codec_create(&codec, e) : mem_raise(e, "pixels", bytes);

    if (rc == RC_OK) {
        rc = image_eval_file(codec, eval, rec->data, rec->bytes, pixels, why, detail);
        if (rc == RC_OK) {
            hash_key_hex(&rec->key, hex);
            rc = err_raise(e, RC_CORRUPT,
                           "image %s could not be decoded, and the second time it could: this "
                           "machine's memory may be failing",
                           hex);
        } else if (rc == RC_INVAL) {
            rc = RC_OK;
        } else {
            rc = err_raise(e, rc, "%s", detail->msg);
        }
    }
    codec_destroy(codec);
    mem_free(pixels);
    return rc;
}

static enum rc undecoded_fill(const struct image_eval *eval, const struct shard_record *rec,
                              struct quarantine_entry *out, char **text, struct err *e)
{
    enum image_reason why = IMAGE_OK;
    struct err detail = {0};
    size_t n = 0;
    const char *source = shard_record_source(rec, 0, &n);
    enum rc rc = undecoded_why(eval, rec, &why, &detail, e);

    if (rc != RC_OK) {
        return rc;
    }
    *text = mem_sprintf("%.*s%c%s", (int)n, source, '\0', detail.msg);
    if (*text == NULL) {
        return mem_raise(e, "the source of an image", n);
    }
    *out = (struct quarantine_entry){.source = *text,
                                     .reason = image_reason_name(why),
                                     .detail = *text + strlen(*text) + 1,
                                     .bytes = rec->bytes,
                                     .has_key = true,
                                     .key = rec->key};
    return RC_OK;
}

enum rc undecoded_entry(struct corpus *c, int shard, uint32_t position,
                        const struct image_eval *eval, struct quarantine_entry *out, char **text,
                        struct err *e)
{
    struct shard_reader *r = NULL;
    struct shard_record rec;
    enum rc rc = shard_reader_open(c, shard, true, &r, e);

    if (rc == RC_OK) {
        rc = shard_reader_get(r, position, &rec, e);
    }
    if (rc == RC_OK) {
        rc = undecoded_fill(eval, &rec, out, text, e);
    }
    if (rc == RC_OK) {
        rc = shard_reader_check(r, e);
    }
    shard_reader_close(r);
    return rc;
}

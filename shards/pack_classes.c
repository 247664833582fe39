#include "shards/pack_classes.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/image/image.h"
#include "shards/corpus.h"

struct classes_walk {
    const struct pack_config *config;
    struct class_list *names;
    int64_t max; /* of numeric classes, -1 none */
};

bool pack_classes_match(const struct pack_config *config, const struct source_image *image)
{
    return config->match == NULL || fnmatch(config->match, image->inside, 0) == 0;
}

/* A number as text, or -1. */
static int64_t classes_number(const char *text)
{
    return strlen(text) <= 9 ? strtoll(text, NULL, 10) : -1;
}

static enum rc classes_meet(void *ctx, const struct source_image *image, bool *want, struct err *e)
{
    struct classes_walk *w = ctx;
    int index = 0;

    *want = false;
    if (image->cls == NULL || !pack_classes_match(w->config, image) || image->data == NULL ||
        image_sniff(image->data, image->bytes) == IMAGE_UNKNOWN) {
        return RC_OK;
    }
    if (image->numeric) {
        int64_t number = classes_number(image->cls);

        if (number < 0 || number >= CLASS_LIST_MAX) {
            return err_raise(e, RC_INVAL, "the class of '%s' is %s, expected 0 to %d", image->text,
                             image->cls, CLASS_LIST_MAX - 1);
        }
        w->max = number > w->max ? number : w->max;
        return RC_OK;
    }
    return class_list_intern(w->names, image->cls, strlen(image->cls), &index, e);
}

/* A file in a folder whose class is met already is not even opened, unless its name is an archive's. */
static enum rc classes_known(void *ctx, const struct source_image *image, enum source_known *known,
                             struct err *e)
{
    static const char *const archives[] = {".tar", ".tgz", ".gz", ".zst", ".xz", ".bz2", ".zip"};
    struct classes_walk *w = ctx;
    const char *end = strrchr(image->text, '.');
    int index = -1;
    enum rc rc = RC_OK;

    *known = SOURCE_UNKNOWN;
    for (size_t i = 0; end != NULL && i < sizeof archives / sizeof archives[0]; i++) {
        if (strcasecmp(end, archives[i]) == 0) {
            return RC_OK;
        }
    }
    if (image->cls != NULL && !image->numeric) {
        rc = class_list_find(w->names, image->cls, strlen(image->cls), &index, e);
    }
    *known = index >= 0 ? SOURCE_KNOWN_ARCHIVE : SOURCE_UNKNOWN;
    return rc;
}

static enum rc classes_from_sources(const struct pack_config *config, struct class_list *out,
                                    struct err *e)
{
    struct classes_walk w = {config, out, -1};
    const struct source_visitor v = {.ctx = &w, .known = classes_known, .want = classes_meet};
    enum rc rc = source_walk(config->sources, config->n_sources, true, &v, e);

    if (rc == RC_OK && w.max >= 0 && out->n > 0) {
        return err_raise(
            e, RC_INVAL,
            "the sources name classes both as '%s' and as numbers: give --classes FILE",
            out->names[0]);
    }
    for (int64_t i = 0; rc == RC_OK && i <= w.max; i++) {
        char text[16];
        int n = snprintf(text, sizeof text, "%lld", (long long)i);

        rc = class_list_add(out, text, (size_t)n, e);
    }
    if (w.max < 0) {
        class_list_sort(out);
    }
    if (rc == RC_OK && out->n == 0) {
        rc = err_raise(
            e, RC_INVAL,
            "no images with a class found in '%s'%s: expected a folder a class, .cls beside "
            "the images, IDX labels, or a list with classes; or say --unlabeled",
            config->sources[0], config->n_sources > 1 ? " and the other sources" : "");
    }
    return rc;
}

static enum rc classes_from_corpus(const char *path, struct class_list *out, struct err *e)
{
    struct corpus *c = NULL;
    enum rc rc = corpus_open(path, &c, e);

    if (rc == RC_OK && !corpus_labeled(c)) {
        rc = err_raise(e, RC_INVAL, "'%s' is an unlabeled corpus: say --unlabeled to add to it",
                       path);
    }
    for (int i = 0; rc == RC_OK && i < corpus_classes(c); i++) {
        rc = class_list_add(out, corpus_class(c, i), strlen(corpus_class(c, i)), e);
    }
    corpus_close(c);
    return rc;
}

enum rc pack_classes_load(const struct pack_config *config, struct class_list *out, struct err *e)
{
    char *manifest = NULL;
    bool exists = false;

    if (config->classes != NULL) {
        return class_list_load(out, config->classes, e); /* the writer compares it to the corpus */
    }
    manifest = fs_join(config->out, "corpus.json");
    if (manifest == NULL) {
        return mem_raise(e, "a path", strlen(config->out));
    }
    exists = fs_exists(manifest);
    mem_free(manifest);
    return exists ? classes_from_corpus(config->out, out, e) : classes_from_sources(config, out, e);
}

enum rc pack_classes_of(struct class_list *l, const struct source_image *image, int32_t *cls,
                        struct err *e)
{
    int index = -1;
    enum rc rc = RC_OK;

    *cls = PACK_NO_CLASS;
    if (image->cls == NULL) {
        return RC_OK;
    }
    if (image->numeric) {
        int64_t number = classes_number(image->cls);

        index = number >= 0 && number < l->n ? (int)number : -1;
    } else {
        rc = class_list_find(l, image->cls, strlen(image->cls), &index, e);
    }
    if (rc == RC_OK && index >= 0) {
        *cls = index;
    }
    return rc;
}

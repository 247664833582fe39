/* What a corpus says of itself. */
#include "shards/corpus_impl.h"

const char *corpus_path(const struct corpus *c)
{
    return c->path;
}

int corpus_shards(const struct corpus *c)
{
    return c->n_shards;
}

const struct corpus_shard *corpus_shard(const struct corpus *c, int i)
{
    return &c->shards[i];
}

uint64_t corpus_images(const struct corpus *c)
{
    return c->images;
}

uint64_t corpus_header_images(const struct corpus *c)
{
    uint64_t n = 0;

    for (int i = 0; i < c->n_shards; i++) {
        n += c->shards[i].header ? c->shards[i].images : 0;
    }
    return n;
}

uint64_t corpus_occurrences(const struct corpus *c)
{
    return c->occurrences;
}

bool corpus_labeled(const struct corpus *c)
{
    return c->labeled;
}

int corpus_classes(const struct corpus *c)
{
    return c->classes.n;
}

const char *corpus_class(const struct corpus *c, int i)
{
    return c->classes.names[i];
}

void corpus_class_digest(const struct corpus *c, struct digest *out)
{
    *out = c->class_digest;
}

void corpus_digest(const struct corpus *c, struct digest *out)
{
    *out = c->digest;
}

const json_t *corpus_guards(const struct corpus *c)
{
    return c->guards;
}

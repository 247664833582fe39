#include "common/coll/coll_calls_impl.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/rng.h"

int64_t coll_calls_hash(const struct coll_call *call)
{
    uint64_t h = rng_mix((uint64_t)call->number + 1);

    h = rng_mix(h + (uint64_t)call->id);
    h = rng_mix(h + (uint64_t)call->n);
    return (int64_t)(h >> 2) + 1;
}

static bool same(const struct coll_call *a, const struct coll_call *b)
{
    return a->number == b->number && a->id == b->id && a->n == b->n;
}

static int count_like(const struct coll_call *calls, int ranks, int which)
{
    int n = 0;

    for (int r = 0; r < ranks; r++) {
        n += same(&calls[r], &calls[which]);
    }
    return n;
}

void coll_calls_sentence(const struct coll_call *calls, int ranks, char *out, size_t size)
{
    int usual = 0, guilty = 0, most = 0;
    char others[32] = "";

    for (int r = 0; r < ranks; r++) {
        const int like = count_like(calls, ranks, r);

        usual = like > most ? r : usual;
        most = like > most ? like : most;
    }
    while (guilty < ranks - 1 && same(&calls[guilty], &calls[usual])) {
        guilty++;
    }
    if (ranks - most > 1) {
        (void)snprintf(others, sizeof others, " (%d more differ)", ranks - most - 1);
    }
    (void)snprintf(out, size,
                   "rank %d reduces bucket %" PRId64 " of %" PRId64 " numbers as its call %" PRId64
                   "%s, %s %d bucket %" PRId64 " of %" PRId64 " as call %" PRId64
                   ": they do not train the same network",
                   guilty, calls[guilty].id, calls[guilty].n, calls[guilty].number, others,
                   most > 1 ? "most ranks, as" : "rank", usual, calls[usual].id, calls[usual].n,
                   calls[usual].number);
}

enum rc coll_calls_differ(struct coll *control, const struct coll_call *mine, struct coll_call *all,
                          struct err *e)
{
    const size_t bytes = sizeof *mine;
    char sentence[ERR_MSG_MAX];
    enum rc rc = coll_gather(control, mine, all, bytes, 0, e);

    rc = rc != RC_OK ? rc : coll_broadcast(control, all, bytes * (size_t)coll_size(control), 0, e);
    if (rc != RC_OK) {
        return rc;
    }
    coll_calls_sentence(all, coll_size(control), sentence, sizeof sentence);
    return err_raise(e, RC_INVAL, "%s", sentence);
}

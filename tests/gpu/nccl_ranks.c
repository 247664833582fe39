/* NCCL's instance of the collective seam on the fakes, under mpirun; for nccl.sh.
 * usage: nccl_ranks CASE     each rank prints "ok" or "rank R: rc N after S s: sentence"
 *   sum     buckets that the GPU has not computed yet when their all-reduce starts, again and again
 *   counts  the last rank's second bucket is longer
 *   order   the last rank reduces two buckets of equal length the other way round
 *   unsaid  the same, under the ids of the right order
 *   late    the last rank starts no all-reduce, and waits for the others instead */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/coll/coll.h"
#include "common/device/device.h"

enum { BUCKETS = 5, FLOATS = 300000, ROUNDS = 40 };

struct job {
    struct coll *control, *data;
    struct device *dev;
    float *gpu, *host;
    const char *kind;
    int tickets[BUCKETS];
};

static bool last(const struct job *j)
{
    return coll_rank(j->control) == coll_size(j->control) - 1;
}

static size_t bucket_floats(const struct job *j, int b)
{
    return (size_t)(b + 1) * 1000 + (b == 1 && last(j) && strcmp(j->kind, "counts") == 0);
}

static enum rc open_job(struct job *j, struct err *e)
{
    void *gpu = NULL, *host = NULL;
    enum rc rc = coll_create(&j->control, e);

    if (rc != RC_OK) {
        return rc;
    }
    coll_set_patience(j->control, 2);
    rc = device_create_local("cuda", 1, coll_local_rank(j->control), &j->dev, e);
    rc = coll_agree(j->control, rc, e);
    rc = rc != RC_OK ? rc : coll_create_data(j->control, j->dev, COLL_DATA_NCCL, &j->data, e);
    rc = rc != RC_OK ? rc : device_alloc(j->dev, FLOATS * sizeof(float), "gradients", &gpu, e);
    rc = rc != RC_OK ? rc : device_alloc_host(j->dev, FLOATS * sizeof(float), &host, e);
    j->gpu = gpu;
    j->host = host;
    return rc;
}

static void close_job(struct job *j)
{
    if (j->dev != NULL) {
        device_free(j->dev, j->gpu);
        device_free_host(j->dev, j->host);
    }
    coll_destroy(j->data);
    device_destroy(j->dev);
    coll_destroy(j->control);
}

/* What the last rank does the other way round, and whether it says so. */
static bool swaps(const struct job *j)
{
    return strcmp(j->kind, "order") == 0 || strcmp(j->kind, "unsaid") == 0;
}

static enum rc start_buckets(struct job *j, struct err *e)
{
    const bool silent = strcmp(j->kind, "unsaid") == 0;
    enum rc rc = RC_OK;

    for (int b = 0; b < BUCKETS && rc == RC_OK; b++) {
        const int which = swaps(j) && last(j) && b < 2 ? 1 - b : b;
        const size_t n = swaps(j) ? 1000 : bucket_floats(j, which);

        rc = coll_allreduce_start(j->data, j->gpu + (size_t)which * 10000, n, silent ? b : which,
                                  &j->tickets[b], e);
    }
    return rc;
}

/* The sum over ranks of (rank + 1) * (round + place). */
static enum rc check(struct job *j, int round, struct err *e)
{
    const int ranks = coll_size(j->control), factor = ranks * (ranks + 1) / 2;
    enum rc rc = device_download(j->dev, NULL, j->host, j->gpu, FLOATS * sizeof(float), e);

    rc = rc != RC_OK ? rc : device_sync(j->dev, NULL, e);
    for (int b = 0; b < BUCKETS && rc == RC_OK; b++) {
        for (size_t i = 0; i < bucket_floats(j, b); i++) {
            const float got = j->host[(size_t)b * 10000 + i];

            if (got != (float)(factor * (round + (int)(i % 100)))) {
                return err_raise(e, RC_CORRUPT, "round %d, bucket %d, number %zu is %g", round, b,
                                 i, (double)got);
            }
        }
    }
    return rc;
}

static enum rc run_round(struct job *j, int round, struct err *e)
{
    enum rc rc;

    for (int i = 0; i < FLOATS; i++) {
        j->host[i] = (float)((coll_rank(j->control) + 1) * (round + i % 10000 % 100));
    }
    rc = device_upload(j->dev, NULL, j->gpu, j->host, FLOATS * sizeof(float), e);
    rc = rc != RC_OK ? rc : start_buckets(j, e);
    for (int b = 0; b < BUCKETS && rc == RC_OK; b++) {
        rc = coll_allreduce_wait(j->data, j->tickets[b], e);
    }
    return rc != RC_OK ? rc : check(j, round, e);
}

static enum rc run_case(struct job *j, struct err *e)
{
    enum rc rc = RC_OK;

    if (strcmp(j->kind, "late") == 0 && last(j)) {
        return coll_barrier(j->control, e);
    }
    for (int round = 0; round < ROUNDS && rc == RC_OK; round++) {
        rc = run_round(j, round, e);
    }
    return rc;
}

int main(int argc, char **argv)
{
    struct job j = {.kind = argc > 1 ? argv[1] : "sum"};
    struct err e = {0};
    enum rc rc = open_job(&j, &e);
    const double start = clock_now();

    rc = rc != RC_OK ? rc : run_case(&j, &e);
    if (rc == RC_OK) {
        printf("ok\n");
    } else {
        printf("rank %d: rc %d after %.0f s: %s\n", j.control != NULL ? coll_rank(j.control) : -1,
               (int)rc, clock_now() - start, e.msg);
    }
    fflush(stdout);
    close_job(&j);
    return 0;
}

#include "labeler/label_run.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/progress.h"
#include "labeler/label_task.h"

/* The next shard is opened ahead: by this many times what the last opening took. */
static const double AHEAD = 2.0;

/* The next shard, asked for and opened by a thread of its own. */
struct ahead {
    pthread_t thread;
    bool under_way;
    double opening; /* seconds that the last opening took, without the waiting for an item */
    double took;    /* the same of the one under way */
    struct label_task *task; /* NULL: there is none */
    enum rc rc;
    struct err err;
};

struct label_loop {
    const struct label_job *job;
    struct ahead ahead;
    struct work_counts counts;
    double waited;        /* in shards that are closed */
    struct progress line; /* rank 0 */
    int64_t before;       /* images labeled by earlier runs */
    double start;
};

void label_missing(const struct corpus *corpus, const char *dir, int *items, int *n,
                   int64_t *images)
{
    *n = 0;
    *images = 0;
    for (int i = 0; i < corpus_shards(corpus); i++) {
        if (!label_shard_sealed(dir, i)) {
            items[(*n)++] = i;
            *images += (int64_t)corpus_shard(corpus, i)->images;
        }
    }
}

/* ---- the next shard -------------------------------------------------------------------------- */

static void *ahead_main(void *arg)
{
    struct label_loop *l = arg;
    struct ahead *a = &l->ahead;
    int shard = -1;
    uint32_t attempt = 0;
    bool more = false;

    a->rc = work_next(l->job->work, &shard, &attempt, &more, &a->err);
    if (a->rc == RC_OK && more) {
        const double start = clock_now();

        watch_begin(l->job->watch, LABEL_WATCH_AHEAD, "opening",
                    corpus_shard(l->job->corpus, shard)->name);
        a->rc = label_task_open(l->job, shard, attempt, &a->task, &a->err);
        watch_end(l->job->watch, LABEL_WATCH_AHEAD);
        a->took = clock_now() - start;
    }
    return NULL;
}

static enum rc ahead_start(struct label_loop *l, struct err *e)
{
    struct ahead *a = &l->ahead;
    int code = 0;

    if (a->under_way) {
        return RC_OK;
    }
    a->task = NULL;
    a->rc = RC_OK;
    a->err = (struct err){.rc = RC_OK};
    code = pthread_create(&a->thread, NULL, ahead_main, l);
    if (code != 0) {
        return err_raise(e, RC_LIB, "cannot start the thread that opens shards: %s",
                         strerror(code));
    }
    a->under_way = true;
    return RC_OK;
}

/* *task NULL: all is done, or the run is stopping. */
static enum rc ahead_take(struct label_loop *l, struct label_task **task, struct err *e)
{
    struct ahead *a = &l->ahead;
    enum rc rc = ahead_start(l, e);

    *task = NULL;
    if (rc != RC_OK) {
        return rc;
    }
    (void)pthread_join(a->thread, NULL);
    a->under_way = false;
    a->opening = a->took;
    if (a->rc != RC_OK) {
        return err_raise(e, a->rc, "%s", a->err.msg);
    }
    *task = a->task;
    a->task = NULL;
    return RC_OK;
}

/* Whether the rest of the shard takes no longer than opening the next one will. */
static bool ahead_is_due(const struct label_loop *l, const struct label_task *t, double start,
                         int64_t labeled)
{
    const int64_t left = label_task_left(t);

    if (left <= l->job->predictor.batch) {
        return true;
    }
    return labeled > 0 &&
           (clock_now() - start) * (double)left < AHEAD * l->ahead.opening * (double)labeled;
}

/* ---- progress -------------------------------------------------------------------------------- */

/* Rank 0: from the service thread when there are several ranks, from the loop when alone. */
static void loop_show(void *ctx)
{
    struct label_loop *l = ctx;
    struct work_counts sum;
    const double ranks = coll_size(l->job->control);
    char detail[64];
    int64_t done = 0;

    if (*l->job->stop != 0) {
        work_stop(l->job->work);
    }
    work_totals(l->job->work, &sum, NULL);
    done = l->before + sum.resumed + sum.labeled + sum.bad;
    l->line.first = l->before + sum.resumed;
    (void)snprintf(detail, sizeof detail, "io wait %.0f %%",
                   100 * sum.waited / ((clock_now() - l->start) * ranks + 1e-9));
    progress_update(&l->line, done < l->line.total ? done : l->line.total, detail);
}

static void loop_begin(struct label_loop *l, int64_t images_left)
{
    l->start = clock_now();
    if (coll_rank(l->job->control) != 0) {
        return;
    }
    const int64_t all = (int64_t)corpus_images(l->job->corpus);
    l->before = all - images_left;
    progress_begin(&l->line, "label", "images", all, l->before);
    work_on_tick(l->job->work, loop_show, l);
}

static void loop_end(struct label_loop *l)
{
    work_report(l->job->work, &l->counts);
    work_on_tick(l->job->work, NULL, NULL);
    if (coll_rank(l->job->control) == 0) {
        loop_show(l);
        progress_end(&l->line, NULL);
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void loop_report(struct label_loop *l, const struct label_task *t, int n, int bad)
{
    l->counts.labeled += n - bad;
    l->counts.bad += bad;
    l->counts.waited = l->waited + label_task_waited(t);
    work_report(l->job->work, &l->counts);
    if (coll_size(l->job->control) == 1) {
        loop_show(l);
    }
}

static enum rc loop_stopped(struct err *e)
{
    return err_raise(e, RC_REQUEUE,
                     "stopped on request: what is labeled is saved, and the same "
                     "command goes on");
}

/* Label what is left of a shard and seal it; *finished false: the run is stopping. */
static enum rc loop_shard(struct label_loop *l, struct label_task *t, bool *finished, struct err *e)
{
    const char *name = corpus_shard(l->job->corpus, label_task_shard(t))->name;
    const double start = clock_now();
    int64_t labeled = 0;
    bool won = false;
    enum rc rc = RC_OK;
    int n = 0;
    int bad = 0;

    *finished = false;
    l->counts.resumed += label_task_resumed(t);
    do {
        if (*l->job->stop != 0) {
            return loop_stopped(e);
        }
        if (work_stopping(l->job->work)) {
            return RC_OK;
        }
        if (ahead_is_due(l, t, start, labeled)) {
            rc = ahead_start(l, e);
        }
        if (rc == RC_OK) {
            watch_begin(l->job->watch, LABEL_WATCH_LOOP, "labeling a batch of", name);
            rc = label_task_step(t, &n, &bad, e);
        }
        if (rc != RC_OK) {
            return rc;
        }
        labeled += n;
        loop_report(l, t, n, bad);
    } while (n > 0);
    watch_begin(l->job->watch, LABEL_WATCH_LOOP, "sealing the labels of", name);
    rc = label_task_seal(t, &won, e);
    if (rc == RC_OK) {
        l->counts.sealed += won;
        work_report(l->job->work, &l->counts);
        rc = work_done(l->job->work, label_task_shard(t), e);
    }
    *finished = rc == RC_OK;
    return rc;
}

static enum rc loop_all(struct label_loop *l, struct err *e)
{
    for (;;) {
        struct label_task *t = NULL;
        bool finished = false;
        enum rc rc = ahead_take(l, &t, e);

        if (rc != RC_OK) {
            return rc;
        }
        if (t == NULL) {
            return *l->job->stop != 0 && work_stopping(l->job->work) ? loop_stopped(e) : RC_OK;
        }
        rc = loop_shard(l, t, &finished, e);
        l->waited += label_task_waited(t);
        label_task_close(t);
        watch_end(l->job->watch, LABEL_WATCH_LOOP); /* what comes next waits for others */
        if (!finished) {
            return rc;
        }
    }
}

enum rc label_run(const struct label_job *job, int64_t images_left, struct work_counts *counts,
                  struct err *e)
{
    struct label_loop l = {.job = job};
    struct label_task *unused = NULL;
    struct err ignored = {0};
    enum rc rc = RC_OK;

    assert(job->predictor.batch > 0 && job->stop != NULL);
    loop_begin(&l, images_left);
    rc = loop_all(&l, e);
    if (l.ahead.under_way) {
        work_stop(job->work); /* the thread may be waiting for an item */
        (void)!ahead_take(&l, &unused, &ignored);
        label_task_close(unused);
    }
    loop_end(&l);
    *counts = l.counts;
    return rc;
}
